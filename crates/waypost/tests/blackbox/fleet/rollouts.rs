//! Rollouts: the leader turns them, and another instance goes on when it is gone.

use waypost_etcd::simulated::fault::Hold;

use super::*;

/// A route with a ramp by time of these steps.
fn ramp(a: &Service, b: &Service) -> Config {
    Config::new()
        .service(a, "")
        .service(b, "")
        .route("name: users, to: { a: 100, b: 0 }, rollout: { canary: b, steps: [10, 50, 100], at_least: 5s, requests: 0, judge: off }")
}

fn start(gateway: &Gateway) -> Message {
    gateway.admin("POST", "/api/v1/routes/users/rollout", JSON, "{}")
}

fn rollout(gateway: &Gateway) -> Value {
    gateway.admin_json("/api/v1/routes/users/rollout")
}

/// The instances, the leader first.
fn leader_first(etcd: &Etcd) -> (Gateway, Gateway) {
    let one = etcd.instance_with_test_clock();
    wait_for("the lead", || leads(&one).then_some(()));
    let two = etcd.instance_with_test_clock();
    wait_for_revision(&two, 1);
    (one, two)
}

#[test]
fn rollout_goes_on_at_another_instance_when_its_leader_is_gone() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(ramp(&a, &b));
    let (mut one, two) = leader_first(&etcd);
    let started = start(&one);
    assert_eq!(started.status(), 200, "{}", started.text());
    one.pass(6);
    assert_eq!(rollout(&one)["percent"], 50.0);
    wait_for("the step at the other instance", || {
        (rollout(&two)["percent"] == 50.0).then_some(())
    });
    wait_for("its weights", || (live(&two) == live(&one)).then_some(()));

    one.kill();
    etcd.pass(Duration::from_secs(11));
    wait_for("another leader", || leads(&two).then_some(()));
    assert_eq!(rollout(&two)["percent"], 50.0);
    wait_for("the rollout", || {
        two.pass(6);
        (rollout(&two)["percent"] == 100.0).then_some(())
    });
    wait_for_body(&two, "b");
}

#[test]
fn instance_that_stops_gives_the_lead_away_at_once() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(ramp(&a, &b));
    let (mut one, two) = leader_first(&etcd);
    one.signal(rustix::process::Signal::TERM);
    one.wait();
    wait_for("another leader", || leads(&two).then_some(()));
}

#[test]
fn changed_weights_are_gone_to_in_steps_whoever_applies_them() {
    let (a, b) = (named("a"), named("b"));
    let config = |weights: &str| {
        Config::new().service(&a, "").service(&b, "").route(&format!(
            "name: users, to: {{ {weights} }}, rollout: {{ steps: [10, 100], at_least: 5s, requests: 0, judge: off, on_change: true }}"
        ))
    };
    let etcd = Etcd::with(config("a: 100, b: 0"));
    let (one, two) = leader_first(&etcd);
    let applied = two.admin("PUT", "/api/v1/config", YAML, config("a: 0, b: 100").as_ref());
    assert_eq!(applied.status(), 200, "{}", applied.text());
    wait_for("the first step", || {
        let rollout = one.admin("GET", "/api/v1/routes/users/rollout", "", "");
        (rollout.status() == 200 && rollout.json()["percent"] == 10.0).then_some(())
    });
    wait_for("the first step at the other", || {
        (rollout(&two)["percent"] == 10.0).then_some(())
    });
    one.pass(6);
    wait_for_body(&one, "b");
    wait_for_body(&two, "b");
}

#[test]
fn commands_on_rollouts_are_the_leaders_wherever_they_come_in() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(ramp(&a, &b));
    let (one, two) = leader_first(&etcd);
    let started = start(&two);
    assert_eq!(started.status(), 200, "{}", started.text());
    assert_eq!(rollout(&one)["by"], started.json()["by"]);
    // One that has not seen the rollout yet refuses the dial, too, as one that comes too late.
    wait_for("the first step", || (live(&two) == live(&one)).then_some(()));
    let refused = two.dial("users", &json!({ "a": 50, "b": 50 }));
    assert_eq!(refused.status(), 409, "{}", refused.text());
    let paused = two.admin("POST", "/api/v1/routes/users/rollout/pause", "", "");
    assert_eq!(paused.status(), 200, "{}", paused.text());
    for gateway in [&one, &two] {
        wait_for("the pause", || {
            (rollout(gateway)["state"] == "paused").then_some(())
        });
    }
    let aborted = two.admin("POST", "/api/v1/routes/users/rollout/abort", "", "");
    assert_eq!(aborted.status(), 200, "{}", aborted.text());
    wait_for("the weights", || (live(&two) == live(&one)).then_some(()));
    assert_eq!(body(&one), "a");
}

#[test]
fn start_and_pause_without_an_answer_are_taken_as_they_are_stored() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(ramp(&a, &b));
    let one = etcd.instance_with_test_clock();
    wait_for_revision(&one, 1);
    wait_for_quiet(&one);
    etcd.order(On::Write, Fault::DropAnswer);
    let started = start(&one);
    assert_eq!(started.status(), 503, "{}", started.text());
    assert_eq!(started.json()["outcome"], "unknown");
    wait_for("the second step", || {
        one.pass(6);
        let rollout = one.admin("GET", "/api/v1/routes/users/rollout", "", "");
        (rollout.status() == 200 && rollout.json()["percent"] == 50.0).then_some(())
    });

    wait_for_quiet(&one);
    etcd.order(On::Write, Fault::DropAnswer);
    let paused = one.admin("POST", "/api/v1/routes/users/rollout/pause", "", "");
    assert_eq!(paused.status(), 503, "{}", paused.text());
    wait_for("the pause", || (rollout(&one)["state"] == "paused").then_some(()));
    one.pass(60);
    assert_eq!(rollout(&one)["percent"], 50.0);
}

#[test]
fn rollout_that_cannot_be_stored_holds_no_other() {
    let (a, b) = (named("a"), named("b"));
    let route = |name: &str| {
        format!(
            "name: {name}, match: {{ path: /{name} }}, to: {{ a: 100, b: 0 }}, \
             rollout: {{ canary: b, steps: [10, 50, 100], at_least: 5s, requests: 0, judge: off }}"
        )
    };
    let etcd = Etcd::with(
        Config::new()
            .service(&a, "")
            .service(&b, "")
            .route(&route("users"))
            .route(&route("other")),
    );
    let one = etcd.instance_with_test_clock();
    wait_for("the lead", || leads(&one).then_some(()));
    for name in ["users", "other"] {
        let started = one.admin("POST", &format!("/api/v1/routes/{name}/rollout"), JSON, "{}");
        assert_eq!(started.status(), 200, "{}", started.text());
    }
    // As if a later leader had written it: this one never may again.
    let mut stored: Value = serde_json::from_str(&etcd.get("rollouts/other").unwrap()).unwrap();
    stored["fence"] = json!(etcd.simulated.revision().0);
    etcd.put_key("rollouts/other", stored.to_string());
    wait_for("the second step", || {
        one.pass(6);
        (rollout(&one)["percent"] == 50.0).then_some(())
    });
    wait_for("a red status", || {
        one.pass(6);
        let status = one.command(&["status"]).stdout;
        status
            .contains("the rollout of the route `other` stands still")
            .then_some(())
    });
}

/// Has the leader go away by `leave`, and checks that `two` carries an abort out once another instance leads.
fn check_abort_without(leave: impl Fn(&mut Gateway)) {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(ramp(&a, &b));
    let (mut one, two) = leader_first(&etcd);
    let started = start(&one);
    assert_eq!(started.status(), 200, "{}", started.text());
    wait_for("the first step", || (live(&two) == live(&one)).then_some(()));
    leave(&mut one);
    std::thread::scope(|scope| {
        let abort = scope.spawn(|| two.admin("POST", "/api/v1/routes/users/rollout/abort", "", ""));
        // The lease of the leader that is gone ends only then.
        etcd.pass(Duration::from_secs(11));
        let aborted = abort.join().unwrap();
        assert_eq!(aborted.status(), 200, "{}", aborted.text());
        assert_eq!(aborted.json()["state"], "aborted");
    });
    wait_for_body(&two, "a");
}

#[test]
fn abort_waits_for_the_next_leader_where_the_last_is_dead() {
    check_abort_without(Gateway::kill);
}

#[test]
fn abort_waits_for_the_next_leader_where_the_last_stands_still() {
    check_abort_without(|leader| leader.signal(rustix::process::Signal::STOP));
}

#[test]
fn abort_that_the_last_leader_has_carried_out_is_answered_by_the_next() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(ramp(&a, &b));
    let (mut one, two) = leader_first(&etcd);
    let started = start(&one);
    assert_eq!(started.status(), 200, "{}", started.text());
    wait_for("the first step", || (live(&two) == live(&one)).then_some(()));
    wait_for_quiet(&one);
    wait_for_quiet(&two);
    let hold = Hold::new();
    etcd.order(On::Write, Fault::HoldAnswer(hold.clone()));
    std::thread::scope(|scope| {
        let abort = scope.spawn(|| two.admin("POST", "/api/v1/routes/users/rollout/abort", "", ""));
        etcd.runtime.block_on(hold.arrived());
        one.kill();
        etcd.pass(Duration::from_secs(11));
        let aborted = abort.join().unwrap();
        assert_eq!(aborted.status(), 200, "{}", aborted.text());
        assert_eq!(aborted.json()["state"], "aborted");
    });
    hold.release();
    wait_for_body(&two, "a");
}
