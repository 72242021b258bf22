//! Passive health checks, based on the outcomes of exchanges.
//!
//! A failed connection attempt ejects the endpoint for [`EJECTION`]. The balancer skips it while another endpoint is
//! available, and tries it again afterwards. The endpoint counts as down until a connection attempt succeeds: a response
//! on a connection from before the ejection does not show that the endpoint accepts new ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Duration of an ejection.
pub const EJECTION: Duration = Duration::from_secs(10);

/// The outcome of an exchange with an endpoint, or of an attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The connection attempt failed.
    ConnectFailed,
    /// The endpoint sent a complete response with this status.
    Response(u16),
    /// The connection broke, or the response was malformed.
    Reset,
    /// The endpoint missed a deadline.
    Timeout,
    /// The exchange ended for a reason unrelated to the endpoint, such as a client disconnect.
    Abandoned,
}

/// The health of an endpoint, shared by all workers.
#[derive(Debug)]
pub struct Health {
    began: Instant,
    /// The end of the ejection, in milliseconds since `began`; 0 while the endpoint is up.
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
    /// The endpoint was up, and is ejected now.
    Ejected,
    /// The endpoint was down, and is up now.
    Recovered,
}

impl Health {
    /// Records an outcome; `now` is called only if the outcome needs the time. Returns the change of health, to only one
    /// of several workers that report it concurrently.
    pub fn report(&self, outcome: Outcome, now: impl FnOnce() -> Instant) -> Option<HealthChange> {
        match outcome {
            Outcome::ConnectFailed => {
                let since = now().saturating_duration_since(self.began) + EJECTION;
                let until = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1);
                let was = self.ejected_until_ms.swap(until, Ordering::Relaxed);
                (was == 0).then_some(HealthChange::Ejected)
            }
            Outcome::Response(_) | Outcome::Reset | Outcome::Timeout | Outcome::Abandoned => None,
        }
    }

    /// Records a successful connection attempt. Returns the change of health, as [`Health::report`] does.
    pub fn report_connected(&self) -> Option<HealthChange> {
        // The endpoint is nearly always up. A load does not contend with other workers.
        if !self.is_down() {
            return None;
        }
        let was = self.ejected_until_ms.swap(0, Ordering::Relaxed);
        (was != 0).then_some(HealthChange::Recovered)
    }

    /// Returns true if the endpoint is ejected: skipped while another one is available.
    pub fn is_ejected(&self, now: Instant) -> bool {
        let until = self.ejected_until_ms.load(Ordering::Relaxed);
        until != 0 && now < self.began + Duration::from_millis(until)
    }

    /// Returns true if the endpoint takes requests: it is not ejected.
    pub fn is_available(&self, now: Instant) -> bool {
        !self.is_ejected(now)
    }

    /// The next time at which availability changes by itself, as when an ejection ends.
    pub fn changes_at(&self, now: Instant) -> Option<Instant> {
        let until = self.ejected_until_ms.load(Ordering::Relaxed);
        let end = self.began + Duration::from_millis(until);
        (until != 0 && now < end).then_some(end)
    }

    /// Returns true if no connection attempt has succeeded since the last ejection.
    pub fn is_down(&self) -> bool {
        self.ejected_until_ms.load(Ordering::Relaxed) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_connect_ejects_until_timeout_or_success() {
        let health = Health::default();
        let now = health.began;
        assert!(!health.is_ejected(now) && !health.is_down());
        assert_eq!(
            health.report(Outcome::ConnectFailed, || now),
            Some(HealthChange::Ejected)
        );
        assert_eq!(
            health.report(Outcome::ConnectFailed, || now),
            None,
            "reported once"
        );
        assert!(health.is_ejected(now + EJECTION - Duration::from_millis(1)));
        assert_eq!(health.changes_at(now), Some(now + EJECTION));
        assert_eq!(health.changes_at(now + EJECTION), None);
        let later = now + EJECTION;
        assert!(
            !health.is_ejected(later) && health.is_down(),
            "eligible again, but still down"
        );
        for outcome in [
            Outcome::Response(200),
            Outcome::Reset,
            Outcome::Timeout,
            Outcome::Abandoned,
        ] {
            assert_eq!(health.report(outcome, || later), None);
        }
        assert!(health.is_down(), "an old connection shows nothing about new ones");
        assert_eq!(health.report_connected(), Some(HealthChange::Recovered));
        assert_eq!(health.report_connected(), None, "reported once");
        assert!(!health.is_down());
    }
}
