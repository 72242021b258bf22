//! Splits: choice of an arm by weight, by a sticky value, by force.

use std::collections::BTreeMap;

use http::Request;
use waypost_route::split::Split;
use xxhash_rust::xxh3::xxh3_64;

use crate::support::client::Client;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::message::Message;
use crate::support::service::Service;

/// Two versions, and a gateway whose route `users` has these keys.
fn split(route: &str) -> (Service, Service, Gateway) {
    split_with(Config::new(), route)
}

/// Like [`split`], on top of `config`.
fn split_with(config: Config, route: &str) -> (Service, Service, Gateway) {
    let (v1, v2) = (Service::echo("v1"), Service::echo("v2"));
    let gateway = Gateway::with(users(config, &v1, &v2, route));
    (v1, v2, gateway)
}

fn users(config: Config, v1: &Service, v2: &Service, route: &str) -> Config {
    let route = format!("name: users, {route}");
    config.service(v1, "").service(v2, "").route(&route)
}

/// A listener that trusts X-Forwarded headers from localhost.
fn trusting() -> Config {
    Config::listening(&["trusted_proxies: [127.0.0.1]"])
}

fn ask(client: &mut Client, fields: &str) -> Message {
    client.ask(format!("GET /users/7 HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

fn service_of(response: &Message) -> String {
    assert_eq!(response.status(), 200, "{}", response.text());
    response.json()["service"].as_str().unwrap().to_owned()
}

/// The arm by the documented hash, which all instances share.
fn expected(split_key: &str, weights: [u64; 2], value: &str) -> &'static str {
    let roll = xxh3_64(format!("{split_key}users\0{value}").as_bytes());
    ["v1", "v2"][Split::new(&weights).pick(roll).unwrap()]
}

#[test]
fn shares_match_weights() {
    let (_v1, _v2, gateway) = split("to: { v1: 3, v2: 1 }");
    let mut client = gateway.connect();
    let requests = 2000;
    let v2 = (0..requests)
        .filter(|_| service_of(&ask(&mut client, "")) == "v2")
        .count();
    // Eight standard deviations of the binomial distribution: once in 10^15 runs by chance.
    let (mean, deviation) = (500.0, (f64::from(requests) * 0.25 * 0.75).sqrt());
    assert!((v2 as f64 - mean).abs() < 8.0 * deviation, "{v2} of {requests}");
}

#[test]
fn sticky_header_agrees_across_gateways() {
    let route = "to: { v1: 70, v2: 30 }, sticky: { header: X-User-Id }";
    let config = Config::new().key("split_key: spring");
    let (_a, _b, first) = split_with(config.clone(), route);
    let (_c, _d, second) = split_with(config, route);
    let (mut one, mut other) = (first.connect(), second.connect());
    let mut seen = BTreeMap::new();
    for user in 0..200 {
        let fields = format!("x-user-id: user-{user}\r\n");
        let service = service_of(&ask(&mut one, &fields));
        assert_eq!(service, expected("spring", [70, 30], &format!("user-{user}")));
        assert_eq!(service, service_of(&ask(&mut other, &fields)), "user {user}");
        *seen.entry(service).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn edited_ramp_moves_each_client_once() {
    let route = |v2: u32| {
        let v1 = 100 - v2;
        format!("to: {{ v1: {v1}, v2: {v2} }}, sticky: {{ header: x-user-id }}")
    };
    let (v1, v2, gateway) = split(&route(0));
    let mut last: Vec<Option<String>> = vec![None; 100];
    let mut moves = [[0; 100]; 2];
    for (revision, (percent, leg)) in [(0, 0), (5, 0), (10, 0), (50, 0), (100, 0), (0, 1)]
        .into_iter()
        .enumerate()
    {
        if revision > 0 {
            gateway.rewrite(users(Config::new(), &v1, &v2, &route(percent)));
            gateway.wait_for_revision(revision as u32 + 1);
        }
        let mut client = gateway.connect();
        for (user, last) in last.iter_mut().enumerate() {
            let now = service_of(&ask(&mut client, &format!("x-user-id: {user}\r\n")));
            if last.as_ref().is_some_and(|last| *last != now) {
                moves[leg][user] += 1;
            }
            *last = Some(now);
        }
    }
    assert_eq!(moves, [[1; 100], [1; 100]]);
}

#[test]
fn sticky_cookie_set_and_followed() {
    let (_v1, _v2, gateway) = split("to: { v1: 1, v2: 1 }, sticky: { cookie: side }");
    let mut values = Vec::new();
    for _ in 0..20 {
        let mut client = gateway.connect();
        let response = ask(&mut client, "Cookie: theme=dark\r\n");
        let cookie = response.header("set-cookie").expect("a cookie");
        let (pair, attributes) = cookie.split_once(';').unwrap();
        assert_eq!(attributes, " Path=/; HttpOnly; SameSite=Lax");
        let value = pair.strip_prefix("side=").unwrap().to_owned();
        assert!(
            value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{value}"
        );
        let service = service_of(&response);
        assert_eq!(
            service,
            expected("", [1, 1], &value),
            "the cookie determines the arm"
        );
        let again = ask(&mut client, &format!("Cookie: theme=dark; side={value}\r\n"));
        assert_eq!(
            (service_of(&again), again.values("set-cookie").len()),
            (service, 0)
        );
        values.push(value);
    }
    values.sort();
    values.dedup();
    assert_eq!(values.len(), 20, "each client has its own");
}

#[test]
fn sticky_cookie_attributes() {
    let cookie = "{ name: side, path: /users, max_age: 1h, domain: example.com }";
    let route = format!("to: v1, sticky: {{ cookie: {cookie} }}");
    let (_v1, _v2, gateway) = split_with(trusting(), &route);
    for (proto, secure) in [("http", ""), ("https", "; Secure")] {
        let response = ask(&mut gateway.connect(), &format!("X-Forwarded-Proto: {proto}\r\n"));
        let set = response.header("set-cookie").unwrap();
        let expected =
            format!("; Path=/users; Domain=example.com; Max-Age=3600{secure}; HttpOnly; SameSite=Lax");
        assert!(set.ends_with(&expected), "{set}");
    }
}

#[test]
fn sticky_cookie_same_site_secure_and_http_only() {
    for (attributes, expected) in [
        ("same_site: none", "; Path=/; Secure; HttpOnly; SameSite=None"),
        (
            "same_site: none, http_only: false",
            "; Path=/; Secure; SameSite=None",
        ),
        ("same_site: strict", "; Path=/TLS; HttpOnly; SameSite=Strict"),
        (
            "same_site: lax, secure: false",
            "; Path=/; HttpOnly; SameSite=Lax",
        ),
        ("secure: true", "; Path=/; Secure; HttpOnly; SameSite=Lax"),
    ] {
        let route = format!("to: v1, sticky: {{ cookie: {{ name: side, {attributes} }} }}");
        let (_v1, _v2, gateway) = split_with(trusting(), &route);
        let http2 = Http2Client::connect(gateway.address());
        for (proto, secure) in [("http", ""), ("https", "; Secure")] {
            let expected = expected.replace("TLS", secure);
            let response = ask(&mut gateway.connect(), &format!("X-Forwarded-Proto: {proto}\r\n"));
            let asked = Request::get("http://a/users/7").header("x-forwarded-proto", proto);
            for response in [response, http2.ask(asked.body(()).unwrap(), "")] {
                let set = response.header("set-cookie").unwrap();
                assert!(set.ends_with(&expected), "{attributes} by {proto}: {set}");
            }
        }
    }
}

#[test]
fn sticky_client_ip() {
    let route = "to: { v1: 1, v2: 1 }, sticky: { client_ip: true }";
    let (_v1, _v2, gateway) = split_with(trusting(), route);
    let mut client = gateway.connect();
    for last in 1..50 {
        let address = format!("10.0.0.{last}");
        let response = ask(&mut client, &format!("X-Forwarded-For: {address}\r\n"));
        assert_eq!(service_of(&response), expected("", [1, 1], &address));
    }
}

#[test]
fn force_overrides_weight_zero() {
    let force = "force: { header: x-canary, values: { always: v2, never: v1 } }";
    let (_v1, _v2, gateway) = split(&format!("to: {{ v1: 1, v2: 0 }}, {force}"));
    let mut client = gateway.connect();
    for (fields, service) in [
        ("", "v1"),
        ("x-canary: always\r\n", "v2"),
        ("x-canary: never\r\n", "v1"),
        ("x-canary: Always\r\n", "v1"),
        ("x-canary: always\r\nx-canary: always\r\n", "v1"),
    ] {
        assert_eq!(service_of(&ask(&mut client, fields)), service, "{fields}");
    }
}

#[test]
fn all_zero_weights_are_500_unless_forced() {
    let force = "force: { cookie: canary, values: { on: v2 } }";
    let (_v1, _v2, gateway) = split(&format!("to: {{ v1: 0, v2: 0 }}, {force}"));
    let mut client = gateway.connect();
    assert_eq!(ask(&mut client, "").status(), 500);
    assert_eq!(service_of(&ask(&mut client, "Cookie: canary=on\r\n")), "v2");
}
