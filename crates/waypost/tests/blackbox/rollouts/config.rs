//! Rollouts that begin with the config (`on_change`), and that end in it (`on_success`).

use std::fs;

use rustix::process::Signal;
use serde_json::json;

use super::{Bench, changes, judged, started};

fn on_change(steps: &str) -> String {
    format!("{}, on_change: true", judged(steps))
}

impl Bench {
    /// Replaces the split, and waits for this revision.
    fn declare(&self, split: &str, plan: &str, revision: u32) {
        self.gateway.replace(self.config(split, plan));
        self.gateway.wait_for_revision(revision);
    }

    fn config_text(&self) -> String {
        fs::read_to_string(self.gateway.config()).unwrap()
    }

    /// Replaces the whole text of the config.
    fn set_config_text(&self, text: &str) {
        let new = self.gateway.directory().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.gateway.config()).unwrap();
    }
}

#[test]
fn changed_weights_are_gone_to_in_steps() {
    let plan = on_change("[25, 50, 75, 100]");
    let bench = Bench::new(&plan);
    bench.declare("{ v1: 40, v2: 60 }", &plan, 2);
    let status = bench.status();
    assert_eq!(
        json!([
            status["state"],
            status["canary"],
            status["steps"],
            status["percent"],
            status["by"]
        ]),
        json!(["running", "v2", 3, 25.0, "config"])
    );
    assert_eq!(bench.live(), [75, 25]);
    let bench = bench.restarted();
    assert_eq!(bench.live(), [75, 25]);
    bench.seconds_until("finished", 80);
    assert_eq!(bench.live(), [40, 60]);
    let route = bench.gateway.admin_json("/api/v1/routes/users");
    assert_eq!(
        route["arms"][1],
        json!({ "service": "v2", "declared": 60, "live": 60 })
    );
    let expected = [
        ("started", "0 %"),
        ("step", "25 %"),
        ("step", "50 %"),
        ("step", "60 %"),
        ("finished", "60 %"),
    ];
    assert_eq!(bench.changes(), changes(&expected));
}

#[test]
fn bad_version_goes_back_and_stays_there() {
    let plan = on_change("[50, 100]");
    let bench = Bench::new(&plan);
    bench.v2.set_broken(true);
    bench.declare("{ v1: 0, v2: 100 }", &plan, 2);
    bench.seconds_until("rolled_back", 20);
    assert_eq!(bench.live(), [100, 0]);
    // A reload of something else, and a restart, change nothing.
    let other = bench.config("{ v1: 0, v2: 100 }", &plan).all_respond("hi");
    bench.gateway.replace(other);
    bench.gateway.wait_for_revision(3);
    assert_eq!(bench.live(), [100, 0]);
    assert_eq!(bench.restarted().live(), [100, 0]);
}

#[test]
fn weights_that_are_taken_back_are_live_at_once() {
    let plan = on_change("[50, 100]");
    let bench = Bench::new(&plan);
    bench.declare("{ v1: 0, v2: 100 }", &plan, 2);
    assert_eq!(bench.live(), [50, 50]);
    bench.declare("{ v1: 100, v2: 0 }", &plan, 3);
    assert_eq!(bench.live(), [100, 0]);
    assert_eq!(bench.status()["state"], "aborted");
}

#[test]
fn end_and_abort_of_a_changed_config() {
    let plan = on_change("[50, 100]");
    let bench = Bench::new(&plan);
    bench.declare("{ v1: 30, v2: 70 }", &plan, 2);
    bench.act("abort");
    assert_eq!(bench.live(), [100, 0]);
    bench.declare("{ v1: 20, v2: 80 }", &plan, 3);
    assert_eq!(bench.live(), [50, 50]);
    bench.act("finish");
    assert_eq!(bench.live(), [20, 80]);
}

#[test]
fn smaller_share_of_a_named_canary_is_taken_at_once() {
    let plan = format!("canary: v2, {}", on_change("[50, 100]"));
    let bench = Bench::new(&plan);
    bench.declare("{ v1: 70, v2: 30 }", &plan, 2);
    assert_eq!(bench.live(), [70, 30], "no step is at or below it but itself");
    bench.act("finish");
    bench.declare("{ v1: 90, v2: 10 }", &plan, 3);
    assert_eq!(bench.live(), [90, 10]);
    assert_eq!(bench.status()["state"], "finished");
}

#[test]
fn weights_are_written_when_the_rollout_succeeds() {
    let plan = format!("{}, on_success: write", judged("[50, 100]"));
    let bench = Bench::new(&plan);
    let text = format!("# ours\n{}", bench.config_text());
    bench.set_config_text(&text);
    bench.gateway.wait_for_revision(2);
    bench.start();
    bench.seconds_until("finished", 60);
    bench.gateway.wait_for_revision(3);
    assert_eq!(
        bench.config_text(),
        text.replace("{ v1: 100, v2: 0 }", "{ v1: 0, v2: 100 }")
    );
    let history = bench.gateway.admin_json("/api/v1/revisions");
    assert_eq!(
        json!([history[0]["origin"], history[0]["by"]]),
        json!(["rollout", "judge"])
    );
    assert_eq!(bench.changes().last().unwrap().0, "written");
    let route = bench.gateway.admin_json("/api/v1/routes/users");
    assert_eq!(
        route["arms"][1],
        json!({ "service": "v2", "declared": 100, "live": 100 })
    );
    bench.gateway.signal(Signal::HUP);
    assert_eq!(bench.live(), [0, 100]);
}

#[test]
fn finish_writes_when_it_is_asked_to() {
    let bench = Bench::new(&judged("[50, 100]"));
    bench.start();
    bench
        .gateway
        .command(&["rollout", "finish", "users", "--write"])
        .expect(0);
    assert!(bench.config_text().contains("to: { v1: 0, v2: 100 }"));
    // So does a start.
    let text = bench
        .config_text()
        .replace("{ v1: 0, v2: 100 }", "{ v1: 1, v2: 0 }");
    bench.set_config_text(&text);
    bench.gateway.wait_for_revision(3);
    bench
        .gateway
        .command(&["rollout", "start", "users", "--to", "v2", "--write"])
        .expect(0);
    bench.act("finish");
    assert!(bench.config_text().contains("to: { v1: 0, v2: 100 }"));
    let refused = bench
        .gateway
        .admin("POST", "/api/v1/routes/users/rollout/pause?write=true", "", "");
    assert_eq!(refused.status(), 422);
}

#[test]
fn actions_take_a_body_of_json() {
    let bench = Bench::new(&judged("[50, 100]"));
    bench.start();
    let act = |action: &str, body: &str| {
        let path = format!("/api/v1/routes/users/rollout/{action}");
        bench.gateway.admin("POST", &path, "", body).status()
    };
    assert_eq!(
        (
            act("pause", "{}"),
            act("resume", "{ \"wait\": 1 }"),
            act("resume", "x")
        ),
        (200, 422, 422)
    );
    assert_eq!(
        (
            act("resume", "{\"write\":true}"),
            act("finish", "{\"write\":true}")
        ),
        (422, 200)
    );
    assert!(bench.config_text().contains("to: { v1: 0, v2: 100 }"));
}

#[test]
fn weights_that_cannot_be_written_stay_a_dial() {
    let bench = Bench::new(&judged("[50, 100]"));
    let anchored = bench.config_text().replace("v1: 100", "v1: &all 100");
    let anchored =
        format!("{anchored}tests: [{{ request: GET /users, expect: {{ arms: {{ v1: *all, v2: 0 }} }} }}]\n");
    bench.set_config_text(&anchored);
    bench.gateway.wait_for_revision(2);
    started(&bench.gateway, "users", &json!({ "to": "v2" }));
    let refused = bench
        .gateway
        .command(&["rollout", "finish", "users", "--write"])
        .expect(1);
    assert!(
        refused
            .stderr
            .contains("the rollout is finished, but the config is not written"),
        "{}",
        refused.stderr
    );
    assert_eq!(bench.config_text(), anchored);
    assert_eq!(bench.live(), [0, 100]);
    let last = bench.changes().last().unwrap().0.clone();
    assert_eq!(
        (bench.status()["state"].clone(), &*last),
        (json!("finished"), "not_written")
    );
}

#[test]
fn edit_that_goes_back_to_the_old_version_is_live_at_once() {
    let plan = on_change("[50, 100]");
    let bench = Bench::new(&plan);
    bench.declare("{ v1: 0, v2: 100 }", &plan, 2);
    bench.act("finish");
    assert_eq!(bench.live(), [0, 100]);
    bench.declare("{ v1: 100, v2: 0 }", &plan, 3);
    assert_eq!(bench.live(), [100, 0]);
    bench.gateway.command(&["rollback", "2"]).expect(0);
    assert_eq!(bench.live(), [50, 50], "forward again is gone to in steps");
}
