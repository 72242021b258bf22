//! Looking up the names of endpoints, again and again, away from the workers.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::endpoints::ServiceState;

/// How long one answer is waited for.
pub(crate) const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
/// How often names are looked up. The system's resolver tells no time to live.
pub(crate) const REFRESH: Duration = Duration::from_secs(10);
/// How often while some name has no address at all.
const RETRY: Duration = Duration::from_secs(1);

/// Looks up every name of `services` once, and hands each service what its names resolve to.
///
/// Returns the names that have no answer.
pub async fn resolve(services: &[Arc<ServiceState>]) -> Vec<String> {
    let mut lookups = JoinSet::new();
    let names: BTreeSet<(&str, u16)> = services.iter().flat_map(|state| state.names()).collect();
    for (name, port) in names {
        let name = name.to_owned();
        lookups.spawn(async move {
            let addresses = look_up(&name, port).await;
            ((name, port), addresses)
        });
    }
    let answers: HashMap<(String, u16), Vec<SocketAddr>> = lookups.join_all().await.into_iter().collect();
    for state in services.iter().filter(|state| state.names().next().is_some()) {
        state.resolved(|name, port| answers.get(&(name.to_owned(), port)).cloned().unwrap_or_default());
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
async fn look_up(name: &str, port: u16) -> Vec<SocketAddr> {
    match timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((name, port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

/// Keeps the names of `services` resolved until it is aborted.
pub(crate) async fn keep_resolved(services: Vec<Arc<ServiceState>>) {
    let named: Vec<Arc<ServiceState>> = services
        .into_iter()
        .filter(|state| state.names().next().is_some())
        .collect();
    if named.is_empty() {
        return;
    }
    loop {
        let unresolved = named.iter().any(|state| state.targets().is_empty());
        tokio::time::sleep(if unresolved { RETRY } else { REFRESH }).await;
        resolve(&named).await;
    }
}
