//! Malformed HTTP/2 from clients, frame by frame. It must not reach the recording service.

use bytes::Bytes;

use crate::access_log::wait_for_log;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, GOAWAY, HEADERS, Http2Service,
    PING, PRIORITY, PROTOCOL_ERROR, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, get,
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

/// The head of a plain GET, without one of its fields.
fn without(name: &[u8]) -> Head<'static> {
    let mut fields = with(&[]);
    fields.retain(|field| field.0 != name);
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
        ("no path", without(b":path")),
        ("no path, and a host", {
            let mut fields = without(b":path");
            fields.retain(|field| field.0 != b":authority");
            fields.push((b"host", b"a"));
            fields
        }),
        ("no scheme", without(b":scheme")),
        ("a fragment", instead(b":path", b"/x#y")),
        ("a fragment behind a query", instead(b":path", b"/x?q=1#")),
        ("a fragment alone", instead(b":path", b"#y")),
        (
            "a protocol without CONNECT",
            with(&[])
                .into_iter()
                .chain([(&b":protocol"[..], &b"websocket"[..])])
                .collect(),
        ),
        ("a protocol of a POST", {
            let mut fields = instead(b":method", b"POST");
            fields.push((b":protocol", b"websocket"));
            fields
        }),
        ("a method twice", with(&[(b":method", b"GET")])),
        ("an authority twice", with(&[(b":authority", b"b")])),
        ("te with more than trailers", with(&[(b"te", b"trailers, gzip")])),
        (
            "CRLF in the path",
            instead(b":path", b"/x HTTP/1.1\r\nHost: b\r\n\r\n"),
        ),
        ("CRLF in the authority", instead(b":authority", b"a\r\nx: 1")),
        ("a blank in the authority", instead(b":authority", b"a b")),
        ("a length that is no number", with(&[(b"content-length", b"+1")])),
        ("a length without a body", with(&[(b"content-length", b"5")])),
        ("a list of lengths", with(&[(b"content-length", b"0, 0")])),
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
fn fragment_is_found_in_every_encoding() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let mut frames = Frames::connect(gateway.address());
    let whole = END_HEADERS | END_STREAM;
    // `:method: GET`, `:scheme: http`, `:authority: a`; then `:path` as a literal that enters the dynamic table, as a
    // reference to it, and Huffman-coded.
    let start = b"\x82\x86\x41\x01a";
    let paths: [(u32, &[u8]); 3] = [(1, b"\x44\x04/x#y"), (3, b"\xbe"), (5, b"\x04\x83\x63\xfe\xbf")];
    for (stream, path) in paths {
        frames.send(HEADERS, whole, stream, &[&start[..], path].concat());
        assert_eq!(frames.reset_of(stream), PROTOCOL_ERROR, "{path:?}");
    }
    assert_eq!(service.received(), Vec::<String>::new());
    // The connection serves what is well-formed; a fragment in pieces is found too.
    frames.head(7, END_STREAM, &with(&[(b"x", b"#")]));
    assert_eq!(frames.wait_for(HEADERS).unwrap().stream, 7);
    let block = block(&instead(b":path", b"/x#y"));
    let (first, second) = block.split_at(block.len() - 2);
    frames.send(HEADERS, END_STREAM, 9, first);
    frames.send(CONTINUATION, END_HEADERS, 9, second);
    assert_eq!(frames.reset_of(9), PROTOCOL_ERROR);
}

/// The head of a POST with an announced length, if there is one.
fn post<'a>(length: Option<&'a [u8]>) -> Head<'a> {
    let mut fields = instead(b":method", b"POST");
    fields.extend(length.map(|length| (&b"content-length"[..], length)));
    fields
}

#[test]
fn body_that_breaks_its_announcement_reaches_no_service() {
    let service = Service::echo("a");
    let gateway = Gateway::with(
        Config::new()
            .all_to(&service)
            .route("name: local, match: { path: /local }, respond: { status: 200 }"),
    );
    let cases: [(&[u8], &[&[u8]]); 5] = [
        (b"0", &[b"abc"]),
        (b"0", &[b"", b"abc"]),
        (b"3", &[b"abcdef"]),
        (b"9", &[b"abc"]),
        (b"9", &[b""]),
    ];
    for (length, pieces) in cases {
        for at_once in [true, false] {
            let mut frames = Frames::connect(gateway.address());
            let mut all = frame(HEADERS, END_HEADERS, 1, &block(&post(Some(length))));
            if !at_once {
                frames.write(&std::mem::take(&mut all));
                // The gateway has seen the head when it acknowledges the ping.
                frames.send(PING, 0, 0, &[7; 8]);
                while frames.wait_for(PING).expect("a PING").payload != [7; 8] {}
            }
            for (index, piece) in pieces.iter().enumerate() {
                let flags = if index + 1 == pieces.len() { END_STREAM } else { 0 };
                all.extend(frame(DATA, flags, 1, piece));
            }
            frames.write(&all);
            assert_eq!(frames.reset_of(1), PROTOCOL_ERROR, "{length:?} {pieces:?}");
        }
    }
    assert_eq!(service.received(), Vec::<String>::new());
    // The gateway does not respond to it either.
    let mut frames = Frames::connect(gateway.address());
    let mut local = post(Some(b"0"));
    for field in &mut local {
        if field.0 == b":path" {
            field.1 = b"/local";
        }
    }
    frames.head(1, 0, &local);
    frames.send(PING, 0, 0, &[7; 8]);
    while frames.wait_for(PING).expect("a PING").payload != [7; 8] {}
    frames.send(DATA, END_STREAM, 1, b"abc");
    assert_eq!(frames.reset_of(1), PROTOCOL_ERROR);
    // An empty body may end in a frame of its own, and so may one that has been read.
    for (stream, length, data) in [(1, &b"0"[..], &b""[..]), (3, b"3", b"abc")] {
        let mut frames = Frames::connect(gateway.address());
        frames.head(stream, 0, &post(Some(length)));
        if !data.is_empty() {
            frames.send(DATA, 0, stream, data);
        }
        frames.send(DATA, END_STREAM, stream, b"");
        assert!(frames.wait_for(HEADERS).is_some());
    }
    service.wait_for("content-length: 0");
    service.wait_for("abc");
}

#[test]
fn body_longer_than_announced_is_never_complete_at_the_service() {
    let service = Service::scripted(|talk| {
        talk.request_head();
        talk.read_to_end();
    });
    let gateway = Gateway::to(&service);
    let mut frames = Frames::connect(gateway.address());
    frames.head(1, 0, &post(Some(b"6")));
    frames.send(DATA, 0, 1, b"abc");
    service.wait_for("abc");
    // All that was announced, and more behind it.
    frames.send(DATA, 0, 1, b"def");
    frames.send(DATA, END_STREAM, 1, b"ghi");
    assert_eq!(frames.reset_of(1), PROTOCOL_ERROR);
    assert!(!service.received()[0].contains("def"), "{:?}", service.received());
}

#[test]
fn pseudo_headers_in_trailers_reset_the_stream() {
    let trailers: [(&[u8], &[u8]); 5] = [
        (b":status", b"200"),
        (b":path", b"/y"),
        (b":method", b"GET"),
        (b":authority", b"b"),
        (b":protocol", b"x"),
    ];
    for trailer in trailers {
        for at_once in [true, false] {
            let (tell, told) = std::sync::mpsc::channel();
            let service = Service::scripted(move |talk| {
                if let Some(request) = talk.request() {
                    let _ = tell.send(request.is_complete);
                }
            });
            let gateway = Gateway::to(&service);
            let mut frames = Frames::connect(gateway.address());
            let mut all = frame(HEADERS, END_HEADERS, 1, &block(&post(None)));
            all.extend(frame(DATA, 0, 1, b"abc"));
            if !at_once {
                frames.write(&std::mem::take(&mut all));
                service.wait_for("abc");
            }
            let block = block(&[trailer, (b"x", b"y")]);
            all.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block));
            frames.write(&all);
            assert_eq!(frames.reset_of(1), PROTOCOL_ERROR, "{trailer:?}");
            if at_once {
                assert_eq!(service.received(), Vec::<String>::new());
            } else {
                assert!(!told.recv_timeout(crate::support::PATIENCE).unwrap());
            }
            // The connection goes on.
            frames.head(3, END_STREAM, &with(&[]));
            if at_once {
                service.wait_for("GET /x");
            }
        }
    }
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
    // A client that stands still before it begins a head has sent none.
    crate::support::wait_for("the end of a head that was begun", || {
        let mut frames = Frames::connect(gateway.address());
        frames.send(HEADERS, END_STREAM, 1, &block(&with(&[])));
        let payload = frames.wait_for(GOAWAY)?.payload;
        (payload[4..8] == ENHANCE_YOUR_CALM.to_be_bytes()).then_some(())
    });
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

/// A service over HTTP/2 whose responses announce this length and have this body.
fn announcing(length: &'static str, body: &'static [u8]) -> Http2Service {
    Http2Service::start(move |_, mut respond| async move {
        let head = http::Response::builder().header("content-length", length);
        if let Ok(mut stream) = respond.send_response(head.body(()).unwrap(), false) {
            let _ = stream.send_data(Bytes::from_static(body), true);
            let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
        }
    })
}

#[test]
fn response_that_breaks_its_announcement_never_looks_complete() {
    for (length, body) in [("0", &b"abc"[..]), ("3", b"abcdef"), ("9", b"abc"), ("9", b"")] {
        let service = announcing(length, body);
        let config = Config::new().service_at("s", &[&service.url()], "http2: true");
        let config = config.key("access_log: access.log");
        let gateway = Gateway::with(config.route("name: all, to: s"));
        let response = gateway.connect().try_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let is_refused = response
            .as_ref()
            .is_none_or(|response| response.status() == 502 || !response.is_complete);
        assert!(is_refused, "{length} {body:?}: {response:?}");
        if length == "0" {
            assert_eq!(response.map(|response| response.status()), Some(502));
        }
        let line = &wait_for_log(&gateway, 1)[0];
        assert_eq!(line["reason"], "http_protocol_error", "{length} {body:?}");
        assert_eq!(
            line["detail"], "the body is longer or shorter than its content-length",
            "{length} {body:?}"
        );
    }
    // An empty body may end in a frame of its own.
    let service = announcing("0", b"");
    let config = Config::new().service_at("s", &[&service.url()], "http2: true");
    let gateway = Gateway::with(config.route("name: all, to: s"));
    assert_eq!(gateway.get("http://a/").status(), 200);
}
