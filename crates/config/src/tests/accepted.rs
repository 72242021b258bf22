//! Valid configurations and their plans.

use std::time::Duration;

use waypost_plan::access::BodyLimit;
use waypost_plan::balance::{Balance, HashKey};
use waypost_plan::duration::UNBOUNDED;
use waypost_plan::health::Probe;
use waypost_plan::listener::HalfClose;
use waypost_plan::policies::Policies;
use waypost_plan::redirect::Scheme;
use waypost_plan::retry::{Retry, RetryReasons};
use waypost_plan::rewrite::Reverse;
use waypost_plan::route::Action;
use waypost_plan::service::Capacity;
use waypost_plan::service::SentHost;
use waypost_plan::settings::AccessLog;
use waypost_plan::sticky::SameSite;
use waypost_plan::trusted_proxies::{ClientSource, MatchedHost, TrustedProxies};
use waypost_plan::value::NoValues;
use waypost_route::condition::ValueCondition;
use waypost_route::host::HostPattern;
use waypost_wire::path::{DotSegmentParameters, PathOptions};

use super::*;

fn plan(text: &str) -> Plan {
    match load_text(text) {
        Ok(loaded) => loaded.plan,
        Err(found) => panic!("{text}\n{:#?}", lines(&found)),
    }
}

fn with_route(route: &str) -> Plan {
    plan(&format!("{BASE}routes: [{{ name: r, {route} }}]\n"))
}

#[test]
fn lists_of_hosts_and_paths_make_an_alternative_for_each_pair() {
    let plan = with_route("match: { host: [a.b, \"*.c\"], path: [/x, \"/u/{userId}/*\", ~y$] }, to: a");
    let alternatives = plan.routes()[0].matching.alternatives.iter();
    let shown: Vec<String> = alternatives
        .map(|alternative| format!("{} {}", alternative.host, alternative.path))
        .collect();
    assert_eq!(
        shown,
        [
            "a.b /x",
            "a.b /u/{userId}/*",
            "a.b ~y$",
            "*.c /x",
            "*.c /u/{userId}/*",
            "*.c ~y$"
        ]
    );
}

#[test]
fn listeners_are_named_by_name_or_address() {
    let plan = plan(
        "listeners: [{ bind: 0.0.0.0:80, name: plain }, { bind: 0.0.0.0:81 }]\n\
        services: { a: { endpoints: [http://a] } }\n\
        routes: [{ name: r, match: { listener: [0.0.0.0:80, 0.0.0.0:81, plain], scheme: http }, to: a }]\n",
    );
    let attributes = plan.routes()[0].matching.alternatives[0].attributes.iter();
    let shown: Vec<String> = attributes
        .map(|condition| format!("{} {}", condition.attribute, condition.value))
        .collect();
    assert_eq!(shown, ["listener 0.0.0.0:81, plain", "scheme http"]);
}

#[test]
fn keys_that_begin_with_x_are_ignored() {
    let text = format!(
        "{BASE}x-services: &hosts [a.b, c.d]\nx-none:\nx-: {{ y: 1 }}\n\
        routes: [{{ name: r, match: {{ host: *hosts }}, to: a }}]\n"
    );
    assert_eq!(plan(&text).routes()[0].matching.alternatives.len(), 2);
    let files = [
        source("a.yaml", format!("{BASE}x-a: 1\n")),
        source("b.yaml", "x-a: &b { name: r, to: a }\nroutes: [*b]\n"),
    ];
    let loaded = load(&files, Kind::Directory, &environment).unwrap();
    assert_eq!(lines(&loaded.warnings), Vec::<String>::new());
}

#[test]
fn a_route_has_timeouts_limits_and_access_of_its_own() {
    let plan = with_route(
        "to: a, timeouts: { connect: 1s, idle: none }, limits: { body_bytes: 1KiB }, \
        access: { allow: [10.0.0.0/8, \"::1\"], deny: [10.1.0.0/16] }",
    );
    let route = &plan.routes()[0];
    let timeouts = route.policies.timeouts;
    assert_eq!(
        (timeouts.connect, timeouts.response, timeouts.idle),
        (Some(Duration::from_secs(1)), None, Some(UNBOUNDED))
    );
    assert_eq!(route.policies.body, BodyLimit::Bytes(1024));
    assert!(route.policies.access.admits("10.2.0.1".parse().unwrap()));
    assert!(!route.policies.access.admits("10.1.0.1".parse().unwrap()));
    let plan = with_route("respond: { status: 200 }, limits: { body_bytes: none }");
    assert_eq!(plan.routes()[0].policies.body, BodyLimit::Unlimited);
    assert_eq!(with_route("to: a").routes()[0].policies, Policies::default());
}

#[test]
fn none_is_a_value_of_every_timeout() {
    let plan = plan(
        "listeners: [{ bind: 0.0.0.0:80, limits: { header_timeout: none, keep_alive_timeout: none, \
        body_idle_timeout: none, handshake_timeout: none } }]\ndrain_timeout: none\n\
        services: { a: { endpoints: [http://a], timeouts: { connect: none, response: none, idle: none, tunnel: none }, \
        pool: { idle_timeout: none }, limits: { requests: 1, waiting: 1, wait: none }, \
        health: { tcp: true, timeout: none } } }\n\
        routes: [{ name: r, to: a, timeout: none, timeouts: { response: none }, retry: { timeout: none }, hedge: 1s }]\n",
    );
    let limits = &plan.listeners()[0].limits;
    let service = &plan.services()[0];
    for time in [
        limits.header_timeout,
        limits.keep_alive_timeout,
        limits.body_idle_timeout,
        limits.handshake_timeout,
        plan.settings().drain_timeout,
        service.timeouts.connect,
        service.timeouts.response,
        service.timeouts.idle,
        service.timeouts.tunnel,
        service.pool.idle_timeout,
        service.capacity.wait,
        service.health.as_ref().unwrap().timeout,
    ] {
        assert_eq!(time, UNBOUNDED);
    }
    let policies = &plan.routes()[0].policies;
    assert_eq!(
        (policies.timeout, policies.timeouts.response),
        (None, Some(UNBOUNDED))
    );
    assert_eq!(policies.retry.as_ref().unwrap().timeout, None);
}

#[test]
fn queries_are_replaced_or_edited() {
    let written = |plan: &Plan, query: &str| {
        let mut out = Vec::new();
        let route = &plan.routes()[0];
        match &route.action {
            Action::Forward(_) => {
                let rewrite = &route.policies.rewrite;
                rewrite.query.write(Some(query.as_bytes()), &NoValues, &mut out);
            }
            Action::Redirect(redirect) => redirect.query.write(Some(query.as_bytes()), &NoValues, &mut out),
            Action::Respond(_) => {}
        }
        String::from_utf8(out).unwrap()
    };
    let query = |query: &str| with_route(&format!("to: a, rewrite: {{ query: {query} }}"));
    assert_eq!(written(&query("\"\""), "a=1"), "");
    assert_eq!(written(&query("a=%20&b"), "a=1"), "?a=%20&b");
    let edits = "{ set: { a: 1, n: x y }, add: { b: \"\" }, remove: [utm_source] }";
    assert_eq!(written(&query(edits), "utm_source=q&a=2&c"), "?a=1&c&n=x%20y&b=");
    let plan = with_route("redirect: { query: { remove: [a] } }");
    assert_eq!(written(&plan, "a=1&b"), "?b");
    let plan = with_route("redirect: { url: \"https://a.b:8443/x?y#z\", status: 308 }");
    let Action::Redirect(redirect) = &plan.routes()[0].action else {
        panic!("a redirect");
    };
    let url = redirect.url.as_ref().unwrap();
    let mut out = Vec::new();
    url.fill(&NoValues, PathOptions::default(), &mut out).unwrap();
    assert_eq!(out, b"https://a.b:8443/x?y#z");
}

const FIRST: &str = r#"
listeners:
  - bind: 0.0.0.0:8080
services:
  orders:   { endpoints: [http://10.0.0.11:8080, http://10.0.0.12:8080] }
  users-v1: { endpoints: [http://users-v1.internal:8080] }
  users-v2: { endpoints: [http://users-v2.internal:8080] }
routes:
  - name: orders
    match: { path: /orders/* }
    to: orders
  - name: users-v2-opt-in
    match: { path: /users/*, headers: { x-api-version: "2" } }
    to: users-v2
  - name: users
    match: { path: /users/* }
    to: { users-v1: 95, users-v2: 5 }
"#;

const EVERYTHING: &str = r#"
listeners:
  - name: public
    bind: 0.0.0.0:8080
    hosts: [api.example.com, "*.example.net", www.example.com]
    half_close: serve
    paths: { encoded_slash: keep, double_slash: merge, dot_segment_parameters: keep }
    trusted_proxies: [10.0.0.0/8, "::1"]
    limits: { header_bytes: 32KiB, headers: 50, target_bytes: 4096, header_timeout: 5s, keep_alive_timeout: 1m30s,
              body_idle_timeout: 20s, body_bytes: 10MiB, body_rate: 1KiB, connections: 1000, underscores: keep }
services:
  checkout-v1: { endpoints: [http://10.0.0.1:8080], timeouts: { connect: 1s, response: 5s, idle: 5m } }
  checkout-v2: { endpoints: ["http://[::1]:8080"], pool: { idle_max: 0, idle_timeout: 5s } }
access_log: stdout
drain_timeout: 10s
debug_headers: true
workers: 2
routes:
  - name: checkout
    match:
      - host: [api.example.com, "*.example.net"]
        path: /shops/{shop}/checkout/*
        method: [POST, PUT]
        headers: { x-tier: "~^(gold|silver)$", x-debug: false }
        query: { preview: "1" }
        cookies: { beta: true }
        client_ip: [10.0.0.0/8]
    to: { checkout-v1: 90, checkout-v2: 10 }
    rewrite: { prefix: "/v2/{shop}", host: checkout.internal }
    request_headers: { set: { x-gateway: waypost }, add: {}, remove: [x-internal] }
    response_headers: { remove: [server] }
    timeout: 15s
  - name: old-shop
    match: { path: /shop/*, host: www.example.com }
    redirect: { status: 308, prefix: /shops, host: www.example.com }
  - name: closed
    match: { path: /legacy/* }
    respond: { status: 410, body: "gone" }
tests:
  - request: GET http://api.example.com/legacy/7
    expect: { route: closed, outcome: respond, status: 410 }
  - request: GET /users/7
    headers: { x-api-version: "2" }
    client_ip: 10.0.0.1
    listener: public
    expect: { route: null, outcome: not_found }
"#;

#[test]
fn the_examples_of_the_language_load() {
    let first = plan(FIRST);
    assert_eq!((first.routes().len(), first.services().len()), (3, 3));
    let everything = load_text(EVERYTHING).unwrap_or_else(|found| panic!("{:#?}", lines(&found)));
    assert_eq!(lines(&everything.warnings), [""; 0]);
    let plan = &everything.plan;
    let listener = &plan.listeners()[0];
    assert_eq!(listener.limits.header_bytes, 32 << 10);
    assert_eq!(listener.limits.keep_alive_timeout, Duration::from_secs(90));
    assert_eq!(listener.limits.body_bytes, Some(10 << 20));
    assert_eq!(listener.limits.body_rate, Some(1 << 10));
    assert_eq!(listener.half_close, HalfClose::Serve);
    let defaults = &first.listeners()[0];
    assert_eq!(
        (defaults.limits.body_rate, defaults.half_close),
        (None, HalfClose::End)
    );
    // A list of hosts is a list of alternatives.
    let hosts: Vec<&HostPattern> = plan.routes()[0]
        .matching
        .alternatives
        .iter()
        .map(|alternative| &alternative.host)
        .collect();
    assert_eq!(
        hosts,
        [
            &HostPattern::Exact("api.example.com".into()),
            &HostPattern::Wildcard(".example.net".into())
        ]
    );
    assert_eq!(plan.tests()[1].expect.route, Some(None));
    assert_eq!(plan.settings().access_log, AccessLog::Stdout);
    assert_eq!(everything.test_places.len(), plan.tests().len());
    assert_eq!(
        (everything.test_places[0].line, everything.test_places[0].column),
        (40, 14)
    );
    assert_eq!(everything.route_places.len(), plan.routes().len());
    assert_eq!(
        (everything.route_places[0].line, everything.route_places[0].column),
        (19, 11)
    );
}

#[test]
fn json_is_yaml() {
    let json = r#"{"listeners":[{"bind":"127.0.0.1:80"}],"services":{"a":{"endpoints":["http://a"]}},
        "routes":[{"name":"r","to":{"a":1}}]}"#;
    assert_eq!(plan(json).routes().len(), 1);
}

#[test]
fn explicit_defaults_change_nothing() {
    fn defaults(table: &keys::KeyTable) -> String {
        let given = table.keys.iter().filter_map(|key| match key.presence {
            keys::Presence::Default("") => Some(format!("{}: \"\"", key.name)),
            keys::Presence::Default(value) if value.contains(';') => {
                Some(format!("{}: \"{value}\"", key.name))
            }
            keys::Presence::Default(value) => Some(format!("{}: {value}", key.name)),
            _ => None,
        });
        given.collect::<Vec<_>>().join(", ")
    }
    let config = |document: &str,
                  listener: &str,
                  service: &str,
                  redirect: &str,
                  respond: &str,
                  test: &str| {
        format!(
            "{{ listeners: [{{ bind: 127.0.0.1:80 {listener} }}], services: {{ a: {{ endpoints: [] {service} }} }},
            routes: [{{ name: r, to: a }}, {{ name: s, match: {{ path: /s }}, redirect: {{ port: 1 {redirect} }} }},
            {{ name: t, match: {{ path: /t }}, respond: {{ status: 200 {respond} }} }}],
            tests: [{{ request: GET /, expect: {{ route: r }} {test} }}] {document} }}"
        )
    };
    let without = plan(&config("", "", "", "", "", ""));
    let more = |table: &keys::KeyTable| format!(", {}", defaults(table));
    let with = plan(&config(
        &more(&document::Document::TABLE),
        &format!(
            "{}, limits: {{ {} }}, paths: {{ {} }}",
            more(&document::listener::Listener::TABLE),
            defaults(&document::listener::Limits::TABLE),
            defaults(&document::listener::Paths::TABLE)
        ),
        &format!(
            ", timeouts: {{ {} }}, pool: {{ {} }}",
            defaults(&document::service::Timeouts::TABLE),
            defaults(&document::service::Pool::TABLE)
        ),
        &more(&document::route::Redirect::TABLE),
        &more(&document::route::Respond::TABLE),
        &more(&document::Test::TABLE),
    ));
    assert_eq!(with, without);
}

#[test]
fn limits_of_a_service_are_lowered() {
    let capacity = |limits: &str| {
        let text = format!(
            "listeners: [{{ bind: 127.0.0.1:80 }}]\nservices: {{ a: {{ endpoints: []{limits} }} }}\n\
             routes: [{{ name: r, to: a }}]\n"
        );
        let loaded = load_text(text).unwrap_or_else(|found| panic!("{:#?}", lines(&found)));
        assert_eq!(lines(&loaded.warnings), [""; 0], "{limits}");
        loaded.plan.services()[0].capacity
    };
    assert_eq!(capacity(""), Capacity::default());
    assert_eq!(capacity(", limits: { headers: 9 }"), Capacity::default());
    assert_eq!(
        capacity(", limits: { requests: 1000, waiting: 100, wait: 250ms, connections: 512 }"),
        Capacity {
            requests: Some(1000),
            connections: Some(512),
            waiting: 100,
            wait: Duration::from_millis(250),
        }
    );
    let capacity = capacity(", limits: { connections: 1, waiting: 5 }");
    assert_eq!(
        (
            capacity.requests,
            capacity.connections,
            capacity.waiting,
            capacity.wait
        ),
        (None, Some(1), 5, Duration::from_secs(1))
    );
}

#[test]
fn values_are_typed_after_substitution() {
    let text = "listeners: [{ bind: \"127.0.0.1:${PORT}\" }]\nworkers: ${N:-3}\ndebug_headers: ${YES}\n\
        services: { a: { endpoints: [\"http://a:${PORT}\"] } }\nroutes: [{ name: r, to: { a: \"${N:-7}\" } }]\n";
    let plan = plan(text);
    assert_eq!(plan.listeners()[0].bind.address.port(), Some(8081));
    assert_eq!(plan.settings().workers.map(std::num::NonZeroUsize::get), Some(3));
    assert!(plan.settings().debug_headers);
    let Action::Forward(forward) = &plan.routes()[0].action else {
        panic!("a route with `to` forwards");
    };
    assert_eq!(forward.split.weights(), [7]);
}

#[test]
fn conditions_are_lowered_as_written() {
    let plan = with_route(
        "to: a, match: { headers: { X-A: 1.10, x-b: \"true\", x-c: true, x-d: FALSE, x-e: yes, x-f: \"~^a\", x-g: 0x10 } }",
    );
    let headers = &plan.routes()[0].matching.alternatives[0].headers;
    let shown: Vec<String> = headers
        .iter()
        .map(|h| format!("{}={:?}", h.name, h.value))
        .collect();
    assert_eq!(
        shown,
        [
            "x-a=Equals(\"1.10\")",
            "x-b=Equals(\"true\")",
            "x-c=Present",
            "x-d=Absent",
            "x-e=Equals(\"yes\")",
            "x-f=Matches(~^a)",
            "x-g=Equals(\"0x10\")",
        ]
    );
    let mapped =
        with_route("to: a, match: { client_ip: [\"::ffff:10.0.0.1\", \"::ffff:10.0.0.0/104\", fe80::/10] }");
    let ips: Vec<String> = mapped.routes()[0].matching.alternatives[0]
        .client_ips
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(ips, ["10.0.0.1/32", "10.0.0.0/8", "fe80::/10"]);
    assert!(matches!(headers[0].value, ValueCondition::Equals(_)));
}

#[test]
fn variables_in_conditions_are_text() {
    let plan = plan(&format!(
        "{BASE}routes:\n- name: r\n  to: a\n  match:\n    path: \"~^/${{WORD}}$\"\n    headers:\n      a: ${{YES}}\n      \
        b: ${{NO}}\n      c: \"${{REGEX}}\"\n      d: ${{REGEX}}\n      e: ~^${{WORD}}$\n      f: ${{NULL}}\n      \
        g: \"${{UNSET:-~x}}\"\n      h: x${{REGEX}}\n      i: ${{PORT}}\n      j: ${{EMPTY:-x}}\n"
    ));
    let alternative = &plan.routes()[0].matching.alternatives[0];
    let shown: Vec<String> = alternative
        .headers
        .iter()
        .map(|condition| format!("{}={:?}", condition.name, condition.value))
        .collect();
    assert_eq!(
        shown,
        [
            "a=Equals(\"true\")",
            "b=Equals(\"false\")",
            "c=Equals(\"~.*\")",
            "d=Equals(\"~.*\")",
            "e=Matches(~^a.c$)",
            "f=Equals(\"null\")",
            "g=Equals(\"~x\")",
            "h=Equals(\"x~.*\")",
            "i=Equals(\"8081\")",
            "j=Equals(\"x\")",
        ]
    );
    assert_eq!(alternative.path.to_string(), "~^/a.c$");
}

#[test]
fn client_certificates_are_lowered_to_attributes() {
    let text = "listeners: [{ bind: \"127.0.0.1:8080\", \
        tls: { certificates: [{ cert: a, key: b }], client_auth: { ca: c } } }]\n\
        services: { a: { endpoints: [http://a] } }\n\
        routes: [{ name: r, to: a, match: { client_cert: { subject: true, san: \"~^spiffe:\" } } }]\n";
    let plan = load_text(text).unwrap().plan;
    let attributes = &plan.routes()[0].matching.alternatives[0].attributes;
    let shown: Vec<String> = attributes
        .iter()
        .map(|condition| format!("{}={:?}", condition.attribute, condition.value))
        .collect();
    assert_eq!(
        shown,
        [
            "client_cert subject=Present",
            "client_cert san=Matches(~^spiffe:)"
        ]
    );
}

#[test]
fn listeners_say_the_scheme_of_their_clients() {
    let scheme = |keys: &str| {
        let text = format!("listeners: [{{ bind: 0.0.0.0:80{keys} }}]\n");
        plan(&text).listeners()[0].client_scheme
    };
    let tls = "tls: { certificates: [{ cert: a, key: b }] }";
    assert_eq!(scheme(""), None);
    assert_eq!(scheme(", scheme: https"), Some(Scheme::Https));
    assert_eq!(
        scheme(", scheme: http, redirect: { scheme: https }"),
        Some(Scheme::Http)
    );
    assert_eq!(scheme(&format!(", scheme: https, {tls}")), Some(Scheme::Https));
}

#[test]
fn rewrites_are_mapped_back_unless_off() {
    for (keys, expected) in [
        ("prefix: /", Reverse::On),
        ("host: b.internal", Reverse::On),
        ("prefix: /, reverse: on", Reverse::On),
        ("prefix: /, reverse: off", Reverse::Off),
        ("path: /x, host: b.internal, reverse: \"off\"", Reverse::Off),
    ] {
        let plan = with_route(&format!("to: a, match: {{ path: /x/* }}, rewrite: {{ {keys} }}"));
        let rewrite = &plan.routes()[0].policies.rewrite;
        assert_eq!(rewrite.reverse, expected, "{keys}");
    }
}

#[test]
fn splits_may_be_empty_or_all_zero() {
    assert_eq!(
        load_text(format!("{BASE}routes: [{{ name: r, to: {{}} }}]\n"))
            .unwrap()
            .warnings
            .len(),
        1
    );
    with_route("to: { a: 0 }");
}

#[test]
fn aliases_expand_to_values() {
    let plan = plan(
        "listeners: [{ bind: 127.0.0.1:80 }]\nservices: { a: &s { endpoints: [http://a] }, b: *s }\n\
        routes: [{ name: r, to: { a: 1, b: 1 } }]\n",
    );
    assert_eq!(plan.services()[0].endpoints, plan.services()[1].endpoints);
}

#[test]
fn files_of_a_directory_are_merged_by_name() {
    let files = [
        source(
            "d/b.yaml",
            "services: { b: { endpoints: [] } }\nroutes: [{ name: b, to: b }]\nworkers: 1\n",
        ),
        source(
            "d/a.yaml",
            format!("{BASE}routes: [{{ name: a, match: {{ path: /a }}, to: {{ a: 1, b: 1 }} }}]\n"),
        ),
    ];
    let loaded = load(&files, Kind::Directory, &environment).unwrap();
    let names: Vec<&str> = loaded
        .plan
        .routes()
        .iter()
        .map(|route| &*route.matching.name)
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(&*loaded.route_places[1].file, "d/b.yaml");
}

#[test]
fn files_of_a_directory_may_have_nothing_but_comments() {
    let base = source("d/base.yaml", format!("{BASE}routes: [{{ name: r, to: a }}]\n"));
    for nothing in [
        "",
        "\n",
        "# routes: []\n",
        "---\n",
        "--- # nothing\n...\n",
        "null\n",
        "\u{feff}# x",
    ] {
        for name in ["d/a.yaml", "d/z.yml"] {
            let loaded = load(
                &[source(name, nothing), base.clone()],
                Kind::Directory,
                &environment,
            );
            let loaded = loaded.unwrap_or_else(|found| panic!("{nothing:?}: {:#?}", lines(&found)));
            assert_eq!(
                (loaded.plan.routes().len(), loaded.warnings.len()),
                (1, 0),
                "{nothing:?}"
            );
        }
        let found = load(&[source("d/a.yaml", nothing)], Kind::Directory, &environment).unwrap_err();
        assert_eq!(
            lines(&found),
            [
                "1:1 empty-file there is nothing in the files of this directory (the smallest config has `listeners`, \
              `services` and `routes`)"
            ],
            "{nothing:?}"
        );
    }
    // An unresolved name is found although a file is empty.
    let found = load(
        &[
            source("d/a.yaml", "# nothing\n"),
            source("d/b.yaml", format!("{BASE}routes: [{{ name: r, to: b }}]\n")),
        ],
        Kind::Directory,
        &environment,
    );
    assert_eq!(found.unwrap_err()[0].code, Code::UnknownService);
}

#[test]
fn dot_segments_with_parameters_are_accepted_if_a_listener_keeps_them() {
    let plan = plan(
        "listeners: [{ bind: 127.0.0.1:80 }, { bind: 127.0.0.1:81, paths: { dot_segment_parameters: keep } }]\n\
        services: { a: { endpoints: [] } }\n\
        routes: [{ name: r, match: { path: /a/..;x }, to: a, rewrite: { path: /.;y } }]\n",
    );
    let kept = plan
        .listeners()
        .iter()
        .map(|listener| listener.paths.dot_segment_parameters);
    assert_eq!(
        kept.collect::<Vec<_>>(),
        [DotSegmentParameters::Refuse, DotSegmentParameters::Keep]
    );
}

#[test]
fn encoded_slash_is_accepted_if_a_listener_keeps_it() {
    plan(
        "listeners: [{ bind: 127.0.0.1:80, paths: { encoded_slash: keep } }]\n\
        routes: [{ name: r, match: { path: /a%2fb }, respond: { status: 200 } }]\n",
    );
}

#[test]
fn variable_brings_several_endpoints() {
    for (endpoints, expected) in [
        ("[\"${LIST}\"]", &["10.0.0.1:1", "10.0.0.2:2", "c"][..]),
        (
            "[http://first, \"${LIST}\"]",
            &["first", "10.0.0.1:1", "10.0.0.2:2", "c"],
        ),
        ("[\"http://${WORD}:80\"]", &["a.c:80"]),
        ("[\"${UNSET:-http://a,http://b}\"]", &["a", "b"]),
        ("[\"${UNSET:-}\"]", &[]),
    ] {
        let text = format!(
            "listeners: [{{ bind: 127.0.0.1:8080 }}]\nservices: {{ a: {{ endpoints: {endpoints} }} }}\n\
             routes: [{{ name: r, to: a }}]\n"
        );
        let plan = load_text(text).unwrap().plan;
        let authorities = plan.services()[0]
            .endpoints
            .iter()
            .map(|endpoint| &*endpoint.authority);
        assert_eq!(authorities.collect::<Vec<_>>(), expected, "{endpoints}");
    }
}

#[test]
fn endpoint_has_weight_and_backup() {
    for (endpoint, weight, backup) in [
        ("http://a:1", 1, false),
        ("{ url: http://a:1 }", 1, false),
        ("{ url: http://a:1, weight: 0 }", 0, false),
        ("{ url: \"http://a:${PORT}\", weight: 1000 }", 1000, false),
        ("{ url: http://a:1, backup: true }", 1, true),
        ("{ backup: false, weight: \"2\", url: http://a:1 }", 2, false),
    ] {
        let plan = plan(&format!(
            "listeners: [{{ bind: 127.0.0.1:8080 }}]\nservices: {{ a: {{ endpoints: [http://b, {endpoint}] }} }}\n\
             routes: [{{ name: r, to: a }}]\n"
        ));
        let [plain, found] = &plan.services()[0].endpoints[..] else {
            panic!("{endpoint}: {plan:?}");
        };
        assert_eq!((plain.weight, plain.backup), (1, false));
        assert_eq!((found.weight, found.backup), (weight, backup), "{endpoint}");
    }
}

#[test]
fn balance_is_a_word_or_a_hash() {
    for (written, expected) in [
        ("", Balance::RoundRobin),
        ("balance: round_robin", Balance::RoundRobin),
        ("balance: \"least_request\"", Balance::LeastRequest),
        ("balance: random", Balance::Random),
        (
            "balance: { hash: { header: X-User } }",
            Balance::Hash(HashKey::Header("x-user".into())),
        ),
        (
            "balance: { hash: { cookie: SID } }",
            Balance::Hash(HashKey::Cookie("SID".into())),
        ),
        (
            "balance: { hash: { client_ip: true } }",
            Balance::Hash(HashKey::ClientIp),
        ),
        ("balance: { hash: { path: true } }", Balance::Hash(HashKey::Path)),
    ] {
        let plan = plan(&format!(
            "listeners: [{{ bind: 127.0.0.1:8080 }}]\nservices: {{ a: {{ endpoints: [], {written} }} }}\n\
             routes: [{{ name: r, to: a }}]\n"
        ));
        assert_eq!(plan.services()[0].balance, expected, "{written}");
    }
}

#[test]
fn slow_start_is_a_duration() {
    for (written, expected) in [
        ("", None),
        ("slow_start: 30s", Some(Duration::from_secs(30))),
        ("slow_start: 1ms", Some(Duration::from_millis(1))),
    ] {
        let plan = plan(&format!(
            "listeners: [{{ bind: 127.0.0.1:8080 }}]\nservices: {{ a: {{ endpoints: [], {written} }} }}\n\
             routes: [{{ name: r, to: a }}]\n"
        ));
        assert_eq!(plan.services()[0].slow_start, expected, "{written}");
    }
}

#[test]
fn panic_is_a_percentage() {
    for (written, expected) in [
        ("", 50_000),
        ("panic: 0", 0),
        ("panic: 33.3", 33_300),
        ("panic: \"${PANIC:-100}\"", 100_000),
    ] {
        let plan = plan(&format!(
            "listeners: [{{ bind: 127.0.0.1:8080 }}]\nservices: {{ a: {{ endpoints: [], {written} }} }}\n\
             routes: [{{ name: r, to: a }}]\n"
        ));
        assert_eq!(plan.services()[0].panic, expected, "{written}");
    }
}

#[test]
fn name_servers_have_port_53_unless_they_name_another() {
    for (servers, expected) in [
        (
            "[10.0.0.53, \"127.0.0.1:${PORT}\"]",
            &["10.0.0.53:53", "127.0.0.1:8081"][..],
        ),
        ("[\"::1\", \"[::1]:5353\"]", &["[::1]:53", "[::1]:5353"]),
    ] {
        let plan = plan(&format!(
            "{BASE}routes: [{{ name: r, to: a }}]\nresolver: {{ nameservers: {servers} }}\n"
        ));
        let found = plan.settings().name_servers.iter().map(ToString::to_string);
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
    assert!(with_route("to: a").settings().name_servers.is_empty());
}

#[test]
fn retries_have_defaults_and_lists_replace_theirs() {
    let retry = |keys: &str| {
        let plan = with_route(&format!("to: a, {keys}"));
        plan.routes()[0].policies.retry.clone()
    };
    assert_eq!(retry("timeout: 1s"), None);
    let usual = retry("retry: {}").unwrap();
    assert_eq!(usual, Retry::default());
    let written = "attempts: 2, on: [connect, reset, 502, 503, 504, timeout, refused_stream], budget: 20, \
                   backoff: 25ms, body: 32KiB";
    assert_eq!(retry(&format!("retry: {{ {written} }}")).unwrap(), usual);
    for (method, is_idempotent, expected) in [("GET", true, true), ("POST", false, false)] {
        assert_eq!(
            usual.permits(method.as_bytes(), is_idempotent),
            expected,
            "{method}"
        );
    }
    let other = retry(
        "hedge: 95ms, retry: { attempts: 10, on: [5xx, 429], budget: 0, backoff: 0ms, timeout: 2s, \
         methods: [POST, PURGE], body: 0 }",
    )
    .unwrap();
    let mut on = RetryReasons::default();
    on.statuses.add(500..=599);
    on.statuses.add(429..=429);
    let methods: [Box<str>; 2] = ["POST".into(), "PURGE".into()];
    assert_eq!(
        other,
        Retry {
            attempts: 10,
            on,
            budget: 0,
            backoff: Duration::ZERO,
            timeout: Some(Duration::from_secs(2)),
            methods: Some(methods.into()),
            body: 0,
            hedge: Some(Duration::from_millis(95)),
        }
    );
    assert!(other.permits(b"POST", false) && !other.permits(b"GET", true));
}

#[test]
fn host_is_that_of_the_client_or_of_the_endpoint_or_a_fixed_one() {
    for (written, expected) in [
        ("", SentHost::Client),
        ("host: client", SentHost::Client),
        ("host: \"endpoint\"", SentHost::Endpoint),
        ("host: orders.test", SentHost::Named("orders.test".into())),
        (
            "host: Orders.test:8080",
            SentHost::Named("Orders.test:8080".into()),
        ),
        ("host: users", SentHost::Named("users".into())),
        ("host: \"[::1]:80\"", SentHost::Named("[::1]:80".into())),
    ] {
        let plan = plan(&format!(
            "listeners: [{{ bind: 127.0.0.1:8080 }}]\nservices: {{ a: {{ endpoints: [], {written} }} }}\n\
             routes: [{{ name: r, to: a }}]\n"
        ));
        assert_eq!(plan.services()[0].host, expected, "{written}");
    }
}

#[test]
fn cookies_of_services_are_rewritten() {
    let plan = with_route(
        "to: a, set_cookie: { path: { /: /shop, /api/: / }, domain: { .A.internal: .b.test, gone.test: \"\" }, \
         secure: true, http_only: false, same_site: strict }",
    );
    let rules = plan.routes()[0].policies.set_cookie.clone().unwrap();
    assert_eq!((rules.secure, rules.http_only), (Some(true), Some(false)));
    assert_eq!(rules.same_site, Some(SameSite::Strict));
    assert_eq!(rules.path(b"/x").as_deref(), Some(&b"/shop/x"[..]));
    assert_eq!(rules.path(b"/api").as_deref(), Some(&b"/"[..]));
    assert_eq!(rules.domain(b"a.internal"), Some(".b.test"));
    assert_eq!(rules.domain(b".gone.test"), Some(""));
    let plan = with_route("to: a");
    assert_eq!(plan.routes()[0].policies.set_cookie, None);
}

#[test]
fn a_fixed_host_is_that_of_checks_too() {
    for (host, check, expected) in [
        ("host: orders.test", "path: /healthz", Some("orders.test")),
        ("host: orders.test", "grpc: true", Some("orders.test")),
        (
            "host: orders.test",
            "path: /healthz, host: other.test",
            Some("other.test"),
        ),
        ("host: endpoint", "path: /healthz", None),
        ("host: client", "path: /healthz", None),
    ] {
        let plan = plan(&format!(
            "listeners: [{{ bind: 127.0.0.1:8080 }}]\nservices: {{ a: {{ endpoints: [h2c://a], {host}, health: {{ {check} }} }} }}\n\
             routes: [{{ name: r, to: a }}]\n"
        ));
        let health = plan.services()[0].health.as_ref().unwrap();
        let found = match &health.probe {
            Probe::Http(http) => &http.host,
            Probe::Grpc { host, .. } => host,
            Probe::Tcp => &None,
        };
        assert_eq!(found.as_deref(), expected, "{host} {check}");
    }
}

#[test]
fn trusted_proxies_say_where_the_client_stands() {
    let of = |keys: &str| {
        let plan = plan(&format!(
            "listeners: [{{ bind: 127.0.0.1:8080, trusted_proxies: {keys} }}]\nroutes: [{{ name: r, respond: {{ status: 200 }} }}]\n"
        ));
        plan.listeners()[0].trusted_proxies.clone()
    };
    let list = TrustedProxies::of(vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
    let expected = |client, host| TrustedProxies {
        client,
        host,
        ..list.clone()
    };
    let plain = (ClientSource::Lists, MatchedHost::Requested);
    for (keys, (client, host)) in [
        ("[10.0.0.0/8, \"::1\"]", plain.clone()),
        ("{ from: [10.0.0.0/8, \"::1\"] }", plain),
        (
            "{ from: [10.0.0.0/8, \"::1\"], hops: 2, host: requested }",
            (ClientSource::Hop(2.try_into().unwrap()), MatchedHost::Requested),
        ),
        (
            "{ from: [10.0.0.0/8, \"::1\"], header: CF-Connecting-IP, host: forwarded }",
            (
                ClientSource::Header("cf-connecting-ip".into()),
                MatchedHost::Forwarded,
            ),
        ),
    ] {
        assert_eq!(of(keys), expected(client, host), "{keys}");
    }
}
