//! An etcd in memory, behind real servers on loopback ports that are free. What passes on it should pass on etcd: it checks
//! what etcd checks, in etcd's words.
//!
//! Its time stands still unless the test moves it ([`Simulated::advance`]), and everything that goes wrong was ordered
//! ([`Simulated::order`]), so a test needs no waiting and no luck. The members have one store, and differ in their
//! [conditions](Simulated::stop).
//!
//! ```
//! use waypost_etcd::client::Client;
//! use waypost_etcd::error::Error;
//! use waypost_etcd::kv::write::Put;
//! use waypost_etcd::options::Options;
//! use waypost_etcd::simulated::Simulated;
//! use waypost_etcd::simulated::fault::{Fault, On};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let etcd = Simulated::start(3).await?;
//! let client = Client::new(Options::new(etcd.endpoints()));
//! etcd.order(On::Write, Fault::DropAnswer);
//! let put = client.put(&Put::new("/a", "1")).await;
//! assert!(matches!(put, Err(Error::OutcomeUnknown { .. })));
//! assert!(client.get("/a").await?.is_some());
//! # Ok(())
//! # }
//! ```

mod cluster;
pub mod fault;
mod lessor;
pub mod refusal;
mod server;
mod service;
mod store;
mod users;
mod visit;
mod watching;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use self::cluster::{Cluster, Condition, State};
use self::fault::{Fault, On};
use self::refusal::Refusal;
use self::store::Store;
use crate::options::Endpoint;
use crate::revision::Revision;

/// A simulated cluster. It ends when it is dropped.
#[derive(Debug)]
pub struct Simulated {
    cluster: Arc<Cluster>,
    addresses: Vec<SocketAddr>,
    servers: Vec<JoinHandle<()>>,
}

impl Drop for Simulated {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
        self.cluster.change(|state| {
            for member in &mut state.members {
                member.condition = Condition::Away;
            }
        });
    }
}

impl Simulated {
    /// Starts so many members.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(members: usize) -> io::Result<Self> {
        Self::start_with(members, None).await
    }

    /// Starts so many members with TLS. The configuration has to offer HTTP/2.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start_with_tls(members: usize, tls: Arc<ServerConfig>) -> io::Result<Self> {
        Self::start_with(members, Some(tls.into())).await
    }

    async fn start_with(members: usize, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let cluster = Cluster::new(members);
        let mut addresses = Vec::new();
        let mut servers = Vec::new();
        for member in 0..members {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            addresses.push(listener.local_addr()?);
            servers.push(tokio::spawn(server::serve(
                Arc::clone(&cluster),
                member,
                listener,
                tls.clone(),
            )));
        }
        Ok(Self {
            cluster,
            addresses,
            servers,
        })
    }

    /// Addresses of the members.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Endpoints of the members, for a client.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let texts = self.addresses.iter().map(ToString::to_string);
        texts.filter_map(|text| text.parse().ok()).collect()
    }

    /// Orders a fault.
    pub fn order(&self, on: On, fault: Fault) {
        self.cluster.change(|state| state.faults.order(on, fault));
    }

    /// Breaks a stream of watches after so many responses: the next one that is opened, or with further calls those after it.
    pub fn break_watch_after(&self, responses: usize) {
        self.cluster
            .change(|state| state.faults.break_watch_after(responses));
    }

    /// Faults that were ordered and have not happened.
    pub fn pending_faults(&self) -> usize {
        self.cluster.lock().faults.pending()
    }

    /// Breaks all connections.
    pub fn break_connections(&self) {
        self.cluster.change(|state| {
            for member in &mut state.members {
                member.breaks += 1;
            }
        });
    }

    /// A member's process ends. What it acknowledged is with the others.
    pub fn stop(&self, member: usize) {
        self.set(member, Condition::Away);
    }

    /// A member's process stands still.
    pub fn freeze(&self, member: usize) {
        self.set(member, Condition::Frozen);
    }

    /// A member is cut off from the others, but not from clients.
    pub fn partition(&self, member: usize) {
        self.set(member, Condition::Partitioned);
    }

    /// A member works again.
    pub fn heal(&self, member: usize) {
        self.set(member, Condition::Up);
    }

    fn set(&self, member: usize, condition: Condition) {
        self.cluster.change(|state| {
            if let Some(member) = state.members.get_mut(member) {
                member.condition = condition;
            }
        });
    }

    /// A member says that it is so many revisions behind, when a watch begins.
    pub fn set_behind(&self, member: usize, revisions: i64) {
        self.cluster.change(|state| {
            if let Some(member) = state.members.get_mut(member) {
                member.behind = revisions;
            }
        });
    }

    /// Moves the clock. Leases and tokens whose time is over end.
    pub fn advance(&self, by: Duration) {
        self.cluster.change(|state| state.advance(by));
    }

    /// The revision of the store.
    pub fn revision(&self) -> Revision {
        Revision(self.cluster.lock().store.revision())
    }

    /// Compacts everything before the revision of the store.
    ///
    /// # Errors
    /// It is compacted already.
    pub fn compact(&self) -> Result<Revision, Refusal> {
        self.cluster.change(|state| {
            let revision = state.store.revision();
            state.store.compact(revision)?;
            Ok(Revision(revision))
        })
    }

    /// Lets every watch that asked for it report its progress.
    pub fn report_progress(&self) {
        self.cluster.change(|state| state.progress_reports += 1);
    }

    /// Forgets all tokens, as members do when they start again.
    pub fn forget_tokens(&self) {
        self.cluster.change(|state| state.users.forget_tokens());
    }

    /// Changes the password of a user, whose tokens are good no longer.
    pub fn set_password(&self, user: &str, password: &str) {
        self.cluster
            .change(|state| state.users.set_password(user, password));
    }

    /// The largest proposal in bytes; 1.5 MiB at first.
    pub fn set_request_bytes_max(&self, bytes: usize) {
        self.cluster.change(|state| state.request_bytes_max = bytes);
    }

    /// The size from which on responses of watches come in fragments.
    pub fn set_fragment_bytes(&self, bytes: usize) {
        self.cluster.change(|state| state.fragment_bytes = bytes);
    }

    /// Puts the store back to an older revision, as from a copy of it, in the same cluster.
    pub fn put_back(&self, revision: Revision) {
        self.replace(|state| state.store = state.store.at(revision.0));
    }

    /// As [`put_back`](Self::put_back), with so many writes of other keys before a connection is opened.
    pub fn put_back_and_write(&self, revision: Revision, writes: i64) {
        self.replace(|state| state.store = state.store.at(revision.0).after_writes(writes));
    }

    /// Replaces the cluster by an empty one.
    pub fn wipe(&self) {
        self.replace(|state| {
            state.store = Store::new();
            state.id += 1;
        });
    }

    /// Changes the store while no connection is open.
    fn replace(&self, change: impl FnOnce(&mut State)) {
        self.cluster.change(|state| {
            change(state);
            for member in &mut state.members {
                member.breaks += 1;
            }
        });
    }

    /// Paths of the calls that were carried out, in order.
    pub fn calls(&self) -> Vec<&'static str> {
        self.cluster.lock().calls.clone()
    }
}
