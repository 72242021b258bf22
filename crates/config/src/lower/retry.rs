//! Retries and hedges.

use std::sync::Arc;
use std::time::Duration;

use waypost_plan::duration::UNBOUNDED;
use waypost_plan::policies::PolicySet;
use waypost_plan::retry::{IDEMPOTENT, Retry, RetryReasons};
use waypost_plan::route::Forward;
use waypost_plan::service::Service;
use waypost_route::request::is_refused_method;
use waypost_wire::token;

use crate::diagnostic::Code;
use crate::document;
use crate::keys::At;
use crate::lower::effect::{number, report_repeated, speaks_http2};
use crate::lower::{Context, bytes, duration, duration_up_to, whole};
use crate::problems::{Problems, quote};
use crate::retry_reason::RetryReason;
use crate::times::{DelayText, DurationText};
use crate::values::Text;

/// Maximum further attempts.
const ATTEMPTS_MAX: u64 = 10;
/// Maximum of the wait before a retry.
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Maximum bytes of a body that are held.
const BODY_BYTES_MAX: u64 = 1 << 20;
/// The hint where no method of a route is repeated.
const METHODS_HELP: &str =
    "name the method in `methods` if the application recognises repeated requests, or leave it out";
/// The shortest duration of a timeout or hedge.
const TIME_MIN: Duration = Duration::from_millis(1);

/// Lowers a `retry`.
pub(super) fn retry(written: &At<&document::route::Retry>, problems: &mut Problems) -> Retry {
    let given = written.value;
    let mut retry = Retry::default();
    if let Some(attempts) = &given.attempts {
        if attempts.value == 0 {
            problems
                .add(Code::OutOfRange, attempts.span, "no further attempt is no retry")
                .help("leave `retry` out");
        } else {
            whole(attempts, 1, ATTEMPTS_MAX, problems);
        }
        retry.attempts = u32::try_from(attempts.value).unwrap_or(u32::MAX);
    }
    if let Some(on) = &given.on {
        retry.on = reasons(&on.value.0);
        report_repeated(&on.value.0, RetryReason::covers, problems);
    }
    if let Some(budget) = &given.budget {
        retry.budget = u32::try_from(whole(budget, 0, 100, problems)).unwrap_or(u32::MAX);
    }
    if let Some(backoff) = &given.backoff {
        let backoff = backoff.with(DurationText(backoff.value.0));
        retry.backoff = duration_up_to(&backoff, Duration::ZERO, BACKOFF_MAX, problems);
    }
    let timeout = given.timeout.as_deref();
    let timeout = timeout.map(|timeout| super::timeout(timeout, TIME_MIN, problems));
    retry.timeout = timeout.filter(|time| *time < UNBOUNDED);
    retry.methods = given.methods.as_ref().map(|methods| {
        methods
            .value
            .0
            .iter()
            .filter_map(|name| method(name, problems))
            .collect()
    });
    if let Some(body) = &given.body {
        retry.body = bytes(body, 0, BODY_BYTES_MAX, problems);
    }
    retry
}

/// Lowers a `hedge`.
pub(super) fn hedge(written: &At<&DelayText>, problems: &mut Problems) -> Duration {
    duration(&written.with(DurationText(written.value.0)), TIME_MIN, problems)
}

/// Warns of what the retries of a route come to nothing with: its timeout, methods and services.
pub(super) fn report(
    route: &document::route::Route,
    forward: &Forward,
    policies: &PolicySet,
    context: &mut Context<'_>,
) {
    let Some(retry) = &policies.retry else {
        return;
    };
    let services = forward.arms.iter();
    let services: Vec<Arc<Service>> = services
        .map(|id| Arc::clone(&context.builder.services()[id.index()]))
        .collect();
    let written = route.policy.retry.as_deref().and_then(At::given);
    let written = written.as_ref();
    if let Some(timeout) = written.and_then(|written| written.value.timeout.as_deref())
        && let Some(whole) = policies.timeout
        && retry.timeout.is_some_and(|timeout| timeout >= whole)
    {
        let mut problem = context.problems.add(
            Code::NoEffect,
            timeout.span,
            "no attempt is given up by this timeout: the request is before",
        );
        if let Some(whole) = &route.policy.timeout {
            problem = problem.label(whole.span, "by this one");
        }
        problem.help("give an attempt a part of the time, such as a third, or leave it out");
    }
    if let Some(on) = written.and_then(|written| written.value.on.as_deref())
        && on
            .value
            .0
            .iter()
            .all(|reason| reason.value == RetryReason::RefusedStream)
        && !services.iter().any(|service| speaks_http2(service))
    {
        context
            .problems
            .add(
                Code::NoEffect,
                on.span,
                "nothing is retried: only HTTP/2 has streams to refuse, which no service of the route is asked to speak",
            )
            .help("add `http2: true` to the service, or other reasons, such as `[connect, reset, 503]`");
    }
    let is_repeatable = may_be_sent_twice(route, retry);
    if let Some(written) = written
        && !is_repeatable
        && !retry.on.connect
        && !retry.on.refused_stream
    {
        context
            .problems
            .add(
                Code::NoEffect,
                written.key,
                "nothing is retried: no method of this route is one whose requests are sent twice",
            )
            .help(METHODS_HELP);
    }
    let hedge = route.policy.hedge.as_deref().and_then(At::given);
    if let (Some(hedge), Some(after)) = (&hedge, retry.hedge) {
        let timeouts = &policies.timeouts;
        let times = services
            .iter()
            .map(|service| timeouts.over(service.timeouts).response);
        let longest = times
            .max()
            .filter(|longest| retry.timeout.is_none_or(|timeout| timeout > *longest));
        let given = longest.filter(|longest| after >= *longest);
        let is_alone = !services.is_empty() && services.iter().all(|service| number(service) == Some(1));
        report_no_hedge(hedge, is_repeatable, is_alone, given, context.problems);
    }
}

/// Warns of a hedge that its methods and services rule out: none `is_repeatable`, the only endpoint `is_alone`, or the service
/// has no longer than `given` to respond.
fn report_no_hedge(
    hedge: &At<&DelayText>,
    is_repeatable: bool,
    is_alone: bool,
    given: Option<Duration>,
    problems: &mut Problems,
) {
    let (message, help) = if !is_repeatable {
        (
            "nothing is hedged: no method of this route is one whose requests are sent twice",
            METHODS_HELP.to_owned(),
        )
    } else if is_alone {
        (
            "nothing is hedged: a hedge goes to another endpoint, and there is only one",
            "add endpoints to the service, or leave `hedge` out".to_owned(),
        )
    } else if let Some(given) = given {
        let given = waypost_plan::duration::format(given);
        (
            "the hedge never comes",
            format!("the service has {given} to respond, by `timeouts.response`; hedge after less"),
        )
    } else {
        return;
    };
    problems.add(Code::NoEffect, hedge.span, message).help(help);
}

/// Returns true if a request of the route may be one that is sent twice.
fn may_be_sent_twice(route: &document::route::Route, retry: &Retry) -> bool {
    let mut alternatives = route.matching.iter().flat_map(|matching| &matching.value.0);
    let permits = |method: &str| retry.permits(method.as_bytes(), IDEMPOTENT.contains(&method));
    let is_any = route.matching.is_none();
    is_any
        || alternatives.any(|one| match (&one.value.method, &one.value.grpc) {
            (Some(methods), _) => methods.value.0.iter().any(|method| permits(&method.value)),
            (None, Some(_)) => permits("POST"),
            (None, None) => true,
        })
}

fn reasons(written: &[At<RetryReason>]) -> RetryReasons {
    let mut reasons = RetryReasons::default();
    for reason in written {
        match &reason.value {
            RetryReason::Connect => reasons.connect = true,
            RetryReason::Reset => reasons.reset = true,
            RetryReason::Timeout => reasons.timeout = true,
            RetryReason::RefusedStream => reasons.refused_stream = true,
            RetryReason::Statuses(statuses) => reasons.statuses.add(statuses.clone()),
        }
    }
    reasons
}

/// Checks the name of a method.
fn method(written: &At<Text>, problems: &mut Problems) -> Option<Box<str>> {
    let name = &*written.value;
    let upper = name.to_ascii_uppercase();
    let help = if name == "*" {
        "list the methods whose requests may be sent twice".to_owned()
    } else if !token::is_token(name.as_bytes()) {
        "write names of methods, such as `[GET, HEAD, POST]`".to_owned()
    } else if is_refused_method(&upper) {
        "leave it out; CONNECT and TRACE are never forwarded".to_owned()
    } else if *name != *upper {
        format!("write `{upper}`")
    } else {
        return Some(name.into());
    };
    problems
        .add(
            Code::BadValue,
            written.span,
            format!("{} is not a method that is retried", quote(name)),
        )
        .help(help);
    None
}
