//! The steps of a request, in their order.

use std::mem;

use waypost_auth::identity::Identity;
use waypost_plan::auth::Auth;
use waypost_plan::policies::Policies;
use waypost_plan::rate::Rate;
use waypost_plan::route::{Action, Forward};
use waypost_plan::split_policies::SplitPolicySet;
use waypost_plan::sticky::StickyKey;
use waypost_route::request::Request;
use waypost_route::table::Found;
use waypost_wire::request::RequestError;

use super::fill;
use super::{Decision, DecisionBuffers, Environment, Forwarding, Verdict};
use crate::arm::ArmChoice;
use crate::auth::{self, Next};
use crate::compiled::Compiled;
use crate::cors::{AnnouncedHeaders, Preflight};
use crate::failure::Failure;
use crate::rate::Subject;
use crate::request::IncomingRequest;
use crate::server_options;
use crate::step::Step;
use crate::values::{self, RequestValues};

/// Takes the steps in their order.
pub(super) fn judge<'p>(
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
        && let Some(verdict) = fill::redirect_all(redirect, request, environment, buffers)
    {
        return Decision::before_routes(Step::ListenerRedirect, verdict);
    }
    let fields = request.fields();
    let conditions = request.conditions(&fields);
    // A preflight is about the route that takes the method asked for. If that answers none, it is an OPTIONS like others.
    let asked = Preflight::of(request).and_then(|preflight| {
        let headers = AnnouncedHeaders::of(request);
        let asked = Request {
            method: preflight.method,
            headers: &headers,
            ..conditions
        };
        let found = compiled.requests().find(&asked, &mut buffers.matching)?;
        let plan = compiled.plan();
        let policies = plan.policies(&plan.routes()[found.route], request.listener);
        policies.cors.is_some().then_some((found, Some(preflight)))
    });
    let found = asked.or_else(|| {
        let found = compiled.requests().find(&conditions, &mut buffers.matching)?;
        Some((found, None))
    });
    let Some((found, preflight)) = found else {
        return Decision::fail(Step::Route, Failure::NoRoute);
    };
    environment.found(found.route);
    buffers.taken = Some(found);
    act(
        compiled,
        request,
        &conditions,
        (found, preflight),
        environment,
        buffers,
    )
}

/// Applies the route that was found, perhaps for a preflight.
fn act<'p>(
    compiled: &'p Compiled,
    request: &IncomingRequest<'_>,
    conditions: &Request<'_>,
    (found, preflight): (Found, Option<Preflight<'_>>),
    environment: &mut impl Environment,
    buffers: &mut DecisionBuffers,
) -> Decision<'p> {
    let plan = compiled.plan();
    let route = &plan.routes()[found.route];
    let pattern = &route.matching.alternatives[found.alternative].path;
    let policies = plan.policies(route, request.listener);
    let edits = &policies.response_headers;
    buffers.hide_query(policies.auth.as_deref(), request.query, None);
    let decision = match preflight {
        Some(preflight) => answer(request, preflight, found, policies, buffers),
        None => act_by(
            compiled,
            request,
            conditions,
            found,
            policies,
            environment,
            buffers,
        ),
    };
    if edits.has_templates() {
        let arm = decision.arm.zip(route.forward());
        let service = arm.map_or("", |((arm, _), forward)| &*plan.service(forward.arms[arm]).name);
        let name = &route.matching.name;
        let open_query = mem::take(&mut buffers.filled.open_query);
        let query = match buffers.hides_query {
            true => open_query.get(1..),
            false => request.query,
        };
        let DecisionBuffers {
            filled,
            request_id,
            judged,
            ..
        } = &mut *buffers;
        let identity = judged.as_ref().and_then(|judged| judged.identity.as_ref());
        let values = RequestValues::of(request, pattern, environment, request_id)
            .known_as(identity)
            .asking(query);
        let lines = &mut filled.response_lines;
        lines.clear();
        edits.fill(&values.named(name, service), lines);
        buffers.filled.open_query = open_query;
    }
    decision
}

/// Answers a preflight in the name of the route that was found for it.
fn answer<'p>(
    request: &IncomingRequest<'_>,
    preflight: Preflight<'_>,
    found: Found,
    policies: &'p Policies,
    buffers: &mut DecisionBuffers,
) -> Decision<'p> {
    let stop = |step, verdict| Decision::of_route(found.route, policies, Some(step), verdict);
    if !policies.access.admits(request.normalized.client_ip()) {
        return stop(Step::Access, Verdict::Fail(Failure::AccessDenied));
    }
    if let Some(cors) = &policies.cors {
        buffers.cors.answer(cors, request, preflight);
    }
    stop(Step::Cors, Verdict::Respond(&server_options::RESPONSE))
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
    let stop = |step, verdict| Decision::of_route(found.route, policies, Some(step), verdict);
    if !policies.access.admits(request.normalized.client_ip()) {
        return stop(Step::Access, Verdict::Fail(Failure::AccessDenied));
    }
    let Some(auth) = &policies.auth else {
        return admitted(
            compiled,
            request,
            conditions,
            found,
            policies,
            environment,
            buffers,
        );
    };
    match authenticate(auth, compiled, request, environment.unix_ms(), buffers) {
        Next::Pass => {}
        Next::Refuse(failure) => return stop(Step::Auth, Verdict::Fail(failure)),
        Next::Wait(way) => return stop(Step::Auth, Verdict::Wait(way)),
    }
    // Nothing behind this sees the credentials in the query.
    let open_query = mem::take(&mut buffers.filled.open_query);
    let open = IncomingRequest {
        query: match buffers.hides_query {
            true => open_query.get(1..),
            false => request.query,
        },
        ..*request
    };
    let decision = admitted(compiled, &open, conditions, found, policies, environment, buffers);
    buffers.filled.open_query = open_query;
    decision
}

/// Judges who sends the request, and leaves what follows from that in `buffers`.
fn authenticate<'p>(
    auth: &'p Auth,
    compiled: &'p Compiled,
    request: &IncomingRequest<'_>,
    now_ms: u64,
    buffers: &mut DecisionBuffers,
) -> Next<'p> {
    let (judged, next) = auth::judge(auth, compiled, request, buffers.waited.take(), now_ms);
    let filled = &mut buffers.filled;
    filled.auth_lines.clear();
    buffers.judged = judged;
    let way = buffers.judged.as_ref().and_then(|judged| judged.way);
    match (&next, &buffers.judged) {
        (Next::Refuse(failure), _) => {
            auth::write_challenges(auth, *failure, way, &mut filled.challenges);
        }
        (Next::Pass, Some(judged)) => auth::write_lines(auth, judged, &mut filled.auth_lines),
        _ => {}
    }
    buffers.hide_query(Some(auth), request.query, way);
    next
}

/// Takes a request past the rate limits of its route, and counts it.
#[inline(never)]
fn limit(
    compiled: &Compiled,
    rate: &Rate,
    conditions: &Request<'_>,
    route: &str,
    environment: &impl Environment,
    buffers: &mut DecisionBuffers,
) -> Result<(), Failure> {
    let Some(limiter) = compiled.limiters().of_rate(rate) else {
        return Ok(());
    };
    let identity = buffers
        .judged
        .as_ref()
        .and_then(|judged| judged.identity.as_ref());
    let subject = Subject {
        conditions,
        identity: identity.and_then(Identity::name).map(|name| name.as_bytes()),
        route,
    };
    let (now, counting) = (environment.nanos(), environment.counting());
    limiter.judge(&subject, now, counting, &mut buffers.scratch, &mut buffers.rate)
}

/// Applies the other policies in force and the action of the route to a request of a client that may pass.
fn admitted<'p>(
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
    let decision = |stopped, verdict| Decision::of_route(found.route, policies, stopped, verdict);
    let stop = |step, verdict| decision(Some(step), verdict);
    if let Some(rate) = &policies.rate
        && let Err(failure) = limit(
            compiled,
            rate,
            conditions,
            &route.matching.name,
            environment,
            buffers,
        )
    {
        return stop(Step::Rate, Verdict::Fail(failure));
    }
    if request.exceeds_body_limit(policies) {
        return stop(Step::BodyLimit, Verdict::Fail(Failure::BodyTooLarge));
    }
    let DecisionBuffers {
        filled,
        location,
        request_id,
        judged,
        ..
    } = &mut *buffers;
    let values = || {
        let identity = judged.as_ref().and_then(|judged| judged.identity.as_ref());
        let values = RequestValues::of(request, pattern, &*environment, request_id);
        values.known_as(identity).named(&route.matching.name, "")
    };
    match &route.action {
        Action::Redirect(redirect) => {
            let values = values();
            stop(
                Step::Action,
                fill::locate(redirect, request, pattern, &values, location),
            )
        }
        Action::Respond(respond) if request.demands_upgrade && respond.status < 300 => stop(
            Step::Action,
            Verdict::Fail(Failure::Request(RequestError::Method)),
        ),
        Action::Respond(respond) => {
            if !respond.body.is_literal() {
                filled.body.clear();
                respond.body.fill(&values(), &mut filled.body);
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
            let forwarded =
                fill::forward_to(forwarding, &declared.name, request, pattern, environment, buffers);
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

/// The arm that takes a request, and the rule that picked it; `None` when no arm has a weight. A new client of a sticky
/// cookie gets one in `buffers`, which is `Secure` if `uses_tls` returns true.
pub(super) fn pick_arm(
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
