//! The measurement of one request, from its first byte to the last of its response.

use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;
use waypost_policy::status::RequestStatus;
use waypost_transport::clock::Clock;

use crate::local::Worker;
use crate::local::snapshot::Snapshot;
use crate::observe::metrics::{RouteCounters, Side};

/// The measurement of a request whose status is not known yet.
pub(crate) struct Meter {
    snapshot: Rc<Snapshot>,
    started: Instant,
    /// The route, by position; `None` while there is none.
    route: Option<usize>,
    side: Side,
}

impl Meter {
    /// Starts to measure a request.
    pub(crate) fn start(snapshot: Rc<Snapshot>, clock: &Clock) -> Self {
        Self {
            snapshot,
            started: clock.now(),
            route: None,
            side: Side::Gateway,
        }
    }

    /// Sets the route, by position.
    pub(crate) fn set_route(&mut self, route: usize) {
        self.snapshot.meters.of(route).prefetch();
        self.route = Some(route);
    }

    /// Sets the arm, by position. `is_forced` is true if the request chose it by `force`.
    pub(crate) fn set_arm(&mut self, arm: usize, is_forced: bool) {
        self.side = match is_forced {
            true => Side::Forced(arm),
            false => Side::Arm(arm),
        };
    }

    /// Counts the request, before the last byte of its response leaves. `sent` is when the service got the
    /// request.
    pub(crate) fn count(self, worker: &Worker, status: RequestStatus, sent: Option<Instant>) {
        let now = worker.clock().now();
        let upstream = sent.map(|sent| now.saturating_duration_since(sent));
        self.with_counters(worker, |counters| {
            counters.count(status, now.saturating_duration_since(self.started), upstream);
        });
    }

    /// Counts further attempts at the service.
    pub(crate) fn count_retries(&self, worker: &Worker, times: u32) {
        self.with_counters(worker, |counters| counters.count_retries(times));
    }

    fn with_counters(&self, worker: &Worker, count: impl FnOnce(&Arc<RouteCounters>)) {
        match self.route {
            Some(route) => worker.with_counters(&self.snapshot, route, self.side, count),
            None => count(worker.recorder().without_route()),
        }
    }
}
