//! The state of a service shared by all workers.

pub mod health;
pub mod names;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use hashbrown::HashSet;
use tokio::sync::{Notify, SetOnce};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use waypost_plan::balance::Balance;
use waypost_plan::service::Service;
use waypost_tls::client::ClientTls;

use crate::balance::standing::Standing;
use crate::balance::tables::Tables;
use crate::endpoint::Endpoint;
use crate::faults::FaultReports;
use crate::limits::ServiceLimits;
use crate::retry::budget::Budget;
use crate::service::health::{CheckCounters, Drain};
use crate::service::names::Found;

/// The endpoints of a service. The list is replaced when addresses change.
pub type Endpoints = Arc<Vec<Arc<Endpoint>>>;

/// Endpoints, with the tables that balance them by hash.
#[derive(Debug)]
pub(crate) struct Hashed {
    pub(crate) endpoints: Endpoints,
    tables: OnceLock<Tables>,
}

impl Hashed {
    fn new(endpoints: &Endpoints) -> Self {
        Self {
            endpoints: Arc::clone(endpoints),
            tables: OnceLock::new(),
        }
    }

    /// The tables. They are built at the first call, which takes a while.
    pub(crate) fn tables(&self) -> &Tables {
        self.tables.get_or_init(|| {
            let endpoints = self.endpoints.iter();
            let addressed =
                endpoints.map(|endpoint| (endpoint.address.to_string(), endpoint.healthy_candidate()));
            Tables::new(&addressed.collect::<Vec<_>>())
        })
    }
}

/// A service and its endpoints. The state survives reloads as long as the service's config is unchanged, and with it
/// the health, pools and tasks.
#[derive(Debug)]
pub struct ServiceState {
    service: Arc<Service>,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    /// The endpoints with their tables, where the service balances by hash.
    hashed: ArcSwapOption<Hashed>,
    /// The addresses that are known for each declared endpoint with a name.
    found: Mutex<Vec<Vec<Found>>>,
    /// Set when every name has been looked up once.
    looked_up: SetOnce<()>,
    /// Grows with each change that a worker's choice of endpoints depends on.
    version: AtomicU64,
    /// True while `endpoints` is not empty.
    has_endpoints: AtomicBool,
    /// TLS config for connections to the endpoints.
    tls: ArcSwapOption<ClientTls>,
    /// The task that re-resolves the endpoints' names.
    resolver: OnceLock<AbortHandle>,
    /// The task that follows its standing.
    follower: OnceLock<AbortHandle>,
    /// Notified of each change of the version.
    changes: Arc<Notify>,
    /// True once requests may come.
    is_live: AtomicBool,
    /// True in panic mode, as the control plane has noticed it.
    is_panic: AtomicBool,
    retired: AtomicBool,
    /// Reports of invalid responses.
    faults: FaultReports,
    /// The limits, if there are any.
    limits: Option<Box<ServiceLimits>>,
    /// The budget of retries.
    retries: Budget,
    /// Held by the worker that ejects an endpoint, so that not too many are ejected at a time.
    ejecting: Mutex<()>,
    checks: CheckCounters,
    drains: ArcSwap<Vec<Drain>>,
}

impl ServiceState {
    /// Creates the state of a service whose names are not resolved yet.
    pub fn new(service: Arc<Service>) -> Self {
        let found = vec![Vec::new(); service.endpoints.len()];
        let endpoints = Arc::new(names::endpoints(&service, &[], &found));
        let hashed = hashed(&service, &endpoints);
        let limits = ServiceLimits::new(&service.capacity);
        Self {
            service,
            found: Mutex::new(found),
            looked_up: SetOnce::new(),
            has_endpoints: AtomicBool::new(!endpoints.is_empty()),
            endpoints: ArcSwap::new(endpoints),
            hashed: ArcSwapOption::new(hashed),
            version: AtomicU64::new(0),
            tls: ArcSwapOption::empty(),
            resolver: OnceLock::new(),
            follower: OnceLock::new(),
            changes: Arc::default(),
            is_live: AtomicBool::new(false),
            is_panic: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            faults: FaultReports::new(Instant::now()),
            limits,
            retries: Budget::new(Instant::now()),
            ejecting: Mutex::default(),
            checks: CheckCounters::default(),
            drains: ArcSwap::default(),
        }
    }

    /// The service.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Reports of invalid responses.
    pub(crate) fn faults(&self) -> &FaultReports {
        &self.faults
    }

    /// The limits of requests and connections, if there are any.
    pub fn limits(&self) -> Option<&ServiceLimits> {
        self.limits.as_deref()
    }

    /// The budget of retries.
    pub(crate) fn retries(&self) -> &Budget {
        &self.retries
    }

    /// TLS config for connections to the endpoints. Without it, TLS connections fail.
    pub fn tls(&self) -> Option<Arc<ClientTls>> {
        self.tls.load_full()
    }

    /// Sets the TLS config for new connections.
    pub fn set_tls(&self, tls: Option<Arc<ClientTls>>) {
        self.tls.store(tls);
    }

    /// The current endpoints.
    pub fn endpoints(&self) -> Endpoints {
        self.endpoints.load_full()
    }

    /// The current endpoints with their tables, where the service balances by hash.
    pub(crate) fn hashed(&self) -> Option<Arc<Hashed>> {
        self.hashed.load_full()
    }

    /// Builds the parts that workers need, so that none of them has to. From now on, requests may come.
    pub fn prepare(&self) {
        self.is_live.store(true, Ordering::Relaxed);
        if let Some(hashed) = self.hashed() {
            hashed.tables();
        }
    }

    /// Replaces the endpoints.
    fn set_endpoints(&self, endpoints: Vec<Arc<Endpoint>>) {
        self.welcome(&self.endpoints(), &endpoints);
        let endpoints = Arc::new(endpoints);
        let hashed = hashed(&self.service, &endpoints);
        // Built here, on the control plane's runtime, rather than by a worker.
        if let Some(hashed) = &hashed
            && self.is_live.load(Ordering::Relaxed)
        {
            hashed.tables();
        }
        self.has_endpoints.store(!endpoints.is_empty(), Ordering::Relaxed);
        self.endpoints.store(endpoints);
        self.hashed.store(hashed);
        self.touch();
        self.checks.endpoints.notify_one();
    }

    /// The version of everything that a choice of endpoints depends on: which there are, and which are available. A view
    /// that was built at this version is current, but for what time alone changes
    /// ([`Health::changes_at`](crate::health::Health::changes_at)).
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Announces a change of endpoints or of their health, which has been made.
    pub fn touch(&self) {
        self.version.fetch_add(1, Ordering::Release);
        self.changes.notify_one();
    }

    /// Notified of each change of the version.
    pub(crate) fn changes(&self) -> &Arc<Notify> {
        &self.changes
    }

    /// The standing of its endpoints.
    pub fn standing(&self, now: Instant) -> Standing {
        let endpoints = self.endpoints.load();
        let candidates = endpoints
            .iter()
            .map(|endpoint| endpoint.candidate(endpoint.health.is_available(now)));
        Standing::of(candidates, self.service.panic)
    }

    /// The next time at which the standing changes by itself.
    pub(crate) fn changes_at(&self, now: Instant) -> Option<Instant> {
        let endpoints = self.endpoints.load();
        endpoints
            .iter()
            .filter_map(|endpoint| endpoint.health.changes_at(now))
            .min()
    }

    /// Returns true in panic mode: all endpoints are used, as too few of them are available.
    pub fn is_panic(&self) -> bool {
        self.is_panic.load(Ordering::Relaxed)
    }

    /// Notes the mode. Returns the one before.
    pub(crate) fn set_panic(&self, is_panic: bool) -> bool {
        self.is_panic.swap(is_panic, Ordering::Relaxed)
    }

    /// Prepares the endpoints among `now` that were not among `before`.
    fn welcome(&self, before: &[Arc<Endpoint>], now: &[Arc<Endpoint>]) {
        let at = Instant::now();
        let known: HashSet<*const Endpoint> = before.iter().map(Arc::as_ptr).collect();
        for endpoint in now
            .iter()
            .filter(|endpoint| !known.contains(&Arc::as_ptr(endpoint)))
        {
            // The first addresses of a name are no newcomers.
            if self.looked_up.initialized() {
                endpoint.health.set_new(at);
            }
            endpoint.health.set_drained(self.is_drained(endpoint), at);
        }
    }

    /// Returns true if the service has an endpoint.
    pub fn has_endpoints(&self) -> bool {
        self.has_endpoints.load(Ordering::Relaxed)
    }

    /// Keeps the handle of the task that follows its standing, made by `start` unless it runs already. It is aborted when
    /// the service is retired.
    pub(crate) fn follow_by(&self, start: impl FnOnce() -> AbortHandle) {
        self.follower.get_or_init(start);
    }

    /// Retires the service, which no generation refers to, and stops its tasks.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        self.checks.endpoints.notify_one();
        for task in [&self.resolver, &self.follower]
            .into_iter()
            .filter_map(OnceLock::get)
        {
            task.abort();
        }
    }

    /// Returns true if the service is retired.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }
}

/// The endpoints with their tables, if the service balances by hash.
fn hashed(service: &Service, endpoints: &Endpoints) -> Option<Arc<Hashed>> {
    match service.balance {
        Balance::Hash(_) => Some(Arc::new(Hashed::new(endpoints))),
        Balance::RoundRobin | Balance::LeastRequest | Balance::Random => None,
    }
}

impl Drop for ServiceState {
    fn drop(&mut self) {
        // A service that never went live is not retired.
        self.retire();
    }
}
