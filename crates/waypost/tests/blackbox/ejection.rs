//! Ejected endpoints: one state for all workers, as the admin API shows it and as requests are balanced.

use crate::support::client::{Client, get};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::Service;
use crate::support::wait_for;

/// Enough connections to reach both of two workers.
const CONNECTIONS: usize = 32;

/// A gateway of two workers in front of these endpoints.
fn two_workers(endpoints: &[&Service]) -> Gateway {
    let urls: Vec<String> = endpoints.iter().map(|service| service.url()).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let config = Config::new().workers(2).service_at("s", &urls, "");
    Gateway::with(config.route("name: all, to: s"))
}

/// The `ejected` field of each endpoint.
fn ejected(gateway: &Gateway) -> Vec<bool> {
    let services = gateway.admin_json("/api/v1/services");
    let endpoints = services[0]["endpoints"].as_array().unwrap().iter();
    endpoints
        .map(|endpoint| endpoint["addresses"][0]["ejected"].as_bool().unwrap())
        .collect()
}

fn wait_until_ejected(gateway: &Gateway, expected: &[bool]) {
    wait_for("the endpoints' states", || {
        (ejected(gateway) == expected).then_some(())
    });
}

/// Statuses of one request on each connection.
fn statuses(clients: &mut [Client]) -> Vec<u16> {
    let clients = clients.iter_mut();
    clients
        .map(|client| client.ask(get("http://a/")).status())
        .collect()
}

#[test]
fn endpoint_ejected_until_any_worker_connects() {
    let mut service = Service::refusing_as("a");
    let gateway = two_workers(&[&service]);
    assert_eq!(ejected(&gateway), [false]);
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| gateway.connect()).collect();
    assert_eq!(statuses(&mut clients), [502; CONNECTIONS]);
    wait_until_ejected(&gateway, &[true]);
    service.recover();
    assert_eq!(ejected(&gateway), [true], "no connection has succeeded yet");
    // One request, hence one worker.
    assert_eq!(clients[0].ask(get("http://a/")).status(), 200);
    wait_until_ejected(&gateway, &[false]);
    assert_eq!(statuses(&mut clients), [200; CONNECTIONS]);
    assert_eq!(ejected(&gateway), [false]);
}

#[test]
fn recovery_seen_by_one_worker_counts_for_all() {
    // Workers begin their round robin at random, so one round might not show a difference.
    for _ in 0..8 {
        check_recovery();
    }
}

fn check_recovery() {
    let (mut a, mut b) = (Service::refusing_as("a"), Service::refusing_as("b"));
    let gateway = two_workers(&[&a, &b]);
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| gateway.connect()).collect();
    assert_eq!(statuses(&mut clients), [502; CONNECTIONS]);
    wait_until_ejected(&gateway, &[true, true]);
    // While all endpoints are ejected, all are tried.
    b.recover();
    assert_eq!(clients[0].get("http://a/").json()["service"], "b");
    wait_until_ejected(&gateway, &[true, false]);
    // `b` is back for both workers, so neither tries `a`, which is still ejected.
    a.recover();
    for client in &mut clients {
        assert_eq!(client.get("http://a/").json()["service"], "b");
    }
    assert_eq!(ejected(&gateway), [true, false]);
}

#[test]
fn an_ejection_outlives_a_change_of_its_service() {
    let failing = Service::named("failing", |talk| {
        while talk.request().is_some() {
            talk.send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let fine = Service::echo("fine");
    let config = |keys: &str| {
        let config = Config::new().service_at("s", &[&failing.url(), &fine.url()], keys);
        config.route("name: all, to: s")
    };
    let eject = "eject: { failures: 1, of: [5xx], for: 5m }, panic: 0";
    let gateway = Gateway::with(config(eject));
    wait_for("the ejection", || {
        gateway.get("http://a/");
        (ejected(&gateway) == [true, false]).then_some(())
    });
    gateway.rewrite(config(&format!("{eject}, timeouts: {{ idle: 50s }}")));
    gateway.wait_for_revision(2);
    assert_eq!(ejected(&gateway), [true, false]);
    for _ in 0..4 {
        assert_eq!(gateway.get("http://a/").status(), 200);
    }
}
