//! The instances of a fleet: who lives, who leads, who obeys.

use rustix::process::Signal;

use super::*;

/// Waits until an instance sees so many that are well.
pub(super) fn wait_for_instances(gateway: &Gateway, count: usize) {
    wait_for(&format!("{count} instances"), || {
        let fleet = gateway.admin_json("/api/v1/fleet");
        let is_so = fleet["ok"] == true && fleet["instances"].as_array().unwrap().len() == count;
        is_so.then_some(())
    });
}

#[test]
fn fleet_is_shown_with_all_instances_and_is_bad_while_etcd_is_away() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (one, two) = (etcd.instance(), etcd.instance());
    for gateway in [&one, &two] {
        wait_for_obedience(gateway, 2);
    }
    let (own, leader) = ids(&one);
    let (other, _) = ids(&two);
    let shown = one.command(&["fleet"]).expect(0).stdout;
    let part = |text: &str| assert!(shown.contains(text), "{text}: {shown}");
    part(&format!(
        "fleet      {PREFIX} at {}",
        etcd.simulated.addresses()[0]
    ));
    part("revision   1\n");
    part(&format!("leader     {leader}\n"));
    part(&format!("{own}*  ok"));
    part(&format!("{other}   ok"));
    let told = two.command(&["fleet", "--format", "json"]).expect(0).json();
    assert_eq!((&told["leader"], &told["revision"]), (&json!(leader), &json!(1)));
    let admins: Vec<&Value> = told["instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|instance| &instance["admin"])
        .collect();
    for gateway in [&one, &two] {
        let admin = json!(format!("http://{}", gateway.admin_address()));
        assert!(admins.contains(&&admin), "{told}");
    }
    let status = one.command(&["status"]).expect(0).stdout;
    assert!(
        status.contains(&format!("{PREFIX} as {own}, 2 instances, led by {leader}")),
        "{status}"
    );
    let leads = if own == leader { &one } else { &two };
    for line in [
        "waypost_fleet_instances{state=\"ok\"} 2\n",
        "waypost_fleet_leader 1\n",
        "waypost_fleet_etcd_available 1\n",
    ] {
        assert!(leads.metrics().contains(line), "{line}");
    }

    etcd.simulated.stop(0);
    one.wait_for_part("etcd is away");
    for command in ["fleet", "status"] {
        let shown = one.command(&[command]).expect(1).stdout;
        assert!(shown.contains("etcd is away since 20"), "{shown}");
    }
    assert!(one.metrics().contains("waypost_fleet_etcd_available 0\n"));
}

#[test]
fn gateway_outside_of_a_fleet_says_so() {
    let a = named("a");
    let gateway = Gateway::to(&a);
    let shown = gateway.command(&["fleet"]).expect(1);
    assert!(
        shown.stderr.contains("this gateway is in no fleet"),
        "{}",
        shown.stderr
    );
    assert!(!gateway.metrics().contains("\nwaypost_fleet_leader "));
    gateway.command(&["status"]).expect(0);
}

#[test]
fn lease_that_is_lost_is_taken_anew_and_the_lead_is_given_up() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let one = etcd.instance();
    wait_for("the lead", || leads(&one).then_some(()));
    let two = etcd.instance();
    wait_for_instances(&two, 2);
    let (first, _) = ids(&one);
    // The leader stands still. Both leases end, and the other instance alone can take one anew.
    one.signal(Signal::STOP);
    let (second, _) = ids(&two);
    etcd.pass(Duration::from_secs(11));
    wait_for("another leader", || leads(&two).then_some(()));
    two.wait_for(&format!("instance {first} has left the fleet"));
    one.signal(Signal::CONT);
    one.wait_for(&format!("instance {first} has a new lease in etcd"));
    wait_for_instances(&one, 2);
    assert_eq!(ids(&one).1, second);
    assert_eq!(dial_to_b(&one).status(), 200);
    wait_for_body(&two, "b");
}

#[test]
fn commands_wait_for_all_instances_or_name_those_that_do_not_obey() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (one, two) = (etcd.instance(), etcd.instance());
    wait_for_instances(&one, 2);
    let dialed = one.command(&["dial", "users", "b=50", "--wait"]).expect(0);
    assert!(
        dialed.stderr.contains("obeyed by 2 instances"),
        "{}",
        dialed.stderr
    );
    assert_eq!(live(&two), live(&one));
    let drained = one.command(&["drain", "--wait", "a", a.address().to_string().as_str()]);
    assert!(drained.expect(0).stderr.contains("obeyed by 2 instances"));

    let (other, _) = ids(&two);
    two.signal(Signal::STOP);
    let dialed = one.command(&["dial", "users", "b=75", "--wait=1s"]).expect(1);
    assert!(dialed.stdout.contains("is live"), "{}", dialed.stdout);
    let expected = format!("waypost: not obeyed by 1 of 2 instances:\n{other}: ");
    assert!(dialed.stderr.contains(&expected), "{}", dialed.stderr);
    two.signal(Signal::CONT);
}

#[test]
fn upgraded_instance_is_the_same_one() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (one, two) = (etcd.instance(), etcd.instance());
    let (id, _) = ids(&one);
    let (other, _) = ids(&two);
    wait_for_body(&one, "a");
    let upgraded = one.command(&["upgrade", "--format", "json"]).expect(0).json();
    wait_for("the new process in the fleet", || {
        let fleet = two.admin_json("/api/v1/fleet");
        let instances = fleet["instances"].as_array()?;
        let ids: Vec<&str> = instances
            .iter()
            .filter_map(|instance| instance["id"].as_str())
            .collect();
        let record = etcd.get(&format!("instances/{id}"))?;
        let record: Value = serde_json::from_str(&record).ok()?;
        let is_same = ids.len() == 2 && ids.contains(&&*id) && ids.contains(&&*other);
        (is_same && record["pid"] == upgraded["pid"] && fleet["leader"].is_string()).then_some(())
    });
    assert_eq!(ids(&one).0, id);
    assert_eq!(dial_to_b(&one).status(), 200);
    wait_for_body(&two, "b");
}
