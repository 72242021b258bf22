//! Rollouts that outlive their leaders.

use crate::fleet::{CONFIG, Fleet, Instance};
use crate::support::wait_for;

/// The shares of the rollout.
const STEPS: [u64; 4] = [20, 40, 60, 100];

#[test]
fn rollout_survives_the_death_of_its_leader_at_any_step() {
    let mut fleet = Fleet::start();
    let plan = "rollouts: { ramp: { steps: [20, 40, 60, 100], at_least: 3s, requests: 0, judge: off } }\n";
    fleet.apply(0, &format!("{CONFIG}{plan}")).expect(0);
    fleet
        .command(0, &["rollout", "start", "split", "--plan", "ramp", "--to", "b"])
        .expect(0);
    for step in &STEPS[..3] {
        // No share goes back; what is seen is this step or a later one.
        let seen_by = 0;
        let leader = wait_for("a leader at this step", || {
            let leader = fleet.leader(seen_by)?;
            (fleet.instances[leader].weight() >= *step).then_some(leader)
        });
        let dead = fleet.instances.remove(leader);
        drop(dead);
        let before = fleet.instances[0].weight();
        let next = Instance::start(&fleet.cluster);
        next.wait_for_hello("one");
        fleet.instances.push(next);
        assert!(fleet.instances[0].weight() >= before);
    }
    fleet.wait_for_weight(100);
    wait_for("the end of the rollout", || {
        let status = fleet.command(0, &["rollout", "status", "split"]);
        status.stdout.contains("finished").then_some(())
    });
    fleet.wait_until_well();
}
