//! The counts of one second, as the evidence takes them.

use crate::evidence::betting::Window;
use crate::evidence::clusters::Groups;
use crate::evidence::metric::{Second, Sides, known_rate};
use crate::evidence::threshold::Threshold;
use crate::judge::settings::{MetricKind, Quantile};

use super::{ArmSecond, RouteSecond};

/// The latencies of an arm in one second, by the number of responses in each bucket and all later ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail(Vec<f64>);

impl Tail {
    /// Of so many buckets, without a response.
    pub(super) fn new(buckets: usize) -> Self {
        Self(vec![0.0; buckets + 1])
    }

    /// Counts the responses of a second.
    pub(super) fn count(&mut self, latencies: &[f64]) {
        self.0.resize(latencies.len() + 1, 0.0);
        self.0[latencies.len()] = 0.0;
        let mut sum = 0.0;
        for (tail, count) in self.0.iter_mut().zip(latencies).rev() {
            sum += count;
            *tail = sum;
        }
    }

    /// All responses.
    fn all(&self) -> f64 {
        self.0.first().copied().unwrap_or_default()
    }

    /// The responses over a bound.
    fn over(&self, bound: usize) -> f64 {
        self.0.get(bound + 1).copied().unwrap_or_default()
    }
}

/// The counts of a rate in one second.
pub(super) fn rate_second(kind: MetricKind, second: &RouteSecond<'_>, floor: f64, sides: Sides) -> Second {
    let bad = |arm: &ArmSecond<'_>| match kind {
        MetricKind::ClientErrors => arm.client_errors,
        MetricKind::Abandoned => arm.abandoned,
        _ => arm.errors,
    };
    let groups = second.groups.map_or_else(Groups::default, |groups| Groups {
        all: groups.finished,
        bad: match kind {
            MetricKind::ClientErrors => groups.client_errors,
            MetricKind::Abandoned => groups.abandoned,
            _ => groups.errors,
        },
    });
    let (canary, baseline) = (&second.canary, &second.baseline);
    Second {
        counts: Window {
            canary: canary.finished,
            canary_bad: bad(canary).min(canary.finished),
            baseline: baseline.finished,
            baseline_bad: bad(baseline).min(baseline.finished),
        },
        groups,
        share: second.share,
        known_rate: None,
        floor,
        sides,
    }
}

/// The counts of slow responses in one second: over the bound against the canary, and over that for it.
pub(super) fn slow_seconds(
    [canary, baseline]: &[Tail; 2],
    second: &RouteSecond<'_>,
    quantile: Quantile,
    threshold: &Threshold,
) -> [Second; 2] {
    let theta = known_rate((threshold.above, threshold.requests));
    let counted = |bound, sides| Second {
        counts: Window {
            canary: canary.all(),
            canary_bad: canary.over(bound),
            baseline: baseline.all(),
            baseline_bad: baseline.over(threshold.baseline),
        },
        groups: second.groups.map_or_else(Groups::default, |groups| Groups {
            all: groups.finished,
            bad: groups.slow[quantile as usize],
        }),
        share: second.share,
        known_rate: Some((threshold.above, threshold.requests)),
        // A narrow bucket must not turn p99 into p99.99.
        floor: (1.0 - quantile.share() - theta).max(0.0),
        sides,
    };
    let only = |against| Sides {
        against,
        proof: !against,
    };
    [
        counted(threshold.against, only(true)),
        counted(threshold.proof, only(false)),
    ]
}
