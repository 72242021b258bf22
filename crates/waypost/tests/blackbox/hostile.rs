//! Malformed HTTP/1 from clients and services. Refused requests must not reach the recording service.

use crate::support::client::{Client, get};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::{Service, gate, ok};

/// A request to refuse, and the status of its response.
type Refusal<'a> = (&'a str, u16);

/// Asserts for each request, on a connection of its own: the response has this status, the connection is closed, and
/// neither the request nor the bytes after it reach the service.
fn check_refused(refusals: &[Refusal<'_>]) {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    check_refused_by(&gateway, &service, refusals);
}

fn check_refused_by(gateway: &Gateway, service: &Service, refusals: &[Refusal<'_>]) {
    for (request, status) in refusals {
        let mut client = gateway.connect();
        client.send(request);
        client.send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = client.try_response();
        let shown = shortened(request);
        let response = response.unwrap_or_else(|| panic!("{shown} got no response"));
        assert_eq!(response.status(), *status, "{shown}: {}", response.text());
        assert_eq!(response.header("connection"), Some("close"), "{shown}");
        assert!(response.header("proxy-status").is_some(), "{shown}");
        let rest = client.rest();
        assert_eq!(rest, "", "{shown}: nothing comes after the refusal");
    }
    // Connections without requests would show here too.
    assert_eq!(service.received(), Vec::<String>::new());
    assert_eq!(gateway.get("http://a/alive").status(), 200);
}

fn shortened(request: &str) -> String {
    format!("{:?}", request.chars().take(200).collect::<String>())
}

#[test]
fn malformed_request_lines_refused() {
    check_refused(&[
        ("GET /\r\n", 400),
        ("GET\r\n\r\n", 400),
        ("GET /x\r\nHost: a\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/11\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.\r\nHost: a\r\n\r\n", 400),
        ("GET / HTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        (
            "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
            501,
        ),
        ("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400),
        ("\r\n\r\n \r\n\r\n", 400),
    ]);
}

#[test]
fn bare_cr_and_lf_refused() {
    check_refused(&[
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\nY: c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\n\r\n\r\n", 400),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ]);
}

#[test]
fn malformed_fields_refused() {
    check_refused(&[
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX-A\t: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n X-A: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\tc\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX A: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX(A): b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nXÄ: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\x01c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\x7fc\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\x0bc\r\n\r\n", 400),
    ]);
}

#[test]
fn malformed_hosts_refused() {
    check_refused(&[
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nX: y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\n\r\n", 400),
    ]);
}

#[test]
fn malformed_paths_refused() {
    check_refused(&[
        ("GET /a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a%5Cb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a% HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a%4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /.. HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a/%2e%2e/%2E%2e/b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://a/../x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ]);
}

#[test]
fn ambiguous_lengths_refused() {
    let post = |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}");
    let requests = [
        (post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), 400),
        (post("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"), 400),
        (post("Content-Length: 3, 3\r\n", "abc"), 400),
        (post("Content-Length: +3\r\n", "abc"), 400),
        (post("Content-Length: -3\r\n", "abc"), 400),
        (post("Content-Length: 0x3\r\n", "abc"), 400),
        (post("Content-Length: 3 3\r\n", "abc"), 400),
        (post("Content-Length: \r\n", "abc"), 400),
        (post("Content-Length: 3a\r\n", "abc"), 400),
        (post("Content-Length: 18446744073709551616\r\n", "abc"), 400),
        (post("Content-Length: 99999999999999999999999\r\n", "abc"), 400),
        (
            post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            400,
        ),
        (
            post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"),
            400,
        ),
        (
            post(
                "Transfer-Encoding: chunked\r\nX: y\r\nContent-Length: 0\r\n",
                "0\r\n\r\n",
            ),
            400,
        ),
        (
            post(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                "0\r\n\r\n",
            ),
            400,
        ),
        (post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), 501),
        (post("Transfer-Encoding:\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: chunked;a=b\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: gzip\r\n", "0\r\n\r\n"), 501),
        (post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501),
        (post("Transfer-Encoding: identity\r\n", "abc"), 501),
        (post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 501),
        (post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding:\x0bchunked\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), 400),
        (
            post("Content-Length: 3\r\nTransfer-Encoding: gzip\r\n", "abc"),
            501,
        ),
        (post("X: y\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400),
        (
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
            400,
        ),
        (
            "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_owned(),
            400,
        ),
    ];
    let refusals: Vec<Refusal<'_>> = requests
        .iter()
        .map(|(request, status)| (request.as_str(), *status))
        .collect();
    check_refused(&refusals);
}

#[test]
fn oversized_heads_refused() {
    let long = |bytes: usize| "a".repeat(bytes);
    let many: String = (0..100).map(|number| format!("X-{number}: y\r\n")).collect();
    check_refused(&[
        (
            &format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(8 << 10)),
            414,
        ),
        (
            &format!("GET /?{} HTTP/1.1\r\nHost: a\r\n\r\n", long(8 << 10)),
            414,
        ),
        // Refused before the line is complete.
        (&format!("GET /{}", long(20 << 10)), 414),
        (
            &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", long(64 << 10)),
            431,
        ),
        (
            &format!("GET / HTTP/1.1\r\nHost: a\r\n{}: b\r\n\r\n", long(64 << 10)),
            431,
        ),
        (
            &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", long(80 << 10)),
            431,
        ),
        (&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431),
    ]);
}

#[test]
fn heads_at_the_limits_accepted() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let target = format!("/{}", "a".repeat((8 << 10) - 1));
    let response = gateway.ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(response.json()["target"], target);
    let many: String = (0..99).map(|number| format!("X-{number}: y\r\n")).collect();
    let response = gateway.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"));
    assert_eq!(response.status(), 200);
    let value = "v".repeat(60 << 10);
    let response = gateway.ask(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {value}\r\n\r\n"));
    assert_eq!(response.status(), 200);
}

#[test]
fn listener_limits_enforced() {
    let service = Service::echo("a");
    let limits = "limits: { headers: 3, target_bytes: 64, header_bytes: 1KiB, body_bytes: 10 }";
    let gateway = Gateway::with(Config::listening(&[limits]).all_to(&service));
    check_refused_by(
        &gateway,
        &service,
        &[
            (
                &format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(64)),
                414,
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", 431),
            (
                &format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(1 << 10)),
                431,
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890",
                413,
            ),
        ],
    );
    let ten = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789";
    assert_eq!(gateway.ask(ten).json()["body"], "0123456789");
}

#[test]
fn oversized_chunked_body_never_looks_complete() {
    let service = Service::echo("a");
    let gateway = Gateway::with(Config::listening(&["limits: { body_bytes: 10 }"]).all_to(&service));
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n");
    service.wait_for("abcdef");
    client.send("6\r\nghijkl\r\n0\r\n\r\n");
    assert_eq!(client.response().status(), 413);
    client.assert_closed();
    let received = &service.received()[0];
    assert!(!received.contains("0\r\n\r\n"), "{received:?}");
}

/// The service may receive the start of such a request, but never a complete one.
#[test]
fn malformed_chunks_refused() {
    let bodies = [
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "g\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        ";\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "00000000000000000000003\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\n\r\n",
        "3\r\nabc\r\n0\r\n\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3;a\rb\r\nabc\r\n0\r\n\r\n",
        "3;a\0b\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nX : y\r\n\r\n",
        "3\r\nabc\r\n0\r\nX\r\n\r\n",
        "3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n",
        "3\r\nabc\r\n0\r\nX: y\nZ: z\r\n\r\n",
        "3\r\nabc\r\n0\r\nX: y\0\r\n\r\n",
    ];
    check_broken_bodies(&bodies.map(str::to_owned));
}

#[test]
fn oversized_chunk_extensions_and_trailers_refused() {
    let many_extensions: String = (0..100)
        .map(|_| format!("1;{}\r\na\r\n", "x".repeat(200)))
        .collect();
    check_broken_bodies(&[
        format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(257)),
        format!("{many_extensions}0\r\n\r\n"),
        format!("3\r\nabc\r\n0\r\nX: {}\r\n\r\n", "y".repeat(9 << 10)),
        format!("3\r\nabc\r\n0\r\n{}\r\n", "X: y\r\n".repeat(2000)),
    ]);
}

fn check_broken_bodies(bodies: &[String]) {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    for body in bodies {
        let shown = shortened(body);
        let mut client = gateway.connect();
        client.send("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(body);
        client.send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = client
            .try_response()
            .unwrap_or_else(|| panic!("{shown} got no response"));
        assert_eq!(response.status(), 400, "{shown}");
        assert_eq!(client.rest(), "", "{shown}");
    }
    for received in service.received() {
        assert!(!received.contains("smuggled"), "{received:?}");
        assert!(!received.ends_with("0\r\n\r\n"), "{received:?}");
    }
    assert_eq!(gateway.get("http://a/alive").status(), 200);
}

#[test]
fn chunk_extensions_dropped() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let response = gateway.ask(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         3;name=value;other=\"quoted\"\r\nabc\r\n0;last\r\n\r\n",
    );
    assert_eq!(response.json()["body"], "abc");
    let received = &service.received()[0];
    assert!(
        !received.contains("name") && !received.contains("last"),
        "{received}"
    );
}

#[test]
fn aborted_upload_never_looks_complete() {
    let requests = [
        "POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
        "POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n",
    ];
    for request in requests {
        for leaves in ["half-closes", "closes", "resets"] {
            let (seen, ended) = std::sync::mpsc::channel();
            let service = Service::scripted(move |talk| {
                if let Some(request) = talk.request() {
                    seen.send(request.is_complete).unwrap();
                }
            });
            let gateway = Gateway::to(&service);
            let mut client = gateway.connect();
            client.send(request);
            service.wait_for("abc");
            match leaves {
                "half-closes" => {
                    let response = client.finish_sending().response();
                    assert_eq!(response.status(), 400, "{request:?}");
                }
                "closes" => drop(client),
                _ => client.reset(),
            }
            let complete = ended.recv_timeout(crate::support::PATIENCE).unwrap();
            assert!(!complete, "{request:?} looked complete when the client {leaves}");
        }
    }
}

#[test]
fn truncated_head_reaches_no_service() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    for part in [
        "G",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\n",
    ] {
        let mut client = gateway.connect();
        client.send(part).finish_sending();
        let response = client.response();
        assert_eq!(response.status(), 400, "{part:?}");
        client.assert_closed();
    }
    assert_eq!(service.connections(), 0);
}

#[test]
fn byte_by_byte_requests_judged_alike() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let requests = [
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    ];
    for request in requests {
        let mut client = gateway.connect();
        for byte in request.bytes() {
            client.send([byte]);
        }
        assert_eq!(client.response().status(), 400, "{request:?}");
        client.assert_closed();
    }
    let mut client = gateway.connect();
    for byte in
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n"
            .bytes()
    {
        client.send([byte]);
    }
    assert_eq!(client.response().json()["body"], "abc");
}

#[test]
fn smuggled_request_routed_on_its_own() {
    let service = Service::echo("a");
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route("name: open, match: { path: /open/* }, to: a"),
    );
    let mut client = gateway.connect();
    let inner = "GET /closed HTTP/1.1\r\nHost: a\r\n\r\n";
    // The inner request is a body the first time, and a request the second time.
    client.send(format!(
        "POST /open/1 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}{inner}",
        inner.len()
    ));
    assert_eq!(client.response().json()["body"], inner);
    assert_eq!(client.response().status(), 404);
    assert_eq!(service.received()[0].matches("/closed").count(), 1);
}

#[test]
fn malformed_responses_are_502() {
    let long = "x".repeat(66 << 10);
    let responses = [
        "NONSENSE\r\n\r\n".to_owned(),
        "HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 2000 High\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX: a\x08b\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            .to_owned(),
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nX: {long}\r\nContent-Length: 0\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nX: {long}{long}"),
        "HTTP/1.1 100 Continue\r\n\r\n".repeat(9) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        String::new(),
        "HTTP/1.1 200 OK\r\nContent-Le".to_owned(),
    ];
    for response in responses {
        let shown = shortened(&response);
        let given = response.clone();
        let service = Service::scripted(move |talk| {
            if talk.request().is_some() && talk.number == 0 {
                talk.send(&given);
                // A gateway that kept the connection would send the next request here.
                if !given.is_empty() && !given.ends_with("Le") && !given.ends_with("xx") {
                    talk.read_to_end();
                }
            } else {
                talk.send(ok("fresh"));
            }
        });
        let gateway = Gateway::to(&service);
        let mut client = gateway.connect();
        client.send("POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        let mut refused = client.response();
        while refused.status() == 100 {
            refused = client.response();
        }
        assert_eq!(refused.status(), 502, "{shown}: {}", refused.head);
        assert!(refused.header("proxy-status").is_some(), "{shown}");
        // The client's connection is kept; the service's is not.
        assert_eq!(gateway.get("http://a/two").text(), "fresh", "{shown}");
        let received = service.received();
        assert_eq!(received.len(), 2, "{shown}: {received:?}");
        assert!(received[1].starts_with("GET /two "), "{shown}");
    }
}

#[test]
fn surplus_response_bytes_discarded() {
    let poisoned = format!(
        "{}HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned",
        ok("good")
    );
    let service = Service::scripted(move |talk| {
        if talk.request().is_none() {
            return;
        }
        if talk.number == 0 {
            talk.send(&poisoned);
            talk.read_to_end();
        } else {
            talk.send(ok("fresh"));
        }
    });
    let gateway = Gateway::to(&service);
    assert_eq!(gateway.get("http://a/one").text(), "good");
    assert_eq!(gateway.get("http://a/two").text(), "fresh");
    assert_eq!(service.connections(), 2);
}

#[test]
fn bodies_of_bodiless_responses_discarded() {
    for (method, head) in [
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"),
    ] {
        let service = Service::scripted(move |talk| {
            if talk.request().is_some() && talk.number == 0 {
                talk.send(format!("{head}SECRETS"));
                talk.read_to_end();
            } else {
                talk.send(ok("fresh"));
            }
        });
        let gateway = Gateway::to(&service);
        let mut client = gateway.connect();
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.response_to_head();
        assert_eq!(client.get("http://a/next").text(), "fresh", "{method} {head}");
    }
}

#[test]
fn framing_error_mid_response_visible_to_the_client() {
    for body in [
        "3\r\nabc\r\nnonsense\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nX : y\r\n\r\n",
    ] {
        let (opener, gate) = gate();
        let service = Service::scripted(move |talk| {
            if talk.request().is_some() {
                talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
                gate.wait();
                talk.send(body);
                talk.read_to_end();
            }
        });
        let gateway = Gateway::to(&service);
        let mut client = gateway.connect();
        assert_eq!(client.send(get("http://a/")).response_head().status(), 200);
        client.expect("first");
        opener.open();
        let rest = client.rest();
        assert!(!rest.ends_with("0\r\n\r\n"), "{body:?}: {rest:?}");
    }
}

#[test]
fn connection_header_cannot_remove_protected_fields() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let response = gateway.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: secret\r\nCookie: c=1\r\nX-Hop: 1\r\n\
         Connection: Host, Authorization, Cookie, X-Forwarded-For, Forwarded, X-Real-IP, X-Hop\r\n\r\n",
    );
    let received = service.received().concat().to_lowercase();
    assert_eq!(response.status(), 200);
    for kept in [
        "host: a\r\n",
        "authorization: secret",
        "cookie: c=1",
        "x-forwarded-for: 127.0.0.1",
    ] {
        assert!(received.contains(kept), "{kept} in {received}");
    }
    assert!(!received.contains("x-hop"), "{received}");
}

#[test]
fn framing_routing_and_auth_trailers_dropped() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let response = gateway.ask(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\
         Host: evil\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\nAuthorization: evil\r\n\
         X-Forwarded-For: 6.6.6.6\r\nCookie: evil\r\nX-Sum: 1\r\n\r\n",
    );
    let trailers = response.json()["trailers"].to_string().to_lowercase();
    assert_eq!(trailers, r#"[["x-sum","1"]]"#);
}

#[test]
fn bytes_after_a_last_request_ignored() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    for last in [
        "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /last HTTP/1.0\r\nHost: a\r\n\r\n",
    ] {
        let mut client = gateway.connect();
        client.send(format!("{last}GET /behind HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.response().json()["target"], "/last", "{last}");
        client.assert_closed();
    }
    let received = service.received().concat();
    assert!(!received.contains("/behind"), "{received}");
}

#[test]
fn override_headers_do_not_route() {
    let service = Service::echo("a");
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route("name: read, match: { path: /open, method: GET }, to: a")
            .route("name: closed, match: [{ path: /closed }, { method: DELETE }], respond: { status: 403 }"),
    );
    let response = gateway.ask(
        "GET /open HTTP/1.1\r\nHost: a\r\nX-Original-URL: /closed\r\nX-Rewrite-URL: /closed\r\n\
         X-HTTP-Method-Override: DELETE\r\nX-Method-Override: DELETE\r\n\r\n",
    );
    assert_eq!(
        (
            response.json()["method"].as_str(),
            response.json()["target"].as_str()
        ),
        (Some("GET"), Some("/open"))
    );
}

#[test]
fn underscore_names_dropped_by_default() {
    let service = Service::echo("a");
    let asked = "GET / HTTP/1.1\r\nHost: a\r\nX_User: root\r\nX-User: me\r\n\r\n";
    Gateway::to(&service).ask(asked);
    Gateway::with(Config::listening(&["limits: { underscores: keep }"]).all_to(&service)).ask(asked);
    let received = service.received();
    assert!(!received[0].contains("X_User"), "{}", received[0]);
    assert!(received[1].contains("X_User: root"), "{}", received[1]);
}

#[test]
fn random_bytes_never_reach_a_service() {
    let service = Service::echo("a");
    let mut gateway = Gateway::to(&service);
    let mut state = 1_u64;
    for _ in 0..200 {
        let bytes: Vec<u8> = (0..300)
            .map(|_| {
                // Knuth's linear congruential generator: the same bytes in every run.
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        let mut client = Client::connect(gateway.address());
        client.send(&bytes).finish_sending();
        client.rest();
    }
    assert!(gateway.is_alive());
    assert_eq!(service.connections(), 0);
    assert_eq!(gateway.get("http://a/").status(), 200);
}
