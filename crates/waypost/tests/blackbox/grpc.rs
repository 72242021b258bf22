//! gRPC: unary and streaming calls, matching, own responses, timeouts, gRPC-Web.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{Http2Client, Http2Service};
use crate::support::message::Message;

/// A length-prefixed message.
fn message(text: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// Echoes every message, then sends `grpc-status: 0`; calls of `Fail` end with status 9.
fn echoing() -> Http2Service {
    Http2Service::start(|request, mut respond| async move {
        let (head, mut body) = request.into_parts();
        let response = Response::builder().header("content-type", "application/grpc");
        if head.uri.path().ends_with("/Fail") {
            let response = response
                .header("grpc-status", "9")
                .header("grpc-message", "no way");
            respond.send_response(response.body(()).unwrap(), true).unwrap();
            return;
        }
        let types = head.headers.get("content-type").cloned();
        let response = response
            .header("x-type", types.unwrap_or(HeaderValue::from_static("none")))
            .header(
                "x-te",
                head.headers
                    .get("te")
                    .cloned()
                    .unwrap_or(HeaderValue::from_static("none")),
            );
        let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
        while let Some(Ok(data)) = body.data().await {
            let _ = body.flow_control().release_capacity(data.len());
            if stream.send_data(data, false).is_err() {
                return;
            }
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        trailers.insert("x-trailing", HeaderValue::from_static("yes"));
        let _ = stream.send_trailers(trailers);
    })
}

/// A config with `service` as `s`, a service `down` that refuses, and `none` without endpoints.
fn config(service: &Http2Service) -> Config {
    Config::new()
        .service_at("s", &[&service.url()], "http2: true")
        .service_at("down", &["http://127.0.0.1:1"], "http2: true")
        .service_at("none", &[], "")
}

fn call(path: &str) -> http::request::Builder {
    Request::post(format!("http://a{path}"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
}

fn trailer<'m>(message: &'m Message, name: &str) -> Option<&'m str> {
    let mut found = message.trailers.iter().filter(|(known, _)| known == name);
    found.next().map(|(_, value)| &**value)
}

#[test]
fn check_warns_of_calls_to_a_service_without_http2() {
    for (keys, warns) in [("", true), ("http2: true", false)] {
        let config = Config::new()
            .service_at("s", &["http://127.0.0.1:1"], keys)
            .route("name: calls, match: { grpc: { service: shop.Orders } }, to: s");
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("waypost.yaml"), config).unwrap();
        let said = waypost_in(directory.path(), &["check"]).expect(0).stdout;
        assert_eq!(said.contains("warning[grpc-without-http2]"), warns, "{said}");
        assert_eq!(said.contains("hint: add `http2: true` to `s`"), warns, "{said}");
    }
}

#[test]
fn unary_and_streaming_calls_with_trailers() {
    let service = echoing();
    let gateway =
        Gateway::with(config(&service).route("name: s, match: { grpc: { service: shop.Orders } }, to: s"));
    let client = Http2Client::connect(gateway.address());
    // Unary.
    let mut stream = client.open(call("/shop.Orders/Get").body(()).unwrap(), false);
    stream.send(&message("one"), true);
    let response = stream.response().unwrap();
    assert_eq!(response.body, message("one"));
    assert_eq!(
        (
            trailer(&response, "grpc-status"),
            trailer(&response, "x-trailing")
        ),
        (Some("0"), Some("yes"))
    );
    assert_eq!(response.header("x-te"), Some("trailers"));
    // Bidirectional streaming, in turns.
    let mut stream = client.open(call("/shop.Orders/Chat").body(()).unwrap(), false);
    assert_eq!(stream.head().unwrap().status(), 200);
    for number in 0..5 {
        let text = message(&format!("message {number}"));
        stream.send(&text, false);
        assert_eq!(stream.piece().unwrap().unwrap(), text);
    }
    stream.send(b"", true);
    assert!(stream.piece().is_none());
    // A trailers-only response stays one.
    let mut stream = client.open(call("/shop.Orders/Fail").body(()).unwrap(), false);
    let head = stream.head().unwrap();
    assert_eq!(head.header("grpc-status"), Some("9"));
    assert!(head.is_complete, "the head ends the stream");
    assert_eq!(head.header("content-length"), None);
}

#[test]
fn match_by_grpc_service_and_method() {
    let service = echoing();
    let gateway = Gateway::with(
        config(&service)
            .route("name: method, match: { grpc: { service: shop.Orders, method: Get } }, respond: { status: 201 }")
            .route("name: service, match: { grpc: { service: shop.Orders } }, respond: { status: 202 }")
            .route("name: anywhere, match: { grpc: { method: Ping } }, respond: { status: 203 }")
            .route("name: rest, to: s"),
    );
    let client = Http2Client::connect(gateway.address());
    let status = |path: &str| client.ask(call(path).body(()).unwrap(), "").status();
    assert_eq!(status("/shop.Orders/Get"), 201);
    assert_eq!(status("/shop.Orders/Put"), 202);
    assert_eq!(status("/other.Service/Ping"), 203);
    assert_eq!(status("/other.Service/Get"), 200);
    // Requests of other content types are no calls.
    let plain = Request::post("http://a/shop.Orders/Get").header("content-type", "application/json");
    assert_eq!(
        client.ask(plain.body(()).unwrap(), "").header("x-type"),
        Some("application/json")
    );
}

#[test]
fn own_responses_carry_grpc_status() {
    let service = echoing();
    let gateway = Gateway::with(
        config(&service)
            .route("name: s, match: { path: /s/* }, to: s")
            .route("name: down, match: { path: /down/* }, to: down")
            .route("name: none, match: { path: /none/* }, to: none")
            .route("name: all, match: { path: /nowhere/* }, to: {}"),
    );
    let client = Http2Client::connect(gateway.address());
    for (path, status, message) in [
        ("/x.Y/Z", "12", "no route takes this request"),
        ("/down/Z", "14", "the service refused the connection"),
        ("/none/Z", "14", "the service has no endpoint that is ready"),
        ("/nowhere/Z", "13", "the route sends its traffic nowhere"),
    ] {
        let mut stream = client.open(call(path).body(()).unwrap(), false);
        let head = stream.head().unwrap();
        assert_eq!(head.status(), 200, "{path}");
        assert_eq!(
            head.header("content-type"),
            Some("application/grpc+proto"),
            "{path}"
        );
        assert_eq!(
            (head.header("grpc-status"), head.header("grpc-message")),
            (Some(status), Some(message)),
            "{path}"
        );
    }
    // Other requests get plain HTTP statuses.
    assert_eq!(client.get("http://a/x.Y/Z").status(), 404);
}

#[test]
fn grpc_timeout_bounds_the_call() {
    let service = Http2Service::start(|_, respond| async move {
        std::future::pending::<()>().await;
        drop(respond);
    });
    let gateway = Gateway::with(config(&service).route("name: s, to: s"));
    let client = Http2Client::connect(gateway.address());
    let request = call("/x.Y/Z").header("grpc-timeout", "50m").body(()).unwrap();
    let response = client.ask(request, "");
    assert_eq!(response.header("grpc-status"), Some("4"));
}

#[test]
fn grpc_web_translated_where_enabled() {
    let service = echoing();
    let gateway = Gateway::with(
        config(&service)
            .route("name: web, match: { grpc: { service: shop.Orders } }, to: s, grpc_web: true")
            .route("name: not, match: { path: /plain/* }, to: s"),
    );
    let ask = |path: &str, kind: &str, body: &[u8]| {
        let mut bytes = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        gateway.ask(bytes)
    };
    let frame = b"\x80\0\0\0\x1fgrpc-status:0\r\nx-trailing:yes\r\n";
    let expected = [message("hi"), frame.to_vec()].concat();
    let response = ask("/shop.Orders/Get", "application/grpc-web+proto", &message("hi"));
    assert_eq!(
        response.header("content-type"),
        Some("application/grpc-web+proto")
    );
    assert_eq!(
        (response.header("x-type"), response.header("x-te")),
        (Some("application/grpc+proto"), Some("trailers"))
    );
    assert_eq!(response.body, expected);
    assert!(response.trailers.is_empty());

    let response = ask("/shop.Orders/Get", "application/grpc-web-text", b"AAAAAAJoaQ==");
    assert_eq!(
        response.header("content-type"),
        Some("application/grpc-web-text+proto")
    );
    assert_eq!(response.header("x-type"), Some("application/grpc"));
    assert_eq!(decoded(&response.text()), expected);

    let response = ask("/shop.Orders/Fail", "application/grpc-web+proto", &message("hi"));
    assert_eq!(
        (response.header("grpc-status"), response.text()),
        (Some("9"), String::new())
    );
    let response = ask("/other.S/Fail", "application/grpc-web+proto", &message("hi"));
    assert_eq!(response.header("grpc-status"), Some("12"));
    // Without `grpc_web`, requests are forwarded verbatim.
    let response = ask("/plain/Get", "application/grpc-web+proto", &message("hi"));
    assert_eq!(response.header("x-type"), Some("application/grpc-web+proto"));
    assert_eq!(trailer(&response, "grpc-status"), Some("0"));
    // Invalid base64.
    let response = ask("/shop.Orders/Get", "application/grpc-web-text", b"****");
    assert_eq!(response.header("grpc-status"), Some("13"));

    let client = Http2Client::connect(gateway.address());
    let request =
        Request::post("http://a/shop.Orders/Get").header("content-type", "application/grpc-web+proto");
    let mut stream = client.open(request.body(()).unwrap(), false);
    stream.sender.send_data(Bytes::from(message("hi")), true).unwrap();
    assert_eq!(stream.response().unwrap().body, expected);
}

/// Decodes base64 in groups of four, each with its own padding.
fn decoded(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let filled = group.iter().filter(|byte| **byte != b'=').count();
        let bits = group
            .iter()
            .fold(0_u32, |bits, byte| bits << 6 | u32::from(value(*byte) & 63));
        bytes.extend(&bits.to_be_bytes()[1..filled]);
    }
    bytes
}
