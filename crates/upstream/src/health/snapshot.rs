//! Knowledge about the health of endpoints, as plain values that can be stored and handed on.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::health::check::CheckState;
use crate::health::ejection::EjectionState;
use crate::health::{EjectionCause, FAILED, Health, PASSED};

/// Knowledge about the health of an endpoint. Drains are not in it: they are part of the state on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthSnapshot {
    /// True if it passes its checks, false if it fails them, `None` before the first.
    pub verdict: Option<bool>,
    /// The reason of a failed check.
    pub failure: String,
    /// Ejections in a row.
    pub ejections: u32,
    /// The remaining time of an ejection.
    pub ejected_for: Option<Duration>,
    /// The cause of the ejection, as [`EjectionCause`] packs it.
    pub cause: u64,
}

impl HealthSnapshot {
    /// Returns true if nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Health {
    /// The knowledge so far.
    pub fn snapshot(&self, now: Instant) -> HealthSnapshot {
        let checks = self.checks();
        let ejected_for = self.changes_at(now).map(|until| until - now);
        let state = self.ejection.lock();
        HealthSnapshot {
            verdict: checks.state.verdict(),
            failure: checks.failure.clone(),
            ejections: state.map_or(0, |state| state.ejections()),
            ejected_for,
            cause: ejected_for.map_or(0, |_| self.cause.load(Ordering::Relaxed)),
        }
    }

    /// Takes over what another process knew.
    pub fn restore(&self, known: &HealthSnapshot, now: Instant) {
        self.take_over(known, CheckState::restored(known.verdict), now);
    }

    /// Takes over what was known under another config of the service: it holds until the first check, which decides alone.
    pub(crate) fn inherit(&self, known: &HealthSnapshot, now: Instant) {
        self.take_over(known, CheckState::default(), now);
    }

    fn take_over(&self, known: &HealthSnapshot, state: CheckState, now: Instant) {
        if let Some(passed) = known.verdict {
            let mut checks = self.checks();
            checks.state = state;
            checks.since = now;
            checks.failure = known.failure.clone();
            self.verdict
                .store(if passed { PASSED } else { FAILED }, Ordering::Relaxed);
        }
        if known.ejections == 0 && known.ejected_for.is_none() {
            return;
        }
        let until = now + known.ejected_for.unwrap_or_default();
        if let Ok(mut state) = self.ejection.lock() {
            *state = EjectionState::restored(known.ejections, until);
        }
        self.awaits_success.store(true, Ordering::Relaxed);
        if known.ejected_for.is_some() {
            self.ejected_at_ms.store(self.ms(now), Ordering::Relaxed);
            self.eject(until, EjectionCause::unpack(known.cause));
        }
    }
}
