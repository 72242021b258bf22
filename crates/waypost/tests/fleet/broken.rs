//! etcd and instances that fail.

use rustix::process::Signal;

use crate::fleet::{CONFIG, Fleet};
use crate::instance::{Instance, PREFIX};
use crate::wait::wait_for;

/// Dials through an instance until etcd takes it; returns the weight, which was not in force before.
pub(crate) fn dial_until_it_is_taken(instance: &Instance) -> u64 {
    let mut weight = instance.weight();
    wait_for("a dial that is taken", || {
        weight = (weight + 1) % 100;
        (instance.dial(weight).status() == 200).then_some(weight)
    })
}

#[test]
fn death_of_a_member_stops_nothing() {
    let mut fleet = Fleet::start();
    let leader = fleet.cluster.leader();
    // First one that follows, then the one that leads.
    for member in [(leader + 1) % 3, leader] {
        fleet.cluster.kill(member);
        assert_eq!(fleet.instances[0].hello().as_deref(), Some("one"));
        let weight = dial_until_it_is_taken(&fleet.instances[1]);
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
    let kept = fleet.gateway(2).directory().join("state/fleet");
    wait_for("the dial in the state", || {
        let kept = std::fs::read(&kept).ok()?;
        let kept = String::from_utf8_lossy(&kept).into_owned();
        kept.contains("/dials/split").then_some(())
    });
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
fn instance_that_stood_still_reads_all_again_once_etcd_has_compacted() {
    let fleet = Fleet::start();
    let still = &fleet.instances[2];
    still.gateway.signal(Signal::STOP);
    // Its connections end, so that nothing waits in them.
    still.cut();
    fleet.instances[0].wait_until_gone(&still.id);
    for percent in 20..30 {
        fleet.dial(0, percent).expect(0);
    }
    fleet.apply(1, &CONFIG.replace("one", "two")).expect(0);
    // The changes that it would go on with are gone.
    fleet.cluster.compact();
    still.mend();
    still.gateway.signal(Signal::CONT);
    fleet.wait_for_hello("two");
    fleet.wait_for_weight(29);
    fleet.wait_until_well();
    // It changes rules again.
    fleet.dial(2, 30).expect(0);
    fleet.wait_for_weight(30);
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
