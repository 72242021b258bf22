//! Simulated rollouts with fixed seeds.

use super::*;
use crate::words::{self, Names};

/// A small generator of random numbers (Marsaglia's xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn count(&mut self, n: u32, p: f64) -> f64 {
        (0..n).filter(|_| self.roll() < p).count() as f64
    }
}

/// Both versions of a service under simulated traffic.
#[derive(Clone, Copy)]
struct Traffic {
    /// Requests per second.
    rate: u32,
    /// The canary's share.
    share: f64,
    /// The rates of failures: the canary's, the baseline's.
    errors: [f64; 2],
    /// The factor on the canary's latencies.
    slower: f64,
}

/// Bounds of buckets an eighth apart, from 1 ms to some seconds.
fn bounds() -> Vec<f64> {
    (0..72).map(|at| 1.125_f64.powi(at)).collect()
}

/// Counts of one arm.
struct Counted {
    finished: f64,
    errors: f64,
    latencies: Vec<f64>,
}

impl Counted {
    fn arm(&self) -> ArmSecond<'_> {
        ArmSecond {
            finished: self.finished,
            errors: self.errors,
            latencies: &self.latencies,
            ..ArmSecond::default()
        }
    }
}

impl Traffic {
    fn arm(&self, dice: &mut Dice, is_canary: bool) -> Counted {
        let share = if is_canary { self.share } else { 1.0 - self.share };
        let finished = dice.count(self.rate, share);
        let errors = dice.count(finished as u32, self.errors[usize::from(!is_canary)]);
        let bounds = bounds();
        let mut latencies = vec![0.0; bounds.len()];
        for _ in 0..finished as u32 {
            // About log-normal with sigma 0.6, around 50 ms.
            let normal: f64 = (0..12).map(|_| dice.roll()).sum::<f64>() - 6.0;
            let slower = if is_canary { self.slower } else { 1.0 };
            let ms = 50.0 * (0.6 * normal).exp() * slower;
            let bucket = bounds
                .iter()
                .position(|bound| ms <= *bound)
                .unwrap_or(bounds.len() - 1);
            latencies[bucket] += 1.0;
        }
        Counted {
            finished,
            errors,
            latencies,
        }
    }

    fn second(&self, judge: &mut Judge, dice: &mut Dice) {
        let (canary, baseline) = (self.arm(dice, true), self.arm(dice, false));
        judge.add(&[RouteSecond {
            canary: canary.arm(),
            baseline: baseline.arm(),
            share: self.share,
            groups: None,
        }]);
    }
}

const HEALTHY: Traffic = Traffic {
    rate: 100,
    share: 0.05,
    errors: [0.001, 0.001],
    slower: 1.0,
};

/// A judge that has seen two minutes of the baseline, at the beginning of the first of five steps.
fn begun(settings: JudgeSettings, traffic: Traffic, dice: &mut Dice) -> Judge {
    let mut judge = Judge::new(settings, 1, 4, false, bounds());
    for _ in 0..120 {
        let baseline = traffic.arm(dice, false);
        judge.learn(&[RouteSecond {
            canary: ArmSecond::default(),
            baseline: baseline.arm(),
            share: 0.0,
            groups: None,
        }]);
    }
    judge.begin_step(ProofScope::Step, true);
    judge
}

fn errors_alone() -> JudgeSettings {
    JudgeSettings {
        client_errors: None,
        abandoned: None,
        latency: [None; 3],
        warmup: 0,
        ..JudgeSettings::default()
    }
}

/// The seconds until the canary is rolled back; `None` if it is not within `limit`.
fn seconds_until_rollback(settings: JudgeSettings, traffic: Traffic, seed: u64, limit: u64) -> Option<u64> {
    let mut dice = Dice(seed);
    let mut judge = begun(settings, traffic, &mut dice);
    (1..=limit).find(|_| {
        traffic.second(&mut judge, &mut dice);
        judge.evidence() >= judge.rollback_at()
    })
}

#[test]
fn good_versions_are_not_rolled_back() {
    for seed in 1..=60 {
        for errors in [0.0, 0.01, 0.3] {
            let traffic = Traffic {
                errors: [errors; 2],
                ..HEALTHY
            };
            let rolled_back = seconds_until_rollback(errors_alone(), traffic, seed, 400);
            assert_eq!(rolled_back, None, "{errors} with seed {seed}");
        }
    }
}

#[test]
fn damage_is_found_in_the_time_that_it_takes_to_see_it() {
    // Share of failures, share of traffic, and the 95th percentile of the simulation of reference, in seconds, at 100
    // requests a second. With errors alone, their weight is 1 here instead of 1/2.
    for (errors, share, within) in [(1.0, 0.05, 6), (1.0, 0.01, 14), (0.2, 0.05, 17), (0.051, 0.5, 18)] {
        let traffic = Traffic {
            errors: [errors, 0.001],
            share,
            ..HEALTHY
        };
        let mut seconds: Vec<u64> = (1..=40)
            .map(|seed| seconds_until_rollback(errors_alone(), traffic, seed, 600).unwrap_or(u64::MAX))
            .collect();
        seconds.sort_unstable();
        assert!(seconds[0] >= 5, "patience: {seconds:?}");
        assert!(seconds[36] <= within, "{errors} at {share}: {seconds:?}");
    }
}

#[test]
fn incident_in_both_arms_is_no_reason_to_roll_back() {
    for seed in 1..=20 {
        let mut dice = Dice(seed);
        let mut judge = begun(errors_alone(), HEALTHY, &mut dice);
        for second in 0..600 {
            let errors = if second % 200 < 60 { 0.5 } else { 0.001 };
            let traffic = Traffic {
                errors: [errors; 2],
                ..HEALTHY
            };
            traffic.second(&mut judge, &mut dice);
            assert!(
                judge.evidence() < judge.rollback_at(),
                "seed {seed}, second {second}"
            );
        }
    }
}

#[test]
fn slower_version_is_found_by_its_latency() {
    let traffic = Traffic {
        slower: 2.0,
        ..HEALTHY
    };
    for seed in 1..=10 {
        let mut dice = Dice(seed);
        let settings = JudgeSettings {
            warmup: 0,
            ..JudgeSettings::default()
        };
        let mut judge = begun(settings, traffic, &mut dice);
        let found = (1..=120).find(|_| {
            traffic.second(&mut judge, &mut dice);
            judge.evidence() >= judge.rollback_at()
        });
        let found = found.expect("twice as slow is found");
        assert!((5..60).contains(&found), "seed {seed}: {found}");
        let worst = judge.worst().unwrap();
        let MetricKind::Latency(quantile) = worst.kind else {
            panic!("{worst:?}");
        };
        let [canary, baseline] = judge.quantile_ms(quantile).map(Option::unwrap);
        assert!(
            (1.4..3.0).contains(&(canary / baseline)),
            "{canary} against {baseline}"
        );
        let bounds = worst.bounds.unwrap();
        assert!(
            bounds.canary >= bounds.baseline * (1.0 + bounds.margin),
            "{bounds:?}"
        );
        let names = Names {
            canary: "v2",
            baseline: "v1",
        };
        let tolerance = judge.tolerance(worst.kind).unwrap();
        let said = words::comparison(names, &worst, tolerance, judge.now());
        for part in [
            " of v2's requests (",
            ") took longer than ",
            " of v1's longer than ",
            "0 % worse",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }
}

#[test]
fn quantiles_are_those_of_the_step() {
    let mut judge = Judge::new(JudgeSettings::default(), 1, 2, false, vec![10.0, 20.0, 40.0]);
    let second = |canary: &'static [f64; 3], baseline: &'static [f64; 3]| {
        let arm = |latencies: &'static [f64; 3]| ArmSecond {
            finished: latencies.iter().sum(),
            latencies,
            ..ArmSecond::default()
        };
        RouteSecond {
            canary: arm(canary),
            baseline: arm(baseline),
            groups: None,
            share: 0.5,
        }
    };
    judge.begin_step(ProofScope::Step, true);
    assert_eq!(judge.quantile_ms(Quantile::P50), [None, None]);
    judge.add(&[second(&[6.0, 3.0, 1.0], &[0.0, 0.0, 1.0])]);
    let of = |judge: &Judge| Quantile::ALL.map(|quantile| judge.quantile_ms(quantile)[0].unwrap());
    assert_eq!(of(&judge), [5.0, 15.0, 30.0]);
    assert_eq!(judge.quantile_ms(Quantile::P50)[1], Some(30.0));
    judge.begin_step(ProofScope::Step, true);
    judge.add(&[second(&[0.0, 0.0, 1.0], &[0.0; 3])]);
    assert_eq!(of(&judge), [30.0; 3]);
    assert_eq!(judge.quantile_ms(Quantile::P50)[1], None);
}

#[test]
fn good_version_is_proved_after_some_thousand_requests_and_not_before() {
    for seed in 1..=5 {
        let traffic = Traffic { rate: 200, ..HEALTHY };
        let mut dice = Dice(seed);
        let mut judge = begun(JudgeSettings::default(), traffic, &mut dice);
        let proved = (1..=3600).find(|_| {
            traffic.second(&mut judge, &mut dice);
            judge.unproved().next().is_none()
        });
        let proved = proved.expect("it is proved");
        // Ten requests of the canary a second.
        assert!(proved > 60 && proved < 600, "seed {seed}: {proved}");
        assert!(judge.evidence() < 0.1 * judge.rollback_at());
    }
}

#[test]
fn bad_version_is_not_proved() {
    let traffic = Traffic {
        errors: [0.03, 0.001],
        ..HEALTHY
    };
    for seed in 1..=10 {
        let mut dice = Dice(seed);
        let mut judge = begun(errors_alone(), traffic, &mut dice);
        for _ in 0..600 {
            traffic.second(&mut judge, &mut dice);
            assert!(judge.unproved().next().is_some(), "seed {seed}");
        }
    }
}

#[test]
fn nothing_is_proved_without_requests() {
    let mut dice = Dice(1);
    let mut judge = begun(errors_alone(), HEALTHY, &mut dice);
    let idle = Traffic { rate: 0, ..HEALTHY };
    for _ in 0..3600 {
        idle.second(&mut judge, &mut dice);
    }
    assert!(judge.unproved().next().is_some());
    assert!(judge.evidence() < 1.0);
}

#[test]
fn sick_baseline_is_known() {
    let traffic = Traffic {
        errors: [0.3, 0.3],
        ..HEALTHY
    };
    let mut dice = Dice(7);
    let judge = begun(errors_alone(), traffic, &mut dice);
    assert!(judge.is_baseline_sick());
    assert!(!begun(errors_alone(), HEALTHY, &mut dice).is_baseline_sick());
}

#[test]
fn sick_baseline_is_known_by_an_absolute_limit_alone() {
    let settings = JudgeSettings {
        errors: None,
        errors_max: Some(0.5),
        ..errors_alone()
    };
    let traffic = Traffic {
        errors: [0.3, 0.3],
        ..HEALTHY
    };
    let mut dice = Dice(7);
    assert!(begun(settings, traffic, &mut dice).is_baseline_sick());
}

/// A route whose clients fail together: group 3 of the baseline fails always.
fn clustered(judge: &mut Judge, seconds: usize) {
    let mut groups = GroupSecond {
        finished: [6.0; GROUPS],
        ..GroupSecond::default()
    };
    groups.errors[3] = 6.0;
    let arm = |finished, errors| ArmSecond {
        finished,
        errors,
        ..ArmSecond::default()
    };
    for _ in 0..seconds {
        judge.add(&[RouteSecond {
            canary: arm(5.0, 0.0),
            baseline: arm(96.0, 6.0),
            groups: Some(&groups),
            share: 0.05,
        }]);
    }
}

#[test]
fn clients_that_fail_together_make_a_proof_take_longer() {
    let needed = |is_clustered| {
        let mut judge = Judge::new(errors_alone(), 1, 4, true, bounds());
        judge.begin_step(ProofScope::Step, true);
        match is_clustered {
            true => clustered(&mut judge, 60),
            false => judge.add(&[RouteSecond {
                canary: ArmSecond {
                    finished: 300.0,
                    ..ArmSecond::default()
                },
                baseline: ArmSecond {
                    finished: 5760.0,
                    errors: 360.0,
                    ..ArmSecond::default()
                },
                groups: None,
                share: 0.05,
            }]),
        }
        let finding = Finding {
            proof: 0.5,
            ..judge.findings().next().unwrap()
        };
        judge.requests_needed(&finding).unwrap()
    };
    // The counts are the same, but with all failures in one group of sixteen they tell nearly nothing.
    let ratio = needed(true) / needed(false);
    assert!(ratio > 100.0, "{ratio}");
}

#[test]
fn proof_carries_over_where_the_step_says_so() {
    let mut judge = Judge::new(errors_alone(), 1, 4, false, Vec::new());
    let proof = |judge: &Judge| judge.findings().next().unwrap().proof;
    judge.begin_step(ProofScope::Step, true);
    clustered(&mut judge, 60);
    let before = proof(&judge);
    assert!(before > 1.0, "{before}");
    judge.begin_step(ProofScope::Rollout, true);
    assert_eq!(proof(&judge), before);
    judge.begin_step(ProofScope::Step, true);
    assert_eq!(proof(&judge), 0.5);
}

#[test]
fn latency_is_not_judged_by_a_window_from_before_its_threshold_was_lost() {
    let settings = JudgeSettings {
        latency: [Some(0.2), None, None],
        ..errors_alone()
    };
    let mut judge = Judge::new(settings, 1, 4, false, vec![1.0, 2.0, 3.0, 4.0]);
    let count = |judge: &mut Judge, canary: &[f64], baseline: &[f64]| {
        let arm = |latencies| ArmSecond {
            latencies,
            ..ArmSecond::default()
        };
        judge.add(&[RouteSecond {
            canary: arm(canary),
            baseline: arm(baseline),
            groups: None,
            share: 0.05,
        }]);
    };
    judge.begin_step(ProofScope::Step, true);
    count(&mut judge, &[], &[30.0, 30.0, 0.0, 0.0]);
    // A window of the baseline alone is open; then the histogram fades below what a median needs.
    count(&mut judge, &[], &[0.0, 5.0, 0.0, 0.0]);
    for _ in 0..1000 {
        count(&mut judge, &[], &[0.0; 4]);
    }
    assert_eq!(judge.thresholds(0)[0], None);
    count(&mut judge, &[], &[30.0, 30.0, 0.0, 0.0]);
    count(&mut judge, &[0.0, 2.0, 0.0, 0.0], &[1.0, 0.0, 0.0, 0.0]);
    let latency = judge
        .findings()
        .find(|finding| matches!(finding.kind, MetricKind::Latency(_)))
        .unwrap();
    assert_eq!((latency.totals.canary, latency.totals.baseline), (2.0, 1.0));
}

#[test]
fn estimate_of_the_requests_needed_is_of_the_right_size() {
    let mut dice = Dice(3);
    let mut judge = begun(errors_alone(), HEALTHY, &mut dice);
    let clean = Traffic {
        errors: [0.0, 0.0],
        ..HEALTHY
    };
    for _ in 0..20 {
        clean.second(&mut judge, &mut dice);
    }
    let finding = judge.findings().next().unwrap();
    let needed = judge.requests_needed(&finding).unwrap();
    // Without errors, 4.7 / 0.005 requests prove it; about a hundred have come.
    assert!((500.0..1200.0).contains(&needed), "{needed}");
    let failing = Traffic {
        errors: [0.5, 0.0],
        ..HEALTHY
    };
    for _ in 0..20 {
        failing.second(&mut judge, &mut dice);
    }
    assert_eq!(judge.requests_needed(&finding), None);
}

#[test]
fn latency_says_how_much_it_needs() {
    let settings = JudgeSettings {
        errors: None,
        client_errors: None,
        abandoned: None,
        latency: [None, None, Some(0.5)],
        warmup: 0,
        ..JudgeSettings::default()
    };
    let kind = MetricKind::Latency(Quantile::P99);
    let (mut judge, mut dice) = (Judge::new(settings, 1, 4, false, bounds()), Dice(5));
    judge.begin_step(ProofScope::Step, true);
    // The baseline has 95 requests a second.
    let mut seconds = 0;
    while judge.uncompared(kind).is_some() {
        HEALTHY.second(&mut judge, &mut dice);
        seconds += 1;
    }
    assert!(
        (20..25).contains(&seconds),
        "2,000 requests of the baseline: {seconds}"
    );
    for _ in 0..5 {
        HEALTHY.second(&mut judge, &mut dice);
    }
    let finding = judge.findings().next().unwrap();
    let needed = judge.requests_needed(&finding).unwrap();
    // About 515 in all (judge.md, section 11).
    assert!((100.0..1000.0).contains(&needed), "{needed}");
}

#[test]
fn absolute_limit_holds_whatever_the_baseline_does() {
    let settings = JudgeSettings {
        errors: None,
        errors_max: Some(0.05),
        ..errors_alone()
    };
    let traffic = Traffic {
        errors: [0.5, 0.5],
        share: 0.5,
        ..HEALTHY
    };
    assert!(seconds_until_rollback(settings.clone(), traffic, 1, 60).is_some());
    assert_eq!(seconds_until_rollback(settings, HEALTHY, 1, 300), None);
}

#[test]
fn routes_are_strata_of_one_judgement() {
    // Route 0 gets nearly all of the canary and fails often, in both arms. Summed up, the canary would look bad.
    let mut dice = Dice(11);
    let mut judge = Judge::new(errors_alone(), 2, 4, false, bounds());
    judge.begin_step(ProofScope::Step, true);
    for second in 0..600 {
        let arm = |dice: &mut Dice, n: u32, p: f64| {
            let finished = f64::from(n);
            ArmSecond {
                finished,
                errors: dice.count(n, p),
                ..ArmSecond::default()
            }
        };
        let routes = [(45, 45, 0.2), (1, 99, 0.001)].map(|(canary, baseline, p)| RouteSecond {
            canary: arm(&mut dice, canary, p),
            baseline: arm(&mut dice, baseline, p),
            share: 0.5,
            groups: None,
        });
        judge.add(&routes);
        assert!(judge.evidence() < judge.rollback_at(), "second {second}");
    }
}

#[test]
fn stored_numbers_restore_the_evidence() {
    let traffic = Traffic {
        errors: [0.02, 0.001],
        ..HEALTHY
    };
    let mut dice = Dice(5);
    let settings = JudgeSettings {
        warmup: 0,
        ..JudgeSettings::default()
    };
    let mut judge = begun(settings.clone(), traffic, &mut dice);
    for _ in 0..40 {
        traffic.second(&mut judge, &mut dice);
    }
    let mut again = Judge::new(settings, 1, 4, false, bounds());
    assert!(
        !again.set_numbers(&judge.numbers()[1..]),
        "numbers of another judge"
    );
    assert!(again.set_numbers(&judge.numbers()));
    assert_eq!(again.numbers(), judge.numbers());
    // The bounds of slow responses are found anew with the next second.
    let evidence = |judge: &Judge| -> Vec<Finding> {
        let findings = judge.findings();
        findings
            .map(|finding| Finding {
                bounds: None,
                ..finding
            })
            .collect()
    };
    assert_eq!(evidence(&again), evidence(&judge));
    // Both go on alike, but for windows that were open.
    let mut same = Dice(dice.0);
    for _ in 0..40 {
        traffic.second(&mut judge, &mut dice);
        traffic.second(&mut again, &mut same);
    }
    let (one, other) = (judge.evidence(), again.evidence());
    assert!((one - other).abs() <= 0.2 * one.max(other), "{one} and {other}");
}

#[test]
fn knowledge_of_the_baseline_is_inherited_and_evidence_is_not() {
    let mut dice = Dice(2);
    let mut learner = Judge::new(JudgeSettings::default(), 1, 4, false, bounds());
    let sick = Traffic {
        errors: [0.3, 0.3],
        ..HEALTHY
    };
    for _ in 0..300 {
        let baseline = sick.arm(&mut dice, false);
        learner.learn(&[RouteSecond {
            canary: ArmSecond::default(),
            baseline: baseline.arm(),
            share: 0.0,
            groups: None,
        }]);
    }
    let mut judge = Judge::new(JudgeSettings::default(), 1, 2, false, bounds());
    judge.inherit(&learner);
    assert!(judge.is_baseline_sick());
    assert_eq!(judge.evidence(), 0.0);
}
