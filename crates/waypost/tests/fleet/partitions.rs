//! Instances and machines that are cut off.

use crate::broken::dial_until_it_is_taken;
use crate::cluster::{Cluster, Setup};
use crate::fleet::{CONFIG, Fleet};
use crate::history::History;
use crate::instance::{Instance, Start, TEST_CLOCK};
use crate::machines::Machines;
use crate::namespaces;
use crate::rollouts::{assert_went_all_the_way, fleet_with_rollout, pass_to_end, pass_to_step, step};
use crate::support::message::Message;
use crate::wait::wait_for;

/// Asserts that an instance without etcd serves on and refuses every change.
fn assert_serves_on_and_refuses(instance: &Instance, body: &str) {
    let weight = instance.weight();
    let refused = |what: &str, answer: &Message| {
        assert_eq!(answer.status(), 503, "{what}: {}", answer.text());
    };
    refused("dial", &instance.dial(99));
    refused(
        "apply",
        &instance.apply_if(&CONFIG.replace("one", "refused"), "*"),
    );
    refused("drain", &instance.drain("a", true));
    let rollback = instance
        .gateway
        .admin("POST", "/api/v1/revisions/1/rollback", "", "");
    refused("rollback", &rollback);
    assert_eq!(instance.weight(), weight);
    assert_eq!(instance.hello().as_deref(), Some(body));
    instance.gateway.command(&["fleet"]).expect(1);
    instance.gateway.command(&["status"]).expect(1);
}

#[test]
fn instance_that_is_cut_off_serves_on_and_takes_what_is_there_when_it_is_back() {
    let fleet = Fleet::start();
    let mut body = "one".to_owned();
    for cut in 0..3 {
        let other = (cut + 1) % 3;
        let instance = &fleet.instances[cut];
        // First it is told that connections end, then it hears nothing any more.
        match cut {
            0 => instance.cut(),
            _ => instance.silence(),
        }
        instance.wait_for_etcd(false);
        assert_serves_on_and_refuses(instance, &body);
        body = format!("cut{cut}");
        fleet.apply(other, &CONFIG.replace("one", &body)).expect(0);
        let weight = dial_until_it_is_taken(&fleet.instances[other]);
        assert_ne!(instance.weight(), weight);
        // What it has not seen is gone, so that it has to read all again.
        fleet.cluster.compact();
        instance.mend();
        fleet.wait_for_hello(&body);
        fleet.wait_for_weight(weight);
    }
    fleet.wait_until_well();
}

#[test]
fn leader_that_is_cut_off_past_its_lease_never_dials() {
    let start = Start {
        environment: &[TEST_CLOCK],
        ..Start::default()
    };
    let fleet = fleet_with_rollout("[20, 40, 60, 100]", &start);
    let leader = fleet.leader(0);
    let [other, third] = [(leader + 1) % 3, (leader + 2) % 3];
    let cut = &fleet.instances[leader];
    cut.silence();
    // Its rollout is due, and its lease still holds: it cannot write, so it takes no step.
    let weight = cut.weight();
    cut.gateway.pass(2);
    assert_eq!(cut.weight(), weight);
    assert_eq!(step(&fleet.cluster), 1);
    for seen_by in [other, third] {
        fleet.instances[seen_by].wait_until_gone(&cut.id);
    }
    cut.wait_for_etcd(false);
    cut.gateway.pass(2);
    assert_serves_on_and_refuses(cut, "one");
    for action in ["/pause", "/abort", ""] {
        let refused = cut.rollout(action);
        assert_eq!(refused.status(), 503, "{action}: {}", refused.text());
    }
    let next = wait_for("another leader", || {
        fleet.leader_now(other).filter(|now| *now != leader)
    });
    wait_for("the second step", || {
        fleet.gateway(next).pass(1);
        (step(&fleet.cluster) == 2).then_some(())
    });
    cut.gateway.pass(2);
    assert_eq!(
        cut.weight(),
        weight,
        "it has not seen the second step, and takes none itself"
    );
    cut.mend();
    fleet.wait_for_weight(fleet.instances[next].weight());
    assert_eq!(fleet.leader(leader), next);
    cut.gateway.pass(2);
    assert_eq!(step(&fleet.cluster), 2);
    for at in 3..=4 {
        pass_to_step(&fleet, at);
    }
    pass_to_end(&fleet);
    assert_went_all_the_way(&fleet, 4);
    fleet.wait_until_well();
}

#[test]
fn machine_that_is_cut_off_serves_on_beside_its_member_of_etcd() {
    if !namespaces::enter("partitions::machine_that_is_cut_off_serves_on_beside_its_member_of_etcd") {
        return;
    }
    let machines = Machines::new();
    let cluster = Cluster::start_as(&Setup {
        machines: Some(&machines),
        ..Setup::default()
    });
    let instances = (0..3).map(|machine| Instance::start_on(&cluster, &machines, machine));
    let fleet = Fleet {
        instances: instances.collect(),
        cluster,
    };
    fleet.apply(0, CONFIG).expect(0);
    fleet.wait_for_hello("one");
    fleet.wait_until_well();
    // First the machine of etcd's leader, then that of the fleet's, which reach their own member all the time.
    let mut body = "one".to_owned();
    for turn in 0..2 {
        let cut = match turn {
            0 => fleet.cluster.leader(),
            _ => fleet.leader(0),
        };
        let others = [(cut + 1) % 3, (cut + 2) % 3];
        let instance = &fleet.instances[cut];
        machines.cut(cut);
        instance.wait_for_etcd(false);
        assert_serves_on_and_refuses(instance, &body);
        let weight = dial_until_it_is_taken(&fleet.instances[others[0]]);
        body = format!("turn{turn}");
        fleet.apply(others[1], &CONFIG.replace("one", &body)).expect(0);
        for other in others {
            fleet.instances[other].wait_until_gone(&instance.id);
            fleet.instances[other].wait_for_hello(&body);
            fleet.instances[other].wait_for_weight(weight);
        }
        let leader = wait_for("a leader on another machine", || {
            fleet.leader_now(others[0]).filter(|leader| *leader != cut)
        });
        assert_ne!(leader, cut);
        assert_ne!(instance.weight(), weight);
        assert_serves_on_and_refuses(instance, if turn == 0 { "one" } else { "turn0" });
        machines.mend(cut);
        fleet.wait_for_hello(&body);
        fleet.wait_for_weight(weight);
        fleet.wait_until_well();
    }
    let history = History::of(&fleet.cluster);
    assert!(
        history.0.iter().all(|write| !write.key.starts_with("endpoints/")),
        "no refused drain"
    );
    let refused =
        |write: &crate::history::Write| write.value.as_ref().is_some_and(|text| text.contains("refused"));
    assert!(
        !history.of_key("config/waypost.yaml").any(refused),
        "no refused config"
    );
}
