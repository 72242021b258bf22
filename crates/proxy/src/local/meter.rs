//! The measurement of one request, from its first byte to the last of its response.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use waypost_policy::status::RequestStatus;
use waypost_transport::clock::Clock;

use crate::local::Worker;
use crate::local::snapshot::Snapshot;
use crate::observe::metrics::watch::GROUPS;
use crate::observe::metrics::{RouteCounters, Side};

/// The measurement of a request whose status is not known yet.
pub(crate) struct Meter {
    snapshot: Rc<Snapshot>,
    started: Instant,
    /// The route, by position; `None` while there is none.
    route: Option<usize>,
    side: Side,
    /// The group of the client.
    group: u8,
}

impl Meter {
    /// Starts to measure a request.
    pub(crate) fn start(snapshot: Rc<Snapshot>, clock: &Clock) -> Self {
        Self {
            snapshot,
            started: clock.now(),
            route: None,
            side: Side::Gateway,
            group: 0,
        }
    }

    /// The start of the request.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The arm that was picked, by position.
    pub(crate) fn picked(&self) -> Option<usize> {
        match self.side {
            Side::Arm(arm) | Side::Apart(arm) => Some(arm),
            Side::Mirror | Side::Gateway => None,
        }
    }

    /// Sets the route, by position.
    pub(crate) fn set_route(&mut self, route: usize) {
        self.snapshot.meters.of(route).prefetch();
        self.route = Some(route);
    }

    /// Sets the arm, by position, and the roll that picked it; `None` if the request chose it by `force`.
    pub(crate) fn set_arm(&mut self, arm: usize, roll: Option<u64>) {
        match roll {
            Some(roll) => {
                self.side = Side::Arm(arm);
                self.group = (roll % GROUPS as u64) as u8;
            }
            None => self.side = Side::Apart(arm),
        }
    }

    /// Notes that the request does not tell how good its arm is.
    pub(crate) fn set_apart(&mut self) {
        let Some((route, arm)) = self.arm() else { return };
        let forward = self.snapshot.generation.plan().routes()[route].forward();
        // A single arm is compared with none.
        if forward.is_some_and(|forward| forward.arms.len() > 1) {
            self.side = Side::Apart(arm);
        }
    }

    /// The time after which the request counts as failed if no response has begun, if a rollout says so.
    pub(crate) fn late_after(&self, worker: &Worker) -> Option<Duration> {
        self.arm()?;
        self.with_counters(worker, |counters| counters.watched()?.late_after())
    }

    /// Counts the request as failed before it has ended. Whatever comes of it is not compared.
    pub(crate) fn count_late(&mut self, worker: &Worker) {
        let Some((_, arm)) = self.arm() else { return };
        self.with_counters(worker, |counters| {
            if let Some(watched) = counters.watched() {
                watched.count_late(self.group);
            }
        });
        self.side = Side::Apart(arm);
    }

    /// Route and arm, if the request tells how good the arm is.
    fn arm(&self) -> Option<(usize, usize)> {
        match self.side {
            Side::Arm(arm) => Some((self.route?, arm)),
            Side::Mirror | Side::Gateway | Side::Apart(_) => None,
        }
    }

    /// Counts the request, before the last byte of its response leaves. `sent` is when the service got the
    /// request.
    pub(crate) fn count(self, worker: &Worker, status: RequestStatus, sent: Option<Instant>) {
        let now = worker.clock().now();
        let upstream = sent.map(|sent| now.saturating_duration_since(sent));
        self.with_counters(worker, |counters| {
            counters.count(status, now.saturating_duration_since(self.started), upstream);
            if let Some(watched) = counters.watched() {
                watched.count(self.group, status, upstream);
            }
        });
    }

    /// Counts the request among those that a rule refused.
    pub(crate) fn count_refused(&self, worker: &Worker) {
        self.with_counters(worker, |counters| counters.count_refused());
    }

    /// Counts further attempts at the service.
    pub(crate) fn count_retries(&self, worker: &Worker, times: u32) {
        self.with_counters(worker, |counters| counters.count_retries(times));
    }

    fn with_counters<T>(&self, worker: &Worker, count: impl FnOnce(&Arc<RouteCounters>) -> T) -> T {
        match self.route {
            Some(route) => worker.with_counters(&self.snapshot, route, self.side, count),
            None => count(worker.recorder().without_route()),
        }
    }
}
