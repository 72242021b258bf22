//! One metric of a rollout: its counts, second by second, and the evidence from them.
//!
//! Time comes in as calls: one a second. Everything that a bet depends on, but for the numbers of requests, is known before
//! its window is counted, also where little traffic makes the window last for many seconds.

use crate::evidence::betting::{Tolerance, Window, ln_factor};
use crate::evidence::clusters::{Clusters, Groups};
use crate::evidence::process::{ALTERNATIVES, Wealth, ln_add, ln_stake};

/// Odds ratios that are bet on against the canary.
const WORSE: [f64; ALTERNATIVES] = [1.5, 2.5, 5.0, 12.0];
/// Odds ratios that are bet on for the canary.
pub(crate) const FINE: [f64; ALTERNATIVES] = [0.1, 0.35, 0.65, 0.85];
/// Half-life of the baseline's rate, in seconds.
const RATE_HALF_LIFE: f64 = 60.0;
/// Seconds after which a window that cannot be compared is given up.
const AGE_MAX: u32 = 300;

/// The settings of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricSettings {
    /// The tolerated rate.
    pub tolerance: Tolerance,
    /// The part of the error budget `alpha` that this metric may use, 0 to 1.
    pub weight: f64,
    /// The greatest factor of one window against the canary, as a logarithm.
    pub cap_against: f64,
    /// The greatest factor of one window for the canary, as a logarithm.
    pub cap_proof: f64,
    /// The cluster factor without data: 1, or 2 for sticky clients.
    pub clusters_prior: f64,
    /// The number of steps that are judged: those below 100 %.
    pub steps: f64,
}

/// The stretch of a rollout that a proof is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofScope {
    /// Each step begins without a proof.
    Step,
    /// A proof carries over.
    Rollout,
}

/// The counts of one route in one second, with what is known about them beforehand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Second {
    /// The counts.
    pub counts: Window,
    /// The baseline's counts by group; all zero for routes that are not sticky.
    pub groups: Groups,
    /// The live share of the canary, 0 to 1.
    pub share: f64,
    /// The baseline's rate, where it is known from elsewhere than these counts: the share of slow requests, and the
    /// number of requests it is taken from.
    pub known_rate: Option<(f64, f64)>,
    /// The least that is tolerated on top of the baseline's rate at the moment.
    pub floor: f64,
    /// The sides that are bet on: all but that for the canary while it warms up.
    pub sides: Sides,
}

/// The sides of the evidence that a window counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sides {
    /// Evidence that the canary is worse than tolerated.
    pub against: bool,
    /// Evidence that it is not.
    pub proof: bool,
}

/// The running window and the past of one metric on one route.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stratum {
    /// The window that is open.
    open: Window,
    /// Seconds since it was opened.
    age: u32,
    /// The terms of the bet on it; `None` while it is empty.
    terms: Option<Terms>,
    /// The baseline's recent bad requests and requests.
    recent: (f64, f64),
    clusters: Clusters,
    /// The allowance for unlike clients in the last bet.
    allowance: f64,
}

/// The terms of a bet, fixed before the first request of its window is counted.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Terms {
    /// The baseline's rate, as guessed.
    theta: f64,
    /// The cluster factor, by which evidence is divided.
    factor: f64,
    /// The rate that is tolerated on top by a proof.
    proof_plus: f64,
    /// The rate that is tolerated on top by the evidence against the canary.
    against_plus: f64,
    sides: Sides,
}

/// The evidence of one metric, over all routes of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Evidence {
    /// Evidence that the canary is worse than tolerated.
    pub against: Wealth,
    /// Evidence that it is not.
    pub proof: Wealth,
    /// Bets in this step.
    bets: u32,
    /// Bets since the proof began.
    proof_bets: u32,
    /// The counts since the rollout began, but for open windows.
    totals: Window,
    /// Of these, the counts before this step.
    totals_before: Window,
    /// For each account of `against`, the stake that makes up most of it: its present worth, as a logarithm, and when it
    /// was put in. Each stake has grown by the same bets since, so the greatest is followed with one number.
    leading: Wealth,
    since: [Mark; ALTERNATIVES],
}

/// A moment, and the counts up to it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Mark {
    /// Seconds since the rollout began.
    pub at: u64,
    /// The counts before it.
    pub totals: Window,
}

/// The guess of a rate that is known from so many requests.
pub(crate) fn known_rate((rate, requests): (f64, f64)) -> f64 {
    (rate * requests + 0.1) / (requests + 10.0)
}

impl MetricSettings {
    /// The cap of a window's factor such that at least `patience` windows are needed for evidence of `bound`, both for this
    /// part of it: `ln(bound) / patience`.
    pub fn cap(bound: f64, patience: f64) -> f64 {
        bound.ln() / patience
    }
}

impl Stratum {
    /// All numbers, for storage, but for those of the open window.
    pub(crate) fn visit(&mut self, visit: &mut impl FnMut(&mut f64)) {
        visit(&mut self.recent.0);
        visit(&mut self.recent.1);
        self.clusters.visit(visit);
    }

    /// Counts a second before or outside of a rollout: the past is learned, nothing is bet.
    pub fn learn(&mut self, second: &Second) {
        self.open.add(&second.counts);
        self.age += 1;
        self.absorb();
        self.clusters.add(&second.groups);
    }

    /// The baseline's rate as guessed from its past.
    pub fn guess(&self) -> f64 {
        (self.recent.0 + 0.1) / (self.recent.1 + 10.0)
    }

    /// The cluster factor at present; see [`Clusters::factor`].
    pub fn cluster_factor(&self, settings: &MetricSettings) -> f64 {
        self.clusters.factor(settings.clusters_prior)
    }

    /// The rate by which the canary may be worse for who its clients are, as of the last bet.
    pub fn allowance(&self) -> f64 {
        self.allowance
    }

    /// Empties the open window: at the beginning of a step, and where seconds cannot be counted.
    pub fn reopen(&mut self) {
        self.open = Window::default();
        self.age = 0;
        self.terms = None;
    }

    /// The terms of a window that begins with `second`.
    fn terms_of(&self, settings: &MetricSettings, second: &Second) -> Terms {
        let theta = match second.known_rate {
            Some(rate) => known_rate(rate),
            None => self.guess(),
        };
        let factor = self.cluster_factor(settings);
        let proof_plus = settings.tolerance.plus.max(second.floor);
        Terms {
            theta,
            factor,
            proof_plus,
            against_plus: proof_plus + self.clusters.allowance(factor, second.share),
            sides: second.sides,
        }
    }

    /// Moves the open window into the past.
    fn absorb(&mut self) {
        let fading = (-f64::from(self.age) / RATE_HALF_LIFE).exp2();
        self.recent.0 = self.recent.0 * fading + self.open.baseline_bad;
        self.recent.1 = self.recent.1 * fading + self.open.baseline;
        self.reopen();
    }
}

impl Evidence {
    /// All numbers, for storage.
    pub(crate) fn visit(&mut self, visit: &mut impl FnMut(&mut f64)) {
        for wealth in [&mut self.against, &mut self.proof, &mut self.leading] {
            wealth.ln.iter_mut().for_each(&mut *visit);
        }
        for count in [&mut self.bets, &mut self.proof_bets] {
            let mut number = f64::from(*count);
            visit(&mut number);
            *count = number as u32;
        }
        for mark in &mut self.since {
            let mut at = mark.at as f64;
            visit(&mut at);
            mark.at = at as u64;
        }
        let marks = self.since.iter_mut().map(|mark| &mut mark.totals);
        for window in marks.chain([&mut self.totals, &mut self.totals_before]) {
            visit(&mut window.canary);
            visit(&mut window.canary_bad);
            visit(&mut window.baseline);
            visit(&mut window.baseline_bad);
        }
    }

    /// Begins a step. `is_planned` is false for one that was added or repeated by hand: it gets no stake of its own, as all
    /// stakes of a rollout sum to 1.
    pub fn begin_step(
        &mut self,
        settings: &MetricSettings,
        strata: &mut [Stratum],
        scope: ProofScope,
        is_planned: bool,
        now: u64,
    ) {
        strata.iter_mut().for_each(Stratum::reopen);
        self.totals_before = self.totals;
        let is_first = self.proof == Wealth::default();
        if scope == ProofScope::Step || is_first {
            self.proof = Wealth {
                ln: [0.5_f64.ln(); ALTERNATIVES],
            };
            self.proof_bets = 0;
        }
        if is_planned {
            self.bets = 0;
            self.put_stake((0.5 / settings.steps).ln(), now);
        }
    }

    /// Counts a second of one route.
    pub fn add(&mut self, settings: &MetricSettings, stratum: &mut Stratum, second: &Second, now: u64) {
        let terms = stratum
            .terms
            .unwrap_or_else(|| stratum.terms_of(settings, second));
        stratum.terms = Some(terms);
        stratum.open.add(&second.counts);
        stratum.age += 1;
        let closes = stratum.open.is_comparable();
        if closes {
            stratum.allowance = terms.against_plus - terms.proof_plus;
            self.bet(settings, &terms, &stratum.open, now);
            self.totals.add(&stratum.open);
        }
        if closes || stratum.age >= AGE_MAX {
            stratum.absorb();
        }
        stratum.clusters.add(&second.groups);
    }

    /// Bets on a window.
    fn bet(&mut self, settings: &MetricSettings, terms: &Terms, window: &Window, now: u64) {
        let gain = |rho, plus, cap: f64| {
            let tolerance = Tolerance {
                plus,
                ..settings.tolerance
            };
            (ln_factor(window, terms.theta, rho, tolerance) / terms.factor).min(cap)
        };
        if terms.sides.against {
            self.put_stake(ln_stake(self.bets) - settings.steps.ln(), now);
            self.bets += 1;
            let accounts = self.against.ln.iter_mut().zip(&mut self.leading.ln);
            for ((ln, leading), rho) in accounts.zip(WORSE) {
                let gain = gain(rho, terms.against_plus, settings.cap_against);
                *ln += gain;
                *leading += gain;
            }
        }
        if terms.sides.proof {
            let stake = ln_stake(self.proof_bets);
            self.proof_bets += 1;
            for (ln, rho) in self.proof.ln.iter_mut().zip(FINE) {
                *ln = gain(rho, terms.proof_plus, settings.cap_proof) + ln_add(*ln, stake);
            }
        }
    }

    /// Adds a stake to every account against the canary.
    fn put_stake(&mut self, stake: f64, now: u64) {
        let mark = Mark {
            at: now,
            totals: self.totals,
        };
        for ln in &mut self.against.ln {
            *ln = ln_add(*ln, stake);
        }
        for (leading, since) in self.leading.ln.iter_mut().zip(&mut self.since) {
            if stake > *leading {
                *leading = stake;
                *since = mark;
            }
        }
    }

    /// The counts since the rollout began, but for open windows.
    pub fn totals(&self) -> Window {
        self.totals
    }

    /// The counts of this step, but for open windows.
    pub fn step_totals(&self) -> Window {
        self.totals.since(&self.totals_before)
    }

    /// The requests of the baseline for each of the canary in this step; `None` before there are any.
    pub fn baseline_per_canary(&self) -> Option<f64> {
        let step = self.step_totals();
        (step.canary > 0.0).then(|| step.baseline / step.canary)
    }

    /// The beginning of the stretch that speaks against the canary most.
    pub fn since(&self) -> Mark {
        self.since[self.against.leader()]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evidence::clusters::GROUPS;

    const STEPS: f64 = 5.0;
    const ALPHA: f64 = 0.01;
    const BOTH: Sides = Sides {
        against: true,
        proof: true,
    };

    fn settings(weight: f64) -> MetricSettings {
        MetricSettings {
            tolerance: Tolerance {
                ratio: 1.5,
                plus: 0.005,
            },
            weight,
            cap_against: MetricSettings::cap(2.0 * STEPS / (ALPHA * weight), 5.0),
            cap_proof: MetricSettings::cap(2.0 / 0.05, 5.0),
            clusters_prior: 1.0,
            steps: STEPS,
        }
    }

    fn second(canary: f64, canary_bad: f64, baseline: f64, baseline_bad: f64) -> Second {
        Second {
            counts: Window {
                canary,
                canary_bad,
                baseline,
                baseline_bad,
            },
            groups: Groups::default(),
            share: 0.01,
            known_rate: None,
            floor: 0.0,
            sides: BOTH,
        }
    }

    fn begun(settings: &MetricSettings) -> (Evidence, Stratum) {
        let (mut evidence, mut stratum) = (Evidence::default(), Stratum::default());
        evidence.begin_step(
            settings,
            std::slice::from_mut(&mut stratum),
            ProofScope::Step,
            true,
            0,
        );
        (evidence, stratum)
    }

    #[test]
    fn evidence_of_a_rollout_equals_the_reference() {
        let settings = settings(0.5);
        assert!((settings.cap_against - 1.520_180_491_91).abs() < 1e-9);
        let (mut evidence, mut stratum) = begun(&settings);
        let seconds = [
            ([1, 0, 99, 0], 0.066_960_307_4),
            ([0, 0, 100, 1], 0.066_960_307_4),
            ([2, 1, 98, 0], 0.235_832_04),
            ([1, 1, 99, 0], 0.909_922_404),
            ([0, 0, 101, 0], 0.909_922_404),
            ([0, 0, 97, 0], 0.909_922_404),
            ([1, 1, 102, 1], 3.800_850_9),
            ([3, 3, 97, 0], 17.302_642_5),
            ([1, 1, 100, 0], 75.816_508_2),
            ([2, 2, 98, 1], 345.966_657),
        ];
        for (now, (counts, expected)) in (1..).zip(seconds) {
            let [canary, canary_bad, baseline, baseline_bad] = counts.map(f64::from);
            let second = second(canary, canary_bad, baseline, baseline_bad);
            evidence.add(&settings, &mut stratum, &second, now);
            let found = settings.weight * evidence.against.mean();
            let error: f64 = (found - expected) / expected;
            assert!(error.abs() < 1e-8, "second {now}: {found}, not {expected}");
        }
        let proof = evidence.proof.mean();
        assert!((proof - 0.061_265_395_9).abs() < 1e-9, "{proof}");
    }

    /// A canary that fails 100 of 1,000 in seven of ten seconds, against 1 of 1,000.
    #[test]
    fn damage_in_most_seconds_is_seen_after_five_windows() {
        let settings = settings(0.5);
        let (mut evidence, mut stratum) = begun(&settings);
        let mut found = 0.0;
        for now in 1..=5 {
            evidence.add(&settings, &mut stratum, &second(1000.0, 100.0, 1000.0, 1.0), now);
            found = settings.weight * evidence.against.mean();
        }
        assert!((found - 140.15).abs() < 0.01, "{found}");
    }

    #[test]
    fn second_without_requests_changes_nothing_but_the_age() {
        let settings = settings(0.5);
        let (mut evidence, mut stratum) = begun(&settings);
        evidence.add(&settings, &mut stratum, &second(5.0, 1.0, 95.0, 0.0), 1);
        let before = evidence;
        for now in 2..100 {
            evidence.add(&settings, &mut stratum, &second(0.0, 0.0, 0.0, 0.0), now);
        }
        assert_eq!(evidence, before);
    }

    proptest! {
        /// Until both arms have a request, seconds are one window: of any number of requests of the baseline, in whichever
        /// of the seconds before the canary's first, the evidence is the same.
        #[test]
        fn window_is_the_same_however_its_seconds_are_cut(
            past in prop::collection::vec((0_u32..20, 0_u32..3, 1_u32..200, 0_u32..5), 0..20),
            window in prop::collection::vec((0_u32..50, 0_u32..3, 0_usize..GROUPS), 1..20),
        ) {
            let settings = MetricSettings { clusters_prior: 2.0, ..settings(0.5) };
            let run = |seconds: &[(f64, f64, Groups)]| {
                let (mut evidence, mut stratum) = begun(&settings);
                for (at, (canary, canary_bad, baseline, bad)) in (1..).zip(&past) {
                    let [canary, canary_bad, baseline, bad] =
                        [*canary, *canary_bad.min(canary), *baseline, *bad.min(baseline)].map(f64::from);
                    evidence.add(&settings, &mut stratum, &second(canary, canary_bad, baseline, bad), at);
                }
                // The window that the past may have left open.
                evidence.add(&settings, &mut stratum, &second(1.0, 0.0, 1.0, 0.0), 50);
                for (at, (all, bad, groups)) in (51..).zip(seconds) {
                    let second = Second { groups: *groups, ..second(0.0, 0.0, *all, *bad) };
                    evidence.add(&settings, &mut stratum, &second, at);
                }
                evidence.add(&settings, &mut stratum, &second(3.0, 1.0, 1.0, 0.0), 100);
                (evidence.against, evidence.proof)
            };
            let cut: Vec<_> = window
                .iter()
                .map(|(all, bad, group)| {
                    let mut groups = Groups::default();
                    groups.all[*group] = f64::from(*all);
                    groups.bad[*group] = f64::from(*bad.min(all));
                    (f64::from(*all), f64::from(*bad.min(all)), groups)
                })
                .collect();
            let mut whole = vec![(0.0, 0.0, Groups::default()); cut.len()];
            whole[0] = cut.iter().fold((0.0, 0.0, Groups::default()), |sum, (all, bad, _)| {
                (sum.0 + all, sum.1 + bad, sum.2)
            });
            let mut backwards = cut.clone();
            backwards.reverse();
            let expected = run(&cut);
            prop_assert_eq!(run(&whole), expected);
            prop_assert_eq!(run(&backwards), expected);
        }

        /// Time goes forward, and so do the counts that the evidence rests on.
        #[test]
        fn marks_and_totals_go_forward(
            seconds in prop::collection::vec((0_u32..20, 0_u32..5, 0_u32..50, 0_u32..3), 1..200),
        ) {
            let settings = settings(0.5);
            let (mut evidence, mut stratum) = begun(&settings);
            let fields = |window: Window| {
                [window.canary, window.canary_bad, window.baseline, window.baseline_bad]
            };
            for (now, (canary, canary_bad, baseline, baseline_bad)) in (1..).zip(seconds) {
                let [canary, canary_bad, baseline, baseline_bad] =
                    [canary, canary_bad.min(canary), baseline, baseline_bad.min(baseline)].map(f64::from);
                let before = evidence;
                evidence.add(&settings, &mut stratum, &second(canary, canary_bad, baseline, baseline_bad), now);
                for (mark, earlier) in evidence.since.iter().zip(&before.since) {
                    prop_assert!(earlier.at <= mark.at && mark.at <= now);
                    for (at, total) in fields(mark.totals).into_iter().zip(fields(evidence.totals)) {
                        prop_assert!(at <= total);
                    }
                }
                for (was, is) in fields(before.totals).into_iter().zip(fields(evidence.totals)) {
                    prop_assert!(was <= is);
                }
            }
        }
    }

    /// Checks that the logarithm of a wealth grows by the same for each further bad request: the bet did not look at them.
    fn check_linear(wealth: impl Fn(f64) -> f64) {
        let steps: Vec<f64> = (5..9)
            .map(|bad| wealth(f64::from(bad + 1)) - wealth(f64::from(bad)))
            .collect();
        assert!(
            steps.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 1e-9),
            "{steps:?}"
        );
    }

    #[test]
    fn bets_depend_on_the_past_alone() {
        let settings = settings(0.5);
        let (evidence, stratum) = begun(&settings);
        let wealth = |bad: f64| {
            let (mut evidence, mut stratum) = (evidence, stratum);
            evidence.add(&settings, &mut stratum, &second(1000.0, bad, 9000.0, 9.0), 1);
            evidence.proof.ln[2]
        };
        check_linear(wealth);
    }

    #[test]
    fn bet_on_a_long_window_does_not_depend_on_its_first_seconds() {
        let settings = MetricSettings {
            clusters_prior: 2.0,
            ..settings(0.5)
        };
        let (evidence, stratum) = begun(&settings);
        // The canary's request comes seconds after those of the baseline, whose failures are all in one group.
        let wealth = |bad: f64| {
            let (mut evidence, mut stratum) = (evidence, stratum);
            for now in 1..10 {
                let mut groups = Groups {
                    all: [60.0; GROUPS],
                    ..Groups::default()
                };
                groups.bad[3] = bad;
                let second = Second {
                    groups,
                    ..second(0.0, 0.0, 960.0, bad)
                };
                evidence.add(&settings, &mut stratum, &second, now);
            }
            evidence.add(&settings, &mut stratum, &second(1.0, 0.0, 0.0, 0.0), 10);
            evidence.proof.ln[2]
        };
        check_linear(wealth);
    }

    #[test]
    fn nothing_is_proved_while_it_warms_up() {
        let settings = settings(0.5);
        let (mut evidence, mut stratum) = begun(&settings);
        for now in 1..30 {
            let second = Second {
                sides: Sides { proof: false, ..BOTH },
                floor: 0.2,
                ..second(10.0, 1.0, 90.0, 0.0)
            };
            evidence.add(&settings, &mut stratum, &second, now);
        }
        assert_eq!(evidence.proof.mean(), 0.5);
        assert!(evidence.against.mean() < 1.0, "10 % are tolerated at first");
    }

    #[test]
    fn damage_late_in_the_warm_up_is_found_in_it() {
        let settings = settings(0.5);
        let (mut evidence, mut stratum) = begun(&settings);
        let found = (1..=30).find(|now| {
            let bad = if *now > 20 { 5.0 } else { 0.0 };
            let second = Second {
                floor: 0.2,
                ..second(5.0, bad, 95.0, 0.0)
            };
            evidence.add(&settings, &mut stratum, &second, *now);
            settings.weight * evidence.against.mean() >= 1.0 / ALPHA
        });
        assert!(matches!(found, Some(25..=30)), "{found:?}");
    }

    #[test]
    fn step_by_hand_gets_no_stake() {
        let settings = settings(0.5);
        let (mut evidence, mut stratum) = begun(&settings);
        let before = evidence.against;
        evidence.begin_step(
            &settings,
            std::slice::from_mut(&mut stratum),
            ProofScope::Step,
            false,
            9,
        );
        assert_eq!(evidence.against, before);
        evidence.begin_step(
            &settings,
            std::slice::from_mut(&mut stratum),
            ProofScope::Step,
            true,
            9,
        );
        assert!(evidence.against.mean() > before.mean());
    }

    #[test]
    fn mark_is_where_the_damage_began() {
        let settings = settings(0.5);
        let (mut evidence, mut stratum) = begun(&settings);
        for now in 1..=2000 {
            evidence.add(&settings, &mut stratum, &second(5.0, 0.0, 95.0, 0.0), now);
        }
        for now in 2001..=2012 {
            evidence.add(&settings, &mut stratum, &second(5.0, 5.0, 95.0, 0.0), now);
        }
        let since = evidence.since();
        assert!((1999..=2002).contains(&since.at), "{since:?}");
        let bad = evidence.totals().canary_bad - since.totals.canary_bad;
        assert_eq!(bad, 60.0);
    }
}
