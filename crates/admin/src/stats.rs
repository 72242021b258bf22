//! Statistics of arms over the same time window: requests, errors and latencies.
//!
//! A window ends exactly now, and begins where the history of the counters has a part that does, before the requested time.
//! The actual length is part of the result.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
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
    /// The number of instances that these are the figures of; 1 outside of a fleet.
    #[serde(default)]
    pub instances: usize,
    /// The ids of instances of the fleet that did not answer. Their figures so far are in, as far as the leader knows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// True if no leader of the fleet answered, so that this instance has asked each other one. Figures of instances that are
    /// lost are left out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub direct: bool,
    /// With `own=true`: the start of the process whose figures these are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub started: Option<Timestamp>,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
fn is_false(is_so: &bool) -> bool {
    !is_so
}

/// Figures of instances that are being added up. All of them have to be detailed.
#[derive(Debug)]
pub struct Sum {
    stats: Stats,
    /// The places of routes in `stats`.
    places: HashMap<String, usize>,
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

impl Sum {
    /// A sum that begins with these figures.
    pub fn of(stats: Stats) -> Self {
        let routes = stats.routes.iter().map(|route| route.route.clone());
        Self {
            places: routes.zip(0..).collect(),
            stats,
        }
    }

    /// Adds the figures of another instance.
    pub fn add(&mut self, other: Stats) {
        self.stats.instances = self.stats.instances.saturating_add(other.instances);
        self.stats.missing.extend(other.missing);
        self.add_routes(other.routes);
    }

    /// Adds figures of routes.
    pub fn add_routes(&mut self, routes: Vec<RouteStats>) {
        for theirs in routes {
            match self.places.get(&theirs.route) {
                Some(at) => self.stats.routes[*at].add(theirs),
                None => {
                    self.places.insert(theirs.route.clone(), self.stats.routes.len());
                    self.stats.routes.push(theirs);
                }
            }
        }
    }

    /// The figures in all.
    pub fn finish(mut self) -> Stats {
        let arms = self.stats.routes.iter_mut().flat_map(|route| &mut route.arms);
        arms.for_each(ArmStats::conclude);
        self.stats
    }
}

impl Stats {
    /// Leaves statuses and histograms out.
    pub fn without_details(&mut self) {
        let arms = self.routes.iter_mut().flat_map(|route| &mut route.arms);
        for arm in arms {
            (arm.statuses, arm.latency) = (None, None);
        }
    }
}

impl RouteStats {
    fn add(&mut self, other: Self) {
        self.rollout = self.rollout.take().or(other.rollout);
        for theirs in other.arms {
            match self.arms.iter_mut().find(|arm| arm.service == theirs.service) {
                Some(arm) => arm.add(theirs),
                None => self.arms.push(theirs),
            }
        }
    }
}

impl ArmStats {
    /// Adds the requests of another instance.
    fn add(&mut self, other: Self) {
        fn sum<K: Ord>(all: &mut BTreeMap<K, u64>, more: BTreeMap<K, u64>) {
            for (key, count) in more {
                let sum = all.entry(key).or_insert(0);
                *sum = sum.saturating_add(count);
            }
        }
        self.requests = self.requests.saturating_add(other.requests);
        self.rate += other.rate;
        self.errors = self.errors.saturating_add(other.errors);
        self.refused = self.refused.saturating_add(other.refused);
        self.weight = self.weight.or(other.weight);
        sum(&mut self.classes, other.classes);
        sum(&mut self.grpc, other.grpc);
        sum(
            self.statuses.get_or_insert_default(),
            other.statuses.unwrap_or_default(),
        );
        let own = self.latency.take().unwrap_or_default();
        self.latency = Some(merged(own, other.latency.unwrap_or_default()));
    }

    /// Takes shares and quantiles anew.
    fn conclude(&mut self) {
        (self.error_share, self.error_interval) = failed_share(self.errors, self.requests);
        let buckets = self.latency.as_deref().unwrap_or_default();
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|q| quantile_ms(buckets, q));
        (self.p50_ms, self.p90_ms, self.p99_ms) = (p50, p90, p99);
    }
}

/// The counts of two histograms together, each in order.
fn merged(one: Vec<LatencyBucket>, other: Vec<LatencyBucket>) -> Vec<LatencyBucket> {
    let mut all = Vec::with_capacity(one.len().max(other.len()));
    let (mut one, mut other) = (one.into_iter().peekable(), other.into_iter().peekable());
    while let Some(next) = match (one.peek(), other.peek()) {
        (Some(first), Some(second)) => match first.from_ms.total_cmp(&second.from_ms) {
            Ordering::Less => one.next(),
            Ordering::Greater => other.next(),
            Ordering::Equal => one.next().zip(other.next()).map(|(first, second)| LatencyBucket {
                count: first.count.saturating_add(second.count),
                ..first
            }),
        },
        (Some(_), None) => one.next(),
        (None, _) => other.next(),
    } {
        all.push(next);
    }
    all
}

/// A quantile of a histogram: the middle of its bucket.
fn quantile_ms(buckets: &[LatencyBucket], q: f64) -> Option<f64> {
    let counts = buckets.iter().map(|bucket| bucket.count);
    let count = counts.fold(0, u64::saturating_add);
    let rank = ((count as f64 * q).ceil() as u64).clamp(1, count.max(1));
    let mut seen = 0;
    let bucket = buckets.iter().find(|bucket| {
        seen = bucket.count.saturating_add(seen);
        seen >= rank
    })?;
    Some((bucket.from_ms + bucket.to_ms.unwrap_or(bucket.from_ms)) / 2.0)
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
    fn figures_of_instances_add_up() {
        let arm = |service: &str, requests: u64, errors: u64, from_ms: f64| ArmStats {
            service: service.to_owned(),
            requests,
            errors,
            rate: requests as f64,
            classes: [("2xx".to_owned(), requests - errors), ("5xx".to_owned(), errors)].into(),
            latency: Some(vec![LatencyBucket {
                from_ms,
                to_ms: Some(from_ms + 2.0),
                count: requests,
            }]),
            ..ArmStats::default()
        };
        let of = |arms: Vec<ArmStats>, route: &str| Stats {
            window_seconds: 60.0,
            instances: 1,
            missing: Vec::new(),
            direct: false,
            started: None,
            routes: vec![RouteStats {
                route: route.to_owned(),
                rollout: None,
                arms,
            }],
        };
        let mut all = Sum::of(of(vec![arm("v1", 60, 0, 1.0), arm("v2", 5, 5, 1.0)], "users"));
        all.add(of(vec![arm("v1", 40, 10, 9.0)], "users"));
        all.add(of(vec![arm("v1", 3, 0, 1.0)], "orders"));
        let mut all = all.finish();
        assert_eq!((all.instances, all.routes.len()), (3, 2));
        let [v1, v2] = &all.routes[0].arms[..] else {
            panic!("{all:?}");
        };
        assert_eq!((v1.requests, v1.errors, v1.classes["5xx"]), (100, 10, 10));
        assert_eq!((v1.rate, v1.error_share), (100.0, 0.1));
        assert_eq!((v1.p50_ms, v1.p90_ms), (Some(2.0), Some(10.0)));
        assert_eq!((v2.requests, v2.p50_ms), (5, Some(2.0)));
        let bounds = all.routes[0].arms[0].latency.iter().flatten();
        assert_eq!(
            bounds.map(|bucket| bucket.from_ms).collect::<Vec<_>>(),
            [1.0, 9.0]
        );
        all.without_details();
        assert!(all.routes.iter().all(|route| route.arms[0].latency.is_none()));
    }

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
