//! Where a service's endpoints are: addresses as written, or what their names resolve to now.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use waypost_plan::service::{EndpointHost, Service};
use waypost_tls::client::ClientTls;

/// A service, and where its endpoints are. It lives as long as the service stays unchanged, however often
/// the config around it is replaced, and so do the pools and the health that hang on it.
#[derive(Debug)]
pub struct ServiceState {
    service: Arc<Service>,
    targets: ArcSwap<Vec<Target>>,
    /// How its endpoints under TLS are spoken to.
    tls: ArcSwapOption<ClientTls>,
    retired: AtomicBool,
}

/// One address of an endpoint. Each takes its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The address.
    pub address: SocketAddr,
    /// The endpoint, by its position in the service.
    pub endpoint: usize,
}

impl ServiceState {
    /// The state of a service whose names have not been looked up yet.
    pub fn new(service: Arc<Service>) -> Self {
        let targets = targets(&service, |_| Vec::new());
        Self {
            service,
            targets: ArcSwap::from_pointee(targets),
            tls: ArcSwapOption::empty(),
            retired: AtomicBool::new(false),
        }
    }

    /// The service.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// How its endpoints under TLS are spoken to; without it, they cannot be.
    pub(crate) fn tls(&self) -> Option<Arc<ClientTls>> {
        self.tls.load_full()
    }

    /// Has connections under TLS be made so from now on.
    pub fn set_tls(&self, tls: Option<Arc<ClientTls>>) {
        self.tls.store(tls);
    }

    /// Where its endpoints are now.
    pub fn targets(&self) -> Arc<Vec<Target>> {
        self.targets.load_full()
    }

    /// Where its endpoints are now, if that is not what is `known`.
    pub(crate) fn targets_unless(&self, known: &Arc<Vec<Target>>) -> Option<Arc<Vec<Target>>> {
        let now = self.targets.load();
        (!Arc::ptr_eq(&now, known)).then(|| Arc::clone(&now))
    }

    /// The names that have to be looked up, with their ports.
    pub fn names(&self) -> impl Iterator<Item = (&str, u16)> {
        self.service
            .endpoints
            .iter()
            .filter_map(|endpoint| match &endpoint.host {
                EndpointHost::Name(name) => Some((&**name, endpoint.port)),
                EndpointHost::Address(_) => None,
            })
    }

    /// Takes over what the names resolve to. A name without an answer keeps the addresses it had.
    pub fn resolved(&self, answer: impl Fn(&str, u16) -> Vec<SocketAddr>) {
        let before = self.targets();
        let now = targets(&self.service, |index| {
            let endpoint = &self.service.endpoints[index];
            let EndpointHost::Name(name) = &endpoint.host else {
                return Vec::new();
            };
            let found = answer(name, endpoint.port);
            if found.is_empty() {
                let kept = before.iter().filter(|target| target.endpoint == index);
                return kept.map(|target| target.address).collect();
            }
            found
        });
        if *before != now {
            self.targets.store(Arc::new(now));
        }
    }

    /// Says that no generation refers to it any more.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }
}

fn targets(service: &Service, resolve: impl Fn(usize) -> Vec<SocketAddr>) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for (index, endpoint) in service.endpoints.iter().enumerate() {
        let addresses = match &endpoint.host {
            EndpointHost::Address(address) => vec![SocketAddr::new(*address, endpoint.port)],
            EndpointHost::Name(_) => resolve(index),
        };
        for address in addresses {
            if !targets.iter().any(|target| target.address == address) {
                targets.push(Target {
                    address,
                    endpoint: index,
                });
            }
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use waypost_plan::service::{Endpoint, EndpointScheme};

    fn state(endpoints: &[&str]) -> ServiceState {
        let endpoints = endpoints
            .iter()
            .map(|host| Endpoint {
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
        state
            .targets()
            .iter()
            .map(|target| target.address.ip().to_string())
            .collect()
    }

    #[test]
    fn a_name_keeps_its_last_addresses_while_it_has_no_answer() {
        let state = state(&["10.0.0.1", "a.example"]);
        assert_eq!(addresses(&state), ["10.0.0.1"]);
        let answer = |ips: &'static [&'static str]| {
            move |_: &str, port| {
                ips.iter()
                    .map(|ip| SocketAddr::new(ip.parse().unwrap(), port))
                    .collect()
            }
        };
        state.resolved(answer(&["10.0.0.2", "10.0.0.3"]));
        assert_eq!(addresses(&state), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        state.resolved(answer(&[]));
        assert_eq!(addresses(&state), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        state.resolved(answer(&["10.0.0.1"]));
        assert_eq!(addresses(&state), ["10.0.0.1"]);
    }
}
