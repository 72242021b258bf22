//! Actions of routes.

use waypost_plan::route::{Action, Forward, Respond};
use waypost_plan::split_policies::SplitPolicySet;
use waypost_route::split::Split;

use crate::diagnostic::Code;
use crate::document;
use crate::keys::{At, Mapping};
use crate::lower::effect::Use;
use crate::lower::pattern::Pattern;
use crate::lower::policies::Uses;
use crate::lower::redirect::redirect;
use crate::lower::{Context, content_type, policies, rollout, split, value};
use crate::place::Span;
use crate::problems::{Problems, warn_of_variable};
use crate::suggest::variable::Place;

/// Lowers the action of a route; `None` if there is not exactly one.
pub(super) fn of(
    written: &At<document::route::Route>,
    uses: &Uses,
    patterns: &[Pattern],
    context: &mut Context<'_>,
) -> Option<Action> {
    let route = &written.value;
    let keys = route.read_keys();
    let given: Vec<(&str, Span)> = keys
        .iter()
        .filter(|(key, _)| is_action(key.name))
        .map(|(key, span)| (key.name, *span))
        .collect();
    match &*given {
        // Misspelt keys, and values that could not be read, are reported already.
        [] if route.given.keys().any(|key| is_action(key) || !is_known(key)) => {}
        [] => {
            let span = route.name.as_ref().map_or(written.span, |name| name.span);
            context
                .problems
                .add(
                    Code::MissingKey,
                    span,
                    "the route has no `to`, `redirect` or `respond`",
                )
                .help("add `to: NAME` with the name of a service");
        }
        [_] => {}
        [(first, first_span), (second, second_span), ..] => {
            context
                .problems
                .add(
                    Code::ConflictingKeys,
                    *second_span,
                    format!("a route has either `{first}` or `{second}`"),
                )
                .label(*first_span, "the other one")
                .help("keep one of them, or make two routes of it");
        }
    }
    if let [(action, action_span)] = &*given {
        for (key, span) in keys {
            if !key.only_with.is_empty() && !key.only_with.contains(action) {
                let key = key.name;
                context
                    .problems
                    .add(
                        Code::ConflictingKeys,
                        span,
                        format!("`{key}` has no meaning beside `{action}`"),
                    )
                    .label(*action_span, "no request is forwarded")
                    .help(format!("leave it out; `{key}` goes with `to`"));
            }
        }
    }
    // All are lowered, so no mistake hides another.
    let forward = forward(route, uses, context);
    let redirect = route
        .redirect
        .as_ref()
        .and_then(|given| redirect(given, patterns, context));
    let respond = route
        .respond
        .as_ref()
        .and_then(|given| respond(&given.value, patterns, context.problems));
    let passes = route.passthrough.as_ref().map(|to| {
        check_passing_match(route, context.problems);
        let (arms, weights) = split::arms(&to.value, Use::Connections, context);
        report_unseen_timeouts(route, context.problems);
        Forward::to(arms, Split::new(&weights))
    });
    match &*given {
        [("passthrough", _)] => passes.map(Action::Forward),
        [("to", _)] => forward.map(Action::Forward),
        [("redirect", _)] => redirect.map(Action::Redirect),
        [("respond", _)] => respond.map(Action::Respond),
        _ => None,
    }
}

fn is_action(key: &str) -> bool {
    matches!(key, "to" | "redirect" | "respond" | "passthrough")
}

/// Reports conditions that cannot be evaluated for a passed-through connection.
fn check_passing_match(route: &document::route::Route, problems: &mut Problems) {
    for one in route.matching.iter().flat_map(|matching| &matching.value.0) {
        for (key, span) in one.value.read_keys() {
            let key = key.name;
            if !matches!(key, "host" | "client_ip" | "listener") {
                problems
                    .add(
                        Code::ConflictingKeys,
                        span,
                        format!("`{key}` cannot be seen of a connection that is passed through"),
                    )
                    .help("only `host`, `client_ip` and `listener` can; end TLS here with `certificates` to see more");
            }
        }
    }
}

/// Warns of timeouts of requests for connections that are passed through.
fn report_unseen_timeouts(route: &document::route::Route, problems: &mut Problems) {
    let timeouts = route.policy.timeouts.as_ref();
    let timeouts = timeouts.and_then(|timeouts| timeouts.given());
    for place in timeouts
        .iter()
        .flat_map(|timeouts| timeouts.value.given.places(&["response", "idle"]))
    {
        problems
            .add(
                Code::NoEffect,
                place,
                "a connection that is passed through has no responses that are seen",
            )
            .help("leave it out; `connect` and `tunnel` are in force");
    }
}

fn is_known(key: &str) -> bool {
    document::route::Route::TABLE
        .keys
        .iter()
        .any(|known| known.name == key)
}

fn forward(route: &document::route::Route, uses: &Uses, context: &mut Context<'_>) -> Option<Forward> {
    let arms = route.to.as_ref();
    let arms = arms.map(|to| split::arms(&to.value, Use::Requests, context));
    let names = route
        .to
        .as_ref()
        .map(|to| split::names(&to.value))
        .unwrap_or_default();
    let sticky = split::sticky(route, context);
    let force = split::force(route, &names, context);
    let mirror = split::mirror(route, context);
    let rollout = policies::rollout_of(route, uses, context);
    let rollout = rollout.and_then(|given| rollout::of_route(route, given, context));
    let (arms, weights) = arms?;
    let split_policies = SplitPolicySet {
        sticky,
        force,
        rollout,
        mirror,
    };
    Some(Forward {
        split_policies: split_policies.into(),
        ..Forward::to(arms, Split::new(&weights))
    })
}

fn respond(
    written: &document::route::Respond,
    patterns: &[Pattern],
    problems: &mut Problems,
) -> Option<Respond> {
    if let Some(status) = &written.status {
        if status.value == 444 {
            problems
                .add(
                    Code::OutOfRange,
                    status.span,
                    "444 is no status: with it, nginx closes the connection without a response",
                )
                .help("write `403`, or the status that clients are to see");
        }
        super::whole(status, 200, 599, problems);
        if let Some(body) = &written.body
            && matches!(status.value, 204 | 205 | 304)
            && !body.value.is_empty()
        {
            problems
                .add(
                    Code::IgnoredBody,
                    body.key,
                    format!("a response of status {} has no body", status.value),
                )
                .help("leave the body out, or choose another status");
        }
    }
    let body = written.body.as_deref();
    let body = body.map(|body| {
        warn_of_variable(&body.value, body.span, Place::Body, problems);
        value::free_text(body, Place::Body, patterns, problems)
    });
    if let Some(kind) = &written.content_type {
        content_type::check(kind, "application/json", problems);
    }
    Some(Respond {
        status: u16::try_from(written.status.as_ref()?.value).ok()?,
        body: body.unwrap_or_default(),
        content_type: written
            .content_type
            .as_ref()
            .map_or("text/plain; charset=utf-8".into(), |kind| (*kind.value).into()),
    })
}
