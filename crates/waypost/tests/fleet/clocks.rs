//! Clocks that jump. Leases and rollouts go by the time that has passed, not by the time of day.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use jiff::{SignedDuration, Timestamp};

use crate::fleet::{CONFIG, Fleet};
use crate::history::History;
use crate::instance::{PREFIX, Start};
use crate::rollouts::{assert_went_all_the_way, fleet_with_rollout, step};
use crate::support::command::{output, repository};
use crate::wait::wait_for;

const DAY: i64 = 24 * 3600;

/// Makes the library that lets the time of day jump.
fn library(directory: &std::path::Path) -> String {
    let library = directory.join("clock.so");
    let source = repository().join("crates/waypost/tests/fleet/clock.c");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source);
    output(&mut compiler).expect(0);
    library.display().to_string()
}

/// Lets the time of day at an instance be so many seconds ahead of what it is.
fn jump(fleet: &Fleet, number: usize, seconds: i64) {
    let instance = &fleet.instances[number];
    let clock = File::options()
        .write(true)
        .open(instance.gateway.directory().join("clock"));
    clock.unwrap().write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    // It is in what the instance writes from now on.
    let expected = Timestamp::now() + SignedDuration::from_secs(seconds);
    let drained = instance.drain("a", true);
    assert_eq!(drained.status(), 200, "{}", drained.text());
    let record = fleet.cluster.get(&format!("{PREFIX}/endpoints/a/127.0.0.1:1"));
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let time: Timestamp = record["drained"][0]["time"].as_str().unwrap().parse().unwrap();
    let off = time.duration_since(expected).as_secs().abs();
    assert!(off < DAY / 2, "{time} is not {expected}");
    assert_eq!(instance.drain("a", false).status(), 200);
}

/// A fleet with a rollout, whose time of day can jump.
fn fleet(steps: &str) -> (Fleet, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let library = library(directory.path());
    let start = Start {
        environment: &[("LD_PRELOAD", &library)],
        ..Start::default()
    };
    (fleet_with_rollout(steps, &start), directory)
}

/// Asserts that no lease has ended since the rollout began. Before, an instance that came first may have left the lead to
/// others, until it had said what it obeys.
fn assert_no_lease_ended(fleet: &Fleet) {
    let history = History::of(&fleet.cluster);
    let mut writes = history.0.iter();
    let begun = writes.find(|write| write.key.starts_with("rollouts/"));
    assert!(begun.is_some(), "no rollout");
    let ended = writes.find(|write| write.key.starts_with("leader/") && write.value.is_none());
    assert!(ended.is_none(), "{ended:?}");
}

#[test]
fn jumps_of_the_time_of_day_end_no_lease_and_take_no_step() {
    let (fleet, _directory) = fleet("[20, 40, 60, 80, 100]");
    let leader = fleet.leader(0);
    for (at, seconds) in [(2, -DAY), (3, DAY), (4, 365 * DAY)] {
        wait_for("a step", || (step(&fleet.cluster) >= at).then_some(()));
        jump(&fleet, leader, seconds);
    }
    assert_went_all_the_way(&fleet, 5);
    assert_eq!(fleet.leader(0), leader);
    assert_no_lease_ended(&fleet);
    // Changes through instances whose times of day are years apart.
    for number in 0..3 {
        let body = format!("by{number}");
        fleet.apply(number, &CONFIG.replace("one", &body)).expect(0);
        fleet.wait_for_hello(&body);
        fleet.dial(number, 30 + u32::try_from(number).unwrap()).expect(0);
        fleet.wait_for_weight(30 + u64::try_from(number).unwrap());
    }
    fleet.wait_until_well();
}

#[test]
fn step_takes_its_time_although_the_time_of_day_jumps() {
    let (fleet, _directory) = fleet("[{ percent: 20, at_least: 1h }, 100]");
    let leader = fleet.leader(0);
    let rollout = || fleet.gateway(leader).admin_json("/api/v1/routes/split/rollout");
    let age = || rollout()["step_seconds"].as_u64().unwrap();
    for seconds in [DAY, -DAY] {
        jump(&fleet, leader, seconds);
        // Some seconds pass by the clock that counts.
        let before = age();
        wait_for("some seconds", || (age() >= before + 2).then_some(()));
        assert!(age() < 3600, "{}", rollout());
        assert_eq!(step(&fleet.cluster), 1, "{}", rollout());
    }
    assert_eq!(fleet.leader(0), leader);
    assert_no_lease_ended(&fleet);
}
