//! The client behind trusted proxies: its address, scheme, host and port are one fact wherever they are used.

use std::collections::BTreeMap;

use http::Request;
use serde_json::{Value, json};

use crate::access_log::wait_for_log;
use crate::support::client::request;
use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::message::Message;
use crate::support::service::Service;

const TRUSTING: &str = "trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]";

/// Header lines of a request.
pub(crate) type Lines = [(&'static str, &'static str)];

/// Responses to a GET, over HTTP/1 and over HTTP/2.
pub(crate) fn ask(gateway: &Gateway, url: &str, lines: &Lines) -> [Message; 2] {
    let fields: String = lines
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let http1 = gateway.ask(request("GET", url, &fields));
    let mut builder = Request::get(url);
    for (name, value) in lines {
        builder = builder.header(*name, *value);
    }
    let client = Http2Client::connect(gateway.address());
    [http1, client.ask(builder.body(()).unwrap(), "")]
}

/// The fields that an echoing service got, or that `explain` says it gets, as one value for each name.
pub(crate) fn fields(headers: &Value) -> BTreeMap<String, String> {
    let headers: Vec<(String, String)> = serde_json::from_value(headers.clone()).unwrap();
    let mut fields = BTreeMap::new();
    for (name, value) in headers {
        let name = name.to_lowercase();
        assert_eq!(fields.insert(name.clone(), value), None, "{name} comes once");
    }
    fields
}

/// The explanation of a GET from 127.0.0.1, offline.
pub(crate) fn explain(gateway: &Gateway, url: &str, lines: &Lines, options: &[&str]) -> Value {
    let lines: Vec<String> = lines
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let mut asked = vec![
        "explain",
        gateway.config().to_str().unwrap(),
        "GET",
        url,
        "--format",
        "json",
    ];
    for line in &lines {
        asked.extend(["-H", line]);
    }
    asked.extend(options);
    waypost_in(gateway.directory(), &asked).expect(0).json()
}

/// The fields about the client: `x-forwarded-for`, `-proto`, `-host`, `-port`, `forwarded`, `x-real-ip`.
pub(crate) fn told(fields: &BTreeMap<String, String>) -> [&str; 6] {
    [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "forwarded",
        "x-real-ip",
    ]
    .map(|name| fields.get(name).map_or("", String::as_str))
}

#[test]
fn services_get_one_story_from_whichever_family_comes() {
    let service = Service::echo("a");
    let gateway = Gateway::with(Config::listening(&[TRUSTING]).all_to(&service));
    let cases: [(&Lines, [&str; 6]); 6] = [
        (
            &[
                ("x-forwarded-for", "203.0.113.9"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "shop.example"),
                ("x-forwarded-port", "443"),
            ],
            [
                "203.0.113.9, 127.0.0.1",
                "https",
                "shop.example",
                "443",
                "for=203.0.113.9;host=shop.example;proto=https, for=127.0.0.1;host=shop.example;proto=https",
                "203.0.113.9",
            ],
        ),
        (
            &[(
                "forwarded",
                "for=203.0.113.9;host=\"shop.example:8443\";proto=https;by=_lb",
            )],
            [
                "203.0.113.9, 127.0.0.1",
                "https",
                "shop.example:8443",
                "8443",
                "for=203.0.113.9;host=\"shop.example:8443\";proto=https;by=_lb, \
                 for=127.0.0.1;host=\"shop.example:8443\";proto=https",
                "203.0.113.9",
            ],
        ),
        (
            &[("x-real-ip", "2001:db8::9")],
            [
                "2001:db8::9, 127.0.0.1",
                "http",
                "a.test",
                "80",
                "for=\"[2001:db8::9]\";host=a.test;proto=http, for=127.0.0.1;host=a.test;proto=http",
                "2001:db8::9",
            ],
        ),
        // A chain of trusted proxies; whatever stands in front of it may be forged.
        (
            &[
                ("x-forwarded-for", "192.0.2.66, 203.0.113.9, 10.0.0.1"),
                ("x-forwarded-proto", "http, https, http"),
            ],
            [
                "192.0.2.66, 203.0.113.9, 10.0.0.1, 127.0.0.1",
                "https",
                "a.test",
                "443",
                "for=203.0.113.9;host=a.test;proto=https, for=127.0.0.1;host=a.test;proto=https",
                "203.0.113.9",
            ],
        ),
        // What is no scheme, host or port is not passed on.
        (
            &[
                ("x-real-ip", "203.0.113.9"),
                ("x-forwarded-proto", "javascript"),
                ("x-forwarded-host", "evil.example/\"><x"),
                ("x-forwarded-port", "99999"),
            ],
            [
                "203.0.113.9, 127.0.0.1",
                "http",
                "a.test",
                "80",
                "for=203.0.113.9;host=a.test;proto=http, for=127.0.0.1;host=a.test;proto=http",
                "203.0.113.9",
            ],
        ),
        // A proxy that says nothing is a client.
        (
            &[],
            [
                "127.0.0.1",
                "http",
                "a.test",
                "",
                "for=127.0.0.1;host=a.test;proto=http",
                "127.0.0.1",
            ],
        ),
    ];
    for (lines, expected) in cases {
        for response in ask(&gateway, "http://a.test/x", lines) {
            assert_eq!(told(&fields(&response.json()["headers"])), expected, "{lines:?}");
        }
        let explained = explain(&gateway, "http://a.test/x", lines, &[]);
        assert_eq!(told(&fields(&explained["headers"])), expected, "{lines:?}");
    }
}

#[test]
fn redirects_cookies_conditions_and_log_follow_the_client() {
    let (v1, v2) = (Service::echo("v1"), Service::echo("v2"));
    let gateway = Gateway::with(
        Config::listening(&[TRUSTING])
            .key("access_log: access.log")
            .service(&v1, "")
            .service(&v2, "")
            .route("name: moved, match: { path: /old/* }, redirect: { prefix: /new }")
            .route("name: office, match: { path: /x, client_ip: 203.0.113.0/24 }, to: v2")
            .route("name: split, to: { v1: 1, v2: 1 }, sticky: { cookie: side }"),
    );
    let families: [(&Lines, &str); 4] = [
        (
            &[
                ("x-forwarded-for", "203.0.113.9"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "Shop.example"),
            ],
            "https://shop.example",
        ),
        (
            &[
                ("x-forwarded-for", "203.0.113.9"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-port", "8443"),
            ],
            "https://a.test:8443",
        ),
        (
            &[(
                "forwarded",
                "for=\"203.0.113.9:4711\";proto=https;host=shop.example",
            )],
            "https://shop.example",
        ),
        (
            &[("x-real-ip", "203.0.113.9"), ("x-forwarded-proto", "https")],
            "https://a.test:81",
        ),
    ];
    for (lines, origin) in families {
        let location = format!("{origin}/new/7?q");
        for response in ask(&gateway, "http://a.test:81/old/7?q", lines) {
            assert_eq!(response.header("location"), Some(&*location), "{lines:?}");
        }
        let explained = explain(&gateway, "http://a.test:81/old/7?q", lines, &[]);
        assert_eq!(explained["location"], json!(location), "{lines:?}");
        for response in ask(&gateway, "http://a.test/x", lines) {
            assert_eq!(response.json()["service"], "v2", "{lines:?}");
        }
        for response in ask(&gateway, "http://a.test/", lines) {
            let cookie = response.header("set-cookie").unwrap();
            assert!(cookie.contains("; Secure;"), "{cookie}");
        }
    }
    // Routes match the Host header all the same.
    for line in wait_for_log(&gateway, 4 * 6) {
        let (client, host) = (&line["client"], &line["host"]);
        assert_eq!(
            (client, host),
            (&json!("203.0.113.9"), &json!("a.test")),
            "{line}"
        );
    }
}

#[test]
fn contradictions_are_refused() {
    let service = Service::echo("a");
    let gateway = Gateway::with(Config::listening(&[TRUSTING]).all_to(&service));
    let [differ, malformed] = [
        "the forwarding headers name different clients",
        "the forwarded header is malformed",
    ];
    let cases: [(&Lines, &str); 4] = [
        (
            &[
                ("x-forwarded-for", "203.0.113.9"),
                ("forwarded", "for=203.0.113.8"),
            ],
            differ,
        ),
        (
            &[
                ("x-real-ip", "203.0.113.9"),
                ("forwarded", "for=\"[2001:db8::1]\""),
            ],
            differ,
        ),
        (
            &[
                ("x-real-ip", "203.0.113.9"),
                ("x-forwarded-for", "203.0.113.9, 203.0.113.8"),
            ],
            differ,
        ),
        (&[("forwarded", "for=\"203.0.113.9, for=10.0.0.1")], malformed),
    ];
    for (lines, reason) in cases {
        for response in ask(&gateway, "http://a.test/", lines) {
            assert_eq!(response.status(), 400, "{lines:?}");
            assert!(response.text().contains(reason), "{}", response.text());
        }
        let explained = explain(&gateway, "http://a.test/", lines, &[]);
        assert_eq!(
            (&explained["outcome"], &explained["status"], &explained["reason"]),
            (&json!("refused"), &json!(400), &json!(reason)),
            "{lines:?}"
        );
        // They are nothing but text from a peer that is not trusted.
        let outside = explain(&gateway, "http://a.test/", lines, &["--client-ip", "192.0.2.1"]);
        assert_eq!(outside["outcome"], "forward", "{lines:?}");
        assert_eq!(fields(&outside["headers"])["x-forwarded-for"], "192.0.2.1");
    }
    let metrics = gateway.metrics();
    for (reason, count) in [("clients_disagree", 6), ("forwarded", 2)] {
        let line = format!("waypost_refusals_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
}

#[test]
fn listener_whose_tls_ends_in_front_says_https() {
    let service = Service::echo("a");
    let keys = [
        "name: plain, scheme: https",
        "name: proxied, scheme: https, proxy_protocol: required, trusted_proxies: [127.0.0.1]",
    ];
    let gateway = Gateway::with(
        Config::listening(&keys)
            .service(&service, "")
            .route("name: moved, match: { path: /old/* }, redirect: { prefix: /new }")
            .route("name: all, to: a, sticky: { cookie: side }"),
    );
    // The socket is in clear text.
    assert!(
        gateway
            .said()
            .iter()
            .any(|line| line.starts_with("listening on http://"))
    );
    for (listener, preamble, client) in [
        (0, "", "127.0.0.1"),
        (1, "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n", "192.0.2.7"),
    ] {
        let ask = |path: &str| {
            let mut connection = crate::support::client::Client::connect(gateway.addresses()[listener]);
            connection.ask(format!(
                "{preamble}GET {path} HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: ftp\r\n\r\n"
            ))
        };
        let response = ask("/x");
        let forwarded = format!("for={client};host=a.test;proto=https");
        assert_eq!(
            told(&fields(&response.json()["headers"])),
            [client, "https", "a.test", "443", &forwarded, client]
        );
        assert!(response.header("set-cookie").unwrap().contains("; Secure;"));
        assert_eq!(ask("/old/7").header("location"), Some("https://a.test/new/7"));
        let name = ["plain", "proxied"][listener];
        let options = ["--listener", name, "--client-ip", client];
        let explained = explain(&gateway, "http://a.test/old/7", &[], &options);
        assert_eq!(explained["location"], "https://a.test/new/7");
    }
}

#[test]
fn redirect_to_https_spares_clients_that_use_it() {
    let service = Service::echo("a");
    let keys = format!("{TRUSTING}, redirect: {{ scheme: https, status: 308 }}");
    let gateway = Gateway::with(Config::listening(&[&keys]).all_to(&service));
    for (lines, location) in [
        (&[][..], Some("https://a.test/x")),
        (&[("x-forwarded-proto", "http")], Some("https://a.test/x")),
        (&[("x-forwarded-proto", "https")], None),
        (&[("forwarded", "proto=https;host=b.test")], None),
        (
            &[("forwarded", "proto=http;host=b.test")],
            Some("https://b.test/x"),
        ),
    ] {
        for response in ask(&gateway, "http://a.test/x", lines) {
            assert_eq!(response.header("location"), location, "{lines:?}");
        }
        let explained = explain(&gateway, "http://a.test/x", lines, &[]);
        assert_eq!(explained["location"].as_str(), location, "{lines:?}");
    }
}
