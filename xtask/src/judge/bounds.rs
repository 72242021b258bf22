//! The short form: bounds that must hold, with few rollouts and fixed seeds.

use waypost_rollout::judge::settings::JudgeSettings;

use crate::command;
use waypost_rollout::words;

use crate::judge::report::{count, quantiles};
use crate::judge::rollouts::{Drive, End, Outcome, Rollout, errors_alone, outcomes, with_latency};
use crate::judge::traffic::{Clients, Errors, Latency, Scene};

/// The probability that a judge which keeps its promise breaks a bound of this page by luck.
const LUCK: f64 = 1e-4;
/// The factor on the 95th percentiles of the reference that is tolerated.
const SLACK: f64 = 2.0;

/// Checks all bounds.
pub(super) fn check() -> anyhow::Result<()> {
    let mut problems = Vec::new();
    problems.extend(false_rollbacks());
    problems.extend(late_detections());
    problems.extend(promotions());
    command::report(&problems, "the judge keeps its bounds")
}

/// The greatest number of `count` events of probability `p` that is not more than luck.
fn most(count: usize, p: f64) -> usize {
    let mut mass = (1.0 - p).powi(count as i32);
    let mut beyond = 1.0 - mass;
    let mut most = 0;
    while beyond > LUCK {
        most += 1;
        mass *= (count - most + 1) as f64 / most as f64 * p / (1.0 - p);
        beyond -= mass;
    }
    most
}

/// Rollouts of versions within tolerance, ten minutes each.
fn tolerable() -> Vec<(&'static str, Rollout)> {
    let steady = |rates| Scene::new(100.0, Errors::Steady(rates));
    let short = |scene| Rollout {
        limit: 600,
        ..Rollout::new(scene)
    };
    let incidents = Errors::Incidents {
        every: 200,
        length: 40,
        rate: 0.5,
    };
    let users = Clients::Users {
        users: 600,
        broken: 0.02,
        failing: 0.5,
    };
    let retrying = Clients::Retrying {
        attempts: 6,
        at_once: true,
    };
    let latency = Latency {
        slower: 1.0,
        stalled: (0.0, 0.0),
        drifts: true,
    };
    vec![
        ("both fail at 0.1 %", short(steady([0.001; 2]))),
        ("both fail at 30 %", short(steady([0.3; 2]))),
        ("1 → 2 %, at the margin", short(steady([0.02, 0.01]))),
        ("the rate walks", short(Scene::new(100.0, Errors::Walk))),
        ("incidents in both", short(Scene::new(100.0, incidents))),
        (
            "clients fail 6 times in a row",
            short(steady([0.01; 2]).with(retrying)),
        ),
        ("some users always fail", short(steady([0.001; 2]).with(users))),
        (
            "latencies drift",
            Rollout {
                settings: with_latency(),
                limit: 200,
                ..Rollout::new(Scene::of_latency(50.0, latency))
            },
        ),
    ]
}

fn false_rollbacks() -> Option<String> {
    const EACH: u64 = 60;
    let mut all = 0;
    let mut rolled_back = 0;
    for (name, rollout) in tolerable() {
        let found = outcomes(EACH, |seed| rollout.run(seed));
        let here = count(&found, |outcome| outcome.end == End::RolledBack);
        println!("within tolerance, {name}: {here} of {EACH} rolled back");
        all += found.len();
        rolled_back += here;
    }
    let most = most(all, JudgeSettings::default().false_rollbacks);
    (rolled_back > most).then(|| {
        format!("{rolled_back} of {all} tolerable versions were rolled back; at most {most} would be luck")
    })
}

/// Damage: name, rate, load, share, calm seconds before it, the 95th percentile of the reference.
const DAMAGE: [(&str, f64, f64, f64, u64, f64); 6] = [
    ("100 % at 1 of 100 requests", 1.0, 100.0, 1.0, 0, 13.0),
    ("100 % at 5 of 100", 1.0, 100.0, 5.0, 0, 6.0),
    ("20 % at 5 of 100", 0.2, 100.0, 5.0, 0, 16.0),
    ("5.1 % at 50 of 100", 0.051, 100.0, 50.0, 0, 17.0),
    ("2.1 % at 500 of 1,000", 0.021, 1000.0, 50.0, 0, 10.0),
    (
        "100 % at 50 of 100, after calm minutes",
        1.0,
        100.0,
        50.0,
        120,
        11.0,
    ),
];

fn late_detections() -> Vec<String> {
    const EACH: u64 = 60;
    let mut problems = Vec::new();
    for (name, rate, load, share, after, reference) in DAMAGE {
        let damage = Errors::Damage {
            after: after as i64,
            rates: [rate, 0.001],
        };
        let within = SLACK * reference;
        let rollout = Rollout {
            limit: after + within as u64 + 1,
            ..Rollout::at(Scene::new(load, damage), share)
        };
        let seconds = |outcome: &Outcome| {
            let is_found = outcome.end == End::RolledBack && outcome.seconds > after;
            is_found.then(|| (outcome.seconds - after) as f64)
        };
        let found: Vec<_> = outcomes(EACH, |seed| rollout.run(seed))
            .iter()
            .map(seconds)
            .collect();
        let [_, high] = quantiles(&found);
        match high {
            Some(high) if high <= within => println!("{name}: {high} s, at most {within}"),
            _ => problems.push(format!("{name}: the 95th percentile is above {within} s")),
        }
    }
    problems
}

fn promotions() -> Vec<String> {
    const EACH: u64 = 80;
    let mut problems = Vec::new();
    let short = |rates, load| Rollout {
        limit: 300,
        ..Rollout::proof_at(Scene::new(load, Errors::Steady(rates)), 50.0)
    };
    // The proof of a version at the margin succeeds by luck alone.
    let mut promoted = 0;
    for rates in [[0.005, 0.0], [0.02, 0.01]] {
        let rollout = short(rates, 100.0);
        let found = outcomes(EACH, |seed| rollout.run(seed));
        promoted += count(&found, |outcome| outcome.end == End::Promoted);
    }
    let all = 2 * EACH as usize;
    let most = most(all, JudgeSettings::default().false_promotions);
    println!("at the margin: {promoted} of {all} promoted, at most {most}");
    if promoted > most {
        problems.push(format!(
            "{promoted} of {all} bad versions were promoted; at most {most} would be luck"
        ));
    }
    let rollout = short([0.0, 0.0], 100.0);
    let requests: Vec<_> = outcomes(10, |seed| rollout.run(seed))
        .iter()
        .map(|outcome| (outcome.end == End::Promoted).then_some(outcome.requests))
        .collect();
    let within = SLACK * 1013.0;
    match quantiles(&requests) {
        [_, Some(high)] if high <= within => {
            println!("without errors: proved after {} requests", words::count(high));
        }
        _ => problems.push(format!(
            "a good version takes more than {within} requests to be proved"
        )),
    }
    // The whole way, by the default conditions of a step.
    let ramp = Rollout {
        settings: errors_alone(),
        drive: Drive::Ramp,
        limit: 900,
        steps: vec![25.0, 50.0],
        ..Rollout::new(Scene::new(100.0, Errors::Steady([0.0; 2])))
    };
    let found = outcomes(4, |seed| ramp.run(seed));
    if count(&found, |outcome| outcome.end == End::Promoted) < found.len() {
        problems.push("a good version does not get to 100 % in a quarter of an hour".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_of_luck_is_that_of_the_binomial_distribution() {
        // P(X > 6) = 7.1e-5 and P(X > 5) = 5.3e-4 for 100 events of 1 %.
        assert_eq!(most(100, 0.01), 6);
        assert_eq!(most(1, 0.01), 1);
        assert_eq!(most(80, 0.05), 13);
    }
}
