//! etcd and instances that fail.

use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::fleet::{CONFIG, Fleet, Instance, PREFIX};
use crate::support::wait_for;

/// Dials through an instance until etcd takes it; returns the weight, which was not in force before.
fn dial_until_it_is_taken(fleet: &Fleet, instance: usize) -> u64 {
    let taken = std::cell::Cell::new(u32::try_from(fleet.instances[instance].weight()).unwrap());
    wait_for("a dial that is taken", || {
        taken.set(taken.get() + 1);
        (fleet.dial(instance, taken.get() % 100).code == 0).then_some(())
    });
    u64::from(taken.get() % 100)
}

#[test]
fn death_of_a_member_stops_nothing() {
    let mut fleet = Fleet::start();
    let leader = fleet.cluster.leader();
    // First one that follows, then the one that leads.
    for member in [(leader + 1) % 3, leader] {
        fleet.cluster.kill(member);
        assert_eq!(fleet.instances[0].hello().as_deref(), Some("one"));
        let weight = dial_until_it_is_taken(&fleet, 1);
        fleet.wait_for_weight(weight);
        fleet.cluster.start_again(&[member]);
    }
    fleet.wait_until_well();
}

#[test]
fn without_a_majority_instances_serve_on_and_refuse_changes() {
    let mut fleet = Fleet::start();
    fleet.dial(0, 25).expect(0);
    fleet.wait_for_weight(25);
    fleet.cluster.kill(0);
    fleet.cluster.kill(1);
    for instance in &fleet.instances {
        instance.wait_for_etcd(false);
        assert_eq!(instance.hello().as_deref(), Some("one"));
        assert_eq!(instance.weight(), 25);
    }
    fleet.dial(0, 26).expect(1);
    fleet.apply(1, &CONFIG.replace("one", "two")).expect(1);
    fleet.command(2, &["fleet"]).expect(1);
    fleet.command(2, &["status"]).expect(1);
    let refused = fleet
        .gateway(0)
        .dial("split", &serde_json::json!({ "a": 1, "b": 99 }));
    assert_eq!(refused.status(), 503, "{}", refused.text());

    // A start without etcd serves what the state has kept.
    let last = fleet.instances.pop().unwrap().restarted();
    last.wait_for_hello("one");
    assert_eq!(last.weight(), 25);
    fleet.instances.push(last);

    fleet.cluster.start_again(&[0, 1]);
    fleet.wait_until_well();
    for instance in &fleet.instances {
        assert_eq!(
            instance.hello().as_deref(),
            Some("one"),
            "nothing refused is in force"
        );
        assert_eq!(instance.weight(), 25);
    }
    fleet.dial(2, 27).expect(0);
    fleet.wait_for_weight(27);
}

#[test]
fn instance_that_is_cut_off_never_dials_and_takes_what_is_there_when_it_is_back() {
    let fleet = Fleet::start();
    for cut in 0..3 {
        let other = (cut + 1) % 3;
        fleet.instances[cut].cut();
        fleet.instances[cut].wait_for_etcd(false);
        fleet.dial(cut, 99).expect(1);
        let config = CONFIG.replace("one", &format!("cut{cut}"));
        fleet.apply(other, &config).expect(0);
        let weight = dial_until_it_is_taken(&fleet, other);
        assert_ne!(fleet.instances[cut].weight(), weight);
        // What it has not seen is gone, so that it has to read all again.
        fleet.cluster.compact();
        fleet.instances[cut].mend();
        fleet.wait_for_hello(&format!("cut{cut}"));
        fleet.wait_for_weight(weight);
    }
    fleet.wait_until_well();
}

#[test]
fn leader_that_stood_still_past_its_lease_leads_no_longer() {
    let fleet = Fleet::start();
    let leader = wait_for("a leader", || fleet.leader(0));
    let other = (leader + 1) % 3;
    fleet.gateway(leader).signal(Signal::STOP);
    let next = wait_for("another leader", || {
        fleet.leader(other).filter(|now| *now != leader)
    });
    assert_ne!(next, leader);
    fleet.dial(other, 44).expect(0);
    fleet.apply(other, &CONFIG.replace("one", "two")).expect(0);
    fleet.gateway(leader).signal(Signal::CONT);
    fleet.wait_for_hello("two");
    fleet.wait_for_weight(44);
    fleet.wait_until_well();
    assert_eq!(fleet.leader(leader), Some(next));
}

#[test]
fn prefix_that_is_wiped_leaves_the_last_config_in_force() {
    let fleet = Fleet::start();
    fleet
        .cluster
        .etcdctl(&["del", &format!("{PREFIX}/config/"), "--prefix"]);
    for instance in &fleet.instances {
        wait_for("what is missing", || {
            (instance.gateway.command(&["status"]).code == 1).then_some(())
        });
        assert_eq!(instance.hello().as_deref(), Some("one"));
    }
    fleet.apply(1, &CONFIG.replace("one", "again")).expect(0);
    fleet.wait_for_hello("again");
    fleet.wait_until_well();
}

#[test]
fn full_etcd_refuses_changes_and_stops_nothing() {
    let fleet = Fleet::on(Cluster::start_with(&["--quota-backend-bytes", "2000000"]), 2);
    fleet.apply(0, CONFIG).expect(0);
    fleet.wait_for_hello("one");
    // Other keys fill it.
    let large = "x".repeat(100_000);
    wait_for("a full etcd", || {
        let put = fleet.cluster.try_etcdctl(&["put", "/other", &large]);
        (put.code != 0 && put.stderr.contains("space")).then_some(())
    });
    let refused = fleet.apply(0, &CONFIG.replace("one", "two")).expect(1);
    assert!(refused.stderr.contains("quota"), "{}", refused.stderr);
    fleet.wait_for_hello("one");
}

#[test]
fn missing_permissions_are_named() {
    let mut cluster = Cluster::start();
    for arguments in [
        &["role", "add", "reader"][..],
        &[
            "role",
            "grant-permission",
            "reader",
            "--prefix=true",
            "read",
            &format!("{PREFIX}/"),
        ],
        &["user", "add", "gateway:secret"],
        &["user", "grant-role", "gateway", "reader"],
        &["role", "add", "root"],
        &["user", "add", "root:secret"],
        &["user", "grant-role", "root", "root"],
    ] {
        cluster.etcdctl(arguments);
    }
    cluster.etcdctl(&["put", &format!("{PREFIX}/config/waypost.yaml"), CONFIG]);
    cluster.etcdctl(&["auth", "enable"]);
    cluster.user = Some("gateway:secret".to_owned());
    let instance = Instance::start(&cluster);
    instance.wait_for_hello("one");
    let status = wait_for("a status that needs attention", || {
        let status = instance.gateway.command(&["status"]);
        status.stdout.contains("permission denied").then_some(status)
    });
    assert_eq!(status.code, 1, "{}", status.stdout);
    let refused = instance
        .gateway
        .dial("split", &serde_json::json!({ "a": 1, "b": 99 }));
    assert_eq!(refused.status(), 403, "{}", refused.text());
    let named = format!("etcd: permission denied: write {PREFIX}/dials/split");
    assert!(refused.text().contains(&named), "{}", refused.text());
}
