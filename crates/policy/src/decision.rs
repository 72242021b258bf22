//! Decisions: the sequence of rules that every request goes through.
//!
//! [`decide`] is called for HTTP/1 and HTTP/2 traffic, by `explain` and by `waypost test`; [`decide_connection`] for TLS
//! connections that are passed through, live or explained. Nothing else decides. The order is that of the [`Step`]s, and
//! it is the same for every request:
//!
//! 1. head: its limits, its form, and the normal form of the request ([`NormalizedRequest`](crate::request::NormalizedRequest))
//! 2. listener: a request for the server, `OPTIONS *`, gets 204; a host that is served another certificate is 421, one that
//!    the listener does not serve is 404
//! 3. the listener's redirect, unless it leads back to where the client is
//! 4. route: the best alternative whose conditions hold, else 404
//! 5. access: a client whose address is not admitted gets 403
//! 9. body limit: an announced body over the limit of the route, else of the listener, is 413
//! 10. the route's action: a redirect, a response, or a service
//! 12. arm, rewrite, edits of the request
//! 13. balance: an endpoint, and retries
//!
//! From step 5 on, the policies in force are those of the route where requests come in by this listener, resolved at load.
//! The response goes the way back: the head of the service or our own, a sticky cookie, then the edits of
//! `response_headers`, which errors have too.
//!
//! Texts with values of the request are filled in here too, where they are needed, and those for the response last.
//!
//! An extended CONNECT (RFC 8441) is refused if its route cannot upgrade it: to the client, a success would mean that
//! the tunnel is established.

use std::borrow::Cow;
use std::cell::Cell;

use waypost_plan::Plan;
use waypost_plan::listener::Listener;
use waypost_plan::policies::{Policies, PolicySet};
use waypost_plan::redirect::Redirect;
use waypost_plan::rewrite::{Reverse, Rewrite};
use waypost_plan::route::{Action, Forward, Respond, Route};
use waypost_plan::service::{Endpoint, SentHost, ServiceId};
use waypost_plan::split_policies::SplitPolicySet;
use waypost_plan::sticky::StickyKey;
use waypost_plan::value::fill::FillError;
use waypost_route::attribute::{Attribute, Attributes};
use waypost_route::path::PathPattern;
use waypost_route::request::{Headers, Request};
use waypost_route::table::{Found, Scratch};
use waypost_wire::request::RequestError;

use crate::arm::ArmChoice;
use crate::client::ClientSide;
use crate::compiled::Compiled;
use crate::failure::Failure;
use crate::filled::Filled;
use crate::head::reverse::WayBack;
use crate::peer::Peer;
use crate::request::IncomingRequest;
use crate::request_id::{RequestId, Uuid};
use crate::server_options;
use crate::step::Step;
use crate::values::{self, Circumstances, NoValues, RequestValues};

/// The inputs of a decision other than the plan and the request.
pub trait Environment: Circumstances {
    /// A roll of the dice, uniform in `0..2^64`.
    fn roll(&self) -> u64;

    /// Random bits for the sticky cookie of a new client; `None` if no client gets one, and the dice decide.
    fn new_cookie(&self) -> Option<[u64; 2]>;

    /// Returns true if the service has an endpoint whose address is known.
    fn has_endpoint(&self, service: ServiceId) -> bool;

    /// Called once with the route that takes the request, as soon as it is known.
    fn found(&mut self, _position: usize) {}
}

/// Memory that decisions work in and leave their results in; reused for the next request.
#[derive(Debug, Default)]
pub struct DecisionBuffers {
    /// Scratch memory of [`waypost_route::table::Table::find`].
    pub matching: Scratch,
    /// Scratch memory for a value.
    pub scratch: Vec<u8>,
    /// The rewritten path of [`Verdict::Forward`]; see [`Forwarding::path`].
    pub path: Vec<u8>,
    /// The `location` of [`Verdict::Redirect`].
    pub location: Vec<u8>,
    /// The `set-cookie` value that keeps the client on its arm; empty for none.
    pub set_cookie: Vec<u8>,
    /// The texts that are filled in.
    pub filled: Filled,
    /// The id that was made for the request, if one was needed.
    pub request_id: Cell<Option<Uuid>>,
    /// The route that takes the request and its alternative, by position; `None` before one is found.
    taken: Option<Found>,
    /// The service of the arm, once one is chosen.
    service: Option<ServiceId>,
    /// The way back of [`Verdict::Forward`] where its rewrite moves the service; see [`Forwarding::way_back`].
    way_back: WayBack,
}

/// The decision for a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision<'p> {
    /// The route that takes the request, by position.
    pub route: Option<usize>,
    /// The arm of the route's split that takes it, and the rule that picked it.
    pub arm: Option<(usize, ArmChoice)>,
    /// The policies in force, once they are known; else those of the listener are.
    pub policies: Option<&'p Policies>,
    /// The step that it ends with; `None` where a service gets the request.
    pub stopped: Option<Step>,
    /// The verdict.
    pub verdict: Verdict<'p>,
}

/// The result of a decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict<'p> {
    /// The gateway responds with an error.
    Fail(Failure),
    /// The client is redirected to [`DecisionBuffers::location`].
    Redirect {
        /// The status.
        status: u16,
    },
    /// The gateway sends a response that a route configures, or that to `OPTIONS *`.
    Respond(&'p Respond),
    /// A service gets the request.
    Forward(Forwarding<'p>),
}

/// A request on its way to a service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forwarding<'p> {
    /// The route.
    pub route: &'p Route,
    /// Its action.
    pub forward: &'p Forward,
    /// The policies in force.
    pub policies: &'p PolicySet,
    /// The service of the arm that takes the request.
    pub service: ServiceId,
    /// The `Host` that the service gets, unless the route rewrites it.
    pub host: &'p SentHost,
}

impl Forwarding<'_> {
    /// The path that the service gets, without query: the rewritten one, or the client's in its normal form.
    pub fn path<'b>(&self, normalized: &'b [u8], buffers: &'b DecisionBuffers) -> &'b [u8] {
        if self.policies.rewrite.path.keeps() {
            normalized
        } else {
            &buffers.path
        }
    }

    /// The query that the service gets: the rewritten one, or the client's.
    pub(crate) fn query<'b>(
        &self,
        query: Option<&'b [u8]>,
        buffers: &'b DecisionBuffers,
    ) -> Option<&'b [u8]> {
        if self.policies.rewrite.query.keeps() {
            query
        } else {
            buffers.filled.query.get(1..)
        }
    }

    /// Returns true if the service sees another place than the client, and the way back can be computed.
    fn moves(&self) -> bool {
        self.policies.rewrite.moves() || *self.host != SentHost::Client
    }

    /// The client's prefix, where the service sees another.
    pub fn replaced_prefix<'b>(&self, buffers: &'b DecisionBuffers) -> Option<&'b [u8]> {
        self.moves().then_some(&buffers.way_back)?.forwarded_prefix()
    }

    /// Notes that the request goes to this endpoint.
    pub fn note_endpoint(&self, endpoint: &Endpoint, buffers: &mut DecisionBuffers) {
        if self.moves() {
            buffers.way_back.set_endpoint(endpoint);
        }
    }

    /// The way back for the response, if it is mapped.
    pub fn way_back<'b>(&self, buffers: &'b DecisionBuffers) -> Option<&'b WayBack> {
        let rewrite = &self.policies.rewrite;
        (self.moves() && rewrite.reverse == Reverse::On).then_some(&buffers.way_back)
    }
}

impl DecisionBuffers {
    /// Discards results, and memory beyond `keep` bytes each.
    pub fn tidy(&mut self, keep: usize) {
        for bytes in [
            &mut self.scratch,
            &mut self.path,
            &mut self.location,
            &mut self.set_cookie,
        ] {
            bytes.clear();
            bytes.shrink_to(keep);
        }
        self.filled.tidy(keep);
        self.way_back.tidy(keep);
    }

    /// Forgets the last request, before the next one is decided on.
    pub fn forget(&mut self) {
        self.request_id.set(None);
        self.taken = None;
        self.service = None;
    }

    /// Fills in the edits to a response of `listener` to a request that has no values: it is malformed.
    pub fn fill_refusal(&mut self, listener: &Listener) {
        let edits = &listener.policies.response_headers;
        if edits.has_templates() {
            self.filled.response_lines.clear();
            edits.fill(&NoValues, &mut self.filled.response_lines);
        }
    }

    /// The id of a request, on a listener that sends it to services and clients.
    pub fn sent_id<'a>(&self, listener: &Listener, client: &'a ClientSide) -> Option<RequestId<'a>> {
        if !listener.request_id {
            return None;
        }
        let given = client.request_id().map(RequestId::Given);
        given.or_else(|| self.request_id.get().map(RequestId::Made))
    }
}

/// The place of a request whose values are filled in after it was decided on, as for an error page.
#[derive(Debug, Clone)]
pub struct ValuePlace<'p> {
    pattern: Cow<'p, PathPattern>,
    /// Empty without one.
    route: &'p str,
    /// Empty before one is chosen.
    service: &'p str,
}

impl<'p> ValuePlace<'p> {
    /// The place of the request that was decided on with `buffers`.
    pub fn of(plan: &'p Plan, buffers: &DecisionBuffers) -> Self {
        let service = buffers.service.map_or("", |service| &plan.service(service).name);
        let Some(taken) = buffers.taken else {
            return Self {
                pattern: Cow::Owned(PathPattern::any()),
                route: "",
                service,
            };
        };
        let matching = &plan.routes()[taken.route].matching;
        Self {
            pattern: Cow::Borrowed(&matching.alternatives[taken.alternative].path),
            route: &matching.name,
            service,
        }
    }

    /// The values of `request`; `made` keeps its id.
    pub fn values<'a>(
        &'a self,
        request: &'a IncomingRequest<'a>,
        circumstances: &'a dyn Circumstances,
        made: &'a Cell<Option<Uuid>>,
    ) -> RequestValues<'a> {
        RequestValues::of(request, &self.pattern, circumstances, made).named(self.route, self.service)
    }
}

impl<'p> Decision<'p> {
    /// A failure before any route is known.
    pub fn fail(step: Step, failure: Failure) -> Self {
        Self::before_routes(step, Verdict::Fail(failure))
    }

    fn before_routes(step: Step, verdict: Verdict<'p>) -> Self {
        Self {
            route: None,
            arm: None,
            policies: None,
            stopped: Some(step),
            verdict,
        }
    }

    /// The policies in force for a request that came in by `listener`.
    pub fn policies<'l>(&self, listener: &'l Listener) -> &'l Policies
    where
        'p: 'l,
    {
        self.policies.unwrap_or(&listener.policies)
    }

    /// Returns true if the decision got as far as the routes.
    pub fn reached_routes(&self) -> bool {
        self.route.is_some() || matches!(self.verdict, Verdict::Fail(Failure::NoRoute))
    }
}

/// Decides what happens to a request. Results that need memory are left in `buffers`.
pub fn decide<'p>(
    compiled: &'p Compiled,
    request: &IncomingRequest<'_>,
    environment: &mut impl Environment,
    buffers: &mut DecisionBuffers,
) -> Decision<'p> {
    let decision = judge(compiled, request, environment, buffers);
    let edits = &request.listener.policies.response_headers;
    if decision.policies.is_none() && edits.has_templates() {
        let pattern = PathPattern::any();
        let values = RequestValues::of(request, &pattern, environment, &buffers.request_id);
        let lines = &mut buffers.filled.response_lines;
        lines.clear();
        edits.fill(&values, lines);
    }
    decision
}

/// Takes the steps in their order.
fn judge<'p>(
    compiled: &'p Compiled,
    request: &IncomingRequest<'_>,
    environment: &mut impl Environment,
    buffers: &mut DecisionBuffers,
) -> Decision<'p> {
    buffers.set_cookie.clear();
    buffers.forget();
    if request.listener.request_id {
        values::request_id(request, environment, &buffers.request_id);
    }
    if request.head.targets_server(request.buffer) {
        return Decision {
            policies: Some(&server_options::POLICIES),
            ..Decision::before_routes(Step::Host, Verdict::Respond(&server_options::RESPONSE))
        };
    }
    // The connection is about the host that the peer asked for.
    if !request.peer.is_authoritative_for(request.normalized.host()) {
        return Decision::fail(Step::Host, Failure::Misdirected);
    }
    if !request.listener.serves(request.normalized.matched_host()) {
        return Decision::fail(Step::Host, Failure::HostNotServed);
    }
    if let Some(redirect) = &request.listener.redirect
        && let Some(verdict) = redirect_all(redirect, request, environment, buffers)
    {
        return Decision::before_routes(Step::ListenerRedirect, verdict);
    }
    let fields = request.fields();
    let conditions = request.conditions(&fields);
    let Some(found) = compiled.requests().find(&conditions, &mut buffers.matching) else {
        return Decision::fail(Step::Route, Failure::NoRoute);
    };
    environment.found(found.route);
    buffers.taken = Some(found);
    act(compiled, request, &conditions, found, environment, buffers)
}

/// Applies the route that was found.
fn act<'p>(
    compiled: &'p Compiled,
    request: &IncomingRequest<'_>,
    conditions: &Request<'_>,
    found: Found,
    environment: &mut impl Environment,
    buffers: &mut DecisionBuffers,
) -> Decision<'p> {
    let plan = compiled.plan();
    let route = &plan.routes()[found.route];
    let pattern = &route.matching.alternatives[found.alternative].path;
    let policies = plan.policies(route, request.listener);
    let edits = &policies.response_headers;
    let decision = act_by(
        compiled,
        request,
        conditions,
        found,
        policies,
        environment,
        buffers,
    );
    if edits.has_templates() {
        let arm = decision.arm.zip(route.forward());
        let service = arm.map_or("", |((arm, _), forward)| &*plan.service(forward.arms[arm]).name);
        let name = &route.matching.name;
        let values = RequestValues::of(request, pattern, environment, &buffers.request_id);
        let lines = &mut buffers.filled.response_lines;
        lines.clear();
        edits.fill(&values.named(name, service), lines);
    }
    decision
}

/// Applies the policies in force and the action of the route; the edits to the response are filled in behind it.
fn act_by<'p>(
    compiled: &'p Compiled,
    request: &IncomingRequest<'_>,
    conditions: &Request<'_>,
    found: Found,
    policies: &'p Policies,
    environment: &mut impl Environment,
    buffers: &mut DecisionBuffers,
) -> Decision<'p> {
    let plan = compiled.plan();
    let route = &plan.routes()[found.route];
    let pattern = &route.matching.alternatives[found.alternative].path;
    let decision = |stopped, verdict| Decision {
        route: Some(found.route),
        arm: None,
        policies: Some(policies),
        stopped,
        verdict,
    };
    let stop = |step, verdict| decision(Some(step), verdict);
    if !policies.access.admits(request.normalized.client_ip()) {
        return stop(Step::Access, Verdict::Fail(Failure::AccessDenied));
    }
    if request.exceeds_body_limit(policies) {
        return stop(Step::BodyLimit, Verdict::Fail(Failure::BodyTooLarge));
    }
    let values = |made| {
        let values = RequestValues::of(request, pattern, &*environment, made);
        values.named(&route.matching.name, "")
    };
    match &route.action {
        Action::Redirect(redirect) => {
            let values = values(&buffers.request_id);
            let location = &mut buffers.location;
            stop(
                Step::Action,
                locate(redirect, request, pattern, &values, location),
            )
        }
        Action::Respond(respond) if request.demands_upgrade && respond.status < 300 => stop(
            Step::Action,
            Verdict::Fail(Failure::Request(RequestError::Method)),
        ),
        Action::Respond(respond) => {
            if !respond.body.is_literal() {
                let body = &mut buffers.filled.body;
                body.clear();
                respond.body.fill(&values(&buffers.request_id), body);
            }
            stop(Step::Action, Verdict::Respond(respond))
        }
        Action::Forward(forward) => {
            let uses_tls = || request.client_uses_tls();
            let arm = pick_arm(
                compiled,
                found.route,
                forward,
                conditions,
                uses_tls,
                environment,
                buffers,
            );
            let Some((position, _)) = arm else {
                return stop(Step::Rewrite, Verdict::Fail(Failure::NoArm));
            };
            let service = forward.arms[position];
            buffers.service = Some(service);
            let declared = plan.service(service);
            let forwarding = Forwarding {
                route,
                forward,
                policies,
                service,
                host: &declared.host,
            };
            let forwarded = forward_to(forwarding, &declared.name, request, pattern, environment, buffers);
            Decision {
                arm,
                ..match forwarded {
                    Ok(()) => decision(None, Verdict::Forward(forwarding)),
                    Err((step, failure)) => stop(step, Verdict::Fail(failure)),
                }
            }
        }
    }
}

/// Rewrites and edits the request for the service of its arm, which is called `service`, and checks what can keep it from
/// there.
fn forward_to(
    forwarding: Forwarding<'_>,
    service: &str,
    request: &IncomingRequest<'_>,
    pattern: &PathPattern,
    environment: &impl Environment,
    buffers: &mut DecisionBuffers,
) -> Result<(), (Step, Failure)> {
    let policies = forwarding.policies;
    let DecisionBuffers {
        path,
        filled,
        request_id,
        way_back,
        ..
    } = buffers;
    let values = RequestValues::of(request, pattern, environment, request_id);
    let values = values.named(&forwarding.route.matching.name, service);
    path.clear();
    if rewrite(&policies.rewrite, request, pattern, &values, path, filled).is_err() {
        return Err((Step::Rewrite, Failure::Rewrite));
    }
    if policies.request_headers.has_templates() {
        filled.request_lines.clear();
        policies.request_headers.fill(&values, &mut filled.request_lines);
    }
    if forwarding.moves() {
        way_back.find(
            &policies.rewrite,
            forwarding.host,
            request,
            pattern,
            &values,
            &filled.host,
        );
    }
    if request.demands_upgrade && request.upgrade(policies).is_none() {
        return Err((Step::Rewrite, Failure::Request(RequestError::Method)));
    }
    if !environment.has_endpoint(forwarding.service) {
        return Err((Step::Balance, Failure::NoEndpoint));
    }
    Ok(())
}

/// Leaves the rewritten path in `path`, and host and query in `filled`, as far as they are not as they were.
fn rewrite(
    rewrite: &Rewrite,
    request: &IncomingRequest<'_>,
    pattern: &PathPattern,
    values: &RequestValues<'_>,
    path: &mut Vec<u8>,
    filled: &mut Filled,
) -> Result<(), FillError> {
    if !rewrite.path.keeps() {
        let client_path = request.normalized.path();
        let options = request.listener.paths;
        rewrite.path.apply(client_path, pattern, options, values, path)?;
    }
    if !rewrite.query.keeps() {
        filled.query.clear();
        let query = request.head.query(request.buffer);
        rewrite.query.write(query, values, &mut filled.query);
    }
    if let Some(host) = &rewrite.host
        && !host.is_literal()
    {
        filled.host.clear();
        host.fill_host(values, true, &mut filled.host)?;
    }
    Ok(())
}

/// Redirects the request as its listener does with every one, unless that leads back to where the client is.
fn redirect_all<'p>(
    redirect: &Redirect,
    request: &IncomingRequest<'_>,
    environment: &impl Environment,
    buffers: &mut DecisionBuffers,
) -> Option<Verdict<'p>> {
    let pattern = PathPattern::any();
    let values = RequestValues::of(request, &pattern, environment, &buffers.request_id);
    let location = &mut buffers.location;
    (!redirect.leads_back(&request.url(), &values))
        .then(|| locate(redirect, request, &pattern, &values, location))
}

/// Leaves the `location` of a redirect in `location`.
fn locate<'p>(
    redirect: &Redirect,
    request: &IncomingRequest<'_>,
    pattern: &PathPattern,
    values: &RequestValues<'_>,
    location: &mut Vec<u8>,
) -> Verdict<'p> {
    location.clear();
    let url = request.url();
    match redirect.location(&url, pattern, request.listener.paths, values, location) {
        Ok(()) => Verdict::Redirect {
            status: redirect.status,
        },
        Err(_) => Verdict::Fail(Failure::Rewrite),
    }
}

/// The arm that takes a request, and the rule that picked it; `None` when no arm has a weight. A new client of a sticky
/// cookie gets one in `buffers`, which is `Secure` if `uses_tls` returns true.
fn pick_arm(
    compiled: &Compiled,
    route: usize,
    forward: &Forward,
    conditions: &Request<'_>,
    uses_tls: impl FnOnce() -> bool,
    environment: &impl Environment,
    buffers: &mut DecisionBuffers,
) -> Option<(usize, ArmChoice)> {
    let policies: &SplitPolicySet = &forward.split_policies;
    let mut choice = ArmChoice::Dice { wants_cookie: false };
    if policies.sticky.is_some() || policies.force.is_some() {
        choice = ArmChoice::of(policies, conditions, &mut buffers.scratch, &mut buffers.path);
    }
    if choice == (ArmChoice::Dice { wants_cookie: true })
        && let Some(sticky) = &policies.sticky
        && let StickyKey::Cookie(cookie) = &sticky.key
        && let Some([high, low]) = environment.new_cookie()
    {
        let value = format!("{high:016x}{low:016x}");
        choice = ArmChoice::Cohort(sticky.roll(value.as_bytes(), &mut buffers.scratch));
        cookie.write(value.as_bytes(), uses_tls(), &mut buffers.set_cookie);
    }
    let arm = compiled.with_split(route, &forward.split, |split| {
        choice.pick(split, || environment.roll())
    });
    Some((arm?, choice))
}

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
        return Decision {
            route: Some(found.route),
            arm: None,
            policies: Some(policies),
            stopped: Some(Step::Access),
            verdict: Verdict::Fail(Failure::AccessDenied),
        };
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
        route: Some(found.route),
        arm,
        policies: Some(policies),
        stopped,
        verdict,
    }
}
