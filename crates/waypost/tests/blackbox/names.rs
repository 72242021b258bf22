//! Names of endpoints: looked up when their TTL ends, kept without an answer, and gone with a second negative one.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::support::client::Client;
use crate::support::config::Config;
use crate::support::dns::{Data, Kind, NameServer, Reply, addresses};
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::service::{Service, gate, ok};
use crate::support::tls::Authority;
use crate::support::wait_for;

/// A config with a service `s` at this endpoint, which everything goes to, whose names `server` knows.
fn config(server: &NameServer, endpoint: &str) -> Config {
    Config::new()
        .key(&server.key())
        .service_at("s", &[endpoint], "")
        .route("name: all, to: s")
}

/// The addresses of the first service.
fn known(gateway: &Gateway) -> Vec<String> {
    let services = gateway.admin_json("/api/v1/services");
    let endpoints = services[0]["endpoints"].as_array().unwrap().iter();
    let addresses = endpoints.flat_map(|endpoint| endpoint["addresses"].as_array().unwrap().clone());
    addresses
        .map(|address| address["address"].as_str().unwrap().to_owned())
        .collect()
}

fn wait_until_known(gateway: &Gateway, expected: &[&str]) {
    wait_for("the addresses", || (known(gateway) == expected).then_some(()));
}

/// Services `1`, `2`, … at 127.0.0.1, 127.0.0.2, … on one port.
fn on_one_port(count: u8) -> (Vec<Service>, u16) {
    wait_for("a port that is free at all addresses", || {
        let first = Service::echo("1");
        let port = first.address().port();
        let others = (2..=count).map(|last| Service::echo_at(&last.to_string(), ([127, 0, 0, last], port)));
        let all: Option<Vec<Service>> = std::iter::once(Some(first)).chain(others).collect();
        Some((all?, port))
    })
}

/// Subscribes to events.
fn events(gateway: &Gateway) -> Client {
    let mut events = Client::connect(gateway.admin_address());
    let host = gateway.admin_address();
    events.send(format!("GET /api/v1/events HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert_eq!(events.response_head().status(), 200);
    events
}

#[test]
fn names_are_looked_up_when_their_ttl_ends() {
    let (services, port) = on_one_port(3);
    let server = NameServer::new();
    server.set("orders.test", Kind::A, &[addresses(1, &["127.0.0.1"])]);
    let gateway = Gateway::with(config(&server, &format!("http://orders.test:{port}")));
    let address = format!("127.0.0.1:{port}");
    let first = [&*address];
    // An answer that takes seconds is not waited for.
    let is_late = gateway
        .said()
        .iter()
        .any(|line| line.contains("does not resolve"));
    assert!(is_late || known(&gateway) == first, "known at the start");
    wait_until_known(&gateway, &first);
    assert_eq!(gateway.get("http://a/").json()["service"], "1");
    let http2 = Http2Client::connect(gateway.address());
    assert_eq!(http2.get("http://a/").json()["service"], "1");
    let mut events = events(&gateway);
    server.set(
        "orders.test",
        Kind::A,
        &[addresses(0, &["127.0.0.3", "127.0.0.2"])],
    );
    events.expect("event: addresses_changed\n");
    events.expect(&format!(
        "\"service\":\"s\",\"name\":\"orders.test\",\"added\":[\"127.0.0.2:{port}\",\"127.0.0.3:{port}\"],\
         \"removed\":[\"127.0.0.1:{port}\"]"
    ));
    let answered = |_| gateway.get("http://a/").json()["service"].clone();
    let mut by: Vec<Value> = (0..4).map(answered).collect();
    by.sort_by_key(Value::to_string);
    assert_eq!(by, ["2", "2", "3", "3"]);
    assert_ne!(http2.get("http://a/").json()["service"], "1");
    drop(services);
}

#[test]
fn address_that_leaves_finishes_what_it_has() {
    let server = NameServer::new();
    let (opener, gate) = gate();
    let service = Service::scripted(move |talk| {
        while talk.request().is_some() {
            talk.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
            gate.wait();
            talk.send("half");
        }
    });
    let port = service.address().port();
    server.set("orders.test", Kind::A, &[addresses(1, &["127.0.0.1"])]);
    let gateway = Gateway::with(config(&server, &format!("http://orders.test:{port}")));
    wait_until_known(&gateway, &[&format!("127.0.0.1:{port}")]);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.expect("half");
    server.set("orders.test", Kind::A, &[addresses(1, &["127.0.0.9"])]);
    wait_until_known(&gateway, &[&format!("127.0.0.9:{port}")]);
    opener.open();
    client.expect("half");
}

#[test]
fn name_without_answer_keeps_its_addresses() {
    let service = Service::echo("1");
    let server = NameServer::new();
    let port = service.address().port();
    server.set("orders.test", Kind::A, &[addresses(1, &["127.0.0.1"])]);
    let gateway = Gateway::with(config(&server, &format!("http://orders.test:{port}")));
    wait_until_known(&gateway, &[&format!("127.0.0.1:{port}")]);
    for reply in [Reply::Fails, Reply::Silent] {
        server.set("orders.test", Kind::A, &[reply]);
        server.wait_until_asked("orders.test", Kind::A, 4);
        assert_eq!(gateway.get("http://a/").status(), 200);
    }
    server.set("orders.test", Kind::A, &[addresses(1, &["127.0.0.2"])]);
    wait_until_known(&gateway, &[&format!("127.0.0.2:{port}")]);
}

#[test]
fn negative_answer_counts_when_it_comes_twice() {
    for negative in [Reply::NoName, Reply::NoData] {
        let server = NameServer::new();
        server.set("orders.test", Kind::A, &[addresses(1, &["127.0.0.1"])]);
        let gateway = Gateway::with(config(&server, "http://orders.test:9"));
        wait_until_known(&gateway, &["127.0.0.1:9"]);
        let mut events = events(&gateway);
        let replies = [
            negative.clone(),
            addresses(1, &["127.0.0.2"]),
            negative.clone(),
            Reply::Fails,
            Reply::Fails,
            negative,
        ];
        server.set("orders.test", Kind::A, &replies);
        events.expect("event: addresses_changed\n");
        events.expect("\"added\":[\"127.0.0.2:9\"],\"removed\":[\"127.0.0.1:9\"]");
        events.expect("event: addresses_changed\n");
        events.expect("\"added\":[],\"removed\":[\"127.0.0.2:9\"]");
        assert_eq!(gateway.get("http://a/").status(), 503);
        // The name comes back.
        server.set("orders.test", Kind::A, &[addresses(60, &["127.0.0.3"])]);
        events.expect("\"added\":[\"127.0.0.3:9\"],\"removed\":[]");
    }
}

#[test]
fn each_address_of_both_families_is_an_endpoint() {
    let server = NameServer::new();
    let many: Vec<String> = (1..=60).map(|last| format!("10.0.0.{last}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let alias = |records: &[&str]| {
        let records = records
            .iter()
            .map(|address| Data::Address(address.parse().unwrap()));
        Reply::Records(
            60,
            std::iter::once(Data::Alias("real.test")).chain(records).collect(),
        )
    };
    server.set("many.test", Kind::A, &[addresses(60, &many)]);
    server.set("six.test", Kind::Aaaa, &[addresses(60, &["::1"])]);
    server.set("both.test", Kind::A, &[alias(&["10.0.0.1"])]);
    server.set("both.test", Kind::Aaaa, &[alias(&["2001:db8::2", "2001:db8::1"])]);
    for (name, expected) in [
        ("six.test", vec!["[::1]:80"]),
        ("six.test.", vec!["[::1]:80"]),
        (
            "BOTH.test",
            vec!["10.0.0.1:80", "[2001:db8::1]:80", "[2001:db8::2]:80"],
        ),
    ] {
        let gateway = Gateway::with(config(&server, &format!("http://{name}")));
        wait_until_known(&gateway, &expected);
    }
    assert_eq!(server.asked_over_tcp(), 0);
    let gateway = Gateway::with(config(&server, "http://many.test"));
    wait_for("all addresses", || (known(&gateway).len() == 60).then_some(()));
    assert!(server.asked_over_tcp() > 0, "an answer that is too long for UDP");
}

#[test]
fn next_server_is_asked_when_one_is_silent_or_fails() {
    let server = NameServer::new();
    server.set("orders.test", Kind::A, &[addresses(60, &["10.0.0.1"])]);
    let (silent, failing) = (UdpSocket::bind("127.0.0.1:0").unwrap(), NameServer::new());
    failing.set("orders.test", Kind::A, &[Reply::Fails]);
    failing.set("orders.test", Kind::Aaaa, &[Reply::Fails]);
    for first in [silent.local_addr().unwrap(), failing.address()] {
        let servers = format!(
            "resolver: {{ nameservers: [\"{first}\", \"{}\"] }}",
            server.address()
        );
        let config = Config::new()
            .key(&servers)
            .service_at("s", &["http://orders.test"], "")
            .route("name: all, to: s");
        let gateway = Gateway::with(config);
        wait_until_known(&gateway, &["10.0.0.1:80"]);
    }
}

#[test]
fn gateway_starts_without_an_answer_and_learns_it_later() {
    let service = Service::echo("late");
    let server = NameServer::new();
    server.set("orders.test", Kind::A, &[Reply::Silent]);
    server.set("orders.test", Kind::Aaaa, &[Reply::Silent]);
    let port = service.address().port();
    let gateway = Gateway::with(config(&server, &format!("http://orders.test:{port}")));
    gateway.wait_for_part("the endpoint name `orders.test` does not resolve");
    assert_eq!(gateway.get("http://a/").status(), 503);
    server.set("orders.test", Kind::A, &[addresses(60, &["127.0.0.1"])]);
    wait_for("the service", || {
        (gateway.get("http://a/").status() == 200).then_some(())
    });
}

#[test]
fn names_in_the_hosts_file_need_no_server() {
    let (service, server) = (Service::echo("1"), NameServer::new());
    let port = service.address().port();
    for name in ["localhost", "LOCALHOST", "localhost."] {
        let gateway = Gateway::with(config(&server, &format!("http://{name}:{port}")));
        assert_eq!(gateway.get("http://a/").status(), 200, "{name}");
    }
}

#[test]
fn reload_asks_the_servers_that_it_names() {
    let (one, other) = (NameServer::new(), NameServer::new());
    one.set("orders.test", Kind::A, &[addresses(1, &["10.0.0.1"])]);
    other.set("orders.test", Kind::A, &[addresses(1, &["10.0.0.2"])]);
    let gateway = Gateway::with(config(&one, "http://orders.test"));
    wait_until_known(&gateway, &["10.0.0.1:80"]);
    gateway.rewrite(config(&other, "http://orders.test"));
    wait_until_known(&gateway, &["10.0.0.2:80"]);
}

#[test]
fn unchanged_service_is_not_looked_up_again_by_a_reload() {
    let server = NameServer::new();
    server.set("orders.test", Kind::A, &[addresses(300, &["10.0.0.1"])]);
    server.set("new.test", Kind::A, &[addresses(300, &["10.0.0.2"])]);
    let gateway = Gateway::with(config(&server, "http://orders.test"));
    wait_until_known(&gateway, &["10.0.0.1:80"]);
    server.set("orders.test", Kind::A, &[addresses(300, &["10.0.0.9"])]);
    let more = Config::new()
        .key(&server.key())
        .service_at("s", &["http://orders.test"], "")
        .service_at("t", &["http://new.test"], "");
    gateway.rewrite(
        more.route("name: all, to: s")
            .route("name: t, match: { path: /t }, to: t"),
    );
    gateway.wait_for_revision(2);
    server.wait_until_asked("new.test", Kind::A, 1);
    assert_eq!(known(&gateway), ["10.0.0.1:80"]);
}

/// SRV records with a TTL of 1 s: priority, weight, port and target of each.
fn services(records: &[(u16, u16, u16, &'static str)]) -> Reply {
    let records = records
        .iter()
        .map(|&(priority, weight, port, target)| Data::Service {
            priority,
            weight,
            port,
            target,
        });
    Reply::Records(1, records.collect())
}

#[test]
fn srv_records_give_port_weight_and_priority() {
    let (one, two, spare) = (Service::echo("one"), Service::echo("two"), Service::echo("spare"));
    let mut down = Service::refusing_as("down");
    let ports = [&one, &two, &spare, &down].map(|service| service.address().port());
    let server = NameServer::new();
    for target in ["a.test", "b.test"] {
        server.set(target, Kind::A, &[addresses(1, &["127.0.0.1"])]);
    }
    let first = services(&[
        (10, 3, ports[0], "a.test"),
        (10, 1, ports[1], "b.test"),
        (20, 1, ports[2], "a.test"),
    ]);
    server.set("_http._tcp.orders.test", Kind::Srv, &[first]);
    let gateway = Gateway::with(
        Config::new()
            .key(&server.key())
            .service_at("s", &["srv+http://_http._tcp.orders.test"], "host: endpoint")
            .route("name: all, to: s"),
    );
    let asked = |count: usize| -> Vec<Value> {
        let echoed = (0..count).map(|_| gateway.get("http://a/").json());
        echoed.collect()
    };
    let by = |echoed: &[Value], name: &str| echoed.iter().filter(|one| one["service"] == name).count();
    wait_for("the addresses", || (!known(&gateway).is_empty()).then_some(()));
    let echoed = asked(8);
    assert_eq!([by(&echoed, "one"), by(&echoed, "two")], [6, 2]);
    for one in &echoed {
        let (name, port) = match one["service"] == "one" {
            true => ("a.test", ports[0]),
            false => ("b.test", ports[1]),
        };
        let host = format!(r#"["Host","{name}:{port}"]"#);
        assert!(one["headers"].to_string().contains(&host), "{host} in {one}");
    }
    let mut events = events(&gateway);
    // Another weight is no other address, and takes no connection away.
    let before = one.connections();
    server.set(
        "_http._tcp.orders.test",
        Kind::Srv,
        &[services(&[
            (10, 0, ports[0], "a.test"),
            (10, 0, ports[1], "b.test"),
        ])],
    );
    events.expect(&format!("\"added\":[],\"removed\":[\"127.0.0.1:{}\"]", ports[2]));
    let echoed = asked(8);
    assert_eq!(
        [by(&echoed, "one"), by(&echoed, "two")],
        [4, 4],
        "all of weight 0 count alike"
    );
    assert_eq!(one.connections(), before);
    // The next priority takes the requests while the first has no server that is up.
    server.set(
        "_http._tcp.orders.test",
        Kind::Srv,
        &[services(&[
            (1, 1, ports[3], "a.test"),
            (2, 1, ports[2], "a.test"),
        ])],
    );
    events.expect("event: addresses_changed\n");
    assert_eq!(by(&asked(4), "spare"), 4);
    down.recover();
    wait_for("the first priority", || {
        (gateway.get("http://a/").json()["service"] == "down").then_some(())
    });
    // A dot says that there is none, and counts at once.
    server.set(
        "_http._tcp.orders.test",
        Kind::Srv,
        &[services(&[(0, 0, 0, ".")])],
    );
    wait_for("the end of the service", || {
        (gateway.get("http://a/").status() == 503).then_some(())
    });
}

#[test]
fn srv_records_without_an_answer_stay() {
    let service = Service::echo("one");
    let server = NameServer::new();
    server.set("a.test", Kind::A, &[addresses(1, &["127.0.0.1"])]);
    let records = services(&[(0, 0, service.address().port(), "a.test")]);
    server.set("_http._tcp.orders.test", Kind::Srv, &[records]);
    let gateway = Gateway::with(config(&server, "srv+http://_http._tcp.orders.test"));
    wait_for("the service", || {
        (gateway.get("http://a/").status() == 200).then_some(())
    });
    server.set("_http._tcp.orders.test", Kind::Srv, &[Reply::Fails]);
    server.set("a.test", Kind::A, &[Reply::Fails]);
    server.wait_until_asked("_http._tcp.orders.test", Kind::Srv, 3);
    assert_eq!(gateway.get("http://a/").status(), 200);
    server.set("_http._tcp.orders.test", Kind::Srv, &[Reply::NoName]);
    wait_for("the end of the service", || {
        (gateway.get("http://a/").status() == 503).then_some(())
    });
}

#[test]
fn targets_of_srv_records_are_checked_by_their_names() {
    let toggled = |name: &'static str| {
        let is_well = Arc::new(AtomicBool::new(true));
        let now = Arc::clone(&is_well);
        let service = Service::named(name, move |talk| {
            while let Some(request) = talk.request() {
                let is_check = request.target() == "/healthz";
                talk.send(match is_check && !now.load(Ordering::SeqCst) {
                    true => "HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n".to_owned(),
                    false => ok(name),
                });
            }
        });
        (service, is_well)
    };
    let ((one, is_well), (two, _), (three, _)) = (toggled("one"), toggled("two"), toggled("three"));
    let ports = [&one, &two, &three].map(|service| service.address().port());
    let server = NameServer::new();
    for target in ["a.test", "b.test"] {
        server.set(target, Kind::A, &[addresses(1, &["127.0.0.1"])]);
    }
    let both = [(1, 1, ports[0], "a.test"), (2, 1, ports[1], "b.test")];
    server.set("_http._tcp.orders.test", Kind::Srv, &[services(&both)]);
    let gateway = Gateway::with(
        Config::new()
            .key(&server.key())
            .service_at(
                "s",
                &["srv+http://_http._tcp.orders.test"],
                "health: { path: /healthz, interval: 20ms, timeout: 5s, unhealthy: 1, healthy: 1 }",
            )
            .route("name: all, to: s"),
    );
    let wait_for_answer = |name: &str| wait_for(name, || (gateway.body() == name).then_some(()));
    for (service, host) in [(&one, "a.test"), (&two, "b.test")] {
        service.wait_for("GET /healthz HTTP/1.1\r\n");
        service.wait_for(&format!("host: {host}:{}\r\n", service.address().port()));
    }
    wait_for_answer("one");
    // The next priority takes the requests while the first one fails its checks.
    is_well.store(false, Ordering::SeqCst);
    wait_for_answer("two");
    is_well.store(true, Ordering::SeqCst);
    wait_for_answer("one");
    // A target that is new is checked, and takes requests.
    let [_, second] = both;
    server.set(
        "_http._tcp.orders.test",
        Kind::Srv,
        &[services(&[(0, 1, ports[2], "a.test"), second])],
    );
    wait_for_answer("three");
    three.wait_for("GET /healthz HTTP/1.1\r\n");
}

#[test]
fn certificates_are_verified_for_the_targets_of_srv_records() {
    let (service, authority) = (Service::echo("s"), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let inner = [0, 1].map(|_| Gateway::with_certificates(&[&pair], &service));
    let ports = [&inner[0], &inner[1]].map(|gateway| gateway.address().port());
    let server = NameServer::new();
    for target in ["a.test", "b.test"] {
        server.set(target, Kind::A, &[addresses(1, &["127.0.0.1"])]);
    }
    let records = |second: &'static str| services(&[(0, 1, ports[0], "a.test"), (0, 1, ports[1], second)]);
    server.set("_https._tcp.orders.test", Kind::Srv, &[records("b.test")]);
    let config = Config::new()
        .key(&server.key())
        .service_at(
            "s",
            &["srv+https://_https._tcp.orders.test"],
            "tls: { ca: ca.crt }, timeouts: { connect: 30s }, \
             health: { tcp: true, interval: 20ms, timeout: 5s, unhealthy: 1, healthy: 1 }",
        )
        .route("name: all, to: s, rewrite: { host: a.test }");
    let gateway = Gateway::beside(&[("ca.crt", authority.pem())], config);
    let shown = || gateway.admin_json("/api/v1/services/s")["endpoints"][0]["addresses"].clone();
    let wait_until_all = |expected: &[(u16, &str, Value)]| {
        wait_for(&format!("{expected:?}"), || {
            let shown = shown();
            let is = |(port, state, reason): &(u16, &str, Value)| {
                let address = format!("127.0.0.1:{port}");
                let mut addresses = shown.as_array().unwrap().iter();
                addresses.any(|one| {
                    one["address"] == address && one["state"] == *state && one["reason"] == *reason
                })
            };
            expected.iter().all(is).then_some(())
        });
    };
    let distrusted = Value::from("check failed: certificate not trusted");
    wait_until_all(&[(ports[0], "up", Value::Null), (ports[1], "down", distrusted)]);
    for _ in 0..4 {
        assert_eq!(gateway.get("http://a.test/").status(), 200);
    }
    // It has got no request that would have gone on to the other one.
    assert_eq!(shown()[1]["requests"], 0);
    server.set("_https._tcp.orders.test", Kind::Srv, &[records("a.test")]);
    wait_until_all(&[(ports[0], "up", Value::Null), (ports[1], "up", Value::Null)]);
    assert_eq!(gateway.get("http://a.test/").status(), 200);
}

#[test]
fn endpoint_whose_addresses_another_has_is_shown_as_unused() {
    let (service, server) = (Service::echo("1"), NameServer::new());
    server.set("orders.test", Kind::A, &[addresses(60, &["127.0.0.1"])]);
    let port = service.address().port();
    let urls = [
        format!("http://127.0.0.1:{port}"),
        format!("http://orders.test:{port}"),
        format!("http://127.0.0.1:{port}"),
        "http://gone.test".to_owned(),
    ];
    server.set("gone.test", Kind::A, &[Reply::NoName]);
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let config = Config::new()
        .key(&server.key())
        .service_at("s", &urls, "")
        .route("name: all, to: s");
    let gateway = Gateway::with(config);
    gateway.wait_for_part("no-effect");
    wait_for("the name", || {
        let shown = gateway.command(&["services"]).stdout;
        let lines: Vec<&str> = shown.lines().skip(1).collect();
        assert_eq!(lines.len(), 3, "{shown}");
        assert!(lines[0].contains(" up since "), "{shown}");
        assert!(
            lines[2].contains("gone.test ") && lines[2].contains(" unknown: does not resolve"),
            "{shown}"
        );
        lines[1]
            .contains("unused: has the addresses of endpoints above")
            .then_some(())
    });
    assert_eq!(
        gateway.admin_json("/api/v1/services/s")["endpoints"][1]["taken"],
        true
    );
}
