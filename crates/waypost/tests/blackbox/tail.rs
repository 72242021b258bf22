//! The access log as it happens: `GET /api/v1/tail` and `waypost tail`, with the log on or off.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::client::{Client, get};
use crate::support::config::Config;
use crate::support::gateway::{Gateway, Lines};
use crate::support::service::{Service, ok};

const FAILURE: &str = "HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n";

/// Two routes, one of which fails; one worker, so that lines come in the order of the requests.
fn config(good: &Service, bad: &Service) -> Config {
    Config::new()
        .service(good, "")
        .service(bad, "")
        .route("name: good, match: { path: /good/* }, to: good")
        .route("name: bad, match: { path: /bad/* }, to: bad")
}

fn services() -> (Service, Service) {
    let service = |name: &str, response: String| {
        Service::named(name, move |talk| {
            while talk.request().is_some() {
                talk.send(&response);
            }
        })
    };
    (service("good", ok("yes")), service("bad", FAILURE.to_owned()))
}

/// A connection to the stream that matches `query`, which listens already.
pub(crate) fn listen(gateway: &Gateway, query: &str) -> Client {
    let mut client = Client::connect(gateway.admin_address());
    let address = gateway.admin_address();
    client.send(format!(
        "GET /api/v1/tail?{query} HTTP/1.1\r\nHost: {address}\r\n\r\n"
    ));
    assert_eq!(client.response_head().status(), 200);
    client
}

fn ask(gateway: &Gateway, path: &str) -> u16 {
    gateway.get(&format!("http://a{path}")).status()
}

#[test]
fn listeners_get_the_requests_that_they_ask_for() {
    let (good, bad) = services();
    for log in ["off", "access.log"] {
        let gateway = Gateway::with(config(&good, &bad).key(&format!("access_log: {log}")));
        let mut all = listen(&gateway, "");
        let mut failing = listen(&gateway, "failing=true&path=/bad/2");
        let mut by_route = listen(&gateway, "route=good&status=2xx&method=GET&host=a");
        let mut without = listen(&gateway, "route=");
        assert_eq!((ask(&gateway, "/bad/1"), ask(&gateway, "/good/1")), (503, 200));
        assert_eq!((ask(&gateway, "/nowhere"), ask(&gateway, "/bad/2")), (404, 503));
        all.expect("event: request\ndata: {\"time\":\"")
            .expect("\"path\":\"/bad/1\"");
        all.expect("\"path\":\"/good/1\"")
            .expect("\"path\":\"/nowhere\"")
            .expect("\"path\":\"/bad/2\"");
        failing
            .expect("event: request\ndata: ")
            .expect("\"path\":\"/bad/2\"");
        by_route
            .expect("event: request\ndata: ")
            .expect("\"path\":\"/good/1\"");
        without
            .expect("event: request\ndata: ")
            .expect("\"path\":\"/nowhere\"");
    }
}

#[test]
fn requests_beyond_the_rate_are_counted() {
    let (good, bad) = services();
    let gateway = Gateway::with(config(&good, &bad));
    let mut listener = listen(&gateway, "rate=1");
    let mut client = gateway.connect();
    for _ in 0..20 {
        assert_eq!(client.ask(get("http://a/good/1")).status(), 200);
    }
    listener
        .expect("event: request\n")
        .expect("event: left_out\ndata: {\"matched\":");
}

#[test]
fn wrong_questions_are_refused_and_listeners_are_few() {
    let (good, bad) = services();
    let gateway = Gateway::with(config(&good, &bad));
    let status = |query: &str| {
        let mut client = Client::connect(gateway.admin_address());
        let address = gateway.admin_address();
        client.send(format!(
            "GET /api/v1/tail?{query} HTTP/1.1\r\nHost: {address}\r\n\r\n"
        ));
        client.response_head().status()
    };
    for query in ["status=9xx", "rate=0", "rate=1001"] {
        assert_eq!(status(query), 422, "{query}");
    }
    assert_eq!(status("unknown=1"), 400);
    let _listeners: Vec<Client> = (0..8).map(|_| listen(&gateway, "")).collect();
    assert_eq!(status(""), 503);
}

struct Tailing(Child);

impl Drop for Tailing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn command_prints_requests_in_columns_or_as_json() {
    let (good, bad) = services();
    let gateway = Gateway::with(config(&good, &bad));
    let run = |arguments: &[&str]| {
        let admin = format!("http://{}", gateway.admin_address());
        let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
        command.arg("tail").args(arguments).args(["--admin", &admin]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Lines::of(child.stderr.take().unwrap());
        said.wait_for("that it listens", |line| line.contains("listening"));
        Tailing(child)
    };
    let mut text = run(&["--failing"]);
    let mut json = run(&["good", "--number", "2", "--format", "json"]);
    for path in ["/good/1", "/bad/1", "/good/2"] {
        ask(&gateway, path);
    }
    let mut lines = BufReader::new(json.0.stdout.take().unwrap()).lines();
    for path in ["/good/1", "/good/2"] {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!((&line["path"], &line["route"]), (&path.into(), &"good".into()));
    }
    assert!(lines.next().is_none());
    assert!(json.0.wait().unwrap().success());
    let lines = Lines::of(text.0.stdout.take().unwrap());
    let line = lines.wait_for("of a failure", |line| line.contains("failed"));
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1..2], ["503"], "{line}");
    assert_eq!(
        words[4..],
        ["bad", "bad", "GET", "a/bad/1", "failed:", "complete"],
        "{line}"
    );
    let wrong = gateway.command(&["tail", "--status", "9xx"]).expect(1);
    assert!(wrong.stderr.contains("a status is a number"), "{}", wrong.stderr);
}
