//! Counters of authentication, for each route that asks who sends a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use waypost_plan::auth::WayKind;
use waypost_policy::auth::AuthResult;
use waypost_upstream::counters::Counter;

/// The number of kinds of ways, and of none.
const WAYS: usize = WayKind::ALL.len() + 1;

/// One worker's counters of the authentications of one route.
#[derive(Debug, Default)]
pub(crate) struct AuthCounters {
    route: Arc<str>,
    /// By kind of way, the last for none, and result.
    counts: [[Counter; AuthResult::ALL.len()]; WAYS],
    retired: AtomicBool,
}

/// A snapshot of the authentications of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthReading {
    /// The route.
    pub route: Arc<str>,
    /// The counts of way and result that are not 0; no way decided where the request carried no credentials.
    pub counts: Vec<(Option<WayKind>, AuthResult, u64)>,
}

impl AuthCounters {
    pub(super) fn of(route: &Arc<str>) -> Self {
        Self {
            route: Arc::clone(route),
            ..Self::default()
        }
    }

    pub(super) fn route(&self) -> &Arc<str> {
        &self.route
    }

    pub(super) fn retired(&self) -> &AtomicBool {
        &self.retired
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, way: Option<WayKind>, result: AuthResult) {
        let way = way.map_or(WAYS - 1, |way| way as usize);
        self.counts[way][result as usize].add(1);
    }
}

impl AuthReading {
    /// The sums of the counters of all workers.
    pub(super) fn of(counters: &[Arc<AuthCounters>]) -> Option<Self> {
        let ways = WayKind::ALL.into_iter().map(Some).chain([None]).enumerate();
        let all = ways.flat_map(|(at, way)| {
            AuthResult::ALL.into_iter().map(move |result| {
                let of_worker = |counters: &Arc<AuthCounters>| counters.counts[at][result as usize].read();
                (way, result, counters.iter().map(of_worker).sum::<u64>())
            })
        });
        Some(Self {
            route: Arc::clone(&counters.first()?.route),
            counts: all.filter(|(_, _, count)| *count > 0).collect(),
        })
    }
}
