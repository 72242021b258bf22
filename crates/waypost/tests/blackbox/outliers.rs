//! Ejection by the outcomes of requests: what counts, for how long, and how many endpoints at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Request, Response};
use serde_json::Value;

use crate::support::client::{Client, request};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{Http2Client, Http2Service};
use crate::support::service::{Service, Talk, ok};
use crate::support::wait_for;

/// A service that does this to requests while it is sick, and answers with its name otherwise.
fn sick(
    name: &'static str,
    act: impl Fn(&mut Talk) -> bool + Send + Sync + 'static,
) -> (Service, Arc<AtomicBool>) {
    let is_sick = Arc::new(AtomicBool::new(true));
    let sickness = Arc::clone(&is_sick);
    let service = Service::named(name, move |talk| {
        while talk.request().is_some() {
            if !sickness.load(Ordering::SeqCst) {
                talk.send(ok(name));
            } else if !act(talk) {
                return;
            }
        }
    });
    (service, is_sick)
}

fn answering(status: u16) -> impl Fn(&mut Talk) -> bool + Send + Sync + 'static {
    move |talk| {
        talk.send(format!("HTTP/1.1 {status} X\r\nContent-Length: 4\r\n\r\nsick"));
        true
    }
}

/// A gateway whose service `s` has these endpoints and keys.
fn gateway(endpoints: &[&Service], keys: &str, route: &str) -> Gateway {
    let urls: Vec<String> = endpoints.iter().map(|service| service.url()).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let config = Config::new().service_at("s", &urls, keys);
    Gateway::with(config.route(&format!("name: all, to: s{route}")))
}

fn address(gateway: &Gateway, endpoint: usize) -> Value {
    let service = gateway.admin_json("/api/v1/services/s");
    service["endpoints"][endpoint]["addresses"][0].clone()
}

fn states(gateway: &Gateway) -> Vec<String> {
    let service = gateway.admin_json("/api/v1/services/s");
    let endpoints = service["endpoints"].as_array().unwrap().iter();
    endpoints
        .map(|endpoint| endpoint["addresses"][0]["state"].as_str().unwrap().to_owned())
        .collect()
}

/// Sends POSTs, which are not sent twice, until the endpoint is ejected; returns the reason.
fn post_until_ejected(gateway: &Gateway, endpoint: usize) -> String {
    wait_for("an ejection", || {
        gateway.ask(request("POST", "http://a/", "Content-Length: 0\r\n"));
        let address = address(gateway, endpoint);
        (address["state"] == "ejected").then(|| address["reason"].as_str().unwrap().to_owned())
    })
}

#[test]
fn failures_in_a_row_eject_and_others_take_the_requests() {
    let (a, _) = sick("a", |talk| {
        talk.reset();
        false
    });
    let (b, is_sick) = sick("b", answering(500));
    is_sick.store(false, Ordering::SeqCst);
    let gateway = gateway(&[&a, &b], "eject: { failures: 3 }", "");
    let address_text = gateway.admin_address();
    let mut events = Client::connect(address_text);
    events.send(format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: {address_text}\r\n\r\n"
    ));
    assert_eq!(events.response_head().status(), 200);
    assert_eq!(
        post_until_ejected(&gateway, 0),
        "3 failures in a row, the last: connection reset"
    );
    assert_eq!(states(&gateway), ["ejected", "up"]);
    events.expect("event: endpoint_ejected\n");
    events.expect("\"seconds\":30.0");
    for _ in 0..8 {
        assert_eq!(gateway.body(), "b");
    }
    let found = address(&gateway, 0);
    assert_eq!((&found["failures"], &found["ejected"]), (&3.into(), &true.into()));
    assert!(found["until"].as_str() > found["since"].as_str());
    let (endpoint, metrics) = (a.address(), gateway.metrics());
    for series in ["waypost_endpoint_ejections_total", "waypost_endpoint_up"] {
        let value = u8::from(series.ends_with("total"));
        let sample = format!("{series}{{service=\"s\",endpoint=\"{endpoint}\"}} {value}\n");
        assert!(metrics.contains(&sample), "{metrics}");
    }
}

#[test]
fn ejected_endpoint_returns_after_its_time() {
    let ((a, is_sick), (b, _)) = (sick("a", answering(500)), sick("b", answering(200)));
    let gateway = gateway(&[&a, &b], "eject: { failures: 2, of: [5xx], for: 100ms }", "");
    post_until_ejected(&gateway, 0);
    is_sick.store(false, Ordering::SeqCst);
    // By time alone.
    wait_for("the return", || (states(&gateway)[0] == "up").then_some(()));
    wait_for("a request", || (gateway.body() == "a").then_some(()));
}

#[test]
fn status_5xx_counts_only_if_the_config_says_so() {
    let ((a, _), (b, _)) = (sick("a", answering(503)), sick("b", answering(200)));
    let counting = gateway(&[&a, &b], "eject: { failures: 3, of: [5xx] }", "");
    assert_eq!(
        post_until_ejected(&counting, 0),
        "3 failures in a row, the last: status 5xx"
    );
    let ignoring = gateway(&[&a, &b], "eject: { failures: 3 }", "");
    for _ in 0..32 {
        ignoring.ask(request("POST", "http://a/", "Content-Length: 0\r\n"));
    }
    assert_eq!(states(&ignoring), ["up", "up"]);
    // They are seen nevertheless.
    assert!(address(&ignoring, 0)["failures"].as_u64() >= Some(8));
}

#[test]
fn timeouts_count_whether_of_the_service_or_of_the_route() {
    for (keys, route) in [("timeouts: { response: 50ms }, ", ""), ("", ", timeout: 50ms")] {
        let silent = Service::scripted(|talk| talk.read_to_end());
        let (b, is_sick) = sick("b", answering(200));
        is_sick.store(false, Ordering::SeqCst);
        let keys = format!("{keys}eject: {{ failures: 2, of: [timeout] }}");
        let gateway = gateway(&[&silent, &b], &keys, route);
        assert_eq!(
            post_until_ejected(&gateway, 0),
            "2 failures in a row, the last: timeout"
        );
    }
}

#[test]
fn failed_connections_count_and_requests_go_elsewhere() {
    let (a, mut events) = (Service::refusing(), Vec::new());
    let (b, is_sick) = sick("b", answering(200));
    is_sick.store(false, Ordering::SeqCst);
    let gateway = gateway(&[&a, &b], "eject: { failures: 4 }", "");
    let reason = wait_for("an ejection", || {
        assert_eq!(gateway.body(), "b");
        let address = address(&gateway, 0);
        (address["state"] == "ejected").then(|| address["reason"].as_str().unwrap().to_owned())
    });
    events.push(reason);
    assert_eq!(events, ["4 failures in a row, the last: connection failed"]);
    let found = address(&gateway, 0);
    assert_eq!((&found["requests"], &found["failures"]), (&4.into(), &4.into()));
}

#[test]
fn never_more_than_the_share_and_never_the_only_one() {
    let services: Vec<Service> = ["a", "b", "c"].map(|name| sick(name, answering(500)).0).into();
    let all: Vec<&Service> = services.iter().collect();
    for (endpoints, max, expected) in [(3, 50, 1), (2, 50, 1), (2, 49, 0), (1, 100, 0), (3, 100, 3)] {
        let keys = format!("eject: {{ failures: 2, of: [5xx], max: {max} }}");
        let gateway = gateway(&all[..endpoints], &keys, "");
        for _ in 0..endpoints * 8 {
            gateway.get("http://a/");
        }
        let states = states(&gateway);
        let ejected = states.iter().filter(|state| **state == "ejected").count();
        assert_eq!(ejected, expected, "{max} % of {endpoints}: {states:?}");
    }
}

#[test]
fn share_of_failures_ejects() {
    let (b, _) = sick("b", answering(200));
    // Every other request fails, so there is never a row.
    let turn = AtomicBool::new(false);
    let (a, _) = sick("a", move |talk| {
        let status = if turn.fetch_xor(true, Ordering::SeqCst) {
            200
        } else {
            500
        };
        answering(status)(talk)
    });
    let keys = "eject: { rate: 50, requests: 10, window: 1h, of: [5xx] }";
    let gateway = gateway(&[&a, &b], keys, "");
    assert_eq!(
        post_until_ejected(&gateway, 0),
        "too many failures, the last: status 5xx"
    );
    let requests = address(&gateway, 0)["requests"].as_u64();
    assert!(requests >= Some(10) && requests <= Some(12), "{requests:?}");
}

#[test]
fn failed_calls_count_by_their_status() {
    for (code, is_failure) in [("14", true), ("5", false)] {
        let server = || {
            Http2Service::start(move |_, mut respond| async move {
                let response = Response::builder().header("content-type", "application/grpc");
                let response = response.header("grpc-status", code).body(()).unwrap();
                let _ = respond.send_response(response, true);
            })
        };
        let (a, b) = (server(), server());
        let keys = "http2: true, eject: { failures: 3, of: [grpc] }";
        let config = Config::new().service_at("s", &[&a.url(), &b.url()], keys);
        let gateway = Gateway::with(config.route("name: all, to: s"));
        let client = Http2Client::connect(gateway.address());
        for _ in 0..16 {
            let call = Request::post("http://a/x.Y/Z").header("content-type", "application/grpc");
            client.ask(call.header("te", "trailers").body(()).unwrap(), "");
        }
        let states = states(&gateway);
        let ejected = states.iter().filter(|state| **state == "ejected").count();
        assert_eq!(ejected, usize::from(is_failure), "{code}: {states:?}");
    }
}

#[test]
fn connection_that_closed_while_idle_is_no_failure() {
    let (a, b) = (
        Service::responding_once(ok("x")),
        Service::responding_once(ok("x")),
    );
    let gateway = gateway(&[&a, &b], "eject: { failures: 1 }", "");
    let mut client = gateway.connect();
    for _ in 0..32 {
        assert_eq!(client.get("http://a/").status(), 200);
    }
    assert_eq!(states(&gateway), ["up", "up"]);
}
