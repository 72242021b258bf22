//! Figures over all instances.

use rustix::process::Signal;

use super::*;

fn stats(gateway: &Gateway, query: &str) -> Value {
    gateway.admin_json(&format!("/api/v1/stats?{query}"))
}

/// The requests of the first arm of the first route.
fn requests(stats: &Value) -> Value {
    stats["routes"][0]["arms"][0]["requests"].clone()
}

/// Two instances, of which the first leads, with three and four requests.
fn served(etcd: &Etcd) -> (Gateway, Gateway) {
    let one = etcd.instance();
    wait_for("the lead", || leads(&one).then_some(()));
    let two = etcd.instance();
    wait_for_revision(&one, 1);
    wait_for_revision(&two, 1);
    for _ in 0..3 {
        assert_eq!(body(&one), "a");
    }
    for _ in 0..4 {
        assert_eq!(body(&two), "a");
    }
    for gateway in [&one, &two] {
        wait_for("the figures of both", || {
            let all = stats(gateway, "window=1m");
            (all["instances"] == 2 && requests(&all) == 7).then_some(())
        });
    }
    (one, two)
}

#[test]
fn figures_of_any_instance_are_those_of_all() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (one, two) = served(&etcd);
    assert_eq!(requests(&stats(&one, "own=true")), 3);
    assert_eq!(requests(&stats(&two, "own=true")), 4);
    for gateway in [&one, &two] {
        // One that stands still for a second is left out.
        let all = wait_for("the answer of the leader with both", || {
            let all = stats(gateway, "route=users&detail=true");
            (all["instances"] == 2 && all["direct"].is_null()).then_some(all)
        });
        let arm = &all["routes"][0]["arms"][0];
        assert_eq!(
            (&arm["statuses"]["200"], &arm["weight"]),
            (&json!(7), &json!(100)),
            "{all}"
        );
    }
    wait_for("both in words", || {
        let shown = two.command(&["stats"]).expect(0).stdout;
        shown.contains(", 2 instances\n").then_some(())
    });
}

#[test]
fn figures_of_a_lost_instance_stay_in_the_window() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (one, mut two) = served(&etcd);
    let (gone, _) = ids(&two);
    // The leader has asked it before: then, its figures are in while it stands still. It runs again before it is stopped again,
    // so that it answers a question that has waited for it.
    wait_for("its figures at the leader", || {
        if stats(&one, "window=5m")["instances"] != 2 {
            return None;
        }
        two.signal(Signal::STOP);
        let all = stats(&one, "window=5m");
        two.signal(Signal::CONT);
        // A signal takes a moment.
        let stands_still = (&all["instances"], &all["missing"]) == (&json!(1), &json!([gone]));
        (stands_still && requests(&all) == 7).then_some(())
    });
    two.kill();
    let all = stats(&one, "window=5m");
    assert_eq!((&all["missing"], requests(&all)), (&json!([gone]), json!(7)));
    let shown = one.command(&["stats", "--window", "5m"]).expect(0).stdout;
    assert!(
        shown.contains(&format!(
            "instance {gone} does not answer, and its figures since then are missing"
        )),
        "{shown}"
    );

    // The figures of a new process are others, also at any other instance.
    let two = two.restarted();
    wait_for_revision(&two, 1);
    assert_eq!(body(&two), "a");
    for gateway in [&one, &two] {
        wait_for("the figures of both", || {
            let all = stats(gateway, "window=5m");
            (all["instances"] == 2 && requests(&all) == 8).then_some(())
        });
    }
}

#[test]
fn without_a_leader_that_answers_each_instance_is_asked() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (mut one, two) = served(&etcd);
    let (gone, _) = ids(&one);
    one.kill();
    let all = stats(&two, "window=1m");
    assert_eq!(
        (&all["direct"], &all["missing"], requests(&all)),
        (&json!(true), &json!([gone]), json!(4))
    );
    let shown = two.command(&["stats"]).expect(0).stdout;
    for part in [
        format!("instance {gone} does not answer, and its figures are left out\n"),
        "no leader answers, ".to_owned(),
    ] {
        assert!(shown.contains(&part), "{shown}");
    }
}

#[test]
fn instance_that_refuses_the_token_of_another_is_named_until_it_accepts_it() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (first, second) = (
        "0123456789abcdef0123456789abcdef",
        "fedcba9876543210fedcba9876543210",
    );
    let instance = |token: &'static str| {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("tokens"), format!("{token}\n")).unwrap();
        let path = directory.path().join("local.yaml");
        let local = etcd.local().replace("admin: {", "admin: { token_file: tokens,");
        std::fs::write(&path, local).unwrap();
        Gateway::run(directory, path, &[]).with_token(token)
    };
    let (one, two) = (instance(first), instance(second));
    wait_for_revision(&one, 1);
    wait_for_revision(&two, 1);
    let (own, _) = ids(&two);
    let told = format!("instance {own} does not accept the token of this one");
    wait_for("the reason", || {
        let all = stats(&one, "window=1m");
        assert_ne!(all["instances"], 2, "{all}");
        one.command(&["status"]).stdout.contains(&told).then_some(())
    });
    one.command(&["status"]).expect(1);
    two.place("tokens", &format!("{second}\nfleet {first}\n"));
    wait_for("the figures of both", || {
        (stats(&one, "window=1m")["instances"] == 2).then_some(())
    });
    wait_for("the end of it", || {
        (!one.command(&["status"]).stdout.contains(&told)).then_some(())
    });
}

#[test]
fn leader_that_stands_still_is_left_out_and_named() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (one, two) = served(&etcd);
    let (_, leader) = ids(&two);
    one.signal(Signal::STOP);
    // Its lease holds all the time.
    let all = wait_for("the figures of the other", || {
        let all = stats(&two, "window=1m");
        (all["direct"] == true).then_some(all)
    });
    assert_eq!(all["missing"], json!([leader]), "{all}");
    assert_eq!(requests(&all), 4, "{all}");
    one.signal(Signal::CONT);
    wait_for("the figures of both", || {
        let all = stats(&two, "window=1m");
        (all["instances"] == 2 && all["direct"].is_null()).then_some(())
    });
}
