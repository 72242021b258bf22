//! Policies that routes and listeners share: what counts where several places say something, the headers of the gateway's
//! own responses, and what explanations say of both.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::service::Service;

/// Two listeners, the first with policies; shared policies; and a route for each way to use them.
fn shared(service: &Service, down: &Service) -> Config {
    let edge = "name: edge, use: edge, response_headers: { set: { x-from: listener, x-listener: edge } }";
    Config::listening(&[edge, "name: bare"])
        .service(service, "")
        .service(down, "")
        .item(
            "policies",
            "  edge: { access: { deny: [10.9.0.0/16] }, request_headers: { set: { x-to: edge } } }",
        )
        .item(
            "policies",
            "  web: { response_headers: { set: { x-from: web, x-web: w }, remove: [server] }, \
             request_headers: { set: { x-to: web, x-more: web } }, limits: { body_bytes: 4 } }",
        )
        .item(
            "policies",
            "  api: { response_headers: { set: { X-From: api } }, rewrite: { prefix: /v2 }, timeout: 5s }",
        )
        .route("name: none, match: { path: /none }, to: a")
        .route("name: one, match: { path: /one/* }, to: a, use: web, rewrite: { prefix: / }")
        .route("name: two, match: { path: /two/* }, to: a, use: [web, api]")
        .route("name: own, match: { path: /own/* }, to: a, use: [web, api], response_headers: { remove: [x-from] }, rewrite: off")
        .route("name: off, match: { path: /off }, to: a, use: web, response_headers: off, request_headers: off, limits: off")
        .route("name: moved, match: { path: /moved }, redirect: { path: /x }, use: [web, api]")
        .route("name: said, match: { path: /said }, respond: { status: 200, body: hi }, use: web")
        .route("name: down, match: { path: /down }, to: refusing, use: web")
        .route("name: closed, match: { path: /closed }, to: a, use: web, access: { allow: [192.0.2.1] }")
}

/// The values of three headers.
type Found<'a> = [Option<&'a str>; 3];

#[test]
fn edits_of_listener_policies_and_route_are_joined_on_every_response() {
    let (service, down) = (Service::echo("a"), Service::refusing());
    let gateway = Gateway::with(shared(&service, &down));
    // By listener: `x-from`, `x-listener`, `x-web`.
    let cases: [(&str, u16, [Found; 2]); 10] = [
        (
            "/none",
            200,
            [[Some("listener"), Some("edge"), None], [None, None, None]],
        ),
        (
            "/one/x",
            200,
            [
                [Some("web"), Some("edge"), Some("w")],
                [Some("web"), None, Some("w")],
            ],
        ),
        (
            "/two/x",
            200,
            [
                [Some("api"), Some("edge"), Some("w")],
                [Some("api"), None, Some("w")],
            ],
        ),
        (
            "/own/x",
            200,
            [[None, Some("edge"), Some("w")], [None, None, Some("w")]],
        ),
        ("/off", 200, [[None, None, None], [None, None, None]]),
        (
            "/moved",
            302,
            [
                [Some("api"), Some("edge"), Some("w")],
                [Some("api"), None, Some("w")],
            ],
        ),
        (
            "/said",
            200,
            [
                [Some("web"), Some("edge"), Some("w")],
                [Some("web"), None, Some("w")],
            ],
        ),
        (
            "/down",
            502,
            [
                [Some("web"), Some("edge"), Some("w")],
                [Some("web"), None, Some("w")],
            ],
        ),
        (
            "/closed",
            403,
            [
                [Some("web"), Some("edge"), Some("w")],
                [Some("web"), None, Some("w")],
            ],
        ),
        (
            "/unknown",
            404,
            [[Some("listener"), Some("edge"), None], [None, None, None]],
        ),
    ];
    for (at, address) in gateway.addresses().iter().enumerate() {
        let http2 = Http2Client::connect(*address);
        for (path, status, expected) in &cases {
            let url = format!("http://a.test{path}");
            let http1 = Client::connect(*address).get(&url);
            for (response, protocol) in [(http1, "HTTP/1"), (http2.get(&url), "HTTP/2")] {
                assert_eq!(response.status(), *status, "{path} by {at}, {protocol}");
                let found = ["x-from", "x-listener", "x-web"].map(|name| response.header(name));
                assert_eq!(found, expected[at], "{path} by {at}, {protocol}");
            }
        }
    }
}

#[test]
fn requests_get_the_edits_and_the_rewrite_in_force() {
    let (service, down) = (Service::echo("a"), Service::refusing());
    let gateway = Gateway::with(shared(&service, &down));
    let [edge, bare] = gateway.addresses() else {
        panic!("two listeners");
    };
    for (address, path, target, to, more) in [
        (edge, "/none", "/none", Some("edge"), None),
        (bare, "/none", "/none", None, None),
        (edge, "/one/x", "/x", Some("web"), Some("web")),
        (bare, "/one/x", "/x", Some("web"), Some("web")),
        (edge, "/two/x", "/v2/x", Some("web"), Some("web")),
        (edge, "/own/x", "/own/x", Some("web"), Some("web")),
        (edge, "/off", "/off", None, None),
    ] {
        let response = Client::connect(*address).get(&format!("http://a.test{path}"));
        let echo = response.json();
        assert_eq!(echo["target"], target, "{path}");
        let fields = echo["headers"].as_array().unwrap();
        let header = |name: &str| {
            let mut fields = fields.iter();
            let field = fields.find(|field| field[0].as_str().unwrap().eq_ignore_ascii_case(name));
            field.map(|field| field[1].as_str().unwrap().to_owned())
        };
        let found = [header("x-to"), header("x-more")];
        assert_eq!(found, [to, more].map(|value| value.map(str::to_owned)), "{path}");
    }
}

#[test]
fn a_key_of_the_listener_counts_where_the_route_says_nothing() {
    let service = Service::echo("a");
    let listeners = [
        "name: strict, use: strict, trusted_proxies: [127.0.0.1]",
        "name: open, trusted_proxies: [127.0.0.1]",
    ];
    let gateway = Gateway::with(
        Config::listening(&listeners)
            .service(&service, "")
            .item(
                "policies",
                "  strict: { limits: { body_bytes: 4 }, access: { deny: [10.0.0.0/8] } }",
            )
            .item("policies", "  wide: { limits: { body_bytes: 6 } }")
            .route("name: none, match: { path: /none }, to: a")
            .route("name: wide, match: { path: /wide }, to: a, use: wide")
            .route(
                "name: own, match: { path: /own }, to: a, use: wide, limits: { body_bytes: 8 }, access: off",
            )
            .route("name: off, match: { path: /off }, to: a, limits: off"),
    );
    let ask = |at: usize, path: &str, client: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: {client}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        Client::connect(gateway.addresses()[at]).ask(request).status()
    };
    for (path, by_strict, by_open) in [
        // Bodies of 5, 7 and 9 bytes, then a client that the listener denies.
        ("/none", [413, 413, 413, 403], [200, 200, 200, 200]),
        ("/wide", [200, 413, 413, 403], [200, 413, 413, 200]),
        ("/own", [200, 200, 413, 200], [200, 200, 413, 200]),
        ("/off", [200, 200, 200, 403], [200, 200, 200, 200]),
    ] {
        for (at, expected) in [by_strict, by_open].into_iter().enumerate() {
            let found = [
                ask(at, path, "192.0.2.1", "12345"),
                ask(at, path, "192.0.2.1", "1234567"),
                ask(at, path, "192.0.2.1", "123456789"),
                ask(at, path, "10.1.2.3", "1"),
            ];
            assert_eq!(found, expected, "{path} by {at}");
        }
    }
}

#[test]
fn refused_requests_get_the_edits_of_their_listener() {
    let listener = "name: only, hosts: [a.test], response_headers: { set: { x-l: l }, remove: [proxy-status] }, \
                    limits: { target_bytes: 64 }";
    let gateway = Gateway::with(Config::listening(&[listener]).all_respond("ok"));
    let long = format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "x".repeat(100));
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n", 404),
        ("GET /%00 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("nonsense\r\n\r\n", 400),
        (&long, 414),
    ] {
        let response = gateway.ask(request);
        assert_eq!(response.status(), status, "{request}");
        assert_eq!(response.header("x-l"), Some("l"), "{request}");
        assert_eq!(response.header("proxy-status"), None, "{request}");
    }
    let call = "POST /x HTTP/1.1\r\nHost: b.test\r\nContent-Type: application/grpc\r\nTE: trailers\r\n\r\n";
    let response = gateway.ask(call);
    assert_eq!(response.header("grpc-status"), Some("12"));
    assert_eq!(response.header("x-l"), Some("l"));
}

#[test]
fn values_are_filled_in_wherever_the_edits_come_from() {
    let service = Service::echo("a");
    let listener = "name: public, use: edge, response_headers: { set: { x-l: \"{listener} {path}\" } }";
    let gateway = Gateway::with(
        Config::listening(&[listener])
            .service(&service, "")
            .item(
                "policies",
                "  edge: { response_headers: { set: { x-e: \"{method}\", x-r: \"{route}\" } } }",
            )
            .item(
                "policies",
                "  web: { response_headers: { set: { x-id: \"{id}\" } }, rewrite: { path: \"/x/{id}\" } }",
            )
            .route("name: r, match: { path: \"/r/{id}\" }, to: a, use: web")
            .route("name: s, match: { path: \"/s/{id}/*\" }, respond: { status: 200 }, use: web"),
    );
    let mut client = gateway.connect();
    let http2 = Http2Client::connect(gateway.address());
    for (path, status, expected) in [
        (
            "/r/7",
            200,
            [Some("public /r/7"), Some("GET"), Some("r"), Some("7")],
        ),
        (
            "/s/8/x",
            200,
            [Some("public /s/8/x"), Some("GET"), Some("s"), Some("8")],
        ),
        ("/none", 404, [Some("public /none"), Some("GET"), None, None]),
        (
            "/r/9",
            200,
            [Some("public /r/9"), Some("GET"), Some("r"), Some("9")],
        ),
    ] {
        let url = format!("http://a.test{path}");
        for response in [client.get(&url), http2.get(&url)] {
            assert_eq!(response.status(), status, "{path}");
            let found = ["x-l", "x-e", "x-r", "x-id"].map(|name| response.header(name));
            assert_eq!(found, expected, "{path}");
        }
    }
    assert_eq!(client.get("http://a.test/r/7").json()["target"], "/x/7");
    // What is refused before has the values that could be read, and those of its connection.
    for (target, line, expected) in [
        ("/%00", "", [Some("public /%00"), Some("GET"), None]),
        ("/", "Content-Length: x\r\n", [Some("public"), None, None]),
    ] {
        let refused = gateway.ask(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n{line}\r\n"));
        let found = ["x-l", "x-e", "x-r"].map(|name| refused.header(name));
        assert_eq!((refused.status(), found), (400, expected), "{target}");
    }
    let explained = gateway.explain_question(&json!({ "request": "GET http://a.test/%00" }));
    let headers = explained["headers"].as_array().unwrap();
    for expected in [json!(["x-l", "public /%00"]), json!(["x-e", "GET"])] {
        assert!(headers.contains(&expected), "{explained}");
    }
}

#[test]
fn a_parameter_of_the_route_wins_in_shared_texts() {
    let service = Service::echo("a");
    let listener = "name: public, response_headers: { set: { x-l: \"{host}\" } }";
    let gateway = Gateway::with(
        Config::listening(&[listener])
            .service(&service, "")
            .item(
                "policies",
                "  web: { response_headers: { set: { x-w: \"{host} {method}\" } }, rewrite: { path: \"/x/{host}\" } }",
            )
            .route("name: other, match: { path: \"/other/{id}\" }, to: a, use: web")
            .route("name: own, match: { path: \"/own/{host}\" }, to: a, use: web")
            .route("name: plain, match: { path: \"/plain/{host}\" }, respond: { status: 200 }"),
    );
    let http2 = Http2Client::connect(gateway.address());
    for (path, target, expected) in [
        ("/other/7", "/x/a.test", [Some("a.test"), Some("a.test GET")]),
        ("/own/7%20", "/x/7%20", [Some("7%20"), Some("7%20 GET")]),
        ("/plain/7", "", [Some("7"), None]),
        ("/none/7", "", [Some("a.test"), None]),
    ] {
        let url = format!("http://a.test{path}");
        for response in [gateway.get(&url), http2.get(&url)] {
            let found = ["x-l", "x-w"].map(|name| response.header(name));
            assert_eq!(found, expected, "{path}");
            if !target.is_empty() {
                assert_eq!(response.json()["target"], target, "{path}");
                for explanation in explained(&gateway, "public", path) {
                    assert_eq!(explanation["path"], target, "{path}");
                }
            }
        }
    }
}

#[test]
fn a_redirect_of_the_listener_has_its_edits() {
    let listener = "redirect: { scheme: https }, response_headers: { set: { x-l: l } }";
    let gateway = Gateway::with(Config::listening(&[listener]).all_respond("ok"));
    let response = gateway.get("http://a.test/x");
    assert_eq!(response.status(), 302);
    assert_eq!(response.header("location"), Some("https://a.test/x"));
    assert_eq!(response.header("x-l"), Some("l"));
}

/// The explanations of the gateway, and of its config offline.
fn explained(gateway: &Gateway, listener: &str, path: &str) -> [Value; 2] {
    let url = format!("http://a.test{path}");
    let live = gateway.explain_question(&json!({ "request": format!("GET {url}"), "listener": listener }));
    let config = gateway.config().to_str().unwrap();
    let asked = [
        "explain",
        config,
        "GET",
        &url,
        "--listener",
        listener,
        "--format",
        "json",
    ];
    let offline = waypost_in(gateway.directory(), &asked);
    [live, offline.expect(0).json()]
}

#[test]
fn explanations_say_what_is_in_force_and_where_it_comes_from() {
    let (service, down) = (Service::echo("a"), Service::refusing());
    let gateway = Gateway::with(shared(&service, &down));
    let edge = json!({ "from": "policy edge", "used_by": "listener edge" });
    for (listener, path, expected) in [
        (
            "edge",
            "/two/x",
            json!({
                "access": edge,
                "limits": { "from": "policy web" },
                "request_headers": { "from": "policy edge, policy web", "used_by": "listener edge" },
                "response_headers": { "from": "listener edge, policy web, policy api" },
                "rewrite": { "from": "policy api" },
                "timeout": { "from": "policy api" },
            }),
        ),
        (
            "bare",
            "/own/x",
            json!({
                "limits": { "from": "policy web" },
                "request_headers": { "from": "policy web" },
                "response_headers": { "from": "policy web, policy api, route own" },
                "timeout": { "from": "policy api" },
            }),
        ),
        (
            "bare",
            "/one/x",
            json!({
                "limits": { "from": "policy web" },
                "request_headers": { "from": "policy web" },
                "response_headers": { "from": "policy web" },
                "rewrite": { "from": "route one" },
            }),
        ),
        (
            "edge",
            "/moved",
            json!({
                "access": edge,
                "limits": { "from": "policy web" },
                "response_headers": { "from": "listener edge, policy web, policy api" },
            }),
        ),
        ("edge", "/off", json!({ "access": edge })),
        (
            "edge",
            "/unknown",
            json!({ "response_headers": { "from": "listener edge" } }),
        ),
        ("bare", "/none", Value::Null),
    ] {
        for explanation in explained(&gateway, listener, path) {
            assert_eq!(explanation["policies"], expected, "{path} by {listener}");
        }
    }
}

#[test]
fn routes_and_explanations_name_the_policies_that_a_route_uses() {
    let (service, down) = (Service::echo("a"), Service::refusing());
    let gateway = Gateway::with(shared(&service, &down));
    let routes = gateway.admin_json("/api/v1/routes");
    let uses = |name: &str| {
        let mut routes = routes.as_array().unwrap().iter();
        routes.find(|route| route["name"] == name).unwrap()["use"].clone()
    };
    for (name, path, expected) in [
        ("none", "/none", json!([])),
        ("one", "/one/x", json!(["web"])),
        ("two", "/two/x", json!(["web", "api"])),
        ("moved", "/moved", json!(["web", "api"])),
        ("off", "/off", json!(["web"])),
    ] {
        assert_eq!(uses(name), expected, "{name}");
        for explanation in explained(&gateway, "bare", path) {
            let shown = match explanation["use"].clone() {
                Value::Null => json!([]),
                shown => shown,
            };
            assert_eq!(shown, expected, "{path}");
        }
    }
    let listed = gateway.command(&["routes"]).expect(0).stdout;
    let line = listed.lines().find(|line| line.starts_with("two ")).unwrap();
    assert!(line.contains(" web, api "), "{listed}");
    assert!(listed.lines().next().unwrap().contains(" USE "), "{listed}");
}

#[test]
fn explanations_say_where_a_request_stopped_and_why() {
    let (service, down) = (Service::echo("a"), Service::refusing());
    let gateway = Gateway::with(shared(&service, &down));
    for (path, step, number, from) in [
        ("/unknown", "route", 4, Value::Null),
        ("/closed", "access", 5, json!("route closed")),
        ("/moved", "action", 10, Value::Null),
        ("/said", "action", 10, Value::Null),
        ("/..%2f", "head", 1, Value::Null),
    ] {
        for explanation in explained(&gateway, "bare", path) {
            let stopped = &explanation["stopped"];
            assert_eq!(stopped["step"], step, "{path}");
            assert_eq!(stopped["number"], number, "{path}");
            assert_eq!(stopped["from"], from, "{path}");
            assert!(!stopped["because"].as_str().unwrap().is_empty(), "{path}");
        }
    }
    for explanation in explained(&gateway, "bare", "/one/x") {
        assert_eq!(explanation["stopped"], Value::Null);
    }
    let denied = gateway.explain_question(&json!({
        "request": "GET http://a.test/none", "listener": "edge", "client_ip": "10.9.0.1",
    }));
    assert_eq!(denied["stopped"]["from"], "policy edge");
    let config = gateway.config().to_str().unwrap();
    let asked = [
        "explain",
        config,
        "GET",
        "http://a.test/closed",
        "--listener",
        "edge",
    ];
    let text = waypost_in(gateway.directory(), &asked).expect(0).stdout;
    assert!(
        text.contains("stopped  at step 5, access, by the route closed"),
        "{text}"
    );
    assert!(text.contains("    limits: policy web\n"), "{text}");
    assert!(
        text.contains("    request_headers: policy edge, policy web; the listener edge uses it\n"),
        "{text}"
    );
}

#[test]
fn a_reload_changes_the_policies_of_the_routes_that_use_them() {
    let service = Service::echo("a");
    let config = |value: &str, listener: &str| {
        Config::at("127.0.0.1:0")
            .service(&service, "")
            .item(
                "policies",
                &format!("  web: {{ response_headers: {{ set: {{ x-web: {value} }} }} }}"),
            )
            .item(
                "policies",
                &format!("  edge: {{ response_headers: {{ set: {{ x-edge: {listener} }} }} }}"),
            )
            .route("name: used, match: { path: /used }, to: a, use: web")
            .route("name: other, match: { path: /other }, to: a, use: edge")
            .route("name: plain, match: { path: /plain }, to: a")
    };
    let gateway = Gateway::with(config("one", "a"));
    let mut client = gateway.connect();
    assert_eq!(client.get("http://a.test/used").header("x-web"), Some("one"));
    gateway.rewrite(config("two", "a"));
    gateway.wait_for_revision(2);
    // Both the route and the text are seen.
    let history = gateway.command(&["history"]).expect(0).stdout;
    assert!(history.contains("routes ~used"), "{history}");
    assert!(
        !history.contains("other") && !history.contains("plain"),
        "{history}"
    );
    assert_eq!(client.get("http://a.test/used").header("x-web"), Some("two"));
    assert_eq!(client.get("http://a.test/other").header("x-edge"), Some("a"));
    assert_eq!(client.get("http://a.test/plain").header("x-web"), None);
}

#[test]
fn a_reload_changes_the_policies_of_a_listener() {
    let service = Service::echo("a");
    let config = |uses: &str| {
        Config::listening(&[uses])
            .service(&service, "")
            .item("policies", "  web: { response_headers: { set: { x-web: one } } }")
            .item("policies", "  app: { response_headers: { set: { x-web: two } } }")
            .route("name: plain, match: { path: /plain }, to: a")
            .route("name: own, match: { path: /own }, to: a, use: app")
            .route("name: web, match: { path: /web }, to: a, use: web")
    };
    let gateway = Gateway::with(config("use: web"));
    let mut client = gateway.connect();
    for (revision, (uses, plain, own, none)) in (1..).zip([
        ("use: web", Some("one"), Some("two"), Some("one")),
        ("use: app", Some("two"), Some("two"), Some("two")),
        ("", None, Some("two"), None),
        ("use: [app, web]", Some("one"), Some("two"), Some("one")),
    ]) {
        if revision > 1 {
            gateway.rewrite(config(uses));
            gateway.wait_for_revision(revision);
            let history = gateway.command(&["history"]).expect(0).stdout;
            assert!(history.contains("listeners ~127.0.0.1:0"), "{history}");
        }
        assert_eq!(client.get("http://a.test/plain").header("x-web"), plain, "{uses}");
        assert_eq!(client.get("http://a.test/own").header("x-web"), own, "{uses}");
        assert_eq!(client.get("http://a.test/none").header("x-web"), none, "{uses}");
    }
}
