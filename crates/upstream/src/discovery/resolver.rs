//! Questions to name servers, shared by all services.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::{Instant, timeout};

use super::answer::Answer;
use super::system::{NameConfig, Stamp};

/// Timeout of a question to one server, after which the next one is asked.
pub const SERVER_TIMEOUT: Duration = Duration::from_secs(1);
/// Timeout for a lookup, over all servers and searched domains.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for which a line of `/etc/hosts` holds.
const HOSTS_TTL: Duration = Duration::from_secs(10);
/// Interval between two looks at the files of the system's configuration.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The addresses of a name, by family, as one may be known without the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The answer for A records.
    pub v4: Answer<IpAddr>,
    /// The answer for AAAA records.
    pub v6: Answer<IpAddr>,
}

impl Addresses {
    /// The same answer for both families.
    fn both(answer: &Answer<IpAddr>) -> Self {
        Self {
            v4: answer.clone(),
            v6: answer.clone(),
        }
    }

    /// Returns true if there is an address.
    fn is_found(&self) -> bool {
        self.v4.is_found() || self.v6.is_found()
    }
}

/// A SRV record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceRecord {
    /// The priority; the lowest goes first.
    pub priority: u16,
    /// The weight among records of the same priority.
    pub weight: u16,
    /// The name of the server, which is absolute, with its trailing dot; `.` says that there is none.
    pub target: String,
    /// The port.
    pub port: u16,
}

/// Lookups of names.
pub trait LookUp {
    /// Looks up the addresses of a name as configured.
    fn addresses(&self, name: &str) -> impl Future<Output = Addresses> + Send;

    /// Looks up the SRV records of a name as configured.
    fn services(&self, name: &str) -> impl Future<Output = Answer<ServiceRecord>> + Send;
}

/// A resolver with the system's configuration, or servers of its own.
#[derive(Debug)]
pub struct Resolver(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Configured servers; empty for those of the system.
    own_servers: Vec<SocketAddr>,
    stamp: Stamp,
    looked_at: Instant,
    servers: Arc<Servers>,
}

/// The servers, and the rules by which they are asked.
#[derive(Debug)]
struct Servers {
    config: NameConfig,
    /// One resolver for each server: the order of servers is ours, and one that does not respond must not take the time of
    /// the next one.
    resolvers: Vec<TokioResolver>,
}

impl Resolver {
    /// Creates a resolver that asks `servers`, or those of the system if there are none.
    pub fn new(servers: &[SocketAddr]) -> Self {
        let stamp = Stamp::now();
        Self(Mutex::new(State {
            own_servers: servers.to_vec(),
            stamp,
            looked_at: Instant::now(),
            servers: Arc::new(Servers::new(servers)),
        }))
    }

    /// Asks other servers from now on.
    pub fn set_servers(&self, servers: &[SocketAddr]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.own_servers != servers {
            state.own_servers = servers.to_vec();
            state.servers = Arc::new(Servers::new(servers));
        }
    }

    /// The servers, as the files of the system say now.
    fn current(&self) -> Arc<Servers> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked_at.elapsed() >= LOOK_INTERVAL {
            state.looked_at = Instant::now();
            let stamp = Stamp::now();
            if stamp != state.stamp {
                state.stamp = stamp;
                state.servers = Arc::new(Servers::new(&state.own_servers));
            }
        }
        Arc::clone(&state.servers)
    }
}

impl LookUp for Resolver {
    async fn addresses(&self, name: &str) -> Addresses {
        let servers = self.current();
        servers.addresses(name).await
    }

    async fn services(&self, name: &str) -> Answer<ServiceRecord> {
        let servers = self.current();
        servers.services(name).await
    }
}

impl Servers {
    fn new(own: &[SocketAddr]) -> Self {
        let mut config = NameConfig::of_system();
        if !own.is_empty() {
            config.servers = own.to_vec();
        }
        let resolvers = config.servers.iter();
        // Only TLS could fail, which is not used.
        let resolvers = resolvers.filter_map(|server| resolver(*server, config.edns).ok());
        Self {
            resolvers: resolvers.collect(),
            config,
        }
    }

    async fn addresses(&self, name: &str) -> Addresses {
        let known = self.config.known(name);
        if !known.is_empty() {
            let of_family = |is_v4: bool| {
                let found = known.iter().filter(|address| address.is_ipv4() == is_v4);
                let found: Vec<IpAddr> = found.copied().collect();
                match found.is_empty() {
                    true => Answer::Negative,
                    false => Answer::Found(found, HOSTS_TTL),
                }
            };
            return Addresses {
                v4: of_family(true),
                v6: of_family(false),
            };
        }
        let search = async {
            let mut all = Addresses::both(&Answer::Negative);
            for candidate in self.config.candidates(name) {
                let found = self.both_families(&candidate).await;
                let is = |answer| found.v4 == answer || found.v6 == answer;
                // As in the C library, the search goes on behind a domain whose servers fail, which may be so for ever,
                // but not behind one whose servers are silent: another domain must not lend its addresses meanwhile.
                if found.is_found() || is(Answer::Silent) {
                    return found;
                }
                if is(Answer::Failed) {
                    all = Addresses::both(&Answer::Failed);
                }
            }
            all
        };
        let found = timeout(LOOKUP_TIMEOUT, search).await;
        found.unwrap_or_else(|_| Addresses::both(&Answer::Silent))
    }

    async fn services(&self, name: &str) -> Answer<ServiceRecord> {
        let record = |data: &RData| match data {
            RData::SRV(srv) => Some(ServiceRecord {
                priority: srv.priority,
                weight: srv.weight,
                target: srv.target.to_ascii(),
                port: srv.port,
            }),
            _ => None,
        };
        let search = async {
            let mut all = Answer::Negative;
            for candidate in self.config.candidates(name) {
                match self.ask(&candidate, RecordType::SRV, record).await {
                    Answer::Negative => {}
                    Answer::Failed => all = Answer::Failed,
                    found => return found,
                }
            }
            all
        };
        let found = timeout(LOOKUP_TIMEOUT, search).await;
        found.unwrap_or(Answer::Silent)
    }

    /// Asks for the addresses of both families at the same time. Once one is known, the other may take no longer than a
    /// server that does not respond.
    async fn both_families(&self, name: &Name) -> Addresses {
        let ip = |data: &RData| data.ip_addr();
        let v4 = pin!(self.ask(name, RecordType::A, ip));
        let v6 = pin!(self.ask(name, RecordType::AAAA, ip));
        match select(v4, v6).await {
            Either::Left((v4, rest)) => Addresses {
                v6: other_family(&v4, rest).await,
                v4,
            },
            Either::Right((v6, rest)) => Addresses {
                v4: other_family(&v6, rest).await,
                v6,
            },
        }
    }

    /// Asks the servers in turn until one has an answer.
    async fn ask<T>(&self, name: &Name, kind: RecordType, record: impl Fn(&RData) -> Option<T>) -> Answer<T> {
        let mut last = Answer::Silent;
        for _ in 0..self.config.attempts {
            for server in &self.resolvers {
                // Over TCP again, if the answer is too long for UDP.
                let asked = timeout(SERVER_TIMEOUT * 2, server.lookup(name.clone(), kind));

                match asked.await {
                    Ok(Ok(found)) => {
                        let records: Vec<T> = found
                            .answers()
                            .iter()
                            .filter_map(|answer| record(&answer.data))
                            .collect();
                        if !records.is_empty() {
                            return Answer::Found(records, ttl(&found));
                        }
                        return Answer::Negative;
                    }
                    Ok(Err(NetError::Dns(DnsError::NoRecordsFound(_)))) => return Answer::Negative,
                    Ok(Err(NetError::Dns(_))) => last = Answer::Failed,
                    Ok(Err(_)) | Err(_) => {}
                }
            }
        }
        last
    }
}

/// The answer for the other family, after the first one.
async fn other_family(first: &Answer<IpAddr>, rest: impl Future<Output = Answer<IpAddr>>) -> Answer<IpAddr> {
    if first.is_found() {
        return timeout(SERVER_TIMEOUT, rest).await.unwrap_or(Answer::Silent);
    }
    rest.await
}

/// The time for which an answer holds: the lowest TTL, also of the aliases on the way.
fn ttl(found: &Lookup) -> Duration {
    let ttls = found.answers().iter().map(|answer| answer.ttl);
    Duration::from_secs(ttls.min().unwrap_or(0).into())
}

/// A resolver that asks one server once, and remembers nothing.
fn resolver(server: SocketAddr, edns: bool) -> Result<TokioResolver, NetError> {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    let server = NameServerConfig::new(server.ip(), true, connections.into());
    let mut options = ResolverOpts::default();
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.attempts = 0;
    options.timeout = SERVER_TIMEOUT;
    options.edns0 = edns;
    TokioResolver::builder_with_config(
        ResolverConfig::from_name_servers(vec![server]),
        TokioRuntimeProvider::default(),
    )
    .with_options(options)
    .build()
}
