use super::*;
use crate::scan::HeadScan;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 64 << 10,
    fields: 100,
    target_bytes: 8 << 10,
};

fn parse(text: &[u8]) -> Result<RequestHead, RequestError> {
    let mut scan = HeadScan::default();
    let end = scan.advance(text)?.expect("the test's head is complete");
    let mut head = RequestHead::default();
    head.parse(text, end, &LIMITS)?;
    Ok(head)
}

fn accepts(text: &str, look: impl FnOnce(&RequestHead, &[u8])) {
    match parse(text.as_bytes()) {
        Ok(head) => look(&head, text.as_bytes()),
        Err(error) => panic!("{text:?} was refused: {error}"),
    }
}

/// Checks a request with `lines` after its request line and `Host`.
fn refuses_fields(lines: &str, status: u16) {
    refuses(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n"), status);
}

fn refuses(text: &str, status: u16) {
    match parse(text.as_bytes()) {
        Ok(_) => panic!("{text:?} was accepted"),
        Err(error) => assert_eq!(error.status(), status, "{text:?}: {error}"),
    }
}

#[test]
fn ordinary_request_is_parsed() {
    accepts(
        "\r\nGET /a/b?c=d HTTP/1.1\r\nHost: Example.com:8080\r\nAccept:  */* \r\n\r\nrest",
        |head, buffer| {
            assert_eq!(head.method(buffer), b"GET");
            assert_eq!(head.raw_path(buffer), b"/a/b");
            assert_eq!(head.query(buffer), Some(&b"c=d"[..]));
            assert_eq!(head.authority(buffer), Some(&b"Example.com:8080"[..]));
            assert_eq!(head.port(), Some(8080));
            assert_eq!(head.framing(), Framing::None);
            assert!(head.keeps_alive());
            let accept = head.fields()[1];
            assert_eq!(
                (accept.name.of(buffer), accept.value.of(buffer)),
                (&b"Accept"[..], &b"*/*"[..])
            );
            let mut host = Vec::new();
            head.normalize_host_into(buffer, &mut host);
            assert_eq!(host, b"example.com");
        },
    );
}

#[test]
fn options_may_target_the_server() {
    for text in [
        "OPTIONS * HTTP/1.1\r\nHost: a:\r\n\r\n",
        "OPTIONS * HTTP/1.0\r\n\r\n",
    ] {
        accepts(text, |head, buffer| {
            assert!(head.targets_server(buffer));
            assert_eq!((head.raw_path(buffer), head.query(buffer)), (&b"*"[..], None));
        });
    }
    for text in [
        "OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS /* HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        accepts(text, |head, buffer| {
            assert!(!head.targets_server(buffer), "{text}");
        });
    }
}

#[test]
fn absolute_target_overrides_host_and_must_agree() {
    accepts(
        "GET http://B.example/x HTTP/1.1\r\nHost: b.example:80\r\n\r\n",
        |head, buffer| {
            assert_eq!(head.authority(buffer), Some(&b"B.example"[..]));
            assert_eq!(head.raw_path(buffer), b"/x");
        },
    );
    accepts("GET http://b?q HTTP/1.0\r\n\r\n", |head, buffer| {
        assert_eq!(
            (head.raw_path(buffer), head.query(buffer)),
            (&b"/"[..], Some(&b"q"[..]))
        );
        assert_eq!(head.authority(buffer), Some(&b"b"[..]));
    });
    refuses("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400);
    refuses("GET http://a/ HTTP/1.1\r\n\r\n", 400);
    refuses("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    refuses("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

#[test]
fn exactly_one_valid_host_is_required() {
    accepts("GET / HTTP/1.0\r\n\r\n", |head, buffer| {
        assert_eq!(head.authority(buffer), None);
    });
    refuses("GET / HTTP/1.1\r\n\r\n", 400);
    refuses("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
    refuses("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", 400);
    for host in ["", "a b", "a/b", "u@a", "a:x", "a..b", "[::", "ü", "a,b"] {
        refuses(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400);
    }
}

#[test]
fn malformed_request_lines_are_refused() {
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/11",
        "GET /a b HTTP/1.1",
        "GET /\tb HTTP/1.1",
        " GET / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET * HTTP/1.1",
        "options * HTTP/1.1",
        "OPTIONS *?a HTTP/1.1",
        "OPTIONS ** HTTP/1.1",
        "GET a HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /\0 HTTP/1.1",
    ] {
        refuses(&format!("{line}\r\nHost: a\r\n\r\n"), 400);
    }
    refuses("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
    refuses("PRI * HTTP/2.0\r\n\r\n", 505);
    refuses("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505);
    refuses("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501);
    refuses("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501);
    accepts("get /%zz HTTP/1.2\r\nHost: a\r\n\r\n", |head, buffer| {
        assert_eq!(head.method(buffer), b"get");
        assert_eq!(head.version(), Version::Http11);
    });
}

#[test]
fn limits_are_enforced() {
    let long = "a".repeat(LIMITS.target_bytes);
    refuses(&format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
    refuses_fields(&format!("a: {}", "b".repeat(LIMITS.bytes)), 431);
    refuses(
        &format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(100)),
        431,
    );
    accepts(
        &format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(99)),
        |head, _| {
            assert_eq!(head.fields().len(), 100);
        },
    );
}

#[test]
fn malformed_fields_are_refused() {
    for lines in [
        "a : b",
        "a\t: b",
        "a: b\r\n folded",
        "a: b\r\n\tfolded",
        "no colon",
        ": empty name",
        "a(b: c",
        "a: b\0c",
        "a: b\x0bc",
        "a: b\x7fc",
        "a: b\rc",
        "ü: a",
    ] {
        refuses_fields(lines, 400);
    }
    accepts(
        "GET / HTTP/1.1\r\nHost: a\r\na:\r\nb: \t x\ty \t\r\nc: \u{fc}\r\n\r\n",
        |head, buffer| {
            let values: Vec<&[u8]> = head.fields()[1..]
                .iter()
                .map(|field| field.value.of(buffer))
                .collect();
            assert_eq!(values, [&b""[..], b"x\ty", "\u{fc}".as_bytes()]);
        },
    );
}

#[test]
fn ambiguous_framing_is_refused() {
    let framing = |lines: &str| {
        parse(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n").as_bytes()).map(|head| head.framing())
    };
    assert_eq!(framing("Content-Length: 5"), Ok(Framing::Length(5)));
    assert_eq!(framing("Content-Length: 005"), Ok(Framing::Length(5)));
    assert_eq!(framing("Transfer-Encoding: Chunked"), Ok(Framing::Chunked));
    for lines in [
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length:",
        "Content-Length: 99999999999999999999",
        "Content-Length: 9223372036854775808",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding:",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip",
    ] {
        refuses_fields(lines, 400);
    }
    refuses_fields("Transfer-Encoding: gzip, chunked", 501);
    refuses_fields("Transfer-Encoding: identity", 501);
    refuses_fields("Transfer-Encoding: xchunked", 501);
    refuses("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
}

#[test]
fn connection_nominates_only_permitted_fields() {
    let lines =
        "Connection: x-a, Host, Cookie, X-Forwarded-For, content-length\r\nX-A: 1\r\nCookie: c\r\nX-B: 2";
    accepts(
        &format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n"),
        |head, buffer| {
            let nominated: Vec<&[u8]> = head
                .fields()
                .iter()
                .filter(|field| head.is_nominated(buffer, field))
                .map(|field| field.name.of(buffer))
                .collect();
            assert_eq!(nominated, [b"X-A"]);
        },
    );
    let keeps = |text: &str| parse(text.as_bytes()).unwrap().keeps_alive();
    assert!(keeps("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(!keeps(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n"
    ));
    assert!(!keeps("GET / HTTP/1.0\r\n\r\n"));
    assert!(keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
}

#[test]
fn incomplete_heads_are_refused_early() {
    let partial = |bytes: &[u8]| {
        let mut scan = HeadScan::default();
        assert_eq!(scan.advance(bytes), Ok(None));
        check_partial(&bytes[scan.start()..], scan.first_line(bytes), &LIMITS).map_err(RequestError::status)
    };
    assert_eq!(partial(b"GE"), Ok(()));
    assert_eq!(partial(b"\r\n"), Ok(()));
    assert_eq!(partial(b"GET / HTTP/1.1\r\nHos"), Ok(()));
    assert_eq!(partial(b"\x16\x03\x01"), Err(400));
    assert_eq!(partial(b"GET /\r\n"), Err(400));
    assert_eq!(partial(b"PRI * HTTP/2.0\r\n"), Err(505));
    assert_eq!(partial(&[b'a'; 9000]), Err(414));
    assert_eq!(
        partial(&[&b"GET / HTTP/1.1\r\na: "[..], &vec![b'a'; 66_000]].concat()),
        Err(431)
    );
}
