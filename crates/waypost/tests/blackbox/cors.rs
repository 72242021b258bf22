//! Pages of other origins: preflights, the headers of responses, and what explanations and tests say of both.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::message::Message;
use crate::support::service::{Service, echo};

const APP: &str = "https://app.example.com";
const CORS: &str = "cors: { origins: [\"https://app.example.com\", \"https://*.example.org\", \"http://localhost:5173\"], \
    methods: [GET, PUT], headers: [content-type, X-Token], expose: [etag], credentials: true, max_age: 1h }";

/// Asks by HTTP/1 and by HTTP/2, and checks that the headers about origins are the same.
fn ask_both(gateway: &Gateway, method: &str, path: &str, fields: &[(&str, &str)]) -> Message {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: a.test\r\n");
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("http://a.test{path}"));
    for (name, value) in fields {
        let _ = write!(head, "{name}: {value}\r\n");
        request = request.header(*name, *value);
    }
    let first = gateway.ask(format!("{head}\r\n"));
    let second = Http2Client::connect(gateway.address()).ask(request.body(()).unwrap(), "");
    assert_eq!(first.status(), second.status(), "{method} {path} {fields:?}");
    assert_eq!(
        about_origins(&first),
        about_origins(&second),
        "{method} {path} {fields:?}"
    );
    first
}

/// The headers about origins, in order.
fn about_origins(response: &Message) -> Vec<String> {
    let fields = response.fields.iter();
    let named = fields.map(|(name, value)| (name.to_ascii_lowercase(), value));
    let mut lines: Vec<String> = named
        .filter(|(name, _)| name.starts_with("access-control-") || name == "vary")
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    lines.sort();
    lines
}

fn preflight(gateway: &Gateway, path: &str, origin: &str, method: &str, headers: &str) -> Message {
    let mut fields = vec![("origin", origin), ("access-control-request-method", method)];
    if !headers.is_empty() {
        fields.push(("access-control-request-headers", headers));
    }
    ask_both(gateway, "OPTIONS", path, &fields)
}

#[test]
fn a_preflight_is_answered_by_the_route_of_the_method_asked_for() {
    let service = Service::echo("a");
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route(&format!(
                "name: put, match: {{ path: /x, method: PUT }}, to: a, {CORS}"
            ))
            .route(
                "name: get, match: { path: /x, method: GET }, to: a, cors: { origins: \"*\", max_age: 0s }",
            )
            .route("name: bare, match: { path: /x, method: PATCH }, to: a")
            .route("name: options, match: { path: /x, method: OPTIONS }, respond: { status: 200, body: own }")
            .route(&format!(
                "name: moved, match: {{ path: /moved }}, redirect: {{ path: /x }}, {CORS}"
            ))
            .route(&format!(
                "name: said, match: {{ path: /said }}, respond: {{ status: 418 }}, {CORS}"
            )),
    );
    let asked = "vary: origin, access-control-request-method, access-control-request-headers";
    let granted = [
        "access-control-allow-credentials: true",
        "access-control-allow-headers: content-type, x-token",
        "access-control-allow-methods: GET, PUT",
        "access-control-allow-origin: https://app.example.com",
        "access-control-max-age: 3600",
        asked,
    ];
    for (path, method) in [
        ("/x", "PUT"),
        ("/moved", "DELETE"),
        ("/said", "get"),
        ("/said", "X-ODD"),
    ] {
        let answer = preflight(&gateway, path, APP, method, "x-token");
        assert_eq!(answer.status(), 204, "{path} {method}");
        assert_eq!(about_origins(&answer), granted, "{path} {method}");
        assert_eq!(answer.header("content-length"), None);
        // The decision of the browser is the same, with and without headers that it asks for.
        assert_eq!(
            about_origins(&preflight(&gateway, path, APP, method, "")),
            granted
        );
    }
    let answer = preflight(&gateway, "/x", "null", "GET", "");
    assert_eq!(
        about_origins(&answer),
        [
            "access-control-allow-headers: authorization, content-type",
            "access-control-allow-methods: GET, HEAD, POST, PUT, PATCH, DELETE",
            "access-control-allow-origin: *",
            "access-control-max-age: 0",
            "vary: access-control-request-method, access-control-request-headers",
        ]
    );
    // No service was asked.
    assert_eq!(service.received(), [""; 0]);
    // A preflight for a route without a policy, and an OPTIONS that is none, go on.
    let ordinary: [&[(&str, &str)]; 5] = [
        &[("origin", APP), ("access-control-request-method", "PATCH")],
        &[("origin", APP)],
        &[("access-control-request-method", "PUT")],
        &[("origin", APP), ("access-control-request-method", "PUT, GET")],
        &[
            ("origin", APP),
            ("access-control-request-method", "PUT"),
            ("access-control-request-method", "PUT"),
        ],
    ];
    for fields in ordinary {
        let response = ask_both(&gateway, "OPTIONS", "/x", fields);
        assert_eq!(
            (response.status(), response.text()),
            (200, "own".to_owned()),
            "{fields:?}"
        );
    }
    // Other methods are no preflight.
    let response = ask_both(
        &gateway,
        "PUT",
        "/x",
        &[("origin", APP), ("access-control-request-method", "PUT")],
    );
    assert_eq!(response.status(), 200);
    // No route takes what is asked for.
    assert_eq!(preflight(&gateway, "/none", APP, "GET", "").status(), 404);
}

#[test]
fn a_preflight_tells_which_headers_the_request_will_have() {
    let service = Service::echo("a");
    let route = |name: &str, matching: &str| {
        let path = if matching.starts_with("grpc") {
            ""
        } else {
            "path: /x, "
        };
        format!(
            "name: {name}, match: {{ {path}{matching} }}, to: a, cors: {{ origins: \"*\", max_age: {name}s }}"
        )
    };
    let config = [
        ("1", "method: POST"),
        ("2", "method: POST, headers: { x-api-key: true }"),
        ("3", "method: POST, headers: { x-api-key: false, x-tier: gold }"),
        ("4", "grpc: { service: shop.Orders }"),
    ];
    let config = config
        .iter()
        .fold(Config::new().service(&service, ""), |config, (name, matching)| {
            config.route(&route(name, matching))
        });
    let gateway = Gateway::with(config);
    for (path, headers, expected) in [
        ("/x", "", "1"),
        ("/x", "content-type", "1"),
        ("/x", "content-type, X-Api-Key", "2"),
        ("/x", "x-tier", "1"),
        ("/shop.Orders/Get", "content-type,x-grpc-web,x-user-agent", "4"),
    ] {
        let answer = preflight(&gateway, path, APP, "POST", headers);
        assert_eq!(
            answer.header("access-control-max-age"),
            Some(expected),
            "{path} {headers}"
        );
    }
    assert_eq!(
        preflight(&gateway, "/shop.Orders/Get", APP, "POST", "x-user-agent").status(),
        404
    );
}

#[test]
fn an_origin_is_allowed_only_byte_for_byte() {
    let service = Service::echo("a");
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route(&format!("name: all, to: a, {CORS}")),
    );
    let long = format!("https://{}.example.org", "a".repeat(8000));
    for (origin, allowed) in [
        (APP, true),
        ("https://a.example.org", true),
        ("https://a.b.c.example.org", true),
        ("http://localhost:5173", true),
        ("null", false),
        ("", false),
        ("*", false),
        ("https://example.org", false),
        ("http://app.example.com", false),
        ("https://app.example.com:443", false),
        ("https://app.example.com:8443", false),
        ("https://app.example.com/", false),
        ("https://app.example.com.", false),
        ("HTTPS://APP.EXAMPLE.COM", false),
        ("https://App.example.com", false),
        ("https://app.example.com.evil.test", false),
        ("https://evil-app.example.com", false),
        ("https://a.example.org.evil.test", false),
        ("https://evilexample.org", false),
        ("https://evil.test/.example.org", false),
        ("https://evil.test#.example.org", false),
        ("https://u@a.example.org", false),
        ("https://a..example.org", false),
        ("http://a.example.org", false),
        ("http://localhost", false),
        ("http://[::1]:5173", false),
        ("https://app.example.com, https://evil.test", false),
        (&long, false),
    ] {
        for method in ["GET", "PUT", "POST"] {
            let response = ask_both(&gateway, method, "/x", &[("origin", origin)]);
            assert_eq!(response.status(), 200, "{method} {origin}");
            let expected = match allowed {
                true => vec![
                    "access-control-allow-credentials: true".to_owned(),
                    format!("access-control-allow-origin: {origin}"),
                    "access-control-expose-headers: etag".to_owned(),
                    "vary: origin".to_owned(),
                ],
                false => vec!["vary: origin".to_owned()],
            };
            assert_eq!(about_origins(&response), expected, "{method} {origin}");
        }
        let answer = preflight(&gateway, "/x", origin, "PUT", "x-token");
        assert_eq!(answer.status(), 204, "{origin}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            allowed.then_some(origin)
        );
        assert_eq!(
            about_origins(&answer).len(),
            if allowed { 6 } else { 1 },
            "{origin}"
        );
    }
    let twice = [("origin", APP), ("origin", APP)];
    assert_eq!(
        about_origins(&ask_both(&gateway, "GET", "/x", &twice)),
        ["vary: origin"]
    );
    assert_eq!(
        about_origins(&ask_both(&gateway, "GET", "/x", &[])),
        ["vary: origin"]
    );
}

#[test]
fn headers_and_private_networks_are_allowed_as_they_are_asked_for() {
    let service = Service::echo("a");
    let any = "origins: [\"https://app.example.com\"], methods: \"*\", headers: \"*\", credentials: true";
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route(&format!("name: any, match: {{ path: /any }}, to: a, cors: {{ {any}, private_network: true }}"))
            .route(&format!("name: public, match: {{ path: /public }}, to: a, cors: {{ {any} }}"))
            .route("name: none, match: { path: /none }, to: a, cors: { origins: \"*\", methods: [], headers: [] }"),
    );
    for (asked, echoed) in [
        ("x-a", Some("x-a")),
        ("X-A,x-b ,, Authorization", Some("X-A, x-b, Authorization")),
        ("*", Some("*")),
        ("x a, (b), c", Some("c")),
        (",", None),
        ("", None),
    ] {
        let answer = preflight(&gateway, "/any", APP, "LOCK", asked);
        assert_eq!(answer.header("access-control-allow-headers"), echoed, "{asked}");
        assert_eq!(answer.header("access-control-allow-methods"), Some("LOCK"));
    }
    let none = preflight(&gateway, "/none", APP, "LOCK", "x-a");
    assert_eq!(
        about_origins(&none),
        [
            "access-control-allow-origin: *",
            "vary: access-control-request-method, access-control-request-headers"
        ]
    );
    for (path, asked, allowed) in [
        ("/any", Some("true"), true),
        ("/any", Some("false"), false),
        ("/any", None, false),
        ("/public", Some("true"), false),
    ] {
        let mut fields = vec![("origin", APP), ("access-control-request-method", "GET")];
        fields.extend(asked.map(|asked| ("access-control-request-private-network", asked)));
        let answer = ask_both(&gateway, "OPTIONS", path, &fields);
        assert_eq!(
            answer.header("access-control-allow-private-network"),
            allowed.then_some("true"),
            "{path} {asked:?}"
        );
    }
}

#[test]
fn what_the_service_says_of_origins_is_replaced() {
    let service = Service::named("a", |talk| {
        while talk.request().is_some() {
            talk.send(
                "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n\
                 access-control-x: y\r\nVary: Accept-Encoding\r\nETag: \"1\"\r\nContent-Length: 2\r\n\r\nok",
            );
        }
    });
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .item("policies", "  edits: { response_headers: { set: { access-control-allow-origin: \"https://evil.test\", vary: cookie } } }")
            .route(&format!("name: cors, match: {{ path: /cors }}, to: a, {CORS}"))
            .route("name: all, match: { path: /all }, to: a, cors: { origins: \"*\" }")
            .route("name: bare, match: { path: /bare }, to: a")
            .route(&format!("name: edited, match: {{ path: /edited }}, to: a, use: edits, {CORS}")),
    );
    let ask = |path: &str, origin: &str| {
        let response = ask_both(&gateway, "GET", path, &[("origin", origin)]);
        assert_eq!(response.header("etag"), Some("\"1\""));
        assert_eq!(response.text(), "ok");
        about_origins(&response)
    };
    let granted = |vary: &str| {
        vec![
            "access-control-allow-credentials: true".to_owned(),
            format!("access-control-allow-origin: {APP}"),
            "access-control-expose-headers: etag".to_owned(),
            format!("vary: {vary}"),
        ]
    };
    assert_eq!(ask("/cors", APP), granted("Accept-Encoding, origin"));
    assert_eq!(
        ask("/cors", "https://evil.test"),
        ["vary: Accept-Encoding, origin"]
    );
    assert_eq!(ask("/edited", APP), granted("cookie, origin"));
    assert_eq!(ask("/edited", "https://evil.test"), ["vary: cookie, origin"]);
    assert_eq!(
        ask("/all", "https://evil.test"),
        ["access-control-allow-origin: *", "vary: Accept-Encoding"]
    );
    assert_eq!(ask("/bare", APP).len(), 4);
}

#[test]
fn the_gateways_own_responses_can_be_read_too() {
    let (service, down) = (Service::echo("a"), Service::refusing());
    let listener = "cors: { origins: [\"https://app.example.com\"] }, hosts: [a.test]";
    let gateway = Gateway::with(
        Config::listening(&[listener])
            .service(&service, "")
            .service(&down, "")
            .route("name: moved, match: { path: /moved }, redirect: { path: /x }")
            .route("name: said, match: { path: /said }, respond: { status: 418, body: tea }")
            .route("name: down, match: { path: /down }, to: refusing")
            .route("name: closed, match: { path: /closed }, to: a, access: { deny: [127.0.0.0/8] }")
            .route("name: large, match: { path: /large }, to: a, limits: { body_bytes: 1 }")
            .route("name: page, match: { path: /page }, to: refusing, errors: [{ status: 5xx, body: sorry, headers: { access-control-allow-origin: \"*\", vary: accept } }]")
            .route("name: off, match: { path: /off }, to: refusing, cors: off")
            .route("name: own, match: { path: /own }, to: refusing, cors: { origins: \"*\" }"),
    );
    let granted = [
        "access-control-allow-origin: https://app.example.com",
        "vary: origin",
    ];
    for (path, status) in [
        ("/moved", 302),
        ("/said", 418),
        ("/down", 502),
        ("/closed", 403),
        ("/nowhere", 404),
    ] {
        let response = ask_both(&gateway, "GET", path, &[("origin", APP)]);
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(about_origins(&response), granted, "{path}");
        let response = ask_both(&gateway, "GET", path, &[("origin", "https://evil.test")]);
        assert_eq!(about_origins(&response), ["vary: origin"], "{path}");
    }
    let page = ask_both(&gateway, "GET", "/page", &[("origin", APP)]);
    assert_eq!(page.text(), "sorry");
    assert_eq!(about_origins(&page), [granted[0], "vary: accept, origin"]);
    assert_eq!(
        about_origins(&ask_both(&gateway, "GET", "/off", &[("origin", APP)])),
        [""; 0]
    );
    assert_eq!(
        about_origins(&ask_both(&gateway, "GET", "/own", &[("origin", APP)])),
        ["access-control-allow-origin: *"]
    );
    let large = gateway.ask(format!(
        "POST /large HTTP/1.1\r\nHost: a.test\r\nOrigin: {APP}\r\nContent-Length: 2\r\n\r\nxx"
    ));
    assert_eq!(
        (large.status(), about_origins(&large)),
        (413, granted.map(str::to_owned).to_vec())
    );
    let elsewhere = gateway.ask(format!("GET / HTTP/1.1\r\nHost: b.test\r\nOrigin: {APP}\r\n\r\n"));
    assert_eq!(
        (elsewhere.status(), about_origins(&elsewhere)),
        (404, granted.map(str::to_owned).to_vec())
    );
    // What could not be read has no origin.
    let malformed = gateway.ask(format!(
        "GET / HTTP/1.1\r\nHost: a.test\r\nOrigin: {APP}\r\nbad name: x\r\n\r\n"
    ));
    assert_eq!(
        (malformed.status(), about_origins(&malformed)),
        (400, vec!["vary: origin".to_owned()])
    );
    // A request behind it does not have the last one's headers.
    let mut client = gateway.connect();
    for (origin, expected) in [(Some(APP), &granted[..]), (None, &granted[1..])] {
        let origin = origin
            .map(|origin| format!("Origin: {origin}\r\n"))
            .unwrap_or_default();
        let response = client.ask(format!("GET /said HTTP/1.1\r\nHost: a.test\r\n{origin}\r\n"));
        assert_eq!(about_origins(&response), expected);
    }
}

#[test]
fn a_preflight_comes_after_access_and_before_the_limit_on_bodies() {
    let service = Service::echo("a");
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route(&format!(
                "name: closed, match: {{ path: /closed }}, to: a, access: {{ deny: [127.0.0.0/8] }}, {CORS}"
            ))
            .route(&format!(
                "name: large, match: {{ path: /large }}, to: a, limits: {{ body_bytes: 1 }}, {CORS}"
            ))
            .route(&format!("name: dark, match: {{ path: /dark }}, to: {{}}, {CORS}")),
    );
    let refused = preflight(&gateway, "/closed", APP, "PUT", "");
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.header("access-control-allow-origin"), Some(APP));
    assert_eq!(preflight(&gateway, "/dark", APP, "PUT", "").status(), 204);
    let large = gateway.ask(format!(
        "OPTIONS /large HTTP/1.1\r\nHost: a.test\r\nOrigin: {APP}\r\nAccess-Control-Request-Method: PUT\r\n\
         Content-Length: 2\r\n\r\nxx"
    ));
    assert_eq!(large.status(), 204);
    // Not for a path: the gateway itself.
    let server = gateway.ask(format!(
        "OPTIONS * HTTP/1.1\r\nHost: a.test\r\nOrigin: {APP}\r\nAccess-Control-Request-Method: PUT\r\n\r\n"
    ));
    assert_eq!((server.status(), about_origins(&server)), (204, Vec::new()));
}

#[test]
fn a_preflight_that_allows_nothing_is_a_refusal_and_no_error() {
    let service = Service::echo("a");
    let config = Config::new()
        .service(&service, "")
        .key("access_log: stdout")
        .route(&format!("name: all, to: a, {CORS}"));
    let gateway = Gateway::with(config);
    for (origin, refuser) in [(APP, Value::Null), ("https://evil.test", json!("cors"))] {
        let path = format!("/{}", origin.len());
        preflight(&gateway, &path, origin, "PUT", "");
        let line = gateway.wait_for_stdout(&format!("\"{path}\""));
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["refused_by"], refuser, "{origin}");
        assert_eq!(line["failed"], false, "{origin}");
    }
    let metrics = gateway.metrics();
    let wanted = "waypost_refusals_total{reason=\"cors\"} 2";
    assert!(metrics.contains(wanted), "{metrics}");
}

#[test]
fn interim_responses_say_what_the_policy_says() {
    let service = Service::named("a", |talk| {
        while talk.request().is_some() {
            talk.send(
                "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nAccess-Control-Allow-Origin: *\r\nVary: accept\r\n\r\n\
                 HTTP/1.1 100 Continue\r\n\r\n\
                 HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\r\n",
            );
        }
    });
    let config = Config::new()
        .service(&service, "")
        .route(&format!("name: own, match: {{ path: /own }}, to: a, {CORS}"))
        .route("name: bare, to: a");
    let gateway = Gateway::with(config);
    for (path, origin, expected) in [
        (
            "/own",
            APP,
            &[
                "access-control-allow-credentials: true",
                "access-control-allow-origin: https://app.example.com",
                "access-control-expose-headers: etag",
                "vary: accept, origin",
            ][..],
        ),
        ("/own", "https://evil.test", &["vary: accept, origin"]),
        ("/bare", APP, &["access-control-allow-origin: *", "vary: accept"]),
    ] {
        let mut client = gateway.connect();
        client.send(format!(
            "GET {path} HTTP/1.1\r\nHost: a.test\r\nOrigin: {origin}\r\n\r\n"
        ));
        let hints = client.response_head();
        assert_eq!(hints.status(), 103);
        assert_eq!(hints.header("link"), Some("</a.css>"));
        assert_eq!(about_origins(&hints), expected, "{path} {origin}");
        let bare = client.response_head();
        assert_eq!((bare.status(), bare.fields.len()), (100, 0));
        assert_eq!(client.response().status(), 200);
    }
}

#[test]
fn an_upgrade_has_the_headers_of_any_response() {
    let service = Service::named("a", |talk| {
        let Some(request) = talk.request_head() else {
            return;
        };
        match request.header("upgrade") {
            Some(_) => talk.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                 Access-Control-Allow-Origin: *\r\n\r\n",
            ),
            None => talk.send(echo("a", &request)),
        }
    });
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route(&format!("name: all, to: a, {CORS}")),
    );
    let mut client = gateway.connect();
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\nOrigin: {APP}\r\n\r\n"
    ));
    let response = client.response_head();
    assert_eq!(response.status(), 101);
    assert_eq!(response.header("access-control-allow-origin"), Some(APP));
    assert_eq!(response.values("access-control-allow-origin").len(), 1);
}

#[test]
fn a_reload_brings_another_policy() {
    let service = Service::echo("a");
    let config = |origin: &str| {
        let route = format!("name: all, to: a, cors: {{ origins: [\"{origin}\"] }}");
        Config::new().service(&service, "").route(&route)
    };
    let gateway = Gateway::with(config(APP));
    let allowed = || {
        let response = ask_both(&gateway, "GET", "/", &[("origin", APP)]);
        response.header("access-control-allow-origin").is_some()
    };
    assert!(allowed());
    gateway.rewrite(config("https://other.example.com"));
    gateway.wait_for_revision(2);
    assert!(!allowed());
}

#[test]
fn explanations_show_the_preflight_and_the_headers() {
    let service = Service::echo("a");
    let gateway = Gateway::with(
        Config::listening(&["name: edge, cors: { origins: \"*\" }"])
            .service(&service, "")
            .item("policies", &format!("  web: {{ {CORS} }}"))
            .route("name: put, match: { path: /x, method: PUT }, to: a, use: web")
            .route("name: rest, match: { path: /x }, to: a, cors: off"),
    );
    let explain = |method: &str, path: &str, headers: serde_json::Value| {
        gateway.explain_question(&json!({
            "request": format!("{method} http://a.test{path}"), "headers": headers,
        }))
    };
    let preflight = json!({ "origin": APP, "access-control-request-method": "PUT" });
    let answered = explain("OPTIONS", "/x", preflight);
    assert_eq!(answered["outcome"], "respond");
    assert_eq!(answered["status"], 204);
    assert_eq!(answered["route"], "put");
    assert_eq!(answered["stopped"]["step"], "cors");
    assert_eq!(answered["stopped"]["number"], 6);
    assert_eq!(answered["stopped"]["from"], "policy web");
    assert_eq!(answered["policies"]["cors"]["from"], "policy web");
    assert_eq!(answered["cors"]["allowed"], true);
    assert_eq!(answered["considered"][0]["matched"], true);
    let headers = answered["headers"].as_array().unwrap();
    assert!(
        headers.contains(&json!(["access-control-allow-origin", APP])),
        "{headers:?}"
    );
    for (method, headers, because) in [
        (
            "OPTIONS",
            json!({ "origin": "https://evil.test", "access-control-request-method": "PUT" }),
            "the origin `https://evil.test` is not allowed",
        ),
        (
            "OPTIONS",
            json!({ "origin": APP, "access-control-request-method": "PUT", "access-control-request-headers": "x-token, x-no" }),
            "the header `x-no` is not allowed",
        ),
        ("PUT", json!({}), "the request names no origin"),
        (
            "PUT",
            json!({ "origin": "null" }),
            "the origin `null` is not allowed",
        ),
    ] {
        let explained = explain(method, "/x", headers);
        assert_eq!(explained["cors"]["allowed"], false, "{because}");
        assert_eq!(explained["cors"]["because"], because);
    }
    let read = explain("PUT", "/x", json!({ "origin": APP }));
    assert_eq!(read["outcome"], "forward");
    assert_eq!(
        read["cors"]["headers"],
        json!([
            ["vary", "origin"],
            ["access-control-allow-origin", APP],
            ["access-control-allow-credentials", "true"],
            ["access-control-expose-headers", "etag"],
        ])
    );
    assert!(explain("GET", "/x", json!({ "origin": APP }))["cors"].is_null());
    assert_eq!(
        explain("GET", "/none", json!({ "origin": APP }))["cors"]["allowed"],
        true
    );
    let (config, origin) = (gateway.config().to_str().unwrap(), format!("origin: {APP}"));
    let asked = ["explain", config, "PUT", "http://a.test/x", "-H", &origin];
    let text = waypost_in(gateway.directory(), &asked).expect(0).stdout;
    assert!(text.contains("the page may read the response"), "{text}");
    assert!(
        text.contains("access-control-allow-origin: https://app.example.com"),
        "{text}"
    );
}

/// The exit code of the tests of its config.
fn tested(gateway: &Gateway) -> i32 {
    waypost_in(gateway.directory(), &["test", gateway.config().to_str().unwrap()]).code
}

#[test]
fn tests_of_a_config_see_preflights() {
    let service = Service::echo("a");
    let asks = "headers: { origin: \"https://app.example.com\", access-control-request-method: PUT }";
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route(&format!("name: put, match: {{ path: /x, method: PUT }}, to: a, {CORS}"))
            .test(&format!("request: OPTIONS http://a.test/x, {asks}, expect: {{ route: put, status: 204, cors: true }}"))
            .test("request: PUT http://a.test/x, headers: { origin: \"https://evil.test\" }, expect: { route: put, service: a, cors: false }"),
    );
    let wrong = format!("request: OPTIONS http://a.test/x, {asks}, expect: {{ cors: false }}");
    assert_eq!(tested(&gateway), 0);
    let config = Config::new()
        .service(&service, "")
        .route(&format!(
            "name: put, match: {{ path: /x, method: PUT }}, to: a, {CORS}"
        ))
        .test(&wrong);
    gateway.rewrite(config);
    gateway.wait_for_part("cors");
    assert_eq!(tested(&gateway), 1);
}
