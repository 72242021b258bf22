//! Rollouts of versions that are within tolerance: the table of false rollbacks, beside those of other programs.

use waypost_rollout::evidence::betting::Tolerance;
use waypost_rollout::judge::settings::JudgeSettings;

use crate::judge::report::{Report, beside, count, percentage};
use crate::judge::rollouts::{End, Rollout, errors_alone, outcomes, with_latency};
use crate::judge::traffic::{Clients, Errors, Latency, Scene};

/// A row of false rollbacks.
struct Healthy {
    name: &'static str,
    rollout: Rollout,
    count: u64,
    /// The figures of reference: ours, and those of the others where they judge too.
    reference: &'static str,
    peers: Option<[&'static str; 3]>,
}

/// Simulates and prints all rows.
pub(crate) fn print(report: &mut Report) {
    report.table(
        "False rollbacks",
        "Rollouts of a version that is within tolerance, of which this share is rolled back. Unless said otherwise: five \
         steps of twelve minutes, 1 to 75 %.",
        &["both versions", "rollouts", "Waypost", "Flagger", "Argo Rollouts", "Kayenta"],
    );
    let rows = [alike(), at_the_margin(), moving(), clustered(), passing()];
    for row in rows.into_iter().flatten() {
        let found = outcomes(row.count, |seed| row.rollout.run(seed));
        let ours = count(&found, |outcome| outcome.end == End::RolledBack);
        let mut cells = vec![
            row.name.to_owned(),
            row.count.to_string(),
            beside(&percentage(ours, found.len()), row.reference),
        ];
        for at in 0..3 {
            cells.push(match row.peers {
                Some(peers) => {
                    let rolled_back = count(&found, |outcome| outcome.peers[at].is_some());
                    beside(&percentage(rolled_back, found.len()), peers[at])
                }
                None => String::new(),
            });
        }
        report.row(&cells);
    }
    report.end();
}

fn healthy(
    name: &'static str,
    rollout: Rollout,
    count: u64,
    reference: &'static str,
    peers: Option<[&'static str; 3]>,
) -> Healthy {
    Healthy {
        name,
        rollout: Rollout {
            has_peers: peers.is_some(),
            ..rollout
        },
        count,
        reference,
        peers,
    }
}

/// Versions that fail alike, with independent clients.
fn alike() -> Vec<Healthy> {
    let row = |name, load, rate, reference, peers| {
        let rollout = Rollout::new(Scene::steady(load, [rate; 2]));
        healthy(name, rollout, 1000, reference, Some(peers))
    };
    vec![
        row(
            "0.1 % of errors, 100 requests a second",
            100.0,
            0.001,
            "0",
            ["0.1 %", "0", "0"],
        ),
        row("0.3 %", 100.0, 0.003, "0", ["7.3 %", "0", "0"]),
        row("0.5 %", 100.0, 0.005, "0", ["50 %", "0", "0"]),
        row("1 %", 100.0, 0.01, "0", ["100 %", "0", "0.5 %"]),
        row("1 %, 10 requests a second", 10.0, 0.01, "0", ["100 %", "0", "0"]),
    ]
}

/// Versions at the edge of what is tolerated.
fn at_the_margin() -> Vec<Healthy> {
    let without = Rollout {
        settings: JudgeSettings {
            errors: Some(Tolerance {
                ratio: 1.0,
                plus: 0.0,
            }),
            ..errors_alone()
        },
        ..Rollout::new(Scene::steady(100.0, [0.01; 2]))
    };
    let edge = |canary, baseline| Rollout::new(Scene::steady(100.0, [canary, baseline]));
    let long = |canary, baseline| Rollout {
        limit: 6 * 3600,
        ..edge(canary, baseline)
    };
    vec![
        healthy("1 %, no margin at all", without, 2000, "0.35 %", None),
        healthy(
            "exactly at the margin: 1 → 2 %",
            edge(0.02, 0.01),
            2000,
            "0.15 %",
            None,
        ),
        healthy("0 → 0.5 %", edge(0.005, 0.0), 2000, "0.20 %", None),
        healthy("20 → 30.5 %", edge(0.305, 0.2), 1000, "0", None),
        healthy("1 → 2 %, six hours", long(0.02, 0.01), 300, "0", None),
        healthy("0 → 0.5 %, six hours", long(0.005, 0.0), 300, "0.1 %", None),
    ]
}

/// Rates that move in both arms at once.
fn moving() -> Vec<Healthy> {
    let incidents = |load, every, length, rate| Scene::new(load, Errors::Incidents { every, length, rate });
    let seldom = |load, percent, (every, length, rate)| Rollout {
        limit: 4 * 3600,
        ..Rollout::at(incidents(load, every, length, rate), percent)
    };
    let (partial, total) = ((600, 60, 0.3), (900, 20, 1.0));
    let few = Rollout {
        limit: 12 * 3600,
        ..Rollout::at(Scene::steady(5.0 / 60.0, [0.01; 2]), 10.0)
    };
    let hour = |scene| Rollout::new(scene);
    vec![
        healthy(
            "rate walks from 0.01 to 30 %, 20 to 180 requests a second",
            hour(Scene::new(100.0, Errors::Walk)),
            1000,
            "0",
            Some(["94 %", "15 %", "0.2 %"]),
        ),
        healthy(
            "both arms 30 % for 60 s in each 10 minutes",
            hour(incidents(100.0, 600, 60, 0.3)),
            1000,
            "0",
            Some(["100 %", "80 %", "0"]),
        ),
        healthy(
            "both arms 100 % for 20 s in each 15 minutes",
            hour(incidents(100.0, 900, 20, 1.0)),
            1000,
            "0",
            Some(["78 %", "89 %", "0"]),
        ),
        healthy(
            "the former, 10 a second, 5 %, 4 hours",
            seldom(10.0, 5.0, partial),
            100,
            "0",
            None,
        ),
        healthy(
            "the latter, 10 a second, 5 %, 4 hours",
            seldom(10.0, 5.0, total),
            100,
            "0",
            None,
        ),
        healthy(
            "the former, 2 a second, 1 %, 4 hours",
            seldom(2.0, 1.0, partial),
            100,
            "0",
            None,
        ),
        healthy(
            "the latter, 2 a second, 1 %, 4 hours",
            seldom(2.0, 1.0, total),
            100,
            "0",
            None,
        ),
        healthy(
            "both rise from 0.1 to 10 % while the shares rise",
            hour(Scene::new(100.0, Errors::Rising(3600.0))),
            1000,
            "0",
            Some(["100 %", "100 %", "0.1 %"]),
        ),
        healthy(
            "1 %, 5 requests a minute, share 10 %, 12 hours",
            few,
            100,
            "0",
            Some(["100 %", "47 %", "0"]),
        ),
    ]
}

/// Clients that fail together.
fn clustered() -> Vec<Healthy> {
    let retrying = |attempts, at_once| {
        Rollout::new(Scene::steady(100.0, [0.01; 2]).with(Clients::Retrying { attempts, at_once }))
    };
    let sticky =
        |broken, failing| Rollout::new(Scene::steady(60.0, [0.001; 2]).with(Clients::users(broken, failing)));
    let untempered = |rollout| Rollout {
        tempers: false,
        ..rollout
    };
    let uncapped = |rollout: Rollout| Rollout {
        settings: JudgeSettings {
            patience: 0.01,
            ..rollout.settings
        },
        ..rollout
    };
    vec![
        healthy(
            "a client that fails does so 3 times, within a second",
            retrying(3, true),
            300,
            "0",
            Some(["", "", ""]),
        ),
        healthy("6 times", retrying(6, true), 500, "0", Some(["100 %", "0", "0"])),
        healthy("12 times", retrying(12, true), 500, "0.4 %", Some(["", "", ""])),
        healthy(
            "6 times, one a second",
            retrying(6, false),
            500,
            "",
            Some(["", "", ""]),
        ),
        healthy(
            "6 times within a second, without cluster factor and allowance",
            untempered(retrying(6, true)),
            300,
            "13 %",
            None,
        ),
        healthy(
            "6 times, without the cap as well",
            uncapped(untempered(retrying(6, true))),
            300,
            "67 %",
            None,
        ),
        healthy(
            "600 sticky users, 2 % of them fail 50 %",
            sticky(0.02, 0.5),
            300,
            "0.3 %",
            Some(["76 %", "0", "5 %"]),
        ),
        healthy(
            "2 % of them fail 90 %",
            sticky(0.02, 0.9),
            300,
            "0.3 %",
            Some(["95 %", "0", "7 %"]),
        ),
        healthy(
            "5 % of them fail 50 %",
            sticky(0.05, 0.5),
            300,
            "0.3 %",
            Some(["99 %", "1 %", "8 %"]),
        ),
        healthy(
            "2 % of them fail 90 %, without factor and allowance",
            untempered(sticky(0.02, 0.9)),
            300,
            "24 %",
            None,
        ),
    ]
}

/// Faults of the canary alone that do not last, and latencies.
fn passing() -> Vec<Healthy> {
    let hiccups = |deviation, length, patience| Rollout {
        settings: JudgeSettings {
            patience,
            ..errors_alone()
        },
        ..Rollout::new(Scene::new(
            100.0,
            Errors::Hiccups {
                rate: 0.003,
                deviation,
                length,
            },
        ))
    };
    let cold = |warmup| Rollout {
        settings: JudgeSettings {
            warmup,
            ..errors_alone()
        },
        limit: 600,
        ..Rollout::at(
            Scene::new(
                100.0,
                Errors::ColdStart {
                    seconds: 20,
                    rate: 0.1,
                },
            ),
            10.0,
        )
    };
    let latency = |latency| Rollout {
        settings: with_latency(),
        ..Rollout::new(Scene::of_latency(100.0, latency))
    };
    let slower = Latency {
        slower: 1.2,
        ..Latency::EQUAL
    };
    let drifting = Latency {
        drifts: true,
        ..Latency::EQUAL
    };
    vec![
        healthy(
            "each arm's 0.3 % times a gamma number of mean 1, anew each 10 s: deviation 1",
            hiccups(1.0, 10, 5.0),
            400,
            "0",
            None,
        ),
        healthy("deviation 2", hiccups(2.0, 10, 5.0), 400, "3.0 %", None),
        healthy(
            "anew each 60 s, deviation 1",
            hiccups(1.0, 60, 5.0),
            400,
            "6.0 %",
            None,
        ),
        healthy(
            "anew each 10 s, deviation 2, patience 30",
            hiccups(2.0, 10, 30.0),
            400,
            "0",
            None,
        ),
        healthy(
            "anew each 60 s, deviation 1, patience 30",
            hiccups(1.0, 60, 30.0),
            400,
            "0.25 %",
            None,
        ),
        healthy(
            "cold start, 10 % for 20 s, no warm-up",
            cold(0),
            400,
            "98 %",
            None,
        ),
        healthy("cold start, warm-up of 30 s", cold(30), 400, "0", None),
        healthy("latencies alike", latency(Latency::EQUAL), 150, "0", None),
        healthy(
            "both drift by 0.3 to 3, and jump by 4",
            latency(drifting),
            150,
            "0",
            None,
        ),
        healthy("all exactly 20 % slower", latency(slower), 150, "0", None),
    ]
}
