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

/// The first step is stored with the rollout, so that there is none that has half begun.
#[test]
fn start_that_cannot_be_stored_leaves_nothing() {
    let hours = "windows: [\"Mon 09:00-17:00 UTC\"]";
    for (now, state) in [
        ("2026-11-30T12:00:00Z", "running"),
        ("2026-11-29T12:00:00Z", "waiting"),
    ] {
        let bench = Bench::new(&format!("{}, {hours}", judged("[25, 100]")));
        bench.gateway.set_clock(now);
        // A directory cannot be replaced by a file.
        let file = bench.gateway.directory().join(".waypost/dials.json");
        std::fs::create_dir_all(file.join("x")).unwrap();
        for _ in 0..2 {
            let refused = start(&bench.gateway, "users", &json!({ "to": "v2" }));
            assert_eq!(refused.status(), 507, "{}", refused.text());
            let none = bench.gateway.admin("GET", "/api/v1/routes/users/rollout", "", "");
            assert_eq!((none.status(), bench.live()), (404, vec![100, 0]));
        }
        bench.gateway.pass(5);
        assert_eq!(bench.live(), [100, 0]);
        std::fs::remove_dir_all(&file).unwrap();
        assert_eq!(bench.start()["state"], state);
        let names: Vec<String> = bench.changes().into_iter().map(|(change, _)| change).collect();
        assert_eq!(names[0], "started");
        assert_eq!(names.len(), if state == "running" { 2 } else { 1 }, "{names:?}");
    }
}
