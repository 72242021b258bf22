//! Actions of operators, and dials against a rollout.

use serde_json::json;

use super::{Bench, JSON, act, has_lack, judged};

#[test]
fn pause_stops_steps_and_not_the_judge() {
    let bench = Bench::new(&judged("[50, 75, 100]"));
    bench.start();
    assert_eq!(bench.act("pause")["state"], "paused");
    assert_eq!(act(&bench.gateway, "pause").status(), 409, "it is paused already");
    for _ in 0..20 {
        bench.second();
    }
    let status = bench.status();
    assert_eq!(
        json!([status["state"], status["percent"]]),
        json!(["paused", 50.0])
    );
    assert_eq!(status["lacks"].as_array().unwrap().len(), 1, "{status}");
    assert!(has_lack(&status, "paused"), "{status}");
    // Over a kill, too.
    let bench = bench.restarted();
    assert_eq!(bench.status()["state"], "paused");
    bench.act("resume");
    assert_eq!(act(&bench.gateway, "resume").status(), 409, "it is not paused");
    bench.seconds_to(75.0, 30);
    bench.act("pause");
    bench.v2.set_broken(true);
    bench.seconds_until("rolled_back", 20);
    assert_eq!(bench.live(), [100, 0]);
    assert_eq!(act(&bench.gateway, "resume").status(), 409, "it is over");
}

#[test]
fn step_waits_for_approval() {
    let bench = Bench::new(&judged("[25, { percent: 50, approve: true }, 100]"));
    bench.start();
    assert_eq!(
        act(&bench.gateway, "approve").status(),
        409,
        "this step needs none"
    );
    bench.seconds_to(50.0, 40);
    for _ in 0..20 {
        bench.second();
    }
    let status = bench.status();
    assert_eq!(status["percent"], 50.0);
    assert_eq!(
        status["lacks"],
        json!(["the next step needs `waypost rollout approve`"])
    );
    bench.act("approve");
    // It is on disk before it is acknowledged.
    let bench = bench.restarted();
    bench.seconds_until("finished", 30);
    let changes = bench.changes();
    assert!(
        changes.contains(&("approved".to_owned(), "50 %".to_owned())),
        "{changes:?}"
    );
}

#[test]
fn promote_and_finish_ask_for_no_evidence() {
    let bench = Bench::new(&judged("[1, 5, 100]"));
    bench.start();
    assert_eq!(bench.live(), [99, 1]);
    assert_eq!(bench.act("promote")["percent"], 5.0);
    assert_eq!(bench.live(), [95, 5]);
    bench.act("pause");
    let finished = bench.act("finish");
    assert_eq!(
        json!([finished["state"], finished["percent"]]),
        json!(["finished", 100.0])
    );
    assert_eq!(bench.live(), [0, 100]);
    for action in ["pause", "resume", "promote", "approve", "abort", "finish"] {
        assert_eq!(act(&bench.gateway, action).status(), 409, "{action}");
    }
    let delete = bench
        .gateway
        .admin("DELETE", "/api/v1/routes/users/rollout", "", "");
    assert_eq!(delete.status(), 409);
}

#[test]
fn actions_on_a_rollout_that_has_changed_since_it_was_read_are_refused() {
    let bench = Bench::new(&judged("[1, 5, 25, { percent: 50, approve: true }, 100]"));
    let path = "/api/v1/routes/users/rollout";
    let send = |method: &str, path: &str, tag: &str| {
        bench
            .gateway
            .admin(method, path, &format!("If-Match: {tag}\r\n"), "")
    };
    let promote = format!("{path}/promote");
    let start = |tag: &str| {
        let fields = format!("{JSON}If-Match: {tag}\r\n");
        bench.gateway.admin("POST", path, &fields, "{\"to\": \"v2\"}")
    };
    // No client has seen a rollout that there was not.
    assert_eq!(start("\"seen\"").status(), 412);
    let started = start("*");
    assert_eq!(started.status(), 200, "{}", started.text());
    let first = started.header("etag").unwrap().to_owned();
    let version = bench.status()["version"].as_str().unwrap().to_owned();
    assert_eq!(first, format!("\"{version}\""));
    assert_eq!(
        bench.gateway.admin_json("/api/v1/rollouts")[0]["version"],
        *version
    );
    // A second without an event changes nothing.
    bench.gateway.pass(1);
    assert_eq!(bench.status()["version"], *version);
    // Two promote what they have both seen: it is promoted once.
    let promoted = send("POST", &promote, &first);
    assert_eq!((promoted.status(), bench.live()), (200, vec![95, 5]));
    let second = promoted.header("etag").unwrap().to_owned();
    let stale = send("POST", &promote, &first);
    assert_eq!((stale.status(), bench.live()), (412, vec![95, 5]));
    let detail = stale.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("it is running now, at step 2 of 5, 5 %, the last change was `step` by local at "),
        "{detail}"
    );
    assert_eq!(send("DELETE", path, &first).status(), 412);
    let refused = bench
        .gateway
        .command(&["rollout", "pause", "users", "--if-version", &version])
        .expect(1);
    assert!(refused.stderr.contains("has changed"), "{refused:?}");
    // One of several is enough, and without a version everything is as ever.
    assert_eq!(
        send("POST", &promote, &format!("{first}, {second}")).status(),
        200
    );
    let now = bench.status()["version"].as_str().unwrap().to_owned();
    bench
        .gateway
        .command(&["rollout", "pause", "users", "--if-version", &now])
        .expect(0);
    bench.act("resume");
    // The end is a change, too.
    let last = bench.status()["version"].as_str().unwrap().to_owned();
    bench.act("abort");
    assert_eq!(send("POST", &promote, &format!("\"{last}\"")).status(), 412);
    assert_eq!(start(&format!("\"{last}\"")).status(), 412);
    let ended = bench.status()["version"].as_str().unwrap().to_owned();
    assert_eq!(start(&format!("\"{ended}\"")).status(), 200);
}

#[test]
fn abort_restores_the_weights_of_the_start() {
    let bench = Bench::new(&judged("[25, 100]"));
    assert_eq!(
        bench
            .gateway
            .dial("users", &json!({ "v1": 90, "v2": 10 }))
            .status(),
        200
    );
    bench.start();
    assert_eq!(bench.live(), [75, 25]);
    let aborted = bench
        .gateway
        .admin("DELETE", "/api/v1/routes/users/rollout", "", "");
    assert_eq!(aborted.json()["state"], "aborted");
    assert_eq!(bench.live(), [90, 10]);
    assert_eq!(
        bench.changes().last().unwrap(),
        &("aborted".to_owned(), "10 %".to_owned())
    );
    // A rollback goes to 0.
    bench.v2.set_broken(true);
    bench.start();
    bench.seconds_until("rolled_back", 10);
    assert_eq!(bench.live(), [100, 0]);
}

#[test]
fn dial_is_refused_during_a_rollout() {
    let bench = Bench::new(&judged("[25, 100]"));
    bench.start();
    let refused = bench.gateway.dial("users", &json!({ "v1": 0, "v2": 1 }));
    assert_eq!(refused.status(), 409, "{}", refused.text());
    let refused = bench
        .gateway
        .command(&["dial", "users", "v2=100"])
        .expect(1)
        .stderr;
    for part in ["`pause`", "`abort`", "`--force`"] {
        assert!(refused.contains(part), "{refused}");
    }
    assert_eq!(
        bench
            .gateway
            .admin("DELETE", "/api/v1/routes/users/split", "", "")
            .status(),
        409
    );
    assert_eq!(
        (bench.live(), bench.status()["state"].clone()),
        (vec![75, 25], json!("running"))
    );
    // Orders that are wrong abort nothing.
    bench
        .gateway
        .command(&["dial", "users", "v3=100", "--force"])
        .expect(1);
    assert_eq!(
        (bench.live(), bench.status()["state"].clone()),
        (vec![75, 25], json!("running"))
    );
    bench
        .gateway
        .command(&["dial", "users", "v2=60", "--force"])
        .expect(0);
    assert_eq!(
        (bench.live(), bench.status()["state"].clone()),
        (vec![40, 60], json!("aborted"))
    );
    assert_eq!(bench.gateway.dial("users", &json!({ "v1": 1 })).status(), 200);
}

#[test]
fn action_that_cannot_be_stored_is_not_done() {
    let bench = Bench::new(&judged("[25, 50, 100]"));
    bench.start();
    // A directory cannot be replaced by a file.
    let file = bench.gateway.directory().join(".waypost/dials.json");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir_all(file.join("x")).unwrap();
    for action in ["pause", "approve", "promote", "abort", "finish"] {
        let refused = act(&bench.gateway, action).status();
        assert!(
            refused == 507 || (action == "approve" && refused == 409),
            "{action}: {refused}"
        );
        assert_eq!(
            (bench.status()["state"].clone(), bench.live()),
            (json!("running"), vec![75, 25]),
            "{action}"
        );
    }
    std::fs::remove_dir_all(&file).unwrap();
    bench.act("promote");
    assert_eq!(bench.live(), [50, 50]);
}
