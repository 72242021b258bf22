//! Malformed HTTP/2 from clients, frame by frame. It must not reach the recording service.

use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, HEADERS, PING, PRIORITY,
    PROTOCOL_ERROR, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, get,
};
use crate::support::service::Service;

type Fields<'a> = &'a [(&'a [u8], &'a [u8])];
type Head<'a> = Vec<(&'a [u8], &'a [u8])>;

/// The head of a plain GET, with further fields.
fn with<'a>(further: Fields<'a>) -> Head<'a> {
    let mut fields: Head<'a> = vec![
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/x"),
        (b":authority", b"a"),
    ];
    fields.extend_from_slice(further);
    fields
}

/// The head of a plain GET, with another value of one of its fields.
fn instead<'a>(name: &[u8], value: &'a [u8]) -> Head<'a> {
    let mut fields = with(&[]);
    for field in &mut fields {
        if field.0 == name {
            field.1 = value;
        }
    }
    fields
}

#[test]
fn malformed_fields_reset_the_stream() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let heads: Vec<(&str, Head<'_>)> = vec![
        ("a blank before a value", with(&[(b"x", b" 1")])),
        ("a tab behind a value", with(&[(b"x", b"1\t")])),
        ("transfer-encoding", with(&[(b"transfer-encoding", b"chunked")])),
        ("connection", with(&[(b"connection", b"close")])),
        ("keep-alive", with(&[(b"keep-alive", b"1")])),
        ("upgrade", with(&[(b"upgrade", b"websocket")])),
        ("proxy-connection", with(&[(b"proxy-connection", b"close")])),
        ("te", with(&[(b"te", b"gzip")])),
        (
            "a pseudo-header behind a field",
            with(&[(b"x", b"1"), (b":path", b"/y")]),
        ),
        ("a pseudo-header twice", with(&[(b":path", b"/y")])),
        ("a response pseudo-header", with(&[(b":status", b"200")])),
        ("no method", with(&[])[1..].to_vec()),
        ("an empty path", instead(b":path", b"")),
        (
            "CRLF in the path",
            instead(b":path", b"/x HTTP/1.1\r\nHost: b\r\n\r\n"),
        ),
        ("CRLF in the authority", instead(b":authority", b"a\r\nx: 1")),
        ("a blank in the authority", instead(b":authority", b"a b")),
        ("a length that is no number", with(&[(b"content-length", b"+1")])),
        ("a length without a body", with(&[(b"content-length", b"5")])),
        (
            "two lengths",
            with(&[(b"content-length", b"0"), (b"content-length", b"1")]),
        ),
    ];
    for (what, fields) in heads {
        let mut frames = Frames::connect(gateway.address());
        frames.head(1, END_STREAM, &fields);
        assert_eq!(frames.reset_of(1), PROTOCOL_ERROR, "{what}");
    }
    assert_eq!(service.received(), Vec::<String>::new());
    assert_eq!(gateway.get("http://a/alive").status(), 200);
}

#[test]
fn undecodable_fields_close_the_connection() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let heads: Vec<(&str, Head<'_>)> = vec![
        ("CR in a value", with(&[(b"x", b"1\r2")])),
        ("LF in a value", with(&[(b"x", b"1\n2")])),
        ("CRLF in a value", with(&[(b"x", b"1\r\ny: 2")])),
        ("NUL in a value", with(&[(b"x", b"1\x002")])),
        ("DEL in a value", with(&[(b"x", b"1\x7f2")])),
        ("CR in a name", with(&[(b"x\r", b"1")])),
        ("LF in a name", with(&[(b"x\ny", b"1")])),
        ("NUL in a name", with(&[(b"x\x00", b"1")])),
        ("a blank in a name", with(&[(b"x y", b"1")])),
        ("a colon in a name", with(&[(b"x:y", b"1")])),
        ("an empty name", with(&[(b"", b"1")])),
        ("upper case in a name", with(&[(b"X", b"1")])),
        ("bytes beyond ASCII in a name", with(&[(b"x\xc3\xbc", b"1")])),
        ("an unknown pseudo-header", with(&[(b":x", b"1")])),
        ("a blank in the method", instead(b":method", b"GET /x")),
        ("CRLF in the method", instead(b":method", b"GET\r\n")),
    ];
    for (what, fields) in heads {
        let mut frames = Frames::connect(gateway.address());
        frames.head(1, END_STREAM, &fields);
        assert_eq!(frames.goaway(), PROTOCOL_ERROR, "{what}");
    }
    assert_eq!(service.received(), Vec::<String>::new());
    assert_eq!(gateway.get("http://a/alive").status(), 200);
}

#[test]
fn value_with_outer_whitespace_is_a_protocol_error() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    for value in [&b" 1"[..], b"1 ", b"\t", b" "] {
        let mut frames = Frames::connect(gateway.address());
        frames.head(1, END_STREAM, &with(&[(b"x", value)]));
        assert_eq!(frames.reset_of(1), PROTOCOL_ERROR, "{value:?}");
    }
    assert_eq!(service.received(), Vec::<String>::new());
}

#[test]
fn refusals_match_http1() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let client = crate::support::http2::Http2Client::connect(gateway.address());
    let status = |request: http::Request<()>| client.ask(request, "").status();
    for (url, expected) in [
        ("http://a/%2f", 400),
        ("http://a/../..", 400),
        ("http://a/%zz", 400),
        ("http://u@a/", 400),
        ("http://a:99999/", 400),
    ] {
        assert_eq!(status(get(url)), expected, "{url}");
    }
    let build = |request: http::request::Builder| request.body(()).unwrap();
    assert_eq!(
        status(build(http::Request::get("http://a/").header("host", "b"))),
        400
    );
    assert_eq!(status(build(http::Request::trace("http://a/"))), 501);
    let long = format!("http://a/{}", "x".repeat(9 << 10));
    assert_eq!(status(get(&long)), 414);
    let mut many = http::Request::get("http://a/");
    for number in 0..101 {
        many = many.header(format!("x-{number}"), "1");
    }
    assert_eq!(status(build(many)), 431);
    let huge = http::Request::get("http://a/").header("x", "x".repeat(70 << 10));
    assert_eq!(status(build(huge)), 431);
    // Crumbs count as one field, but each has its bytes, and its share of the header list (RFC 9113 §6.5.2).
    for (count, crumb) in [(70, format!("c={}", "x".repeat(1000))), (5000, "c=1".to_owned())] {
        let crumbs = (0..count).fold(http::Request::get("http://a/"), |request, _| {
            request.header("cookie", &crumb)
        });
        assert_eq!(status(build(crumbs)), 431, "{count} crumbs");
    }
    assert_eq!(service.received(), Vec::<String>::new());
}

#[test]
fn wrong_content_length_never_looks_complete() {
    let service = Service::scripted(|talk| {
        talk.request_head();
        talk.read_to_end();
    });
    let gateway = Gateway::to(&service);
    let head = |length: &'static [u8]| {
        let mut fields = instead(b":method", b"POST");
        fields.push((b"content-length", length));
        fields
    };
    // A body longer, and one shorter, than announced.
    for (length, data) in [(&b"3"[..], &b"abcdef"[..]), (b"9", b"abc")] {
        let mut frames = Frames::connect(gateway.address());
        frames.head(1, 0, &head(length));
        frames.send(DATA, END_STREAM, 1, data);
        assert_eq!(frames.reset_of(1), PROTOCOL_ERROR);
    }
    for received in service.received() {
        // The stream may be reset before its request has been sent.
        let Some((head, body)) = received.split_once("\r\n\r\n") else {
            continue;
        };
        let (_, length) = head.rsplit_once("content-length: ").unwrap();
        assert!(body.len() < length.parse().unwrap(), "{received}");
    }
}

#[test]
fn reset_upload_never_looks_complete() {
    let service = Service::scripted(|talk| {
        talk.request_head();
        talk.read_to_end();
    });
    let gateway = Gateway::to(&service);
    let mut frames = Frames::connect(gateway.address());
    frames.head(1, 0, &instead(b":method", b"POST"));
    frames.send(DATA, 0, 1, b"half of it");
    service.wait_for("half of it");
    frames.send(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    // Counted once the exchange has ended.
    crate::support::wait_for("the count", || {
        let metrics = gateway.metrics();
        metrics.contains("code=\"0\"} 1").then_some(())
    });
    assert!(!service.received().join("").contains("0\r\n\r\n"));
}

/// Asserts that the gateway closes a connection that repeats `flood`, and serves others meanwhile.
fn check_flood(flood: impl Fn(u32) -> Vec<u8>) {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let mut frames = Frames::connect(gateway.address());
    let mut number = 0;
    while number < 200_000 && frames.write(&flood(number)) {
        number += 1;
        if number % 1000 == 0 {
            assert_eq!(gateway.get("http://a/").status(), 200);
        }
    }
    // The GOAWAY may not get through to a client that never reads, but the connection is closed.
    assert!(number < 200_000, "the flood is accepted");
    assert_eq!(gateway.get("http://a/").status(), 200);
    let metrics = gateway.metrics();
    assert!(
        metrics.contains("waypost_refusals_total{reason=\"too_many_frames\"} 1\n"),
        "{metrics}"
    );
}

#[test]
fn frame_floods_close_the_connection() {
    check_flood(|_| frame(PING, 0, 0, &[0; 8]));
    check_flood(|_| frame(SETTINGS, 0, 0, &[]));
    check_flood(|_| frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]));
    check_flood(|_| frame(0x42, 0, 0, b"x"));
    check_flood(|_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()));
}

#[test]
fn rapid_reset_closes_the_connection() {
    let head = block(&with(&[]));
    check_flood(move |number| {
        let stream = number * 2 + 1;
        let mut bytes = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head);
        bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        bytes
    });
}

#[test]
fn too_many_continuations_are_enhance_your_calm() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let mut frames = Frames::connect(gateway.address());
    let mut head = frame(HEADERS, END_STREAM, 1, &block(&with(&[])));
    for _ in 0..11 {
        head.extend(frame(CONTINUATION, 0, 1, &block(&[(b"x", b"1")])));
    }
    frames.write(&head);
    assert_eq!(frames.goaway(), ENHANCE_YOUR_CALM);
    // Ten CONTINUATION frames are allowed.
    let mut frames = Frames::connect(gateway.address());
    let mut head = frame(HEADERS, END_STREAM, 1, &block(&with(&[])));
    for number in 0..10 {
        let flags = if number == 9 { END_HEADERS } else { 0 };
        head.extend(frame(CONTINUATION, flags, 1, &block(&[(b"x", b"1")])));
    }
    frames.write(&head);
    assert!(frames.wait_for(HEADERS).is_some());
}

#[test]
fn unfinished_head_times_out() {
    let service = Service::echo("a");
    let gateway = Gateway::with(Config::listening(&["limits: { header_timeout: 100ms }"]).all_to(&service));
    let mut frames = Frames::connect(gateway.address());
    frames.send(HEADERS, END_STREAM, 1, &block(&with(&[])));
    assert_eq!(frames.goaway(), ENHANCE_YOUR_CALM);
    // A connection without any request ends with NO_ERROR.
    let mut frames = Frames::connect(gateway.address());
    assert_eq!(frames.goaway(), 0);
}

#[test]
fn settings_announce_the_limits() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let mut frames = Frames::connect(gateway.address());
    let settings = frames.wait_for(SETTINGS).expect("settings").payload;
    let setting = |id: u16| {
        settings.chunks(6).find_map(|chunk| {
            let known = u16::from_be_bytes([chunk[0], chunk[1]]);
            (known == id).then(|| u32::from_be_bytes([chunk[2], chunk[3], chunk[4], chunk[5]]))
        })
    };
    // MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE (RFC 9113 §6.5.2), ENABLE_CONNECT_PROTOCOL
    // (RFC 8441 §3).
    assert_eq!(setting(3), Some(100));
    assert_eq!(setting(4).unwrap_or(65_535), 64 << 10);
    assert_eq!(setting(6), Some(128 << 10));
    assert_eq!(setting(8), Some(1));
}
