//! The names of a service's endpoints, and the addresses that are found for them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use hashbrown::{HashMap, HashSet};
use tokio::task::AbortHandle;
use waypost_plan::service::{Endpoint as Declared, EndpointHost, Service};

use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::service::ServiceState;

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

impl ServiceState {
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
}

/// Builds the endpoints of a service, without duplicate addresses; `found` are those of each declared endpoint's name.
/// Unchanged endpoints are taken from `before`.
pub(super) fn endpoints(
    service: &Service,
    before: &[Arc<Endpoint>],
    found: &[Vec<Found>],
) -> Vec<Arc<Endpoint>> {
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
