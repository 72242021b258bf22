//! Failures, as a rollout counts them.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The first and the last HTTP status.
pub const STATUSES: RangeInclusive<u16> = 100..=599;

/// A set of HTTP statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatusSet([u64; 8]);

/// The requests that count as failed where arms are compared.
///
/// Responses of a service fail by their status. Whatever kept a response from coming, or cut it, is a failure in any case,
/// and calls fail by their code; see `waypost_policy::status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureRule {
    /// Statuses of failures.
    pub statuses: StatusSet,
    /// Statuses of responses that are no failures, also of those that the gateway sends in place of a service.
    pub exclude: StatusSet,
    /// The time after which a request without a response counts as failed.
    pub late: Option<Duration>,
}

impl StatusSet {
    /// The class 5xx.
    pub fn server_errors() -> Self {
        let mut set = Self::default();
        set.add(500..=599);
        set
    }

    /// Adds statuses. Those that do not exist are left out.
    pub fn add(&mut self, statuses: RangeInclusive<u16>) {
        for (at, bit) in statuses.filter_map(place) {
            self.0[at] |= bit;
        }
    }

    /// Returns true if `status` is in the set.
    pub fn contains(&self, status: u16) -> bool {
        place(status).is_some_and(|(at, bit)| self.0[at] & bit != 0)
    }
}

/// The word and the bit of a status.
fn place(status: u16) -> Option<(usize, u64)> {
    if !STATUSES.contains(&status) {
        return None;
    }
    let at = status - STATUSES.start();
    Some((usize::from(at / 64), 1 << (at % 64)))
}

impl Default for FailureRule {
    fn default() -> Self {
        Self {
            statuses: StatusSet::server_errors(),
            exclude: StatusSet::default(),
            late: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_what_was_added() {
        let mut set = StatusSet::server_errors();
        set.add(429..=429);
        set.add(598..=700);
        for status in 0..=1000 {
            let expected = status == 429 || (500..600).contains(&status);
            assert_eq!(set.contains(status), expected, "{status}");
        }
        assert!(!StatusSet::default().contains(500));
    }
}
