//! Shutdown: requests in flight finish, none are accepted, and the exit code tells the outcome.

use rustix::process::Signal;

use crate::support::client::{Client, get};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::{Opener, Service, gate, ok};

/// An address that no other test binds, so that a port of it which is closed stays so.
const ADDRESS: &str = "127.83.12.9:0";

/// A service that responds `done` once its gate opens.
fn waiting() -> (Service, Opener) {
    let (opener, gate) = gate();
    let service = Service::scripted(move |talk| {
        while talk.request().is_some() {
            gate.wait();
            talk.send(ok("done"));
        }
    });
    (service, opener)
}

#[test]
fn drain_finishes_requests_in_flight_and_accepts_none() {
    for signal in [Signal::TERM, Signal::INT] {
        let (service, opener) = waiting();
        let mut gateway = Gateway::with(
            Config::at(ADDRESS)
                .service(&service, "")
                .route("name: slow, match: { path: /slow }, to: service"),
        );
        let mut client = gateway.connect();
        client.send(get("http://a/slow"));
        service.wait_for("/slow");
        // One connection between requests, and one that has sent none.
        let (mut idle, mut silent) = (gateway.connect(), gateway.connect());
        assert_eq!(idle.get("http://a/unknown").status(), 404);
        gateway.signal(signal);
        gateway.wait_for("draining");
        idle.assert_closed();
        silent.assert_closed();
        // The listening socket is closed before idle connections are, so a new one is refused by now.
        assert!(Client::try_connect(gateway.address()).is_err());
        assert!(gateway.is_alive());
        opener.open();
        let response = client.response();
        assert_eq!((response.status(), response.text().as_str()), (200, "done"));
        assert_eq!(response.header("connection"), Some("close"));
        client.assert_closed();
        assert_eq!(gateway.wait().code(), Some(0));
    }
}

#[test]
fn drain_finishes_a_started_response() {
    let (opener, gate) = gate();
    let service = Service::scripted(move |talk| {
        talk.request();
        talk.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
        gate.wait();
        talk.send("def");
    });
    let mut gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    client.send(get("http://a/")).expect("abc");
    gateway.signal(Signal::TERM);
    gateway.wait_for("draining");
    opener.open();
    client.expect("def").assert_closed();
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn idle_gateway_stops_at_once() {
    let service = Service::echo("a");
    let mut gateway = Gateway::with(Config::at(ADDRESS).all_to(&service));
    let mut idle = gateway.connect();
    idle.get("http://a/");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
    idle.assert_closed();
    assert!(Client::try_connect(gateway.address()).is_err());
    assert!(gateway.said().iter().any(|line| line == "stopped"));
}

#[test]
fn second_interrupt_exits_at_once() {
    let (service, _opener) = waiting();
    let mut gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    client.send(get("http://a/slow"));
    service.wait_for("/slow");
    gateway.signal(Signal::INT);
    gateway.wait_for("draining");
    gateway.signal(Signal::INT);
    assert_eq!(gateway.wait().code(), Some(130));
}

#[test]
fn drain_timeout_cuts_and_counts() {
    let (service, _opener) = waiting();
    let mut gateway = Gateway::with(Config::new().all_to(&service).key("drain_timeout: 100ms"));
    let mut clients: Vec<Client> = (0..3).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        client.send(get("http://a/slow"));
    }
    service.wait_until(|connections| connections.iter().filter(|bytes| !bytes.is_empty()).count() == 3);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
    for client in &mut clients {
        client.assert_closed();
    }
    let cut = gateway.wait_for("drain_timeout is over");
    assert!(cut.contains("3 connections cut"), "{cut}");
}

#[test]
fn repeated_sigterm_exits_cleanly() {
    let service = Service::echo("a");
    let mut gateway = Gateway::to(&service);
    // The second signal changes nothing.
    gateway.signal(Signal::TERM);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
}
