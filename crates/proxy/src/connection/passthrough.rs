//! TLS connections that are passed through, by the host that their client names (SNI).

use std::cell::Cell;
use std::rc::Rc;

use waypost_plan::balance::Balance;
use waypost_policy::balance;
use waypost_policy::decision::{self, Verdict};
use waypost_policy::failure::{Blame, Failure};
use waypost_policy::status::RequestStatus;
use waypost_transport::proxy_protocol::ProxiedAddresses;
use waypost_upstream::balance::hash;
use waypost_upstream::connect::ConnectOptions;
use waypost_upstream::lease;
use waypost_wire::authority::Authority;

use crate::local::slots::ConnectionSlot;
use crate::local::snapshot::Snapshot;
use crate::observe::access_log::Ending;
use crate::request::client::Client;
use crate::request::{LiveTraffic, Tunnel, failure_of};

/// The status logged for a passed-through connection, which has none.
const PASSED_THROUGH: u16 = 200;

impl Client {
    /// Passes the connection through until it ends. `host` is the one that the client names, `read` the bytes that it
    /// sent.
    pub(crate) async fn pass_through(mut self, host: Option<&str>, read: &[u8], slot: &ConnectionSlot) {
        slot.register().await;
        let snapshot = self.worker.snapshot();
        self.expect_request(&snapshot);
        let host = host.and_then(|host| Authority::parse(host.as_bytes()).ok());
        let host = host.map(|host| {
            let mut normalized = Vec::new();
            host.normalize_into(&mut normalized);
            normalized
        });
        if let Some(record) = self.observation.record() {
            record.host = host.clone().unwrap_or_default();
        }
        let connected = self.connect_for(&snapshot, host.as_deref()).await;
        drop(snapshot);
        let status = match connected {
            Ok(_) => RequestStatus::http(PASSED_THROUGH),
            Err(failure) => RequestStatus::error(failure, failure.status(), None),
        };
        if let Some(record) = self.observation.record() {
            record.status = status;
        }
        match connected {
            Ok(tunnel) => {
                self.observation.count(&self.worker, status);
                self.observation.end(Ending::Complete(Blame::Service));
                let mut buffers = self.worker.borrow_request();
                buffers.from_client.append(read);
                self.run_tunnel(tunnel, buffers).await;
            }
            Err(failure) => {
                self.observation.fail(&self.worker, failure);
                self.observation.count(&self.worker, status);
            }
        }
    }

    /// Connects to the service that takes connections for `host`.
    async fn connect_for(&mut self, snapshot: &Rc<Snapshot>, host: Option<&[u8]>) -> Result<Tunnel, Failure> {
        let listener = self.listener_in(snapshot);
        let mut buffers = self.worker.borrow_request();
        let mut live = LiveTraffic {
            worker: &self.worker,
            snapshot,
            observation: &mut self.observation,
            rolled: Cell::default(),
        };
        let compiled = snapshot.generation.compiled();
        let peer = &self.peer;
        let decision = &mut buffers.decision;
        let decision = decision::decide_connection(compiled, &listener, peer, host, &mut live, decision);
        live.note(&decision);
        self.worker.return_request(buffers);
        let forwarding = match decision.verdict {
            Verdict::Forward(forwarding) => forwarding,
            Verdict::Fail(failure) => return Err(failure),
            // Only requests are redirected or responded to.
            Verdict::Redirect { .. } | Verdict::Respond { .. } => return Err(Failure::NoRoute),
        };
        let service = self.worker.service(snapshot, forwarding.service);
        let key = match &service.declared().balance {
            Balance::Hash(key) => balance::connection_value(key, &self.peer).map(hash::key),
            Balance::RoundRobin | Balance::LeastRequest | Balance::Random => None,
        };
        let options = ConnectOptions {
            reuse: None,
            http1: false,
            raw: true,
            addresses: Some(ProxiedAddresses {
                client: self.peer.address(),
                local: self.peer.local,
            }),
            deadline: None,
            key,
        };
        let mut failed = 0;
        let lease = lease::acquire(self.worker.upstreams(), &service, options, &mut failed).await;
        self.observation
            .note_attempts(&self.worker, failed, lease.is_ok());
        let lease = lease.map_err(failure_of)?;
        if let Some(record) = self.observation.record() {
            record.endpoint = Some(lease.address().clone());
            record.mark_sent();
        }
        Ok(Tunnel {
            lease,
            status: None,
            idle: service.declared().timeouts.tunnel,
        })
    }
}
