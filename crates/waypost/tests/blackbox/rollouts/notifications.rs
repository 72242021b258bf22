//! Notifications: every change is sent to a service, in order, and nothing waits for it.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Bench, Version, config_with, judged, started, subscribe};
use crate::support::gateway::Gateway;
use crate::support::service::{Service, gate, ok};
use crate::support::wait_for;

const NOTIFY: &str = "notify: { to: chat, path: /hook }";

fn bench(plan: &str, chat: &Service) -> Bench {
    let (v1, v2) = (Version::new("v1"), Version::new("v2"));
    let plan = format!("{plan}, {NOTIFY}");
    let config = config_with([&v1, &v2], "{ v1: 100, v2: 0 }", &plan, "", |config| {
        config.service(chat, "")
    });
    Bench {
        gateway: Gateway::with_test_clock(config),
        v1,
        v2,
        sent: 0.into(),
    }
}

/// The events that a service was sent, each on a connection of its own.
fn events(service: &Service) -> Vec<Value> {
    let received = service.received();
    let bodies = received.iter().filter_map(|text| text.split_once("\r\n\r\n"));
    bodies
        .filter_map(|(_, body)| serde_json::from_str(body).ok())
        .collect()
}

/// Waits until a service was sent so many events; returns their changes.
fn wait_for_changes(service: &Service, count: usize) -> Vec<String> {
    wait_for("the notifications", || {
        let events = events(service);
        (events.len() >= count).then(|| {
            let changes = events
                .iter()
                .map(|event| event["change"].as_str().unwrap().to_owned());
            changes.collect()
        })
    })
}

#[test]
fn changes_come_in_order_and_again_after_a_failure() {
    let count = AtomicUsize::new(0);
    let chat = Service::named("chat", move |talk| {
        while talk.request().is_some_and(|request| request.is_complete) {
            talk.send(match count.fetch_add(1, Ordering::SeqCst) {
                0 => "HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\ntired".to_owned(),
                _ => ok(""),
            });
        }
    });
    let bench = bench(
        "steps: [10, 50, 100], at_least: 5s, requests: 0, judge: off",
        &chat,
    );
    let mut stream = subscribe(&bench.gateway);
    bench.start();
    bench.act("pause");
    bench.act("resume");
    bench.gateway.pass(20);
    assert_eq!(bench.status()["state"], "finished");
    assert_eq!(
        wait_for_changes(&chat, 8),
        [
            "started", "started", "step", "paused", "resumed", "step", "step", "finished"
        ]
    );
    let events = events(&chat);
    let shares: Vec<Value> = events[1..]
        .iter()
        .map(|event| json!([event["step"], event["from_percent"], event["to_percent"]]))
        .collect();
    assert_eq!(
        shares,
        [
            json!([0, 0.0, 0.0]),
            json!([1, 0.0, 10.0]),
            json!([1, 10.0, 10.0]),
            json!([1, 10.0, 10.0]),
            json!([2, 10.0, 50.0]),
            json!([3, 50.0, 100.0]),
            json!([3, 100.0, 100.0]),
        ]
    );
    // The same as is published.
    let step = &events[2];
    stream.expect("event: dial\n").expect(&format!("data: {step}\n"));
    let text = &chat.received()[0];
    assert!(text.starts_with("POST /hook HTTP/1.1\r\n"), "{text}");
    bench.gateway.wait_for_part(
        "`chat/hook` answered 500: tired; the notification `started` of the rollout on the route `users`",
    );
    wait_for("the count", || {
        let metrics = bench.gateway.metrics();
        metrics
            .contains("waypost_rollout_notifications_total{result=\"delivered\"} 7\n")
            .then_some(())
    });
}

#[test]
fn dead_service_delays_neither_the_rollback_nor_the_end() {
    let chat = Service::refusing_as("chat");
    let mut bench = bench(&judged("[25, 50, 100]"), &chat);
    bench.v2.set_broken(true);
    bench.start();
    bench.seconds_until("rolled_back", 10);
    assert_eq!(bench.live(), [100, 0]);
    bench
        .gateway
        .wait_for_part("`chat/hook` did not answer: connection refused");
    bench.gateway.signal(Signal::TERM);
    assert!(bench.gateway.wait().success());
    bench
        .gateway
        .wait_for_part("3 notifications of rollouts are not delivered");
}

#[test]
fn hanging_service_gets_the_rest_in_order() {
    let (opener, gate) = gate();
    let chat = Service::named("chat", move |talk| {
        while talk.request().is_some_and(|request| request.is_complete) {
            gate.wait();
            talk.send(ok(""));
        }
    });
    let bench = bench(&judged("[25, 50, 100]"), &chat);
    bench.v2.set_broken(true);
    bench.start();
    bench.seconds_until("rolled_back", 10);
    assert_eq!(wait_for_changes(&chat, 1)[0], "started");
    drop(opener);
    // The first may have timed out meanwhile, and come again.
    let changes = wait_for("the last change", || {
        let changes = wait_for_changes(&chat, 3);
        (changes.last()? == "rolled_back").then_some(changes)
    });
    assert_eq!(changes[changes.len() - 2..], ["step", "rolled_back"]);
    let events = events(&chat);
    let last = events.last().unwrap();
    assert_eq!(
        json!([last["from_percent"], last["to_percent"], last["by"]]),
        json!([25.0, 0.0, "judge"])
    );
    assert!(last["evidence"].as_f64().unwrap() >= 100.0, "{last}");
}

#[test]
fn end_by_a_removed_route_is_told() {
    let chat = Service::responding(ok(""));
    let chat_at = chat.url();
    let (v1, v2) = (Version::new("v1"), Version::new("v2"));
    let plan = format!("steps: [10, 100], {NOTIFY}");
    let config = config_with([&v1, &v2], "{ v1: 100, v2: 0 }", &plan, "", |config| {
        config.service_at("chat", &[&chat_at], "")
    });
    let text: &str = config.as_ref();
    let without = text.replace("name: users,", "name: others,");
    let gateway = Gateway::with_test_clock(&config);
    started(&gateway, "users", &json!({ "to": "v2" }));
    gateway.rewrite(without);
    assert_eq!(wait_for_changes(&chat, 3), ["started", "step", "aborted"]);
    let events = events(&chat);
    assert_eq!(
        json!([events[2]["from_percent"], events[2]["to_percent"]]),
        json!([10.0, 0.0])
    );
    let summary = events[2]["summary"].as_str().unwrap();
    assert!(summary.contains("`users` was removed"), "{summary}");
}

#[test]
fn what_comes_after_the_end_is_told_too() {
    let chat = Service::responding(ok(""));
    let (v1, v2) = (Version::new("v1"), Version::new("v2"));
    let keys =
        format!("steps: [50, 100], at_least: 1s, requests: 0, judge: off, on_success: write, {NOTIFY}");
    let config = config_with([&v1, &v2], "{ v1: 100, v2: 0 }", "steps: [100]", "", |config| {
        config.service_at("chat", &[&chat.url()], "")
    });
    let text: &str = config.as_ref();
    let in_place = text.replace("rollout: plan", &format!("rollout: {{ {keys} }}"));
    let gateway = Gateway::with_test_clock(in_place);
    started(&gateway, "users", &json!({ "to": "v2" }));
    gateway.pass(5);
    assert_eq!(
        wait_for_changes(&chat, 5),
        ["started", "step", "step", "finished", "written"]
    );
}
