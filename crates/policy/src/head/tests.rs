//! Table tests of the heads written for a given head.

use std::net::SocketAddr;

use waypost_plan::header_edits::HeaderEdits;
use waypost_plan::listener::{Bind, Listener, Underscores};
use waypost_plan::policies::{PolicySet, Upgrade};
use waypost_plan::redirect::Scheme;
use waypost_plan::rewrite::Rewrite;
use waypost_plan::route::Respond;
use waypost_plan::service::SentHost;
use waypost_plan::trusted_proxies::TrustedProxies;
use waypost_wire::request::RequestHead;
use waypost_wire::response::{ResponseHead, ResponseLimits};
use waypost_wire::scan::HeadScan;
use waypost_wire::version::Version;

use crate::error_format::ErrorFormat;
use crate::failure::Failure;
use crate::filled::Filled;
use crate::head::downstream::{self, BodyDelimiter, DownstreamHead};
use crate::head::edits::{DebugHeaders, KeepAlive, ResponseEdits};
use crate::head::local::LocalResponse;
use crate::head::upstream::UpstreamHead;
use crate::peer::Peer;
use crate::rate::RateFields;
use crate::request::{IncomingRequest, NormalizedRequest, head_limits};

/// Joins lines with CRLF and appends the empty line.
fn message(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\r\n")).collect::<String>() + "\r\n"
}

fn lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.split_terminator("\r\n").map(str::to_owned).collect()
}

fn listener() -> Listener {
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    Listener::new(Bind::tcp(address))
}

fn peer() -> Peer {
    let address = |text: &str| text.parse().unwrap();
    Peer::in_clear(address("192.0.2.7:4711"), address("127.0.0.1:80"))
}

fn edits(remove: &[&str], set: &[(&str, &str)], add: &[(&str, &str)]) -> HeaderEdits {
    let mut edits = HeaderEdits::default();
    remove.iter().for_each(|name| edits.remove(name).unwrap());
    set.iter()
        .for_each(|(name, value)| edits.set(name, *value).unwrap());
    add.iter()
        .for_each(|(name, value)| edits.add(name, *value).unwrap());
    edits
}

/// The forwarding headers for [`peer`] and `host`.
fn forwarded(host: &str) -> [String; 5] {
    [
        "x-forwarded-for: 192.0.2.7".to_owned(),
        "x-forwarded-proto: http".to_owned(),
        format!("x-forwarded-host: {host}"),
        format!("forwarded: for=192.0.2.7;host={host};proto=http"),
        "x-real-ip: 192.0.2.7".to_owned(),
    ]
}

/// Calls `write` with the head that a service gets of a request with the lines `sent`.
fn with_upstream(
    sent: &[&str],
    listener: &Listener,
    peer: &Peer,
    policies: &PolicySet,
    write: impl FnOnce(&UpstreamHead<'_>),
) {
    let buffer = message(sent).into_bytes();
    let end = HeadScan::default().advance(&buffer).unwrap().unwrap();
    let mut head = RequestHead::default();
    head.parse(&buffer, end, &head_limits(listener)).unwrap();
    let mut normalized = NormalizedRequest::default();
    normalized
        .fill(listener, peer, &head, &buffer, &mut Vec::new())
        .unwrap();
    write(&UpstreamHead {
        request: IncomingRequest {
            head: &head,
            buffer: &buffer,
            normalized: &normalized,
            peer,
            listener,
            query: head.query(&buffer),
            demands_upgrade: false,
        },
        policies,
        host: &SentHost::Client,
        path: normalized.path(),
        prefix: None,
        filled: &Filled::default(),
        request_id: None,
        way: None,
    });
}

/// Checks the head that a service gets of a request with the lines `sent`.
fn check_upstream(sent: &[&str], listener: &Listener, peer: &Peer, policies: &PolicySet, expected: &[&str]) {
    with_upstream(sent, listener, peer, policies, |upstream| {
        let mut out = Vec::new();
        let borrowed = upstream.write(b"endpoint:81", &mut out);
        assert_eq!(lines(&out), [expected, &[""]].concat(), "{sent:?}");
        let IncomingRequest { head, buffer, .. } = upstream.request;
        let names_host = head.authority(buffer).is_some() || policies.rewrite.host.is_some();
        assert_eq!(borrowed.is_none(), names_host);
        if let Some(range) = borrowed {
            assert_eq!(&out[range], b"endpoint:81");
        }
    });
}

/// The same with nothing configured, in front of the forwarding headers for `host`.
fn check_plain(sent: &[&str], before: &[&str], host: &str, behind: &[&str]) {
    let forwarded = forwarded(host);
    let forwarded: Vec<&str> = forwarded.iter().map(String::as_str).collect();
    let expected = [before, &forwarded[..], behind].concat();
    check_upstream(sent, &listener(), &peer(), &PolicySet::default(), &expected);
}

#[test]
fn end_to_end_fields_are_forwarded_and_hop_by_hop_fields_are_not() {
    check_plain(
        &[
            "GET /a//b?x=%20 HTTP/1.1",
            "host: A.test",
            "Accept: */*",
            "Authorization: secret",
            "Connection: x-mine, close",
            "X-Mine: 1",
            "Keep-Alive: 5",
            "Proxy-Connection: close",
            "Upgrade: h2c",
            "HTTP2-Settings: x",
            "X_Under: 1",
            "X-Real-IP: 10.0.0.1",
            "X-Forwarded-For: 10.0.0.1",
        ],
        &[
            "GET /a/b?x=%20 HTTP/1.1",
            "Host: A.test",
            "Accept: */*",
            "Authorization: secret",
        ],
        "A.test",
        &[],
    );
}

#[test]
fn body_framing_is_kept() {
    check_plain(
        &["POST / HTTP/1.1", "host: a", "content-length: 5"],
        &["POST / HTTP/1.1", "Host: a"],
        "a",
        &["content-length: 5"],
    );
    check_plain(
        &[
            "POST / HTTP/1.1",
            "host: a",
            "transfer-encoding: chunked",
            "te: trailers",
            "expect: 100-continue",
        ],
        &["POST / HTTP/1.1", "Host: a", "expect: 100-continue"],
        "a",
        &["te: trailers", "connection: te", "transfer-encoding: chunked"],
    );
}

#[test]
fn upgrade_is_forwarded_if_the_route_allows_it() {
    let sent = [
        "GET / HTTP/1.1",
        "host: a",
        "connection: Upgrade",
        "upgrade: websocket",
        "sec-websocket-key: k",
    ];
    check_plain(
        &sent,
        &["GET / HTTP/1.1", "Host: a", "sec-websocket-key: k"],
        "a",
        &["connection: upgrade", "upgrade: websocket"],
    );
    let none = PolicySet {
        upgrade: Upgrade::Only([].into()),
        ..PolicySet::default()
    };
    let forwarded = forwarded("a");
    let forwarded: Vec<&str> = forwarded.iter().map(String::as_str).collect();
    let head = ["GET / HTTP/1.1", "Host: a", "sec-websocket-key: k"];
    let expected = [&head[..], &forwarded].concat();
    check_upstream(&sent, &listener(), &peer(), &none, &expected);
}

#[test]
fn request_without_host_gets_the_endpoint_authority() {
    let forwarded = [
        "x-forwarded-for: 192.0.2.7",
        "x-forwarded-proto: http",
        "forwarded: for=192.0.2.7;proto=http",
        "x-real-ip: 192.0.2.7",
    ];
    let expected = [&["GET / HTTP/1.1", "Host: endpoint:81"], &forwarded[..]].concat();
    check_upstream(
        &["GET / HTTP/1.0"],
        &listener(),
        &peer(),
        &PolicySet::default(),
        &expected,
    );
    let rewritten = PolicySet {
        rewrite: Rewrite {
            host: Some("inside.test".into()),
            ..Rewrite::default()
        },
        ..PolicySet::default()
    };
    let expected = [&["GET / HTTP/1.1", "Host: inside.test"], &forwarded[..]].concat();
    check_upstream(&["GET / HTTP/1.0"], &listener(), &peer(), &rewritten, &expected);
}

#[test]
fn configured_edits_override_the_gateway_headers() {
    let policies = PolicySet {
        request_headers: edits(
            &["x-secret", "forwarded", "x-forwarded-host", "x-real-ip"],
            &[("x-forwarded-for", "me"), ("accept", "a/b")],
            &[("x-more", "1")],
        ),
        ..PolicySet::default()
    };
    check_upstream(
        &[
            "GET / HTTP/1.1",
            "host: a",
            "Accept: */*",
            "X-Secret: 1",
            "x-more: 0",
        ],
        &listener(),
        &peer(),
        &policies,
        &[
            "GET / HTTP/1.1",
            "Host: a",
            "x-more: 0",
            "x-forwarded-proto: http",
            "x-forwarded-for: me",
            "accept: a/b",
            "x-more: 1",
        ],
    );
}

#[test]
fn forwarding_headers_of_trusted_proxies_are_extended() {
    let mut trusting = listener();
    trusting.trusted_proxies = TrustedProxies::of(vec!["192.0.2.0/24".parse().unwrap()]);
    let mut peer = peer();
    peer.scheme = Scheme::Https;
    // The client, the host that it asked for, and the headers behind `Host`.
    let check = |host: &str, sent: &[&str], expected: &[&str]| {
        let line = format!("host: {host}");
        let sent = [&["GET / HTTP/1.1", &line], sent].concat();
        let line = format!("Host: {host}");
        let expected = [&["GET / HTTP/1.1", &line], expected].concat();
        check_upstream(&sent, &trusting, &peer, &PolicySet::default(), &expected);
    };
    check(
        "[::1]:8080",
        &[
            "X-Forwarded-For: 203.0.113.9",
            "X-Forwarded-For: 192.0.2.8",
            "X-Forwarded-Proto: http",
            "Forwarded: for=203.0.113.9;secret=x",
        ],
        &[
            "x-forwarded-for: 203.0.113.9, 192.0.2.8, 192.0.2.7",
            "x-forwarded-proto: http",
            "x-forwarded-host: [::1]:8080",
            "x-forwarded-port: 8080",
            "forwarded: for=203.0.113.9;secret=x, for=192.0.2.7;host=\"[::1]:8080\";proto=http",
            "x-real-ip: 203.0.113.9",
        ],
    );
    // A family that the proxy does not speak begins with the client.
    check(
        "a",
        &[
            "X-Forwarded-For: 2001:db8::9",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: b.example",
            "X-Forwarded-Port: 8443",
        ],
        &[
            "x-forwarded-for: 2001:db8::9, 192.0.2.7",
            "x-forwarded-proto: https",
            "x-forwarded-host: b.example",
            "x-forwarded-port: 8443",
            "forwarded: for=\"[2001:db8::9]\";host=\"b.example:8443\";proto=https, \
             for=192.0.2.7;host=\"b.example:8443\";proto=https",
            "x-real-ip: 2001:db8::9",
        ],
    );
    check(
        "a",
        &["Forwarded: for=\"[2001:db8::9]:4711\";host=\"b.example:81\";proto=http"],
        &[
            "x-forwarded-for: 2001:db8::9, 192.0.2.7",
            "x-forwarded-proto: http",
            "x-forwarded-host: b.example:81",
            "x-forwarded-port: 81",
            "forwarded: for=\"[2001:db8::9]:4711\";host=\"b.example:81\";proto=http, \
             for=192.0.2.7;host=\"b.example:81\";proto=http",
            "x-real-ip: 2001:db8::9",
        ],
    );
    check(
        "a",
        &["X-Real-IP: 203.0.113.9"],
        &[
            "x-forwarded-for: 203.0.113.9, 192.0.2.7",
            "x-forwarded-proto: https",
            "x-forwarded-host: a",
            "x-forwarded-port: 443",
            "forwarded: for=203.0.113.9;host=a;proto=https, for=192.0.2.7;host=a;proto=https",
            "x-real-ip: 203.0.113.9",
        ],
    );
    // A proxy that names no client may have none.
    check(
        "a",
        &["X-Forwarded-For: unknown", "Forwarded: for=_hidden"],
        &[
            "x-forwarded-for: unknown, 192.0.2.7",
            "x-forwarded-proto: https",
            "x-forwarded-host: a",
            "forwarded: for=_hidden, for=192.0.2.7;host=a;proto=https",
            "x-real-ip: 192.0.2.7",
        ],
    );
}

#[test]
fn prefix_that_a_service_does_not_see_is_behind_those_of_proxies() {
    let mut trusting = listener();
    trusting.trusted_proxies = TrustedProxies::of(vec!["192.0.2.0/24".parse().unwrap()]);
    let plain = PolicySet::default();
    let removing = PolicySet {
        request_headers: edits(&["x-forwarded-prefix"], &[], &[]),
        ..PolicySet::default()
    };
    let check = |listener: &Listener, policies, sent: &[&str], prefix: Option<&str>, expected: &[&str]| {
        let sent = [&["GET / HTTP/1.1", "host: a"], sent].concat();
        with_upstream(&sent, listener, &peer(), policies, |upstream| {
            let mut out = Vec::new();
            let prefix = prefix.map(str::as_bytes);
            UpstreamHead { prefix, ..*upstream }.write(b"endpoint:81", &mut out);
            let lines = lines(&out);
            let found: Vec<&str> = lines
                .iter()
                .filter_map(|line| line.split_once(": "))
                .filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-prefix"))
                .map(|(_, value)| value)
                .collect();
            assert_eq!(found, expected, "{sent:?}");
        });
    };
    let (outer, untrusting) = ("X-Forwarded-Prefix: /outer/", listener());
    check(&untrusting, &plain, &[], None, &[]);
    check(&untrusting, &plain, &[outer], None, &[]);
    check(&untrusting, &plain, &[outer], Some("/api"), &["/api"]);
    check(&trusting, &plain, &[outer], None, &["/outer/"]);
    check(&trusting, &plain, &[outer], Some("/api"), &["/outer/api"]);
    check(&trusting, &removing, &[outer], Some("/api"), &[]);
    let list = ["X-Forwarded-Prefix: /a, /b/", "x-forwarded-prefix: /c%20d"];
    check(&trusting, &plain, &list, Some("/api"), &["/a/b/c%20d/api"]);
    for invalid in ["a", "//a", "/a?b", "/a#b", "/a b", "/a\"", "/a<"] {
        let line = format!("X-Forwarded-Prefix: {invalid}");
        check(&trusting, &plain, &[&line], Some("/api"), &["/api"]);
    }
}

#[test]
fn kept_underscores_cannot_spoof_headers_of_the_gateway() {
    let mut keeping = listener();
    keeping.limits.underscores = Underscores::Keep;
    let forwarded = forwarded("a");
    let forwarded: Vec<&str> = forwarded.iter().map(String::as_str).collect();
    let sent = [
        "GET / HTTP/1.1",
        "host: a",
        "X_Mine: 1",
        "X_Forwarded_For: 10.0.0.1",
        "x_forwarded-Proto: https",
        "X_Forwarded_Prefix: /a",
        "X_Original_URL: /b",
        "True_Client_IP: 10.0.0.1",
        "X_Waypost_Mirror: all",
        "Transfer_Encoding: chunked",
    ];
    let expected = [&["GET / HTTP/1.1", "Host: a", "X_Mine: 1"], &forwarded[..]].concat();
    check_upstream(&sent, &keeping, &peer(), &PolicySet::default(), &expected);
}

#[test]
fn forwarding_families_pass_from_trusted_proxies_alone() {
    let families = [
        "X-Forwarded-Ssl: on",
        "x-forwarded-uri: /admin",
        "X-Original-URL: /admin",
        "X-Rewrite-URL: /admin",
        "X-Client-IP: 10.0.0.1",
        "True-Client-IP: 10.0.0.1",
        "X-Envoy-Internal: true",
    ];
    let sent: Vec<&str> = [
        &["GET / HTTP/1.1", "host: a", "x-mine: 1"][..],
        &families,
        &[
            "X-Waypost-Mirror: all",
            "x-waypost-route: r",
            "X-Forwarded-Under_Score: 1",
        ],
        // A family cannot be declared hop-by-hop either.
        &["connection: x-forwarded-ssl, x-client-ip, x-mine"],
    ]
    .concat();
    let forwarded = forwarded("a");
    let forwarded: Vec<&str> = forwarded.iter().map(String::as_str).collect();
    let mut trusting = listener();
    let head = ["GET / HTTP/1.1", "Host: a"];
    let expected = [&head[..], &forwarded].concat();
    check_upstream(&sent, &trusting, &peer(), &PolicySet::default(), &expected);
    trusting.trusted_proxies = TrustedProxies::of(vec!["192.0.2.0/24".parse().unwrap()]);
    let expected = [&head[..], &families, &forwarded].concat();
    check_upstream(&sent, &trusting, &peer(), &PolicySet::default(), &expected);
}

#[test]
fn grpc_web_is_translated_to_grpc() {
    let policies = PolicySet {
        grpc_web: true,
        ..PolicySet::default()
    };
    let forwarded = forwarded("a");
    let forwarded: Vec<&str> = forwarded.iter().map(String::as_str).collect();
    let behind = ["te: trailers", "connection: te", "transfer-encoding: chunked"];
    let before = [
        "POST / HTTP/1.1",
        "Host: a",
        "content-type: application/grpc+proto",
    ];
    let expected = [&before[..], &forwarded, &behind].concat();
    check_upstream(
        &[
            "POST / HTTP/1.1",
            "host: a",
            "content-type: application/grpc-web-text+proto",
            "content-length: 8",
        ],
        &listener(),
        &peer(),
        &policies,
        &expected,
    );
}

#[test]
fn mirrored_requests_are_marked_and_have_no_framing() {
    let forwarded = forwarded("a");
    let forwarded: Vec<&str> = forwarded.iter().map(String::as_str).collect();
    let without_host = [
        "x-forwarded-for: 192.0.2.7",
        "x-forwarded-proto: http",
        "forwarded: for=192.0.2.7;proto=http",
        "x-real-ip: 192.0.2.7",
    ];
    let plain = PolicySet::default();
    let edited = PolicySet {
        request_headers: edits(&["accept"], &[("x-mine", "set")], &[("x-more", "1")]),
        ..PolicySet::default()
    };
    let web = PolicySet {
        grpc_web: true,
        ..PolicySet::default()
    };
    let rewritten = PolicySet {
        rewrite: Rewrite {
            host: Some("inside.test".into()),
            ..Rewrite::default()
        },
        ..PolicySet::default()
    };
    for (sent, policies, before, forwarded, behind) in [
        // The fields of the request, with the path and query that the service gets.
        (
            &["GET /a//b?x=%20 HTTP/1.1", "host: a", "Accept: */*"][..],
            &plain,
            &["GET /a/b?x=%20 HTTP/1.1", "Host: a", "Accept: */*"][..],
            &forwarded[..],
            &[][..],
        ),
        // The caller appends the length, so neither framing is written.
        (
            &["POST / HTTP/1.1", "host: a", "content-length: 5"],
            &plain,
            &["POST / HTTP/1.1", "Host: a"],
            &forwarded,
            &[],
        ),
        (
            &[
                "POST / HTTP/1.1",
                "host: a",
                "transfer-encoding: chunked",
                "te: trailers",
            ],
            &plain,
            &["POST / HTTP/1.1", "Host: a"],
            &forwarded,
            &[],
        ),
        // No client waits for an interim response to a copy.
        (
            &[
                "PUT / HTTP/1.1",
                "host: a",
                "expect: 100-continue",
                "content-length: 1",
            ],
            &plain,
            &["PUT / HTTP/1.1", "Host: a"],
            &forwarded,
            &[],
        ),
        // A client cannot pass for a mirror.
        (
            &["GET / HTTP/1.1", "host: a", "X-Waypost-Mirror: forged"],
            &plain,
            &["GET / HTTP/1.1", "Host: a"],
            &forwarded,
            &[],
        ),
        (
            &[
                "GET / HTTP/1.1",
                "host: a",
                "Accept: */*",
                "x-mine: 0",
                "x-more: 0",
            ],
            &edited,
            &["GET / HTTP/1.1", "Host: a", "x-more: 0"],
            &forwarded,
            &["x-mine: set", "x-more: 1"],
        ),
        (
            &[
                "POST / HTTP/1.1",
                "host: a",
                "content-type: application/grpc-web-text",
                "content-length: 8",
            ],
            &web,
            &["POST / HTTP/1.1", "Host: a", "content-type: application/grpc"],
            &forwarded,
            &[],
        ),
        (
            &["GET / HTTP/1.0"],
            &plain,
            &["GET / HTTP/1.1", "Host: "],
            &without_host,
            &[],
        ),
        (
            &["GET / HTTP/1.0"],
            &rewritten,
            &["GET / HTTP/1.1", "Host: inside.test"],
            &without_host,
            &[],
        ),
    ] {
        with_upstream(sent, &listener(), &peer(), policies, |upstream| {
            let mut out = Vec::new();
            let authority_at = upstream.write_mirrored("shop", &mut out);
            let names_host = !before.contains(&"Host: ");
            assert_eq!(authority_at.is_none(), names_host, "{sent:?}");
            if let Some(at) = authority_at {
                assert!(out[..at].ends_with(b"\r\nHost: "), "{sent:?}");
            }
            let expected = [before, forwarded, behind, &["x-waypost-mirror: shop"]].concat();
            assert_eq!(lines(&out), expected, "{sent:?}");
        });
    }
}

#[test]
fn host_of_the_endpoint_takes_the_place_of_the_clients() {
    let plain = PolicySet::default();
    let rewritten = PolicySet {
        rewrite: Rewrite {
            host: Some("inside.test".into()),
            ..Rewrite::default()
        },
        ..PolicySet::default()
    };
    for (policies, expected) in [(&plain, "Host: endpoint:81"), (&rewritten, "Host: inside.test")] {
        for sent in ["GET / HTTP/1.1", "GET http://a/ HTTP/1.1"] {
            with_upstream(&[sent, "host: a"], &listener(), &peer(), policies, |upstream| {
                let mut out = Vec::new();
                let host = &SentHost::Endpoint;
                let borrowed = UpstreamHead { host, ..*upstream }.write(b"endpoint:81", &mut out);
                let lines = lines(&out);
                assert_eq!(lines[1], expected);
                assert!(lines.contains(&"x-forwarded-host: a".to_owned()), "{lines:?}");
                let borrowed = borrowed.map(|range| out[range].to_vec());
                let is_endpoint = expected.ends_with(":81");
                assert_eq!(borrowed, is_endpoint.then(|| b"endpoint:81".to_vec()));
            });
        }
    }
}

/// Checks the head that a client gets of a response with the lines `sent`.
fn check_downstream(sent: &[&str], to_head: bool, head: impl Fn(&mut DownstreamHead<'_>), expected: &[&str]) {
    let buffer = message(sent).into_bytes();
    let end = HeadScan::default().advance(&buffer).unwrap().unwrap();
    let mut response = ResponseHead::default();
    response
        .parse(&buffer, end, to_head, &ResponseLimits::default())
        .unwrap();
    let none = HeaderEdits::NONE;
    let mut downstream = DownstreamHead {
        response: &response,
        buffer: &buffer,
        edits: ResponseEdits {
            configured: &none,
            filled: b"",
            rate: RateFields::default(),
            request_id: None,
            way_back: None,
            cookies: None,
            date: (!downstream::is_dated(&response)).then_some(b"now"),
            set_cookie: b"",
            debug: None,
            keep_alive: KeepAlive::Implied,
            cors: None,
        },
        body: BodyDelimiter::of(response.framing(), Version::Http11),
        content_type: None,
    };
    head(&mut downstream);
    let mut out = Vec::new();
    match response.status() {
        101 => {
            downstream.edits.date = None;
            downstream.write_upgrade(b"websocket", &mut out);
        }
        100..200 => downstream.write_interim(&mut out),
        _ => downstream.write(&mut out),
    }
    assert_eq!(lines(&out), [expected, &[""]].concat(), "{sent:?}");
}

#[test]
fn hop_by_hop_response_fields_are_dropped() {
    check_downstream(
        &[
            "HTTP/1.1 200 Fine",
            "Server: s",
            "X-Waypost-Revision: 7",
            "Date: then",
            "Connection: close, x-mine",
            "X-Mine: 1",
            "Keep-Alive: 5",
            "Content-Length: 3",
        ],
        false,
        |_| {},
        &[
            "HTTP/1.1 200 Fine",
            "Server: s",
            "Date: then",
            "content-length: 3",
        ],
    );
}

#[test]
fn response_bodies_are_delimited_for_the_client() {
    let unknown = ["HTTP/1.1 200 OK"];
    check_downstream(
        &unknown,
        false,
        |_| {},
        &["HTTP/1.1 200 OK", "transfer-encoding: chunked", "date: now"],
    );
    let close = |head: &mut DownstreamHead<'_>| {
        head.body = BodyDelimiter::Close;
        head.edits.keep_alive = KeepAlive::Close;
    };
    check_downstream(
        &unknown,
        false,
        close,
        &["HTTP/1.1 200 OK", "date: now", "connection: close"],
    );
    let frames = |head: &mut DownstreamHead<'_>| head.body = BodyDelimiter::Frames;
    check_downstream(&unknown, false, frames, &["HTTP/1.1 200 OK", "date: now"]);
    let length = ["HTTP/1.1 200 OK", "content-length: 3"];
    check_downstream(
        &length,
        false,
        frames,
        &["HTTP/1.1 200 OK", "content-length: 3", "date: now"],
    );
    // The length that the body would have.
    check_downstream(
        &length,
        true,
        |_| {},
        &["HTTP/1.1 200 OK", "content-length: 3", "date: now"],
    );
    check_downstream(
        &["HTTP/1.1 204 No Content"],
        false,
        |_| {},
        &["HTTP/1.1 204 No Content", "date: now"],
    );
}

#[test]
fn transformed_body_changes_type_and_framing() {
    let sent = [
        "HTTP/1.1 200 OK",
        "content-type: application/grpc",
        "content-length: 3",
    ];
    let transformed = |head: &mut DownstreamHead<'_>| {
        head.body = BodyDelimiter::Chunks;
        head.content_type = Some(b"application/grpc-web+proto");
    };
    check_downstream(
        &sent,
        false,
        transformed,
        &[
            "HTTP/1.1 200 OK",
            "content-type: application/grpc-web+proto",
            "transfer-encoding: chunked",
            "date: now",
        ],
    );
}

#[test]
fn configured_edits_override_response_headers() {
    let configured = edits(
        &["server", "x-waypost-route"],
        &[("date", "mine"), ("set-cookie", "mine")],
        &[("x-more", "1")],
    );
    let sent = [
        "HTTP/1.1 200 OK",
        "Server: s",
        "Set-Cookie: a=1",
        "content-length: 0",
    ];
    let buffer = message(&sent).into_bytes();
    let end = HeadScan::default().advance(&buffer).unwrap().unwrap();
    let mut response = ResponseHead::default();
    response
        .parse(&buffer, end, false, &ResponseLimits::default())
        .unwrap();
    let mut out = Vec::new();
    DownstreamHead {
        response: &response,
        buffer: &buffer,
        edits: ResponseEdits {
            configured: &configured,
            filled: b"",
            rate: RateFields::default(),
            request_id: None,
            way_back: None,
            cookies: None,
            date: Some(b"now"),
            set_cookie: b"side=1",
            debug: Some(DebugHeaders {
                revision: 7,
                route: "r",
            }),
            keep_alive: KeepAlive::Explicit,
            cors: None,
        },
        body: BodyDelimiter::Length,
        content_type: None,
    }
    .write(&mut out);
    assert_eq!(
        lines(&out),
        [
            "HTTP/1.1 200 OK",
            "content-length: 0",
            "x-waypost-revision: 7",
            "connection: keep-alive",
            "date: mine",
            "set-cookie: mine",
            "x-more: 1",
            "",
        ]
    );
}

#[test]
fn upgrades_and_interim_responses_are_written() {
    let sent = [
        "HTTP/1.1 101 Switching Protocols",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Accept: k",
    ];
    check_downstream(
        &sent,
        false,
        |_| {},
        &[
            "HTTP/1.1 101 Switching Protocols",
            "Sec-WebSocket-Accept: k",
            "connection: upgrade",
            "upgrade: websocket",
        ],
    );
    // RFC 8441 §5.
    let frames = |head: &mut DownstreamHead<'_>| head.body = BodyDelimiter::Frames;
    check_downstream(&sent, false, frames, &["HTTP/1.1 200 OK"]);
    check_downstream(
        &[
            "HTTP/1.1 103 Early Hints",
            "Link: </a>",
            "Connection: close",
            "x-waypost-route: r",
        ],
        false,
        |_| {},
        &["HTTP/1.1 103 Early Hints", "Link: </a>"],
    );
    check_downstream(
        &[
            "HTTP/1.1 426 Upgrade Required",
            "Connection: upgrade",
            "Upgrade: h3",
            "content-length: 0",
        ],
        false,
        |_| {},
        &[
            "HTTP/1.1 426 Upgrade Required",
            "content-length: 0",
            "upgrade: h3",
            "connection: upgrade",
            "date: now",
        ],
    );
}

fn local() -> LocalResponse<'static> {
    LocalResponse {
        keep_alive: KeepAlive::Implied,
        to_head: false,
        filled_lines: b"",
        filled_body: b"",
        rate: RateFields::default(),
        challenges: b"",
        request_id: None,
        debug: None,
        date: Some(b"now"),
        cors: None,
    }
}

#[test]
fn errors_are_text_json_or_grpc_status() {
    let check = |response: LocalResponse<'_>, format: &ErrorFormat, expected: &[&str]| {
        let mut out = Vec::new();
        let body_bytes = response.write_failure(Failure::NoRoute, format, &HeaderEdits::NONE, &mut out);
        assert_eq!(lines(&out), expected);
        let head = out.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(body_bytes, out.len() - head);
    };
    let proxy_status = "proxy-status: waypost; error=destination_not_found";
    check(
        local(),
        &ErrorFormat::Text,
        &[
            "HTTP/1.1 404 Not Found",
            "content-type: text/plain; charset=utf-8",
            proxy_status,
            "content-length: 43",
            "date: now",
            "",
            "404 Not Found: no route takes this request\n",
        ],
    );
    let to_head = LocalResponse {
        to_head: true,
        keep_alive: KeepAlive::Close,
        ..local()
    };
    check(
        to_head,
        &ErrorFormat::Json,
        &[
            "HTTP/1.1 404 Not Found",
            "content-type: application/json",
            proxy_status,
            "content-length: 74",
            "date: now",
            "connection: close",
            "",
        ],
    );
    check(
        local(),
        &ErrorFormat::Grpc(b"application/grpc".to_vec()),
        &[
            "HTTP/1.1 200 OK",
            "content-type: application/grpc",
            "grpc-status: 12",
            "grpc-message: no route takes this request",
            proxy_status,
            "content-length: 0",
            "date: now",
            "",
        ],
    );
}

#[test]
fn configured_responses_and_redirects_are_edited() {
    let configured = edits(&["date"], &[("content-type", "a/b")], &[]);
    let mut out = Vec::new();
    let respond = Respond {
        status: 200,
        body: "said".into(),
        content_type: "text/plain".into(),
    };
    local().write_respond(&respond, &configured, &mut out);
    assert_eq!(
        lines(&out),
        [
            "HTTP/1.1 200 OK",
            "content-length: 4",
            "content-type: a/b",
            "",
            "said"
        ]
    );
    out.clear();
    local().write_redirect(308, b"/b", &HeaderEdits::NONE, &mut out);
    assert_eq!(
        lines(&out),
        [
            "HTTP/1.1 308 Permanent Redirect",
            "location: /b",
            "content-length: 0",
            "date: now",
            "",
        ]
    );
}
