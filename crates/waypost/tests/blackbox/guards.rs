//! Guards of routes: access by address, and the limit on bodies, in the order in which a request is judged.

use serde_json::json;

use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::service::Service;

/// A gateway with a route of each kind of action, which has these keys.
fn with_keys(service: &Service, listener: &str, keys: &str) -> Gateway {
    let config = Config::listening(&[listener])
        .service(service, "")
        .route(&format!("name: to, match: {{ path: /to }}, to: a, {keys}"))
        .route(&format!(
            "name: redirect, match: {{ path: /redirect }}, redirect: {{ scheme: https }}, {keys}"
        ))
        .route(&format!(
            "name: respond, match: {{ path: /respond }}, respond: {{ status: 200 }}, {keys}"
        ))
        .route("name: open, match: { path: /open }, to: a");
    Gateway::with(config)
}

#[test]
fn access_is_that_of_the_clients_address() {
    let service = Service::echo("a");
    let listener = "trusted_proxies: [127.0.0.1]";
    let keys = "access: { allow: [10.0.0.0/8, 192.0.2.7], deny: [10.9.0.0/16] }";
    let gateway = with_keys(&service, listener, keys);
    let http2 = Http2Client::connect(gateway.address());
    for (client, admitted) in [
        ("10.1.2.3", true),
        ("192.0.2.7", true),
        ("::ffff:10.1.2.3", true),
        ("10.9.1.1", false),
        ("192.0.2.8", false),
        ("2001:db8::1", false),
    ] {
        for (path, status) in [
            ("/to", 200),
            ("/redirect", 302),
            ("/respond", 200),
            ("/open", 200),
        ] {
            let status = if admitted || path == "/open" { status } else { 403 };
            let url = format!("http://a.test{path}");
            let headers = format!("Host: a.test\r\nX-Forwarded-For: {client}\r\n");
            let response = gateway.ask(format!("GET {path} HTTP/1.1\r\n{headers}\r\n"));
            assert_eq!(response.status(), status, "{client} {path}");
            let request = http::Request::builder()
                .uri(&*url)
                .header("x-forwarded-for", client);
            let response = http2.ask(request.body(()).unwrap(), "");
            assert_eq!(response.status(), status, "{client} {path} by HTTP/2");
            let explanation = gateway.explain_question(&json!({
                "request": format!("GET {url}"),
                "client_ip": client,
            }));
            let outcome = if status == 403 {
                "refused"
            } else {
                explanation["outcome"].as_str().unwrap()
            };
            assert_eq!(explanation["outcome"], outcome, "{client} {path}");
            assert_eq!(explanation["route"], path[1..], "{client} {path}");
        }
    }
    let refused = gateway.ask("GET /to HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(
        refused.header("proxy-status"),
        Some("waypost; error=http_request_denied")
    );
}

#[test]
fn access_denied_leaves_the_connection_open() {
    let service = Service::echo("a");
    let gateway = with_keys(&service, "", "access: { deny: [127.0.0.0/8] }");
    let mut client = gateway.connect();
    for _ in 0..2 {
        assert_eq!(client.ask("GET /to HTTP/1.1\r\nHost: a\r\n\r\n").status(), 403);
    }
    assert_eq!(client.ask("GET /open HTTP/1.1\r\nHost: a\r\n\r\n").status(), 200);
    let metrics = gateway.metrics();
    assert!(metrics.contains("reason=\"access\""), "{metrics}");
}

/// The status of a POST with a body of this size, with its length announced or in chunks.
fn post(gateway: &Gateway, path: &str, bytes: usize, is_chunked: bool) -> u16 {
    let body = "x".repeat(bytes);
    let (framing, body) = match is_chunked {
        true => (
            "Transfer-Encoding: chunked".to_owned(),
            format!("{bytes:x}\r\n{body}\r\n0\r\n\r\n"),
        ),
        false => (format!("Content-Length: {bytes}"), body),
    };
    let head = format!("POST {path} HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n");
    gateway.ask(head + &body).status()
}

#[test]
fn the_limit_of_a_route_is_narrower_or_wider_than_that_of_its_listener() {
    let service = Service::echo("a");
    let listener = "limits: { body_bytes: 100 }";
    for (limit, most) in [("10", 10), ("1KiB", 1024), ("none", 100_000)] {
        let gateway = with_keys(&service, listener, &format!("limits: {{ body_bytes: {limit} }}"));
        for is_chunked in [false, true] {
            assert_eq!(
                post(&gateway, "/to", most, is_chunked),
                200,
                "{limit} {is_chunked}"
            );
            if limit != "none" {
                assert_eq!(
                    post(&gateway, "/to", most + 1, is_chunked),
                    413,
                    "{limit} {is_chunked}"
                );
            }
            assert_eq!(post(&gateway, "/open", 100, is_chunked), 200);
            assert_eq!(post(&gateway, "/open", 101, is_chunked), 413);
        }
        if limit != "none" {
            assert_eq!(post(&gateway, "/redirect", most + 1, false), 413);
            assert_eq!(post(&gateway, "/respond", most + 1, false), 413);
            let http2 = Http2Client::connect(gateway.address());
            let request = |path: &str| {
                let request = http::Request::builder()
                    .method("POST")
                    .uri(format!("http://a.test{path}"));
                request.body(()).unwrap()
            };
            let body = "x".repeat(most + 1);
            assert_eq!(http2.ask(request("/to"), &body).status(), 413);
            assert_eq!(http2.ask(request("/to"), &body[1..]).status(), 200);
        }
    }
}

#[test]
fn a_request_is_judged_by_host_route_access_and_body_in_this_order() {
    let service = Service::echo("a");
    let listener = "hosts: [a.test], limits: { body_bytes: 10 }";
    let config = Config::listening(&[listener])
        .service(&service, "")
        .route("name: closed, match: { path: /closed }, to: a, access: { deny: [127.0.0.1] }")
        .route("name: wide, match: { path: /wide }, to: a, limits: { body_bytes: 1KiB }")
        .route("name: all, match: { path: /all }, to: a");
    let gateway = Gateway::with(config);
    let ask = |host: &str, path: &str| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 20\r\n\r\n");
        let status = gateway.ask(head + "01234567890123456789").status();
        let explanation = gateway.explain_question(&json!({
            "request": format!("POST http://{host}{path}"),
            "headers": { "content-length": "20" },
        }));
        if status >= 400 {
            assert_eq!(explanation["status"], status, "{host} {path}: {explanation}");
        }
        status
    };
    assert_eq!(ask("b.test", "/all"), 404);
    assert_eq!(ask("a.test", "/none"), 404);
    assert_eq!(ask("a.test", "/closed"), 403);
    assert_eq!(ask("a.test", "/all"), 413);
    assert_eq!(ask("a.test", "/wide"), 200);
}
