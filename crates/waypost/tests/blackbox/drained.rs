//! Endpoints drained by hand, and what `waypost services` shows.

use std::fs;

use crate::support::client::Client;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::{Service, gate, ok};
use crate::support::wait_for;

/// A gateway in front of two services that answer with their names.
fn two() -> (Service, Service, Gateway, Config) {
    let named = |name: &'static str| {
        Service::named(name, move |talk| {
            while talk.request().is_some() {
                talk.send(ok(name));
            }
        })
    };
    let (a, b) = (named("a"), named("b"));
    let config = Config::new()
        .service_at("s", &[&a.url(), &b.url()], "")
        .route("name: all, to: s");
    let gateway = Gateway::with(&config);
    (a, b, gateway, config)
}

fn answers(gateway: &Gateway) -> Vec<String> {
    let mut names: Vec<String> = (0..16).map(|_| gateway.body()).collect();
    names.sort();
    names.dedup();
    names
}

fn state(gateway: &Gateway, endpoint: usize) -> String {
    let service = gateway.admin_json("/api/v1/services/s");
    let address = &service["endpoints"][endpoint]["addresses"][0];
    address["state"].as_str().unwrap().to_owned()
}

#[test]
fn drained_endpoint_takes_no_requests_until_it_is_taken_back() {
    let (a, _b, gateway, _) = two();
    let address = gateway.admin_address();
    let mut events = Client::connect(address);
    events.send(format!("GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    assert_eq!(events.response_head().status(), 200);
    assert_eq!(answers(&gateway), ["a", "b"]);
    let drained = gateway.command(&["drain", "s", &a.url()]).expect(0);
    assert!(
        drained.stdout.contains("takes no further requests"),
        "{}",
        drained.stdout
    );
    assert_eq!(answers(&gateway), ["b"]);
    assert_eq!(state(&gateway, 0), "drained");
    events.expect("event: endpoint_drained\n");
    events.expect(&format!("\"endpoint\":\"{}\",\"by\":\"tester\"", a.address()));
    let again = gateway
        .command(&["drain", "s", &a.address().to_string()])
        .expect(0);
    assert!(again.stdout.contains("is drained already"), "{}", again.stdout);
    let undone = gateway.command(&["drain", "s", &a.url(), "--undo", "--format", "json"]);
    let undone = undone.expect(0).json();
    assert_eq!(
        (&undone["drained"], &undone["changed"]),
        (&false.into(), &true.into())
    );
    events.expect("event: endpoint_undrained\n");
    assert_eq!(answers(&gateway), ["a", "b"]);
}

#[test]
fn drain_outlasts_restarts_and_reloads_as_long_as_the_endpoint_is_declared() {
    let (a, b, gateway, config) = two();
    gateway.command(&["drain", "s", &a.url()]).expect(0);
    let gateway = gateway.restarted();
    assert_eq!(
        (state(&gateway, 0).as_str(), answers(&gateway)),
        ("drained", vec!["b".to_owned()])
    );
    // The service is another one, with the same endpoint.
    let other = |urls: &[&str], keys: &str| {
        Config::new()
            .service_at("s", urls, keys)
            .route("name: all, to: s")
    };
    gateway.rewrite(other(&[&a.url(), &b.url()], "pool: { idle_max: 3 }"));
    gateway.wait_for_revision(2);
    assert_eq!(
        (state(&gateway, 0).as_str(), answers(&gateway)),
        ("drained", vec!["b".to_owned()])
    );
    gateway.rewrite(other(&[&b.url()], ""));
    gateway.wait_for_revision(3);
    gateway.rewrite(config);
    gateway.wait_for_revision(4);
    assert_eq!(answers(&gateway), ["a", "b"]);
    let gateway = gateway.restarted();
    assert_eq!(answers(&gateway), ["a", "b"]);
}

#[test]
fn requests_in_flight_are_finished() {
    let (opener, waiting) = gate();
    let slow = Service::named("slow", move |talk| {
        while talk.request().is_some() {
            waiting.wait();
            talk.send(ok("slow"));
        }
    });
    let config = Config::new()
        .service_at("s", &[&slow.url()], "")
        .route("name: all, to: s");
    let gateway = Gateway::with(config);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    slow.wait_for("GET / HTTP/1.1");
    let in_flight = || {
        let service = gateway.admin_json("/api/v1/services/s");
        service["endpoints"][0]["addresses"][0]["in_flight"].as_u64()
    };
    assert_eq!(in_flight(), Some(1));
    gateway.command(&["drain", "s", &slow.url()]).expect(0);
    // With no other endpoint there is none.
    assert_eq!(gateway.get("http://a/").status(), 503);
    opener.open();
    assert_eq!(client.response().text(), "slow");
    wait_for("the end of the request", || {
        (in_flight() == Some(0)).then_some(())
    });
}

#[test]
fn mistakes_are_told() {
    let (a, _b, gateway, _) = two();
    let put = |service: &str, body: &str| {
        let fields = "Content-Type: application/json\r\n";
        let answer = gateway.admin("PUT", &format!("/api/v1/services/{service}/drain"), fields, body);
        (answer.status(), answer.text())
    };
    let (status, text) = put("t", "{\"endpoint\":\"x\",\"drained\":true}");
    assert_eq!(
        (status, text.contains("there is no service named `t`")),
        (404, true),
        "{text}"
    );
    let (status, text) = put("s", "{\"endpoint\":\"10.0.0.1:80\",\"drained\":true}");
    let expected = format!(
        "`10.0.0.1:80` is not an endpoint of the service `s`; there are {}",
        a.address()
    );
    assert_eq!((status, text.contains(&expected)), (422, true), "{text}");
    assert_eq!(put("s", "{\"endpoint\":\"x\"}").0, 422);
    assert_eq!(put("s", "drain").0, 400);
    let refused = gateway.command(&["drain", "s", "http://nowhere"]).expect(1);
    assert!(
        refused.stderr.contains("is not an endpoint of the service `s`"),
        "{}",
        refused.stderr
    );
    gateway.command(&["services", "t"]).expect(1);
}

#[test]
fn drain_that_cannot_be_stored_is_refused() {
    let (a, _b, gateway, _) = two();
    fs::remove_dir_all(gateway.directory().join(".waypost")).expect("a removed state");
    fs::write(gateway.directory().join(".waypost"), "in the way").expect("a file");
    let fields = "Content-Type: application/json\r\n";
    let body = format!("{{\"endpoint\":\"{}\",\"drained\":true}}", a.url());
    let answer = gateway.admin("PUT", "/api/v1/services/s/drain", fields, &body);
    assert_eq!(answer.status(), 507, "{}", answer.text());
    assert_eq!(answers(&gateway), ["a", "b"]);
}

#[test]
fn services_are_shown_with_state_and_counts() {
    let (a, b, gateway, _) = two();
    for _ in 0..4 {
        gateway.body();
    }
    // A request counts shortly after its client has the response.
    wait_for("the requests", || {
        let service = gateway.admin_json("/api/v1/services/s");
        let requests = |endpoint: usize| service["endpoints"][endpoint]["addresses"][0]["requests"].as_u64();
        (requests(0) == Some(2) && requests(1) == Some(2)).then_some(())
    });
    gateway.command(&["drain", "s", &b.url()]).expect(0);
    let shown = gateway.command(&["services"]).expect(0).stdout;
    let lines: Vec<&str> = shown.lines().collect();
    let head: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(
        head,
        [
            "SERVICE",
            "ENDPOINT",
            "STATE",
            "WEIGHT",
            "IN-FLIGHT",
            "REQUESTS",
            "FAILURES",
            "P99"
        ]
    );
    let cells: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(
        (cells[0], cells[1], cells[2]),
        ("s", &*a.address().to_string(), "up")
    );
    assert_eq!(cells[5..9], ["1", "0", "2", "0"]);
    assert!(cells[9].ends_with("ms"), "{}", lines[1]);
    assert!(
        lines[2].contains("drained since ") && lines[2].contains(": by hand"),
        "{}",
        lines[2]
    );
    let json = gateway
        .command(&["services", "s", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(json["endpoints"][1]["addresses"][0]["state"], "drained");
    let all = gateway
        .command(&["services", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(all[0], json);
}
