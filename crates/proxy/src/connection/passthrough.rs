//! TLS connections that are passed through, by the host that their client names (SNI).

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use waypost_plan::balance::Balance;
use waypost_policy::balance;
use waypost_policy::decision::Verdict;
use waypost_policy::decision::connection;
use waypost_policy::failure::{Blame, Cause, Failure};
use waypost_policy::status::RequestStatus;
use waypost_transport::proxy_protocol::ProxiedAddresses;
use waypost_upstream::balance::hash;
use waypost_upstream::connect::ConnectOptions;
use waypost_upstream::lease;
use waypost_upstream::retry::tried::Tried;
use waypost_wire::authority::Authority;

use crate::local::buffers::RequestBuffers;
use crate::local::slots::ConnectionSlot;
use crate::local::snapshot::Snapshot;
use crate::observe::access_log::Ending;
use crate::request::client::Client;
use crate::request::watch::Watch;
use crate::request::{LiveTraffic, PASSED_THROUGH, Tunnel, failure_of};

/// The reason that there is no tunnel.
enum NoTunnel {
    Failed(Failure),
    /// The client left.
    Left(Cause),
}

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
        let mut buffers = self.worker.borrow_request();
        buffers.from_client.append(read);
        let connected = self.connect_for(&snapshot, host.as_deref(), &mut buffers).await;
        drop(snapshot);
        let status = match connected {
            Ok(_) => RequestStatus::http(PASSED_THROUGH),
            Err(NoTunnel::Failed(failure)) => RequestStatus::error(failure, failure.status(), None),
            Err(NoTunnel::Left(_)) => RequestStatus::default(),
        };
        if let Some(record) = self.observation.record() {
            record.status = status;
        }
        match connected {
            Ok(tunnel) => {
                self.observation.count(&self.worker, status);
                self.observation.end(Ending::Complete(Blame::Service));
                self.run_tunnel(Box::new(tunnel), buffers).await;
            }
            Err(none) => {
                match none {
                    NoTunnel::Failed(failure) => self.observation.fail(&self.worker, failure),
                    NoTunnel::Left(cause) => self.observation.end(Ending::Cut(cause)),
                }
                self.observation.count(&self.worker, status);
                self.worker.return_request(buffers);
            }
        }
    }

    /// Connects to the service that takes connections for `host`.
    async fn connect_for(
        &mut self,
        snapshot: &Rc<Snapshot>,
        host: Option<&[u8]>,
        buffers: &mut RequestBuffers,
    ) -> Result<Tunnel, NoTunnel> {
        let listener = self.listener_in(snapshot);
        let mut live = LiveTraffic {
            worker: &self.worker,
            snapshot,
            observation: &mut self.observation,
            rolled: Cell::default(),
        };
        let compiled = snapshot.generation.compiled();
        let peer = &self.peer;
        let decision = &mut buffers.decision;
        let decision = connection::decide_connection(compiled, &listener, peer, host, &mut live, decision);
        live.note(&decision);
        let forwarding = match decision.verdict {
            Verdict::Forward(forwarding) => forwarding,
            Verdict::Fail(failure) => return Err(NoTunnel::Failed(failure)),
            // Only requests are redirected or responded to.
            Verdict::Redirect { .. } | Verdict::Respond(_) | Verdict::Wait(_) => {
                return Err(NoTunnel::Failed(Failure::NoRoute));
            }
        };
        let service = self.worker.service(snapshot, forwarding.service);
        let timeouts = forwarding.policies.timeouts;
        let key = match &service.declared().balance {
            Balance::Hash(key) => balance::connection_value(key, &self.peer).map(hash::key),
            Balance::RoundRobin | Balance::LeastRequest | Balance::Random => None,
        };
        let options = ConnectOptions {
            reuse: None,
            http1: false,
            raw: true,
            addresses: (!self.peer.is_unaddressed()).then(|| ProxiedAddresses {
                client: self.peer.address(),
                local: self.peer.local,
            }),
            timeout: timeouts.connect,
            deadline: None,
            key,
            attempt: None,
            may_wait: true,
        };
        let mut tried = Tried::default();
        let lease = {
            let (link, mut watch) = (&mut self.link, Watch::of_connection());
            let mut acquired = pin!(lease::acquire(
                self.worker.upstreams(),
                &service,
                &options,
                None,
                None,
                &mut tried
            ));
            poll_fn(|cx| {
                if let Poll::Ready(acquired) = acquired.as_mut().poll(cx) {
                    return Poll::Ready(acquired.map_err(|error| NoTunnel::Failed(failure_of(error))));
                }
                let left = watch.poll_left(cx, link, &mut buffers.from_client);
                left.map(|cause| Err(NoTunnel::Left(cause)))
            })
            .await
        };
        self.observation
            .note_attempts(&self.worker, tried.failed, lease.is_ok());
        let lease = lease?;
        if let Some(record) = self.observation.record() {
            record.endpoint = Some(lease.address().clone());
            record.mark_sent();
        }
        Ok(Tunnel {
            lease,
            status: None,
            idle: timeouts.over(service.declared().timeouts).tunnel,
        })
    }
}
