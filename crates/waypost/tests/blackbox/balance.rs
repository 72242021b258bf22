//! Load balancing: the endpoint that takes a request, by rule, weight and availability.

use crate::support::client::{Client, get, request};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{self, Http2Client};
use crate::support::service::{Service, gate, ok};
use crate::support::tls::{Authority, Trusting, der};
use crate::support::wait_for;

/// A config with a service `s` of these endpoints, each in YAML flow text, and these keys, which gets every request.
fn config(endpoints: &[String], keys: &str) -> Config {
    let endpoints = endpoints.join(", ");
    Config::new()
        .item(
            "services",
            &format!("  s: {{ endpoints: [{endpoints}], {keys} }}"),
        )
        .route("name: all, to: s")
}

fn urls(services: &[Service]) -> Vec<String> {
    services.iter().map(Service::url).collect()
}

/// An endpoint with more keys than its URL.
fn with(service: &Service, keys: &str) -> String {
    format!("{{ url: {}, {keys} }}", service.url())
}

/// Three services `a`, `b` and `c`.
fn three() -> [Service; 3] {
    ["a", "b", "c"].map(Service::echo)
}

/// The service that responds to a request with these fields.
fn taker(client: &mut Client, url: &str, fields: &str) -> String {
    let response = client.ask(request("GET", url, fields)).json();
    response["service"].as_str().unwrap().to_owned()
}

/// The services that respond to each of these values of `x-user`.
fn takers(gateway: &Gateway, values: u32) -> Vec<String> {
    let mut client = gateway.connect();
    let taker = |value| taker(&mut client, "http://a/", &format!("X-User: {value}\r\n"));
    (0..values).map(taker).collect()
}

const BY_USER: &str = "balance: { hash: { header: X-User } }";

#[test]
fn requests_are_spread_smoothly_by_weight() {
    let [a, b, c] = three();
    let endpoints = [with(&a, "weight: 5"), b.url(), c.url()];
    for balance in ["round_robin", "{ hash: { header: x-user } }"] {
        let gateway = Gateway::with(config(&endpoints, &format!("balance: {balance}")));
        let mut client = gateway.connect();
        let sequence: String = (0..14).map(|_| taker(&mut client, "http://a/", "")).collect();
        assert_eq!(sequence, "aabacaaaabacaa", "{balance}");
    }
}

#[test]
fn random_endpoints_have_their_shares() {
    let [a, b, c] = three();
    let endpoints = [with(&a, "weight: 8"), b.url(), with(&c, "weight: 0")];
    let gateway = Gateway::with(config(&endpoints, "balance: random"));
    let mut client = gateway.connect();
    let taken: Vec<String> = (0..400).map(|_| taker(&mut client, "http://a/", "")).collect();
    let share = taken.iter().filter(|name| *name == "a").count();
    // Outside of these bounds once in 10^15 runs or so.
    assert!((300..400).contains(&share), "{share}");
    assert!(taken.iter().all(|name| name != "c"));
}

#[test]
fn same_value_goes_to_the_same_endpoint_of_every_gateway() {
    let services = three();
    let mut endpoints = urls(&services);
    let gateway = Gateway::with(config(&endpoints, BY_USER));
    let before = takers(&gateway, 60);
    for name in ["a", "b", "c"] {
        assert!(
            before.iter().filter(|taker| *taker == name).count() > 5,
            "{before:?}"
        );
    }
    assert_eq!(takers(&gateway, 60), before, "on another connection");
    endpoints.reverse();
    let other = Gateway::with(config(&endpoints, BY_USER).workers(2));
    assert_eq!(takers(&other, 60), before, "at another gateway");
    assert_eq!(takers(&gateway.restarted(), 60), before, "after a restart");
    let client = Http2Client::connect(other.address());
    for (value, taker) in before.iter().enumerate().take(20) {
        let mut request = http2::get("http://a/");
        let value = value.to_string().parse().unwrap();
        request.headers_mut().insert("x-user", value);
        assert_eq!(client.ask(request, "").json()["service"], **taker, "over HTTP/2");
    }
}

#[test]
fn lines_of_a_header_are_one_value() {
    let services = three();
    let gateway = Gateway::with(config(&urls(&services), BY_USER));
    let mut client = gateway.connect();
    for value in 0..10 {
        let one = taker(&mut client, "http://a/", &format!("x-user: {value}, x\r\n"));
        let two = format!("X-USER:  {value} \r\na: b\r\nx-user: x\r\n");
        assert_eq!(taker(&mut client, "http://a/", &two), one);
    }
}

#[test]
fn cookie_address_or_path_can_be_the_value() {
    let services = three();
    let gateway = |key: &str| Gateway::with(config(&urls(&services), &format!("balance: {{ hash: {key} }}")));
    /// The takers of the requests of each group, which have the same value.
    fn check(gateway: &Gateway, groups: &[[(&str, &str); 2]]) {
        let mut client = gateway.connect();
        let mut all = Vec::new();
        for group in groups {
            let [one, other] =
                group.map(|(path, fields)| taker(&mut client, &format!("http://a{path}"), fields));
            assert_eq!(one, other, "{group:?}");
            all.push(one);
        }
        all.dedup();
        assert!(all.len() > 1, "{all:?}");
    }
    let paths: Vec<(String, String)> = (0..12)
        .map(|at| (format!("/p/{at}?q=1"), format!("/p/./{at}?q=2")))
        .collect();
    let groups: Vec<[(&str, &str); 2]> = paths
        .iter()
        .map(|(one, other)| [(&**one, ""), (&**other, "")])
        .collect();
    check(&gateway("{ path: true }"), &groups);
    let cookies: Vec<(String, String)> = (0..12)
        .map(|at| {
            (
                format!("Cookie: sid={at}\r\n"),
                format!("Cookie: x=y; sid={at}; sid=7\r\n"),
            )
        })
        .collect();
    let groups: Vec<[(&str, &str); 2]> = cookies
        .iter()
        .map(|(one, other)| [("/", &**one), ("/x", &**other)])
        .collect();
    check(&gateway("{ cookie: sid }"), &groups);
    let gateway = gateway("{ client_ip: true }");
    let all: Vec<String> = (0..12)
        .map(|_| taker(&mut gateway.connect(), "http://a/", ""))
        .collect();
    assert!(all.iter().all(|taker| *taker == all[0]), "{all:?}");
}

#[test]
fn clients_behind_a_trusted_proxy_are_told_apart() {
    let services = three();
    let text = config(&urls(&services), "balance: { hash: { client_ip: true } }").to_string();
    let trusted = text.replace("127.0.0.1:0", "127.0.0.1:0, trusted_proxies: [127.0.0.1]");
    let gateway = Gateway::with(trusted);
    let mut client = gateway.connect();
    let mut by_address = |at: u32| {
        let fields = format!("X-Forwarded-For: 192.0.2.{at}\r\n");
        taker(&mut client, "http://a/", &fields)
    };
    let once: Vec<String> = (0..20).map(&mut by_address).collect();
    let again: Vec<String> = (0..20).map(&mut by_address).collect();
    assert_eq!(once, again);
    assert!(once.iter().any(|taker| *taker != once[0]), "{once:?}");
}

#[test]
fn an_endpoint_that_is_out_loses_its_values_alone() {
    let mut b = Service::refusing_as("b");
    let [a, c] = ["a", "c"].map(Service::echo);
    let endpoints = [a.url(), b.url(), c.url()];
    let without = Gateway::with(config(&endpoints, BY_USER));
    let while_out = takers(&without, 60);
    assert!(while_out.iter().all(|taker| taker != "b"), "{while_out:?}");
    b.recover();
    let with_all = takers(&Gateway::with(config(&endpoints, BY_USER)), 60);
    for (out, all) in while_out.iter().zip(&with_all) {
        assert!(out == all || all == "b", "{while_out:?} {with_all:?}");
    }
    assert!(with_all.iter().any(|taker| taker == "b"));
}

#[test]
fn copies_go_by_the_value_of_their_request() {
    let copies = ["m1", "m2", "m3"].map(Service::echo);
    let main = Service::echo("main");
    let endpoints = urls(&copies).join(", ");
    let gateway = Gateway::with(
        Config::new()
            .service(&main, "")
            .item(
                "services",
                &format!("  m: {{ endpoints: [{endpoints}], {BY_USER} }}"),
            )
            .route("name: all, to: main, mirror: { to: m }"),
    );
    let mut client = gateway.connect();
    for _ in 0..6 {
        client.ask(request("GET", "http://a/", "x-user: 7\r\n"));
    }
    let counts = || {
        copies
            .each_ref()
            .map(|copy| copy.received().concat().matches("GET / ").count())
    };
    let counts = wait_for("all copies", || {
        let counts = counts();
        (counts.iter().sum::<usize>() == 6).then_some(counts)
    });
    assert_eq!(counts.iter().max(), Some(&6), "{counts:?}");
}

#[test]
fn connections_that_are_passed_through_go_by_their_address() {
    let authority = Authority::new();
    let service = Service::echo("s");
    let pairs = [(); 3].map(|()| authority.issue(&["a.test"]));
    let inner = pairs
        .each_ref()
        .map(|pair| Gateway::with_certificates(&[pair], &service));
    let endpoints = inner
        .each_ref()
        .map(|gateway| format!("https://{}", gateway.address()))
        .join(", ");
    let takers = |balance: &str| {
        let gateway = Gateway::with(
            Config::listening(&["tls: { passthrough: true }"])
                .item(
                    "services",
                    &format!("  a: {{ endpoints: [{endpoints}], balance: {balance} }}"),
                )
                .route("name: a, passthrough: a"),
        );
        let trusting = Trusting::new(&authority);
        let shown = (0..6).map(|_| trusting.connect(gateway.address(), "a.test").shown());
        let takers = shown.map(|shown| pairs.iter().position(|pair| der(pair) == shown).unwrap());
        takers.collect::<Vec<usize>>()
    };
    let takers_by_address = takers("{ hash: { client_ip: true } }");
    assert_eq!(takers_by_address, [takers_by_address[0]; 6]);
    // They have neither path nor header.
    let mut takers = takers("{ hash: { path: true } }");
    takers.sort_unstable();
    assert_eq!(takers, [0, 0, 1, 1, 2, 2]);
}

#[test]
fn an_endpoint_with_a_request_in_flight_is_passed_over() {
    let (opener, gate) = gate();
    let busy = Service::named("busy", move |talk| {
        while talk.request().is_some_and(|request| request.is_complete) {
            gate.wait();
            talk.send(ok("busy"));
        }
    });
    let idle = Service::echo("idle");
    let endpoints = [busy.url(), idle.url()];
    let gateway = Gateway::with(config(&endpoints, "balance: least_request").workers(2));
    // Until one is at the busy endpoint; of 64, all at the other would be a wonder.
    let mut waiting: Vec<Client> = Vec::new();
    while busy.connections() == 0 && waiting.len() < 64 {
        let mut client = gateway.connect();
        client.send(get("http://a/"));
        waiting.push(client);
        let requests = || {
            let received = |service: &Service| service.received().concat().matches("GET / ").count();
            received(&busy) + received(&idle)
        };
        wait_for("the request", || (requests() == waiting.len()).then_some(()));
    }
    // A request counts until shortly after its client has the response.
    let is_idle = || {
        let service = gateway.admin_json("/api/v1/services/s");
        let in_flight = service["endpoints"][1]["addresses"][0]["in_flight"].as_u64();
        (in_flight == Some(0)).then_some(())
    };
    // Whichever worker takes them.
    for _ in 0..32 {
        wait_for("the idle endpoint", is_idle);
        assert_eq!(gateway.get("http://a/").json()["service"], "idle");
    }
    assert_eq!(busy.connections(), 1);
    opener.open();
    assert_eq!(waiting.last_mut().unwrap().response().text(), "busy");
    drop(opener);
    wait_for("the endpoint to be chosen again", || {
        (gateway.get("http://a/").text() == "busy").then_some(())
    });
}

#[test]
fn a_backup_takes_requests_only_while_no_other_is_available() {
    for balance in [
        "round_robin",
        "least_request",
        "random",
        "{ hash: { path: true } }",
    ] {
        let [a, b, c] = three();
        let dead = Service::refusing();
        let backups = [with(&b, "backup: true"), with(&c, "backup: true")];
        let keys = format!("balance: {balance}");
        let [first, second] = backups.clone();
        let gateway = Gateway::with(config(&[a.url(), first, second], &keys));
        let mut client = gateway.connect();
        for at in 0..6 {
            assert_eq!(
                taker(&mut client, &format!("http://a/{at}"), ""),
                "a",
                "{balance}"
            );
        }
        let [first, second] = backups;
        let gateway = Gateway::with(config(&[dead.url(), first, second], &keys));
        let mut client = gateway.connect();
        let mut takers: Vec<String> = (0..40)
            .map(|at| taker(&mut client, &format!("http://a/{at}"), ""))
            .collect();
        takers.sort_unstable();
        takers.dedup();
        assert_eq!(takers, ["b", "c"], "{balance}");
    }
}

#[test]
fn weight_0_takes_no_requests() {
    let [a, b, c] = three();
    let endpoints = [
        with(&a, "weight: 0"),
        b.url(),
        with(&c, "weight: 0, backup: true"),
    ];
    let gateway = Gateway::with(config(&endpoints, ""));
    let mut client = gateway.connect();
    for _ in 0..4 {
        assert_eq!(taker(&mut client, "http://a/", ""), "b");
    }
    let gateway = Gateway::with(config(&[with(&a, "weight: 0")], ""));
    let response = gateway.get("http://a/");
    assert_eq!(response.status(), 503);
    let status = response.header("proxy-status").unwrap_or_default().to_owned();
    assert!(status.contains("destination_unavailable"), "{status}");
}

#[test]
fn without_panic_a_service_whose_endpoints_are_out_is_not_tried() {
    let statuses = |keys: &str| {
        let dead = [Service::refusing(), Service::refusing()];
        let gateway = Gateway::with(config(&urls(&dead), keys));
        [
            gateway.get("http://a/").status(),
            gateway.get("http://a/").status(),
        ]
    };
    assert_eq!(statuses(""), [502, 502]);
    assert_eq!(statuses("panic: 1"), [502, 502]);
    assert_eq!(statuses("panic: 0"), [502, 503]);
}

#[test]
fn panic_is_an_event_and_a_metric() {
    let (mut a, b) = (Service::refusing_as("a"), Service::refusing_as("b"));
    let gateway = Gateway::with(config(&[a.url(), b.url()], "").workers(2));
    let mode = |expected: &str| {
        let line = format!("waypost_panic_mode{{service=\"s\"}} {expected}\n");
        wait_for("the metric", || gateway.metrics().contains(&line).then_some(()));
    };
    mode("0");
    let mut events = Client::connect(gateway.admin_address());
    events.send(get("http://127.0.0.1/api/v1/events"));
    assert_eq!(events.response_head().status(), 200);
    let mut clients: Vec<Client> = (0..16).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.ask(get("http://a/")).status(), 502);
    }
    events.expect("event: panic_entered\n");
    events.expect("\"service\":\"s\",\"available\":0,\"endpoints\":2}");
    mode("1");
    a.recover();
    assert_eq!(gateway.get("http://a/").json()["service"], "a");
    events.expect("event: panic_left\n");
    mode("0");
}

#[test]
fn an_endpoint_that_comes_back_begins_with_a_tenth_of_its_share() {
    for (slow_start, expected) in [("", 11), (", slow_start: 24h", 2)] {
        let a = Service::echo("a");
        let mut b = Service::refusing_as("b");
        // With one of two out, both are tried, so that `b` is found as soon as it is back.
        let gateway = Gateway::with(config(&[a.url(), b.url()], &format!("panic: 100{slow_start}")));
        let mut client = gateway.connect();
        for _ in 0..4 {
            assert_eq!(taker(&mut client, "http://a/", ""), "a");
        }
        b.recover();
        let back = (0..4).position(|_| taker(&mut client, "http://a/", "") == "b");
        assert!(back.is_some());
        let taken: Vec<String> = (0..22).map(|_| taker(&mut client, "http://a/", "")).collect();
        let share = taken.iter().filter(|name| *name == "b").count();
        assert_eq!(share, expected, "{slow_start} {taken:?}");
    }
}

#[test]
fn endpoints_of_a_fresh_start_have_their_shares() {
    let services = three();
    let gateway = Gateway::with(config(&urls(&services), "slow_start: 24h"));
    let mut client = gateway.connect();
    let mut taken: Vec<String> = (0..6).map(|_| taker(&mut client, "http://a/", "")).collect();
    taken.sort_unstable();
    assert_eq!(taken.concat(), "aabbcc");
}
