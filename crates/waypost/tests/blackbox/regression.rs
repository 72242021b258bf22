//! Regressions: each test names the fault it was written for.

use rustix::process::Signal;

use crate::support::client::request;
use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::make_fifo;
use crate::support::service::{Service, ok};

/// A retry wrote its endpoint's host over a stale range of an earlier request.
#[test]
fn retry_leaves_no_stale_host() {
    let service = Service::scripted(|talk| {
        // Responds to the first request of each connection, and reads the second.
        if talk.request().is_some() {
            talk.send(ok("done"));
            talk.request();
        }
    });
    let gateway = Gateway::to(&service);
    let long = "b".repeat(4000);
    for path in ["1", long.as_str(), "2", "3", "cccccccccccccccc", "4"] {
        let response = gateway.ask(format!("GET /{path} HTTP/1.0\r\n\r\n"));
        assert_eq!(
            (response.status(), response.text().as_str()),
            (200, "done"),
            "/{path}"
        );
    }
    let head = format!(
        " HTTP/1.1\r\nHost: {}\r\nx-forwarded-for: 127.0.0.1\r\n",
        service.address()
    );
    let received = service.received().concat();
    let requests = received.matches("GET /").count();
    assert!(requests > 6, "nothing was retried");
    assert_eq!(received.matches(&head).count(), requests, "{received}");
}

/// A reload that named a listener reopened its socket.
#[test]
fn naming_a_listener_keeps_its_socket() {
    let service = Service::echo("service");
    let config = |name: &str| Config::listening(&[name]).all_to(&service);
    let gateway = Gateway::with(config(""));
    let mut client = gateway.connect();
    assert_eq!(client.get("http://a/1").status(), 200);
    gateway.rewrite(config("name: web"));
    gateway.wait_for_revision(2);
    assert_eq!(client.get("http://a/2").status(), 200);
    assert_eq!(gateway.get("http://a/3").status(), 200);
    assert_eq!(gateway.announced().len(), 1);
}

/// The log line of a refused request had no method, host or path.
#[test]
fn refused_request_logged_with_its_parts() {
    let service = Service::echo("service");
    let gateway = Gateway::with(Config::new().all_to(&service).key("access_log: stdout"));
    assert_eq!(gateway.get("http://a/b%2Fc?d").status(), 400);
    let line = gateway.wait_for_stdout("\"status\":400");
    for part in [
        r#""method":"GET""#,
        r#""host":"a""#,
        r#""path":"/b%2Fc""#,
        r#""query":"d""#,
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert_eq!(gateway.ask("TRACE /t HTTP/1.1\r\nHost: a\r\n\r\n").status(), 501);
    let line = gateway.wait_for_stdout("\"status\":501");
    assert!(
        line.contains(r#""method":"TRACE""#) && line.contains(r#""path":"/t""#),
        "{line}"
    );
}

/// `explain` showed JSON where the gateway responded with text.
#[test]
fn refusal_in_json_on_request() {
    let service = Service::echo("service");
    let gateway = Gateway::to(&service);
    let response = gateway.ask(request("GET", "http://a/%2F", "Accept: application/json\r\n"));
    assert_eq!(response.json()["status"], 400);
    let asked = [
        "explain",
        "waypost.yaml",
        "GET",
        "http://a/%2F",
        "-H",
        "Accept: application/json",
    ];
    let explained = waypost_in(gateway.directory(), &[&asked[..], &["--format", "json"]].concat()).expect(0);
    let headers = explained.json()["headers"].to_string();
    assert!(
        headers.contains(r#"["content-type","application/json"]"#),
        "{headers}"
    );
    assert!(headers.contains(r#"["connection","close"]"#), "{headers}");
}

/// A malformed chunked body was accepted where the gateway responds by itself.
#[test]
fn malformed_body_refused_by_a_fixed_response() {
    let gateway = Gateway::with(Config::new().all_respond("here"));
    let broken = request("POST", "http://a/", "Transfer-Encoding: chunked\r\n") + "zz\r\n";
    assert_eq!(gateway.ask(broken).status(), 400);
}

/// A blocked access log kept the gateway from exiting.
#[test]
fn blocked_access_log_does_not_delay_exit() {
    let service = Service::echo("service");
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("log");
    make_fifo(&pipe);
    let log = format!("access_log: {}", pipe.display());
    let mut gateway = Gateway::with(Config::new().all_to(&service).key(&log));
    assert_eq!(gateway.get("http://a/").status(), 200);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(
        gateway
            .said()
            .iter()
            .any(|line| line.contains("1 could not be written"))
    );
}
