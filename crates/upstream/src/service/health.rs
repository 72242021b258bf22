//! The health of a service's endpoints: outcomes of requests, checks and drains.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};

use tokio::sync::Notify;
use tokio::time::Instant;
use waypost_plan::health::Ejection;

use crate::endpoint::Endpoint;
use crate::health::snapshot::HealthSnapshot;
use crate::health::{EndpointState, HealthChange, Outcome, Status};
use crate::service::ServiceState;

/// An endpoint that takes no requests because an operator said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// The declared endpoint, as [`waypost_plan::service::Endpoint::text`] has it.
    pub endpoint: Box<str>,
    /// The only one of its addresses that is drained; `None` for all of them.
    pub address: Option<Box<str>>,
}

/// Checks of the endpoints.
#[derive(Debug, Default)]
pub(super) struct CheckCounters {
    /// True once they have begun.
    have_begun: AtomicBool,
    /// Wakes the task that starts them, when endpoints change.
    pub(super) endpoints: Arc<Notify>,
    passed: AtomicU64,
    failed: AtomicU64,
}

impl ServiceState {
    /// Records the outcome of an exchange with `endpoint`, or of an attempt to connect; `now` is called only if the outcome
    /// needs the time. Returns the change of health, to only one of several workers that report it concurrently.
    pub fn report(
        &self,
        endpoint: &Endpoint,
        outcome: Outcome,
        now: impl FnOnce() -> Instant,
    ) -> Option<HealthChange> {
        let health = &endpoint.health;
        let change = match &self.service.eject {
            None => health.report(outcome, now),
            Some(policy) => health.report_to(policy, outcome, now, |now| self.place(policy, now)),
        };
        if change.is_some() {
            self.touch();
        }
        change
    }

    /// Records a successful connection attempt to `endpoint`. Returns the change of health, as [`ServiceState::report`]
    /// does.
    pub fn report_connected(&self, endpoint: &Endpoint) -> Option<HealthChange> {
        // With a policy, an endpoint is out for the time that it says.
        if self.service.eject.is_some() {
            return None;
        }
        let change = endpoint.health.report_connected();
        if change.is_some() {
            self.touch();
        }
        change
    }

    /// A place among the endpoints that may be ejected at a time, for one more. While another worker ejects one there is
    /// none, rather than a wait: the next failure asks again.
    fn place(&self, policy: &Ejection, now: Instant) -> Option<MutexGuard<'_, ()>> {
        let place = self.ejecting.try_lock().ok()?;
        let endpoints = self.endpoints.load();
        let ejected = endpoints.iter().filter(|other| other.health.is_ejected(now));
        (ejected.count() < policy.ejected_max(endpoints.len())).then_some(place)
    }

    /// Returns true if one of the drains is about `endpoint`.
    pub(super) fn is_drained(&self, endpoint: &Endpoint) -> bool {
        let drains = self.drains.load();
        // Nearly always empty.
        !drains.is_empty() && {
            let declared = self.service.endpoints[endpoint.declared].text();
            let address = endpoint.address.to_string();
            drains.iter().any(|drain| {
                *drain.endpoint == *declared && drain.address.as_ref().is_none_or(|only| **only == *address)
            })
        }
    }

    /// The drains.
    pub fn drains(&self) -> Arc<Vec<Drain>> {
        self.drains.load_full()
    }

    /// Replaces the drains.
    pub fn set_drains(&self, drains: Vec<Drain>) {
        if *self.drains.load_full() == drains {
            return;
        }
        self.drains.store(Arc::new(drains));
        let now = Instant::now();
        for endpoint in self.endpoints().iter() {
            endpoint.health.set_drained(self.is_drained(endpoint), now);
        }
        self.touch();
    }

    /// The state of an endpoint, with its reason.
    pub fn status(&self, endpoint: &Endpoint, now: Instant) -> Status {
        let mut status = endpoint.health.status(now, self.service.eject.is_none());
        if endpoint.weight() == 0 && status.state == EndpointState::Up {
            status.state = EndpointState::Drained;
            "weight 0".clone_into(&mut status.reason);
        }
        status
    }

    /// Returns true if an endpoint is ejected. Without a policy, it counts as ejected until a connection succeeds.
    pub fn is_ejected(&self, endpoint: &Endpoint, now: Instant) -> bool {
        let health = &endpoint.health;
        health.is_ejected(now) || (self.service.eject.is_none() && health.is_down())
    }

    /// Returns true if the checks of the endpoints are to begin: once, if the config has any.
    pub fn begin_checks(&self) -> bool {
        self.service.health.is_some() && !self.checks.have_begun.swap(true, Ordering::Relaxed)
    }

    /// Wakes one task when the endpoints change, or the service is retired.
    pub(crate) fn endpoint_changes(&self) -> Arc<Notify> {
        Arc::clone(&self.checks.endpoints)
    }

    /// Counts a check.
    pub(crate) fn count_check(&self, passed: bool) {
        let checks = &self.checks;
        let count = if passed { &checks.passed } else { &checks.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// The numbers of passed and of failed checks.
    pub fn check_counts(&self) -> [u64; 2] {
        let counts = [&self.checks.passed, &self.checks.failed];
        counts.map(|count| count.load(Ordering::Relaxed))
    }

    /// Knowledge about the health of the endpoints, by the text of their addresses.
    pub fn health_snapshot(&self, now: Instant) -> Vec<(String, HealthSnapshot)> {
        let endpoints = self.endpoints();
        let known = endpoints.iter().map(|endpoint| {
            let address = endpoint.address.to_string();
            (address, endpoint.health.snapshot(now))
        });
        known.filter(|(_, known)| !known.is_empty()).collect()
    }

    /// Takes over what another process knew of the health of the endpoints. Addresses that are not among them are skipped.
    pub fn restore_health(&self, known: &[(String, HealthSnapshot)], now: Instant) {
        for endpoint in self.endpoints().iter() {
            let address = endpoint.address.to_string();
            if let Some((_, known)) = known.iter().find(|(known, _)| *known == address) {
                endpoint.health.restore(known, now);
            }
        }
        self.touch();
    }

    /// Takes over what `before`, the same service under another config, knows of the health of the endpoints: a change of a
    /// timeout makes no dead server live.
    pub fn inherit_health(&self, before: &Self, now: Instant) {
        let known = before.health_snapshot(now);
        for endpoint in self.endpoints().iter() {
            let address = endpoint.address.to_string();
            let found = known.iter().find(|(known, _)| *known == address);
            if let Some((_, known)) = found {
                let mut known = known.clone();
                // Without checks, nothing would ever change the verdict of the last one.
                known.verdict = known.verdict.filter(|_| self.service.health.is_some());
                // The ejection after a failed connection is short, and a changed service gets a fresh try.
                if self.service.eject.is_none() {
                    (known.ejections, known.ejected_for) = (0, None);
                }
                endpoint.health.inherit(&known, now);
            }
        }
        self.touch();
    }
}
