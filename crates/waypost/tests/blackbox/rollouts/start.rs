//! Starts: their plan and steps, and refusals.

use serde_json::json;

use super::{Bench, act, judged, start};

#[test]
fn steps_and_plan_of_the_start_take_the_place_of_the_config() {
    let bench = Bench::new(&judged("[50, 100]"));
    let started = bench
        .gateway
        .command(&[
            "rollout",
            "start",
            "users",
            "--to",
            "v2",
            "--steps",
            "0.5,20,100",
            "--format",
            "json",
        ])
        .expect(0)
        .json();
    assert_eq!(
        json!([
            started["percent"],
            started["steps"],
            started["by"],
            started["plan"]
        ]),
        json!([0.5, 3, "tester", "plan"])
    );
    assert_eq!(bench.live(), [199, 1]);
    let bench = bench.restarted();
    assert_eq!(
        (bench.status()["steps"].clone(), bench.live()),
        (json!(3), vec![199, 1])
    );
    bench.gateway.command(&["rollout", "promote", "users"]).expect(0);
    assert_eq!(bench.live(), [80, 20]);
}

#[test]
fn starts_that_make_no_sense_are_refused() {
    let bench = Bench::new(&judged("[50, 100]"));
    let gateway = &bench.gateway;
    for path in [
        "/api/v1/routes/users/rollout",
        "/api/v1/routes/users/rollout/history",
        "/api/v1/routes/x/rollout",
    ] {
        assert_eq!(gateway.admin("GET", path, "", "").status(), 404, "{path}");
    }
    assert_eq!(act(gateway, "pause").status(), 404, "there is none");
    for (route, body, status, said) in [
        ("x", json!({ "to": "v2" }), 404, "no route named `x`"),
        ("users", json!({}), 422, "not said which service"),
        ("users", json!({ "to": "v3" }), 422, "`v3` is not a service"),
        (
            "users",
            json!({ "to": "v2", "plan": "x" }),
            422,
            "no rollout named `x`",
        ),
        (
            "users",
            json!({ "to": "v2", "steps": [] }),
            422,
            "rising percentages",
        ),
        (
            "users",
            json!({ "to": "v2", "steps": [0, 5] }),
            422,
            "rising percentages",
        ),
        (
            "users",
            json!({ "to": "v2", "steps": [5, 5] }),
            422,
            "rising percentages",
        ),
        (
            "users",
            json!({ "to": "v2", "steps": [5, 101] }),
            422,
            "rising percentages",
        ),
        (
            "users",
            json!({ "to": "v2", "steps": [-5, 100] }),
            422,
            "rising percentages",
        ),
        ("users", json!({ "to": "v2", "unknown": 1 }), 422, "unknown"),
        ("users", json!({ "to": "v1" }), 409, "nothing to compare"),
        ("old", json!({ "to": "v2" }), 422, "`old`"),
        (
            "old",
            json!({ "to": "v2", "plan": "plan" }),
            422,
            "`old` is no split",
        ),
    ] {
        let response = start(gateway, route, &body);
        assert_eq!(response.status(), status, "{route} {body}: {}", response.text());
        assert!(response.text().contains(said), "{}", response.text());
    }
    bench.start();
    let twice = start(gateway, "users", &json!({ "to": "v2" }));
    assert_eq!(twice.status(), 409, "{}", twice.text());
    let unknown = act(gateway, "explode");
    assert_eq!(unknown.status(), 404);
    assert!(unknown.text().contains("pause, resume"), "{}", unknown.text());
    gateway
        .command(&["rollout", "start", "users", "--to", "v2"])
        .expect(1);
    gateway.command(&["rollout", "status", "x"]).expect(1);
}
