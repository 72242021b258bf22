//! Statistics of arms over the same time window: requests, errors and latencies.
//!
//! A window ends exactly now, and begins where the history of the counters has a part that does, before the requested time.
//! The actual length is part of the result.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_proxy::observe::metrics::RequestReading;
use waypost_upstream::histogram::Durations;

use crate::report::RolloutReport;

/// The default window.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Statistics over a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// The actual length of the window.
    pub window_seconds: f64,
    /// Routes with requests in the window, or the requested route.
    pub routes: Vec<RouteStats>,
}

/// Statistics of a route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouteStats {
    /// The route.
    pub route: String,
    /// The rollout under way.
    #[serde(default)]
    pub rollout: Option<RolloutReport>,
    /// The arms in order; last, without a service, requests that reached no arm.
    pub arms: Vec<ArmStats>,
}

/// Statistics of an arm.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ArmStats {
    /// The service; empty for responses of the gateway itself.
    pub service: String,
    /// The live weight; absent for responses of the gateway itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u64>,
    /// Number of requests.
    pub requests: u64,
    /// Requests per second.
    pub rate: f64,
    /// Responses by class, such as `5xx`; `none` if the client disconnected before the response.
    pub classes: BTreeMap<String, u64>,
    /// Calls of gRPC by `grpc-status`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub grpc: BTreeMap<u8, u64>,
    /// Failed requests: responses of class `5xx`, calls of gRPC with a status that blames the server, and responses that
    /// the service cut.
    pub errors: u64,
    /// Requests that a rule refused, such as `auth` or `rate`. They are no failures.
    #[serde(default)]
    pub refused: u64,
    /// Share of failed requests.
    pub error_share: f64,
    /// The 95 % confidence interval of that share (Wilson's score interval).
    pub error_interval: (f64, f64),
    /// Median duration, in milliseconds.
    pub p50_ms: Option<f64>,
    /// 90th percentile of the duration, in milliseconds.
    pub p90_ms: Option<f64>,
    /// 99th percentile of the duration, in milliseconds.
    pub p99_ms: Option<f64>,
    /// With `detail=true`: responses by status, such as `503`; `none` if the client disconnected before the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statuses: Option<BTreeMap<String, u64>>,
    /// With `detail=true`: the histogram of the durations, without empty buckets. The bounds of buckets are the same for all
    /// arms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Vec<LatencyBucket>>,
}

/// A bucket of a histogram of durations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyBucket {
    /// The least duration, in milliseconds.
    pub from_ms: f64,
    /// The bound that durations are below, in milliseconds; `null` for the last bucket there is.
    pub to_ms: Option<f64>,
    /// Requests.
    pub count: u64,
}

impl ArmStats {
    /// The statistics of an arm with this reading over this window.
    pub fn of(
        service: &str,
        weight: Option<u64>,
        reading: Option<&RequestReading>,
        window: Duration,
    ) -> Self {
        let none = RequestReading::default();
        let reading = reading.unwrap_or(&none);
        let requests = reading.count();
        let (mut classes, mut grpc) = (BTreeMap::new(), BTreeMap::new());
        for (status, count) in &reading.statuses {
            *classes.entry(class(status.http_status()).to_owned()).or_insert(0) += count;
            if let Some(code) = status.grpc_code() {
                *grpc.entry(code.number()).or_insert(0) += count;
            }
        }
        let errors = reading.failed();
        let (error_share, error_interval) = failed_share(errors, requests);
        let quantile = |durations: &Durations, q: f64| durations.quantile_ms(q);
        Self {
            service: service.to_owned(),
            weight,
            requests,
            rate: requests as f64 / window.as_secs_f64().max(0.001),
            classes,
            grpc,
            errors,
            refused: reading.refused,
            error_share,
            error_interval,
            p50_ms: quantile(&reading.duration, 0.5),
            p90_ms: quantile(&reading.duration, 0.9),
            p99_ms: quantile(&reading.duration, 0.99),
            statuses: None,
            latency: None,
        }
    }

    /// Adds the statuses and the histogram of `reading`.
    #[must_use]
    pub fn detailed(mut self, reading: Option<&RequestReading>) -> Self {
        let mut statuses = BTreeMap::new();
        for (status, count) in reading.iter().flat_map(|reading| &reading.statuses) {
            let text = match status.http_status() {
                0 => "none".to_owned(),
                status => status.to_string(),
            };
            *statuses.entry(text).or_insert(0) += count;
        }
        let buckets = reading
            .into_iter()
            .flat_map(|reading| reading.duration.buckets_ms());
        let buckets = buckets.map(|(from_ms, to_ms, count)| LatencyBucket {
            from_ms,
            to_ms,
            count,
        });
        self.statuses = Some(statuses);
        self.latency = Some(buckets.collect());
        self
    }
}

/// The class of a status, such as `2xx`; `none` without a response.
pub fn class(status: u16) -> &'static str {
    match status / 100 {
        0 => "none",
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}

/// The share of `errors` in `all`, and its 95 % confidence interval (E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927).
pub fn failed_share(errors: u64, all: u64) -> (f64, (f64, f64)) {
    /// The quantile of the normal distribution at 97.5 %.
    const Z: f64 = 1.959_963_984_540_054;
    if all == 0 {
        return (0.0, (0.0, 1.0));
    }
    let n = all as f64;
    let share = errors as f64 / n;
    let denominator = 1.0 + Z * Z / n;
    let centre = share + Z * Z / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let low = ((centre - spread) / denominator).max(0.0);
    let high = ((centre + spread) / denominator).min(1.0);
    (share, (low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_is_wilsons() {
        // Values of the formula, as textbooks give them.
        for (errors, all, low, high) in [
            (0, 10, 0.0, 0.2775),
            (5, 10, 0.2366, 0.7634),
            (10, 10, 0.7225, 1.0),
            (1, 100, 0.0018, 0.0545),
        ] {
            let (share, interval) = failed_share(errors, all);
            assert!((share - errors as f64 / all as f64).abs() < 1e-12);
            assert!((interval.0 - low).abs() < 1e-4, "{errors}/{all}: {interval:?}");
            assert!((interval.1 - high).abs() < 1e-4, "{errors}/{all}: {interval:?}");
        }
        assert_eq!(failed_share(0, 0), (0.0, (0.0, 1.0)), "nothing is known");
    }
}
