//! Retries and hedges of a route's requests.

use std::time::Duration;

use waypost_plan::duration::UNBOUNDED;
use waypost_plan::retry::{Retry, RetryReasons};
use waypost_route::request::is_refused_method;
use waypost_wire::token;

use crate::diagnostic::Code;
use crate::document;
use crate::keys::At;
use crate::lower::{bytes, duration, duration_up_to, whole};
use crate::problems::{Problems, quote};
use crate::retry_reason::RetryReason;
use crate::values::{DurationText, Text, TimeoutText};

/// Maximum further attempts.
const ATTEMPTS_MAX: u64 = 10;
/// Maximum of the wait before a retry.
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Maximum bytes of a body that are held.
const BODY_BYTES_MAX: u64 = 1 << 20;
/// The shortest duration of a timeout or hedge.
const TIME_MIN: Duration = Duration::from_millis(1);

/// Lowers `retry` and `hedge` of a route.
pub(super) fn of(route: &document::route::Route, problems: &mut Problems) -> Option<Retry> {
    let hedge = route.hedge.as_deref();
    let hedge = hedge.map(|hedge| hedge.with(DurationText(hedge.value.0)));
    let hedge = hedge.as_ref();
    let hedge_after = hedge.map(|hedge| duration(hedge, TIME_MIN, problems));
    let Some(written) = route.retry.as_deref() else {
        // A value that could not be read is reported already.
        if let Some(hedge) = hedge
            && !route.given.keys().any(|key| key == "retry")
        {
            problems
                .add(
                    Code::MissingKey,
                    hedge.key,
                    "a hedge is a second attempt, and there is no `retry`",
                )
                .help("add `retry: {}`, whose budget and methods hedges keep to");
        }
        return None;
    };
    let given = &written.value;
    let mut retry = Retry {
        hedge: hedge_after,
        ..Retry::default()
    };
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
    if let Some(hedge) = hedge {
        report_late_hedge(
            hedge,
            given.timeout.as_deref(),
            "an attempt is given up before",
            problems,
        );
        report_late_hedge(
            hedge,
            route.timeout.as_deref(),
            "the request is given up before",
            problems,
        );
    }
    Some(retry)
}

/// Warns of a hedge that comes after `timeout`.
fn report_late_hedge(
    hedge: &At<DurationText>,
    timeout: Option<&At<TimeoutText>>,
    label: &str,
    problems: &mut Problems,
) {
    if let Some(timeout) = timeout
        && timeout.value.0.is_some_and(|time| hedge.value.0 >= time)
    {
        problems
            .add(Code::NoEffect, hedge.span, "the hedge never comes")
            .label(timeout.span, label)
            .help("hedge after about the 95th percentile of the response times");
    }
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
