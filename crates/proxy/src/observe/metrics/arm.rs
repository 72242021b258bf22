//! The arms of routes, as rollouts read them once a second.

use std::sync::{Arc, PoisonError};

use waypost_policy::status::RequestStatus;

use crate::observe::metrics::histogram::{BUCKETS, Part};
use crate::observe::metrics::watch::{GROUPS, GroupReading, Wanted, WatchCounts, Watching};
use crate::observe::metrics::{Metrics, RouteAndService, RouteCounters};

/// A reader of one arm: of the requests that tell how good it is. It remembers where their counters are.
#[derive(Debug)]
pub struct ArmReader {
    arm: RouteAndService,
    /// The changes of all counters that it has seen.
    seen: u64,
    counters: Vec<Arc<RouteCounters>>,
    watching: Option<Watching>,
}

/// A snapshot of the requests of an arm that tell how good it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmReading {
    /// Requests by status.
    pub statuses: Vec<(RequestStatus, u64)>,
    /// The service's part of the duration, by bucket.
    pub latencies: Box<[u64; BUCKETS]>,
    /// Requests that failed because no response had begun in time; they are not in `statuses`.
    pub late: u64,
    /// Further attempts at the service.
    pub retries: u64,
    /// By group of clients, if that was asked for.
    pub groups: Option<Box<[GroupReading; GROUPS]>>,
}

impl Default for ArmReading {
    fn default() -> Self {
        Self {
            statuses: Vec::new(),
            latencies: Box::new([0; BUCKETS]),
            late: 0,
            retries: 0,
            groups: None,
        }
    }
}

impl ArmReader {
    /// A reader of the requests of a route to a service.
    pub fn new(route: &str, service: &str) -> Self {
        Self {
            arm: (route.into(), service.into()),
            seen: u64::MAX,
            counters: Vec::new(),
            watching: None,
        }
    }

    /// Returns true if this is the arm that it reads.
    pub fn is_of(&self, route: &str, service: &str) -> bool {
        *self.arm.0 == *route && *self.arm.1 == *service
    }

    /// Asks for more than the metrics have, or no longer.
    pub fn ask(&mut self, metrics: &Metrics, asked: Option<&Wanted>) {
        let Some(asked) = asked else {
            self.watching = None;
            return;
        };
        let watching = self.watching.get_or_insert_with(|| {
            // All counters are looked at again.
            self.seen = u64::MAX;
            Watching::new(metrics.watches.of(&self.arm))
        });
        watching.ask(asked);
    }

    /// Reads the counters into `reading`.
    pub fn read(&mut self, metrics: &Metrics, reading: &mut ArmReading) {
        self.find(metrics);
        reading.statuses.clear();
        reading.latencies.fill(0);
        (reading.late, reading.retries) = (0, 0);
        let mut groups = reading.groups.take().unwrap_or_default();
        *groups = [GroupReading::default(); GROUPS];
        for counters in &self.counters {
            counters.statuses.visit(|status, count| {
                let known = reading.statuses.iter_mut().find(|(known, _)| *known == status);
                match known {
                    Some((_, sum)) => *sum += count,
                    None => reading.statuses.push((status, count)),
                }
            });
            counters.durations.add_to(Part::Service, &mut reading.latencies);
            reading.retries += counters.retries.read();
            if let Some(watched) = counters.watched.get() {
                reading.late += watched.late();
                watched.add_groups_to(&mut groups);
            }
        }
        reading.groups = self.watching.is_some().then_some(groups);
    }

    /// Looks for the counters again if there are other ones now.
    fn find(&mut self, metrics: &Metrics) {
        let mut announced = metrics.announced.lock().unwrap_or_else(PoisonError::into_inner);
        announced.take_in();
        if announced.changes == self.seen {
            return;
        }
        self.seen = announced.changes;
        self.counters.clear();
        let counters = announced.requests.get(&self.arm).into_iter().flatten();
        let compared = counters.filter(|counters| !counters.is_apart);
        self.counters.extend(compared.map(Arc::clone));
        drop(announced);
        let Some(watching) = &mut self.watching else {
            return;
        };
        let watch = metrics.watches.of(&self.arm);
        if !watching.is_of(&watch) {
            // The arm was gone for a while. What is asked is said anew with the next reading.
            *watching = Watching::new(watch);
        }
        for counters in &self.counters {
            counters
                .watched
                .get_or_init(|| Box::new(WatchCounts::new(Arc::clone(watching.watch()))));
        }
    }
}
