//! A metric of a judge, on all of its routes.

use crate::evidence::betting::{Tolerance, Window, ln_factor};
use crate::evidence::metric::{Evidence, FINE, MetricSettings, Second, Stratum, known_rate};
use crate::judge::settings::MetricKind;

/// A metric of the rollout, with a stratum for each route.
#[derive(Debug, Clone)]
pub(super) struct Metric {
    pub(super) kind: MetricKind,
    pub(super) settings: MetricSettings,
    /// The evidence against the canary; for all metrics but latencies, its proof too.
    pub(super) evidence: Evidence,
    pub(super) strata: Vec<Stratum>,
    /// A latency is counted over two bounds: over this one for the proof.
    pub(super) proof: Option<(Evidence, Vec<Stratum>)>,
    /// For a latency, the baseline's share over its bound and the floor of the tolerance, when it was counted last.
    pub(super) bound: Option<Bound>,
}

/// The share of slow responses at the bound of a latency.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    /// The guess of the baseline's share.
    theta: f64,
    /// The least share that is tolerated on top.
    floor: f64,
}

impl Metric {
    pub(super) fn against(&self) -> f64 {
        self.settings.weight * self.evidence.against.mean()
    }

    /// The evidence that has the proof.
    fn proving(&self) -> &Evidence {
        self.proof
            .as_ref()
            .map_or(&self.evidence, |(evidence, _)| evidence)
    }

    pub(super) fn proof(&self) -> f64 {
        self.proving().proof.mean()
    }

    pub(super) fn add(&mut self, route: usize, second: &Second, is_judged: bool, now: u64) {
        match is_judged {
            true => self
                .evidence
                .add(&self.settings, &mut self.strata[route], second, now),
            false => self.strata[route].learn(second),
        }
    }

    /// Counts the latencies of a second: over one bound against the canary, over another for it. Without a threshold there
    /// is nothing to count. Each side is judged, or learned from.
    pub(super) fn add_latency(
        &mut self,
        route: usize,
        counted: Option<&[Second; 2]>,
        [is_judged, proves]: [bool; 2],
        now: u64,
    ) {
        let Some([against, fine]) = counted else {
            self.strata[route].reopen();
            if let Some((_, strata)) = &mut self.proof {
                strata[route].reopen();
            }
            return;
        };
        self.bound = fine.known_rate.map(|rate| Bound {
            theta: known_rate(rate),
            floor: fine.floor,
        });
        self.add(route, against, is_judged, now);
        if let Some((proof, strata)) = &mut self.proof {
            match proves {
                true => proof.add(&self.settings, &mut strata[route], fine, now),
                false => strata[route].learn(fine),
            }
        }
    }

    /// The growth of the proof with each request of the canary, at the rates seen so far and the shares of this step, as a
    /// logarithm; `None` if it does not grow.
    pub(super) fn gain_per_request(&self) -> Option<f64> {
        let totals = self.proving().totals();
        let rate = |bad: f64, all: f64| (bad / all.max(1.0)).min(1.0);
        let canary = rate(totals.canary_bad, totals.canary);
        let baseline = rate(totals.baseline_bad, totals.baseline);
        let scaled = self
            .proving()
            .baseline_per_canary()
            .filter(|scaled| *scaled > 0.0)
            .unwrap_or_else(|| totals.baseline.max(1.0) / totals.canary.max(1.0));
        let window = Window {
            canary: 1.0,
            canary_bad: canary,
            baseline: scaled,
            baseline_bad: scaled * baseline,
        };
        let tolerance = self.settings.tolerance;
        let (theta, plus) = match self.bound {
            Some(bound) => (bound.theta, tolerance.plus.max(bound.floor)),
            None => (baseline, tolerance.plus),
        };
        let tolerance = Tolerance { plus, ..tolerance };
        let gains = FINE.map(|rho| ln_factor(&window, theta, rho, tolerance));
        let factors = self
            .strata
            .iter()
            .map(|stratum| stratum.cluster_factor(&self.settings));
        let best = gains.into_iter().fold(0.0, f64::max) / factors.fold(1.0, f64::max);
        (best > 0.0).then_some(best)
    }
}
