//! Which service of a split gets a request: by chance, by what a client is known by, by force.

use std::collections::BTreeMap;

use waypost_route::split::Split;
use xxhash_rust::xxh3::xxh3_64;

use crate::support::client::Client;
use crate::support::gateway::{Gateway, LISTENER, services};
use crate::support::message::Message;
use crate::support::service::Service;

/// Two versions, and a gateway whose route `users` has these keys.
fn split(top: &str, route: &str) -> (Service, Service, Gateway) {
    let (v1, v2) = (Service::echo("v1"), Service::echo("v2"));
    let gateway = Gateway::with(format!(
        "{top}{LISTENER}{}routes:\n  - name: users\n    {route}\n",
        services([&v1, &v2])
    ));
    (v1, v2, gateway)
}

fn ask(client: &mut Client, fields: &str) -> Message {
    client.ask(format!("GET /users/7 HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

fn service_of(answer: &Message) -> String {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()["service"].as_str().unwrap().to_owned()
}

/// What the hash says: the contract that all instances share.
fn expected(split_key: &str, weights: [u64; 2], value: &str) -> &'static str {
    let roll = xxh3_64(format!("{split_key}users\0{value}").as_bytes());
    ["v1", "v2"][Split::new(&weights).pick(roll).unwrap()]
}

#[test]
fn without_stickiness_the_shares_are_the_weights() {
    let (_v1, _v2, gateway) = split("", "to: { v1: 3, v2: 1 }");
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
fn a_header_decides_alike_on_every_gateway() {
    let route = "to: { v1: 70, v2: 30 }\n    sticky: { header: X-User-Id }";
    let (_a, _b, first) = split("split_key: spring\n", route);
    let (_c, _d, second) = split("split_key: spring\n", route);
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
fn a_ramp_by_edits_moves_every_client_once_each_way() {
    let route = |v2: u32| {
        format!(
            "to: {{ v1: {}, v2: {v2} }}\n    sticky: {{ header: x-user-id }}",
            100 - v2
        )
    };
    let (v1, v2, gateway) = split("", &route(0));
    let mut last: Vec<Option<String>> = vec![None; 100];
    let mut moves = [[0; 100]; 2];
    for (revision, (percent, leg)) in [(0, 0), (5, 0), (10, 0), (50, 0), (100, 0), (0, 1)]
        .into_iter()
        .enumerate()
    {
        if revision > 0 {
            let config = format!(
                "{LISTENER}{}routes:\n  - name: users\n    {}\n",
                services([&v1, &v2]),
                route(percent)
            );
            gateway.rewrite(config);
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
fn a_client_without_the_cookie_is_given_one_and_stays_where_it_was_put() {
    let (_v1, _v2, gateway) = split("", "to: { v1: 1, v2: 1 }\n    sticky: { cookie: side }");
    let mut values = Vec::new();
    for _ in 0..20 {
        let mut client = gateway.connect();
        let answer = ask(&mut client, "Cookie: theme=dark\r\n");
        let cookie = answer.header("set-cookie").expect("a cookie");
        let (pair, attributes) = cookie.split_once(';').unwrap();
        assert_eq!(attributes, " Path=/; HttpOnly; SameSite=Lax");
        let value = pair.strip_prefix("side=").unwrap().to_owned();
        assert!(
            value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{value}"
        );
        let service = service_of(&answer);
        assert_eq!(
            service,
            expected("", [1, 1], &value),
            "the cookie says where it is"
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
fn the_cookie_has_the_attributes_that_are_asked_for_and_is_secure_behind_tls() {
    let top = "listeners: [{ bind: 127.0.0.1:0, trusted_proxies: [127.0.0.1] }]\nworkers: 1\n";
    let v1 = Service::echo("v1");
    let cookie = "{ name: side, path: /users, max_age: 1h, domain: example.com }";
    let gateway = Gateway::with(format!(
        "{top}{}routes:\n  - name: users\n    to: v1\n    sticky: {{ cookie: {cookie} }}\n",
        services([&v1])
    ));
    for (proto, secure) in [("http", ""), ("https", "; Secure")] {
        let answer = ask(&mut gateway.connect(), &format!("X-Forwarded-Proto: {proto}\r\n"));
        let set = answer.header("set-cookie").unwrap();
        let expected =
            format!("; Path=/users; Domain=example.com; Max-Age=3600{secure}; HttpOnly; SameSite=Lax");
        assert!(set.ends_with(&expected), "{set}");
    }
}

#[test]
fn an_address_decides_when_it_is_asked_to() {
    let top = "listeners: [{ bind: 127.0.0.1:0, trusted_proxies: [127.0.0.1] }]\nworkers: 1\n";
    let (v1, v2) = (Service::echo("v1"), Service::echo("v2"));
    let gateway = Gateway::with(format!(
        "{top}{}routes:\n  - name: users\n    to: {{ v1: 1, v2: 1 }}\n    sticky: {{ client_ip: true }}\n",
        services([&v1, &v2])
    ));
    let mut client = gateway.connect();
    for last in 1..50 {
        let address = format!("10.0.0.{last}");
        let answer = ask(&mut client, &format!("X-Forwarded-For: {address}\r\n"));
        assert_eq!(service_of(&answer), expected("", [1, 1], &address));
    }
}

#[test]
fn force_picks_an_arm_even_at_weight_zero_and_other_values_leave_the_split() {
    let force = "force: { header: x-canary, values: { always: v2, never: v1 } }";
    let (_v1, _v2, gateway) = split("", &format!("to: {{ v1: 1, v2: 0 }}\n    {force}"));
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
fn weights_that_are_all_zero_answer_500_but_force_still_leads_somewhere() {
    let force = "force: { cookie: canary, values: { on: v2 } }";
    let (_v1, _v2, gateway) = split("", &format!("to: {{ v1: 0, v2: 0 }}\n    {force}"));
    let mut client = gateway.connect();
    assert_eq!(ask(&mut client, "").status(), 500);
    assert_eq!(service_of(&ask(&mut client, "Cookie: canary=on\r\n")), "v2");
}
