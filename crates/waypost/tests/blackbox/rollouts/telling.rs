//! Rollouts in events, log, history and status.

use serde_json::{Value, json};

use super::{BURST, Bench, judged, subscribe};

#[test]
fn changes_are_told_by_events_log_and_history() {
    let bench = Bench::new(&judged("[50, 100]"));
    let mut events = subscribe(&bench.gateway);
    bench.start();
    // The start and its first step are one write, and the dial is turned with it.
    events.expect("event: dial\n").expect("event: rollout\n");
    events
        .expect("\"change\":\"started\"")
        .expect("\"change\":\"step\"")
        .expect("\"percent\":\"50 %\"");
    bench.act("pause");
    events.expect("\"change\":\"paused\"").expect("\"by\":\"local\"");
    bench.v2.set_broken(true);
    bench.seconds_until("rolled_back", 10);
    events
        .expect("\"change\":\"rolled_back\"")
        .expect("\"percent\":\"0 %\"");
    events
        .expect("v2 failed 100 % of its requests")
        .expect("\"by\":\"judge\"");
    bench
        .gateway
        .wait_for_part("rollout of `v2` on the route `users`: rolled back, 0 %: v2 failed 100 %");
    let history = bench
        .gateway
        .command(&["rollout", "history", "users"])
        .expect(0)
        .stdout;
    let lines: Vec<&str> = history.lines().collect();
    assert_eq!(lines.len(), 5, "{history}");
    assert!(
        lines[1].contains("rolled back") && lines[1].contains("judge"),
        "{history}"
    );
    assert!(lines[4].contains("started"), "{history}");
    // The history spans rollouts.
    bench.start();
    let all = bench
        .gateway
        .command(&["rollout", "history", "users", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(all.as_array().unwrap().len(), 6, "{all}");
}

#[test]
fn status_has_the_numbers() {
    let bench = Bench::new(&judged("[50, 100]").replace("requests: 20", "requests: 1000000"));
    let none = bench.gateway.command(&["rollout", "status"]).expect(0).stdout;
    assert_eq!(none, "no route had a rollout so far\n");
    bench.start();
    for _ in 0..8 {
        bench.second();
    }
    let status = bench
        .gateway
        .command(&["rollout", "status", "users", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(status, bench.status());
    let errors = &status["metrics"][0];
    let number = |value: &Value| value.as_u64().unwrap();
    assert_eq!(errors["metric"], "errors");
    assert_eq!(
        number(&errors["canary_requests"]) + number(&errors["baseline_requests"]),
        8 * BURST as u64
    );
    assert_eq!(errors["canary_requests"], status["step_requests"]);
    assert_eq!(
        json!([errors["canary_bad"], errors["baseline_bad"]]),
        json!([0, 0])
    );
    assert_eq!(
        json!([errors["proved"], status["rollback_at"]]),
        json!([true, 100.0])
    );
    let all = bench
        .gateway
        .command(&["rollout", "status", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(all, json!([status]));
}
