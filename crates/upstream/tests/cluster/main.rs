//! A simulated cluster: scripted endpoints that die, slow down, flap, answer 5xx in bursts and leave DNS, in front of them
//! the parts of the gateway that choose among them. Time is virtual, and every history follows from its seed.
//!
//! [`world`] has the endpoints and their scripts, [`gateway`] sends requests to them as the data plane does. Both check
//! what must hold for every request; the tests below say what must hold for a whole history.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

mod gateway;
mod world;

use std::time::Duration;

use waypost_plan::balance::{Balance, HashKey};
use waypost_upstream::retry::budget::{SPARE, WINDOW};

use gateway::{BUDGET, Gateway, Totals};
use world::{Moods, Shape, World};

/// Histories of a test.
const SEEDS: u64 = 8;
/// Length of a history.
const LENGTH: Duration = Duration::from_secs(90);

/// Runs histories of services of this shape, one for each seed and rule.
fn run(shape: Shape, check: impl Fn(&World, &Totals, &str)) {
    let rules = [
        Balance::RoundRobin,
        Balance::LeastRequest,
        Balance::Random,
        Balance::Hash(HashKey::Path),
    ];
    for seed in 0..SEEDS {
        let rule = &rules[(seed % 4) as usize];
        let name = format!("seed {seed}, {rule:?}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut world = World::new(seed, shape, rule, &name);
            let mut gateway = Gateway::new(&world, seed);
            gateway.run(&mut world, LENGTH).await;
            check(&world, gateway.totals(), &name);
        });
    }
}

#[test]
fn healthy_endpoints_serve_everything_at_once() {
    let shape = Shape {
        moods: Moods::Well,
        ..Shape::default()
    };
    run(shape, |_, totals, name| {
        assert_eq!(totals.served, totals.requests, "{name}");
        assert_eq!(totals.attempts, totals.requests, "{name}");
    });
}

#[test]
fn requests_find_the_endpoints_that_can_be_reached() {
    for panic in [0, 50] {
        let shape = Shape {
            moods: Moods::Dying,
            panic,
            ..Shape::default()
        };
        run(shape, |_, totals, name| {
            assert!(totals.connects_failed > 0, "{name}: nothing was put to the test");
            // The gateway itself checks that a request fails only once every endpoint was tried.
            assert_eq!(totals.served + totals.unreachable, totals.requests, "{name}");
            // Without panic mode, endpoints that are all out are not asked.
            let usual = panic == 0 || totals.served > totals.requests / 2;
            assert!(usual, "{name}: {totals:?}");
        });
    }
}

#[test]
fn nothing_goes_wrong_whatever_happens() {
    for panic in [0, 50, 100] {
        let shape = Shape {
            moods: Moods::All,
            leaves_dns: true,
            panic,
            ..Shape::default()
        };
        run(shape, |_, totals, name| {
            let ends = totals.served + totals.unreachable + totals.failed;
            assert_eq!(ends, totals.requests, "{name}: {totals:?}");
        });
    }
}

#[test]
fn nothing_goes_wrong_however_endpoints_are_left_out() {
    for (ejects, checks, drains) in [(true, false, false), (false, true, false), (true, true, true)] {
        let shape = Shape {
            ejects,
            checks,
            drains,
            ..Shape::default()
        };
        run(shape, |_, totals, name| {
            let ends = totals.served + totals.unreachable + totals.failed;
            assert_eq!(ends, totals.requests, "{name}: {totals:?}");
            assert!(totals.served > totals.requests / 2, "{name}: {totals:?}");
        });
    }
}

#[test]
fn an_endpoint_that_fails_gets_little() {
    // One of several resets each connection for seconds: by ejections and checks, few requests see it.
    for (ejects, checks) in [(false, false), (true, false), (false, true), (true, true)] {
        let shape = Shape {
            moods: Moods::OneBad,
            ejects,
            checks,
            ..Shape::default()
        };
        run(shape, |_, totals, name| {
            let most = match ejects || checks {
                true => totals.requests / 10,
                false => totals.requests,
            };
            let unwell = totals.failed + totals.retries;
            assert!(unwell <= most, "{name}, {ejects} {checks}: {totals:?}");
        });
    }
}

#[test]
fn retries_find_another_endpoint() {
    let shape = Shape {
        moods: Moods::OneBad,
        ..Shape::default()
    };
    run(shape, |_, totals, name| {
        assert!(totals.rescued > 0, "{name}: nothing was put to the test");
        // A retry is at another endpoint, and all others are well.
        let lost = totals.retries - totals.rescued;
        assert_eq!(lost, 0, "{name}: {totals:?}");
    });
}

#[test]
fn dead_service_is_asked_little_more_than_a_healthy_one() {
    let shape = Shape {
        moods: Moods::Dead,
        ..Shape::default()
    };
    run(shape, |_, totals, name| {
        assert_eq!(totals.served, 0, "{name}");
        assert!(totals.denied > 0, "{name}: the budget was not put to the test");
        let spare = usize::try_from(SPARE * LENGTH.as_secs() / WINDOW.as_secs()).unwrap();
        let most = totals.requests * (100 + BUDGET as usize) / 100 + spare;
        assert!(totals.attempts <= most, "{name}: {totals:?}");
    });
}

#[test]
fn each_arm_keeps_its_share() {
    let shape = Shape {
        moods: Moods::All,
        arms: &[1, 0, 5, 10],
        ..Shape::default()
    };
    run(shape, |_, totals, name| {
        let sum: usize = totals.by_arm.iter().sum();
        assert_eq!(sum, totals.requests, "{name}");
        for (arm, count) in totals.by_arm.iter().enumerate() {
            let weight = usize::try_from(shape.arms[arm]).unwrap();
            let expected = sum * weight / 16;
            assert!(
                count.abs_diff(expected) <= sum / 20 && (weight > 0 || *count == 0),
                "{name}: {:?} of {sum}",
                totals.by_arm
            );
        }
    });
}

#[test]
fn all_is_well_again_once_the_endpoints_are() {
    let shape = Shape {
        moods: Moods::ThenWell,
        leaves_dns: true,
        ejects: true,
        checks: true,
        ..Shape::default()
    };
    run(shape, |world, totals, name| {
        assert!(world.is_calm(), "{name}: an endpoint is still out");
        assert!(totals.late > 100, "{name}: {totals:?}");
        assert_eq!(totals.late_attempts, totals.late, "{name}: {totals:?}");
    });
}
