//! The tables of the full run: the judge's operating characteristics, beside those of the simulation that it was designed
//! with.

use std::hint::black_box;
use std::time::Instant;

use waypost_rollout::evidence::betting::Tolerance;
use waypost_rollout::evidence::metric::ProofScope;
use waypost_rollout::judge::Judge;
use waypost_rollout::judge::settings::JudgeSettings;
use waypost_rollout::words;

use crate::judge::peers::{argo_rollout, flagger_rollout};
use crate::judge::report::{Report, beside, count, percentage, quantiles, quantiles_text};
use crate::judge::rollouts::{Drive, End, Outcome, Rollout, errors_alone, outcomes, with_latency};
use crate::judge::traffic::{Clients, Counts, Errors, Latency, Scene, Traffic, bounds};

/// Simulates and prints all of these tables.
pub(crate) fn print(report: &mut Report) {
    detection(report);
    special_detection(report);
    whole_rollouts(report);
    promotions(report);
    false_promotions(report);
    cost(report);
}

/// The seconds from the damage at `after` to the rollback, and the canary's requests since it.
fn found_after(outcomes: &[Outcome], after: u64) -> Vec<Option<f64>> {
    let seconds = |outcome: &Outcome| {
        let is_found = outcome.end == End::RolledBack && outcome.seconds > after;
        is_found.then(|| (outcome.seconds - after) as f64)
    };
    outcomes.iter().map(seconds).collect()
}

fn detection(report: &mut Report) {
    const LOADS: [f64; 3] = [10.0, 100.0, 1000.0];
    const SHARES: [f64; 3] = [1.0, 5.0, 50.0];
    let rows: [(&str, f64, u64, [&str; 9]); 6] = [
        (
            "100 %",
            1.0,
            0,
            [
                "63/108", "14/28", "6/7", "9/13", "5/6", "5/5", "5/5", "5/5", "5/5",
            ],
        ),
        (
            "20 %",
            0.2,
            0,
            [
                "307/603", "63/119", "19/30", "33/65", "10/16", "5/6", "7/9", "5/5", "5/5",
            ],
        ),
        (
            "5.1 %",
            0.051,
            0,
            [
                "1587/3310",
                "324/665",
                "85/160",
                "163/304",
                "35/70",
                "10/17",
                "23/43",
                "7/11",
                "5/6",
            ],
        ),
        (
            "2.1 %",
            0.021,
            0,
            [
                "> 1 h",
                "1525/3491",
                "330/709",
                "765/1716",
                "177/346",
                "35/74",
                "111/206",
                "24/50",
                "7/10",
            ],
        ),
        (
            "100 % after 10 minutes",
            1.0,
            600,
            [
                "70/127", "23/33", "10/12", "16/22", "11/11", "11/11", "11/11", "12/12", "12/12",
            ],
        ),
        (
            "5.1 % after 10 minutes",
            0.051,
            600,
            [
                "1749/–", "510/929", "161/247", "290/465", "77/117", "21/30", "45/67", "17/22", "12/12",
            ],
        ),
    ];
    report.table(
        "Time until damage is found",
        "Seconds from the damage to the rollback, median/95th percentile of 200 rollouts, at 10, 100 and 1,000 requests a \
         second and shares of 1, 5 and 50 %, in the first of five steps. The baseline fails at 0.1 %. A dash stands for \
         rollouts that an hour was not enough for.",
        &["v2 fails", "10: 1 %", "5 %", "50 %", "100: 1 %", "5 %", "50 %", "1,000: 1 %", "5 %", "50 %"],
    );
    for (name, rate, after, reference) in rows {
        let mut cells = vec![name.to_owned()];
        let places = LOADS.iter().flat_map(|load| SHARES.map(|share| (*load, share)));
        for ((load, share), reference) in places.zip(reference) {
            let damage = Errors::Damage {
                after: after as i64,
                rates: [rate, 0.001],
            };
            let rollout = Rollout {
                limit: 3600 + after,
                ..Rollout::at(Scene::new(load, damage), share)
            };
            let found = found_after(&outcomes(200, |seed| rollout.run(seed)), after);
            cells.push(beside(&quantiles_text(&found), reference));
        }
        report.row(&cells);
    }
    report.end();
}

/// Detections that the grid does not have: name, rollout, seconds before the damage, unit in seconds, reference.
fn special_rows() -> Vec<(&'static str, Rollout, u64, f64, &'static str)> {
    let damage = |after: u64, canary, baseline| Errors::Damage {
        after: after as i64,
        rates: [canary, baseline],
    };
    let tiny = |canary| Rollout {
        settings: JudgeSettings {
            errors: Some(Tolerance {
                ratio: 2.0,
                plus: 1e-5,
            }),
            ..errors_alone()
        },
        limit: 7200,
        ..Rollout::at(Scene::steady(1000.0, [canary, 1e-5]), 5.0)
    };
    let few = |canary| Rollout {
        limit: 6 * 3600,
        ..Rollout::at(Scene::steady(5.0 / 60.0, [canary, 0.01]), 10.0)
    };
    let sticky = |canary, broken| Rollout {
        limit: 4200,
        ..Rollout::at(
            Scene::new(60.0, damage(600, canary, 0.001)).with(Clients::users(broken, 0.5)),
            5.0,
        )
    };
    let slow = |latency| Rollout {
        settings: with_latency(),
        ..Rollout::at(Scene::of_latency(100.0, latency), 5.0)
    };
    let slower = |slower| {
        slow(Latency {
            slower,
            ..Latency::EQUAL
        })
    };
    let stalled = |share, ms| {
        slow(Latency {
            stalled: (share, ms),
            ..Latency::EQUAL
        })
    };
    vec![
        (
            "v1 0.001 %, margin 2 × + 0.001 %, 1,000 a second, share 5 %: v2 0.1 %",
            tiny(0.001),
            0,
            1.0,
            "129/237",
        ),
        ("the same: v2 1 %", tiny(0.01), 0, 1.0, "15/25"),
        ("the same: v2 0.01 %", tiny(0.0001), 0, 1.0, "3737/–"),
        (
            "5 requests a minute, share 10 %, v1 1 %: v2 100 %, in minutes",
            few(1.0),
            0,
            60.0,
            "15/26",
        ),
        ("the same: v2 50 %, in minutes", few(0.5), 0, 60.0, "35/62"),
        ("the same: v2 20 %, in minutes", few(0.2), 0, 60.0, "105/185"),
        (
            "600 sticky users, 60 a second, 5 %, after 10 minutes: v2 100 %",
            sticky(1.0, 0.0),
            600,
            1.0,
            "12/17",
        ),
        ("the same: v2 20 %", sticky(0.2, 0.0), 600, 1.0, "40/76"),
        ("the same: v2 5 %", sticky(0.05, 0.0), 600, 1.0, "228/446"),
        (
            "2 % of the users fail 50 %, after 10 minutes: v2 100 %",
            sticky(1.0, 0.02),
            600,
            1.0,
            "31/157",
        ),
        ("the same: v2 20 %", sticky(0.2, 0.02), 600, 1.0, "380/–"),
        ("the same: v2 5 %", sticky(0.05, 0.02), 600, 1.0, "not seen"),
        (
            "latency, 100 a second, share 5 %: all × 2",
            slower(2.0),
            0,
            1.0,
            "12/20",
        ),
        ("all × 1.5", slower(1.5), 0, 1.0, "69/127"),
        ("all × 1.3", slower(1.3), 0, 1.0, "held"),
        ("5 % take 200 ms longer", stalled(0.05, 200.0), 0, 1.0, "55/111"),
        ("2 % take 1 s longer", stalled(0.02, 1000.0), 0, 1.0, "414/912"),
    ]
}

fn special_detection(report: &mut Report) {
    report.table(
        "Tiny rates, little traffic, sticky users, latencies",
        "As above, in seconds unless said otherwise; with the requests of the canary in the median rollout that was rolled \
         back, from the beginning of the step.",
        &["damage", "median/95th percentile", "rolled back", "requests"],
    );
    for (name, rollout, after, unit, reference) in special_rows() {
        let all = outcomes(200, |seed| rollout.run(seed));
        let found = found_after(&all, after);
        let in_units: Vec<_> = found
            .iter()
            .map(|value| value.map(|value| value / unit))
            .collect();
        let requests: Vec<_> = all
            .iter()
            .filter(|outcome| outcome.end == End::RolledBack)
            .map(|outcome| Some(outcome.requests))
            .collect();
        let [requests, _] = quantiles(&requests);
        report.row(&[
            name.to_owned(),
            beside(&quantiles_text(&in_units), reference),
            percentage(found.iter().flatten().count(), found.len()),
            requests.map_or_else(|| "–".to_owned(), words::count),
        ]);
    }
    report.end();
}

fn whole_rollouts(report: &mut Report) {
    let rows = [
        (1.0, ["9 in 9 s", "3,000 in 300 s", "54,000 in 1,500 s"]),
        (0.2, ["7 in 33 s", "601", "10,800"]),
        (0.05, ["9 in 164 s", "149", "5,920; promoted 53 %"]),
        (0.02, ["19 in 865 s", "62", "2,397; promoted 100 %"]),
        (
            0.01,
            [
                "67; rolled back 36 %, promoted 0",
                "125; promoted 48 %",
                "promoted 100 %",
            ],
        ),
        (
            0.001,
            [
                "promoted 100 % in 1,260 s",
                "promoted in 300 s",
                "promoted in 2,400 s",
            ],
        ),
    ];
    report.table(
        "Whole rollouts",
        "100 requests a second, v1 fails at 0.1 %, of which 0.65 % are tolerated. Requests that v2 fails until the rollout \
         ends, and its seconds: medians of 200 rollouts of two hours at most, with the shares that are rolled back and \
         promoted. Waypost goes by 1, 5, 25, 50 and 75 %, with its default conditions; Flagger by 10 to 50 %, a minute \
         each; Argo Rollouts by 20 to 80 %, ten minutes each.",
        &["v2 fails", "Waypost", "Flagger", "Argo Rollouts"],
    );
    for (rate, reference) in rows {
        let scene = Scene::steady(100.0, [rate, 0.001]);
        let rollout = Rollout {
            settings: JudgeSettings {
                warmup: 30,
                ..errors_alone()
            },
            drive: Drive::Ramp,
            limit: 7200,
            ..Rollout::new(scene.clone())
        };
        let all = [
            outcomes(200, |seed| rollout.run(seed)),
            outcomes(200, |seed| flagger_rollout(&scene, seed)),
            outcomes(200, |seed| argo_rollout(&scene, seed)),
        ];
        let mut cells = vec![format!("{:.1} %", rate * 100.0).replace(".0 %", " %")];
        for (outcomes, reference) in all.iter().zip(reference) {
            let median = |value: &dyn Fn(&Outcome) -> f64| {
                let values: Vec<_> = outcomes.iter().map(|outcome| Some(value(outcome))).collect();
                let [median, _] = quantiles(&values);
                words::count(median.unwrap_or_default())
            };
            let ended = |end| percentage(count(outcomes, |outcome| outcome.end == end), outcomes.len());
            let text = format!(
                "{} in {} s; rolled back {}, promoted {}",
                median(&|outcome| outcome.failed),
                median(&|outcome| outcome.seconds as f64),
                ended(End::RolledBack),
                ended(End::Promoted),
            );
            cells.push(format!("{text} ({reference})"));
        }
        report.row(&cells);
    }
    report.end();
}

/// The canary's requests until the proof of its only step was complete.
fn proved_after(outcomes: &[Outcome]) -> Vec<Option<f64>> {
    outcomes
        .iter()
        .map(|outcome| (outcome.end == End::Promoted).then_some(outcome.requests))
        .collect()
}

fn promotions(report: &mut Report) {
    let rows = [
        ("0 → 0", [0.0, 0.0], ["912/926", "988/1,013"]),
        ("0.1 → 0.1 %", [0.001, 0.001], ["1,000/2,100", "1,200/2,500"]),
        ("1 → 1 %", [0.01, 0.01], ["1,200/3,250", "3,165/7,000"]),
        ("1 → 0.5 %", [0.005, 0.01], ["590/1,100", "1,160/2,460"]),
        ("5 → 5 %", [0.05, 0.05], ["720/1,560", "2,120/4,500"]),
    ];
    report.table(
        "Requests until a good version is proved",
        "Requests of the canary until a step's proof is complete, median/95th percentile of 300 rollouts of one step, at 100 \
         requests a second.",
        &["v1 → v2", "share 5 %", "share 50 %"],
    );
    for (name, rates, reference) in rows {
        let cells = [5.0, 50.0].into_iter().zip(reference).map(|(share, reference)| {
            let rollout = Rollout::proof_at(Scene::steady(100.0, rates), share);
            let proved = proved_after(&outcomes(300, |seed| rollout.run(seed)));
            beside(&quantiles_text(&proved), reference)
        });
        let cells: Vec<String> = std::iter::once(name.to_owned()).chain(cells).collect();
        report.row(&cells);
    }
    let latencies = [
        ("latencies alike: p50", 0, 0.2, "330"),
        ("p90", 1, 0.2, "410"),
        ("p99", 2, 0.5, "515/1,090"),
    ];
    for (name, place, margin, reference) in latencies {
        let mut settings = JudgeSettings {
            errors: None,
            latency: [None; 3],
            ..with_latency()
        };
        settings.latency[place] = Some(margin);
        let rollout = Rollout {
            settings,
            ..Rollout::proof_at(Scene::of_latency(100.0, Latency::EQUAL), 5.0)
        };
        let proved = proved_after(&outcomes(300, |seed| rollout.run(seed)));
        report.row(&[
            name.to_owned(),
            beside(&quantiles_text(&proved), reference),
            String::new(),
        ]);
    }
    report.end();
}

fn false_promotions(report: &mut Report) {
    let rows = [
        ("0 → 0.5 % (at the margin)", [0.005, 0.0], "2.9 %"),
        ("0.1 → 0.65 % (at the margin)", [0.0065, 0.001], "3.0 %"),
        ("1 → 2 % (at the margin)", [0.02, 0.01], "2.0 %"),
        ("5 → 8 % (at the margin)", [0.08, 0.05], "1.5 %"),
        ("1 → 3 %", [0.03, 0.01], "0"),
        ("0.1 → 1.3 %", [0.013, 0.001], "0"),
    ];
    report.table(
        "False promotions",
        "Steps of a version that is not tolerated, of which this share is promoted within an hour; 2,000 rollouts of one step, \
         at 100 requests a second. At most 5 % are allowed.",
        &["v1 → v2", "share 1 %", "share 5 %", "share 50 %", "reference"],
    );
    for (name, rates, reference) in rows {
        let mut cells = vec![name.to_owned()];
        for share in [1.0, 5.0, 50.0] {
            let rollout = Rollout::proof_at(Scene::steady(100.0, rates), share);
            let found = outcomes(2000, |seed| rollout.run(seed));
            let promoted = count(&found, |outcome| outcome.end == End::Promoted);
            cells.push(percentage(promoted, found.len()));
        }
        cells.push(reference.to_owned());
        report.row(&cells);
    }
    report.end();
}

/// The time that a judged second takes: one sticky route with all metrics.
fn cost(report: &mut Report) {
    const SECONDS: usize = 64;
    const ROUNDS: usize = 500;
    let scene = Scene {
        latency: Some(Latency::EQUAL),
        ..Scene::steady(200.0, [0.001; 2]).with(Clients::users(0.02, 0.5))
    };
    let mut traffic = Traffic::new(&scene, 1);
    let seconds: Vec<Counts> = (0..SECONDS).map(|_| traffic.second(0.05).clone()).collect();
    let mut judge = Judge::new(JudgeSettings::default(), 1, 4, true, bounds());
    for counts in &seconds {
        judge.learn(&[counts.route()]);
    }
    judge.begin_step(ProofScope::Step, true);
    let mut micros: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            for counts in &seconds {
                judge.add(black_box(&[counts.route()]));
                black_box(judge.evidence());
            }
            begin.elapsed().as_secs_f64() * 1e6 / SECONDS as f64
        })
        .collect();
    micros.sort_unstable_by(f64::total_cmp);
    report.table(
        "Cost",
        "CPU time of one judged second of a sticky route with all six metrics and 320 buckets, on the machine of this run.",
        &["fastest round", "median"],
    );
    report.row(&[micros[0], micros[ROUNDS / 2]].map(|micros| format!("{micros:.1} µs")));
    report.end();
}
