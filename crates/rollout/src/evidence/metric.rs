//! One metric of a rollout: its counts, second by second, and the evidence from them.
//!
//! Time comes in as calls: one a second. Everything that a bet depends on is known before its window is counted.

use crate::evidence::betting::{Bet, Tolerance, Window};
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
    /// True if the canary may be proved fine in this second; false while it warms up.
    pub proves: bool,
}

/// The running window and the past of one metric on one route.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stratum {
    /// The window that is open.
    open: Window,
    /// Seconds since it was opened.
    age: u32,
    /// The baseline's recent bad requests and requests.
    recent: (f64, f64),
    clusters: Clusters,
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

impl MetricSettings {
    /// The cap of a window's factor such that at least `patience` windows are needed for evidence of `bound`, both for this
    /// part of it: `ln(bound) / patience`.
    pub fn cap(bound: f64, patience: f64) -> f64 {
        bound.ln() / patience
    }
}

impl Stratum {
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

    /// Empties the open window, at the beginning of a step.
    fn reopen(&mut self) {
        self.open = Window::default();
        self.age = 0;
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
        stratum.open.add(&second.counts);
        stratum.age += 1;
        let closes = stratum.open.is_comparable();
        if closes {
            self.bet(settings, stratum, second, now);
            self.totals.add(&stratum.open);
        }
        if closes || stratum.age >= AGE_MAX {
            stratum.absorb();
        }
        stratum.clusters.add(&second.groups);
    }

    /// Bets on the open window.
    fn bet(&mut self, settings: &MetricSettings, stratum: &Stratum, second: &Second, now: u64) {
        let window = &stratum.open;
        let theta = match second.known_rate {
            Some((above, requests)) => (above * requests + 0.1) / (requests + 10.0),
            None => stratum.guess(),
        };
        let factor = stratum.clusters.factor(settings.clusters_prior);
        let proof_plus = settings.tolerance.plus.max(second.floor);
        let against_plus = proof_plus + stratum.clusters.allowance(factor, second.share);
        self.put_stake(ln_stake(self.bets) - settings.steps.ln(), now);
        self.bets += 1;
        let ln_factor = |rho, plus| {
            let tolerance = Tolerance {
                plus,
                ..settings.tolerance
            };
            let bet = Bet::new(window.canary, window.baseline, theta, rho, tolerance);
            bet.map_or(0.0, |bet| bet.ln_factor(window)) / factor
        };
        let accounts = self.against.ln.iter_mut().zip(&mut self.leading.ln);
        for ((ln, leading), rho) in accounts.zip(WORSE) {
            let gain = ln_factor(rho, against_plus).min(settings.cap_against);
            *ln += gain;
            *leading += gain;
        }
        if !second.proves {
            return;
        }
        let stake = ln_stake(self.proof_bets);
        self.proof_bets += 1;
        for (ln, rho) in self.proof.ln.iter_mut().zip(FINE) {
            *ln = ln_factor(rho, proof_plus).min(settings.cap_proof) + ln_add(*ln, stake);
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

    /// The beginning of the stretch that speaks against the canary most.
    pub fn since(&self) -> Mark {
        self.since[self.against.leader()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: f64 = 5.0;
    const ALPHA: f64 = 0.01;

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
            proves: true,
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

    #[test]
    fn window_is_the_same_however_its_seconds_are_cut() {
        let settings = settings(0.5);
        let run = |seconds: &[[f64; 4]]| {
            let (mut evidence, mut stratum) = begun(&settings);
            for (now, [a, b, c, d]) in (1..).zip(seconds) {
                evidence.add(&settings, &mut stratum, &second(*a, *b, *c, *d), now);
            }
            (evidence.against.mean(), evidence.proof.mean())
        };
        // Until both arms have a request, seconds are one window.
        let whole = run(&[[0.0; 4], [0.0; 4], [1.0, 1.0, 40.0, 1.0]]);
        let cut = run(&[[0.0, 0.0, 25.0, 1.0], [0.0, 0.0, 15.0, 0.0], [1.0, 1.0, 0.0, 0.0]]);
        assert_eq!(whole, cut);
    }

    #[test]
    fn bets_depend_on_the_past_alone() {
        let settings = settings(0.5);
        let (evidence, stratum) = begun(&settings);
        // The factor is linear in the number of bad requests: the bet did not look at them.
        let wealth = |bad: f64| {
            let (mut evidence, mut stratum) = (evidence, stratum);
            evidence.add(&settings, &mut stratum, &second(1000.0, bad, 9000.0, 9.0), 1);
            evidence.proof.ln[2]
        };
        let steps: Vec<f64> = (5..9)
            .map(|bad| wealth(f64::from(bad + 1)) - wealth(f64::from(bad)))
            .collect();
        assert!(
            steps.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 1e-9),
            "{steps:?}"
        );
    }

    #[test]
    fn nothing_is_proved_while_it_warms_up() {
        let settings = settings(0.5);
        let (mut evidence, mut stratum) = begun(&settings);
        for now in 1..30 {
            let second = Second {
                proves: false,
                floor: 0.2,
                ..second(10.0, 1.0, 90.0, 0.0)
            };
            evidence.add(&settings, &mut stratum, &second, now);
        }
        assert_eq!(evidence.proof.mean(), 0.5);
        assert!(evidence.against.mean() < 1.0, "10 % are tolerated at first");
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
