//! Checks and ejections of endpoints.

use std::time::Duration;

use waypost_plan::health::{Ejection, FailureKind, FailureRate, HealthCheck, Probe};

use super::*;

/// A config whose service has these keys; they begin at line 2, column 45.
fn config(keys: &str) -> String {
    format!(
        "listeners: [{{ bind: 127.0.0.1:8080 }}]\nservices: {{ a: {{ endpoints: [http://a:80], {keys} }} }}\nroutes: [{{ name: r, to: a }}]\n"
    )
}

fn accepted(keys: &str) -> (Option<HealthCheck>, Option<Ejection>) {
    let loaded = load_text(config(keys));
    let loaded = loaded.unwrap_or_else(|found| panic!("{keys}\n{:#?}", lines(&found)));
    assert!(
        loaded.warnings.is_empty(),
        "{keys}: {:?}",
        lines(&loaded.warnings)
    );
    let service = &loaded.plan.services()[0];
    (service.health.clone(), service.eject)
}

fn refused(keys: &str, expected: &[&str]) {
    let Err(found) = load_text(config(keys)) else {
        panic!("{keys} is accepted");
    };
    let found = lines(&found);
    let matches = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, expected)| found.contains(expected));
    assert!(matches, "{keys}\nexpected:\n{expected:#?}\nfound:\n{found:#?}");
}

fn check_of(keys: &str) -> HealthCheck {
    accepted(keys).0.unwrap()
}

fn ejection(keys: &str) -> Ejection {
    accepted(keys).1.unwrap()
}

#[test]
fn a_path_is_all_that_checks_need() {
    let check = check_of("health: { path: /healthz }");
    let seconds = Duration::from_secs;
    assert_eq!((check.interval, check.timeout), (seconds(10), seconds(2)));
    assert_eq!((check.unhealthy, check.healthy, check.port), (3, 2, None));
    assert!(check.initially_healthy);
    let Probe::Http(http) = check.probe else {
        panic!("a path is asked for over HTTP");
    };
    assert_eq!((&*http.method, &*http.path, http.host), ("GET", "/healthz", None));
    for (status, expected) in [(199, false), (200, true), (299, true), (300, false)] {
        assert_eq!(http.statuses.contains(status), expected, "{status}");
    }
    assert_eq!(accepted("http2: true").0, None);
}

#[test]
fn checks_can_say_more() {
    let check = check_of(
        "health: { path: \"/live?full=1\", interval: 500ms, timeout: 100ms, unhealthy: 1, healthy: 5, \
         status: [200-204, 401, 3xx], method: HEAD, host: orders.internal, headers: { X-Probe: a b }, port: 9000, \
         initially: unhealthy }",
    );
    assert_eq!(check.interval, Duration::from_millis(500));
    assert_eq!((check.unhealthy, check.healthy, check.port), (1, 5, Some(9000)));
    assert!(!check.initially_healthy);
    let Probe::Http(http) = check.probe else {
        panic!("a path is asked for over HTTP");
    };
    assert_eq!(
        (&*http.method, http.host.as_deref()),
        ("HEAD", Some("orders.internal"))
    );
    assert_eq!(http.headers, [("x-probe".into(), "a b".into())]);
    let passing: Vec<u16> = (100..600)
        .filter(|status| http.statuses.contains(*status))
        .collect();
    assert_eq!(
        (passing.len(), passing[0], passing[5], passing[105]),
        (106, 200, 300, 401)
    );
    // One status needs no list.
    let Probe::Http(http) = check_of("health: { path: /, status: 204 }").probe else {
        panic!("a path is asked for over HTTP");
    };
    assert!(http.statuses.contains(204) && !http.statuses.contains(200));
}

#[test]
fn checks_can_be_calls_or_connections() {
    for (keys, expected) in [("grpc: true", ""), ("grpc: orders.v1.Orders", "orders.v1.Orders")] {
        let Probe::Grpc { service, .. } = check_of(&format!("health: {{ {keys} }}")).probe else {
            panic!("{keys} is a call");
        };
        assert_eq!(&*service, expected);
    }
    assert_eq!(check_of("health: { tcp: true }").probe, Probe::Tcp);
    assert!(matches!(
        check_of("health: { tcp: false, path: / }").probe,
        Probe::Http(_)
    ));
}

#[test]
fn checks_ask_one_thing() {
    for keys in ["{ interval: 1s }", "{}", "{ tcp: false }"] {
        refused(
            &format!("health: {keys}"),
            &["missing-key the checks have none of `path`, `grpc` and `tcp` (add `path: /healthz`"],
        );
    }
    refused(
        "health: { path: /, tcp: true }",
        &["conflicting-keys a check asks one thing: there is either `path` or `tcp` (keep one of them)"],
    );
    refused("health: { path: /, grpc: true }", &["either `path` or `grpc`"]);
    refused(
        "health: { tcp: true, status: 200, headers: { a: b } }",
        &["conflicting-keys", "conflicting-keys"],
    );
    refused(
        "health: { grpc: true, method: GET }",
        &["conflicting-keys this is about a request, and the check is `grpc`"],
    );
    refused(
        "health: { grpc: false }",
        &["wrong-type expected `true`, or text"],
    );
}

#[test]
fn mistakes_in_checks_are_shown_with_a_hint() {
    refused(
        "health: /healthz",
        &["wrong-type expected the `health` of a service"],
    );
    refused(
        "health: { path: healthz }",
        &["bad-path `healthz` is not the path of a request (begin it with a slash"],
    );
    refused("health: { path: /, interval: 0s }", &["out-of-range"]);
    refused(
        "health: { path: /, interval: 5 }",
        &["bad-value a duration has a unit"],
    );
    refused("health: { path: /, unhealthy: 0 }", &["out-of-range"]);
    refused("health: { path: /, port: 0 }", &["out-of-range"]);
    refused("health: { path: /, port: 70000 }", &["out-of-range"]);
    refused(
        "health: { path: /, status: [299-200] }",
        &["out-of-range the range ends before it begins"],
    );
    refused("health: { path: /, status: [600] }", &["out-of-range"]);
    refused(
        "health: { path: /, status: [ok] }",
        &["bad-value expected a status"],
    );
    refused("health: { path: /, status: [] }", &["empty-list"]);
    refused("health: { path: /, method: \"G T\" }", &["is not a method"]);
    refused(
        "health: { path: /, method: CONNECT }",
        &["no service answers this method"],
    );
    refused(
        "health: { path: /, host: \"http://a\" }",
        &["leave the scheme out"],
    );
    refused(
        "health: { path: /, headers: { host: a } }",
        &["the key `host` beside `headers` sets it"],
    );
    refused(
        "health: { path: /, headers: { connection: close } }",
        &["bad-header-edit"],
    );
    refused(
        "health: { path: /, initially: down }",
        &["unknown-word expected `healthy` or `unhealthy`"],
    );
    refused(
        "health: { path: /, intervall: 5s }",
        &["unknown-key `intervall` is not a key of the `health` of a service (did you mean `interval`?)"],
    );
}

#[test]
fn ejection_has_defaults() {
    assert_eq!(accepted("http2: true").1, None);
    assert_eq!(ejection("eject: {}"), Ejection::default());
    assert_eq!(ejection("eject: { failures: 5 }"), Ejection::default());
    let ejection = ejection("http2: true, eject: { failures: 2, of: [5xx, grpc], for: 1m, max: 100 }");
    assert_eq!((ejection.failures, ejection.max), (Some(2), 100));
    assert_eq!(ejection.duration, Duration::from_secs(60));
    let kinds = FailureKind::ALL.map(|kind| ejection.of.contains(kind));
    assert_eq!(kinds, [false, false, false, true, true]);
}

#[test]
fn share_of_failures_replaces_the_row_unless_both_are_given() {
    let found = ejection("eject: { rate: 50 }");
    assert_eq!((found.failures, found.rate), (None, Some(FailureRate::default())));
    let found = ejection("eject: { rate: 30, requests: 100, window: 30s, failures: 7 }");
    assert_eq!(found.failures, Some(7));
    let rate = FailureRate {
        percent: 30,
        requests: 100,
        window: Duration::from_secs(30),
    };
    assert_eq!(found.rate, Some(rate));
}

#[test]
fn mistakes_in_ejections_are_shown_with_a_hint() {
    refused("eject: { failures: 0 }", &["out-of-range"]);
    refused("eject: { rate: 101 }", &["out-of-range"]);
    refused("eject: { max: 101 }", &["out-of-range"]);
    refused(
        "eject: { for: 6m }",
        &["out-of-range the duration is out of range: 1ms to 5m"],
    );
    refused("eject: { of: [] }", &["empty-list"]);
    refused("eject: { of: [4xx] }", &["unknown-word"]);
    refused("eject: { of: [resets] }", &["did you mean `reset`?"]);
    refused(
        "eject: { requests: 20, window: 10s }",
        &[
            "there is no `rate` (add `rate: 50`, or leave it out)",
            "there is no `rate`",
        ],
    );
    refused(
        "eject: { failures: 5, success: { } }",
        &["unknown-key `success` is not a key"],
    );
    for word in ["circuit_breaker", "outlier_detection"] {
        refused(&format!("{word}: {{}}"), &["did you mean `eject`?"]);
    }
    refused("health_check: { path: / }", &["did you mean `health`?"]);
}
