//! What the data plane counts.
//!
//! Each worker counts in cells of its own, which nobody else writes: a request costs a few plain stores. A cell
//! is announced once, when it comes into being, through a queue that never blocks; whoever reads sums the cells
//! of all workers, on the reader's own time. No label comes from a request: there is a series for each route and
//! each service that it can lead to, and no other.

pub mod ending;
pub mod histogram;
mod recorder;
mod statuses;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use waypost_policy::failure::REASONS;
use waypost_upstream::counters::{Counter, ServiceCounters};

use crate::generation::Generation;
use crate::observe::metrics::ending::Ending;
use crate::observe::metrics::histogram::{Durations, Histograms, Part};
pub(crate) use crate::observe::metrics::recorder::{Recorder, RouteMeters, Side};
use crate::observe::metrics::statuses::Statuses;

/// Everything that is counted, for whoever wants to read it.
#[derive(Debug)]
pub struct Metrics {
    announced: Mutex<Announced>,
    workers: Vec<Arc<WorkerCounters>>,
    /// Where to tell each worker what is read no more.
    gone: Vec<Sender<Gone>>,
}

/// The names of a route and of a service that it leads to.
type RouteAndService = (Arc<str>, Arc<str>);

#[derive(Debug)]
struct Announced {
    inbox: Receiver<NewCounters>,
    /// The cells of each route and service, of all workers.
    requests: BTreeMap<RouteAndService, Vec<Arc<RouteCounters>>>,
    services: BTreeMap<Arc<str>, Vec<Arc<ServiceCounters>>>,
    /// The serial of the generation that is live.
    serial: u64,
    /// What came for requests of an earlier one, and may have ended with it.
    late: Vec<RouteAndService>,
}

/// Cells that have come into being.
#[derive(Debug)]
enum NewCounters {
    /// With the serial of the generation that they were needed in.
    Request(Arc<RouteCounters>, u64),
    Service(Arc<ServiceCounters>),
}

/// Cells that are read no more.
#[derive(Debug, Clone)]
enum Gone {
    Request(RouteAndService),
    Service(Arc<str>),
}

/// What one worker counts of the requests of one route that went to one service.
///
/// In front is what every request counts in, in as few lines of a cache as it goes.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct RouteCounters {
    statuses: Statuses,
    durations: Histograms,
    /// The route; empty for requests without one.
    route: Arc<str>,
    /// The service; empty for requests that none was picked for.
    service: Arc<str>,
    retired: AtomicBool,
    retries: Counter,
    mirrored: [Counter; Mirrored::ALL.len()],
}

/// What one worker counts as a whole.
#[derive(Debug)]
pub(crate) struct WorkerCounters {
    pub(crate) accepted: Counter,
    pub(crate) handshakes_failed: Counter,
    pub(crate) panics: Counter,
    /// Parallel to [`REASONS`].
    failures: [Counter; REASONS.len()],
}

impl Default for WorkerCounters {
    fn default() -> Self {
        Self {
            accepted: Counter::default(),
            handshakes_failed: Counter::default(),
            panics: Counter::default(),
            failures: std::array::from_fn(|_| Counter::default()),
        }
    }
}

/// What became of a copy of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirrored {
    /// The service answered it.
    Answered,
    /// The service could not be reached, or did not answer in time.
    Failed,
    /// There were too many copies under way.
    TooMany,
    /// The body is too long to be copied.
    TooLong,
    /// The request itself ended before its body did.
    Incomplete,
}

impl Mirrored {
    /// All of them, in the order of their cells.
    pub const ALL: [Self; 5] = [
        Self::Answered,
        Self::Failed,
        Self::TooMany,
        Self::TooLong,
        Self::Incomplete,
    ];

    /// The value of the label `outcome`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::TooMany => "dropped_too_many",
            Self::TooLong => "dropped_too_long",
            Self::Incomplete => "dropped_incomplete",
        }
    }
}

/// What was counted when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// By route and service, in order of their names.
    pub requests: Vec<RequestReading>,
    /// By service, in order of their names.
    pub services: Vec<ServiceReading>,
    /// Clients' connections that were accepted.
    pub accepted: u64,
    /// TLS handshakes with clients that came to nothing.
    pub handshakes_failed: u64,
    /// Faults of the gateway that ended a connection.
    pub panics: u64,
    /// Requests that the gateway answered with an error of its own, by reason; those that did not happen are left
    /// out.
    pub failures: Vec<(&'static str, u64)>,
}

/// What was counted of the requests of one route that went to one service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestReading {
    /// The route; empty for requests without one.
    pub route: Arc<str>,
    /// The service; empty for requests that none was picked for.
    pub service: Arc<str>,
    /// Answers by status, in order; 0 is a request that got none, as its client had left.
    pub statuses: Vec<(u16, u64)>,
    /// From a request's first byte to the last of its answer.
    pub duration: Durations,
    /// The part of it that the service took.
    pub upstream: Durations,
    /// Further attempts at a service.
    pub retries: u64,
    /// Copies by what became of them, in the order of [`Mirrored::ALL`].
    pub mirrored: [u64; Mirrored::ALL.len()],
}

/// What was counted of the connections to one service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceReading {
    /// The service.
    pub service: Arc<str>,
    /// Connections that were opened.
    pub opened: u64,
    /// Times that an idle connection was used again.
    pub reused: u64,
    /// Connections that did not come about.
    pub failed: u64,
    /// Connections that were idle a moment ago.
    pub idle: u64,
}

impl RequestReading {
    /// How many requests there were.
    pub fn count(&self) -> u64 {
        self.statuses.iter().map(|(_, count)| count).sum()
    }

    fn add(&mut self, counters: &RouteCounters) {
        for (status, count) in counters.statuses.read() {
            match self.statuses.binary_search_by_key(&status, |(status, _)| *status) {
                Ok(at) => self.statuses[at].1 += count,
                Err(at) => self.statuses.insert(at, (status, count)),
            }
        }
        self.duration.add(&counters.durations.read(Part::Whole));
        self.upstream.add(&counters.durations.read(Part::Service));
        self.retries += counters.retries.read();
        for (sum, cell) in self.mirrored.iter_mut().zip(&counters.mirrored) {
            *sum += cell.read();
        }
    }
}

impl Metrics {
    /// Metrics for `workers` workers, with what each of them counts by.
    pub(crate) fn new(workers: usize) -> (Arc<Self>, Vec<Recorder>) {
        let (sender, inbox): (Sender<NewCounters>, _) = mpsc::channel();
        let (gone, recorders): (Vec<_>, Vec<Recorder>) = (0..workers)
            .map(|_| {
                let (gone, told) = mpsc::channel();
                (gone, Recorder::new(sender.clone(), told))
            })
            .unzip();
        let metrics = Self {
            announced: Mutex::new(Announced {
                inbox,
                requests: BTreeMap::new(),
                services: BTreeMap::new(),
                serial: 0,
                late: Vec::new(),
            }),
            workers: recorders.iter().map(Recorder::worker_counters).collect(),
            gone,
        };
        (Arc::new(metrics), recorders)
    }

    /// Reads everything.
    pub fn read(&self) -> Reading {
        // The cells are read without the lock, which nobody on the data path takes anyway.
        let (requests, services) = {
            let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
            announced.take_in();
            let requests: Vec<Vec<Arc<RouteCounters>>> = announced.requests.values().cloned().collect();
            let services: Vec<Vec<Arc<ServiceCounters>>> = announced.services.values().cloned().collect();
            (requests, services)
        };
        let requests = requests.iter().filter_map(|counters| {
            let first = counters.first()?;
            let mut reading = RequestReading {
                route: Arc::clone(&first.route),
                service: Arc::clone(&first.service),
                ..RequestReading::default()
            };
            counters.iter().for_each(|counters| reading.add(counters));
            Some(reading)
        });
        let services = services.iter().filter_map(|counters| {
            let sum = |what: fn(&ServiceCounters) -> &Counter| {
                counters.iter().map(|counters| what(counters).read()).sum()
            };
            Some(ServiceReading {
                service: Arc::clone(&counters.first()?.service),
                opened: sum(|counters| &counters.opened),
                reused: sum(|counters| &counters.reused),
                failed: sum(|counters| &counters.failed),
                idle: sum(|counters| &counters.idle),
            })
        });
        let failures = REASONS.iter().enumerate().map(|(at, reason)| {
            let count = self.workers.iter().map(|worker| worker.failures[at].read()).sum();
            (*reason, count)
        });
        Reading {
            requests: requests.collect(),
            services: services.collect(),
            accepted: self.workers.iter().map(|worker| worker.accepted.read()).sum(),
            handshakes_failed: self
                .workers
                .iter()
                .map(|worker| worker.handshakes_failed.read())
                .sum(),
            panics: self.workers.iter().map(|worker| worker.panics.read()).sum(),
            failures: failures.filter(|(_, count)| *count > 0).collect(),
        }
    }

    /// Lets go of what ends as `generation` has taken the place of another one.
    pub(crate) fn end(&self, ending: &Ending, generation: &Generation) {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        announced.take_in();
        announced.serial = generation.serial();
        let late = std::mem::take(&mut announced.late);
        let late = ending::not_in(generation.plan(), late);
        for key in ending.series.iter().cloned().chain(late) {
            if let Some(counters) = announced.requests.remove(&key) {
                self.retire(
                    counters.iter().map(|counters| &counters.retired),
                    &Gone::Request(key),
                );
            }
        }
        // Services are few, so all of them are looked at.
        let services = generation.plan().services().iter();
        let services: HashSet<&str> = services.map(|service| &*service.name).collect();
        announced.services.retain(|service, counters| {
            let stays = services.contains(&**service);
            if !stays {
                let gone = Gone::Service(Arc::clone(service));
                self.retire(counters.iter().map(|counters| &counters.retired), &gone);
            }
            stays
        });
    }

    /// Tells the workers that these cells are read no more.
    fn retire<'c>(&self, flags: impl Iterator<Item = &'c AtomicBool>, gone: &Gone) {
        for retired in flags {
            retired.store(true, Ordering::Relaxed);
        }
        for worker in &self.gone {
            // Nobody listens only when the worker has ended.
            let _ = worker.send(gone.clone());
        }
    }
}

impl Announced {
    /// Takes in the cells that have come into being.
    fn take_in(&mut self) {
        for counters in self.inbox.try_iter() {
            match counters {
                NewCounters::Request(counters, serial) => {
                    let key = (Arc::clone(&counters.route), Arc::clone(&counters.service));
                    if serial < self.serial {
                        self.late.push(key.clone());
                    }
                    self.requests.entry(key).or_default().push(counters);
                }
                NewCounters::Service(counters) => {
                    let key = Arc::clone(&counters.service);
                    self.services.entry(key).or_default().push(counters);
                }
            }
        }
    }
}
