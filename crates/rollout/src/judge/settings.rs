//! The settings of a judge: error budgets, margins, and the metrics that follow from them.

use crate::evidence::betting::Tolerance;
use crate::evidence::metric::MetricSettings;

/// The settings of a judge.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgeSettings {
    /// Probability that a rollout of a tolerable version is rolled back, however often the judge looks.
    pub false_rollbacks: f64,
    /// Probability that a step of a version that is not tolerated is proved fine.
    pub false_promotions: f64,
    /// Windows that have to speak against the canary at least.
    pub patience: f64,
    /// Tolerance of failed requests; `None` if they are not judged.
    pub errors: Option<Tolerance>,
    /// Absolute limit on the share of failed requests.
    pub errors_max: Option<f64>,
    /// Tolerance of responses of class 4xx.
    pub client_errors: Option<Tolerance>,
    /// Tolerance of requests whose clients left.
    pub abandoned: Option<Tolerance>,
    /// Margins of the quantiles: at most so much slower, 0.2 for 20 %. In the order of [`Quantile::ALL`].
    pub latency: [Option<f64>; Quantile::ALL.len()],
    /// Seconds at the beginning of each step in which latency is not judged and nothing is proved; in the first step, 20 %
    /// of errors are tolerated for so long.
    pub warmup: u64,
}

/// A quantile of the latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantile {
    /// The median.
    P50,
    /// The 90th percentile.
    P90,
    /// The 99th percentile.
    P99,
}

/// A metric that arms are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// The share of failed requests, compared with the baseline's.
    Errors,
    /// The share of failed requests, compared with a limit.
    ErrorsMax,
    /// The share of responses of class 4xx.
    ClientErrors,
    /// The share of requests whose clients left.
    Abandoned,
    /// A quantile of the latency.
    Latency(Quantile),
}

// Settings are written down, never computed: none of their numbers is NaN.
impl Eq for JudgeSettings {}

impl Default for JudgeSettings {
    fn default() -> Self {
        Self {
            false_rollbacks: 0.01,
            false_promotions: 0.05,
            patience: 5.0,
            errors: Some(Tolerance {
                ratio: 1.5,
                plus: 0.005,
            }),
            errors_max: None,
            client_errors: Some(Tolerance {
                ratio: 2.0,
                plus: 0.05,
            }),
            abandoned: Some(Tolerance {
                ratio: 2.0,
                plus: 0.02,
            }),
            latency: [Some(0.2), Some(0.2), Some(0.5)],
            warmup: 30,
        }
    }
}

impl Quantile {
    /// All quantiles.
    pub const ALL: [Self; 3] = [Self::P50, Self::P90, Self::P99];

    /// The share of requests that are at most as slow.
    pub fn share(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P90 => 0.9,
            Self::P99 => 0.99,
        }
    }

    /// The name, such as `p99`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
        }
    }
}

impl MetricKind {
    /// The name, as in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::ErrorsMax => "errors.max",
            Self::ClientErrors => "client_errors",
            Self::Abandoned => "abandoned",
            Self::Latency(quantile) => quantile.as_str(),
        }
    }

    /// Returns true for the metrics of failed requests.
    pub fn is_of_errors(self) -> bool {
        matches!(self, Self::Errors | Self::ErrorsMax)
    }
}

impl JudgeSettings {
    /// The metrics that are judged in a rollout with this many steps below 100 %, of sticky clients or not. Errors have half
    /// of the weight, the others share the other half.
    pub fn metrics(&self, steps: usize, is_sticky: bool) -> Vec<(MetricKind, MetricSettings)> {
        let absolute = self.errors_max.map(|max| Tolerance {
            ratio: 0.0,
            plus: max,
        });
        // The threshold has the margin in it.
        let same = Tolerance {
            ratio: 1.0,
            plus: 0.0,
        };
        let rates = [
            (MetricKind::Errors, self.errors),
            (MetricKind::ErrorsMax, absolute),
            (MetricKind::ClientErrors, self.client_errors),
            (MetricKind::Abandoned, self.abandoned),
        ];
        let latencies = Quantile::ALL.iter().zip(self.latency);
        let latencies =
            latencies.map(|(quantile, margin)| (MetricKind::Latency(*quantile), margin.map(|_| same)));
        let kinds: Vec<(MetricKind, Tolerance)> = rates
            .into_iter()
            .chain(latencies)
            .filter_map(|(kind, tolerance)| Some((kind, tolerance?)))
            .collect();
        let others = kinds
            .iter()
            .filter(|(kind, _)| *kind != MetricKind::Errors)
            .count() as f64;
        let has_errors = self.errors.is_some();
        let steps = steps.max(1) as f64;
        let settings = |(kind, tolerance)| {
            let weight = match (kind, has_errors) {
                (MetricKind::Errors, _) if others == 0.0 => 1.0,
                (MetricKind::Errors, _) => 0.5,
                (_, true) => 0.5 / others,
                (_, false) => 1.0 / others,
            };
            let bound = 2.0 * steps / (self.false_rollbacks * weight);
            let settings = MetricSettings {
                tolerance,
                weight,
                cap_against: MetricSettings::cap(bound, self.patience),
                cap_proof: MetricSettings::cap(2.0 / self.false_promotions, self.patience),
                clusters_prior: if is_sticky { 2.0 } else { 1.0 },
                steps,
            };
            (kind, settings)
        };
        kinds.into_iter().map(settings).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(settings: &JudgeSettings) -> Vec<(&'static str, f64)> {
        let metrics = settings.metrics(5, false);
        metrics
            .iter()
            .map(|(kind, settings)| (kind.as_str(), settings.weight))
            .collect()
    }

    #[test]
    fn errors_have_half_of_the_weight() {
        let all = weights(&JudgeSettings::default());
        assert_eq!(all[0], ("errors", 0.5));
        assert_eq!(all.len(), 6);
        assert!(all[1..].iter().all(|(_, weight)| (weight - 0.1).abs() < 1e-12));
        let alone = JudgeSettings {
            client_errors: None,
            abandoned: None,
            latency: [None; 3],
            ..JudgeSettings::default()
        };
        assert_eq!(weights(&alone), [("errors", 1.0)]);
        let with_limit = JudgeSettings {
            errors_max: Some(0.05),
            ..alone
        };
        assert_eq!(weights(&with_limit), [("errors", 0.5), ("errors.max", 0.5)]);
        let without = JudgeSettings {
            errors: None,
            latency: [None, None, Some(0.5)],
            ..JudgeSettings::default()
        };
        let third = 1.0 / 3.0;
        assert_eq!(
            weights(&without),
            [("client_errors", third), ("abandoned", third), ("p99", third)]
        );
    }
}
