//! The measuring of one request, from its first byte to the last of its answer.

use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::metrics::{RequestCells, Side};
use crate::worker::{Snapshot, Worker};

/// What a request is counted by, once its status is known.
pub(crate) struct Meter {
    snapshot: Rc<Snapshot>,
    started: Instant,
    /// The route, by position; `None` while there is none.
    route: Option<usize>,
    side: Side,
}

impl Meter {
    /// For a request that begins now.
    pub(crate) fn start(snapshot: Rc<Snapshot>, clock: &Clock) -> Self {
        Self {
            snapshot,
            started: clock.now(),
            route: None,
            side: Side::Gateway,
        }
    }

    /// Notes the route, by position.
    pub(crate) fn has_route(&mut self, route: usize) {
        self.snapshot.meters.of(route).look_ahead();
        self.route = Some(route);
    }

    /// Notes the arm, by position.
    pub(crate) fn has_arm(&mut self, arm: usize) {
        self.side = Side::Arm(arm);
    }

    /// Counts the request, before the last byte of its answer leaves; `status` 0 is no answer. `asked` is when the
    /// service got it.
    pub(crate) fn count(self, worker: &Worker, status: u16, asked: Option<Instant>) {
        let now = worker.clock().now();
        let upstream = asked.map(|asked| now.saturating_duration_since(asked));
        self.with_cells(worker, |cells| {
            cells.answered(status, now.saturating_duration_since(self.started), upstream);
        });
    }

    /// Counts further attempts at the service.
    pub(crate) fn retried(&self, worker: &Worker, times: u32) {
        self.with_cells(worker, |cells| cells.retried(times));
    }

    fn with_cells(&self, worker: &Worker, count: impl FnOnce(&Arc<RequestCells>)) {
        match self.route {
            Some(route) => worker.with_cells(&self.snapshot, route, self.side, count),
            None => count(worker.recorder().without_route()),
        }
    }
}
