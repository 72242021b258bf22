//! A connection under TLS that is passed on as it is, by the host that its client names.

use std::rc::Rc;
use std::sync::Arc;

use waypost_plan::route::Action;
use waypost_route::request::{Headers, Request};

use crate::answer::Failure;
use crate::arm;
use crate::client::tunnel::Tunnel;
use crate::client::{COMPLETE, Client};
use crate::exchange::connect::{Need, lease};
use crate::worker::{Seat, Snapshot};

/// What is recorded of a connection that was passed on: it is no request, and has no status of its own.
const PASSED: u16 = 200;

/// A connection shows no headers.
struct NoHeaders;

impl Headers for NoHeaders {
    fn lines(&self, _: &str, _: &mut dyn FnMut(&[u8])) {}
}

impl Client {
    /// Passes the connection on until it ends. `read` is what the client has said.
    pub(super) async fn serve_connection(mut self, host: Option<&str>, read: &[u8], seat: &Seat) {
        seat.sit().await;
        let snapshot = self.worker.snapshot();
        self.expect_request(&snapshot);
        let host = host.map(|host| host.trim_end_matches('.').to_ascii_lowercase());
        if let Some(record) = &mut self.record {
            record.host = host.clone().unwrap_or_default().into_bytes();
        }
        let connected = self.connect_for(&snapshot, host.as_deref()).await;
        drop(snapshot);
        match connected {
            Ok(tunnel) => {
                self.count(PASSED, None);
                self.note_end("service", COMPLETE);
                if let Some(record) = &mut self.record {
                    record.status = PASSED;
                }
                self.tunnel = Some(tunnel);
                let mut workspace = self.worker.borrow_workspace();
                workspace.from_client.append(read);
                self.pass_through(workspace).await;
            }
            Err(failure) => {
                self.note_failure(failure);
                self.worker.recorder().failed(failure);
                if let Some(record) = &mut self.record {
                    record.status = failure.status();
                }
                self.count(failure.status(), None);
            }
        }
    }

    /// A connection to the service that gets those for `host`.
    async fn connect_for(&mut self, snapshot: &Rc<Snapshot>, host: Option<&str>) -> Result<Tunnel, Failure> {
        let listener = self.listener_in(snapshot);
        let host = host.map(str::as_bytes);
        if !listener.serves(host) {
            return Err(Failure::HostNotServed);
        }
        let request = Request {
            host,
            path: b"/",
            query: None,
            method: b"",
            client_ip: self.peer.ip(),
            headers: &NoHeaders,
        };
        let mut workspace = self.worker.borrow_workspace();
        let generation = &snapshot.generation;
        let found = generation
            .passing_through()
            .find(&request, &mut workspace.matching);
        let picked = found.and_then(|found| {
            let route = &generation.plan().routes()[found.route];
            let Action::Forward(forward) = &route.action else {
                return None;
            };
            let decider = arm::decider(&forward.policies, &request, &mut Vec::new(), &mut Vec::new());
            let arm = generation.with_split(found.route, &forward.split, |split| {
                decider.arm(split, || self.worker.roll())
            });
            Some((found.route, route, forward, arm))
        });
        self.worker.return_workspace(workspace);
        let (position, route, forward, arm) = picked.ok_or(Failure::NoRoute)?;
        if let Some(record) = &mut self.record {
            record.route = Some(Arc::clone(&route.matching.name));
        }
        if let Some(meter) = &mut self.meter {
            meter.has_route(position);
        }
        let arm = arm.ok_or(Failure::NoArm)?;
        if let Some(meter) = &mut self.meter {
            meter.has_arm(arm);
        }
        let service = self.worker.service(snapshot, forward.arms[arm]);
        let need = Need {
            reuse: None,
            http1: false,
            raw: true,
            ends: Some(self.peer.ends()),
            deadline: None,
        };
        let mut failed = 0;
        let leased = lease(&self.worker, &service, need, &mut failed).await;
        self.note_attempts(failed, leased.is_ok());
        let leased = leased?;
        if let Some(record) = &mut self.record {
            record.service = Some(Arc::clone(&service.state().service().name));
            record.endpoint = Some(leased.target.address);
            record.asked_now();
        }
        Ok(Tunnel {
            service: leased.link,
            idle: service.state().service().timeouts.tunnel,
        })
    }
}
