//! Rollouts that outlive their leaders.

use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::fleet::{CONFIG, Fleet};
use crate::history::History;
use crate::instance::{Instance, PREFIX, Start, TEST_CLOCK};
use crate::wait::{wait_for, wait_or_else};

/// A fleet in which the rollout of `split` is at its first step of these, which take a second each.
pub(crate) fn fleet_with_rollout(steps: &str, start: &Start<'_>) -> Fleet {
    let fleet = Fleet::start_as(start);
    let plan = format!("rollouts: {{ ramp: {{ steps: {steps}, at_least: 1s, requests: 0, judge: off }} }}\n");
    fleet.apply(0, &format!("{CONFIG}{plan}")).expect(0);
    wait_for("a rollout", || {
        // An instance that has not seen the plan yet refuses it.
        let started = fleet.command(1, &["rollout", "start", "split", "--plan", "ramp", "--to", "b"]);
        (started.code == 0).then_some(())
    });
    fleet
}

/// The step that etcd has.
pub(crate) fn step(cluster: &Cluster) -> u64 {
    let record = cluster.get(&format!("{PREFIX}/rollouts/split"));
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record["state"]["step_number"].as_u64().unwrap()
}

/// Waits until etcd has this step, or a later one.
fn wait_for_step(cluster: &Cluster, wanted: u64) {
    wait_or_else(
        "a step",
        || (step(cluster) >= wanted).then_some(()),
        || format!("the last is {}, not {wanted}", step(cluster)),
    );
}

/// Lets seconds pass at the leader until etcd has this step.
pub(crate) fn pass_to_step(fleet: &Fleet, wanted: u64) {
    wait_or_else(
        "a step",
        || {
            let leader = fleet.leader_now(0)?;
            // At an instance that does not know yet that it leads, nothing comes of it.
            fleet.gateway(leader).pass(1);
            (step(&fleet.cluster) == wanted).then_some(())
        },
        || format!("the last is {}, not {wanted}", step(&fleet.cluster)),
    );
}

/// Lets seconds pass at the leader until the rollout has ended.
pub(crate) fn pass_to_end(fleet: &Fleet) {
    wait_for("the end of the rollout", || {
        let leader = fleet.leader_now(0)?;
        fleet.gateway(leader).pass(1);
        (fleet.instances[leader].rollout_state() == "finished").then_some(())
    });
}

/// Asserts that the rollout has ended with all requests for `b`, and that each step was taken once, by the leader.
pub(crate) fn assert_went_all_the_way(fleet: &Fleet, steps: u64) {
    wait_or_else(
        "the end of the rollout",
        || {
            let are_at_end = |instance: &Instance| instance.rollout_state() == "finished";
            fleet.instances.iter().all(are_at_end).then_some(())
        },
        || {
            let states: Vec<String> = fleet.instances.iter().map(Instance::rollout_state).collect();
            format!("{states:?} at step {}", step(&fleet.cluster))
        },
    );
    let history = History::of(&fleet.cluster);
    let taken = history.steps();
    let expected: Vec<u64> = (1..=steps).collect();
    assert!(
        taken == expected || taken[1..] == expected[..] && taken[0] == 0,
        "{taken:?}"
    );
    let weights = history.weights();
    assert!(weights.is_sorted(), "a share went back: {weights:?}");
    assert_eq!(u64::try_from(weights.len()).unwrap(), steps, "{weights:?}");
    history.assert_rollouts_are_the_leaders();
    let last = *weights.last().unwrap();
    fleet.wait_for_weight(last);
}

#[test]
fn rollout_outlives_a_leader_that_dies_right_behind_any_step() {
    let start = Start {
        environment: &[TEST_CLOCK],
        ..Start::default()
    };
    let mut fleet = fleet_with_rollout("[20, 40, 60, 80, 100]", &start);
    for next in 2..=6 {
        let leader = fleet.leader(0);
        let mut dead = fleet.instances.remove(leader);
        dead.gateway.kill();
        // As time would do it.
        fleet
            .cluster
            .end_lease(&format!("{PREFIX}/instances/{}", dead.id));
        let fresh = Instance::start_as(&fleet.cluster, &start);
        fresh.wait_for_hello("one");
        fleet.instances.push(fresh);
        assert_eq!(step(&fleet.cluster), next - 1);
        if next <= 5 {
            pass_to_step(&fleet, next);
        }
    }
    pass_to_end(&fleet);
    assert_went_all_the_way(&fleet, 5);
    fleet.wait_until_well();
}

#[test]
fn rollout_goes_on_by_itself_whenever_its_leader_dies() {
    let mut fleet = fleet_with_rollout("[20, 40, 60, 100]", &Start::default());
    for at in 1..=3 {
        wait_for_step(&fleet.cluster, at);
        let leader = fleet.leader(0);
        let before = fleet.instances.remove(leader);
        drop(before);
        let fresh = Instance::start(&fleet.cluster);
        fresh.wait_for_hello("one");
        fleet.instances.push(fresh);
    }
    assert_went_all_the_way(&fleet, 4);
    fleet.wait_until_well();
}

#[test]
fn leader_that_stood_still_past_its_lease_takes_no_step_any_more() {
    let fleet = fleet_with_rollout("[20, 30, 40, 50, 60, 70, 80, 90, 100]", &Start::default());
    wait_for_step(&fleet.cluster, 1);
    let leader = fleet.leader(0);
    let other = (leader + 1) % 3;
    fleet.gateway(leader).signal(Signal::STOP);
    let next = wait_for("another leader", || {
        fleet.leader_now(other).filter(|now| *now != leader)
    });
    // The other goes on with the rollout, and the one that stood still wakes in the middle of it.
    let before = step(&fleet.cluster);
    wait_for_step(&fleet.cluster, before + 1);
    fleet.gateway(leader).signal(Signal::CONT);
    assert_went_all_the_way(&fleet, 9);
    fleet.wait_until_well();
    assert_eq!(fleet.leader(leader), next);
    // It takes what changes, and changes rules itself.
    fleet.apply(other, &CONFIG.replace("one", "two")).expect(0);
    fleet.wait_for_hello("two");
    fleet.dial(leader, 44).expect(0);
    fleet.wait_for_weight(44);
}
