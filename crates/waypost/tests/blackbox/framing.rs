//! HTTP/1 message framing in both directions: lengths, chunks, trailers, interim responses, HTTP/1.0, truncation.

use serde_json::json;

use crate::support::client::{get, request};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::message::{Framing, pairs, seen};
use crate::support::service::{Service, gate, ok};

#[test]
fn request_bodies_by_length_and_chunked() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let large = "0123456789abcdef".repeat(20_000);
    for body in ["", "x", &large] {
        let by_length = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut chunks = String::from("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in body.as_bytes().chunks(7_000) {
            chunks += &format!("{:X}\r\n{}\r\n", piece.len(), std::str::from_utf8(piece).unwrap());
        }
        chunks += "0\r\n\r\n";
        for sent in [by_length, chunks] {
            let mut client = gateway.connect();
            assert_eq!(client.ask(sent).json()["body"], body);
            // The connection is reused.
            assert_eq!(client.get("http://a/next").json()["target"], "/next");
        }
    }
}

#[test]
fn request_trailers_forwarded() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let response = gateway.ask(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Sum: 42\r\nX-More: yes\r\n\r\n",
    );
    assert_eq!(response.json()["body"], "abc");
    assert_eq!(
        response.json()["trailers"],
        json!([["X-Sum", "42"], ["X-More", "yes"]])
    );
}

#[test]
fn response_bodies_by_length_chunked_and_close() {
    let large = "0123456789abcdef".repeat(20_000);
    let chunked = |body: &str| {
        let mut chunks = String::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in body.as_bytes().chunks(9_000) {
            chunks += &format!("{:x}\r\n{}\r\n", piece.len(), std::str::from_utf8(piece).unwrap());
        }
        chunks + "0\r\n\r\n"
    };
    for body in ["", "x", &large] {
        let closed = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
        let old = format!("HTTP/1.0 200 OK\r\n\r\n{body}");
        for (given, framing) in [
            (ok(body), Framing::Length(body.len())),
            (chunked(body), Framing::Chunked),
            (closed, Framing::Chunked),
            (old, Framing::Chunked),
        ] {
            let service = Service::responding_once(given);
            let gateway = Gateway::to(&service);
            let response = gateway.get("http://a/");
            assert_eq!(response.framing, framing);
            assert!(response.is_complete);
            assert!(response.text() == body);
        }
    }
}

#[test]
fn response_trailers_forwarded() {
    let service = Service::responding(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n",
    );
    let response = Gateway::to(&service).get("http://a/");
    assert_eq!(response.text(), "abc");
    assert_eq!(response.trailers, pairs(&[("X-Sum", "42")]));
}

#[test]
fn bodiless_responses_keep_the_connection() {
    for (method, given, length) in [
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
            Some("1234"),
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            None,
        ),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", None),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: \"x\"\r\n\r\n",
            Some("1234"),
        ),
    ] {
        let service = Service::responding(given);
        let gateway = Gateway::to(&service);
        let mut client = gateway.connect();
        for _ in 0..2 {
            client.send(request(method, "http://a/", ""));
            let response = client.response_to_head();
            assert_eq!(response.first_line, given.lines().next().unwrap());
            assert_eq!(response.header("content-length"), length, "{method} {given}");
        }
        drop(client);
        assert_eq!(
            service.connections(),
            1,
            "{method} {given}: both connections go on"
        );
    }
}

#[test]
fn interim_responses_forwarded() {
    let service = Service::responding(format!(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n{}",
        ok("done")
    ));
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    client.send(get("http://a/"));
    let hints = client.response();
    assert_eq!((hints.status(), hints.header("link")), (103, Some("</a.css>")));
    assert_eq!(client.response().status(), 102);
    assert_eq!(client.response().text(), "done");
    // HTTP/1.0 has no interim responses.
    let mut old = gateway.connect();
    assert_eq!(old.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n").text(), "done");
}

#[test]
fn expect_continue_left_to_the_service() {
    let service = Service::scripted(|talk| {
        let head = talk.request_head().unwrap();
        assert_eq!(head.header("expect"), Some("100-continue"));
        if head.target() == "/no" {
            talk.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return;
        }
        talk.send("HTTP/1.1 100 Continue\r\n\r\n");
        talk.expect("body");
        // Closed explicitly: a POST on a connection that is just being closed may not be retried.
        talk.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nthanks");
    });
    let gateway = Gateway::to(&service);
    let head = |path| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    };
    let mut client = gateway.connect();
    assert_eq!(client.ask(head("/yes")).status(), 100);
    assert_eq!(client.ask("body").text(), "thanks");
    let mut client = gateway.connect();
    let response = client.ask(head("/no"));
    assert_eq!(response.status(), 417);
    // The body was not sent, so the next bytes could be either body or request.
    assert_eq!(response.header("connection"), Some("close"));
    client.assert_closed();
}

#[test]
fn response_before_the_end_of_the_request() {
    let service = Service::scripted(|talk| {
        talk.request_head().unwrap();
        talk.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch");
        talk.read_to_end();
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    let response = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc");
    assert_eq!((response.status(), response.text().as_str()), (413, "much"));
}

#[test]
fn bodies_stream_both_ways_at_once() {
    let service = Service::scripted(|talk| {
        talk.request_head().unwrap();
        talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for number in 0..5 {
            talk.expect(&format!("<{number}>"));
            talk.send(format!("3\r\n[{number}]\r\n"));
        }
        talk.expect("0\r\n\r\n");
        talk.send("0\r\n\r\n");
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.response_head().status(), 200);
    for number in 0..5 {
        client.send(format!("3\r\n<{number}>\r\n"));
        client.expect(&format!("[{number}]"));
    }
    client.send("0\r\n\r\n").expect("0\r\n\r\n");
}

#[test]
fn http_1_0_clients() {
    let chunked =
        Service::responding("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let gateway = Gateway::to(&chunked);
    let mut client = gateway.connect();
    let response = client.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(
        (response.framing, response.text().as_str()),
        (Framing::UntilClose, "abc")
    );
    assert!(response.values("transfer-encoding").is_empty());

    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    // The connection is closed by default, and kept with `keep-alive`.
    let mut client = gateway.connect();
    let response = client.ask("GET /x HTTP/1.0\r\n\r\n");
    assert_eq!(
        seen(&response),
        pairs(&[("host", &service.address().to_string())])
    );
    client.assert_closed();
    let mut client = gateway.connect();
    for _ in 0..2 {
        let response = client.ask("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(response.header("connection"), Some("keep-alive"));
    }
    let post = "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(gateway.ask(post).json()["body"], "abc");
}

#[test]
fn pipelined_responses_in_order() {
    let service = Service::echo("a");
    let gateway = Gateway::with(
        Config::new()
            .all_to(&service)
            .route("name: own, match: { path: /own }, respond: { status: 200, body: own }"),
    );
    let mut client = gateway.connect();
    let mut all = String::new();
    for number in 0..12 {
        all += &match number % 3 {
            0 => get(&format!("http://a/{number}")),
            1 => format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{number:02}"),
            _ => get("http://a/own"),
        };
    }
    client.send(all);
    for number in 0..12 {
        let response = client.response();
        if number % 3 == 2 {
            assert_eq!(response.text(), "own");
        } else {
            assert_eq!(response.json()["target"], format!("/{number}"));
        }
    }
}

#[test]
fn truncated_response_visible_to_the_client() {
    for given in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ] {
        for resets in [false, true] {
            for version in ["1.1", "1.0"] {
                check_truncation(given, resets, version);
            }
        }
    }
    // A body delimited by close is truncated only by a reset.
    check_truncation("HTTP/1.1 200 OK\r\n\r\nabc", true, "1.1");
    check_truncation("HTTP/1.1 200 OK\r\n\r\nabc", true, "1.0");
}

fn check_truncation(given: &'static str, resets: bool, version: &str) {
    // The service closes only after the client has received the first part.
    let (opener, gate) = gate();
    let service = Service::scripted(move |talk| {
        talk.request();
        talk.send(given);
        gate.wait();
        if resets {
            talk.reset();
        }
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"));
    let head = client.response_head();
    assert_eq!(head.status(), 200);
    drop(opener);
    let chunked = head.header("transfer-encoding").is_some();
    let (rest, orderly) = client.rest_and_end();
    let shown = format!("{given:?}, reset: {resets}, HTTP/{version}: {rest:?}, orderly: {orderly}");
    if head.header("content-length").is_some() {
        assert_eq!(rest, "abc", "{shown}");
    } else if chunked {
        assert!(!rest.ends_with("0\r\n\r\n"), "{shown}");
    } else {
        assert!(!orderly, "{shown}");
    }
}
