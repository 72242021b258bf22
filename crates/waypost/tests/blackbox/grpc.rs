//! gRPC: calls of every kind, what the gateway says itself, and the form of it that browsers speak.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::support::gateway::{Gateway, LISTENER};
use crate::support::http2::{Http2Client, Http2Service};
use crate::support::message::Message;

/// A message as it stands on the wire.
fn message(text: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// A service that sends every message back as it comes, then `grpc-status: 0`; calls of `Fail` end at once.
fn echoing() -> Http2Service {
    Http2Service::start(|request, mut respond| async move {
        let (head, mut body) = request.into_parts();
        let answer = Response::builder().header("content-type", "application/grpc");
        if head.uri.path().ends_with("/Fail") {
            let answer = answer.header("grpc-status", "9").header("grpc-message", "no way");
            respond.send_response(answer.body(()).unwrap(), true).unwrap();
            return;
        }
        let types = head.headers.get("content-type").cloned();
        let answer = answer
            .header("x-type", types.unwrap_or(HeaderValue::from_static("none")))
            .header(
                "x-te",
                head.headers
                    .get("te")
                    .cloned()
                    .unwrap_or(HeaderValue::from_static("none")),
            );
        let mut stream = respond.send_response(answer.body(()).unwrap(), false).unwrap();
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

fn config(service: &Http2Service, routes: &str) -> String {
    format!(
        "{LISTENER}services: {{ s: {{ endpoints: [\"{}\"], http2: true }}, down: {{ endpoints: [\"http://127.0.0.1:1\"], http2: true }}, none: {{ endpoints: [] }} }}\nroutes:\n{routes}",
        service.url()
    )
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
fn calls_of_all_four_kinds_pass_with_their_trailers() {
    let service = echoing();
    let gateway = Gateway::with(config(
        &service,
        "- { name: s, match: { grpc: { service: shop.Orders } }, to: s }\n",
    ));
    let client = Http2Client::connect(gateway.address());
    // One message each way.
    let mut stream = client.open(call("/shop.Orders/Get").body(()).unwrap(), false);
    stream.send(&message("one"), true);
    let answer = stream.answer().unwrap();
    assert_eq!(answer.body, message("one"));
    assert_eq!(
        (trailer(&answer, "grpc-status"), trailer(&answer, "x-trailing")),
        (Some("0"), Some("yes"))
    );
    assert_eq!(answer.header("x-te"), Some("trailers"));
    // Many, one after the other, each answered before the next: client, server and both streaming.
    let mut stream = client.open(call("/shop.Orders/Chat").body(()).unwrap(), false);
    assert_eq!(stream.head().unwrap().status(), 200);
    for number in 0..5 {
        let text = message(&format!("message {number}"));
        stream.send(&text, false);
        assert_eq!(stream.piece().unwrap().unwrap(), text);
    }
    stream.send(b"", true);
    assert!(stream.piece().is_none());
    // An answer that is all in its head stays so: the client would miss its status otherwise.
    let mut stream = client.open(call("/shop.Orders/Fail").body(()).unwrap(), false);
    let head = stream.head().unwrap();
    assert_eq!(head.header("grpc-status"), Some("9"));
    assert!(head.is_complete, "the head ends the stream");
    assert_eq!(head.header("content-length"), None);
}

#[test]
fn calls_are_matched_by_service_and_method() {
    let service = echoing();
    let routes = "- { name: method, match: { grpc: { service: shop.Orders, method: Get } }, respond: { status: 201 } }\n\
                  - { name: service, match: { grpc: { service: shop.Orders } }, respond: { status: 202 } }\n\
                  - { name: anywhere, match: { grpc: { method: Ping } }, respond: { status: 203 } }\n\
                  - { name: rest, to: s }\n";
    let gateway = Gateway::with(config(&service, routes));
    let client = Http2Client::connect(gateway.address());
    let status = |path: &str| client.ask(call(path).body(()).unwrap(), "").status();
    assert_eq!(status("/shop.Orders/Get"), 201);
    assert_eq!(status("/shop.Orders/Put"), 202);
    assert_eq!(status("/other.Service/Ping"), 203);
    assert_eq!(status("/other.Service/Get"), 200);
    // What is no call goes elsewhere.
    let plain = Request::post("http://a/shop.Orders/Get").header("content-type", "application/json");
    assert_eq!(
        client.ask(plain.body(()).unwrap(), "").header("x-type"),
        Some("application/json")
    );
}

#[test]
fn what_the_gateway_says_itself_is_a_status_of_grpc() {
    let service = echoing();
    let routes = "- { name: s, match: { path: /s/* }, to: s }\n\
                  - { name: down, match: { path: /down/* }, to: down }\n\
                  - { name: none, match: { path: /none/* }, to: none }\n\
                  - { name: all, match: { path: /nowhere/* }, to: {} }\n";
    let gateway = Gateway::with(config(&service, routes));
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
    // Others are told as ever.
    assert_eq!(client.get("http://a/x.Y/Z").status(), 404);
}

#[test]
fn the_time_that_a_call_gives_itself_bounds_it() {
    let service = Http2Service::start(|_, respond| async move {
        std::future::pending::<()>().await;
        drop(respond);
    });
    let gateway = Gateway::with(config(&service, "- { name: s, to: s }\n"));
    let client = Http2Client::connect(gateway.address());
    let request = call("/x.Y/Z").header("grpc-timeout", "50m").body(()).unwrap();
    let answer = client.ask(request, "");
    assert_eq!(answer.header("grpc-status"), Some("4"));
}

#[test]
fn calls_of_browsers_are_translated_on_a_route_that_says_so() {
    let service = echoing();
    let routes = "- { name: web, match: { grpc: { service: shop.Orders } }, to: s, grpc_web: true }\n- { name: not, match: { path: /plain/* }, to: s }\n";
    let gateway = Gateway::with(config(&service, routes));
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
    let answer = ask("/shop.Orders/Get", "application/grpc-web+proto", &message("hi"));
    assert_eq!(answer.header("content-type"), Some("application/grpc-web+proto"));
    assert_eq!(
        (answer.header("x-type"), answer.header("x-te")),
        (Some("application/grpc+proto"), Some("trailers"))
    );
    assert_eq!(answer.body, expected);
    assert!(answer.trailers.is_empty());

    let answer = ask("/shop.Orders/Get", "application/grpc-web-text", b"AAAAAAJoaQ==");
    assert_eq!(
        answer.header("content-type"),
        Some("application/grpc-web-text+proto")
    );
    assert_eq!(answer.header("x-type"), Some("application/grpc"));
    assert_eq!(decoded(&answer.text()), expected);

    let answer = ask("/shop.Orders/Fail", "application/grpc-web+proto", &message("hi"));
    assert_eq!(
        (answer.header("grpc-status"), answer.text()),
        (Some("9"), String::new())
    );
    let answer = ask("/other.S/Fail", "application/grpc-web+proto", &message("hi"));
    assert_eq!(answer.header("grpc-status"), Some("12"));
    // Without it, they pass as they are.
    let answer = ask("/plain/Get", "application/grpc-web+proto", &message("hi"));
    assert_eq!(answer.header("x-type"), Some("application/grpc-web+proto"));
    assert_eq!(trailer(&answer, "grpc-status"), Some("0"));
    // Base64 that is none is the client's fault, and no call.
    let answer = ask("/shop.Orders/Get", "application/grpc-web-text", b"****");
    assert_ne!(answer.header("grpc-status").unwrap_or("0"), "0");

    let client = Http2Client::connect(gateway.address());
    let request =
        Request::post("http://a/shop.Orders/Get").header("content-type", "application/grpc-web+proto");
    let mut stream = client.open(request.body(()).unwrap(), false);
    stream.sender.send_data(Bytes::from(message("hi")), true).unwrap();
    assert_eq!(stream.answer().unwrap().body, expected);
}

/// Base64 in groups, each with its own padding.
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
