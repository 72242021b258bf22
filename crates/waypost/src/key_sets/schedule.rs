//! The times at which a key set is fetched.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest time for which a key set is taken for fresh.
pub(crate) const FRESH_MIN: Duration = Duration::from_secs(5 * 60);
/// The longest.
pub(crate) const FRESH_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The time between two fetches for tokens whose key is unknown.
pub(crate) const ASKED_MIN: Duration = Duration::from_secs(30);
/// The wait after the first fetch that fails. Further ones wait twice as long each.
pub(crate) const RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest wait after a fetch that fails.
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(60);

/// The fetches of one key set, past and to come.
#[derive(Debug)]
pub(super) struct Schedule {
    next: Instant,
    /// The last fetch for a token whose key was unknown.
    asked: Option<Instant>,
    has_succeeded: bool,
    failures: u32,
}

impl Schedule {
    /// The first fetch is due at once.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            next: now,
            asked: None,
            has_succeeded: false,
            failures: 0,
        }
    }

    /// The time of the next fetch.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// The time from which a token whose key is unknown leads to a fetch; `None` if it does already.
    pub(super) fn closed_until(&self, now: Instant) -> Option<Instant> {
        let until = self.asked? + ASKED_MIN;
        (now < until).then_some(until)
    }

    /// Notes that a fetch begins because a token's key is unknown.
    pub(super) fn ask(&mut self, now: Instant) {
        self.asked = Some(now);
    }

    /// Notes that a fetch has succeeded, and for how long its server says that the set is fresh.
    pub(super) fn succeeded(&mut self, max_age: Option<Duration>, now: Instant) {
        self.failures = 0;
        // What was asked for in front of the first set was that set, and not the key of a token.
        if !std::mem::replace(&mut self.has_succeeded, true) {
            self.asked = None;
        }
        self.next = now + max_age.unwrap_or(FRESH_MIN).clamp(FRESH_MIN, FRESH_MAX);
    }

    /// Notes that a fetch has failed.
    pub(super) fn failed(&mut self, now: Instant) {
        let wait = RETRY_MIN * 2_u32.pow(self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        self.next = now + wait.min(RETRY_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_fetched_again_as_its_server_says_within_bounds() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        assert_eq!(schedule.next(), now);
        for (max_age, expected) in [
            (None, 300),
            (Some(0), 300),
            (Some(299), 300),
            (Some(3600), 3600),
            (Some(86_401), 86_400),
            (Some(u64::MAX), 86_400),
        ] {
            schedule.succeeded(max_age.map(Duration::from_secs), now);
            assert_eq!(
                schedule.next() - now,
                Duration::from_secs(expected),
                "{max_age:?}"
            );
        }
    }

    #[test]
    fn failures_are_retried_ever_less_often() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        let waits: Vec<u64> = (0..9)
            .map(|_| {
                schedule.failed(now);
                (schedule.next() - now).as_secs()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        schedule.succeeded(None, now);
        schedule.failed(now);
        assert_eq!((schedule.next() - now).as_secs(), 1);
    }

    #[test]
    fn unknown_keys_lead_to_one_fetch_in_thirty_seconds() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        assert_eq!(schedule.closed_until(now), None);
        schedule.ask(now);
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(schedule.closed_until(later(29)), Some(later(30)));
        assert_eq!(schedule.closed_until(later(30)), None);
    }

    #[test]
    fn the_first_set_leaves_the_fetch_for_an_unknown_key() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        schedule.failed(now);
        schedule.ask(now);
        assert!(schedule.closed_until(now).is_some());
        schedule.succeeded(None, now);
        assert_eq!(schedule.closed_until(now), None);
        schedule.ask(now);
        schedule.succeeded(None, now);
        assert!(schedule.closed_until(now).is_some());
    }
}
