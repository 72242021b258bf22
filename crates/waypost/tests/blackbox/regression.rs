//! Faults that were there once.

use rustix::process::Signal;

use crate::support::client::request;
use crate::support::command::waypost_in;
use crate::support::gateway::{Gateway, LISTENER, everything_to, services};
use crate::support::service::{Service, ok};

/// A retry put its endpoint's host where an earlier request's had been.
#[test]
fn a_retry_leaves_nothing_behind_for_the_next_one() {
    let service = Service::scripted(|talk| {
        // The first request of each connection is answered, the second is read and left.
        if talk.request().is_some() {
            talk.send(ok("done"));
            talk.request();
        }
    });
    let gateway = Gateway::to(&service);
    let long = "b".repeat(4000);
    for path in ["1", long.as_str(), "2", "3", "cccccccccccccccc", "4"] {
        let answer = gateway.ask(format!("GET /{path} HTTP/1.0\r\n\r\n"));
        assert_eq!(
            (answer.status(), answer.text().as_str()),
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

/// A listener that got a name was taken for another one.
#[test]
fn a_listener_keeps_its_socket_and_its_clients_when_it_gets_a_name() {
    let service = Service::echo("service");
    let config = |name: &str| {
        let routes = "routes: [{ name: all, to: service }]\n";
        let listener = LISTENER.replace("bind:", &format!("{name}bind:"));
        format!("{listener}{}{routes}", services([&service]))
    };
    let gateway = Gateway::with(config(""));
    let mut client = gateway.connect();
    assert_eq!(client.get("http://a/1").status(), 200);
    gateway.rewrite(config("name: web, "));
    gateway.wait_for_revision(2);
    assert_eq!(client.get("http://a/2").status(), 200);
    assert_eq!(gateway.get("http://a/3").status(), 200);
    assert_eq!(gateway.announced().len(), 1);
}

/// A refused request was logged without a word of what it was.
#[test]
fn a_refused_request_is_logged_as_far_as_it_was_understood() {
    let service = Service::echo("service");
    let gateway = Gateway::with(everything_to(
        &service,
        &format!("{LISTENER}access_log: stdout\n"),
    ));
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

/// `explain` gave JSON where the gateway gave text.
#[test]
fn a_refusal_is_told_in_json_to_who_asks_for_it() {
    let service = Service::echo("service");
    let gateway = Gateway::to(&service);
    let answer = gateway.ask(request("GET", "http://a/%2F", "Accept: application/json\r\n"));
    assert_eq!(answer.json()["status"], 400);
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

/// A chunked body that breaks its coding was no fault where no service was asked.
#[test]
fn a_broken_body_is_refused_by_a_route_that_answers_itself() {
    let gateway = Gateway::with(format!(
        "{LISTENER}routes: [{{ name: here, respond: {{ status: 200 }} }}]\n"
    ));
    let broken = request("POST", "http://a/", "Transfer-Encoding: chunked\r\n") + "zz\r\n";
    assert_eq!(gateway.ask(broken).status(), 400);
}

/// A log that nobody reads kept the gateway from ending.
#[test]
fn a_log_that_blocks_does_not_keep_the_gateway() {
    let service = Service::echo("service");
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("log");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let mut gateway = Gateway::with(everything_to(
        &service,
        &format!("{LISTENER}access_log: {}\n", pipe.display()),
    ));
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
