//! Metrics of the data plane.
//!
//! Each worker has counters of its own, which no other thread writes: a request costs a few plain stores. New counters
//! are announced once, through a queue that never blocks; a reader sums the counters of all workers on its own thread.
//! No label comes from a request: there is a series for each route and each service that it can use, and no other.

pub mod arm;
pub mod auth;
pub mod ending;
mod recorder;
mod statuses;
pub mod sweep;
#[cfg(test)]
pub(crate) mod testing;
pub mod watch;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use waypost_policy::failure::REASONS;
use waypost_policy::status::RequestStatus;
use waypost_upstream::counters::{Counter, ServiceCounters};
use waypost_upstream::histogram::{Durations, Histograms};
use waypost_wire::response::fault::ResponseRule;

use crate::challenges::ChallengeType;
use crate::generation::Generation;
use crate::observe::metrics::auth::{AuthCounters, AuthReading};
use crate::observe::metrics::ending::Ending;
pub(crate) use crate::observe::metrics::recorder::{Recorder, RouteMeters, Side};
use crate::observe::metrics::statuses::Statuses;
use crate::observe::metrics::sweep::SweptTotals;
use crate::observe::metrics::watch::{WatchCounts, Watches};

/// The reader's side of the metrics.
#[derive(Debug)]
pub struct Metrics {
    announced: Mutex<Announced>,
    workers: Vec<Arc<WorkerCounters>>,
    /// Tells each worker which counters are retired.
    gone: Vec<Sender<Gone>>,
    watches: Arc<Watches>,
}

/// The names of a route and of one of its services.
type RouteAndService = (Arc<str>, Arc<str>);

#[derive(Debug)]
struct Announced {
    inbox: Receiver<NewCounters>,
    /// The counters of each route and service, of all workers.
    requests: BTreeMap<RouteAndService, Series>,
    services: BTreeMap<Arc<str>, Vec<Arc<ServiceCounters>>>,
    /// The counters of authentication of each route, of all workers.
    auth: BTreeMap<Arc<str>, Vec<Arc<AuthCounters>>>,
    /// The number of series so far.
    numbers: u64,
    /// The number of times that `requests` has changed.
    changes: u64,
    /// The serial of the live generation.
    serial: u64,
    /// Series announced by requests of an earlier generation; they may have ended with it.
    late: Vec<RouteAndService>,
}

/// The counters of one route and service, of all workers.
#[derive(Debug)]
struct Series {
    /// A number that no other series has or had.
    number: u64,
    counters: Vec<Arc<RouteCounters>>,
    swept: SweptTotals,
    /// True if a sweep found requests that [`Metrics::changed`] has not told of.
    is_changed: bool,
}

/// New counters.
#[derive(Debug)]
enum NewCounters {
    /// With the serial of the generation that needed them.
    Request(Arc<RouteCounters>, u64),
    Service(Arc<ServiceCounters>),
    Auth(Arc<AuthCounters>),
}

/// Retired counters, which are no longer read.
#[derive(Debug, Clone)]
enum Gone {
    Request(RouteAndService),
    Service(Arc<str>),
    Auth(Arc<str>),
}

/// One worker's counters of the requests of one route to one service.
///
/// The fields that every request updates come first, in as few cache lines as possible.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct RouteCounters {
    statuses: Statuses,
    /// Counters for a rollout, if one asks for more than the metrics have.
    watched: OnceLock<Box<WatchCounts>>,
    durations: Histograms<{ Part::ALL }>,
    /// The route; empty for requests without one.
    route: Arc<str>,
    /// The service; empty for requests that none was picked for.
    service: Arc<str>,
    retired: AtomicBool,
    /// True for requests that do not tell how good their arm is.
    is_apart: bool,
    retries: Counter,
    refused: Counter,
    limited: Counter,
    mirrored: [Counter; Mirrored::ALL.len()],
}

/// A part of a request whose duration is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The whole request.
    Whole,
    /// The service's part.
    Service,
}

impl Part {
    /// The number of parts.
    pub(crate) const ALL: usize = 2;
}

/// One worker's counters that are not by route or service.
#[derive(Debug)]
pub(crate) struct WorkerCounters {
    pub(crate) accepted: Counter,
    pub(crate) handshakes_failed: Counter,
    pub(crate) proxy_headers: ProxyHeaderCounters,
    pub(crate) challenges: ChallengeCounters,
    pub(crate) panics: Counter,
    /// Parallel to [`REASONS`].
    failures: [Counter; REASONS.len()],
}

impl Default for WorkerCounters {
    fn default() -> Self {
        Self {
            accepted: Counter::default(),
            handshakes_failed: Counter::default(),
            proxy_headers: ProxyHeaderCounters::default(),
            challenges: ChallengeCounters::default(),
            panics: Counter::default(),
            failures: std::array::from_fn(|_| Counter::default()),
        }
    }
}

/// The reason that a client connection is closed for its PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeaderFault {
    /// There is none, or it did not come in time.
    Missing,
    /// It cannot be parsed.
    Malformed,
    /// The peer is not a trusted proxy.
    Untrusted,
}

/// Counters of connections that were closed for their PROXY header, by fault.
#[derive(Debug, Default)]
pub(crate) struct ProxyHeaderCounters([Counter; ProxyHeaderFault::ALL.len()]);

impl ProxyHeaderFault {
    /// All faults, in the order of their counters.
    pub const ALL: [Self; 3] = [Self::Missing, Self::Malformed, Self::Untrusted];

    /// The value of the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Untrusted => "untrusted",
        }
    }
}

impl ProxyHeaderCounters {
    pub(crate) fn count(&self, fault: ProxyHeaderFault) {
        self.0[fault as usize].add(1);
    }
}

/// Counters of answered challenges, by type.
#[derive(Debug, Default)]
pub(crate) struct ChallengeCounters([Counter; ChallengeType::ALL.len()]);

impl ChallengeCounters {
    pub(crate) fn count(&self, of: ChallengeType) {
        self.0[of as usize].add(1);
    }
}

/// The outcome of a mirrored request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirrored {
    /// The service responded.
    Responded,
    /// The service could not be reached, or did not respond in time.
    Failed,
    /// Too many copies were in flight, or the service had as many requests or connections as it may have.
    TooMany,
    /// The body was too long to be copied.
    TooLong,
    /// The request itself ended before its body did.
    Incomplete,
}

impl Mirrored {
    /// All outcomes, in the order of their counters.
    pub const ALL: [Self; 5] = [
        Self::Responded,
        Self::Failed,
        Self::TooMany,
        Self::TooLong,
        Self::Incomplete,
    ];

    /// The value of the label `outcome`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Responded => "responded",
            Self::Failed => "failed",
            Self::TooMany => "dropped_too_many",
            Self::TooLong => "dropped_too_long",
            Self::Incomplete => "dropped_incomplete",
        }
    }
}

/// A snapshot of all metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// By route and service, in order of their names.
    pub requests: Vec<RequestReading>,
    /// By service, in order of their names.
    pub services: Vec<ServiceReading>,
    /// Accepted client connections.
    pub accepted: u64,
    /// Failed or timed-out client TLS handshakes.
    pub handshakes_failed: u64,
    /// Connections that were closed for their PROXY header, in the order of [`ProxyHeaderFault::ALL`].
    pub proxy_headers: [u64; ProxyHeaderFault::ALL.len()],
    /// Challenges of authorities that were answered, in the order of [`ChallengeType::ALL`].
    pub challenges: [u64; ChallengeType::ALL.len()],
    /// Panics of the gateway that ended a connection.
    pub panics: u64,
    /// Error responses of the gateway, by reason; reasons that did not occur are left out.
    pub failures: Vec<(&'static str, u64)>,
    /// Authentications by route, in order of their names.
    pub auth: Vec<AuthReading>,
}

/// A snapshot of the requests of one route to one service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestReading {
    /// The route; empty for requests without one.
    pub route: Arc<str>,
    /// The service; empty for requests that none was picked for.
    pub service: Arc<str>,
    /// Requests by status, in order.
    pub statuses: Vec<(RequestStatus, u64)>,
    /// From the first byte of a request to the last of its response.
    pub duration: Durations,
    /// The service's part of the duration.
    pub upstream: Durations,
    /// Further attempts at a service.
    pub retries: u64,
    /// Requests that a rule refused, without a failure of anything.
    pub refused: u64,
    /// Requests over a rate limit, refused or only reported.
    pub limited: u64,
    /// Mirrored requests by outcome, in the order of [`Mirrored::ALL`].
    pub mirrored: [u64; Mirrored::ALL.len()],
}

/// A snapshot of the connections to one service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceReading {
    /// The service.
    pub service: Arc<str>,
    /// Opened connections.
    pub opened: u64,
    /// Reuses of an idle connection.
    pub reused: u64,
    /// Failed attempts to connect.
    pub failed: u64,
    /// Retries that the budget denied.
    pub denied: u64,
    /// Idle connections.
    pub idle: u64,
    /// Requests refused as there were as many as the service may have.
    pub request_limit: u64,
    /// Requests refused as there were as many connections as the service may have.
    pub connection_limit: u64,
    /// Invalid responses by the rule that they broke; rules that none broke are left out.
    pub faults: Vec<(ResponseRule, u64)>,
}

impl RequestReading {
    /// The number of requests.
    pub fn count(&self) -> u64 {
        self.statuses.iter().map(|(_, count)| count).sum()
    }

    /// The number of requests that failed.
    pub fn failed(&self) -> u64 {
        let failed = self.statuses.iter().filter(|(status, _)| status.has_failed());
        failed.map(|(_, count)| count).sum()
    }

    fn add(&mut self, counters: &RouteCounters) {
        self.add_compared(counters);
        self.upstream
            .add(&counters.durations.read(Part::Service as usize));
        self.retries += counters.retries.read();
        self.limited += counters.limited.read();
        for (sum, cell) in self.mirrored.iter_mut().zip(&counters.mirrored) {
            *sum += cell.read();
        }
    }

    /// Adds what statistics compare: statuses, refusals and durations.
    fn add_compared(&mut self, counters: &RouteCounters) {
        counters.statuses.visit(|status, count| {
            match self.statuses.binary_search_by_key(&status, |(status, _)| *status) {
                Ok(at) => self.statuses[at].1 += count,
                Err(at) => self.statuses.insert(at, (status, count)),
            }
        });
        self.duration.add(&counters.durations.read(Part::Whole as usize));
        self.refused += counters.refused.read();
    }
}

impl Series {
    fn new(number: u64) -> Self {
        Self {
            number,
            counters: Vec::new(),
            swept: SweptTotals::default(),
            is_changed: false,
        }
    }
}

impl Metrics {
    /// Metrics for `workers` workers, and the recorder of each.
    pub(crate) fn new(workers: usize) -> (Arc<Self>, Vec<Recorder>) {
        let (sender, inbox): (Sender<NewCounters>, _) = mpsc::channel();
        let watches = Arc::<Watches>::default();
        let (gone, recorders): (Vec<_>, Vec<Recorder>) = (0..workers)
            .map(|_| {
                let (retire, retired) = mpsc::channel();
                (
                    retire,
                    Recorder::new(sender.clone(), retired, Arc::clone(&watches)),
                )
            })
            .unzip();
        let metrics = Self {
            announced: Mutex::new(Announced {
                inbox,
                requests: BTreeMap::new(),
                services: BTreeMap::new(),
                auth: BTreeMap::new(),
                numbers: 0,
                changes: 0,
                serial: 0,
                late: Vec::new(),
            }),
            workers: recorders.iter().map(Recorder::worker_counters).collect(),
            gone,
            watches,
        };
        (Arc::new(metrics), recorders)
    }

    /// Reads everything.
    pub fn read(&self) -> Reading {
        // The counters are read without the lock, which is never taken on the data path.
        let (requests, services, auth) = {
            let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
            announced.take_in();
            let requests = announced.requests.values();
            let requests: Vec<Vec<Arc<RouteCounters>>> =
                requests.map(|series| series.counters.clone()).collect();
            let services: Vec<Vec<Arc<ServiceCounters>>> = announced.services.values().cloned().collect();
            let auth: Vec<Vec<Arc<AuthCounters>>> = announced.auth.values().cloned().collect();
            (requests, services, auth)
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
                denied: sum(|counters| &counters.denied),
                idle: sum(|counters| &counters.idle),
                request_limit: sum(|counters| &counters.request_limit),
                connection_limit: sum(|counters| &counters.connection_limit),
                faults: faults(counters),
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
            proxy_headers: ProxyHeaderFault::ALL.map(|fault| {
                let counters = self.workers.iter().map(|worker| &worker.proxy_headers);
                counters.map(|counters| counters.0[fault as usize].read()).sum()
            }),
            challenges: ChallengeType::ALL.map(|of| {
                let counters = self.workers.iter().map(|worker| &worker.challenges);
                counters.map(|counters| counters.0[of as usize].read()).sum()
            }),
            panics: self.workers.iter().map(|worker| worker.panics.read()).sum(),
            failures: failures.filter(|(_, count)| *count > 0).collect(),
            auth: auth
                .iter()
                .filter_map(|counters| AuthReading::of(counters))
                .collect(),
        }
    }

    /// Drops the series that end now that `generation` is live.
    pub(crate) fn end(&self, ending: &Ending, generation: &Generation) {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        announced.take_in();
        announced.serial = generation.serial();
        let late = std::mem::take(&mut announced.late);
        let late = ending::not_in(generation.plan(), late);
        for key in ending.series.iter().cloned().chain(late) {
            if let Some(Series { counters, .. }) = announced.requests.remove(&key) {
                announced.changes += 1;
                self.watches.forget(&key);
                self.retire(
                    counters.iter().map(|counters| &counters.retired),
                    &Gone::Request(key),
                );
            }
        }
        // Services are few: check all of them.
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
        if announced.auth.is_empty() {
            return;
        }
        let routes = generation.plan().routes().iter();
        let routes: HashSet<&str> = routes.map(|route| &*route.matching.name).collect();
        announced.auth.retain(|route, counters| {
            let stays = routes.contains(&**route);
            if !stays {
                let gone = Gone::Auth(Arc::clone(route));
                self.retire(counters.iter().map(|counters| counters.retired()), &gone);
            }
            stays
        });
    }

    /// Marks counters as retired and tells the workers.
    fn retire<'c>(&self, flags: impl Iterator<Item = &'c AtomicBool>, gone: &Gone) {
        for retired in flags {
            retired.store(true, Ordering::Relaxed);
        }
        for worker in &self.gone {
            // Fails only if the worker has ended.
            let _ = worker.send(gone.clone());
        }
    }
}

/// The invalid responses that these counters have together.
fn faults(counters: &[Arc<ServiceCounters>]) -> Vec<(ResponseRule, u64)> {
    let mut sums = vec![0; ResponseRule::ALL.len()];
    for (rule, count) in counters.iter().flat_map(|counters| counters.faults.read()) {
        sums[rule as usize] += count;
    }
    let all = ResponseRule::ALL.iter().copied().zip(sums);
    all.filter(|(_, count)| *count > 0).collect()
}

impl Announced {
    /// Adds newly announced counters.
    fn take_in(&mut self) {
        for counters in self.inbox.try_iter() {
            match counters {
                NewCounters::Request(counters, serial) => {
                    let key = (Arc::clone(&counters.route), Arc::clone(&counters.service));
                    if serial < self.serial {
                        self.late.push(key.clone());
                    }
                    let numbers = &mut self.numbers;
                    let series = self.requests.entry(key).or_insert_with(|| {
                        *numbers += 1;
                        Series::new(*numbers)
                    });
                    series.counters.push(counters);
                    self.changes += 1;
                }
                NewCounters::Service(counters) => {
                    let key = Arc::clone(&counters.service);
                    self.services.entry(key).or_default().push(counters);
                }
                NewCounters::Auth(counters) => {
                    let key = Arc::clone(counters.route());
                    self.auth.entry(key).or_default().push(counters);
                }
            }
        }
    }
}
