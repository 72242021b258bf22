//! Reloads that change the plan, the split or the route of a rollout.

use serde_json::json;

use super::{Bench, Version, act, has_lack, judged, send};
use crate::support::client::get;
use crate::support::config::Config;

#[test]
fn changed_plan_holds_until_resumed() {
    let bench = Bench::new(&judged("[50, 100]"));
    bench.start();
    let other = |steps: &str| bench.config("{ v1: 100, v2: 0 }", &judged(steps));
    // Other changes are none of its business.
    bench.gateway.replace(other("[50, 100]").all_respond("hi"));
    bench.gateway.wait_for_revision(2);
    assert_eq!(
        (bench.status()["state"].clone(), bench.live()),
        (json!("running"), vec![50, 50])
    );
    bench.gateway.replace(other("[50, 75, 100]"));
    bench.gateway.wait_for_revision(3);
    let status = bench.status();
    assert_eq!((&status["state"], bench.live()), (&json!("paused"), vec![50, 50]));
    assert!(has_lack(&status, "its plan was changed: steps"), "{status}");
    for _ in 0..20 {
        bench.second();
    }
    assert_eq!(bench.status()["percent"], 50.0);
    // Over a kill, too.
    let bench = bench.restarted();
    assert_eq!(
        (bench.status()["state"].clone(), bench.live()),
        (json!("paused"), vec![50, 50])
    );
    let resumed = bench.act("resume");
    assert_eq!(json!([resumed["state"], resumed["steps"]]), json!(["running", 3]));
    bench.seconds_to(75.0, 30);
    // A bad version is rolled back all the same.
    let other = |steps: &str| bench.config("{ v1: 100, v2: 0 }", &judged(steps));
    bench.gateway.replace(other("[75, 100]"));
    bench.gateway.wait_for_part("plan changed, 75 %");
    bench.v2.set_broken(true);
    bench.seconds_until("rolled_back", 20);
    assert_eq!(bench.live(), [100, 0]);
}

#[test]
fn changed_judge_is_taken_with_the_plan() {
    let bench = Bench::new(&judged("[50, 100]"));
    bench.start();
    bench.v2.set_broken(true);
    let timed = "steps: [50, 100], at_least: 20s, requests: 0, judge: off";
    bench.gateway.replace(bench.config("{ v1: 100, v2: 0 }", timed));
    bench.gateway.wait_for_revision(2);
    let resumed = bench.act("resume");
    assert_eq!(resumed["metrics"], json!([]), "{resumed}");
    for _ in 0..10 {
        bench.second();
    }
    assert_eq!(bench.status()["state"], "running");
    let plan = judged("[50, 100]");
    bench.gateway.replace(bench.config("{ v1: 100, v2: 0 }", &plan));
    bench.gateway.wait_for_revision(3);
    bench.act("resume");
    bench.seconds_until("rolled_back", 10);
}

#[test]
fn changed_split_leaves_the_share_of_the_canary() {
    let bench = Bench::new(&judged("[25, 100]"));
    bench.start();
    let plan = judged("[25, 100]");
    bench.gateway.replace(bench.config("{ v1: 0, v2: 100 }", &plan));
    bench.gateway.wait_for_revision(2);
    let status = bench.status();
    assert_eq!((&status["state"], bench.live()), (&json!("paused"), vec![75, 25]));
    assert!(
        has_lack(&status, "the weights or services of its split were changed"),
        "{status}"
    );
    let bench = bench.restarted();
    assert_eq!(
        (bench.status()["state"].clone(), bench.live()),
        (json!("paused"), vec![75, 25])
    );
    bench.act("resume");
    bench.seconds_until("finished", 40);
    assert_eq!(bench.live(), [0, 100]);
    // The same where the share was the declared one.
    let bench = Bench::new(&plan);
    bench.gateway.replace(bench.config("{ v1: 75, v2: 25 }", &plan));
    bench.gateway.wait_for_revision(2);
    bench.start();
    assert_eq!(bench.live(), [75, 25]);
    bench.gateway.replace(bench.config("{ v1: 0, v2: 100 }", &plan));
    bench.gateway.wait_for_revision(3);
    assert_eq!(bench.live(), [75, 25]);
    bench.v2.set_broken(true);
    bench.seconds_until("rolled_back", 10);
    assert_eq!(bench.live(), [100, 0]);
}

#[test]
fn removed_route_aborts() {
    let bench = Bench::new(&judged("[25, 100]"));
    bench.start();
    bench.gateway.replace(Config::new().all_respond("hi"));
    bench.gateway.wait_for_revision(2);
    bench
        .gateway
        .wait_for_part("aborted, 0 %: the route `users` was removed");
    let gone = bench.gateway.admin("GET", "/api/v1/routes/users/rollout", "", "");
    assert_eq!(gone.status(), 404);
    // It is not under way again when the route is.
    bench
        .gateway
        .replace(bench.config("{ v1: 100, v2: 0 }", &judged("[25, 100]")));
    bench.gateway.wait_for_revision(3);
    assert_eq!(
        (bench.status()["state"].clone(), bench.live()),
        (json!("aborted"), vec![100, 0])
    );
    bench.start();
}

#[test]
fn removed_canary_aborts() {
    let bench = Bench::new(&judged("[25, 100]"));
    bench.start();
    let without = Config::new()
        .key(&format!("rollouts: {{ plan: {{ {} }} }}", judged("[25, 100]")))
        .service(&bench.v1.service, "")
        .route("name: users, to: v1");
    bench.gateway.replace(without);
    bench.gateway.wait_for_revision(2);
    let status = bench.status();
    assert_eq!(status["state"], "aborted");
    assert_eq!(status["summary"], "`v2` was removed from the route `users`");
    assert_eq!(send(&bench.gateway, &[get("http://a/users/7")]), ["v1"]);
    // Where the plan names it, the config is refused, and the rollout goes on.
    let plan = format!("canary: v2, {}", judged("[25, 100]"));
    let bench = Bench::new(&plan);
    bench.start();
    let without = Config::new()
        .service(&bench.v1.service, "")
        .service_at("v3", &["http://127.0.0.1:1"], "")
        .route(&format!(
            "name: users, to: {{ v1: 100, v3: 0 }}, rollout: {{ {plan} }}"
        ));
    bench.gateway.replace(without);
    bench
        .gateway
        .wait_for_place("the canary `v2` is not a service of this route's `to`");
    bench.gateway.wait_for("waypost: revision 1 stays in force");
    assert_eq!(
        (bench.status()["state"].clone(), bench.live()),
        (json!("running"), vec![75, 25])
    );
}

#[test]
fn restart_with_another_plan_leaves_the_share() {
    for (steps, next) in [
        ("[5, 100]", json!(100.0)),
        ("[100]", json!(100.0)),
        ("[10, 60, 100]", json!(60.0)),
        ("[1, 10]", json!(null)),
    ] {
        let bench = Bench::new(&judged("[1, 25, 100]"));
        bench.start();
        bench.act("promote");
        let plan = bench.config("{ v1: 100, v2: 0 }", &judged(steps));
        let bench = bench.restarted_with(&plan);
        for _ in 0..3 {
            bench.second();
        }
        let status = bench.status();
        assert_eq!(
            (
                bench.live(),
                &status["state"],
                &status["percent"],
                &status["next_percent"]
            ),
            (vec![75, 25], &json!("paused"), &json!(25.0), &next),
            "{steps}"
        );
        bench.v2.set_broken(true);
        bench.seconds_until("rolled_back", 20);
        assert_eq!(bench.live(), [100, 0]);
    }
}

#[test]
fn restart_with_another_judge_proves_anew() {
    let bench = Bench::new(&judged("[50, 100]").replace("requests: 20", "requests: 100000"));
    bench.start();
    for _ in 0..20 {
        bench.second();
    }
    assert_eq!(bench.status()["metrics"][0]["proved"], true);
    let other = judged("[50, 100]").replace("plus: 20", "plus: 0.1");
    let plan = bench.config("{ v1: 100, v2: 0 }", &other);
    let bench = bench.restarted_with(&plan);
    bench.act("resume");
    bench.second();
    assert_eq!(bench.status()["metrics"][0]["proved"], false);
}

#[test]
fn restart_without_the_plan_leaves_the_share() {
    let bench = Bench::new(&judged("[1, 100]"));
    bench.start();
    let config = bench.config("{ v1: 50, v2: 50 }", &judged("[1, 100]"));
    let config: &str = config.as_ref();
    let config = config
        .replace("plan: {", "calm: {")
        .replace("rollout: plan", "rollout: calm");
    let bench = bench.restarted_with(&config);
    assert_eq!(
        (bench.live(), bench.status()["state"].clone()),
        (vec![99, 1], json!("paused"))
    );
    assert_eq!(act(&bench.gateway, "resume").status(), 409);
    bench.act("abort");
    assert_eq!(bench.live(), [100, 0]);
}

#[test]
fn pause_does_not_hide_a_changed_plan() {
    let bench = Bench::new(&judged("[5, 25, 100]"));
    bench.start();
    bench
        .gateway
        .replace(bench.config("{ v1: 100, v2: 0 }", &judged("[2, 5, 6, 100]")));
    bench.gateway.wait_for_revision(2);
    bench.act("pause");
    bench.act("resume");
    assert_eq!(bench.act("promote")["percent"], 6.0);
}

#[test]
fn plan_that_is_restored_goes_on() {
    let bench = Bench::new(&judged("[50, 100]"));
    bench.start();
    for (steps, revision, state) in [("[50, 75, 100]", 2, "paused"), ("[50, 100]", 3, "running")] {
        bench
            .gateway
            .replace(bench.config("{ v1: 100, v2: 0 }", &judged(steps)));
        bench.gateway.wait_for_revision(revision);
        assert_eq!(bench.status()["state"], state, "{steps}");
    }
}

#[test]
fn service_that_is_removed_leaves_the_share_of_the_canary() {
    let v0 = Version::new("v0");
    let plan = format!("baseline: v1, {}", judged("[5, 100]"));
    let bench = Bench::new(&judged("[5, 100]"));
    let with = |split: &str| {
        Config::new()
            .key(&format!("rollouts: {{ plan: {{ {plan} }} }}"))
            .service(&v0.service, "")
            .service(&bench.v1.service, "timeouts: { response: 5s }")
            .service(&bench.v2.service, "timeouts: { response: 5s }")
            .route(&format!(
                "name: users, match: {{ path: /users/* }}, to: {split}, rollout: plan"
            ))
    };
    bench.gateway.replace(with("{ v0: 100, v1: 0, v2: 0 }"));
    bench.gateway.wait_for_revision(2);
    bench.start();
    assert_eq!(bench.live(), [95, 0, 5]);
    bench.gateway.replace(with("{ v1: 100, v2: 0 }"));
    bench.gateway.wait_for_revision(3);
    assert_eq!(bench.live(), [95, 5]);
    let bench = bench.restarted();
    assert_eq!(bench.live(), [95, 5]);
    bench.act("resume");
    bench.act("abort");
    assert_eq!(bench.live(), [100, 0]);
}
