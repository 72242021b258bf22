//! A service with the state that all workers share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::task::AbortHandle;
use waypost_plan::service::{EndpointHost, Service};
use waypost_tls::client::ClientTls;

use crate::endpoint::Endpoint;

/// The endpoints of a service; replaced as a whole when their addresses change.
pub type Endpoints = Arc<Vec<Arc<Endpoint>>>;

/// A service with its endpoints. It lives as long as the service stays unchanged, however often the config around it is
/// replaced, and so do the health, the pools and the tasks that belong to it.
#[derive(Debug)]
pub struct ServiceState {
    service: Arc<Service>,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    /// True while `endpoints` is not empty.
    has_endpoints: AtomicBool,
    /// The TLS of its endpoints.
    tls: ArcSwapOption<ClientTls>,
    /// The task that keeps its names resolved.
    resolver: OnceLock<AbortHandle>,
    retired: AtomicBool,
}

impl ServiceState {
    /// The state of a service whose names are not resolved yet.
    pub fn new(service: Arc<Service>) -> Self {
        let endpoints = endpoints(&service, &[], |_| Vec::new());
        Self {
            service,
            has_endpoints: AtomicBool::new(!endpoints.is_empty()),
            endpoints: ArcSwap::from_pointee(endpoints),
            tls: ArcSwapOption::empty(),
            resolver: OnceLock::new(),
            retired: AtomicBool::new(false),
        }
    }

    /// The service.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// The TLS of its endpoints; without it, no TLS connection can be made.
    pub fn tls(&self) -> Option<Arc<ClientTls>> {
        self.tls.load_full()
    }

    /// Replaces the TLS for new connections.
    pub fn set_tls(&self, tls: Option<Arc<ClientTls>>) {
        self.tls.store(tls);
    }

    /// The current endpoints.
    pub fn endpoints(&self) -> Endpoints {
        self.endpoints.load_full()
    }

    /// The current endpoints, if they are not the ones that are `known`.
    pub(crate) fn endpoints_unless(&self, known: &Endpoints) -> Option<Endpoints> {
        let now = self.endpoints.load();
        (!Arc::ptr_eq(&now, known)).then(|| Arc::clone(&now))
    }

    /// Returns true if it has an endpoint whose address is known.
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

    /// Takes over the addresses that its names resolve to. A name without an answer keeps its last addresses; an address
    /// that stays keeps its endpoint.
    pub fn set_resolved(&self, answer: impl Fn(&str, u16) -> Vec<SocketAddr>) {
        let before = self.endpoints();
        let now = endpoints(&self.service, &before, |index| {
            let endpoint = &self.service.endpoints[index];
            let EndpointHost::Name(name) = &endpoint.host else {
                return Vec::new();
            };
            let found = answer(name, endpoint.port);
            if found.is_empty() {
                let kept = before.iter().filter(|known| known.declared == index);
                return kept.map(|known| known.address).collect();
            }
            found
        });
        let is_same = before.len() == now.len()
            && before
                .iter()
                .zip(&now)
                .all(|(one, other)| Arc::ptr_eq(one, other));
        if !is_same {
            self.has_endpoints.store(!now.is_empty(), Ordering::Relaxed);
            self.endpoints.store(Arc::new(now));
        }
    }

    /// Keeps the handle of the task that resolves its names, made by `start` unless it runs already. It is aborted when the
    /// service is retired.
    pub(crate) fn resolve_by(&self, start: impl FnOnce() -> AbortHandle) {
        self.resolver.get_or_init(start);
    }

    /// Ends the service: no generation refers to it any more.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        if let Some(resolver) = self.resolver.get() {
            resolver.abort();
        }
    }

    /// Returns true if no generation refers to the service any more.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }
}

/// The endpoints of a service, without duplicates. Those of `before` are kept where their address stays.
fn endpoints(
    service: &Service,
    before: &[Arc<Endpoint>],
    resolve: impl Fn(usize) -> Vec<SocketAddr>,
) -> Vec<Arc<Endpoint>> {
    let mut endpoints: Vec<Arc<Endpoint>> = Vec::new();
    for (index, declared) in service.endpoints.iter().enumerate() {
        let addresses = match &declared.host {
            EndpointHost::Address(address) => vec![SocketAddr::new(*address, declared.port)],
            EndpointHost::Name(_) => resolve(index),
        };
        for address in addresses {
            if endpoints.iter().any(|known| known.address == address) {
                continue;
            }
            let mut kept = before.iter();
            let kept = kept.find(|known| known.address == address && known.declared == index);
            endpoints.push(kept.map_or_else(|| Arc::new(Endpoint::new(address, index)), Arc::clone));
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
            .map(|host| Declared {
                authority: (*host).into(),
                host: host
                    .parse()
                    .map_or(EndpointHost::Name((*host).into()), EndpointHost::Address),
                port: 80,
                scheme: EndpointScheme::Http,
            })
            .collect();
        ServiceState::new(Arc::new(Service::new("s".into(), endpoints)))
    }

    fn addresses(state: &ServiceState) -> Vec<String> {
        let endpoints = state.endpoints();
        endpoints
            .iter()
            .map(|endpoint| endpoint.address.ip().to_string())
            .collect()
    }

    fn answer(ips: &'static [&'static str]) -> impl Fn(&str, u16) -> Vec<SocketAddr> {
        move |_, port| {
            ips.iter()
                .map(|ip| SocketAddr::new(ip.parse().unwrap(), port))
                .collect()
        }
    }

    #[test]
    fn a_name_keeps_its_last_addresses_while_it_has_no_answer() {
        let state = state(&["10.0.0.1", "a.example"]);
        assert_eq!(addresses(&state), ["10.0.0.1"]);
        state.set_resolved(answer(&["10.0.0.2", "10.0.0.3"]));
        assert_eq!(addresses(&state), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        state.set_resolved(answer(&[]));
        assert_eq!(addresses(&state), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        state.set_resolved(answer(&["10.0.0.1"]));
        assert_eq!(addresses(&state), ["10.0.0.1"]);
    }

    #[test]
    fn an_address_that_stays_keeps_its_health() {
        let state = state(&["a.example"]);
        assert!(!state.has_endpoints());
        state.set_resolved(answer(&["10.0.0.2"]));
        assert!(state.has_endpoints());
        let before = Arc::clone(&state.endpoints()[0]);
        state.set_resolved(answer(&["10.0.0.3", "10.0.0.2"]));
        assert!(Arc::ptr_eq(&state.endpoints()[1], &before));
    }
}
