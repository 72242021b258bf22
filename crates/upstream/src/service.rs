//! The state of a service shared by all workers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use waypost_plan::balance::Balance;
use waypost_plan::service::{EndpointHost, Service};
use waypost_tls::client::ClientTls;

use crate::address::Address;
use crate::balance::tables::Tables;
use crate::endpoint::Endpoint;
use crate::faults::FaultReports;

/// The endpoints of a service. The list is replaced when addresses change.
pub type Endpoints = Arc<Vec<Arc<Endpoint>>>;

/// Endpoints, with the tables that balance them by hash.
#[derive(Debug)]
pub(crate) struct Hashed {
    pub(crate) endpoints: Endpoints,
    pub(crate) tables: Tables,
}

/// A service and its endpoints. The state survives reloads as long as the service's config is unchanged, and with it
/// the health, pools and tasks.
#[derive(Debug)]
pub struct ServiceState {
    service: Arc<Service>,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    /// The endpoints with their tables, where the service balances by hash.
    hashed: ArcSwapOption<Hashed>,
    /// Grows with each change that a worker's choice of endpoints depends on.
    version: AtomicU64,
    /// True while `endpoints` is not empty.
    has_endpoints: AtomicBool,
    /// TLS config for connections to the endpoints.
    tls: ArcSwapOption<ClientTls>,
    /// The task that re-resolves the endpoints' names.
    resolver: OnceLock<AbortHandle>,
    retired: AtomicBool,
    /// Reports of invalid responses.
    faults: FaultReports,
}

impl ServiceState {
    /// Creates the state of a service whose names are not resolved yet.
    pub fn new(service: Arc<Service>) -> Self {
        let endpoints = Arc::new(endpoints(&service, &[], |_| Vec::new()));
        let hashed = hashed(&service, &endpoints);
        Self {
            service,
            has_endpoints: AtomicBool::new(!endpoints.is_empty()),
            endpoints: ArcSwap::new(endpoints),
            hashed: ArcSwapOption::new(hashed),
            version: AtomicU64::new(0),
            tls: ArcSwapOption::empty(),
            resolver: OnceLock::new(),
            retired: AtomicBool::new(false),
            faults: FaultReports::new(Instant::now()),
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

    /// Replaces the endpoints.
    fn set_endpoints(&self, endpoints: Vec<Arc<Endpoint>>) {
        let endpoints = Arc::new(endpoints);
        // The tables are built here, on the control plane's runtime, rather than by a worker.
        let hashed = hashed(&self.service, &endpoints);
        self.has_endpoints.store(!endpoints.is_empty(), Ordering::Relaxed);
        self.endpoints.store(endpoints);
        self.hashed.store(hashed);
        self.touch();
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
    }

    /// Returns true if the service has an endpoint.
    pub fn has_endpoints(&self) -> bool {
        self.has_endpoints.load(Ordering::Relaxed)
    }

    /// The names to resolve, with their ports.
    pub fn names(&self) -> impl Iterator<Item = (&str, u16)> {
        self.service
            .endpoints
            .iter()
            .filter_map(|endpoint| match &endpoint.host {
                EndpointHost::Name(name) => Some((&**name, endpoint.port)),
                EndpointHost::Address(_) => None,
            })
    }

    /// Updates the endpoints with the addresses that `lookup` returns for each name and port. A name without addresses
    /// keeps its last ones; an unchanged address keeps its `Endpoint`.
    pub fn set_resolved(&self, lookup: impl Fn(&str, u16) -> Vec<SocketAddr>) {
        let before = self.endpoints();
        let now = endpoints(&self.service, &before, |index| {
            let endpoint = &self.service.endpoints[index];
            let EndpointHost::Name(name) = &endpoint.host else {
                return Vec::new();
            };
            let found = lookup(name, endpoint.port);
            if found.is_empty() {
                let kept = before.iter().filter(|known| known.declared == index);
                let kept = kept.map(|known| known.address.clone());
                return kept.collect();
            }
            found.into_iter().map(Address::from).collect()
        });
        let is_same = before.len() == now.len()
            && before
                .iter()
                .zip(&now)
                .all(|(one, other)| Arc::ptr_eq(one, other));
        if !is_same {
            self.set_endpoints(now);
        }
    }

    /// Keeps the handle of the task that resolves its names, made by `start` unless it runs already. It is aborted when the
    /// service is retired.
    pub(crate) fn resolve_by(&self, start: impl FnOnce() -> AbortHandle) {
        self.resolver.get_or_init(start);
    }

    /// Retires the service, which no generation refers to, and stops its tasks.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        if let Some(resolver) = self.resolver.get() {
            resolver.abort();
        }
    }

    /// Returns true if the service is retired.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }
}

/// The endpoints with their tables, if the service balances by hash.
fn hashed(service: &Service, endpoints: &Endpoints) -> Option<Arc<Hashed>> {
    let Balance::Hash(_) = service.balance else {
        return None;
    };
    let addresses = endpoints
        .iter()
        .map(|endpoint| (endpoint.address.to_string(), endpoint.candidate(true)));
    Some(Arc::new(Hashed {
        tables: Tables::new(&addresses.collect::<Vec<_>>()),
        endpoints: Arc::clone(endpoints),
    }))
}

/// Builds the endpoints of a service, without duplicate addresses. Unchanged endpoints are taken from `before`.
fn endpoints(
    service: &Service,
    before: &[Arc<Endpoint>],
    resolve: impl Fn(usize) -> Vec<Address>,
) -> Vec<Arc<Endpoint>> {
    let mut endpoints: Vec<Arc<Endpoint>> = Vec::new();
    for (index, declared) in service.endpoints.iter().enumerate() {
        let addresses = match &declared.host {
            EndpointHost::Address(address) => {
                vec![Address::Tcp(SocketAddr::new(*address, declared.port))]
            }
            EndpointHost::Name(_) => resolve(index),
        };
        for address in addresses {
            if endpoints.iter().any(|known| known.address == address) {
                continue;
            }
            let kept = before
                .iter()
                .find(|known| known.address == address && known.declared == index);
            let new = || Arc::new(Endpoint::new(address, declared, index));
            endpoints.push(kept.cloned().unwrap_or_else(new));
        }
    }
    endpoints
}

#[cfg(test)]
mod tests {
    use super::*;
    use waypost_plan::service::{Endpoint as Declared, EndpointScheme};

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
            })
            .collect()
    }

    fn lookup(ips: &'static [&'static str]) -> impl Fn(&str, u16) -> Vec<SocketAddr> {
        move |_, port| {
            ips.iter()
                .map(|ip| SocketAddr::new(ip.parse().unwrap(), port))
                .collect()
        }
    }

    #[test]
    fn name_without_addresses_keeps_its_last_ones() {
        let state = state(&["10.0.0.1", "a.example"]);
        assert_eq!(addresses(&state), ["10.0.0.1"]);
        state.set_resolved(lookup(&["10.0.0.2", "10.0.0.3"]));
        assert_eq!(addresses(&state), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        state.set_resolved(lookup(&[]));
        assert_eq!(addresses(&state), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        state.set_resolved(lookup(&["10.0.0.1"]));
        assert_eq!(addresses(&state), ["10.0.0.1"]);
    }

    #[test]
    fn unchanged_address_keeps_its_health() {
        let state = state(&["a.example"]);
        assert!(!state.has_endpoints());
        state.set_resolved(lookup(&["10.0.0.2"]));
        assert!(state.has_endpoints());
        let before = Arc::clone(&state.endpoints()[0]);
        state.set_resolved(lookup(&["10.0.0.3", "10.0.0.2"]));
        assert!(Arc::ptr_eq(&state.endpoints()[1], &before));
    }
}
