//! Damage that is not total: a share of failures, at margins that tell it from luck, and a slow tail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::{Bench, Version, burst, has_lack, live, started, status, wait_for_count};
use crate::support::client::{Client, request};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::{Gate, Service, gate, ok};
use crate::support::wait_for;

/// A version that fails each of its so many requests.
fn failing_each(name: &'static str, nth: usize) -> Version {
    let count = AtomicUsize::new(0);
    let service = Service::named(name, move |talk| {
        while talk.request().is_some_and(|request| request.is_complete) {
            let is_bad = (count.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(nth);
            talk.send(match is_bad {
                true => "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_owned(),
                false => ok(name),
            });
        }
    });
    Version {
        service,
        is_broken: Arc::default(),
    }
}

/// A plan of two steps in which errors are judged, with this margin in percent.
fn with_margin(plus: f64) -> String {
    format!(
        "steps: [50, 100], at_least: 0s, requests: 20, warmup: 0s, judge: {{ errors: {{ ratio: 1.5, plus: {plus} }}, \
         client_errors: off, abandoned: off, latency: off }}"
    )
}

#[test]
fn version_that_fails_one_of_twenty_is_rolled_back() {
    let bench = Bench::of(Version::new("v1"), failing_each("v2", 20), &with_margin(0.5), "");
    bench.start();
    bench.seconds_until("rolled_back", 200);
    assert_eq!(bench.live(), [100, 0]);
    let status = bench.status();
    let summary = status["summary"].as_str().unwrap();
    assert!(summary.starts_with("v2 failed"), "{summary}");
}

#[test]
fn version_that_is_as_bad_as_the_old_one_goes_on() {
    let bench = Bench::of(
        failing_each("v1", 20),
        failing_each("v2", 20),
        &with_margin(5.0),
        "",
    );
    bench.start();
    bench.seconds_until("finished", 200);
}

/// It is neither shown to be worse than tolerated, nor not to be.
#[test]
fn version_a_little_worse_than_tolerated_is_held() {
    let bench = Bench::of(
        Version::new("v1"),
        failing_each("v2", 200),
        &with_margin(0.25),
        "",
    );
    bench.start();
    for _ in 0..60 {
        bench.second();
    }
    let status = bench.status();
    assert_eq!(
        json!([status["state"], status["percent"]]),
        json!(["running", 50.0])
    );
    assert!(has_lack(&status, "errors to be shown tolerable"), "{status}");
}

/// A service that responds at once, but for requests with `X-Hold` if there is a gate. Counts these.
fn holding(name: &'static str, held: &Arc<AtomicUsize>, gate: Option<Gate>) -> Service {
    let held = Arc::clone(held);
    Service::named(name, move |talk| {
        while let Some(request) = talk.request().filter(|request| request.is_complete) {
            if request.header("x-hold").is_some() {
                held.fetch_add(1, Ordering::SeqCst);
                gate.iter().for_each(Gate::wait);
            }
            talk.send(ok(name));
        }
    })
}

/// The slow responses are held while the old version answers thousands of requests, one behind the other: they take longer
/// than all of these together.
#[test]
fn version_with_a_slow_tail_is_rolled_back_by_its_p99() {
    const HELD: usize = 200;
    const RELEASED: usize = 6;
    const QUICK: usize = 100;
    let (opener, gate) = gate();
    let [seen_by_v1, seen_by_v2] = [(); 2].map(|()| Arc::<AtomicUsize>::default());
    let (v1, v2) = (
        holding("v1", &seen_by_v1, None),
        holding("v2", &seen_by_v2, Some(gate)),
    );
    let keys = "timeouts: { response: 5m }";
    let gateway = Gateway::with_test_clock(Config::new().service(&v1, keys).service(&v2, keys).route(
        "name: users, to: { v1: 100, v2: 0 }, rollout: { canary: v2, steps: [50, 100], at_least: 0s, warmup: 0s, \
         judge: { errors: off, client_errors: off, abandoned: off, latency: { p99: 50 } } }",
    ));
    started(&gateway, "users", &json!({}));
    let clients: Vec<Client> = (0..HELD)
        .map(|_| {
            let mut client = gateway.connect();
            client.send(request("GET", "http://a/users/7", "X-Hold: 1\r\n"));
            client
        })
        .collect();
    let held = || {
        (
            seen_by_v1.load(Ordering::SeqCst),
            seen_by_v2.load(Ordering::SeqCst),
        )
    };
    wait_for("the requests that are held", || {
        let (v1, v2) = held();
        (v1 + v2 == HELD).then_some(())
    });
    let (mut sent, held) = held();
    // A quantile is judged once twenty responses of the old version lie above it.
    burst(&gateway, "/users/7", 5000);
    sent += 5000;
    wait_for_count(&gateway, "users", sent);
    gateway.pass(1);
    assert_eq!(status(&gateway, "users")["state"], "running");
    let seconds = (1..=held / RELEASED).find(|_| {
        (0..RELEASED).for_each(|_| opener.open());
        burst(&gateway, "/users/7", QUICK);
        sent += RELEASED + QUICK;
        wait_for_count(&gateway, "users", sent);
        gateway.pass(1);
        status(&gateway, "users")["state"] == "rolled_back"
    });
    let status = status(&gateway, "users");
    assert!(
        seconds.is_some_and(|seconds| seconds >= 5),
        "{seconds:?} {status}"
    );
    assert_eq!(live(&gateway, "users"), [100, 0]);
    // Those that are still held get their responses.
    drop(opener);
    for mut client in clients {
        assert_eq!(client.response().status(), 200);
    }
}
