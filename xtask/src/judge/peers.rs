//! The rules of other programs, as their documentation shows them.
//!
//! Flagger: a success rate of 99 % in each minute; the fifth failed check rolls back, and a check without traffic fails.
//! Argo Rollouts: a success rate of 95 % over five minutes, measured each five minutes; the fourth failure rolls back.
//! Kayenta: Mann and Whitney's test on the error rates of minutes, judged each ten minutes over all minutes so far.

use crate::judge::rollouts::{End, Outcome};
use crate::judge::traffic::{Counts, LEARNED, Scene, Traffic};

/// Seconds between two checks of Flagger, and its failed checks that roll back.
const FLAGGER_INTERVAL: u64 = 60;
const FLAGGER_THRESHOLD: u32 = 5;
const FLAGGER_SUCCESS: f64 = 0.99;
/// Seconds between two measurements of Argo Rollouts, and the failed ones that are tolerated.
const ARGO_INTERVAL: u64 = 300;
const ARGO_FAILURE_LIMIT: u32 = 3;
const ARGO_SUCCESS: f64 = 0.95;
/// Minutes between two judgements of Kayenta.
const KAYENTA_INTERVAL: u64 = 10;
/// The two-sided interval of 98 %, and the effect that is tolerated.
const KAYENTA_DEVIATIONS: f64 = 2.326_35;
const KAYENTA_TOLERANCE: f64 = 0.25;

/// Requests and failures.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    all: f64,
    bad: f64,
}

impl Sum {
    fn add(&mut self, all: f64, bad: f64) {
        self.all += all;
        self.bad += bad;
    }

    /// The share of successes; `None` without requests.
    fn success(self) -> Option<f64> {
        (self.all > 0.0).then(|| 1.0 - self.bad / self.all)
    }
}

/// Flagger's check of a canary.
#[derive(Debug, Default)]
pub(crate) struct Flagger {
    age: u64,
    minute: Sum,
    failed: u32,
}

/// Argo Rollouts' analysis of a canary.
#[derive(Debug, Default)]
pub(crate) struct Argo {
    age: u64,
    seconds: Sum,
    failed: u32,
}

/// Kayenta's judgement of a canary.
#[derive(Debug, Default)]
pub(crate) struct Kayenta {
    age: u64,
    minute: [Sum; 2],
    /// Error rates by minute: the canary's, the baseline's.
    rates: [Vec<f64>; 2],
    is_failed: bool,
}

/// All three, over the same traffic.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    flagger: Flagger,
    argo: Argo,
    kayenta: Kayenta,
    age: u64,
    /// The seconds after which each rolled back.
    pub(crate) rolled_back: [Option<u64>; 3],
}

impl Flagger {
    /// Counts a second. Returns true if it ends with a check that passes, false if with one that fails.
    fn second(&mut self, counts: &Counts) -> Option<bool> {
        let canary = &counts.arms[0];
        self.minute.add(canary.finished, canary.errors);
        self.age += 1;
        if !self.age.is_multiple_of(FLAGGER_INTERVAL) {
            return None;
        }
        let passes = std::mem::take(&mut self.minute)
            .success()
            .is_some_and(|success| success >= FLAGGER_SUCCESS);
        self.failed += u32::from(!passes);
        Some(passes)
    }

    fn rolls_back(&self) -> bool {
        self.failed >= FLAGGER_THRESHOLD
    }
}

impl Argo {
    /// Counts a second; `measures` is false for one before the analysis.
    fn second(&mut self, counts: &Counts, measures: bool) {
        let canary = &counts.arms[0];
        self.seconds.add(canary.finished, canary.errors);
        self.age += 1;
        if self.age.is_multiple_of(ARGO_INTERVAL) {
            let success = std::mem::take(&mut self.seconds).success();
            let fails = success.is_some_and(|success| success < ARGO_SUCCESS);
            self.failed += u32::from(fails && measures);
        }
    }

    fn rolls_back(&self) -> bool {
        self.failed > ARGO_FAILURE_LIMIT
    }
}

impl Kayenta {
    fn second(&mut self, counts: &Counts) {
        for (sum, arm) in self.minute.iter_mut().zip(&counts.arms) {
            sum.add(arm.finished, arm.errors);
        }
        self.age += 1;
        if !self.age.is_multiple_of(60) {
            return;
        }
        for (sum, rates) in self.minute.iter_mut().zip(&mut self.rates) {
            let success = std::mem::take(sum).success();
            rates.extend(success.map(|success| 1.0 - success));
        }
        if self.age.is_multiple_of(60 * KAYENTA_INTERVAL) {
            self.is_failed |= is_high(&self.rates);
        }
    }
}

impl Peers {
    pub(crate) fn second(&mut self, counts: &Counts) {
        self.age += 1;
        self.flagger.second(counts);
        self.argo.second(counts, true);
        // Its test over all minutes is the dearest of all.
        if self.rolled_back[2].is_none() {
            self.kayenta.second(counts);
        }
        let verdicts = [
            self.flagger.rolls_back(),
            self.argo.rolls_back(),
            self.kayenta.is_failed,
        ];
        for (known, verdict) in self.rolled_back.iter_mut().zip(verdicts) {
            if verdict {
                known.get_or_insert(self.age);
            }
        }
    }

    pub(crate) fn have_all_rolled_back(&self) -> bool {
        self.rolled_back.iter().all(Option::is_some)
    }
}

/// Kayenta's classification `High`: the lower end of the interval of Hodges and Lehmann's difference is above a part of
/// their estimate.
fn is_high([canary, baseline]: &[Vec<f64>; 2]) -> bool {
    let (n, m) = (canary.len() as f64, baseline.len() as f64);
    let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
    let rank = (n * m / 2.0 - KAYENTA_DEVIATIONS * deviation).round();
    if rank < 1.0 {
        return false;
    }
    let mut differences: Vec<f64> = canary
        .iter()
        .flat_map(|canary| baseline.iter().map(move |baseline| canary - baseline))
        .collect();
    let middle = differences.len() / 2;
    let estimate = *differences.select_nth_unstable_by(middle, f64::total_cmp).1;
    let lower = *differences
        .select_nth_unstable_by(rank as usize - 1, f64::total_cmp)
        .1;
    lower > KAYENTA_TOLERANCE * estimate.abs()
}

/// A rollout by Flagger: 10 % more after each check that passes, up to 50 %.
pub(crate) fn flagger_rollout(scene: &Scene, seed: u64) -> Outcome {
    let mut flagger = Flagger::default();
    let mut share = 0.1;
    by_rule(scene, seed, |counts| {
        if counts.and_then(|counts| flagger.second(counts)) == Some(true) {
            share += 0.1;
        }
        let end = if flagger.rolls_back() {
            Some(End::RolledBack)
        } else {
            (share > 0.55).then_some(End::Promoted)
        };
        (share, end)
    })
}

/// A rollout by Argo Rollouts: 20 % more each ten minutes, with an analysis that starts at the second step.
pub(crate) fn argo_rollout(scene: &Scene, seed: u64) -> Outcome {
    const STEP: u64 = 600;
    let mut argo = Argo::default();
    let mut age = 0;
    by_rule(scene, seed, |counts| {
        if let Some(counts) = counts {
            age += 1;
            argo.second(counts, age >= STEP);
        }
        let end = if argo.rolls_back() {
            Some(End::RolledBack)
        } else {
            (age >= 4 * STEP).then_some(End::Promoted)
        };
        (0.2 * (age / STEP + 1) as f64, end)
    })
}

/// A rollout whose share follows from the counts of the seconds before; `rule` is first called without any.
fn by_rule(scene: &Scene, seed: u64, mut rule: impl FnMut(Option<&Counts>) -> (f64, Option<End>)) -> Outcome {
    let mut traffic = Traffic::new(scene, seed);
    for _ in 0..LEARNED {
        traffic.second(0.0);
    }
    let mut outcome = Outcome::default();
    let (mut share, _) = rule(None);
    loop {
        let counts = traffic.second(share);
        outcome.count(counts);
        let (next, end) = rule(Some(counts));
        share = next;
        if let Some(end) = end {
            return Outcome { end, ..outcome };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::traffic::Errors;

    fn failing(rate: f64) -> Scene {
        Scene::new(100.0, Errors::Steady([rate, 0.001]))
    }

    /// The seconds after which Flagger, Argo Rollouts and Kayenta roll back a canary at a fixed share.
    fn seconds(scene: &Scene, share: f64) -> [Option<u64>; 3] {
        let mut traffic = Traffic::new(scene, 1);
        let mut peers = Peers::default();
        for _ in 0..3600 {
            peers.second(traffic.second(share));
        }
        peers.rolled_back
    }

    #[test]
    fn damage_is_found_after_the_documented_number_of_checks() {
        assert_eq!(seconds(&failing(1.0), 0.05), [Some(300), Some(1200), Some(600)]);
        assert_eq!(seconds(&failing(0.001), 0.05), [None; 3]);
    }

    #[test]
    fn minutes_without_traffic_fail_for_flagger_alone() {
        let idle = Scene::new(0.0, Errors::Steady([0.0; 2]));
        assert_eq!(seconds(&idle, 0.05), [Some(300), None, None]);
    }

    #[test]
    fn documented_rollouts_take_their_time() {
        let flagger = flagger_rollout(&failing(1.0), 1);
        assert_eq!((flagger.end, flagger.seconds), (End::RolledBack, 300));
        assert!((2700.0..3300.0).contains(&flagger.failed), "{flagger:?}");
        let argo = argo_rollout(&failing(1.0), 1);
        assert_eq!((argo.end, argo.seconds), (End::RolledBack, 1500));
        assert!((53_000.0..55_000.0).contains(&argo.failed), "{argo:?}");
        assert_eq!(flagger_rollout(&failing(0.0), 1).seconds, 300);
        assert_eq!(argo_rollout(&failing(0.0), 1).end, End::Promoted);
    }
}
