use super::*;
use crate::scan::HeadScan;

fn parse(text: &str, to_head: bool) -> Result<ResponseHead, ResponseError> {
    let mut scan = HeadScan::default();
    let end = scan
        .advance(text.as_bytes())?
        .expect("the test's head is complete");
    let mut head = ResponseHead::default();
    head.parse(text.as_bytes(), end, to_head, &ResponseLimits::default())?;
    Ok(head)
}

#[test]
fn ordinary_responses_are_parsed() {
    let check = |text: &str, to_head, expected: (u16, Framing, bool)| {
        let head = parse(text, to_head).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(
            (head.status(), head.framing(), head.keeps_alive()),
            expected,
            "{text:?}"
        );
    };
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        false,
        (200, Framing::Length(5), true),
    );
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        true,
        (200, Framing::None, true),
    );
    check(
        "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n",
        false,
        (200, Framing::Chunked, true),
    );
    check("HTTP/1.1 200\r\n\r\n", false, (200, Framing::UntilClose, false));
    check(
        "HTTP/1.1 204 No Content\r\n\r\n",
        false,
        (204, Framing::None, true),
    );
    check(
        "HTTP/1.1 304 Not\r\nContent-Length: 5\r\n\r\n",
        false,
        (304, Framing::None, true),
    );
    check("HTTP/1.1 100 Continue\r\n\r\n", false, (100, Framing::None, true));
    check(
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        false,
        (200, Framing::Length(0), false),
    );
    check(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        false,
        (200, Framing::Length(0), false),
    );
    check(
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
        false,
        (200, Framing::Length(0), true),
    );
}

#[test]
fn ambiguous_responses_are_refused() {
    for text in [
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 O\x01K\r\n\r\n",
        "HTTP/1.1 200 O\rK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\na : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\x01\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        assert!(parse(text, false).is_err(), "{text:?} was accepted");
    }
}

#[test]
fn other_protocols_are_refused_by_their_first_bytes() {
    assert!(may_begin(b""));
    assert!(may_begin(b"HTT"));
    assert!(may_begin(b"HTTP/1.1 2"));
    assert!(!may_begin(b"SSH-2.0"));
}
