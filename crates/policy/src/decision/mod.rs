//! Decisions: the sequence of rules that every request goes through.
//!
//! [`decide`] is called for HTTP/1 and HTTP/2 traffic, by `explain` and by `waypost test`; [`decide_connection`](connection::decide_connection) for TLS
//! connections that are passed through, live or explained. Nothing else decides. The order is that of the [`Step`]s, and
//! it is the same for every request:
//!
//! 1. head: its limits, its form, and the normal form of the request ([`NormalizedRequest`](crate::request::NormalizedRequest))
//! 2. listener: a request for the server, `OPTIONS *`, gets 204; a host that is served another certificate is 421, one that
//!    the listener does not serve is 404
//! 3. the listener's redirect, unless it leads back to where the client is
//! 4. route: the best alternative whose conditions hold, else 404
//! 5. access: a client whose address is not admitted gets 403
//! 6. CORS: a preflight gets 204, by the route that the method asked for would take, if a policy is in force there
//! 7. auth: a client that does not prove who it is gets 401, one that may not pass 403
//! 8. rate: a client over a limit gets 429; the request is counted here, and nowhere else
//! 9. body limit: an announced body over the limit of the route, else of the listener, is 413
//! 10. the route's action: a redirect, a response, or a service
//! 12. arm, rewrite, edits of the request
//! 13. balance: an endpoint, and retries
//!
//! From step 5 on, the policies in force are those of the route where requests come in by this listener, resolved at load.
//! The response goes the way back: the head of the service or our own, a sticky cookie, then the edits of
//! `response_headers` and the fields of `cors`, which errors have too.
//!
//! Texts with values of the request are filled in here too, where they are needed, and those for the response last.
//!
//! An extended CONNECT (RFC 8441) is refused if its route cannot upgrade it: to the client, a success would mean that
//! the tunnel is established.

pub mod connection;
mod fill;
pub mod place;
mod steps;

use std::cell::Cell;

use waypost_auth::identity::Identity;
use waypost_plan::auth::{Auth, Way};
use waypost_plan::listener::Listener;
use waypost_plan::policies::{Policies, PolicySet};
use waypost_plan::rewrite::Reverse;
use waypost_plan::route::{Forward, Respond, Route};
use waypost_plan::service::{Endpoint, SentHost, ServiceId};
use waypost_route::path::PathPattern;
use waypost_route::table::{Found, Scratch};

use crate::arm::ArmChoice;
use crate::auth::{Judged, Waited, credentials};
use crate::client::ClientSide;
use crate::compiled::Compiled;
use crate::cors::CorsFields;
use crate::failure::Failure;
use crate::filled::Filled;
use crate::head::reverse::WayBack;
use crate::rate::{Counting, Ruling};
use crate::request::IncomingRequest;
use crate::request_id::{RequestId, Uuid};
use crate::step::Step;
use crate::values::{Circumstances, RequestValues};

/// The inputs of a decision other than the plan and the request.
pub trait Environment: Circumstances {
    /// A roll of the dice, uniform in `0..2^64`.
    fn roll(&self) -> u64;

    /// Random bits for the sticky cookie of a new client; `None` if no client gets one, and the dice decide.
    fn new_cookie(&self) -> Option<[u64; 2]>;

    /// Returns true if the service has an endpoint whose address is known.
    fn has_endpoint(&self, service: ServiceId) -> bool;

    /// The time for rate limits: nanoseconds of a clock that only grows.
    fn nanos(&self) -> u64;

    /// Returns whether the request counts at rate limits.
    fn counting(&self) -> Counting;

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
    /// The fields of the response for pages of other origins.
    pub cors: CorsFields,
    /// The judgement of rate limits.
    pub rate: Ruling,
    /// The id that was made for the request, if one was needed.
    pub request_id: Cell<Option<Uuid>>,
    /// The judgement on who sends the request, where the route asks.
    pub judged: Option<Judged>,
    /// The outcome of the wait of the last decision, for the next one.
    pub waited: Option<Waited>,
    /// The route that takes the request and its alternative, by position; `None` before one is found.
    taken: Option<Found>,
    /// The service of the arm, once one is chosen.
    service: Option<ServiceId>,
    /// True if the query may have credentials: what is read of it is what `filled` has without them.
    hides_query: bool,
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
    /// It is not known yet who sends the request. Once it is, [`DecisionBuffers::waited`] says so, and [`decide`] decides; it
    /// never waits twice.
    Wait(&'p Way),
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
        match self.policies.rewrite.query.keeps() {
            true => buffers.query(query),
            false => buffers.filled.query.get(1..),
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
        self.judged = None;
        self.waited = None;
        self.filled.tidy(keep);
        self.cors.tidy(keep);
        self.way_back.tidy(keep);
    }

    /// Forgets the last request, before the next one is decided on.
    pub fn forget(&mut self) {
        self.request_id.set(None);
        self.judged = None;
        self.filled.challenges.clear();
        self.rate.clear();
        self.taken = None;
        self.service = None;
        self.hides_query = false;
    }

    /// The query of the request, which is `whole`, without the credentials that its route looks for there.
    pub(crate) fn query<'b>(&'b self, whole: Option<&'b [u8]>) -> Option<&'b [u8]> {
        match self.hides_query {
            true => self.filled.open_query.get(1..),
            false => whole,
        }
    }

    /// Takes the credentials out of `query` that `auth` looks for there, but for those of the way that decided, if it
    /// forwards them.
    fn hide_query(&mut self, auth: Option<&Auth>, query: Option<&[u8]>, way: Option<usize>) {
        let Some(auth) = auth.filter(|auth| auth.has_secret_queries()) else {
            return;
        };
        self.hides_query = true;
        let query_with_mark = &mut self.filled.open_query;
        query_with_mark.clear();
        if let Some(query) = query {
            query_with_mark.push(b'?');
            if !credentials::write_query(query, || auth.hidden_queries(way), query_with_mark) {
                query_with_mark.clear();
            }
        }
    }

    /// The client, as far as it is verified.
    pub fn identity(&self) -> Option<&Identity> {
        self.judged.as_ref()?.identity.as_ref()
    }

    /// The way that decided who sends the request, by position.
    pub fn way(&self) -> Option<usize> {
        self.judged.as_ref()?.way
    }

    /// Fills in what is added to a response to a request that is refused before it is decided on. One whose head could not be
    /// read comes with an empty one, and has the values of its connection alone, as in error pages.
    pub fn fill_refusal(&mut self, request: &IncomingRequest<'_>, circumstances: &dyn Circumstances) {
        let policies = &request.listener.policies;
        let edits = &policies.response_headers;
        if edits.has_templates() {
            let pattern = PathPattern::any();
            let values = RequestValues::of(request, &pattern, circumstances, &self.request_id);
            self.filled.response_lines.clear();
            edits.fill(&values, &mut self.filled.response_lines);
        }
        self.cors.write(policies.cors.as_deref(), None);
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

    /// A decision on a request that this route takes, before an arm is chosen.
    fn of_route(route: usize, policies: &'p Policies, stopped: Option<Step>, verdict: Verdict<'p>) -> Self {
        Self {
            route: Some(route),
            arm: None,
            policies: Some(policies),
            stopped,
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
    let decision = steps::judge(compiled, request, environment, buffers);
    let edits = &request.listener.policies.response_headers;
    if decision.policies.is_none() && edits.has_templates() {
        let pattern = PathPattern::any();
        let values = RequestValues::of(request, &pattern, environment, &buffers.request_id);
        let lines = &mut buffers.filled.response_lines;
        lines.clear();
        edits.fill(&values, lines);
    }
    // A preflight has the fields of its answer.
    if decision.stopped != Some(Step::Cors) {
        let cors = decision.policies(request.listener).cors.as_deref();
        buffers.cors.write(cors, Some(request));
    }
    decision
}
