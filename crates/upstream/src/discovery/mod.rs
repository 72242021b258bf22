//! Names of endpoints, looked up on the control plane's runtime when their TTL ends.
//!
//! A service has one task, which lives as long as the service is unchanged and keeps each of its names by itself: one whose
//! server does not respond delays no other.

pub mod answer;
pub mod resolver;
mod system;
mod targets;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::mpsc::WeakSender;
use tokio::time::{Instant, sleep_until, timeout};

use crate::address::Address;
use crate::discovery::answer::{Records, Schedule};
use crate::discovery::resolver::{Addresses, LookUp, Resolver};
use crate::notice::Notice;
use crate::service::ServiceState;
use crate::service::names::{Found, NamedEndpoint};

/// The discovery of a gateway: the tasks of its services, and the resolver that they share.
#[derive(Debug, Clone)]
pub struct Discovery {
    control: Handle,
    resolver: Arc<Resolver>,
    notices: WeakSender<Notice>,
}

impl Discovery {
    /// Creates a discovery whose tasks run on `control` and ask `servers`, or those of the system if there are none. Changes
    /// of addresses are sent to `notices`.
    pub fn new(control: Handle, servers: &[SocketAddr], notices: WeakSender<Notice>) -> Self {
        Self {
            control,
            resolver: Arc::new(Resolver::new(servers)),
            notices,
        }
    }

    /// Asks other servers from now on.
    pub fn set_servers(&self, servers: &[SocketAddr]) {
        self.resolver.set_servers(servers);
    }

    /// Starts the task that keeps the names of a service resolved, unless it runs already. It runs until the service is
    /// retired: a reload neither delays nor repeats a lookup.
    pub fn start(&self, state: &Arc<ServiceState>) {
        if state.names().next().is_some() {
            state.resolve_by(|| {
                let resolving = keep_resolved(
                    Arc::downgrade(state),
                    Arc::clone(&self.resolver),
                    self.notices.clone(),
                );
                self.control.spawn(resolving).abort_handle()
            });
        }
    }
}

/// Waits until every name of `services` has been looked up once, but not longer than `limit`. Returns the names without an
/// address.
pub async fn first_answers(services: &[Arc<ServiceState>], limit: Duration) -> Vec<String> {
    let all = async {
        for state in services {
            state.looked_up().await;
        }
    };
    let _ = timeout(limit, all).await;
    let mut unresolved: Vec<String> = services.iter().flat_map(|state| state.unresolved()).collect();
    unresolved.sort();
    unresolved.dedup();
    unresolved
}

/// Keeps the names of one service resolved, as long as the service exists.
async fn keep_resolved(
    state: Weak<ServiceState>,
    look_up: Arc<impl LookUp + Sync>,
    notices: WeakSender<Notice>,
) {
    let Some(names) = state.upgrade().map(|state| state.names().collect::<Vec<_>>()) else {
        return;
    };
    let keeper = Keeper {
        waiting: AtomicUsize::new(names.len()),
        state,
        look_up,
        notices,
    };
    join_all(names.into_iter().map(|name| keeper.keep(name))).await;
}

/// The work of one service's task.
struct Keeper<L> {
    state: Weak<ServiceState>,
    look_up: Arc<L>,
    notices: WeakSender<Notice>,
    /// Names that have not been looked up yet.
    waiting: AtomicUsize,
}

impl<L: LookUp> Keeper<L> {
    /// Keeps one name resolved.
    async fn keep(&self, name: NamedEndpoint) {
        if name.is_service {
            self.keep_service(name).await;
        } else {
            self.keep_addresses(name).await;
        }
    }

    /// Keeps a name with SRV records resolved, and the servers that they name: all of them are looked up when the first TTL
    /// ends.
    async fn keep_service(&self, name: NamedEndpoint) {
        let mut records = Records::default();
        let mut known: BTreeMap<String, (Records<IpAddr>, Records<IpAddr>)> = BTreeMap::new();
        let mut schedule = Schedule::default();
        let mut is_first = true;
        loop {
            let answer = self.look_up.services(&name.host).await;
            if !answer.is_found() {
                schedule.retry();
            }
            records.learn(answer, &mut schedule);
            let hosts = targets::hosts(&records.list);
            let lookups = hosts.iter().map(|host| self.look_up.addresses(host));
            let found = join_all(lookups).await;
            known.retain(|host, _| hosts.contains(host));
            for (host, found) in hosts.iter().zip(found) {
                let (v4, v6) = known.entry(host.clone()).or_default();
                v4.learn(found.v4, &mut schedule);
                v6.learn(found.v6, &mut schedule);
                if v4.list.is_empty() && v6.list.is_empty() {
                    schedule.retry();
                }
            }
            let next = schedule.next(Instant::now());
            let Some(state) = self.state.upgrade() else {
                return;
            };
            let declared = &state.service().endpoints[name.declared];
            let found = targets::found(declared, &records.list, |host| {
                let addresses = known.get(host).into_iter();
                addresses
                    .flat_map(|(v4, v6)| v4.list.iter().chain(&v6.list))
                    .copied()
                    .collect()
            });
            self.publish(&state, &name, found, is_first);
            is_first = false;
            drop(state);
            sleep_until(next).await;
        }
    }

    /// Keeps the addresses of one name.
    async fn keep_addresses(&self, name: NamedEndpoint) {
        let (mut v4, mut v6) = (Records::default(), Records::default());
        let mut schedule = Schedule::default();
        let mut is_first = true;
        loop {
            let found: Addresses = self.look_up.addresses(&name.host).await;
            v4.learn(found.v4, &mut schedule);
            v6.learn(found.v6, &mut schedule);
            let next = schedule.next(Instant::now());
            let Some(state) = self.state.upgrade() else {
                return;
            };
            let addresses = v4.list.iter().chain(&v6.list);
            let mut addresses: Vec<SocketAddr> =
                addresses.map(|ip| SocketAddr::new(*ip, name.port)).collect();
            // Servers rotate their records, which is no change.
            addresses.sort_unstable();
            addresses.dedup();
            let found = addresses.into_iter().map(|address| Address::from(address).into());
            self.publish(&state, &name, found.collect(), is_first);
            is_first = false;
            drop(state);
            sleep_until(next).await;
        }
    }

    /// Puts addresses into force, and sends a notice if they are others than before.
    fn publish(&self, state: &ServiceState, name: &NamedEndpoint, found: Vec<Found>, is_first: bool) {
        let change = state.set_found(name.declared, found);
        if is_first {
            if self.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
                state.set_looked_up();
            }
            return;
        }
        if let Some(change) = change
            && !(change.added.is_empty() && change.removed.is_empty())
            && let Some(notices) = self.notices.upgrade()
        {
            // Dropped when the channel is full, as other notices are.
            let _ = notices.try_send(Notice::AddressesChanged {
                service: Arc::clone(&state.service().name),
                name: Arc::clone(&name.host),
                added: change.added,
                removed: change.removed,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::answer::{Answer, RETRY};
    use crate::discovery::resolver::ServiceRecord;
    use std::future::pending;
    use std::sync::Mutex;
    use tokio::sync::mpsc::{Receiver, channel};
    use tokio::time::advance;
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

    /// Answers for each name, the last of which is repeated; lookups of other names hang.
    struct Script(Mutex<Vec<Answers>>);

    /// A name and its answers.
    type Answers = (&'static str, Vec<Answer<IpAddr>>);

    impl LookUp for Script {
        async fn addresses(&self, name: &str) -> Addresses {
            let answer = {
                let mut scripts = self.0.lock().unwrap();
                let script = scripts.iter_mut().find(|(of, _)| *of == name);
                script.map(|(_, answers)| match answers.len() {
                    1 => answers[0].clone(),
                    _ => answers.remove(0),
                })
            };
            match answer {
                Some(v4) => Addresses {
                    v4,
                    v6: Answer::Negative,
                },
                None => pending().await,
            }
        }

        async fn services(&self, _: &str) -> Answer<ServiceRecord> {
            Answer::Negative
        }
    }

    fn found(last: &[u8], ttl: u64) -> Answer<IpAddr> {
        let addresses = last.iter().map(|last| IpAddr::from([10, 0, 0, *last]));
        Answer::Found(addresses.collect(), Duration::from_secs(ttl))
    }

    fn shown(state: &ServiceState) -> Vec<String> {
        let endpoints = state.endpoints();
        endpoints
            .iter()
            .map(|endpoint| endpoint.address.to_string())
            .collect()
    }

    /// Runs the task of `state` beside `watching`, which ends it.
    async fn run(
        state: &Arc<ServiceState>,
        script: Vec<Answers>,
        watching: impl AsyncFnOnce(Receiver<Notice>),
    ) {
        let (sender, notices) = channel(8);
        let script = Arc::new(Script(Mutex::new(script)));
        let resolving = keep_resolved(Arc::downgrade(state), script, sender.downgrade());
        tokio::select! {
            () = resolving => panic!("the service exists"),
            () = watching(notices) => {}
        }
        drop(sender);
    }

    async fn pass(time: Duration) {
        advance(time).await;
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_looked_up_when_their_ttl_ends() {
        let state = service(&["a.example"]);
        let script = vec![
            found(&[2, 1], 30),
            found(&[1, 2], 30),
            found(&[3, 1], 5),
            found(&[3], 60),
        ];
        run(&state, vec![("a.example", script)], async |mut notices| {
            state.looked_up().await;
            assert_eq!(shown(&state), ["10.0.0.1:80", "10.0.0.2:80"]);
            let (first, version) = (Arc::clone(&state.endpoints()[0]), state.version());
            pass(Duration::from_secs(31)).await;
            assert_eq!(state.version(), version, "another order is no change");
            pass(Duration::from_secs(30)).await;
            assert_eq!(shown(&state), ["10.0.0.1:80", "10.0.0.3:80"]);
            assert!(Arc::ptr_eq(&state.endpoints()[0], &first));
            let address = |last: u8| Address::from(SocketAddr::from(([10, 0, 0, last], 80)));
            let changed = |added, removed| Notice::AddressesChanged {
                service: "s".into(),
                name: "a.example".into(),
                added,
                removed,
            };
            assert_eq!(
                notices.try_recv(),
                Ok(changed(vec![address(3)], vec![address(2)]))
            );
            pass(Duration::from_secs(6)).await;
            assert_eq!(notices.try_recv(), Ok(changed(Vec::new(), vec![address(1)])));
            assert!(notices.try_recv().is_err());
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn names_without_a_response_do_not_delay_others() {
        let state = service(&["a.example", "b.example", "c.example"]);
        let script = vec![
            ("b.example", vec![Answer::Failed, Answer::Failed, found(&[2], 5)]),
            ("c.example", vec![found(&[1], 5)]),
        ];
        run(&state, script, async |_| {
            pass(Duration::ZERO).await;
            assert_eq!(shown(&state), ["10.0.0.1:80"]);
            pass(RETRY).await;
            pass(RETRY * 2).await;
            assert_eq!(shown(&state), ["10.0.0.2:80", "10.0.0.1:80"]);
            let unresolved = first_answers(&[Arc::clone(&state)], Duration::from_millis(1)).await;
            assert_eq!(unresolved, ["a.example"]);
        })
        .await;
    }

    #[tokio::test]
    async fn the_task_is_started_once_and_ends_with_the_service() {
        let state = service(&["a.invalid"]);
        let runtime = tokio::runtime::Handle::current();
        let (sender, _notices) = channel(1);
        let discovery = Discovery::new(runtime.clone(), &[], sender.downgrade());
        let before = runtime.metrics().num_alive_tasks();
        for _reload in 0..3 {
            discovery.start(&state);
        }
        assert_eq!(runtime.metrics().num_alive_tasks(), before + 1);
        state.retire();
        while runtime.metrics().num_alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    }
}
