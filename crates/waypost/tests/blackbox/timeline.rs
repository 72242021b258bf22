//! The figures of the last day, by the second and by the minute, with marks of what changed.

use serde_json::{Value, json};

use crate::support::client::get;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::{Service, ok};
use crate::support::wait_for;

/// A route `users` with an arm that responds and one that fails, chosen by a header.
fn config(good: &Service, bad: &Service) -> Config {
    Config::new()
        .workers(2)
        .service(good, "")
        .service(bad, "")
        .route(
            "name: users, match: { path: /users/* }, to: { good: 90, bad: 10 }, \
             force: { header: x-arm, values: { good: good, bad: bad } }",
        )
        .route("name: gone, match: { path: /gone }, respond: { status: 410 }")
}

fn services() -> (Service, Service) {
    let respond = |name: &str, response: String| {
        Service::named(name, move |talk| {
            while talk.request().is_some() {
                talk.send(&response);
            }
        })
    };
    let failure = "HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\nno".to_owned();
    (respond("good", ok("yes")), respond("bad", failure))
}

fn send(gateway: &Gateway, arm: &str, times: usize) {
    let mut client = gateway.connect();
    for _ in 0..times {
        let request = format!("GET /users/1 HTTP/1.1\r\nHost: a\r\nx-arm: {arm}\r\n\r\n");
        client.ask(request);
    }
}

/// The sum of a column of the series of `service`.
fn sum(figures: &Value, service: &Value, column: &str) -> u64 {
    let all = figures["series"].as_array().unwrap();
    let series = all.iter().find(|series| series["service"] == *service);
    let values = series.map(|series| series[column].as_array().unwrap().iter());
    values.into_iter().flatten().filter_map(Value::as_u64).sum()
}

/// Waits until the figures at `path` have this many requests.
fn wait_until(gateway: &Gateway, path: &str, requests: u64) -> Value {
    wait_for("the figures", || {
        let figures = gateway.admin_json(path);
        (sum(&figures, &Value::Null, "requests") == requests).then_some(figures)
    })
}

#[test]
fn route_and_arms_have_figures_by_the_second_and_the_minute() {
    let (good, bad) = services();
    let gateway = Gateway::with(config(&good, &bad));
    send(&gateway, "good", 5);
    send(&gateway, "bad", 3);
    gateway.connect().ask(get("http://a/nowhere"));
    wait_until(&gateway, "/api/v1/timeline", 9);
    for step in ["1s", "1m"] {
        let figures = wait_until(&gateway, &format!("/api/v1/timeline?route=users&step={step}"), 8);
        for (service, requests, failures) in
            [(Value::Null, 8, 3), (json!("good"), 5, 0), (json!("bad"), 3, 3)]
        {
            let counted = (
                sum(&figures, &service, "requests"),
                sum(&figures, &service, "failures"),
            );
            assert_eq!(counted, (requests, failures), "{service} by {step}: {figures}");
        }
        let quantiles = figures["series"][0]["p99_ms"].as_array().unwrap();
        assert!(quantiles.iter().any(Value::is_number), "{figures}");
        let kept = &figures["kept"];
        assert!(kept["bytes"].as_u64() < kept["bytes_max"].as_u64());
        assert_eq!(kept["bytes_max"], 16 << 20);
    }
    let arm = gateway.admin_json("/api/v1/timeline?route=users&service=bad");
    assert_eq!(arm["series"].as_array().unwrap().len(), 1);
    assert_eq!(sum(&arm, &json!("bad"), "failures"), 3);
    let without_route = gateway.admin_json("/api/v1/timeline?route=");
    assert_eq!(sum(&without_route, &Value::Null, "requests"), 1);
    // A route without requests has had none since the start.
    let gone = gateway.admin_json("/api/v1/timeline?route=gone");
    assert_eq!(sum(&gone, &Value::Null, "requests"), 0);
    assert!(!gone["series"][0]["requests"].as_array().unwrap().is_empty());
    // Only what is new.
    let next = arm["next"].as_u64().unwrap();
    let later = gateway.admin_json(&format!("/api/v1/timeline?since={next}"));
    assert!(later["begin"].as_u64().unwrap() >= next);
    assert_eq!(sum(&later, &Value::Null, "requests"), 0);
}

#[test]
fn figures_survive_a_reload_and_changes_are_marked() {
    let (good, bad) = services();
    let gateway = Gateway::with(config(&good, &bad));
    send(&gateway, "good", 2);
    wait_until(&gateway, "/api/v1/timeline?route=users", 2);
    gateway.dial("users", &json!({ "good": 1 }));
    // The changed route has new counters.
    gateway.rewrite(
        Config::new()
            .workers(2)
            .service(&good, "")
            .route("name: users, to: good"),
    );
    gateway.wait_for_revision(2);
    send(&gateway, "good", 3);
    let figures = wait_until(&gateway, "/api/v1/timeline?route=users", 5);
    let marks: Vec<&str> = figures["marks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mark| mark["event"].as_str().unwrap())
        .collect();
    assert_eq!(marks, ["dial", "applied"]);
    assert_eq!(figures["marks"][0]["text"], "good 1, bad 0 by local");
    // A dial of another route is none of this one's.
    let whole = gateway.admin_json("/api/v1/timeline?step=1m");
    assert_eq!(whole["marks"], figures["marks"]);
}

#[test]
fn wrong_questions_are_refused() {
    let gateway = Gateway::with(Config::new().all_respond("hello"));
    let status = |query: &str| {
        let response = gateway.admin("GET", &format!("/api/v1/timeline?{query}"), "", "");
        response.status()
    };
    assert_eq!(status("route=none"), 404);
    for query in ["step=2s", "window=25h", "window=1", "service=a", "window=500ms"] {
        assert_eq!(status(query), 422, "{query}");
    }
    for query in ["since=x", "unknown=1"] {
        assert_eq!(status(query), 400, "{query}");
    }
    assert_eq!(status("route=all&service=&window=24h&step=1m&since=0"), 200);
}
