//! Texts that are put into etcd by other means count as applied.

use super::*;

#[test]
fn text_that_is_put_is_in_force_at_all_and_a_revision() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(Config::new().all_to(&a));
    let (one, two) = (etcd.instance(), etcd.instance());
    wait_for_revision(&one, 1);
    wait_for_revision(&two, 1);
    etcd.put("routes.yaml", Config::new().all_to(&b));
    for gateway in [&one, &two] {
        wait_for_revision(gateway, 2);
        wait_for_body(gateway, "b");
    }
    let revision = one.admin_json("/api/v1/revisions/2");
    assert_eq!(revision["origin"], "etcd");
    // The same texts again are another revision.
    etcd.put("routes.yaml", Config::new().all_to(&a));
    for gateway in [&one, &two] {
        wait_for_revision(gateway, 3);
        wait_for_body(gateway, "a");
    }
    assert_eq!(etcd.keys("revisions"), ["1", "2", "3"]);
}

#[test]
fn broken_text_keeps_its_last_good_version() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::new();
    etcd.put("base.yaml", Config::new().service(&a, "").service(&b, ""));
    etcd.put("routes.yaml", "routes:\n- { name: all, to: a }\n");
    let (one, two) = (etcd.instance(), etcd.instance());
    wait_for_revision(&one, 1);
    etcd.put("routes.yaml", "routes:\n- { name: all, to: nowhere }\n");
    for gateway in [&one, &two] {
        gateway.wait_for_part("/waypost/test/config/routes.yaml:2:");
        wait_for("a red status", || {
            (gateway.admin_json("/api/v1/status")["ok"] == false).then_some(())
        });
        assert_eq!(body(gateway), "a");
    }
    // An instance that starts now serves the last good revision.
    let three = etcd.instance();
    three.wait_for_part("the config in etcd is not good: revision 1 is served");
    assert_eq!(body(&three), "a");

    etcd.put("routes.yaml", "routes:\n- { name: all, to: b }\n");
    for gateway in [&one, &two, &three] {
        wait_for_body(gateway, "b");
        wait_for("a green status", || {
            (gateway.admin_json("/api/v1/status")["ok"] == true).then_some(())
        });
    }
}

#[test]
fn instance_on_an_empty_prefix_waits_for_a_config() {
    let a = named("a");
    let etcd = Etcd::new();
    let (one, two) = (etcd.instance(), etcd.instance());
    for gateway in [&one, &two] {
        gateway.wait_for_part("the prefix /waypost/test in etcd is empty");
        let status = gateway.admin_json("/api/v1/status");
        assert_eq!((&status["ok"], &status["revision"]), (&json!(false), &json!(0)));
        // Nothing is listened on, so there is nothing to compare the first config with.
        let question = json!({ "method": "GET", "url": "/" }).to_string();
        let asked = gateway.admin("POST", "/api/v1/explain", JSON, &question);
        assert_eq!(asked.status(), 422, "{}", asked.text());
    }
    let config = Config::new().all_to(&a);
    one.place("next.yaml", config.as_ref());
    let tried = one.command(&["apply", "next.yaml", "--dry-run"]).expect(0);
    assert!(tried.stdout.contains("it would be accepted"), "{}", tried.stdout);
    let applied = one.admin("PUT", "/api/v1/config", YAML, config.as_ref());
    assert_eq!(applied.status(), 200, "{}", applied.text());
    assert_eq!(applied.json()["revision"], 1);
    for gateway in [&one, &two] {
        wait_for_revision(gateway, 1);
        wait_for_body(gateway, "a");
        wait_for("a green status", || {
            (gateway.admin_json("/api/v1/status")["ok"] == true).then_some(())
        });
    }
    assert_eq!(etcd.keys("config"), ["waypost.yaml"]);
}

#[test]
fn wiped_prefix_keeps_the_last_config() {
    let a = named("a");
    let etcd = Etcd::with(Config::new().all_to(&a));
    let one = etcd.instance();
    wait_for_revision(&one, 1);
    etcd.delete_all();
    one.wait_for_part("the prefix /waypost/test in etcd is empty");
    assert_eq!(one.admin_json("/api/v1/status")["ok"], false);
    assert_eq!(body(&one), "a");
    etcd.put("routes.yaml", Config::new().all_to(&a));
    wait_for("a green status", || {
        (one.admin_json("/api/v1/status")["ok"] == true).then_some(())
    });
}

#[test]
fn instance_that_cannot_obey_a_config_keeps_its_last_and_says_so() {
    let a = named("a");
    let etcd = Etcd::with(Config::new().all_to(&a));
    let (one, two) = (etcd.instance(), etcd.instance());
    wait_for_revision(&one, 1);
    wait_for_revision(&two, 1);
    // A port that only one of them can have.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    etcd.put("routes.yaml", Config::at(port).all_to(&a));
    let fleet = wait_for("the error", || {
        let fleet = one.admin_json("/api/v1/fleet");
        let instances = fleet["instances"].as_array()?.clone();
        let failed = instances.iter().any(|instance| instance["state"] == "error");
        let taken = instances.iter().any(|instance| instance["revision"] == 2);
        (failed && taken).then_some(fleet)
    });
    let failed: Vec<&Value> = fleet["instances"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|instance| instance["state"] == "error")
        .collect();
    assert_eq!((failed.len(), &failed[0]["revision"]), (1, &json!(1)), "{fleet}");
    let why = failed[0]["errors"][0]["why"].as_str().unwrap();
    assert!(why.contains("cannot listen on"), "{why}");
    assert_eq!(failed[0]["errors"][0]["revision"], 2);
    assert_eq!(etcd.keys("revisions"), ["1", "2"]);
    one.command(&["fleet"]).expect(1);
}
