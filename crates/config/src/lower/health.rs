//! Health checks and ejections of services.

use std::time::Duration;

use waypost_plan::failures::StatusSet;
use waypost_plan::header_edits::HeaderEdits;
use waypost_plan::health::{
    EJECTION_MAX, Ejection, FailureKinds, FailureRate, HealthCheck, HttpProbe, Probe,
};
use waypost_plan::service::SentHost;

use crate::diagnostic::Code;
use crate::document::health::{self, Initially};
use crate::either::TrueOrText;
use crate::keys::{self, At};
use crate::lower::{destination, duration, duration_up_to, header_edits, host, matching, timeout, whole};
use crate::place::Span;
use crate::problems::Problems;

/// The shortest time of checks and ejections.
const TIME_MIN: Duration = Duration::from_millis(1);
/// The largest number of checks or failures in a row.
const ROW_MAX: u64 = 1000;

/// Lowers the `health` of a service.
pub(super) fn check(
    written: &At<health::HealthCheck>,
    sent_host: &SentHost,
    problems: &mut Problems,
) -> Option<HealthCheck> {
    let given = &written.value;
    let probe = probe(written, sent_host, problems);
    let mut check = HealthCheck::new(probe.unwrap_or(Probe::Tcp));
    if let Some(interval) = &given.interval {
        check.interval = duration(interval, TIME_MIN, problems);
    }
    if let Some(time) = &given.timeout {
        check.timeout = timeout(time, TIME_MIN, problems);
    }
    for (field, number) in [
        (&mut check.unhealthy, &given.unhealthy),
        (&mut check.healthy, &given.healthy),
    ] {
        if let Some(number) = number {
            *field = small(number, 1, ROW_MAX, problems);
        }
    }
    if let Some(port) = &given.port {
        check.port = u16::try_from(whole(port, 1, 65535, problems)).ok();
    }
    if let Some(initially) = &given.initially {
        check.initially_healthy = initially.value == Initially::Healthy;
    }
    Some(check)
}

/// Lowers what is asked.
fn probe(written: &At<health::HealthCheck>, sent_host: &SentHost, problems: &mut Problems) -> Option<Probe> {
    let given = &written.value;
    let tcp = given.tcp.as_ref().filter(|tcp| tcp.value);
    let asked: Vec<(&str, Span)> = [
        given.path.as_ref().map(|path| ("path", path.key)),
        given.grpc.as_ref().map(|grpc| ("grpc", grpc.key)),
        tcp.map(|tcp| ("tcp", tcp.key)),
    ]
    .into_iter()
    .flatten()
    .collect();
    match asked[..] {
        [_] => {}
        [(first, first_span), (second, second_span), ..] => {
            problems
                .add(
                    Code::ConflictingKeys,
                    second_span,
                    format!("a check asks one thing: there is either `{first}` or `{second}`"),
                )
                .label(first_span, "the other one")
                .help("keep one of them");
            return None;
        }
        // One that could not be read, or is another gateway's word, is reported already.
        [] if given.given.keys().any(is_probe) => return None,
        [] => {
            problems
                .add(
                    Code::MissingKey,
                    written.key,
                    "the checks have none of `path`, `grpc` and `tcp`",
                )
                .help("add `path: /healthz`, `grpc: true` or `tcp: true`");
            return None;
        }
    }
    let is_http = given.path.is_some();
    let others: &[&str] = match (is_http, tcp) {
        (true, _) => &[],
        (false, None) => &["status", "method"],
        (false, Some(_)) => &["status", "method", "host", "headers"],
    };
    for place in given.given.places(others) {
        problems
            .add(
                Code::ConflictingKeys,
                place,
                format!("this is about a request, and the check is `{}`", asked[0].0),
            )
            .help("leave it out, or ask for a `path`");
    }
    if let Some(host) = &given.host {
        host::check_authority(host, problems);
    }
    let host = given.host.as_ref().map(|host| (*host.value).into());
    let host = host.or_else(|| match sent_host {
        SentHost::Named(name) => Some(name.clone()),
        SentHost::Client | SentHost::Endpoint => None,
    });
    let headers = headers(given, problems);
    if let Some(path) = &given.path {
        destination::check_path(path, problems);
        let mut method = "GET".into();
        if let Some(written) = &given.method {
            matching::check_method(written, problems);
            method = (*written.value).into();
            if matches!(&*written.value, "CONNECT" | "TRACE") {
                problems
                    .add(
                        Code::BadValue,
                        written.span,
                        "no service answers this method as it answers requests",
                    )
                    .help("write `GET` or `HEAD`");
            }
        }
        let mut statuses = StatusSet::default();
        match &given.status {
            None => statuses.add(200..=299),
            Some(written) => written
                .value
                .0
                .iter()
                .for_each(|range| statuses.add(range.value.0.clone())),
        }
        return Some(Probe::Http(HttpProbe {
            method,
            path: (*path.value).into(),
            host,
            headers,
            statuses,
        }));
    }
    let Some(grpc) = &given.grpc else {
        return Some(Probe::Tcp);
    };
    Some(Probe::Grpc {
        service: match &grpc.value {
            TrueOrText::True => "".into(),
            TrueOrText::Text(service) => (**service).into(),
        },
        host,
        headers,
    })
}

/// Returns true if `key` says, or was probably meant to say, what is asked.
fn is_probe(key: &str) -> bool {
    let table = &health::HealthCheck::TABLE;
    let meant = match table.keys.iter().any(|known| known.name == key) {
        true => Some(key),
        false => keys::meant(key, table),
    };
    matches!(meant, Some("path" | "grpc"))
}

/// Lowers header fields of a check's request.
fn headers(given: &health::HealthCheck, problems: &mut Problems) -> Vec<(Box<str>, Box<str>)> {
    let mut edits = HeaderEdits::default();
    for (name, value) in given.headers.iter().flat_map(|headers| &headers.value.0) {
        let result = edits.set(name, &*value.value);
        header_edits::report(
            result,
            value.key,
            value.span,
            "the key `host` beside `headers` sets it",
            problems,
        );
    }
    let lines = edits.lines();
    lines
        .map(|(name, value)| {
            let value = value.as_literal().unwrap_or_default();
            (name.to_ascii_lowercase().into(), value.into())
        })
        .collect()
}

/// Lowers the `eject` of a service.
pub(super) fn ejection(written: &health::Ejection, problems: &mut Problems) -> Ejection {
    let mut ejection = Ejection::default();
    let rate = written.rate.as_ref();
    ejection.failures = match &written.failures {
        Some(failures) => Some(small(failures, 1, ROW_MAX, problems)),
        None if rate.is_some() => None,
        None => ejection.failures,
    };
    if let Some(percent) = rate {
        let mut rate = FailureRate {
            percent: small(percent, 1, 100, problems),
            ..FailureRate::default()
        };
        if let Some(requests) = &written.requests {
            rate.requests = small(requests, 1, 1_000_000, problems);
        }
        if let Some(window) = &written.window {
            rate.window = duration_up_to(
                window,
                Duration::from_millis(100),
                Duration::from_secs(3600),
                problems,
            );
        }
        ejection.rate = Some(rate);
    } else if !written.given.keys().any(|key| key == "rate") {
        for place in written.given.places(&["requests", "window"]) {
            problems
                .add(
                    Code::ConflictingKeys,
                    place,
                    "this is about a share of failures, and there is no `rate`",
                )
                .help("add `rate: 50`, or leave it out");
        }
    }
    if let Some(of) = &written.of {
        ejection.of = FailureKinds::of(of.value.0.iter().map(|kind| kind.value));
    }
    if let Some(time) = &written.duration {
        ejection.duration = duration_up_to(time, TIME_MIN, EJECTION_MAX, problems);
    }
    if let Some(max) = &written.max {
        ejection.max = small(max, 0, 100, problems);
    }
    ejection
}

/// Checks a number from `min` to `max`.
fn small(written: &At<u64>, min: u64, max: u64, problems: &mut Problems) -> u32 {
    u32::try_from(whole(written, min, max, problems)).unwrap_or(u32::MAX)
}
