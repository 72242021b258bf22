//! `trusted_proxies` as a mapping: the hop or the header that names the client, and the host that routes match.

use serde_json::{Value, json};

use crate::access_log::wait_for_log;
use crate::clients::{Lines, ask, explain, fields, told};
use crate::support::client::{Client, request};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::Service;

/// A gateway with a service that echoes, and a route that `client_ip` takes from 203.0.113.0/24.
fn gateway(service: &Service, keys: &str) -> Gateway {
    let listener = format!("trusted_proxies: {{ from: [127.0.0.0/8, 10.0.0.0/8], {keys} }}");
    Gateway::with(
        Config::listening(&[&listener])
            .key("access_log: access.log")
            .service(service, "")
            .route("name: office, match: { client_ip: 203.0.113.0/24 }, to: a")
            .route("name: moved, match: { path: /old/* }, redirect: { prefix: /new }")
            .route("name: all, to: a"),
    )
}

/// Checks what services are told, over HTTP/1 and HTTP/2, and what `explain` says of it; and the client in the log.
fn check(gateway: &Gateway, cases: &[(&Lines, [&str; 6])]) {
    for (lines, expected) in cases {
        for response in ask(gateway, "http://a.test/x", lines) {
            assert_eq!(told(&fields(&response.json()["headers"])), *expected, "{lines:?}");
        }
        let explained = explain(gateway, "http://a.test/x", lines, &[]);
        assert_eq!(told(&fields(&explained["headers"])), *expected, "{lines:?}");
        let route = if expected[5].starts_with("203.0.113.") {
            "office"
        } else {
            "all"
        };
        assert_eq!(explained["route"], route, "{lines:?}");
    }
    let clients: Vec<Value> = cases
        .iter()
        .flat_map(|(_, expected)| [json!(expected[5]), json!(expected[5])])
        .collect();
    let logged: Vec<Value> = wait_for_log(gateway, clients.len())
        .iter()
        .map(|line| line["client"].clone())
        .collect();
    assert_eq!(logged, clients);
}

#[test]
fn a_hop_of_x_forwarded_for_is_the_client() {
    let service = Service::echo("a");
    let gateway = gateway(&service, "hops: 2");
    check(
        &gateway,
        &[
            (
                &[
                    ("x-forwarded-for", "192.0.2.66, 203.0.113.9, 198.51.100.1"),
                    ("x-forwarded-proto", "https"),
                    ("x-forwarded-host", "shop.example"),
                ],
                [
                    "192.0.2.66, 203.0.113.9, 198.51.100.1, 127.0.0.1",
                    "https",
                    "shop.example",
                    "443",
                    "for=203.0.113.9;host=shop.example;proto=https, for=127.0.0.1;host=shop.example;proto=https",
                    "203.0.113.9",
                ],
            ),
            // What else is there may be the client's.
            (
                &[
                    ("x-forwarded-for", "203.0.113.9, 198.51.100.1"),
                    ("forwarded", "for=192.0.2.1;host=forged;proto=https"),
                    ("x-real-ip", "198.51.100.1"),
                ],
                [
                    "203.0.113.9, 198.51.100.1, 127.0.0.1",
                    "http",
                    "a.test",
                    "80",
                    "for=203.0.113.9;host=a.test;proto=http, for=127.0.0.1;host=a.test;proto=http",
                    "203.0.113.9",
                ],
            ),
            // Beyond the list: the peer, and nothing of the list.
            (
                &[("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https")],
                [
                    "127.0.0.1",
                    "https",
                    "a.test",
                    "443",
                    "for=127.0.0.1;host=a.test;proto=https",
                    "127.0.0.1",
                ],
            ),
        ],
    );
    // Another peer is the client, whatever it says.
    let lines: &Lines = &[("x-forwarded-for", "203.0.113.9, 198.51.100.1")];
    let outside = explain(&gateway, "http://a.test/", lines, &["--client-ip", "192.0.2.1"]);
    assert_eq!(outside["route"], "all");
    assert_eq!(fields(&outside["headers"])["x-forwarded-for"], "192.0.2.1");
}

#[test]
fn a_header_with_one_address_names_the_client() {
    let service = Service::echo("a");
    for name in [
        "cf-connecting-ip",
        "true-client-ip",
        "fly-client-ip",
        "x-edge-client",
    ] {
        let gateway = gateway(&service, &format!("header: {name}"));
        let alone = [
            "127.0.0.1",
            "http",
            "a.test",
            "",
            "for=127.0.0.1;host=a.test;proto=http",
            "127.0.0.1",
        ];
        check(
            &gateway,
            &[
                (
                    &[
                        (name, "203.0.113.9"),
                        ("x-forwarded-for", "192.0.2.66, 203.0.113.9"),
                        ("x-forwarded-proto", "https"),
                    ],
                    [
                        "192.0.2.66, 203.0.113.9, 127.0.0.1",
                        "https",
                        "a.test",
                        "443",
                        "for=203.0.113.9;host=a.test;proto=https, for=127.0.0.1;host=a.test;proto=https",
                        "203.0.113.9",
                    ],
                ),
                // A list that does not name the client begins anew.
                (
                    &[(name, "2001:db8::9"), ("x-forwarded-for", "203.0.113.1")],
                    [
                        "2001:db8::9, 127.0.0.1",
                        "http",
                        "a.test",
                        "80",
                        "for=\"[2001:db8::9]\";host=a.test;proto=http, for=127.0.0.1;host=a.test;proto=http",
                        "2001:db8::9",
                    ],
                ),
                (&[("x-forwarded-for", "203.0.113.1")], alone),
                (&[(name, "203.0.113.1, 203.0.113.2")], alone),
                (&[(name, "203.0.113.1"), (name, "203.0.113.1")], alone),
                (&[(name, "unknown"), ("x-real-ip", "203.0.113.1")], alone),
            ],
        );
        // It travels on where it is believed, and from no other peer.
        let sent = |lines: &Lines, options: &[&str]| {
            let explained = explain(&gateway, "http://a.test/", lines, options);
            fields(&explained["headers"]).get(name).cloned()
        };
        let [one, many]: [&Lines; 2] = [&[(name, "203.0.113.9")], &[(name, "203.0.113.9, 203.0.113.8")]];
        assert_eq!(sent(one, &[]).as_deref(), Some("203.0.113.9"), "{name}");
        assert_eq!(sent(many, &[]), None, "{name}");
        assert_eq!(sent(one, &["--client-ip", "192.0.2.1"]), None, "{name}");
    }
}

#[test]
fn routes_match_the_forwarded_host_if_the_listener_says_so() {
    let service = Service::echo("a");
    let config = |host: &str| {
        let listener =
            format!("hosts: [shop.example, a.test], trusted_proxies: {{ from: [127.0.0.1], host: {host} }}");
        Config::listening(&[&listener])
            .key("access_log: access.log")
            .service(&service, "")
            .route("name: shop, match: { host: shop.example }, to: a")
            .route("name: moved, match: { path: /old/* }, redirect: { prefix: /new }")
            .route("name: all, to: a")
    };
    let families: [&Lines; 3] = [
        &[("x-forwarded-host", "Shop.example:8443")],
        &[("forwarded", "for=203.0.113.9;host=\"shop.example:8443\"")],
        // `Forwarded` counts.
        &[
            ("forwarded", "for=203.0.113.9;host=shop.example"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-host", "b.test"),
        ],
    ];
    for (host, route) in [("forwarded", "shop"), ("requested", "all")] {
        let gateway = Gateway::with(config(host));
        for lines in families {
            for response in ask(&gateway, "http://a.test/x", lines) {
                let echoed = response.json();
                // The service gets the request's own host in any case.
                assert_eq!(fields(&echoed["headers"])["host"], "a.test", "{lines:?}");
            }
            let explained = explain(&gateway, "http://a.test/x", lines, &[]);
            assert_eq!(explained["route"], route, "{host} {lines:?}");
            let untrusted = ["--client-ip", "192.0.2.1"];
            let explained = explain(&gateway, "http://a.test/x", lines, &untrusted);
            assert_eq!(explained["route"], "all", "{host} {lines:?}");
        }
        for line in wait_for_log(&gateway, families.len() * 2) {
            let expected = if route == "shop" { "shop.example" } else { "a.test" };
            assert_eq!((&line["route"], &line["host"]), (&json!(route), &json!(expected)));
        }
    }
    // So do the listener's hosts, and the tests of the config.
    let gateway = Gateway::with(config("forwarded").test(
        "request: GET http://a.test/, client_ip: 127.0.0.1, headers: { x-forwarded-host: shop.example }, expect: { route: shop }",
    ));
    for (own, forwarded, status) in [
        ("inside.test", "shop.example", 200),
        ("inside.test", "other.test", 404),
        ("a.test", "other.test", 404),
        ("inside.test", "not a host", 404),
        ("a.test", "not a host", 200),
    ] {
        let url = format!("http://{own}/x");
        for response in ask(&gateway, &url, &[("x-forwarded-host", forwarded)]) {
            assert_eq!(response.status(), status, "{own} {forwarded}");
        }
    }
    let [redirect, _] = ask(
        &gateway,
        "http://a.test/old/7",
        &[("x-forwarded-host", "a.test:81")],
    );
    assert_eq!(redirect.header("location"), Some("http://a.test:81/new/7"));
}

#[test]
fn explain_finds_the_listener_of_a_forwarded_host() {
    let gateway = Gateway::with(
        Config::listening(&[
            "name: plain, hosts: [other.test]",
            "name: behind, hosts: [shop.example], trusted_proxies: { from: [127.0.0.1], host: forwarded }",
            "name: last, hosts: [a.test]",
        ])
        .route("name: behind, match: { listener: behind }, respond: { status: 200 }")
        .route("name: last, match: { listener: last }, respond: { status: 200 }"),
    );
    let forwarded: &Lines = &[("x-forwarded-host", "shop.example")];
    for (lines, route) in [(forwarded, "behind"), (&[], "last")] {
        let explained = explain(&gateway, "http://a.test/", lines, &[]);
        assert_eq!(explained["route"], route, "{lines:?}");
    }
}

#[test]
fn a_proxy_header_comes_before_hops() {
    let service = Service::echo("a");
    let keys = "proxy_protocol: optional, trusted_proxies: { from: [127.0.0.1, 10.0.0.0/8], hops: 1 }";
    let gateway = Gateway::with(Config::listening(&[keys]).all_to(&service));
    for (source, client) in [("10.0.0.7", "203.0.113.9"), ("192.0.2.7", "192.0.2.7")] {
        let mut connection = Client::connect(gateway.address());
        let preamble = format!("PROXY TCP4 {source} 198.51.100.1 4711 443\r\n");
        let head = request("GET", "http://a.test/", "x-forwarded-for: 203.0.113.9\r\n");
        let echoed = connection.ask(format!("{preamble}{head}")).json();
        assert_eq!(fields(&echoed["headers"])["x-real-ip"], client);
    }
}
