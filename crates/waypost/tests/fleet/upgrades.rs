//! Instances that are upgraded in place.

use crate::fleet::{CONFIG, Fleet};
use crate::history::History;
use crate::instance::{Instance, PREFIX, Start, TEST_CLOCK};
use crate::rollouts::{assert_went_all_the_way, fleet_with_rollout, pass_to_end, pass_to_step, step};
use crate::support::client::{Client, get};
use crate::wait::wait_for;

/// Upgrades an instance; returns once the new process has taken over and the old one is gone.
fn upgrade(instance: &mut Instance) {
    let taken_over = instance.gateway.takeovers().len();
    let upgraded = instance
        .gateway
        .command(&["upgrade", "--format", "json"])
        .expect(0)
        .json();
    assert_ne!(upgraded["pid"], upgraded["pid_before"]);
    wait_for("the new process", || {
        (instance.gateway.takeovers().len() > taken_over).then_some(())
    });
}

#[test]
fn leader_that_is_upgraded_keeps_its_place_and_loses_no_step() {
    let start = Start {
        environment: &[TEST_CLOCK],
        ..Start::default()
    };
    let mut fleet = fleet_with_rollout("[20, 40, 60, 80, 100]", &start);
    fleet.wait_until_well();
    let ids: Vec<String> = fleet
        .instances
        .iter()
        .map(|instance| instance.id.clone())
        .collect();
    for at in 2..=5 {
        let leader = fleet.leader(0);
        upgrade(&mut fleet.instances[leader]);
        assert_eq!(step(&fleet.cluster), at - 1);
        assert_eq!(fleet.instances[leader].hello().as_deref(), Some("one"));
        fleet.wait_until_well();
        let now: Vec<String> = fleet.instances.iter().map(Instance::id_now).collect();
        assert_eq!(now, ids, "an instance is the same one after its upgrade");
        pass_to_step(&fleet, at);
    }
    pass_to_end(&fleet);
    assert_went_all_the_way(&fleet, 5);
}

#[test]
fn every_instance_is_upgraded_in_turn_while_changes_go_on() {
    let mut fleet = Fleet::start();
    fleet.wait_until_well();
    for number in 0..3 {
        let address = fleet.gateway(number).announced().pop().unwrap();
        let other = (number + 1) % 3;
        std::thread::scope(|scope| {
            let (instances, others) = fleet.instances.split_at_mut(number);
            let (instance, behind) = others.split_first_mut().unwrap();
            let others: Vec<&Instance> = behind.iter().chain(&*instances).collect();
            let upgrading = scope.spawn(|| upgrade(instance));
            // Requests to it and changes at another one go on, however long it takes.
            let mut weight = 0;
            while !upgrading.is_finished() {
                weight += 1;
                let dialed = others[0].dial(weight % 100);
                assert_eq!(dialed.status(), 200, "{}", dialed.text());
                let answer = Client::connect(address).ask(get("http://a/hello"));
                assert_eq!(answer.status(), 200);
            }
            upgrading.join().unwrap();
        });
        let body = format!("behind{number}");
        fleet.apply(number, &CONFIG.replace("one", &body)).expect(0);
        fleet.wait_for_hello(&body);
        fleet.dial(other, 50).expect(0);
        fleet.wait_for_weight(50);
        fleet.wait_until_well();
    }
    // No lease was left to end by time.
    let history = History::of(&fleet.cluster);
    let instances: std::collections::BTreeSet<&str> = history
        .0
        .iter()
        .filter(|write| write.key.starts_with("instances/"))
        .map(|write| &*write.key)
        .collect();
    assert_eq!(instances.len(), 3, "{PREFIX}/instances has had {instances:?}");
}
