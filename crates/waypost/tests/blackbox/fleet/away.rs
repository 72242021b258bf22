//! Life without etcd.

use waypost_etcd::simulated::refusal::Refusal;

use super::*;

#[test]
fn gateway_serves_on_without_etcd_and_refuses_changes() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let one = etcd.instance();
    wait_for_revision(&one, 1);
    assert_eq!(dial_to_b(&one).status(), 200);
    etcd.simulated.stop(0);
    one.wait_for_part("etcd is away");
    assert_eq!(body(&one), "b");
    let refused = one.dial("users", &json!({ "a": 100, "b": 0 }));
    assert_eq!(refused.status(), 503, "{}", refused.text());
    let refused = one.admin("PUT", "/api/v1/config", YAML, Config::new().all_to(&a).as_ref());
    assert_eq!(refused.status(), 503, "{}", refused.text());
    assert_eq!(body(&one), "b");
    one.command(&["status"]).expect(1);

    etcd.simulated.heal(0);
    one.wait_for("etcd is there");
    wait_for("a dial", || {
        (one.dial("users", &json!({ "a": 100, "b": 0 })).status() == 200).then_some(())
    });
    assert_eq!(body(&one), "a");
}

#[test]
fn change_that_finds_etcd_away_makes_the_status_red_at_once() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let one = etcd.instance();
    wait_for_revision(&one, 1);
    etcd.simulated.partition(0);
    let refused = dial_to_b(&one);
    assert_eq!(refused.status(), 503, "{}", refused.text());
    one.command(&["status"]).expect(1);
    one.command(&["fleet"]).expect(1);
    etcd.simulated.heal(0);
    wait_for("a dial", || (dial_to_b(&one).status() == 200).then_some(()));
    wait_for_quiet(&one);
    one.command(&["status"]).expect(0);
}

#[test]
fn full_etcd_takes_nothing_and_nothing_has_changed() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let one = etcd.instance();
    wait_for_revision(&one, 1);
    let drain = json!({ "endpoint": b.url(), "drained": true }).to_string();
    let asks: [&dyn Fn() -> Message; 3] = [
        &|| dial_to_b(&one),
        &|| one.admin("PUT", "/api/v1/services/b/drain", JSON, &drain),
        &|| one.admin("PUT", "/api/v1/config", YAML, Config::new().all_to(&b).as_ref()),
    ];
    let puts = || {
        let calls = etcd.simulated.calls();
        calls.iter().filter(|call| call.ends_with("/Put")).count()
    };
    for ask in asks {
        wait_for_quiet(&one);
        let before = puts();
        etcd.order(On::Write, Fault::Refuse(Refusal::NoSpace));
        let refused = ask();
        assert_eq!(refused.status(), 507, "{}", refused.text());
        assert!(refused.text().contains("etcd is full"), "{}", refused.text());
        // Else this would be refused in place of the next change.
        wait_for("the key that is put to find out if there is room", || {
            (puts() > before).then_some(())
        });
    }
    assert_eq!(body(&one), "a");
    assert_eq!((etcd.keys("dials"), etcd.keys("endpoints")), (vec![], vec![]));
}

#[test]
fn full_etcd_makes_the_status_red_until_it_takes_writes_again() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let one = etcd.instance();
    wait_for_revision(&one, 1);
    wait_for_quiet(&one);
    // Of the dial, and of the instance's key, by which it finds out for how long.
    for _ in 0..2 {
        etcd.order(On::Write, Fault::Refuse(Refusal::NoSpace));
    }
    assert_eq!(dial_to_b(&one).status(), 507);
    wait_for("the status", || {
        let status = one.command(&["status"]);
        let is_told = status.stdout.contains("the quota of etcd's database is used up");
        (status.code == 1 && is_told).then_some(())
    });
    wait_for("the end of it", || {
        (one.command(&["status"]).code == 0).then_some(())
    });
    assert_eq!(dial_to_b(&one).status(), 200);
}

#[test]
fn start_without_etcd_serves_what_the_state_has_kept() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let one = etcd.instance();
    wait_for_revision(&one, 1);
    assert_eq!(dial_to_b(&one).status(), 200);
    let kept = one.directory().join(".waypost/fleet");
    wait_for("the dial in the state", || {
        let kept = std::fs::read(&kept).ok()?;
        let kept = String::from_utf8_lossy(&kept).into_owned();
        kept.contains("/dials/users").then_some(())
    });
    // The leader makes the revision a moment after the config is obeyed.
    wait_for("the revision", || (etcd.keys("revisions") == ["1"]).then_some(()));
    etcd.simulated.stop(0);
    let one = one.restarted();
    one.wait_for_part("has kept of /waypost/test is served");
    assert_eq!(body(&one), "b");
    assert_eq!(revision(&one), 1);
    assert_eq!(one.dial("users", &json!({ "a": 100, "b": 0 })).status(), 503);

    etcd.simulated.heal(0);
    etcd.put("routes.yaml", Config::new().all_to(&a));
    // The lease of the leader that was killed holds, so none makes the revision in etcd.
    wait_for("revision 2", || (revision(&one) == 2).then_some(()));
    wait_for_body(&one, "a");
}

#[test]
fn change_without_an_answer_has_an_unknown_outcome() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let one = etcd.instance();
    // An answer to its own key that is dropped would break the connection under the dial, too.
    wait_for_quiet(&one);
    let unknown = wait_for("an unknown outcome", || {
        etcd.order(On::Write, Fault::DropAnswer);
        let dialed = dial_to_b(&one);
        // The instance's own key may be written just then.
        (dialed.status() != 200).then_some(dialed)
    });
    assert_eq!(unknown.status(), 503, "{}", unknown.text());
    assert_eq!(unknown.json()["outcome"], "unknown", "{}", unknown.text());
    // It was carried out, and comes into force with the next view.
    wait_for_body(&one, "b");
}

#[test]
fn deletion_without_an_answer_is_looked_up_too() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let one = etcd.instance();
    wait_for_revision(&one, 1);
    one.command(&["drain", "b", &b.url()]).expect(0);
    wait_for_quiet(&one);
    let address = one.admin_address();
    let mut events = crate::support::client::Client::connect(address);
    events.send(format!("GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    assert_eq!(events.response_head().status(), 200);
    etcd.order(On::Write, Fault::DropAnswer);
    let undone = json!({ "endpoint": b.url(), "drained": false }).to_string();
    let unknown = one.admin("PUT", "/api/v1/services/b/drain", JSON, &undone);
    assert_eq!(unknown.json()["outcome"], "unknown", "{}", unknown.text());
    events.expect("event: fleet_outcome\n");
    events.expect("\"carried_out\":true");
    assert_eq!(etcd.keys("endpoints"), [""; 0]);
}
