//! The judge of a rollout: fed with the counts of each second, it has evidence at any time.
//!
//! [`Judge::evidence`] is the evidence that the canary is worse than tolerated; the rollout is rolled back once it reaches
//! [`Judge::rollback_at`]. [`Judge::findings`] has, metric by metric, the proof that it is not worse; a step is proved once
//! each has reached [`Judge::proved_at`].

mod counts;
mod metric;
pub mod settings;
mod storage;

use crate::evidence::betting::{Tolerance, Window};
use crate::evidence::clusters::GROUPS;
use crate::evidence::metric::{Evidence, Mark, ProofScope, Sides, Stratum};
use crate::evidence::threshold::{FadingHistogram, Threshold};
use crate::judge::settings::{JudgeSettings, MetricKind, Quantile};

use self::counts::{Tail, rate_second, slow_seconds};
use self::metric::Metric;

/// The share of errors that is tolerated while the first step warms up.
const WARMUP_ERRORS: f64 = 0.2;
/// The share of the baseline's errors above which nothing is promoted: a sick baseline proves nothing.
const SICK_BASELINE: f64 = 0.1;

/// The counts of one arm in one second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ArmSecond<'a> {
    /// Requests that ended.
    pub finished: f64,
    /// Failed ones among them.
    pub errors: f64,
    /// Responses of class 4xx.
    pub client_errors: f64,
    /// Requests whose clients left.
    pub abandoned: f64,
    /// Responses by their latency, in the buckets of [`Judge::new`]; buckets that are left out at the end are empty.
    pub latencies: &'a [f64],
}

/// The baseline's counts by group of clients, in one second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GroupSecond {
    /// Requests that ended.
    pub finished: [f64; GROUPS],
    /// Failed ones among them.
    pub errors: [f64; GROUPS],
    /// Responses of class 4xx.
    pub client_errors: [f64; GROUPS],
    /// Requests whose clients left.
    pub abandoned: [f64; GROUPS],
    /// Responses over the thresholds of [`Judge::thresholds`].
    pub slow: [[f64; GROUPS]; Quantile::ALL.len()],
}

/// The counts of one route in one second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RouteSecond<'a> {
    /// The canary's.
    pub canary: ArmSecond<'a>,
    /// The baseline's.
    pub baseline: ArmSecond<'a>,
    /// The baseline's by group; `None` for a route that is not sticky.
    pub groups: Option<&'a GroupSecond>,
    /// The live share of the canary, 0 to 1.
    pub share: f64,
}

/// The judge of one canary, on one or more routes.
#[derive(Debug, Clone)]
pub struct Judge {
    settings: JudgeSettings,
    is_sticky: bool,
    metrics: Vec<Metric>,
    routes: Vec<Past>,
    /// The upper bounds of the latency buckets, ascending.
    bounds: Vec<f64>,
    /// The latencies of the second that is counted: the canary's, the baseline's.
    tails: [Tail; 2],
    /// The latencies of this step, by bucket: the canary's, the baseline's. They are shown, and nothing rests on them.
    step_latencies: [Vec<f64>; 2],
    /// Seconds since the rollout began; only counted ones pass.
    now: u64,
    /// Seconds since the step began.
    step_age: u64,
    /// Steps that were begun.
    steps_begun: u32,
}

/// The latencies of a route's baseline so far.
#[derive(Debug, Clone, Default)]
struct Past {
    latencies: FadingHistogram,
    thresholds: [Option<Threshold>; Quantile::ALL.len()],
}

/// The use of a second's counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    /// The baseline's are learned.
    ToLearn,
    /// They are evidence.
    InFull,
    /// They are evidence against the canary only.
    InPart,
}

/// The evidence on one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// The metric.
    pub kind: MetricKind,
    /// Its part of the evidence against the canary.
    pub against: f64,
    /// The evidence that the canary is not worse.
    pub proof: f64,
    /// Since when the counts speak against the canary most.
    pub since: Mark,
    /// The counts since the rollout began.
    pub totals: Window,
    /// The counts of this step.
    pub step: Window,
    /// The rate by which the canary may be worse for who its clients are, on top of the tolerance.
    pub allowance: f64,
    /// For a latency, the bounds over which responses are slow; `None` as long as the baseline has too few, and for several
    /// routes, each of which has its own.
    pub bounds: Option<SlowBounds>,
}

/// The bounds over which responses are slow, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowBounds {
    /// The canary's, for the evidence against it.
    pub canary: f64,
    /// The baseline's.
    pub baseline: f64,
    /// The margin by which the canary's quantile may be greater: 0.5 for 50 %.
    pub margin: f64,
}

impl Judge {
    /// A judge of a rollout over `routes` routes with `steps` steps below 100 %. `bounds` are the upper bounds of the
    /// latency buckets, ascending.
    pub fn new(
        settings: JudgeSettings,
        routes: usize,
        steps: usize,
        is_sticky: bool,
        bounds: Vec<f64>,
    ) -> Self {
        let metrics = settings.metrics(steps, is_sticky);
        let metric = |(kind, settings)| Metric {
            kind,
            settings,
            evidence: Evidence::default(),
            strata: vec![Stratum::default(); routes],
            proof: matches!(kind, MetricKind::Latency(_))
                .then(|| (Evidence::default(), vec![Stratum::default(); routes])),
            bound: None,
        };
        Self {
            metrics: metrics.into_iter().map(metric).collect(),
            routes: vec![Past::default(); routes],
            settings,
            is_sticky,
            tails: std::array::from_fn(|_| Tail::new(bounds.len())),
            step_latencies: std::array::from_fn(|_| vec![0.0; bounds.len()]),
            bounds,
            now: 0,
            step_age: 0,
            steps_begun: 0,
        }
    }

    /// The settings.
    pub fn settings(&self) -> &JudgeSettings {
        &self.settings
    }

    /// Takes another number of steps below 100 % for the measure of stakes and caps from now on. The evidence stays.
    pub fn set_steps(&mut self, steps: usize) {
        let metrics = self.settings.metrics(steps, self.is_sticky);
        for (metric, (_, settings)) in self.metrics.iter_mut().zip(metrics) {
            metric.settings = settings;
        }
    }

    /// Returns true if clients stay on their arm, so that counts by group are of use.
    pub fn is_sticky(&self) -> bool {
        self.is_sticky
    }

    /// Begins a step whose proof has this scope. `is_planned` is false for one that was added or repeated by hand.
    pub fn begin_step(&mut self, scope: ProofScope, is_planned: bool) {
        self.step_age = 0;
        self.steps_begun += 1;
        self.step_latencies.iter_mut().for_each(|counts| counts.fill(0.0));
        let now = self.now;
        for metric in &mut self.metrics {
            let (settings, strata) = (&metric.settings, &mut metric.strata);
            metric
                .evidence
                .begin_step(settings, strata, scope, is_planned, now);
            if let Some((proof, strata)) = &mut metric.proof {
                proof.begin_step(settings, strata, scope, is_planned, now);
            }
        }
    }

    /// Counts a second outside of a rollout, to learn about the baseline.
    pub fn learn(&mut self, routes: &[RouteSecond<'_>]) {
        self.count(routes, Counted::ToLearn);
    }

    /// Counts a second of the rollout.
    pub fn add(&mut self, routes: &[RouteSecond<'_>]) {
        self.now += 1;
        self.step_age += 1;
        self.count(routes, Counted::InFull);
    }

    /// Counts a second of which a part of the traffic is missing: it can speak against the canary, and proves nothing.
    pub fn add_part(&mut self, routes: &[RouteSecond<'_>]) {
        self.now += 1;
        self.step_age += 1;
        self.count(routes, Counted::InPart);
    }

    fn count(&mut self, routes: &[RouteSecond<'_>], counted: Counted) {
        let is_judged = counted != Counted::ToLearn;
        let is_warm = self.step_age > self.settings.warmup;
        let is_tolerant = !is_warm && self.steps_begun <= 1;
        let proves = is_warm && counted == Counted::InFull;
        let sides = Sides {
            against: true,
            proof: proves,
        };
        for (at, second) in routes.iter().enumerate().take(self.routes.len()) {
            let past = &mut self.routes[at];
            let [canary, baseline] = &mut self.tails;
            canary.count(second.canary.latencies);
            baseline.count(second.baseline.latencies);
            for (place, quantile) in Quantile::ALL.iter().enumerate() {
                past.thresholds[place] = self.settings.latency[place]
                    .and_then(|margin| past.latencies.threshold(&self.bounds, quantile.share(), margin));
            }
            for metric in &mut self.metrics {
                let floor = match metric.kind.is_of_errors() && is_tolerant {
                    true => WARMUP_ERRORS,
                    false => 0.0,
                };
                match metric.kind {
                    MetricKind::Latency(quantile) => {
                        let counted = past.thresholds[quantile as usize]
                            .map(|threshold| slow_seconds(&self.tails, second, quantile, &threshold));
                        metric.add_latency(at, counted.as_ref(), [is_judged && is_warm, proves], self.now);
                    }
                    kind => {
                        let counted = rate_second(kind, second, floor, sides);
                        metric.add(at, &counted, is_judged, self.now);
                    }
                }
            }
            past.latencies.add(second.baseline.latencies);
            if is_judged {
                let latencies = [second.canary.latencies, second.baseline.latencies];
                for (sums, counts) in self.step_latencies.iter_mut().zip(latencies) {
                    sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
                }
            }
        }
    }

    /// The evidence that the canary is worse than tolerated.
    pub fn evidence(&self) -> f64 {
        self.metrics.iter().map(Metric::against).sum()
    }

    /// The evidence at which the rollout is rolled back.
    pub fn rollback_at(&self) -> f64 {
        1.0 / self.settings.false_rollbacks
    }

    /// The evidence at which a metric is proved not to be worse.
    pub fn proved_at(&self) -> f64 {
        1.0 / self.settings.false_promotions
    }

    /// The evidence on each metric.
    pub fn findings(&self) -> impl Iterator<Item = Finding> {
        let metrics = self.metrics.iter();
        metrics.map(|metric| self.finding(metric, metric.proof()))
    }

    /// The evidence on a metric with this proof.
    fn finding(&self, metric: &Metric, proof: f64) -> Finding {
        Finding {
            kind: metric.kind,
            against: metric.against(),
            proof,
            since: metric.evidence.since(),
            totals: metric.evidence.totals(),
            step: metric.evidence.step_totals(),
            allowance: metric.strata.iter().map(Stratum::allowance).fold(0.0, f64::max),
            bounds: match metric.kind {
                MetricKind::Latency(quantile) => self.slow_bounds(quantile),
                _ => None,
            },
        }
    }

    /// The bounds of a quantile, if there is one route alone.
    fn slow_bounds(&self, quantile: Quantile) -> Option<SlowBounds> {
        let [past] = &*self.routes else { return None };
        let threshold = past.thresholds[quantile as usize]?;
        Some(SlowBounds {
            canary: *self.bounds.get(threshold.against)?,
            baseline: *self.bounds.get(threshold.baseline)?,
            margin: self.settings.latency[quantile as usize]?,
        })
    }

    /// A quantile of this step's latencies in milliseconds, the canary's and the baseline's, as the middle of its bucket;
    /// `None` without responses.
    pub fn quantile_ms(&self, quantile: Quantile) -> [Option<f64>; 2] {
        self.step_latencies.each_ref().map(|counts| {
            let rank = (counts.iter().sum::<f64>() * quantile.share()).ceil();
            let mut seen = 0.0;
            let at = counts.iter().position(|count| {
                seen += count;
                seen > 0.0 && seen >= rank
            })?;
            let lower = at.checked_sub(1).map_or(0.0, |before| self.bounds[before]);
            Some(f64::midpoint(lower, self.bounds[at]))
        })
    }

    /// The tolerance of a metric; `None` if it is not judged.
    pub fn tolerance(&self, kind: MetricKind) -> Option<Tolerance> {
        let metric = self.metrics.iter().find(|metric| metric.kind == kind);
        metric.map(|metric| metric.settings.tolerance)
    }

    /// Seconds since the rollout began.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The metric that speaks against the canary most.
    pub fn worst(&self) -> Option<Finding> {
        self.findings().reduce(|worst, other| {
            if other.against > worst.against {
                other
            } else {
                worst
            }
        })
    }

    /// The metrics that are not proved yet.
    pub fn unproved(&self) -> impl Iterator<Item = Finding> {
        let proved_at = self.proved_at();
        let metrics = self.metrics.iter().map(|metric| (metric, metric.proof()));
        metrics
            .filter(move |(_, proof)| *proof < proved_at)
            .map(|(metric, proof)| self.finding(metric, proof))
    }

    /// Returns true if the baseline of a route fails so often that nothing can be proved by it.
    pub fn is_baseline_sick(&self) -> bool {
        let errors = self.metrics.iter().find(|metric| metric.kind.is_of_errors());
        errors.is_some_and(|metric| {
            metric
                .strata
                .iter()
                .any(|stratum| stratum.guess() > SICK_BASELINE)
        })
    }

    /// The bounds over which responses of a route's baseline are slow, as positions of buckets, in the order of
    /// [`Quantile::ALL`].
    pub fn thresholds(&self, route: usize) -> [Option<usize>; Quantile::ALL.len()] {
        let known = self.routes.get(route).map(|past| past.thresholds);
        known.map_or([None; 3], |all| {
            all.map(|threshold| threshold.map(|threshold| threshold.baseline))
        })
    }

    /// The requests of the baseline that a latency still needs before it is compared, on the route that has the fewest;
    /// `None` for one that is compared, and for other metrics.
    pub fn uncompared(&self, kind: MetricKind) -> Option<f64> {
        let MetricKind::Latency(quantile) = kind else {
            return None;
        };
        let missing = self
            .routes
            .iter()
            .filter(|past| past.thresholds[quantile as usize].is_none())
            .map(|past| past.latencies.missing(quantile.share()));
        missing.reduce(f64::max)
    }

    /// Requests of the canary that are still needed to prove `finding`, at the rates seen so far; `None` if it would never
    /// be proved at these rates.
    pub fn requests_needed(&self, finding: &Finding) -> Option<f64> {
        let metric = self.metrics.iter().find(|metric| metric.kind == finding.kind)?;
        let gain = metric.gain_per_request()?;
        let missing = self.proved_at().ln() - finding.proof.ln();
        Some((missing / gain).max(0.0))
    }
}

#[cfg(test)]
mod tests;
