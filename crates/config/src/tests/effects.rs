//! Keys of services and of their routes that have no effect.

use super::*;

/// A config with a service `a` of these keys, and these routes and rollouts.
fn config(service: &str, rest: &str) -> String {
    format!(
        "listeners: [{{ bind: 0.0.0.0:80 }}, {{ bind: 0.0.0.0:443, tls: {{ passthrough: true }} }}]\n\
        services:\n  b: {{ endpoints: [http://b, http://b2] }}\n  a: {{ {service} }}\n{rest}\n"
    )
}

const PASSED: &str = "routes: [{ name: p, passthrough: a }, { name: r, to: b }]";
const FORWARDED: &str = "routes: [{ name: r, to: a }, { name: p, passthrough: b }]";
const BOTH: &str =
    "routes: [{ name: r, to: a }, { name: p, passthrough: a }, { name: s, to: b, match: { path: /b } }]";
const COPIED: &str = "routes: [{ name: r, to: b, mirror: { to: a } }, { name: p, passthrough: b }]";
const CALLED: &str = "routes: [{ name: r, to: b }, { name: p, passthrough: b }]\n\
    rollouts: { x: { steps: [1, 100], notify: { to: a, path: / } } }";

/// Checks that `config` gives these warnings of keys without effect: the text where each begins, then `|` and a part of it.
fn check_effects(config: String, expected: &[&str]) {
    let expected = expected.iter().map(|expected| {
        let (place, part) = expected.split_once(" | ").expect("a place, and what is said");
        let at = config.find(place).expect("a place of the config");
        let line = config[..at].matches('\n').count() + 1;
        let column = at - config[..at].rfind('\n').map_or(0, |end| end + 1) + 1;
        format!("{line}:{column} no-effect {part}")
    });
    let expected: Vec<String> = expected.collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check(config, &expected);
}

/// Checks the keys of `a`, used as in `rest`.
fn check_keys(keys: &str, rest: &str, expected: &[&str]) {
    check_effects(config(&format!("endpoints: [http://a], {keys}"), rest), expected);
}

#[test]
fn connections_that_are_passed_through_have_no_requests() {
    for (keys, expected) in [
        (
            "limits: { requests: 1 }",
            &["requests: 1 | limit `connections`"][..],
        ),
        (
            "limits: { requests: 1, waiting: 2, wait: 2s }",
            &[
                "requests: 1 | only connections that are passed through go to the service",
                "waiting: | `waiting` has no effect",
                "wait: | `wait` has no effect",
            ],
        ),
        ("limits: { connections: 1, waiting: 2, wait: 2s }", &[]),
        (
            "limits: { requests: 1, connections: 1, waiting: 2 }",
            &["requests: 1 | no effect"],
        ),
        (
            "limits: { header_bytes: 1KiB, headers: 5 }",
            &["header_bytes | no effect", "headers | no effect"],
        ),
        ("limits: { headers: 5 }, health: { path: / }", &[]),
        (
            "balance: { hash: { header: x } }",
            &["header: x | write `hash: { client_ip: true }`, or leave `balance` out"],
        ),
        ("balance: { hash: { cookie: x } }", &["cookie: | no effect"]),
        ("balance: { hash: { path: true } }", &["path: | no effect"]),
        ("balance: { hash: { client_ip: true } }", &[]),
        ("balance: least_request", &[]),
        (
            "http2: true, health: { path: / }, eject: { of: [connect, 5xx, grpc, reset] }",
            &[
                "5xx, | `connect` and `reset` are seen",
                "grpc, | `grpc` has no effect",
            ],
        ),
        ("host: endpoint", &["endpoint } | are not seen"]),
        ("host: client", &[]),
        (
            "timeouts: { response: 1s, idle: 2s, connect: 1s, tunnel: 1h }",
            &["response: | write `tunnel`", "idle: | no effect"],
        ),
        ("pool: { idle_max: 5 }", &["pool: | no connection is kept"]),
        ("http2: true", &["http2: | no effect"]),
        ("http2: true, health: { path: / }", &[]),
        ("http2: true, health: { tcp: true }", &["http2: | no effect"]),
        ("http2: false, slow_start: 1s, panic: 0, proxy_protocol: v2", &[]),
    ] {
        check_keys(keys, PASSED, expected);
        check_keys(keys, BOTH, &[]);
    }
    let verified = "endpoints: [https://a], tls: { server_name: a.test }";
    check_effects(config(verified, PASSED), &["tls: { server | clients end TLS"]);
    check_effects(
        config(&format!("{verified}, health: {{ tcp: true }}"), PASSED),
        &[],
    );
}

#[test]
fn copies_do_not_wait_and_calls_keep_nothing() {
    for keys in [
        "limits: { requests: 1, connections: 1 }",
        "balance: { hash: { header: x } }, pool: { idle_max: 5 }, host: endpoint",
    ] {
        check_keys(keys, COPIED, &[]);
    }
    let waiting = "limits: { requests: 1, waiting: 2, wait: 2s }";
    check_keys(
        waiting,
        COPIED,
        &["waiting: | only copies of requests", "wait: | no effect"],
    );
    check_keys(waiting, CALLED, &[]);
    let tunnel = "timeouts: { tunnel: 1h }";
    check_keys(tunnel, COPIED, &["tunnel: | only copies of requests"]);
    check_keys(
        "pool: { idle_max: 5 }",
        CALLED,
        &["pool: | only calls of rollouts"],
    );
    check_keys(
        "balance: { hash: { client_ip: true } }",
        CALLED,
        &["client_ip: | leave `balance` out"],
    );
}

#[test]
fn endpoints_that_leave_a_key_without_effect() {
    let of = |keys: &str, expected: &[&str]| check_effects(config(keys, FORWARDED), expected);
    let drained = "endpoints: [{ url: http://a, weight: 0 }, { url: http://c, weight: 0, backup: true }]";
    of(drained, &["endpoints: [{ | give one of them a weight"]);
    for fine in [
        "endpoints: [{ url: http://a, weight: 0 }, { url: http://c, backup: true }]",
        "endpoints: [{ url: http://a, weight: 0 }, srv+http://_http._tcp.a]",
        "endpoints: [{ url: http://a, backup: true }, http://c]",
        "endpoints: [unix:/a, http://b], health: { path: /, port: 80 }",
        "endpoints: [http://a], eject: {}, slow_start: 1s",
        "endpoints: [http://10.0.0.1, http://10.0.0.2, http://10.0.0.3], eject: { max: 34 }",
        "endpoints: [h2c://a], eject: { of: [connect, grpc] }",
        "endpoints: []",
    ] {
        of(fine, &[]);
    }
    of(
        "endpoints: [{ url: http://a, backup: true }]",
        &["backup | all endpoints are backups"],
    );
    of(
        "endpoints: [unix:/a, unix:/b], health: { path: /, port: 80 }",
        &["port: | unix sockets"],
    );
    of("endpoints: [http://a], eject: { max: 0 }", &["max: | `max: 0`"]);
    of(
        "endpoints: [http://10.0.0.1], eject: {}",
        &["eject: | the only endpoint is never ejected"],
    );
    of(
        "endpoints: [http://10.0.0.1], slow_start: 1s",
        &["slow_start: | there is one endpoint"],
    );
    of(
        "endpoints: [http://10.0.0.1, http://10.0.0.2, http://10.0.0.3], eject: { max: 33 }",
        &["33 | write `34` or more"],
    );
    of(
        "endpoints: [http://a], eject: { of: [connect, grpc] }",
        &["grpc] | gRPC requires HTTP/2"],
    );
    of(
        "endpoints: [http://a], eject: { of: [connect, 5xx, connect] }",
        &["connect] } | has this already"],
    );
    of(
        "endpoints: [http://a], pool: { idle_max: 3 }, proxy_protocol: v1",
        &["pool: | PROXY header"],
    );
}

#[test]
fn retries_and_hedges_that_never_come() {
    let with = |service: &str, route: &str, expected: &[&str]| {
        let routes = format!("routes:\n- {{ name: r, to: a, {route} }}\n- {{ name: p, passthrough: b }}");
        check_effects(config(service, &routes), expected);
    };
    let of = |route: &str, expected: &[&str]| with("endpoints: [http://a, http://c]", route, expected);
    for fine in [
        "timeout: 2s, retry: { timeout: 1s }",
        "retry: { timeout: 1h }",
        "retry: {}, hedge: 29s",
        "retry: { on: [refused_stream, connect] }",
        "match: { method: [POST, PUT] }, retry: { on: [503] }",
        "match: [{ method: POST }, { path: /x }], retry: { on: [503] }",
        "match: { method: POST }, retry: { on: [503, connect] }",
        "match: { method: POST }, retry: { on: [503], methods: [POST] }, hedge: 95ms",
    ] {
        of(fine, &[]);
    }
    of("timeout: 2s, retry: { timeout: 3s }", &["3s | a third"]);
    of("retry: {}, hedge: 30s", &["30s | the service has 30s to respond"]);
    of(
        "retry: { timeout: 20s }, hedge: 31s",
        &["31s | the hedge never comes"],
    );
    of(
        "retry: {}, hedge: 3s, timeout: 1s",
        &["3s | the hedge never comes"],
    );
    of(
        "retry: { on: [refused_stream] }",
        &["[refused_stream] | add `http2: true`"],
    );
    of(
        "match: { method: [POST, PATCH] }, retry: { on: [503] }",
        &["retry: | name the method in `methods`"],
    );
    of(
        "match: { method: POST }, retry: {}, hedge: 95ms",
        &["95ms | name the method in `methods`"],
    );
    of(
        "retry: { on: [connect, 429, 503, 5xx, connect] }",
        &["503, 5xx | has this already", "connect] } | has this already"],
    );
    let (streams, hedged) = ("retry: { on: [refused_stream] }", "retry: {}, hedge: 95ms");
    with("endpoints: [http://a], http2: true", streams, &[]);
    with("endpoints: [http://a, h2c://c]", streams, &[]);
    with("endpoints: [http://10.0.0.1]", hedged, &["95ms | add endpoints"]);
    with(
        "endpoints: [http://a, http://c], timeouts: { response: 50ms }",
        hedged,
        &["95ms | the service has 50ms"],
    );
}
