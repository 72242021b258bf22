//! Name resolution of endpoints, on the control plane's runtime.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::service::ServiceState;

/// Timeout for one lookup.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval between lookups. The system resolver does not report TTLs.
pub const REFRESH: Duration = Duration::from_secs(10);
/// Interval between lookups while the service has no address.
const RETRY: Duration = Duration::from_secs(1);

/// Looks up every name of `services` once and updates their endpoints. Returns the names without an address.
pub async fn resolve(services: &[Arc<ServiceState>]) -> Vec<String> {
    let mut lookups = JoinSet::new();
    let names: BTreeSet<(&str, u16)> = services.iter().flat_map(|state| state.names()).collect();
    for (name, port) in names {
        let name = name.to_owned();
        lookups.spawn(async move {
            let addresses = look_up(name.clone(), port).await;
            ((name, port), addresses)
        });
    }
    let answers: HashMap<(String, u16), Vec<SocketAddr>> = lookups.join_all().await.into_iter().collect();
    for state in services.iter().filter(|state| state.names().next().is_some()) {
        state.set_resolved(|name, port| answers.get(&(name.to_owned(), port)).cloned().unwrap_or_default());
    }
    let mut unresolved: Vec<String> = answers
        .into_iter()
        .filter(|(_, found)| found.is_empty())
        .map(|((name, _), _)| name)
        .collect();
    unresolved.sort();
    unresolved.dedup();
    unresolved
}

/// The addresses of one name; none when there is no answer in time.
async fn look_up(name: String, port: u16) -> Vec<SocketAddr> {
    match timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((name, port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

/// Starts the task on `control` that keeps the names of a service resolved, unless it runs already. It runs until the service
/// is retired.
pub fn start(state: &Arc<ServiceState>, control: &Handle) {
    if state.names().next().is_some() {
        state.resolve_by(|| {
            let resolving = keep_resolved(Arc::downgrade(state), look_up);
            control.spawn(resolving).abort_handle()
        });
    }
}

/// Keeps the names of one service resolved, by `look_up`, as long as the service exists. One task serves it across
/// reloads: a reload neither delays nor repeats a lookup.
async fn keep_resolved<F>(state: Weak<ServiceState>, look_up: impl Fn(String, u16) -> F)
where
    F: Future<Output = Vec<SocketAddr>>,
{
    loop {
        let Some(is_known) = state.upgrade().map(|state| state.has_endpoints()) else {
            return;
        };
        tokio::time::sleep(if is_known { REFRESH } else { RETRY }).await;
        let Some(state) = state.upgrade() else {
            return;
        };
        // Concurrently: a name whose server does not respond must not delay the others.
        let names: BTreeSet<(&str, u16)> = state.names().collect();
        let lookups = names.into_iter().map(|(name, port)| {
            let lookup = look_up(name.to_owned(), port);
            async move { ((name, port), lookup.await) }
        });
        let found: HashMap<(&str, u16), Vec<SocketAddr>> = join_all(lookups).await.into_iter().collect();
        state.set_resolved(|name, port| found.get(&(name, port)).cloned().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::pending;
    use waypost_plan::service::{Endpoint, EndpointHost, EndpointScheme, Service};

    /// A service with an endpoint for each name.
    fn service(names: &[&str]) -> Arc<ServiceState> {
        let endpoints = names.iter().map(|&name| {
            let host = EndpointHost::Name(name.into());
            Endpoint::new(format!("{name}:80").into(), host, 80, EndpointScheme::Http)
        });
        let service = Service::new("s".into(), endpoints.collect());
        Arc::new(ServiceState::new(Arc::new(service)))
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_looked_up_on_time_as_long_as_the_service_exists() {
        let state = service(&["a.example"]);
        let lookups = Cell::new(0u8);
        let look_up = |name: String, port| {
            assert_eq!((&*name, port), ("a.example", 80));
            lookups.set(lookups.get() + 1);
            let address = SocketAddr::from(([10, 0, 0, lookups.get()], port));
            async move { vec![address] }
        };
        let resolving = keep_resolved(Arc::downgrade(&state), look_up);
        let reloads = async {
            let start = tokio::time::Instant::now();
            while start.elapsed() < Duration::from_secs(95) {
                tokio::time::advance(Duration::from_secs(1)).await;
                tokio::task::yield_now().await;
            }
            // Once after one second, then every ten seconds.
            assert_eq!(lookups.get(), 10);
            assert_eq!(state.endpoints()[0].address.to_string(), "10.0.0.10:80");
            drop(state);
        };
        tokio::join!(resolving, reloads);
    }

    #[tokio::test(start_paused = true)]
    async fn names_without_a_response_do_not_delay_others() {
        let state = service(&["a.example", "b.example", "c.example"]);
        let look_up = async |name: String, port| {
            if name != "c.example" {
                let _ = timeout(LOOKUP_TIMEOUT, pending::<()>()).await;
                return Vec::new();
            }
            vec![SocketAddr::from(([10, 0, 0, 1], port))]
        };
        let resolving = keep_resolved(Arc::downgrade(&state), look_up);
        let watching = async {
            let all = RETRY + LOOKUP_TIMEOUT + Duration::from_millis(1);
            let _ = timeout(all, pending::<()>()).await;
            assert_eq!(state.endpoints().len(), 1);
            drop(state);
        };
        tokio::join!(resolving, watching);
    }

    #[tokio::test]
    async fn the_task_is_started_once_and_ends_with_the_service() {
        let state = service(&["a.invalid"]);
        let runtime = tokio::runtime::Handle::current();
        let before = runtime.metrics().num_alive_tasks();
        for _reload in 0..3 {
            start(&state, &runtime);
        }
        assert_eq!(runtime.metrics().num_alive_tasks(), before + 1);
        state.retire();
        while runtime.metrics().num_alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    }
}
