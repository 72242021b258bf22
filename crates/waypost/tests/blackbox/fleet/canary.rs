//! A config that some instances try before all take it, or none does.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use waypost_etcd::simulated::fault::Hold;

use super::instances::wait_for_instances;
use super::*;

/// Instances that know of each other.
fn instances<const N: usize>(etcd: &Etcd) -> [Gateway; N] {
    let instances = std::array::from_fn(|_| etcd.instance());
    for gateway in &instances {
        wait_for_revision(gateway, 1);
        wait_for_instances(gateway, N);
    }
    instances
}

fn id(gateway: &Gateway) -> String {
    ids(gateway).0
}

/// Has so many instances try a config, this one first.
fn begin(gateway: &Gateway, query: &str, config: &Config) -> Value {
    let path = format!("/api/v1/config?{query}");
    let begun = gateway.admin("PUT", &path, YAML, config.as_ref());
    assert_eq!(begun.status(), 202, "{}", begun.text());
    begun.json()["canary"].clone()
}

fn canary(gateway: &Gateway) -> Value {
    gateway.admin_json("/api/v1/fleet/canary")
}

/// Waits until an instance knows of this stage.
fn wait_for_stage(gateway: &Gateway, stage: &str) -> Value {
    wait_for(&format!("the stage {stage}"), || {
        let known = gateway.admin("GET", "/api/v1/fleet/canary", "", "");
        let canary = (known.status() == 200).then(|| known.json())?;
        (canary["stage"] == stage).then_some(canary)
    })
}

/// Waits until an instance has gone back to the config of all, and returns why.
fn wait_for_the_end(gateway: &Gateway) -> String {
    let canary = wait_for_stage(gateway, "taken_back");
    canary["why"].as_str().unwrap().to_owned()
}

/// Waits until an instance has tried a config.
fn wait_until_tried(gateway: &Gateway) {
    gateway.wait_for_part("is tried here");
}

/// Returns true if an instance has ever tried a config.
fn has_tried(gateway: &Gateway) -> bool {
    gateway.said().iter().any(|line| line.contains("is tried here"))
}

fn events(gateway: &Gateway) -> crate::support::client::Client {
    let address = gateway.admin_address();
    let mut events = crate::support::client::Client::connect(address);
    events.send(format!("GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    assert_eq!(events.response_head().status(), 200);
    events
}

#[test]
fn canary_that_stays_healthy_becomes_the_config_of_all() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(Config::new().all_to(&a));
    let [one, two, three] = instances(&etcd);
    let mut events = events(&three);
    let config = Config::new().all_to(&b);
    one.place("next.yaml", config.as_ref());
    let applied = ["apply", "next.yaml", "--canary", "1", "--hold", "100ms", "--wait"];
    let applied = one.command(&applied).expect(0);
    let tried = format!(" is tried by {}: ", id(&one));
    for part in [
        &tried,
        "`waypost fleet abort` takes it back",
        "it has passed: revision 2 is the config of all",
    ] {
        assert!(applied.stdout.contains(part), "{part}: {}", applied.stdout);
    }
    assert!(
        applied.stderr.contains("obeyed by 3 instances"),
        "{}",
        applied.stderr
    );
    events.expect("event: canary_begun\n");
    events.expect("event: canary_passed\n");
    for gateway in [&one, &two, &three] {
        wait_for_revision(gateway, 2);
        wait_for_body(gateway, "b");
    }
    wait_until_tried(&one);
    assert!(!has_tried(&two) && !has_tried(&three));
    assert_eq!(etcd.get("config/routes.yaml").unwrap(), config.as_ref() as &str);
    assert_eq!(etcd.keys("revisions"), ["1", "2"]);
    let revision = two.admin_json("/api/v1/revisions/2");
    assert_eq!(revision["origin"], "api");

    // The next one, as JSON, at another instance.
    two.place("next.yaml", Config::new().all_to(&a).as_ref());
    let applied = [
        "apply",
        "next.yaml",
        "--canary",
        "60%",
        "--hold",
        "0s",
        "--format",
        "json",
    ];
    let verdict = two.command(&applied).expect(0).json();
    assert_eq!(
        (&verdict["stage"], &verdict["revision"]),
        (&json!("passed"), &json!(3))
    );
    assert_eq!(verdict["instances"].as_array().unwrap().len(), 2, "{verdict}");
    assert_eq!(verdict["instances"][0]["id"], id(&two));
    wait_for_body(&three, "a");
}

#[test]
fn asked_instance_is_the_first_and_other_changes_wait_until_it_is_taken_back() {
    let (a, b) = (named("a"), named("b"));
    let route = "name: users, match: { path: /* }, to: { a: 100, b: 0 }";
    let other = "name: other, match: { path: /other }, to: { a: 1, b: 1 }";
    let of = |users: &str| {
        let services = Config::new().service(&a, "").service(&b, "");
        services.route(users).route(other)
    };
    let etcd = Etcd::with(of(route));
    let [one, two, three] = instances(&etcd);
    let begun = begin(
        &two,
        "canary=1&hold=1h",
        &of(&route.replace("100, b: 0", "0, b: 100")),
    );
    assert_eq!(body(&two), "b", "it is in force once it is acknowledged");
    assert_eq!(begun["instances"][0]["id"], id(&two));
    let held = wait_for_stage(&one, "holding");
    assert_eq!(
        (&held["id"], &held["instances"][0]["state"]),
        (&begun["id"], &json!("healthy"))
    );
    wait_for_stage(&three, "holding");
    assert_eq!([body(&one), body(&three)], ["a", "a"]);
    assert_eq!(revision(&two), 1);

    let id = begun["id"].as_str().unwrap();
    for (gateway, weight) in [&one, &two, &three].into_iter().zip(3..) {
        let refused = [
            gateway.admin("PUT", "/api/v1/config", YAML, Config::new().all_to(&a).as_ref()),
            gateway.admin(
                "PUT",
                "/api/v1/config?canary=1",
                YAML,
                Config::new().all_to(&a).as_ref(),
            ),
            gateway.admin("POST", "/api/v1/revisions/1/rollback", "", ""),
            gateway.dial("users", &json!({ "a": 50, "b": 50 })),
        ];
        for refused in refused {
            assert_eq!(refused.status(), 409, "{}", refused.text());
            let text = refused.text();
            assert!(
                text.contains(id) && text.contains("`waypost fleet abort`"),
                "{text}"
            );
        }
        // A route that it does not change is dialed as ever.
        let dialed = gateway.dial("other", &json!({ "a": 1, "b": weight }));
        assert_eq!(dialed.status(), 200, "{}", dialed.text());
        // One that has not seen it yet comes too late with the next.
        for gateway in [&one, &two, &three] {
            wait_for("the dial", || {
                (live_of(gateway, "other")[1]["live"] == weight).then_some(())
            });
        }
    }
    for gateway in [&one, &three] {
        wait_for_obedience(gateway, 3);
    }
    let shown = one.command(&["fleet"]).expect(0).stdout;
    let line = format!("canary     {id} by ");
    assert!(
        shown.contains(&line) && shown.contains("1 of 1 have it"),
        "{shown}"
    );
    let status = three.command(&["status"]).expect(0).stdout;
    assert!(status.contains(&format!("{id} is tried by ")), "{status}");
    assert!(one.metrics().contains("waypost_fleet_canary 1\n"));

    let other = "If-Match: \"another\"\r\n";
    let refused = three.admin("DELETE", "/api/v1/fleet/canary", other, "");
    assert_eq!(refused.status(), 412, "{}", refused.text());
    let aborted = three.command(&["fleet", "abort"]).expect(0).stdout;
    assert!(
        aborted.contains(&format!("canary {id} is taken back")),
        "{aborted}"
    );
    wait_for_body(&two, "a");
    assert!(wait_for_the_end(&two).contains("has taken it back"));
    assert!(!has_tried(&one) && !has_tried(&three));
    let again = three.command(&["fleet", "abort"]).expect(1);
    assert!(
        again.stderr.contains("no instance tries a config"),
        "{}",
        again.stderr
    );
    assert_eq!(etcd.keys("revisions"), ["1"]);
    wait_for_instances(&two, 3);
    assert!(two.metrics().contains("waypost_fleet_canary 0\n"));
    let dialed = two.dial("users", &json!({ "a": 0, "b": 100 }));
    assert_eq!(dialed.status(), 200, "{}", dialed.text());
    wait_for_body(&one, "b");
}

#[test]
fn canary_that_an_instance_cannot_obey_is_taken_back_and_others_never_had_it() {
    let a = named("a");
    let config = Config::new().all_to(&a);
    let etcd = Etcd::with(&config);
    let [one, two, three] = instances(&etcd);
    // A port that only one of them can have.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    one.place("next.yaml", Config::at(port).all_to(&a).as_ref());
    let refused = one
        .command(&["apply", "next.yaml", "--canary", "2", "--hold", "1h"])
        .expect(1);
    let canary = canary(&one);
    let second = canary["instances"][1]["id"].as_str().unwrap();
    let expected = format!("waypost: it was taken back: `{second}`: ");
    assert!(
        refused.stderr.contains(&expected) && refused.stderr.contains("cannot listen on"),
        "{}",
        refused.stderr
    );
    assert_eq!(etcd.keys("revisions"), ["1"]);
    for gateway in [&one, &two, &three] {
        wait_for_instances(gateway, 3);
        assert_eq!(
            gateway.admin("GET", "/api/v1/config", "", "").json()["files"][0]["text"],
            config.as_ref() as &str
        );
    }
    wait_until_tried(&one);
    assert!(!has_tried(&two) && !has_tried(&three));
    for gateway in [&two, &three] {
        let refusal = "waypost: the change is refused";
        if id(gateway) == second {
            gateway.wait_for(refusal);
        } else {
            let said = gateway.said();
            assert!(!said.iter().any(|line| line.starts_with(refusal)), "{said:#?}");
        }
        assert_eq!(body(gateway), "a");
    }
}

#[test]
fn canary_that_the_asked_instance_cannot_obey_is_not_begun() {
    let a = named("a");
    let etcd = Etcd::with(Config::new().all_to(&a));
    let [one, _two] = instances(&etcd);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let refuse = |query: &str, config: &Config, status: u16, part: &str| {
        let path = format!("/api/v1/config?{query}");
        let refused = one.admin("PUT", &path, YAML, config.as_ref());
        assert_eq!(refused.status(), status, "{}", refused.text());
        assert!(refused.text().contains(part), "{part}: {}", refused.text());
    };
    let config = Config::at(taken.local_addr().unwrap()).all_to(&a);
    refuse("canary=1", &config, 409, "cannot listen");
    let failing = Config::new()
        .all_to(&a)
        .test("request: GET /, expect: { route: none }");
    refuse("canary=1", &failing, 422, "the config has 1 error");
    let good = Config::new().all_to(&a).key("drain_timeout: 7s");
    refuse("canary=0", &good, 422, "a number of instances from 1");
    refuse("canary=101%25", &good, 422, "a number of instances from 1");
    refuse(
        "canary=3",
        &good,
        409,
        "3 instances are to try it, and 2 of 2 are healthy",
    );
    refuse("canary=1&hold=soon", &good, 422, "`hold=soon`");
    refuse("hold=10s", &good, 422, "`hold` goes with `canary`");
    refuse(
        "canary=1&confirm=10s",
        &good,
        422,
        "`canary` does not go with `confirm`",
    );
    assert_eq!(etcd.get("canary"), None);
    let both = one.command(&["apply", "next.yaml", "--canary", "1", "--confirm", "1m"]);
    both.expect(2);
    let nothing = one.admin("GET", "/api/v1/fleet/canary", "", "");
    assert_eq!(nothing.status(), 404);
}

#[test]
fn weights_that_a_rollout_goes_to_are_not_tried() {
    let (a, b) = (named("a"), named("b"));
    let of = |weights: &str| {
        let services = Config::new().service(&a, "").service(&b, "");
        services.route(&format!(
            "name: users, to: {{ {weights} }}, rollout: {{ canary: b, steps: [10, 100], at_least: 5s, requests: 0, judge: off, on_change: true }}"
        ))
    };
    let etcd = Etcd::with(of("a: 100, b: 0"));
    let [one] = instances(&etcd);
    let path = "/api/v1/config?canary=1";
    let refused = one.admin("PUT", path, YAML, of("a: 0, b: 100").as_ref());
    assert_eq!(refused.status(), 409, "{}", refused.text());
    assert!(
        refused.text().contains("in the steps of a rollout"),
        "{}",
        refused.text()
    );
    // It is refused until the instance leads.
    wait_for("a rollout", || {
        let started = one.admin("POST", "/api/v1/routes/users/rollout", JSON, "{}");
        (started.status() == 200).then_some(())
    });
    let refused = one.admin("PUT", path, YAML, Config::new().all_to(&a).as_ref());
    assert_eq!(refused.status(), 409, "{}", refused.text());
    assert!(
        refused.text().contains("a rollout turns the route `users`"),
        "{}",
        refused.text()
    );
    assert_eq!(etcd.get("canary"), None);
}

#[test]
fn command_that_is_killed_changes_nothing() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(Config::new().all_to(&a));
    let [one, two] = instances(&etcd);
    one.place("next.yaml", Config::new().all_to(&b).as_ref());
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"))
        .args(["apply", "next.yaml", "--canary", "1", "--hold", "1h"])
        .env("WAYPOST_ADMIN", format!("http://{}", one.admin_address()))
        .current_dir(one.directory())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for_stage(&two, "holding");
    command.kill().unwrap();
    command.wait().unwrap();
    wait_for_stage(&one, "holding");
    assert_eq!([body(&one), body(&two)], ["b", "a"]);
    two.command(&["fleet", "abort"]).expect(0);
    wait_for_body(&one, "a");
}

#[test]
fn canary_goes_on_at_another_leader() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(Config::new().all_to(&a));
    let mut one = etcd.instance();
    wait_for("the lead", || leads(&one).then_some(()));
    let two = etcd.instance();
    wait_for_revision(&two, 1);
    wait_for_instances(&two, 2);
    begin(&two, "canary=1&hold=3s", &Config::new().all_to(&b));
    one.kill();
    etcd.pass(Duration::from_secs(11));
    wait_for("another leader", || leads(&two).then_some(()));
    assert_eq!(wait_for_stage(&two, "passed")["revision"], 2);
    wait_for_revision(&two, 2);
    assert_eq!(body(&two), "b");
    let three = etcd.instance();
    wait_for_body(&three, "b");
}

#[test]
fn canary_whose_instance_dies_is_taken_back() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(Config::new().all_to(&a));
    let mut one = etcd.instance();
    wait_for("the lead", || leads(&one).then_some(()));
    let [two, three] = [etcd.instance(), etcd.instance()];
    for gateway in [&one, &two, &three] {
        wait_for_instances(gateway, 3);
    }
    begin(&two, "canary=3&hold=1h", &Config::new().all_to(&b));
    wait_for_stage(&two, "holding");
    let dead = id(&one);
    one.kill();
    etcd.pass(Duration::from_secs(11));
    let why = wait_for_the_end(&two);
    assert!(why.contains(&format!("`{dead}` has gone")), "{why}");
    wait_for_the_end(&three);
    wait_for_body(&two, "a");
    wait_for_body(&three, "a");
    assert_eq!(etcd.keys("revisions"), ["1"]);
}

#[test]
fn instance_that_is_started_anew_does_not_try_again() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(Config::new().all_to(&a));
    let one = etcd.instance();
    wait_for("the lead", || leads(&one).then_some(()));
    let two = etcd.instance();
    wait_for_instances(&two, 2);
    wait_for_instances(&one, 2);
    begin(&two, "canary=1&hold=1h", &Config::new().all_to(&b));
    wait_for_stage(&one, "holding");
    let own = id(&two);
    let two = two.restarted();
    let why = wait_for_the_end(&one);
    assert!(why.starts_with(&format!("`{own}`: it")), "{why}");
    wait_for_body(&two, "a");
    assert!(!has_tried(&two));
}

#[test]
fn canary_with_a_service_that_fails_is_taken_back() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(Config::new().all_to(&a));
    let [one, two] = instances(&etcd);
    let dead = Service::refusing_as("dead");
    let config = Config::new()
        .service(&b, "")
        .service(&dead, "health: { path: /healthz, interval: 100ms }")
        .route("name: dead, match: { path: /dead }, to: dead")
        .route("name: all, to: b");
    begin(&one, "canary=1&hold=1h", &config);
    let why = wait_for_the_end(&two);
    let expected = format!("`{}`: service `dead`: ", id(&one));
    assert!(why.starts_with(&expected), "{why}");
    wait_for_body(&one, "a");
}

#[test]
fn text_that_is_put_by_hand_ends_a_canary() {
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let etcd = Etcd::with(Config::new().all_to(&a));
    let [one, two] = instances(&etcd);
    begin(&one, "canary=1&hold=1h", &Config::new().all_to(&b));
    wait_for_stage(&two, "holding");
    etcd.put("routes.yaml", Config::new().all_to(&c));
    assert_eq!(wait_for_the_end(&one), "the config was changed meanwhile");
    for gateway in [&one, &two] {
        wait_for_body(gateway, "c");
        wait_for_revision(gateway, 2);
    }
}

#[test]
fn broken_text_ends_a_canary_and_the_config_before_it_stays() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(Config::new().all_to(&a));
    let [one, two] = instances(&etcd);
    begin(&one, "canary=1&hold=1h", &Config::new().all_to(&b));
    wait_for_stage(&two, "holding");
    etcd.put("routes.yaml", "routes: nonsense\n");
    wait_for_the_end(&one);
    for gateway in [&one, &two] {
        wait_for_body(gateway, "a");
        wait_for("a red status", || {
            (gateway.admin_json("/api/v1/status")["ok"] == false).then_some(())
        });
    }
    etcd.put("routes.yaml", Config::new().all_to(&b));
    for gateway in [&one, &two] {
        wait_for_body(gateway, "b");
    }
}

#[test]
fn key_that_is_put_by_hand_is_driven_or_named_and_ignored() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(Config::new().all_to(&a));
    let [one, two] = instances(&etcd);
    let put = |value: &str| {
        let put = Put::new(format!("{PREFIX}/canary"), value);
        etcd.runtime.block_on(etcd.client.put(&put)).unwrap();
    };
    put("{}");
    for gateway in [&one, &two] {
        let trouble = wait_for("the trouble", || {
            let status = gateway.admin_json("/api/v1/status");
            let troubles = status["fleet"]["troubles"].as_array()?.clone();
            Some(troubles.first()?.as_str()?.to_owned())
        });
        assert!(trouble.starts_with("`/waypost/test/canary`: "), "{trouble}");
        assert_eq!(body(gateway), "a");
    }
    // One that is begun is written over it.
    begin(&one, "canary=1&hold=1h", &Config::new().all_to(&b));
    wait_for_stage(&two, "holding");
    let written = etcd.get("canary").unwrap();
    one.command(&["fleet", "abort"]).expect(0);
    wait_for_body(&one, "a");
    // The leader drives what another has written.
    let mut record: Value = serde_json::from_str(&written).unwrap();
    record["id"] = json!("by-hand");
    record["stage"] = json!("taking");
    record["hold_ms"] = json!(0);
    record["chosen"] = json!([id(&two)]);
    put(&record.to_string());
    for gateway in [&one, &two] {
        let passed = wait_for_stage(gateway, "passed");
        assert_eq!(passed["id"], "by-hand");
        wait_for_body(gateway, "b");
    }
    record["id"] = json!("again");
    record["chosen"] = json!(["nowhere"]);
    put(&record.to_string());
    wait_for("the end", || (canary(&one)["id"] == "again").then_some(()));
    assert_eq!(wait_for_the_end(&one), "the config was changed meanwhile");
}

#[test]
fn gateway_outside_of_a_fleet_has_no_canaries() {
    let a = named("a");
    let gateway = Gateway::to(&a);
    let refused = gateway.admin(
        "PUT",
        "/api/v1/config?canary=1",
        YAML,
        Config::new().all_to(&a).as_ref(),
    );
    assert_eq!(refused.status(), 422, "{}", refused.text());
    assert!(
        refused.text().contains("this gateway is in none"),
        "{}",
        refused.text()
    );
    gateway.place("next.yaml", Config::new().all_to(&a).as_ref());
    let refused = gateway
        .command(&["apply", "next.yaml", "--canary", "25%"])
        .expect(1);
    assert!(
        refused.stderr.contains("this gateway is in none"),
        "{}",
        refused.stderr
    );
    for method in ["GET", "DELETE"] {
        let refused = gateway.admin(method, "/api/v1/fleet/canary", "", "");
        assert_eq!(refused.status(), 404, "{}", refused.text());
    }
}

#[test]
fn a_canary_and_a_dial_of_its_split_that_are_begun_at_once_exclude_each_other() {
    let (a, b) = (named("a"), named("b"));
    let config = |weights: &str| {
        let services = Config::new().service(&a, "").service(&b, "");
        let services = services.route("name: other, match: { path: /other }, to: { a: 1, b: 1 }");
        services.route(&format!("name: users, to: {{ {weights} }}"))
    };
    let etcd = Etcd::with(config("a: 100, b: 0"));
    let [one, two] = instances(&etcd);
    let next = config("a: 90, b: 10");
    let begin = || {
        let path = "/api/v1/config?canary=1&hold=1h";
        one.admin("PUT", path, YAML, next.as_ref())
    };
    let at_once = |first: &(dyn Fn() -> Message + Sync), second: &dyn Fn() -> Message| {
        for gateway in [&one, &two] {
            wait_for_quiet(gateway);
        }
        let hold = Hold::new();
        etcd.order(On::Read, Fault::HoldBefore(hold.clone()));
        std::thread::scope(|scope| {
            let first = scope.spawn(first);
            etcd.runtime.block_on(hold.arrived());
            let second = second();
            hold.release();
            (first.join().unwrap(), second)
        })
    };
    let (refused, dialed) = at_once(&begin, &|| dial_to_b(&two));
    assert_eq!(dialed.status(), 200, "{}", dialed.text());
    assert_eq!(refused.status(), 412, "{}", refused.text());
    wait_for_body(&one, "b");

    let (refused, begun) = at_once(&|| dial_to_b_of(&two, 50), &begin);
    assert_eq!(begun.status(), 202, "{}", begun.text());
    assert_eq!(refused.status(), 409, "{}", refused.text());
    assert!(
        refused.text().contains("and changes this split"),
        "{}",
        refused.text()
    );
    // Any other split is dialed all the same.
    one.command(&["fleet", "abort"]).expect(0);
    let other = || two.dial("other", &json!({ "a": 1, "b": 3 }));
    let (dialed, begun) = at_once(&other, &begin);
    assert_eq!(begun.status(), 202, "{}", begun.text());
    assert_eq!(dialed.status(), 200, "{}", dialed.text());
}

/// Dials the split of `users` to so much of `b`.
fn dial_to_b_of(gateway: &Gateway, b: u64) -> Message {
    gateway.dial("users", &json!({ "a": 100 - b, "b": b }))
}

/// A dial of the split of `users` where its config has these weights, all to `b`.
fn dial_of(a: u64, b: u64) -> String {
    let dial = json!({
        "declared": [["a", a], ["b", b]], "live": [["a", 0], ["b", 100]],
        "by": "ann", "time": "2026-01-01T00:00:00Z",
    });
    dial.to_string()
}

fn live_weights(gateway: &Gateway) -> [Value; 2] {
    let arms = live(gateway);
    [arms[0]["live"].clone(), arms[1]["live"].clone()]
}

#[test]
fn dial_that_has_ended_does_not_hold_again_while_a_canary_is_tried() {
    let (a, b) = (named("a"), named("b"));
    let config = |weights: &str| {
        let services = Config::new().service(&a, "").service(&b, "");
        services.route(&format!("name: users, to: {{ {weights} }}"))
    };
    let etcd = Etcd::with(config("a: 100, b: 0"));
    etcd.put_key("dials/users", dial_of(50, 50));
    // Without a leader, what has ended stays.
    let keys = [
        "config",
        "revisions",
        "dials",
        "endpoints",
        "instances",
        "canary",
        "texts",
    ];
    let one = permissions::instance_that_may_write(&etcd, &keys);
    wait_for_body(&one, "a");
    let begun = wait_for("an instance that tries it", || {
        let path = "/api/v1/config?canary=1&hold=1h";
        let begun = one.admin("PUT", path, YAML, config("a: 50, b: 50").as_ref());
        (begun.status() != 409).then_some(begun)
    });
    assert_eq!(begun.status(), 202, "{}", begun.text());
    assert_eq!(live_weights(&one), [50, 50]);
}

#[test]
fn dial_that_holds_under_a_canary_alone_ends_with_its_passing() {
    let (a, b) = (named("a"), named("b"));
    let config = |weights: &str| {
        let services = Config::new().service(&a, "").service(&b, "");
        services.route(&format!("name: users, to: {{ {weights} }}"))
    };
    let etcd = Etcd::with(config("a: 100, b: 0"));
    let [one, two] = instances(&etcd);
    begin(&one, "canary=1&hold=1h", &config("a: 50, b: 50"));
    wait_for_stage(&two, "holding");
    etcd.put_key("dials/users", dial_of(50, 50));
    wait_for("the dial that was put by hand", || {
        (live_weights(&one) == [0, 100]).then_some(())
    });
    let mut record: Value = serde_json::from_str(&etcd.get("canary").unwrap()).unwrap();
    record["hold_ms"] = json!(0);
    etcd.put_key("canary", record.to_string());
    for gateway in [&one, &two] {
        wait_for_stage(gateway, "passed");
        wait_for("the weights of the config", || {
            (live_weights(gateway) == [50, 50]).then_some(())
        });
    }
    wait_for("the end of the dial", || {
        let kept: Value = serde_json::from_str(&etcd.get("dials/users")?).unwrap();
        kept["live"].is_null().then_some(())
    });
}
