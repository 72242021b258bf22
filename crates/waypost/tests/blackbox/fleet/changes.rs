//! Changes through one instance act on all.

use std::net::TcpListener;

use waypost_etcd::simulated::fault::Hold;

use super::*;

#[test]
fn apply_through_one_instance_is_in_force_at_all_with_one_number() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(Config::new().all_to(&a));
    let (one, two) = (etcd.instance(), etcd.instance());
    wait_for_revision(&one, 1);
    wait_for_revision(&two, 1);
    assert_eq!([body(&one), body(&two)], ["a", "a"]);

    let config = Config::new().all_to(&b);
    let applied = one.admin("PUT", "/api/v1/config", YAML, config.as_ref());
    assert_eq!(applied.status(), 200, "{}", applied.text());
    assert_eq!(applied.json()["revision"], 2);
    assert_eq!(body(&one), "b", "it is in force once it is acknowledged");
    wait_for_revision(&two, 2);
    assert_eq!(body(&two), "b");
    assert_eq!(etcd.get("config/routes.yaml").unwrap(), config.as_ref() as &str);

    let rolled_back = two.command(&["rollback", "1"]).expect(0);
    assert!(
        rolled_back.stdout.contains("revision 3 is in force"),
        "{rolled_back:?}"
    );
    wait_for_revision(&one, 3);
    wait_for_body(&one, "a");
    let history = |gateway: &Gateway| gateway.admin_json("/api/v1/revisions");
    assert_eq!(history(&one), history(&two));
    let origins = history(&one);
    let origins: Vec<&str> = origins
        .as_array()
        .unwrap()
        .iter()
        .map(|revision| revision["origin"].as_str().unwrap())
        .collect();
    assert_eq!(origins, ["rollback", "api", "etcd"]);
    assert_eq!(etcd.keys("revisions"), ["1", "2", "3"]);
}

#[test]
fn text_whose_name_has_a_backslash_is_in_force_at_all() {
    let a = named("a");
    let etcd = Etcd::with(Config::new().all_to(&a));
    let (one, two) = (etcd.instance(), etcd.instance());
    wait_for_revision(&one, 1);
    let text = "services: { s3: { endpoints: [\"http://127.0.0.1:1\"] } }\n";
    let applied = one.admin("PUT", "/api/v1/config/files/b%5cs.yaml", YAML, text);
    assert_eq!(applied.status(), 200, "{}", applied.text());
    assert_eq!(etcd.get("config/b\\s.yaml").as_deref(), Some(text));
    wait_for_revision(&two, 2);
    let files = two.admin_json("/api/v1/config/files").to_string();
    assert!(files.contains(r#""b\\s.yaml""#), "{files}");
}

#[test]
fn change_of_a_config_that_is_another_one_by_now_is_refused() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(Config::new().all_to(&a));
    let (one, two) = (etcd.instance(), etcd.instance());
    wait_for_revision(&one, 1);
    wait_for_revision(&two, 1);
    let config = Config::new().all_to(&b);
    let tag = one.admin("GET", "/api/v1/config", "", "");
    let tag = tag.header("etag").unwrap().to_owned();
    let fields = format!("Content-Type: application/yaml\r\nIf-Match: {tag}\r\n");
    assert_eq!(
        two.admin("PUT", "/api/v1/config", &fields, config.as_ref())
            .status(),
        200
    );
    let other = Config::new().all_to(&a).key("drain_timeout: 7s");
    let refused = one.admin("PUT", "/api/v1/config", &fields, other.as_ref());
    assert_eq!(refused.status(), 412, "{}", refused.text());
    assert_eq!(etcd.keys("revisions"), ["1", "2"]);
}

#[test]
fn dial_and_drain_through_one_instance_act_on_all() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (one, two) = (etcd.instance(), etcd.instance());
    wait_for_revision(&one, 1);
    wait_for_revision(&two, 1);
    let address = two.admin_address();
    let mut events = crate::support::client::Client::connect(address);
    events.send(format!("GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    assert_eq!(events.response_head().status(), 200);

    let dialed = dial_to_b(&one);
    assert_eq!(dialed.status(), 200, "{}", dialed.text());
    assert_eq!(body(&one), "b");
    wait_for_body(&two, "b");
    events.expect("event: dial\n");
    assert_eq!(live(&one), live(&two));

    one.command(&["drain", "b", &b.url()]).expect(0);
    let state = || {
        let service = two.admin_json("/api/v1/services/b");
        service["endpoints"][0]["addresses"][0]["state"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    wait_for("the drain", || (state() == "drained").then_some(()));
    events.expect("event: endpoint_drained\n");

    let reset = two.command(&["dial", "users", "--reset"]).expect(0);
    drop(reset);
    wait_for_body(&one, "a");
    let turns = one.admin_json("/api/v1/routes/users/split");
    assert_eq!(turns, two.admin_json("/api/v1/routes/users/split"));
}

#[test]
fn drain_is_taken_back_at_all_while_a_text_is_broken() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (one, two) = (etcd.instance(), etcd.instance());
    wait_for_revision(&one, 1);
    wait_for_revision(&two, 1);
    let is_drained = || {
        let service = two.admin_json("/api/v1/services/b");
        service["endpoints"][0]["addresses"][0]["state"] == "drained"
    };
    one.command(&["drain", "b", &b.url()]).expect(0);
    wait_for("the drain", || is_drained().then_some(()));
    etcd.put("broken.yaml", "routes:\n- { name: broken, to: nowhere }\n");
    for gateway in [&one, &two] {
        gateway.wait_for_part("there is no service named `nowhere`");
    }
    one.command(&["drain", "b", &b.url(), "--undo"]).expect(0);
    wait_for("the end of the drain", || (!is_drained()).then_some(()));
}

#[test]
fn second_of_two_operators_is_told_the_weights_in_force() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (one, two) = (etcd.instance(), etcd.instance());
    wait_for_revision(&one, 1);
    wait_for_revision(&two, 1);
    // What instances say of themselves comes before.
    for gateway in [&one, &two] {
        wait_for("its key", || {
            let fleet = gateway.admin_json("/api/v1/fleet");
            (fleet["ok"] == true && fleet["instances"].as_array()?.len() == 2).then_some(())
        });
    }
    let hold = Hold::new();
    etcd.order(On::Read, Fault::HoldBefore(hold.clone()));
    std::thread::scope(|scope| {
        let second = scope.spawn(|| two.dial("users", &json!({ "a": 50, "b": 50 })));
        etcd.runtime.block_on(hold.arrived());
        let first = dial_to_b(&one);
        assert_eq!(first.status(), 200, "{}", first.text());
        hold.release();
        let refused = second.join().unwrap();
        assert_eq!(refused.status(), 412, "{}", refused.text());
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("it is a 0, b 100 now"), "{detail}");
    });
    assert_eq!(body(&two), "b");
}

#[test]
fn config_that_cannot_be_obeyed_here_is_not_written() {
    let a = named("a");
    let etcd = Etcd::with(Config::new().all_to(&a));
    let one = etcd.instance();
    wait_for("the first revision", || {
        (etcd.keys("revisions") == ["1"]).then_some(())
    });
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Config::at(taken.local_addr().unwrap()).all_to(&a);
    let refused = one.admin("PUT", "/api/v1/config", YAML, config.as_ref());
    assert_eq!(refused.status(), 409, "{}", refused.text());
    assert!(refused.text().contains("cannot listen"), "{}", refused.text());
    // Nor one with a file that other machines may have.
    let config = "listeners: [{ bind: 127.0.0.1:0, tls: { certificates: [{ cert: a.crt, key: a.key }] } }]\nroutes: []\n";
    let refused = one.admin("PUT", "/api/v1/config", YAML, config);
    assert_eq!(refused.status(), 409, "{}", refused.text());
    assert!(refused.text().contains("a.crt"), "{}", refused.text());
    assert_eq!(refused.json()["diagnostics"][0]["code"], "unreadable-file");
    // What is wrong for all is invalid.
    let refused = one.admin("PUT", "/api/v1/config", YAML, "routes: 7\n");
    assert_eq!(refused.status(), 422, "{}", refused.text());
    assert_eq!(etcd.keys("revisions"), ["1"]);
    assert_eq!(body(&one), "a");
}

#[test]
fn fleet_does_not_wait_for_confirmation() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(Config::new().all_to(&a));
    let one = etcd.instance();
    wait_for_revision(&one, 1);
    let config = Config::new().all_to(&b);
    let refused = one.admin("PUT", "/api/v1/config?confirm=10s", YAML, config.as_ref());
    assert_eq!(refused.status(), 422, "{}", refused.text());
    assert!(
        refused.text().contains("a fleet does not wait"),
        "{}",
        refused.text()
    );
    assert_eq!(body(&one), "a");
}

/// Has an instance dial while another one applies a config, which it does not know of. Returns the answer.
fn dial_during(etcd: &Etcd, [one, two]: [&Gateway; 2], config: &Config) -> Message {
    for gateway in [one, two] {
        wait_for_quiet(gateway);
    }
    let hold = Hold::new();
    etcd.order(On::Read, Fault::HoldBefore(hold.clone()));
    std::thread::scope(|scope| {
        let dial = scope.spawn(|| dial_to_b(two));
        etcd.runtime.block_on(hold.arrived());
        let applied = one.admin("PUT", "/api/v1/config", YAML, config.as_ref());
        assert_eq!(applied.status(), 200, "{}", applied.text());
        hold.release();
        dial.join().unwrap()
    })
}

#[test]
fn dial_of_a_split_that_is_another_one_by_now_is_refused() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (one, two) = (etcd.instance(), etcd.instance());
    wait_for_revision(&one, 1);
    wait_for_revision(&two, 1);
    let config = |weights: &str| {
        let services = Config::new().service(&a, "").service(&b, "");
        services.route(&format!("name: users, to: {{ {weights} }}"))
    };
    let refused = dial_during(&etcd, [&one, &two], &config("a: 70, b: 30"));
    assert_eq!(refused.status(), 412, "{}", refused.text());
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("it is a 70, b 30 now"), "{detail}");
    // A config that leaves the split as it is refuses no dial.
    let config = config("a: 70, b: 30").key("drain_timeout: 7s");
    let dialed = dial_during(&etcd, [&one, &two], &config);
    assert_eq!(dialed.status(), 200, "{}", dialed.text());
    wait_for_body(&one, "b");
}

#[test]
fn apply_ends_more_dials_than_fit_a_transaction_and_they_never_hold_again() {
    const DIALED: usize = 200;
    let (a, b) = (named("a"), named("b"));
    let config = |weights: &str| {
        let services = Config::new().service(&a, "").service(&b, "");
        let routes = 0..DIALED;
        routes.fold(services, |config, number| {
            config.route(&format!(
                "name: r{number}, match: {{ path: /{number} }}, to: {{ {weights} }}"
            ))
        })
    };
    let first = config("a: 100, b: 0").route("name: users, to: { a: 100, b: 0 }");
    let etcd = Etcd::with(&first);
    let (one, two) = (etcd.instance(), etcd.instance());
    let live = |gateway: &Gateway| live_of(gateway, &format!("r{}", DIALED - 1));
    let declared = live(&one);
    for number in 0..DIALED {
        let dial = json!({
            "declared": [["a", 100], ["b", 0]], "live": [["a", 0], ["b", 100]],
            "by": "ann", "time": "2026-01-01T00:00:00Z",
        });
        etcd.put_key(&format!("dials/r{number}"), dial.to_string());
    }
    one.command(&["drain", "b", &b.url()]).expect(0);
    for gateway in [&one, &two] {
        wait_for("the dials", || (live(gateway) != declared).then_some(()));
        wait_for_revision(gateway, 1);
    }
    let second = config("a: 50, b: 50").route("name: users, to: { a: 100, b: 0 }");
    let applied = one.admin("PUT", "/api/v1/config", YAML, second.as_ref());
    assert_eq!(applied.status(), 200, "{}", applied.text());
    assert_eq!(applied.json()["dials_dropped"].as_array().unwrap().len(), DIALED);
    let back = one.admin("PUT", "/api/v1/config", YAML, first.as_ref());
    assert_eq!(back.status(), 200, "{}", back.text());
    for gateway in [&one, &two] {
        wait_for_revision(gateway, 3);
    }
    assert_eq!(live(&one), declared);
    assert_eq!(live(&two), declared);

    // What is left of routes and endpoints that are gone is deleted.
    let last = Config::new().service(&a, "").route("name: users, to: a");
    let applied = one.admin("PUT", "/api/v1/config", YAML, last.as_ref());
    assert_eq!(applied.status(), 200, "{}", applied.text());
    wait_for("the end of the dials", || {
        etcd.keys("dials").is_empty().then_some(())
    });
    wait_for("the end of the drain", || {
        etcd.keys("endpoints").is_empty().then_some(())
    });
}

#[test]
fn apply_is_refused_unless_what_it_was_made_for_is_in_force() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(Config::new().all_to(&a));
    let (one, two) = (etcd.instance(), etcd.instance());
    wait_for_revision(&one, 1);
    wait_for_revision(&two, 1);
    let directory = tempfile::tempdir().unwrap();
    let apply = |gateway: &Gateway, config: &Config, if_match: &str| {
        std::fs::write(directory.path().join("routes.yaml"), config.as_ref() as &str).unwrap();
        let path = directory.path().to_str().unwrap();
        gateway.command(&["apply", path, "--if-match", if_match])
    };
    let (to_a, to_b) = (Config::new().all_to(&a), Config::new().all_to(&b));
    let first = one.admin("GET", "/api/v1/config", "", "");
    let first = first.header("etag").unwrap().to_owned();
    let refused = apply(&one, &to_b, "2").expect(1).stderr;
    assert!(refused.contains("revision 1 is in force, and not 2"), "{refused}");
    apply(&one, &to_b, "1").expect(0);
    wait_for_revision(&two, 2);
    for stale in ["1", &first, first.trim_matches('"')] {
        let refused = apply(&two, &to_a, stale).expect(1);
        assert!(!refused.stderr.is_empty(), "{stale}");
    }
    assert_eq!(body(&two), "b");
    let second = two.admin("GET", "/api/v1/config", "", "");
    apply(&two, &to_a, second.header("etag").unwrap()).expect(0);
    apply(&two, &to_b, "*").expect(0);
    assert_eq!((body(&two), revision(&two)), ("b".to_owned(), 4));
}
