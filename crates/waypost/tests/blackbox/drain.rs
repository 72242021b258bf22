//! Stopping: what is under way ends, nothing new begins, and the exit code says how it went.

use std::sync::{Mutex, mpsc};

use rustix::process::Signal;

use crate::support::client::{Client, get};
use crate::support::gateway::{Gateway, LISTENER, everything_to, services};
use crate::support::service::{Service, ok};

/// A service that answers `done` when the test lets it.
fn waiting() -> (Service, mpsc::Sender<()>) {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let service = Service::scripted(move |talk| {
        while talk.request().is_some() {
            let _ = wait.lock().unwrap().recv();
            talk.send(ok("done"));
        }
    });
    (service, go)
}

#[test]
fn a_request_in_flight_is_finished_and_nothing_new_is_accepted() {
    for signal in [Signal::TERM, Signal::INT] {
        let (service, go) = waiting();
        let mut gateway = Gateway::with(format!(
            "{LISTENER}{}routes: [{{ name: slow, match: {{ path: /slow }}, to: service }}]\n",
            services([&service])
        ));
        let mut client = gateway.connect();
        client.send(get("http://a/slow"));
        service.wait_for("/slow");
        // One that is between requests, and one that has not asked anything yet.
        let (mut idle, mut silent) = (gateway.connect(), gateway.connect());
        assert_eq!(idle.get("http://a/unknown").status(), 404);
        gateway.signal(signal);
        gateway.wait_for("draining");
        idle.assert_closed();
        silent.assert_closed();
        // Whoever comes now is refused, or closed without an answer if the kernel had taken him already.
        if let Ok(mut late) = Client::try_connect(gateway.address()) {
            assert!(late.try_answer_to(&get("http://a/late")).is_none());
        }
        assert!(gateway.is_alive());
        go.send(()).unwrap();
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text().as_str()), (200, "done"));
        assert_eq!(answer.header("connection"), Some("close"));
        client.assert_closed();
        assert_eq!(gateway.wait().code(), Some(0));
        assert!(!service.received().concat().contains("/late"));
    }
}

#[test]
fn an_answer_that_has_begun_is_finished() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let service = Service::scripted(move |talk| {
        talk.request();
        talk.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
        let _ = wait.lock().unwrap().recv();
        talk.send("def");
    });
    let mut gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    client.send(get("http://a/")).expect("abc");
    gateway.signal(Signal::TERM);
    gateway.wait_for("draining");
    go.send(()).unwrap();
    client.expect("def").assert_closed();
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_gateway_without_requests_stops_at_once() {
    let service = Service::echo("a");
    let mut gateway = Gateway::to(&service);
    let mut idle = gateway.connect();
    idle.get("http://a/");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
    idle.assert_closed();
    assert!(Client::try_connect(gateway.address()).is_err());
    assert!(gateway.said().iter().any(|line| line == "stopped"));
}

#[test]
fn a_second_interrupt_exits_at_once() {
    let (service, _go) = waiting();
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
fn what_outlasts_the_drain_timeout_is_cut_and_counted() {
    let (service, _go) = waiting();
    let mut gateway = Gateway::with(everything_to(
        &service,
        &format!("{LISTENER}drain_timeout: 100ms\n"),
    ));
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
fn a_terminated_start_ends_in_order() {
    let service = Service::echo("a");
    let mut gateway = Gateway::to(&service);
    // However often it is told.
    gateway.signal(Signal::TERM);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
}
