//! The health of an endpoint: passive, by the outcomes of exchanges.
//!
//! A failed connect ejects the endpoint for [`EJECTION`]; it is passed over while another one is available. After that it
//! is tried again. It counts as down until it is reached.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long an endpoint is passed over after a failed connect.
pub const EJECTION: Duration = Duration::from_secs(10);

/// The outcome of one exchange with an endpoint, or of the attempt at one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No connection could be made.
    ConnectFailed,
    /// The endpoint sent a complete response with this status.
    Response(u16),
    /// The connection broke, or what came was malformed.
    Reset,
    /// The endpoint missed a deadline.
    Timeout,
    /// The exchange ended for reasons that say nothing of the endpoint, such as a client that left.
    Abandoned,
}

/// The health of an endpoint, shared by all workers.
#[derive(Debug)]
pub struct Health {
    began: Instant,
    /// Milliseconds since `began` at which the ejection ends; 0 while the endpoint is up.
    ejected_until_ms: AtomicU64,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            ejected_until_ms: AtomicU64::new(0),
        }
    }
}

/// A change of an endpoint's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthChange {
    /// It was up, and is ejected now.
    Ejected,
    /// It was down, and is up now.
    Recovered,
}

impl Health {
    /// Takes an outcome into account. Of workers that report at the same time, one is told of the change.
    pub fn report(&self, outcome: Outcome, now: Instant) -> Option<HealthChange> {
        match outcome {
            Outcome::ConnectFailed => {
                let since = now.saturating_duration_since(self.began) + EJECTION;
                let until = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1);
                let was = self.ejected_until_ms.swap(until, Ordering::Relaxed);
                (was == 0).then_some(HealthChange::Ejected)
            }
            Outcome::Response(_) => self.reached(),
            Outcome::Reset | Outcome::Timeout | Outcome::Abandoned => None,
        }
    }

    /// Takes into account that a connection was made, or a response came.
    pub fn reached(&self) -> Option<HealthChange> {
        // Nearly always up: a load costs nothing that other workers notice.
        if !self.is_down() {
            return None;
        }
        let was = self.ejected_until_ms.swap(0, Ordering::Relaxed);
        (was != 0).then_some(HealthChange::Recovered)
    }

    /// Returns true if the endpoint is to be passed over while another one is available.
    pub fn is_ejected(&self, now: Instant) -> bool {
        let until = self.ejected_until_ms.load(Ordering::Relaxed);
        until != 0 && now < self.began + Duration::from_millis(until)
    }

    /// Returns true if the endpoint was not reached since it was ejected last.
    pub fn is_down(&self) -> bool {
        self.ejected_until_ms.load(Ordering::Relaxed) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_connect_ejects_until_the_time_is_up_or_it_is_reached() {
        let health = Health::default();
        let now = health.began;
        assert!(!health.is_ejected(now) && !health.is_down());
        assert_eq!(
            health.report(Outcome::ConnectFailed, now),
            Some(HealthChange::Ejected)
        );
        assert_eq!(health.report(Outcome::ConnectFailed, now), None, "told once");
        assert!(health.is_ejected(now + EJECTION - Duration::from_millis(1)));
        let later = now + EJECTION;
        assert!(
            !health.is_ejected(later) && health.is_down(),
            "tried again, but not up yet"
        );
        for outcome in [Outcome::Reset, Outcome::Timeout, Outcome::Abandoned] {
            assert_eq!(health.report(outcome, later), None);
        }
        assert_eq!(
            health.report(Outcome::Response(503), later),
            Some(HealthChange::Recovered)
        );
        assert_eq!(health.reached(), None, "told once");
        assert!(!health.is_down());
    }
}
