//! Requests and responses through the gateway: targets, headers, edits, client addresses, large bodies.

use crate::support::client::{get, request};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::message::{pairs, seen};
use crate::support::service::{Service, echo, ok};

#[test]
fn method_target_and_headers_forwarded_verbatim() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    for (method, target) in [
        ("GET", "/"),
        ("GET", "/a/b?c=d&e=%2F%zz+f"),
        ("GET", "/?"),
        ("DELETE", "/a;b=c,d"),
        ("OPTIONS", "/x"),
        ("PROPFIND", "/dav/"),
        ("get", "/lower"),
    ] {
        let response = gateway.ask(request(
            method,
            &format!("http://a.example:80{target}"),
            "X-One: 1\r\nX-One: 2\r\n",
        ));
        let echoed = response.json();
        assert_eq!(
            (echoed["method"].as_str(), echoed["target"].as_str()),
            (Some(method), Some(target))
        );
        let expected = pairs(&[("host", "a.example:80"), ("x-one", "1"), ("x-one", "2")]);
        assert_eq!(seen(&response), expected);
    }
}

#[test]
fn absolute_target_split_into_path_and_host() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let response = gateway.ask("GET http://A.example:81/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(response.json()["target"], "/x?y");
    assert_eq!(seen(&response), pairs(&[("host", "A.example:81")]));
}

#[test]
fn forwarded_headers_trusted_only_from_trusted_proxies() {
    let service = Service::echo("a");
    let asked = "GET / HTTP/1.1\r\nHost: a.example:81\r\nX-Forwarded-For: 192.0.2.1, 10.1.1.1\r\n\
                 X-Forwarded-Proto: https\r\nX-Forwarded-Host: public.example\r\nForwarded: for=192.0.2.1\r\n\
                 X-Real-IP: 192.0.2.1\r\n\r\n";
    let cases = [
        (
            "",
            [
                ("x-forwarded-for", "127.0.0.1"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", "a.example:81"),
                ("forwarded", "for=127.0.0.1;host=\"a.example:81\";proto=http"),
                ("x-real-ip", "127.0.0.1"),
            ],
        ),
        (
            "trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]",
            [
                ("x-forwarded-for", "192.0.2.1, 10.1.1.1, 127.0.0.1"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "public.example"),
                (
                    "forwarded",
                    "for=192.0.2.1, for=127.0.0.1;host=public.example;proto=https",
                ),
                ("x-real-ip", "192.0.2.1"),
            ],
        ),
    ];
    for (trusts, expected) in cases {
        let gateway = Gateway::with(Config::listening(&[trusts]).all_to(&service));
        let response = gateway.ask(asked).json();
        let fields: Vec<(String, String)> = serde_json::from_value(response["headers"].clone()).unwrap();
        for (name, value) in expected {
            let found: Vec<&str> = fields
                .iter()
                .filter(|(field, _)| field.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
                .collect();
            assert_eq!(found, [value], "{name} with `{trusts}`");
        }
    }
}

#[test]
fn hop_by_hop_headers_removed() {
    let service = Service::scripted(|talk| {
        while let Some(asked) = talk.request() {
            let echoed = String::from_utf8(echo("a", &asked)).unwrap();
            talk.send(echoed.replacen(
                "\r\n",
                "\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\
                 X-End: 2\r\nUpgrade: h2c\r\n",
                1,
            ));
        }
    });
    let gateway = Gateway::to(&service);
    let response = gateway.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 300\r\n\
         Proxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\
         Proxy-Authorization: Basic eA==\r\nX-End: 2\r\n\r\n",
    );
    let names: Vec<String> = seen(&response).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["host", "x-end"]);
    assert_eq!(response.header("x-end"), Some("2"));
    for gone in ["x-hop", "keep-alive", "connection", "upgrade"] {
        assert_eq!(response.values(gone), Vec::<&str>::new(), "{gone}");
    }
}

#[test]
fn te_trailers_forwarded() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let response = gateway.ask(request(
        "GET",
        "http://a/",
        "TE: trailers, gzip\r\nConnection: TE\r\n",
    ));
    let seen = seen(&response);
    assert!(
        seen.contains(&("te".to_owned(), "trailers".to_owned())),
        "{seen:?}"
    );
    assert!(
        seen.contains(&("connection".to_owned(), "te".to_owned())),
        "{seen:?}"
    );
}

#[test]
fn request_and_response_headers_edited() {
    let service =
        Service::responding("HTTP/1.1 200 OK\r\nServer: s\r\nX-Keep: 1\r\nContent-Length: 0\r\n\r\n");
    let edits = "request_headers: { set: { x-set: new, x-forwarded-for: mine }, add: { x-add: more }, remove: [x-gone] }, \
                 response_headers: { set: { x-response: set }, add: { x-keep: \"2\" }, remove: [server] }";
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route(&format!("name: all, to: service, {edits}")),
    );
    let response = gateway.ask(request(
        "GET",
        "http://a/",
        "X-Set: old\r\nX-Set: older\r\nX-Add: one\r\nX-Gone: 1\r\n",
    ));
    let received = service.received()[0].to_lowercase();
    for present in [
        "x-set: new\r\n",
        "x-add: one\r\n",
        "x-add: more\r\n",
        "x-forwarded-for: mine\r\n",
    ] {
        assert!(received.contains(present), "{present} in {received}");
    }
    for gone in ["old", "x-gone", "x-forwarded-for: 127"] {
        assert!(!received.contains(gone), "{gone} in {received}");
    }
    assert_eq!(response.header("x-response"), Some("set"));
    assert_eq!(response.values("x-keep"), ["1", "2"]);
    assert_eq!(response.header("server"), None);
}

#[test]
fn body_with_any_method() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    for method in ["GET", "DELETE", "OPTIONS", "PATCH"] {
        let sent = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
        assert_eq!(client.ask(sent).json()["body"], "body", "{method}");
    }
}

#[test]
fn slow_reader_gets_the_whole_response() {
    let body = "0123456789abcdef".repeat(1 << 17);
    let length = body.len();
    let service = Service::responding(ok(&body));
    let gateway = Gateway::to(&service);
    let mut slow = gateway.connect();
    slow.send(get("http://a/"));
    // Other clients are served meanwhile.
    assert_eq!(gateway.get("http://a/").body.len(), length);
    let response = slow.response();
    assert!(response.is_complete && response.body.len() == length);
}

/// Bodies stream through the gateway; it does not buffer them.
#[test]
fn memory_independent_of_body_size() {
    const BYTES: usize = 48 << 20;
    const GROWTH_MAX: usize = 8 << 20;
    let piece = "x".repeat(1 << 16);
    let service = Service::scripted(move |talk| {
        let Some(asked) = talk.request_head() else { return };
        if asked.target() == "/small" {
            talk.send(ok(""));
            return;
        }
        talk.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n"));
        for _ in 0..BYTES / piece.len() {
            talk.send(&piece);
        }
    });
    let gateway = Gateway::to(&service);
    gateway.get("http://a/small");
    let before = gateway.memory_max();
    let mut client = gateway.connect();
    client.send(get("http://a/large"));
    // A fast service and a slow client.
    assert_eq!(client.count_in_small_reads(), BYTES);
    let growth = gateway.memory_max() - before;
    assert!(growth < GROWTH_MAX, "{growth} bytes more");
}

#[test]
fn services_get_the_rewritten_query() {
    let service = Service::echo("a");
    let config = Config::new()
        .service(&service, "")
        .route("name: drop, match: { path: /drop }, to: a, rewrite: { query: \"\" }")
        .route("name: text, match: { path: /text }, to: a, rewrite: { path: /t, query: x=1 }")
        .route("name: edit, match: { path: /edit }, to: a, rewrite: { query: { set: { b: \"2&3\" }, remove: [a] } }");
    let gateway = Gateway::with(config);
    let http2 = Http2Client::connect(gateway.address());
    for (sent, expected) in [
        ("/drop?a=1", "/drop"),
        ("/drop", "/drop"),
        ("/text?a=1", "/t?x=1"),
        ("/edit?c=%2F&a=1&b=1&%62=4&a", "/edit?c=%2F&b=2%263"),
        ("/edit", "/edit?b=2%263"),
    ] {
        let url = format!("http://a.test{sent}");
        for response in [gateway.get(&url), http2.get(&url)] {
            assert_eq!(response.json()["target"], expected, "{sent}");
        }
        let explanation = gateway.explain(&url);
        let (path, query) = expected
            .split_once('?')
            .map_or((expected, None), |(path, query)| (path, Some(query)));
        assert_eq!(
            (&explanation["path"], explanation["query"].as_str()),
            (&path.into(), query),
            "{sent}"
        );
    }
}
