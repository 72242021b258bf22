//! `explain` and live traffic agree, offline from the config and in the running gateway.

use serde_json::{Value, json};

use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::{Gateway, certificates};
use crate::support::service::Service;
use crate::support::tls::{Authority, Trusting};

#[test]
fn explain_gives_421_for_a_host_of_another_certificate() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pairs = [
        authority.issue(&["a.test", "*.b.test"]),
        authority.issue(&["c.test"]),
    ];
    for (auth, expected) in [
        (
            "",
            [
                ("a.test", "a.test", 200),
                ("a.test", "x.b.test", 200),
                ("a.test", "other.test", 200),
                ("a.test", "c.test", 421),
                ("c.test:8443", "C.test.:443", 200),
                ("c.test", "a.test", 421),
                ("c.test", "other.test", 421),
                ("other.test", "other.test", 200),
                ("other.test", "c.test", 421),
                ("127.0.0.1", "c.test", 200),
            ],
        ),
        (
            ", client_auth: { ca: clients.crt, mode: optional }",
            [
                ("a.test", "a.test", 200),
                ("a.test", "x.b.test", 200),
                ("a.test", "other.test", 421),
                ("a.test", "c.test", 421),
                ("c.test:8443", "C.test.:443", 200),
                ("c.test", "a.test", 421),
                ("c.test", "other.test", 421),
                ("other.test", "other.test", 421),
                ("other.test", "c.test", 421),
                ("127.0.0.1", "c.test", 421),
            ],
        ),
    ] {
        let tls = format!("tls: {{ {}{auth} }}", certificates(2));
        let config = Config::listening(&[&tls]).all_to(&service);
        let files = [("clients.crt", authority.pem())];
        let gateway = Gateway::under_tls(&[&pairs[0], &pairs[1]], &files, config);
        let unverified = Trusting::new(&authority).without_verifying();
        for (name, host, status) in expected {
            let sni = name.split(':').next().unwrap();
            let mut client = unverified.connect(gateway.address(), sni);
            assert_eq!(client.get(host, "/").status(), status, "{name}, {host}{auth}");
            let question = json!({
                "request": format!("GET https://{name}/"),
                "headers": { "host": host },
            });
            let config = gateway.config().to_str().unwrap();
            let (url, field) = (format!("https://{name}/"), format!("host: {host}"));
            let asked = ["explain", config, "GET", &url, "-H", &field, "--format", "json"];
            let offline = waypost_in(gateway.directory(), &asked).expect(0).json();
            for answer in [gateway.explain_question(&question), offline] {
                let expected = match status {
                    200 => (json!("forward"), json!("all"), Value::Null),
                    _ => (json!("refused"), Value::Null, json!(status)),
                };
                let found = (
                    answer["outcome"].clone(),
                    answer["route"].clone(),
                    answer["status"].clone(),
                );
                assert_eq!(found, expected, "{name}, {host}{auth}");
            }
        }
    }
}

#[test]
fn live_explain_gives_503_for_an_unresolved_name() {
    let gateway = Gateway::with(
        Config::new()
            .service_at("s", &["http://service.invalid:80"], "")
            .route("name: all, to: s"),
    );
    assert_eq!(gateway.get("http://a/").status(), 503);
    let answer = gateway.explain("http://a/");
    assert_eq!(
        (&answer["outcome"], &answer["route"], &answer["status"]),
        (&json!("unavailable"), &json!("all"), &json!(503))
    );
}

#[test]
fn explain_finds_the_listener_of_a_host_whatever_the_limits_of_others() {
    let short = "name: short, hosts: [a.test], limits: { target_bytes: 64 }";
    let gateway = Gateway::with(Config::listening(&[short, "name: long, hosts: [b.test]"]).all_respond("ok"));
    let path = "x".repeat(100);
    for (host, outcome, status) in [("a.test", "refused", 414), ("b.test", "respond", 200)] {
        let url = format!("http://{host}/{path}");
        for answer in [gateway.explain(&url), gateway.explain_offline(&url)] {
            assert_eq!(
                (&answer["outcome"], &answer["status"]),
                (&json!(outcome), &json!(status))
            );
        }
    }
}

#[test]
fn explain_shows_the_connection_header_of_a_closing_client() {
    let gateway = Gateway::with(Config::new().all_respond("ok"));
    let config = gateway.config().to_str().unwrap();
    for (fields, closes) in [(&[][..], false), (&["-H", "connection: close"], true)] {
        let mut command = vec!["explain", config, "GET", "http://a/", "--format", "json"];
        command.extend(fields);
        let explained = waypost_in(gateway.directory(), &command).expect(0).json();
        let headers = explained["headers"].to_string();
        assert_eq!(headers.contains(r#"["connection","close"]"#), closes, "{headers}");
    }
}

/// A gateway with a listener in clear text that redirects `old.test`, one under TLS, and one for `only.test`; the
/// answers of `explain`, offline and live.
fn by_scheme(url: &str) -> [Value; 2] {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pairs = [authority.issue(&["a.test", "old.test"])];
    let tls = format!(
        "name: secure, hosts: [a.test, old.test], tls: {{ {} }}",
        certificates(1)
    );
    let config = Config::listening(&[
        "name: moved, hosts: [old.test], redirect: { scheme: https }",
        "name: plain, hosts: [a.test, only.test]",
        &tls,
    ]);
    let config = config
        .service(&service, "")
        .route("name: by-plain, match: { listener: plain }, to: a")
        .route("name: by-tls, match: { scheme: https }, to: a")
        .test("request: GET https://a.test/, expect: { route: by-tls }")
        .test("request: GET http://a.test/, expect: { route: by-plain }")
        .test("request: GET https://a.test/, listener: plain, expect: { route: by-plain }")
        .test("request: GET http://old.test/x, expect: { status: 302, location: https://old.test/x }");
    let gateway = Gateway::under_tls(&[&pairs[0]], &[], config);
    [gateway.explain_offline(url), gateway.explain(url)]
}

#[test]
fn the_scheme_of_the_url_picks_the_listener() {
    for (url, route) in [
        ("https://a.test/", json!("by-tls")),
        ("HTTPS://a.test/", json!("by-tls")),
        ("http://a.test/", json!("by-plain")),
        // None under TLS serves it.
        ("https://only.test/", json!("by-plain")),
        ("https://old.test/", json!("by-tls")),
        ("http://old.test/", Value::Null),
    ] {
        for explanation in by_scheme(url) {
            assert_eq!(explanation["route"], route, "{url}: {explanation}");
        }
    }
}

#[test]
fn the_redirect_of_a_listener_names_it() {
    for explanation in by_scheme("http://old.test/x?y") {
        assert_eq!(explanation["outcome"], "redirect");
        assert_eq!(explanation["listener"], "moved");
        assert_eq!(explanation["location"], "https://old.test/x?y");
    }
    for explanation in by_scheme("http://a.test/x") {
        assert_eq!(explanation.get("listener"), None);
    }
}

#[test]
fn conditions_on_listener_and_scheme_say_what_they_saw() {
    for explanation in by_scheme("https://a.test/") {
        assert_eq!(
            explanation["considered"][0]["because"],
            json!({ "condition": "listener", "wants": "plain", "saw": "secure" })
        );
    }
    for explanation in by_scheme("http://a.test/") {
        assert_eq!(
            explanation["considered"][1]["because"],
            json!({ "condition": "scheme", "wants": "https", "saw": "http" })
        );
    }
}

#[test]
fn an_exact_path_above_the_requested_one_has_a_hint() {
    let service = Service::echo("a");
    let config = Config::new()
        .service(&service, "")
        .route("name: api, match: { path: /api }, to: a")
        .route("name: slash, match: { path: /docs/ }, to: a")
        .route("name: apis, match: { path: /apis }, to: a");
    let gateway = Gateway::with(config);
    let hints = |url: &str| -> Vec<Value> {
        let explanation = gateway.explain_offline(url);
        assert_eq!(explanation["considered"], gateway.explain(url)["considered"]);
        let considered = explanation["considered"].as_array().unwrap().iter();
        considered.map(|one| one["because"]["hint"].clone()).collect()
    };
    let api = json!("/api is that path alone; `/api/*` would take it");
    let slash = json!("/docs/ is that path alone; `/docs/*` would take it");
    assert_eq!(hints("http://x/api/v1"), [api.clone(), Value::Null, Value::Null]);
    assert_eq!(hints("http://x/api/"), [api, Value::Null, Value::Null]);
    assert_eq!(hints("http://x/docs/a"), [Value::Null, slash, Value::Null]);
    assert_eq!(hints("http://x/ap"), [Value::Null, Value::Null, Value::Null]);
    let config = gateway.config().to_str().unwrap();
    let text = gateway.command(&["explain", config, "GET", "http://x/api/v1"]);
    let shown = "no: path wants /api, saw /api/v1; /api is that path alone; `/api/*` would take it";
    assert!(text.stdout.contains(shown), "{}{}", text.stdout, text.stderr);
}

#[test]
fn timeout_retries_and_hedge_of_the_route_are_shown() {
    let (a, b) = (Service::echo("a"), Service::echo("b"));
    let config = Config::new()
        .service_at("s", &[&a.url(), &b.url()], "")
        .route(
            "name: all, to: s, timeout: 3s, retry: { attempts: 1, on: [connect, 5xx, 429], timeout: 1s, \
             methods: [GET, POST], backoff: 10ms, body: 1KiB, budget: 5 }, hedge: 95ms",
        )
        .route("name: plain, match: { path: /plain }, to: s")
        .route("name: usual, match: { path: /usual }, to: s, retry: {}");
    let gateway = Gateway::with(config);
    let retry = json!({
        "attempts": 1,
        "on": ["connect", "429", "5xx"],
        "methods": ["GET", "POST"],
        "budget": 5,
        "backoff": "10ms",
        "timeout": "1s",
        "body": 1024,
    });
    let routes = gateway.admin_json("/api/v1/routes");
    for shown in [
        gateway.explain("http://a/"),
        gateway.explain_offline("http://a/"),
        routes[0].clone(),
    ] {
        assert_eq!(shown["timeout"], "3s");
        assert_eq!(shown["hedge"], "95ms");
        assert_eq!(shown["retry"], retry);
    }
    for shown in [gateway.explain("http://a/plain"), routes[1].clone()] {
        for key in ["timeout", "hedge", "retry"] {
            assert_eq!(shown[key], Value::Null, "{key}");
        }
    }
    assert_eq!(
        routes[2]["retry"]["on"],
        json!([
            "connect",
            "reset",
            "502",
            "503",
            "504",
            "timeout",
            "refused_stream"
        ])
    );
    let explain = |url: &str| {
        let config = gateway.config().to_str().unwrap();
        let asked = ["explain", config, "GET", url];
        waypost_in(gateway.directory(), &asked).expect(0).stdout
    };
    let text = explain("http://a/");
    for line in [
        "  timeout  3s for the whole exchange\n",
        "  retry    1 further attempt on connect, 429, 5xx, of GET, POST, each within 1s; at most 5 % of the service's \
         requests\n",
        "  hedge    at another endpoint after 95ms\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(!explain("http://a/plain").contains("retry"));
}
