//! The access log: one line per request with any outcome, and no effect on traffic.

use std::fs;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::client::get;
use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::Service;

/// A config whose access log is `access.log`.
fn logging() -> Config {
    Config::new().key("access_log: access.log")
}

#[test]
fn one_line_per_request() {
    let (service, down) = (Service::echo("a"), Service::refusing());
    let gateway = Gateway::with(
        logging()
            .service(&service, "")
            .service_at("down", &[&down.url()], "")
            .route("name: all, to: a")
            .route("name: down, match: { path: /down }, to: down")
            .route("name: own, match: { path: /own }, respond: { status: 410, body: gone }"),
    );
    let mut client = gateway.connect();
    client.get("http://A.example:80/x//y?q=1");
    client.get("http://a.example/down");
    client.get("http://a.example/own");
    client.send("GET /bad\x01 HTTP/1.1\r\nHost: a\r\n\r\n").rest();
    let lines = wait_for_log(&gateway, 4);
    for key in [
        "time",
        "duration_ms",
        "upstream_ms",
        "retries",
        "revision",
        "ended_by",
        "reason",
    ] {
        assert!(lines[0].get(key).is_some(), "`{key}` in {}", lines[0]);
    }
    let part = |line: &Value, keys: &[&str]| -> Value {
        keys.iter()
            .map(|key| ((*key).to_owned(), line[*key].clone()))
            .collect()
    };
    let keys = [
        "client", "method", "host", "path", "query", "route", "service", "endpoint", "status", "revision",
    ];
    assert_eq!(
        part(&lines[0], &keys),
        json!({
            "client": "127.0.0.1", "method": "GET", "host": "a.example", "path": "/x/y", "query": "q=1",
            "route": "all", "service": "a", "endpoint": service.address().to_string(), "status": 200,
            "revision": 1,
        })
    );
    assert!(lines[0]["bytes"].as_u64().unwrap() > 0);
    assert_eq!(
        part(&lines[1], &["route", "service", "status", "ended_by", "reason"]),
        json!({
            "route": "down", "service": "down", "status": 502, "ended_by": "service",
            "reason": "connection_refused",
        })
    );
    assert_eq!(
        part(&lines[2], &["route", "service", "endpoint", "status", "bytes"]),
        json!({ "route": "own", "service": null, "endpoint": null, "status": 410, "bytes": 4 })
    );
    assert_eq!(
        part(&lines[3], &["route", "status", "ended_by"]),
        json!({ "route": null, "status": 400, "ended_by": "client" })
    );
}

/// Waits for the access log to have this many lines, and parses them.
pub(crate) fn wait_for_log(gateway: &Gateway, count: usize) -> Vec<Value> {
    let path = gateway.directory().join("access.log");
    let until = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(&path).unwrap_or_default();
        if text.ends_with('\n') && text.lines().count() >= count {
            assert_eq!(text.lines().count(), count, "{text}");
            return text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
        }
        assert!(Instant::now() < until, "only {text:?} in the log");
        std::thread::yield_now();
    }
}

#[test]
fn line_names_who_ended_the_request() {
    let service = Service::scripted(|talk| {
        let Some(asked) = talk.request() else { return };
        match asked.target() {
            "/cut" => talk.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
            "/nonsense" => talk.send("nonsense\r\n\r\n"),
            _ => talk.read_to_end(),
        }
    });
    let gateway = Gateway::with(logging().all_to(&service));
    gateway.get("http://a/cut");
    gateway.get("http://a/nonsense");
    let mut leaving = gateway.connect();
    leaving.send(get("http://a/stalled"));
    service.wait_for("/stalled");
    leaving.reset();
    let lines = wait_for_log(&gateway, 3);
    let ends: Vec<&Value> = lines.iter().map(|line| &line["ended_by"]).collect();
    assert_eq!(ends, ["service", "service", "client"]);
    assert_eq!(
        (&lines[0]["status"], &lines[1]["status"]),
        (&json!(200), &json!(502))
    );
    assert_eq!(lines[0]["bytes"], 3);
}

#[test]
fn retries_are_counted() {
    let (down, up) = (Service::refusing(), Service::echo("up"));
    let gateway = Gateway::with(
        logging()
            .service_at("s", &[&down.url(), &up.url()], "")
            .route("name: all, to: s"),
    );
    // Round robin may begin at either endpoint, but one of the two requests begins at the refusing one.
    gateway.get("http://a/1");
    gateway.get("http://a/2");
    let lines = wait_for_log(&gateway, 2);
    let retries: u64 = lines.iter().map(|line| line["retries"].as_u64().unwrap()).sum();
    assert_eq!(retries, 1, "{lines:?}");
    for line in &lines {
        assert_eq!(line["endpoint"], up.address().to_string());
    }
}

#[test]
fn client_cannot_forge_a_line() {
    let service = Service::echo("a");
    let gateway = Gateway::with(logging().all_to(&service));
    gateway.get("http://a/%0A%22x?q=\"%0a\t");
    gateway.ask("GET /\"},{\" HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(wait_for_log(&gateway, 2).len(), 2);
}

#[test]
fn log_to_stdout() {
    let service = Service::echo("a");
    let gateway = Gateway::with(Config::new().all_to(&service).key("access_log: stdout"));
    gateway.get("http://a/x");
    let line = gateway.wait_for_stdout("/x");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["status"], 200);
}

#[test]
fn sighup_reopens_a_rotated_log() {
    let service = Service::echo("a");
    let gateway = Gateway::with(logging().all_to(&service));
    gateway.get("http://a/old");
    wait_for_log(&gateway, 1);
    let log = gateway.directory().join("access.log");
    fs::rename(&log, gateway.directory().join("access.log.1")).unwrap();
    gateway.signal(Signal::HUP);
    gateway.wait_for("revision ");
    gateway.get("http://a/new");
    let lines = wait_for_log(&gateway, 1);
    assert_eq!(lines[0]["path"], "/new");
    let old = fs::read_to_string(gateway.directory().join("access.log.1")).unwrap();
    assert_eq!(old.lines().count(), 1);
}

#[test]
fn full_disk_does_not_stop_traffic() {
    let service = Service::echo("a");
    let mut gateway = Gateway::with(Config::new().all_to(&service).key("access_log: /dev/full"));
    let mut client = gateway.connect();
    for _ in 0..100 {
        assert_eq!(client.get("http://a/").status(), 200);
    }
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
    gateway.wait_for_part("access log");
}

#[test]
fn explain_reads_the_access_log() {
    let service = Service::echo("a");
    let gateway = Gateway::with(logging().all_to(&service));
    gateway.get("http://a.example/x?y=1");
    gateway.ask("GET /no-host HTTP/1.0\r\n\r\n");
    wait_for_log(&gateway, 2);
    let asked = [
        "explain",
        "waypost.yaml",
        "--log",
        "access.log",
        "--format",
        "json",
    ];
    let explained = waypost_in(gateway.directory(), &asked).expect(0).json();
    for line in explained.as_array().unwrap() {
        assert_eq!(line["answer"]["route"], "all", "{line}");
    }
}

#[test]
fn options_for_the_server_has_a_line_without_route() {
    let gateway = Gateway::with(logging().all_respond("ok"));
    gateway.ask("OPTIONS * HTTP/1.1\r\nHost: [0::1]:81\r\n\r\n");
    let line = &wait_for_log(&gateway, 1)[0];
    let found = ["method", "host", "path", "route", "status"].map(|key| line[key].clone());
    let expected = [
        json!("OPTIONS"),
        json!("[::1]"),
        json!("*"),
        Value::Null,
        json!(204),
    ];
    assert_eq!(found, expected, "{line}");
}
