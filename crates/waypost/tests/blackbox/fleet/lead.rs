//! The lead, and instances that cannot obey the config of all.

use std::net::TcpListener;

use super::*;

/// An address that an instance opens, unless its environment has a port that is taken.
const OPENED_BY_MOST: &str = "\"127.0.0.1:${TAKEN:-0}\"";

/// An instance that cannot open [`OPENED_BY_MOST`], and the owner of the port.
fn hindered(etcd: &Etcd) -> (Gateway, TcpListener) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let environment = [
        ("TAKEN".to_owned(), port),
        ("WAYPOST_TEST_CLOCK".to_owned(), "1".to_owned()),
    ];
    (etcd.instance_in(&environment), taken)
}

/// Two services behind two splits.
fn two_splits(config: Config, [a, b]: [&Service; 2], users: &str) -> Config {
    config
        .service(a, "")
        .service(b, "")
        .route("name: other, match: { path: /other }, to: { a: 100, b: 0 }")
        .route(&format!("name: users, to: {{ {users} }}"))
}

#[test]
fn leader_that_keeps_another_config_ends_no_rollout_and_leaves_the_lead_to_one_that_obeys() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (one, _taken) = hindered(&etcd);
    wait_for("the lead", || leads(&one).then_some(()));
    let mut two = etcd.instance_with_test_clock();
    wait_for_revision(&two, 1);
    let ramp = "rollout: { canary: b, steps: [10, 50, 100], at_least: 5s, requests: 0, judge: off }";
    let config = Config::at(OPENED_BY_MOST)
        .service(&a, "")
        .service(&b, "")
        .route(&format!("name: new, to: {{ a: 100, b: 0 }}, {ramp}"));
    etcd.put("routes.yaml", config);
    wait_for_revision(&two, 2);
    wait_for("the lead of the one that obeys", || leads(&two).then_some(()));
    let path = "/api/v1/routes/new/rollout";
    let started = two.admin("POST", path, JSON, "{}");
    assert_eq!(started.status(), 200, "{}", started.text());

    two.kill();
    etcd.pass(Duration::from_secs(11));
    wait_for("the lead of the last one", || leads(&one).then_some(()));
    let refused = one.admin("POST", "/api/v1/routes/users/rollout", JSON, "{}");
    assert_eq!(refused.status(), 409, "{}", refused.text());
    assert!(
        refused.text().contains("the config of all is not in force"),
        "{}",
        refused.text()
    );
    let stored: Value = serde_json::from_str(&etcd.get("rollouts/new").unwrap()).unwrap();
    assert_eq!(stored["state"]["end"], Value::Null);

    let three = etcd.instance_with_test_clock();
    wait_for("the lead of the one that obeys", || leads(&three).then_some(()));
    wait_for("the next step", || {
        three.pass(6);
        (three.admin_json(path)["percent"] == 50.0).then_some(())
    });
}

#[test]
fn dial_that_ended_with_a_config_stays_where_that_config_is_not_in_force() {
    let (a, b) = (named("a"), named("b"));
    let services = [&a, &b];
    let etcd = Etcd::with(two_splits(Config::new(), services, "a: 100, b: 0"));
    let two = etcd.instance();
    wait_for("the lead", || leads(&two).then_some(()));
    let (one, _taken) = hindered(&etcd);
    assert_eq!(dial_to_b(&two).status(), 200);
    wait_for_body(&one, "b");

    let config = two_splits(Config::at(OPENED_BY_MOST), services, "a: 60, b: 40");
    let applied = two.admin("PUT", "/api/v1/config", YAML, config.as_ref());
    assert_eq!(applied.status(), 200, "{}", applied.text());
    assert_eq!(applied.json()["dials_dropped"], json!(["users"]));
    // Dials of splits that the former config has, too, are obeyed there.
    let live = |gateway: &Gateway| live_of(gateway, "other");
    let before = live(&one);
    assert_eq!(two.dial("other", &json!({ "a": 0, "b": 100 })).status(), 200);
    wait_for("the dial", || (live(&one) == live(&two)).then_some(()));
    assert_eq!(body(&one), "b");
    // Those that are made there would mean another split or endpoint at the others.
    let drained = json!({ "endpoint": a.url(), "drained": true }).to_string();
    for refused in [
        one.dial("users", &json!({ "a": 50, "b": 50 })),
        one.admin("PUT", "/api/v1/services/a/drain", JSON, &drained),
    ] {
        assert_eq!(refused.status(), 409, "{}", refused.text());
        assert!(
            refused
                .text()
                .contains("revision 2, which this instance cannot obey"),
            "{}",
            refused.text()
        );
    }
    two.command(&["dial", "other", "--reset"]).expect(0);
    wait_for("the reset", || (live(&one) == before).then_some(()));
    assert_eq!(body(&one), "b");

    etcd.put("routes.yaml", two_splits(Config::new(), services, "a: 100, b: 0"));
    wait_for_body(&one, "a");
}

#[test]
fn instance_that_keeps_another_config_does_not_overwrite_that_of_all_unseen() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(Config::new().all_to(&a));
    let (one, _taken) = hindered(&etcd);
    let two = etcd.instance();
    wait_for_revision(&one, 1);
    wait_for_revision(&two, 1);
    let config = Config::at(OPENED_BY_MOST).all_to(&b);
    let applied = two.admin("PUT", "/api/v1/config", YAML, config.as_ref());
    assert_eq!(applied.status(), 200, "{}", applied.text());
    wait_for("the error", || {
        (one.admin_json("/api/v1/status")["ok"] == false).then_some(())
    });
    let kept = one.admin("GET", "/api/v1/config", "", "");
    let tag = kept.header("etag").unwrap().to_owned();
    let fields = format!("Content-Type: application/yaml\r\nIf-Match: {tag}\r\n");
    let edited = Config::new().all_to(&a).key("drain_timeout: 7s");
    let refused = one.admin("PUT", "/api/v1/config", &fields, edited.as_ref());
    assert_eq!(refused.status(), 412, "{}", refused.text());
    assert!(
        refused
            .text()
            .contains("(revision 2), which this instance cannot obey"),
        "{}",
        refused.text()
    );
    assert_eq!(etcd.get("config/routes.yaml").unwrap(), config.as_ref() as &str);
    // Who says that it is to be overwritten has that done.
    let applied = one.admin("PUT", "/api/v1/config", YAML, edited.as_ref());
    assert_eq!(applied.status(), 200, "{}", applied.text());
    wait_for_revision(&two, 3);
}
