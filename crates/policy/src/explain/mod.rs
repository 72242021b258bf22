//! Explains the decision for a request, and why every other route does not take it.
//!
//! The question is written as the bytes of a request, parsed, normalised and decided by the functions that serve traffic
//! ([`crate::decision`]). Where traffic rolls dice, every outcome of the dice is decided.

mod dice;
mod explanation;
mod forward;
mod local;
mod origins;
mod question;
mod secrets;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use waypost_auth::identity::Identity;
use waypost_plan::Plan;
use waypost_plan::auth::{Auth, Way};
use waypost_plan::cors::Cors;
use waypost_plan::listener::{Listener, ListenerTls};
use waypost_plan::policies::PolicySet;
use waypost_plan::redirect::Scheme;
use waypost_plan::route::{Action, Route};
use waypost_plan::service::ServiceId;
use waypost_plan::trusted_proxies::MatchedHost;
use waypost_route::explain::Scope;
use waypost_route::request::Request;
use waypost_route::split::Split;
use waypost_route::table::Table;
use waypost_tls::served::Served;
use waypost_wire::field;
use waypost_wire::request::{HeadLimits, RequestError, RequestHead};
use waypost_wire::scan::{HeadEnd, HeadScan};

use self::dice::Loaded;
use self::local::shown;
use crate::auth;
use crate::compiled::Compiled;
use crate::cors::{AnnouncedHeaders, Preflight};
use crate::decision::connection::{self, ConnectionFields};
use crate::decision::{self, Decision, DecisionBuffers, Forwarding, Verdict};
use crate::error_format::ErrorFormat;
use crate::error_page::PageScope;
use crate::failure::Failure;
use crate::peer::Peer;
use crate::request::{self, IncomingRequest, NormalizedRequest};
use crate::step::Step;
use crate::values::Circumstances;

pub use explanation::{
    Arm, Authentication, Because, Considered, CrossOrigin, Explanation, Outcome, PolicyOrigin, RateStanding,
    Retry, Rollout, ShownPage, Stopped,
};
pub use question::{Question, QuestionError};

/// The state of a gateway that explanations depend on.
pub trait State: Circumstances {
    /// Returns true if the service has an endpoint. Offline that is a declared one, in a running gateway one whose
    /// address is known.
    fn has_endpoint(&self, service: ServiceId) -> bool;

    /// The time for rate limits: nanoseconds of a clock that only grows.
    fn nanos(&self) -> u64;

    /// The certificate that the listener at this position serves to clients that name `host`; `None` if it is not known.
    fn served(&self, listener: usize, host: Option<&str>) -> Option<Served>;
}

/// Explains what happens to a request.
///
/// # Errors
/// The question names an unknown listener, or is not a single request.
pub fn explain(
    compiled: &Compiled,
    state: &impl State,
    question: &Question,
) -> Result<Explanation, QuestionError> {
    let bytes = question.bytes()?;
    let named = question.listener(compiled)?;
    let mut explainer = Explainer {
        compiled,
        state,
        question,
        buffer: &bytes.buffer,
        demands_upgrade: bytes.demands_upgrade,
        head: RequestHead::default(),
        is_parsed: false,
        normalized: NormalizedRequest::default(),
        peer: Peer::unaddressed(),
    };
    let listeners = compiled.plan().listeners();
    // Without a named listener, one that serves the host. Listeners differ in limits, so the host is found without.
    let chosen = named.unwrap_or_else(|| {
        let serves: Vec<bool> = (0..listeners.len())
            .map(|listener| explainer.is_served_by(listener))
            .collect();
        question.listener_for(&serves, listeners)
    });
    let limits = request::head_limits(&listeners[chosen]);
    Ok(match explainer.read(chosen, &limits).err() {
        Some(failure) => {
            let listener = &listeners[chosen];
            let mut buffers = DecisionBuffers::default();
            buffers.request_id.set(Some(state.new_id()));
            let unread = RequestHead::default();
            buffers.fill_refusal(&explainer.readable(listener, &unread), state);
            let policies = &listener.policies;
            let mut explanation = explainer.failure(failure, None, listener, &buffers, policies);
            explanation.policies = origins::of(compiled.plan(), policies, None, listener);
            explanation.stopped = Some(Stopped {
                step: Step::Head.name().into(),
                number: Step::Head.number(),
                because: failure.message(),
                from: None,
            });
            if !bytes.names_host {
                explanation.host = None;
            }
            explanation
        }
        None => explainer.explain(&listeners[chosen]),
    })
}

/// The policies in force for requests that `route`, which is one of `plan`, takes by `listener`.
pub fn policies_in_force(
    plan: &Plan,
    route: &Route,
    listener: &Listener,
) -> BTreeMap<Cow<'static, str>, PolicyOrigin> {
    origins::of(plan, plan.policies(route, listener), Some(route), listener)
}

/// The rate limits that judged, with what would remain of each.
fn rates(policies: &PolicySet, buffers: &DecisionBuffers) -> Vec<RateStanding> {
    let limits = policies.rate.iter().flat_map(|rate| rate.limits());
    let judged = limits.zip(buffers.rate.standings());
    judged
        .map(|(limit, standing)| RateStanding::of(limit, standing))
        .collect()
}

/// The findings of `auth` about the client, if it judged.
fn authentication(auth: &Auth, decision: &Decision<'_>, buffers: &DecisionBuffers) -> Option<Authentication> {
    let of = |way: Option<&Way>, result: &'static str| Authentication {
        way: way.map(|way| way.kind().as_str().into()),
        place: way.and_then(Way::place).map(ToString::to_string),
        result: result.into(),
        identity: None,
        groups: Vec::new(),
    };
    if let Verdict::Wait(way) = decision.verdict {
        return Some(of(Some(way), "unknown"));
    }
    let judged = buffers.judged.as_ref()?;
    let way = judged.way.and_then(|way| auth.ways.get(way));
    let identity = judged.identity.as_ref();
    let groups = identity.iter().flat_map(|identity| identity.groups());
    Some(Authentication {
        identity: identity.and_then(Identity::name).map(|name| name.to_string()),
        groups: groups.map(ToString::to_string).collect(),
        ..of(way, judged.result.as_str())
    })
}

/// A question on its way through the gateway.
struct Explainer<'a, S> {
    compiled: &'a Compiled,
    state: &'a S,
    question: &'a Question,
    buffer: &'a [u8],
    demands_upgrade: bool,
    head: RequestHead,
    /// True if `head` was parsed without an error.
    is_parsed: bool,
    normalized: NormalizedRequest,
    peer: Peer,
}

impl<S: State> Explainer<'_, S> {
    /// Parses and normalises the request, within these limits, as one that comes in by the listener at this position.
    fn read(&mut self, listener: usize, limits: &HeadLimits) -> Result<(), Failure> {
        let position = listener;
        let listener = &self.compiled.plan().listeners()[position];
        self.peer = self.question.peer(listener);
        self.peer.scheme = if listener.terminates_tls() {
            Scheme::Https
        } else {
            Scheme::Http
        };
        self.is_parsed = false;
        if let Err(error) = self.parse(limits) {
            self.normalized.forget(&self.peer);
            return Err(Failure::Request(error));
        }
        self.is_parsed = true;
        let normalized = self
            .normalized
            .fill(listener, &self.peer, &self.head, self.buffer, &mut Vec::new());
        self.peer.served = match listener.terminates_tls() {
            true => {
                let name = self.question.server_name(self.normalized.host());
                self.state.served(position, name.as_deref())
            }
            false => None,
        };
        normalized
    }

    /// Returns true if the listener at this position serves the host.
    fn is_served_by(&mut self, listener: usize) -> bool {
        let listeners = self.compiled.plan().listeners();
        let has_own_host =
            |position: usize| listeners[position].trusted_proxies.host != MatchedHost::Requested;
        // The host is the same at all others.
        if listener == 0 || has_own_host(listener) || has_own_host(listener - 1) {
            let _ = self.read(listener, &HeadLimits::UNLIMITED);
        }
        listeners[listener].serves(self.normalized.matched_host())
    }

    fn parse(&mut self, limits: &HeadLimits) -> Result<(), RequestError> {
        let end = HeadScan::default().advance(self.buffer)?;
        let end = end.ok_or(RequestError::RequestLine)?;
        self.head.parse(self.buffer, end, limits)
    }

    fn request<'r>(&'r self, listener: &'r Listener) -> IncomingRequest<'r> {
        IncomingRequest {
            head: &self.head,
            buffer: self.buffer,
            normalized: &self.normalized,
            peer: &self.peer,
            listener,
            query: self.head.query(self.buffer),
            demands_upgrade: self.demands_upgrade,
        }
    }

    /// The request, with the head `unread` if its own could not be read.
    fn readable<'r>(&'r self, listener: &'r Listener, unread: &'r RequestHead) -> IncomingRequest<'r> {
        let request = self.request(listener);
        match self.is_parsed {
            true => request,
            false => IncomingRequest {
                head: unread,
                buffer: b"",
                query: None,
                ..request
            },
        }
    }

    fn explain(&self, listener: &Listener) -> Explanation {
        let host = self.normalized.host();
        if listener.tls == ListenerTls::Passthrough {
            let (mut explanation, reached_routes) = self.explain_all(
                listener,
                |environment, buffers| {
                    connection::decide_connection(
                        self.compiled,
                        listener,
                        &self.peer,
                        host,
                        environment,
                        buffers,
                    )
                },
                |_, _| self.blank(Outcome::Forward, None, Vec::new()),
            );
            if explanation.outcome != Outcome::Forward {
                // The connection is closed, without a response.
                explanation.status = None;
                explanation.headers = Vec::new();
            }
            if reached_routes {
                let fields = ConnectionFields::of(listener);
                let conditions = fields.conditions(&self.peer, host);
                explanation.considered = self.considered(self.compiled.connections(), &conditions);
            }
            return explanation;
        }
        let request = self.request(listener);
        let (mut explanation, reached_routes) = self.explain_all(
            listener,
            |environment, buffers| self.decide(&request, environment, buffers),
            |forwarding, buffers| self.forward(&request, forwarding, buffers),
        );
        if explanation.outcome == Outcome::Redirect && explanation.route.is_none() {
            explanation.listener = Some(listener.label().to_owned());
        }
        if reached_routes {
            let fields = request.fields();
            let mut conditions = request.conditions(&fields);
            let announced = AnnouncedHeaders::of(&request);
            if let Some(preflight) = Preflight::of(&request)
                && explanation
                    .stopped
                    .as_ref()
                    .is_some_and(|stopped| stopped.step == Step::Cors.name())
            {
                conditions.method = preflight.method;
                conditions.headers = &announced;
            }
            explanation.considered = self.considered(self.compiled.requests(), &conditions);
        }
        explanation
    }

    /// Decides on a request. A password is verified at once.
    fn decide(
        &self,
        request: &IncomingRequest<'_>,
        environment: &mut Loaded<'_, S>,
        buffers: &mut DecisionBuffers,
    ) -> Decision<'_> {
        let decision = decision::decide(self.compiled, request, environment, buffers);
        let Verdict::Wait(way) = decision.verdict else {
            return decision;
        };
        buffers.waited = auth::find_out(way, self.compiled, request, environment.unix_ms());
        match buffers.waited {
            Some(_) => decision::decide(self.compiled, request, environment, buffers),
            None => decision,
        }
    }

    /// Explains the decision that `decide` makes, or the best of those that the dice allow; `forward` explains the request
    /// that a service gets. The second value is true if the decision got as far as the routes.
    fn explain_all<'p>(
        &'p self,
        listener: &'p Listener,
        decide: impl Fn(&mut Loaded<'_, S>, &mut DecisionBuffers) -> Decision<'p>,
        forward: impl Fn(Forwarding<'p>, &DecisionBuffers) -> Explanation,
    ) -> (Explanation, bool) {
        let mut buffers = DecisionBuffers::default();
        let mut environment = Loaded {
            state: self.state,
            roll: 0,
            is_rolled: Cell::new(false),
        };
        let mut decision = decide(&mut environment, &mut buffers);
        let split = decision
            .route
            .and_then(|route| self.compiled.live_weights(route))
            .map(|weights| Split::new(&weights));
        if environment.is_rolled.get()
            && let Some(split) = &split
        {
            // The first outcome that reaches a service stands for the others, which differ in the service alone.
            let mut rolls = (0..split.weights().len()).filter_map(|arm| split.first_roll(arm));
            while matches!(decision.verdict, Verdict::Fail(Failure::NoEndpoint))
                && let Some(roll) = rolls.next()
            {
                environment.roll = roll;
                decision = decide(&mut environment, &mut buffers);
            }
        }
        let route = decision.route.map(|route| &self.compiled.plan().routes()[route]);
        let policies = decision.policies(listener);
        let edits = &policies.response_headers;
        let mut explanation = match decision.verdict {
            Verdict::Fail(failure) => self.failure(failure, route, listener, &buffers, policies),
            Verdict::Redirect { status } => {
                let mut out = Vec::new();
                let location = &buffers.location;
                self.local(route, true, listener, &buffers)
                    .write_redirect(status, location, edits, &mut out);
                let mut headers = headers_of(&out);
                let mut named = headers.iter_mut();
                let location = named.find(|(name, _)| name.eq_ignore_ascii_case("location"));
                let location = location.map(|(_, value)| {
                    *value = secrets::without_in_url(self.compiled, value);
                    value.clone()
                });
                Explanation {
                    status: Some(status),
                    location,
                    ..self.blank(Outcome::Redirect, route, headers)
                }
            }
            Verdict::Respond(respond) => {
                let mut out = Vec::new();
                let response = self.local(route, true, listener, &buffers);
                let format = ErrorFormat::of(&self.head, self.buffer);
                let mut page = PageScope::of(policies, self.compiled).of_respond(respond, &format);
                self.fill(page.as_mut(), listener, &buffers);
                match &page {
                    Some(page) => response.write_page(page, None, edits, &mut out),
                    None => response.write_respond(respond, edits, &mut out),
                };
                Explanation {
                    status: Some(page.as_ref().map_or(respond.status, |page| page.status)),
                    page: page.map(|page| shown(&page, respond.status, route, listener)),
                    ..self.blank(Outcome::Respond, route, headers_of(&out))
                }
            }
            Verdict::Wait(_) => Explanation {
                is_undecided: true,
                ..self.blank(Outcome::Unavailable, route, Vec::new())
            },
            Verdict::Forward(forwarding) => Explanation {
                route: Some(forwarding.route.matching.name.to_string()),
                ..forward(forwarding, &buffers)
            },
        };
        if explanation.outcome != Outcome::Forward {
            let plan = self.compiled.plan();
            secrets::hide_copies(plan, &policies.response_headers, &mut explanation.headers);
        }
        explanation.cors = policies
            .cors
            .as_deref()
            .and_then(|cors| self.cross_origin(cors, listener, &decision, &buffers));
        explanation.auth = policies
            .auth
            .as_deref()
            .and_then(|auth| authentication(auth, &decision, &buffers));
        explanation.rate = rates(policies, &buffers);
        explanation.identity = buffers
            .identity()
            .and_then(Identity::name)
            .map(|name| name.to_string());
        explanation.policies = origins::of(self.compiled.plan(), policies, route, listener);
        let uses = route.iter().flat_map(|route| route.policies.uses());
        explanation.uses = uses.map(|name| name.to_string()).collect();
        explanation.stopped = decision.stopped.map(|step| {
            let judge = step.key().and_then(|key| explanation.policies.get(key));
            Stopped {
                step: step.name().into(),
                number: step.number(),
                because: match decision.verdict {
                    Verdict::Fail(_) if step == Step::Auth => {
                        let auth = policies.auth.as_ref().zip(buffers.judged.as_ref());
                        auth.map_or_else(String::new, |(auth, judged)| auth::because(auth, judged))
                    }
                    Verdict::Fail(failure) => failure.message(),
                    Verdict::Wait(way) => {
                        let query = self.head.query(self.buffer);
                        let open = query.map(|query| secrets::without_in_query(self.compiled, query));
                        let request = IncomingRequest {
                            query: open.as_deref().map(str::as_bytes),
                            ..self.request(listener)
                        };
                        auth::unknown(way, &request)
                    }
                    Verdict::Redirect { .. } if route.is_none() => {
                        "the listener redirects its requests".to_owned()
                    }
                    Verdict::Redirect { .. } => "the route redirects".to_owned(),
                    Verdict::Respond(_) if step == Step::Cors => "the preflight is answered".to_owned(),
                    Verdict::Respond(_) if route.is_none() => "the request is for the gateway".to_owned(),
                    Verdict::Respond(_) => "the route responds itself".to_owned(),
                    Verdict::Forward(_) => String::new(),
                },
                from: judge.map(|origin| origin.from.clone()),
            }
        });
        if let (Some(Action::Forward(forward)), Some(split)) = (route.map(|route| &route.action), &split) {
            self.name_arms(&mut explanation, forward, split, decision.arm);
        }
        (explanation, decision.reached_routes())
    }

    /// The permissions of pages of other origins by this policy.
    fn cross_origin(
        &self,
        cors: &Cors,
        listener: &Listener,
        decision: &Decision<'_>,
        buffers: &DecisionBuffers,
    ) -> Option<CrossOrigin> {
        let lines = buffers.cors.lines()?;
        let request = self.request(listener);
        let answered = decision.stopped == Some(Step::Cors);
        let preflight = Preflight::of(&request).filter(|_| answered);
        let because = buffers.cors.refusal(cors, &request, preflight);
        let mut head = b"HTTP/1.1 204 No Content\r\n".to_vec();
        lines.replace(0, &mut head);
        head.extend_from_slice(b"\r\n");
        Some(CrossOrigin {
            allowed: because.is_none(),
            because,
            headers: headers_of(&head),
        })
    }

    fn blank(&self, outcome: Outcome, route: Option<&Route>, headers: Vec<(String, String)>) -> Explanation {
        Explanation {
            outcome,
            status: None,
            reason: None,
            stopped: None,
            page: None,
            listener: None,
            route: route.map(|route| route.matching.name.to_string()),
            service: None,
            arms: None,
            cohort: None,
            rollout: None,
            auth: None,
            rate: Vec::new(),
            timeout: None,
            retry: None,
            hedge: None,
            cors: None,
            location: None,
            url: secrets::without_in_url(self.compiled, &self.question.url),
            identity: None,
            host: self.normalized.matched_host().map(text),
            path: text(self.normalized.path()),
            query: self
                .head
                .query(self.buffer)
                .map(|query| secrets::without_in_query(self.compiled, query)),
            headers,
            uses: Vec::new(),
            policies: BTreeMap::new(),
            revision: None,
            is_undecided: false,
            considered: Vec::new(),
        }
    }

    fn considered(&self, table: &Table, request: &Request<'_>) -> Vec<Considered> {
        let scope = if self.question.all {
            Scope::All
        } else {
            Scope::HostCovers
        };
        let plan = self.compiled.plan();
        let secrets = secrets::Places::of(plan);
        let considered = table
            .explain(request, scope)
            .into_iter()
            .map(|considered| Considered {
                route: plan.routes()[considered.route].matching.name.to_string(),
                alternative: considered.alternative,
                matched: considered.failed.is_none(),
                because: considered.failed.map(|condition| Because {
                    condition: condition.name(),
                    wants: condition.wants(),
                    saw: secrets.shown(&condition.name(), condition.saw(request)),
                    hint: condition.hint(request),
                }),
            });
        considered.collect()
    }
}

/// The fields of a head that was just written.
fn headers_of(head: &[u8]) -> Vec<(String, String)> {
    let Ok(Some(HeadEnd {
        first_line_end, end, ..
    })) = HeadScan::default().advance(head)
    else {
        return Vec::new();
    };
    let head = &head[..end];
    let mut fields = Vec::new();
    // At most as many as there can be lines.
    if field::parse(head, first_line_end + 2, head.len() / 4 + 1, &mut fields).is_err() {
        return Vec::new();
    }
    fields
        .iter()
        .map(|field| (text(field.name.of(head)), text(field.value.of(head))))
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
