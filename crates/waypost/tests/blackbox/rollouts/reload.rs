//! Reloads that change the plan, the split or the route of a rollout.

use serde_json::json;

use super::{Bench, has_lack, judged, send};
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
