//! The state of a service shared by all workers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use hashbrown::{HashMap, HashSet};
use tokio::sync::{Notify, SetOnce};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use waypost_plan::balance::Balance;
use waypost_plan::health::Ejection;
use waypost_plan::service::{Endpoint as Declared, EndpointHost, Service};
use waypost_tls::client::ClientTls;

use crate::address::Address;
use crate::balance::standing::Standing;
use crate::balance::tables::Tables;
use crate::endpoint::Endpoint;
use crate::faults::FaultReports;
use crate::health::snapshot::HealthSnapshot;
use crate::health::{EndpointState, HealthChange, Outcome, Status};
use crate::limits::ServiceLimits;
use crate::retry::budget::Budget;

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

/// A declared endpoint with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedEndpoint {
    /// Its index in the service.
    pub declared: usize,
    /// The name as configured.
    pub host: Arc<str>,
    /// The port; SRV records have their own.
    pub port: u16,
    /// True for a name with SRV records.
    pub is_service: bool,
}

/// An address that was found for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The address.
    pub address: Address,
    /// The endpoint that a SRV record names, with its weight.
    pub target: Option<Arc<Declared>>,
    /// The priority of the record.
    pub priority: u16,
}

impl From<Address> for Found {
    fn from(address: Address) -> Self {
        Self {
            address,
            target: None,
            priority: 0,
        }
    }
}

/// A change of the addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressChange {
    /// Addresses that are new.
    pub added: Vec<Address>,
    /// Addresses that are gone.
    pub removed: Vec<Address>,
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
struct CheckCounters {
    /// True once they have begun.
    have_begun: AtomicBool,
    /// Wakes the task that starts them, when endpoints change.
    endpoints: Arc<Notify>,
    passed: AtomicU64,
    failed: AtomicU64,
}

impl ServiceState {
    /// Creates the state of a service whose names are not resolved yet.
    pub fn new(service: Arc<Service>) -> Self {
        let found = vec![Vec::new(); service.endpoints.len()];
        let endpoints = Arc::new(endpoints(&service, &[], &found));
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

    /// Returns true if one of the drains is about `endpoint`.
    fn is_drained(&self, endpoint: &Endpoint) -> bool {
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

    /// Returns true if the service has an endpoint.
    pub fn has_endpoints(&self) -> bool {
        self.has_endpoints.load(Ordering::Relaxed)
    }

    /// The endpoints with names to resolve.
    pub fn names(&self) -> impl Iterator<Item = NamedEndpoint> {
        let declared = self.service.endpoints.iter().enumerate();
        declared.filter_map(|(index, endpoint)| match &endpoint.host {
            EndpointHost::Name(name) | EndpointHost::Service(name) => Some(NamedEndpoint {
                declared: index,
                host: (&**name).into(),
                port: endpoint.port,
                is_service: matches!(endpoint.host, EndpointHost::Service(_)),
            }),
            EndpointHost::Address(_) | EndpointHost::Unix(_) => None,
        })
    }

    /// The names without an address.
    pub fn unresolved(&self) -> Vec<String> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = self.names().filter(|name| found[name.declared].is_empty());
        unknown.map(|name| name.host.to_string()).collect()
    }

    /// Returns true if addresses are known for the name of the declared endpoint at this index.
    pub fn resolves(&self, declared: usize) -> bool {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.get(declared).is_some_and(|found| !found.is_empty())
    }

    /// Waits until every name has been looked up once.
    pub async fn looked_up(&self) {
        if self.names().next().is_some() {
            self.looked_up.wait().await;
        }
    }

    /// Notes that every name has been looked up.
    pub(crate) fn set_looked_up(&self) {
        // Set only once.
        let _ = self.looked_up.set(());
    }

    /// Sets the addresses of the declared endpoint at this index. An unchanged address keeps its `Endpoint`. Returns the
    /// change, if any.
    pub fn set_found(
        &self,
        declared: usize,
        addresses: impl IntoIterator<Item = impl Into<Found>>,
    ) -> Option<AddressChange> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let addresses = addresses.into_iter().map(Into::into).collect();
        let before = std::mem::replace(&mut found[declared], addresses);
        let now = &found[declared];
        if before == *now {
            return None;
        }
        let missing_in = |others: &[Found], all: &[Found]| -> Vec<Address> {
            let others: HashSet<&Address> = others.iter().map(|found| &found.address).collect();
            let addresses = all.iter().map(|found| &found.address);
            addresses
                .filter(|address| !others.contains(*address))
                .cloned()
                .collect()
        };
        let change = AddressChange {
            added: missing_in(&before, now),
            removed: missing_in(now, &before),
        };
        let endpoints = endpoints(&self.service, &self.endpoints.load(), &found);
        self.set_endpoints(endpoints);
        Some(change)
    }

    /// Keeps the handle of the task that resolves its names, made by `start` unless it runs already. It is aborted when the
    /// service is retired.
    pub(crate) fn resolve_by(&self, start: impl FnOnce() -> AbortHandle) {
        self.resolver.get_or_init(start);
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

/// Builds the endpoints of a service, without duplicate addresses; `found` are those of each declared endpoint's name.
/// Unchanged endpoints are taken from `before`.
fn endpoints(service: &Service, before: &[Arc<Endpoint>], found: &[Vec<Found>]) -> Vec<Arc<Endpoint>> {
    let mut endpoints: Vec<Arc<Endpoint>> = Vec::new();
    let mut taken = HashSet::new();
    let kept: HashMap<(&Address, usize), &Arc<Endpoint>> = before
        .iter()
        .map(|endpoint| ((&endpoint.address, endpoint.declared), endpoint))
        .collect();
    for (index, (declared, found)) in service.endpoints.iter().zip(found).enumerate() {
        let own;
        let addresses = match &declared.host {
            EndpointHost::Address(address) => {
                own = [Address::Tcp(SocketAddr::new(*address, declared.port)).into()];
                &own[..]
            }
            EndpointHost::Unix(path) => {
                own = [Address::Unix(Path::new(&**path).into()).into()];
                &own[..]
            }
            EndpointHost::Name(_) | EndpointHost::Service(_) => &found[..],
        };
        for Found {
            address,
            target,
            priority,
        } in addresses
        {
            if !taken.insert(address.clone()) {
                continue;
            }
            let weight = target.as_ref().map_or(declared.weight, |target| target.weight);
            let authority = |target: &Option<Arc<Declared>>| target.as_ref().map(|it| it.authority.clone());
            let kept = kept.get(&(address, index)).copied();
            let kept = kept.filter(|kept| authority(&kept.target) == authority(target));
            let new = || {
                let mut endpoint = Endpoint::new(address.clone(), declared, index);
                endpoint.target.clone_from(target);
                let check = service.health.as_ref();
                if check.is_some_and(|check| !check.initially_healthy) {
                    endpoint.health.await_check();
                }
                Arc::new(endpoint)
            };
            let endpoint = kept.cloned().unwrap_or_else(new);
            endpoint.set_share(weight, *priority);
            endpoints.push(endpoint);
        }
    }
    endpoints
}

#[cfg(test)]
mod tests {
    use super::*;
    use waypost_plan::service::EndpointScheme;

    fn state(endpoints: &[&str]) -> ServiceState {
        let endpoints = endpoints
            .iter()
            .map(|&authority| {
                let host = authority.parse();
                let host = host.map_or(EndpointHost::Name(authority.into()), EndpointHost::Address);
                Declared::new(authority.into(), host, 80, EndpointScheme::Http)
            })
            .collect();
        ServiceState::new(Arc::new(Service::new("s".into(), endpoints)))
    }

    fn addresses(state: &ServiceState) -> Vec<String> {
        let endpoints = state.endpoints();
        endpoints
            .iter()
            .map(|endpoint| match &endpoint.address {
                Address::Tcp(address) => address.ip().to_string(),
                Address::Unix(path) => path.display().to_string(),
            })
            .collect()
    }

    fn found(ips: &[&str]) -> Vec<Address> {
        let ips = ips.iter().map(|ip| ip.parse().unwrap());
        ips.map(|ip| Address::Tcp(SocketAddr::new(ip, 80))).collect()
    }

    #[test]
    fn addresses_of_names_come_and_go() {
        let state = state(&["10.0.0.1", "a.example"]);
        assert_eq!(addresses(&state), ["10.0.0.1"]);
        assert_eq!(state.unresolved(), ["a.example"]);
        let version = state.version();
        let change = state.set_found(1, found(&["10.0.0.2", "10.0.0.3"])).unwrap();
        assert_eq!(change.added, found(&["10.0.0.2", "10.0.0.3"]));
        assert_eq!(addresses(&state), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        assert_ne!(state.version(), version);
        let version = state.version();
        assert_eq!(state.set_found(1, found(&["10.0.0.2", "10.0.0.3"])), None);
        assert_eq!(state.version(), version);
        let change = state.set_found(1, found(&["10.0.0.1"])).unwrap();
        assert_eq!((change.added.len(), change.removed.len()), (1, 2));
        assert_eq!(addresses(&state), ["10.0.0.1"], "one endpoint for each address");
    }

    #[test]
    fn an_address_that_comes_after_the_first_is_new() {
        let state = state(&["a.example"]);
        let since = |at: usize| state.endpoints()[at].health.available_since();
        state.set_found(0, found(&["10.0.0.2"]));
        state.set_looked_up();
        assert_eq!(since(0), None);
        state.set_found(0, found(&["10.0.0.2", "10.0.0.3"]));
        assert_eq!(since(0), None);
        assert!(since(1).is_some());
    }

    #[test]
    fn unchanged_address_keeps_its_health() {
        let state = state(&["a.example"]);
        assert!(!state.has_endpoints());
        state.set_found(0, found(&["10.0.0.2"]));
        assert!(state.has_endpoints());
        let before = Arc::clone(&state.endpoints()[0]);
        state.set_found(0, found(&["10.0.0.3", "10.0.0.2"]));
        assert!(Arc::ptr_eq(&state.endpoints()[1], &before));
        state.set_found(0, found(&[]));
        assert!(!state.has_endpoints());
    }
}
