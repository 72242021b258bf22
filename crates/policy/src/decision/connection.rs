//! Connections whose TLS is passed through.

use waypost_plan::listener::Listener;
use waypost_plan::route::Action;
use waypost_plan::service::SentHost;
use waypost_route::attribute::{Attribute, Attributes};
use waypost_route::request::{Headers, Request};

use super::steps::pick_arm;
use super::{Decision, DecisionBuffers, Environment, Forwarding, Verdict};
use crate::compiled::Compiled;
use crate::failure::Failure;
use crate::peer::Peer;
use crate::step::Step;

/// The fields of a passed-through connection, as conditions look them up: no headers, and of the attributes the listener.
pub struct ConnectionFields<'a> {
    listener: &'a Listener,
}

impl Headers for ConnectionFields<'_> {
    fn lines(&self, _: &str, _: &mut dyn FnMut(&[u8])) {}
}

impl Attributes for ConnectionFields<'_> {
    fn values(&self, attribute: Attribute, visit: &mut dyn FnMut(&[u8])) {
        if attribute == Attribute::Listener {
            visit(self.listener.label().as_bytes());
        }
    }
}

impl<'a> ConnectionFields<'a> {
    /// The fields of a connection that came in by `listener`.
    pub fn of(listener: &'a Listener) -> Self {
        Self { listener }
    }

    /// The conditions' view of a connection to `host`, in its normal form.
    pub fn conditions(&'a self, peer: &Peer, host: Option<&'a [u8]>) -> Request<'a> {
        Request {
            host,
            path: b"/",
            query: None,
            method: b"",
            client_ip: peer.ip(),
            headers: self,
            attributes: self,
        }
    }
}

/// Decides what happens to a TLS connection that is passed through, by the host that its client names, in its normal
/// form.
pub fn decide_connection<'p>(
    compiled: &'p Compiled,
    listener: &Listener,
    peer: &Peer,
    host: Option<&[u8]>,
    environment: &mut impl Environment,
    buffers: &mut DecisionBuffers,
) -> Decision<'p> {
    buffers.set_cookie.clear();
    if !listener.serves(host) {
        return Decision::fail(Step::Host, Failure::HostNotServed);
    }
    let fields = ConnectionFields::of(listener);
    let conditions = fields.conditions(peer, host);
    let Some(found) = compiled.connections().find(&conditions, &mut buffers.matching) else {
        return Decision::fail(Step::Route, Failure::NoRoute);
    };
    environment.found(found.route);
    let route = &compiled.plan().routes()[found.route];
    let Action::Forward(forward) = &route.action else {
        return Decision::fail(Step::Route, Failure::NoRoute);
    };
    let policies = compiled.plan().policies(route, listener);
    if !policies.access.admits(peer.ip()) {
        let verdict = Verdict::Fail(Failure::AccessDenied);
        return Decision::of_route(found.route, policies, Some(Step::Access), verdict);
    }
    let arm = pick_arm(
        compiled,
        found.route,
        forward,
        &conditions,
        || true,
        environment,
        buffers,
    );
    let (stopped, verdict) = match arm {
        None => (Some(Step::Rewrite), Verdict::Fail(Failure::NoArm)),
        Some((arm, _)) if !environment.has_endpoint(forward.arms[arm]) => {
            (Some(Step::Balance), Verdict::Fail(Failure::NoEndpoint))
        }
        Some((arm, _)) => (
            None,
            Verdict::Forward(Forwarding {
                route,
                forward,
                policies,
                service: forward.arms[arm],
                host: &SentHost::Client,
            }),
        ),
    };
    Decision {
        arm,
        ..Decision::of_route(found.route, policies, stopped, verdict)
    }
}
