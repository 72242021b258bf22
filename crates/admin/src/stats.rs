//! Statistics of arms over the same time window: requests, errors and latencies.
//!
//! The counters are sampled every few seconds, less often with many routes, and kept for an hour; older samples are
//! thinned out. A window is the difference between the counters now and the sample at its beginning, so it ends exactly
//! now and begins within one sampling interval of the requested time. The actual length is part of the result.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_proxy::observe::metrics::{Reading, RequestReading};
use waypost_upstream::histogram::Durations;

use crate::report::RolloutReport;

/// The sampling interval, unless there are very many series.
const INTERVAL: Duration = Duration::from_secs(5);
/// Minimum sampling interval per series. Reading one takes some microseconds, mostly waiting for memory, and competes with
/// requests for the cache.
const INTERVAL_PER_SERIES: Duration = Duration::from_millis(1);
/// The maximum sampling interval.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// The maximum window.
pub const WINDOW_MAX: Duration = Duration::from_secs(60 * 60);
/// The default window.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Maximum number of stored readings, of some hundred bytes each. Beyond it, windows become shorter.
const READINGS_MAX: usize = 400_000;

/// Past samples of the counters.
#[derive(Debug)]
pub struct History {
    /// The start of counting, with all counters at 0.
    began: Instant,
    samples: VecDeque<Sample>,
    /// True once samples have been dropped from the beginning.
    truncated: bool,
}

/// The counters at one time. Series that did not change since the previous sample share its reading.
#[derive(Debug)]
struct Sample {
    at: Instant,
    series: BTreeMap<(Arc<str>, Arc<str>), Arc<RequestReading>>,
    /// Number of readings not shared with the previous sample.
    fresh: usize,
}

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

impl History {
    /// An empty history that begins now.
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            samples: VecDeque::new(),
            truncated: false,
        }
    }

    /// Time to wait before the next sample.
    pub fn interval(&self) -> Duration {
        let series = self.samples.back().map_or(0, |sample| sample.series.len());
        let interval = INTERVAL_PER_SERIES * u32::try_from(series).unwrap_or(u32::MAX);
        interval.clamp(INTERVAL, INTERVAL_MAX)
    }

    /// Records a sample.
    pub fn record(&mut self, now: Instant, reading: Reading) {
        let last = self.samples.back();
        let mut fresh = 0;
        let series = reading.requests.into_iter().map(|reading| {
            let key = (Arc::clone(&reading.route), Arc::clone(&reading.service));
            let same = last
                .and_then(|sample| sample.series.get(&key))
                .filter(|last| ***last == reading);
            fresh += usize::from(same.is_none());
            let reading = same.map_or_else(|| Arc::new(reading), Arc::clone);
            (key, reading)
        });
        let series = series.collect();
        self.samples.push_back(Sample {
            at: now,
            series,
            fresh,
        });
        self.thin(now);
    }

    /// Drops samples that are not needed: the older, the fewer.
    fn thin(&mut self, now: Instant) {
        // Keep one sample older than the maximum window, for its beginning.
        while self
            .samples
            .get(1)
            .is_some_and(|sample| now - sample.at >= WINDOW_MAX)
        {
            self.samples.pop_front();
            self.truncated = true;
        }
        let mut at = 1;
        while at + 1 < self.samples.len() {
            let age = now - self.samples[at].at;
            let spacing = match age.as_secs() {
                ..=90 => INTERVAL,
                91..=900 => INTERVAL * 6,
                _ => INTERVAL * 60,
            };
            let gap = self.samples[at + 1].at - self.samples[at - 1].at;
            if gap <= spacing {
                self.samples.remove(at);
            } else {
                at += 1;
            }
        }
        let mut size: usize = self.samples.iter().map(|sample| sample.fresh).sum();
        while size > READINGS_MAX && self.samples.len() > 1 {
            size -= self.samples.pop_front().map_or(0, |sample| sample.fresh);
            self.truncated = true;
        }
    }

    /// The counts over `window`, and the time that they actually cover.
    pub fn since(&self, now: Instant, window: Duration, reading: Reading) -> (Duration, Vec<RequestReading>) {
        let from = now.checked_sub(window).unwrap_or(self.began);
        let before = self.samples.iter().rev().find(|sample| sample.at <= from);
        // Before the first sample all counters were 0, unless earlier samples were dropped.
        let base = before.or_else(|| self.samples.front().filter(|_| self.truncated));
        let covered = now.saturating_duration_since(base.map_or(self.began, |sample| sample.at));
        let series = reading.requests.into_iter().map(|mut reading| {
            let key = (Arc::clone(&reading.route), Arc::clone(&reading.service));
            if let Some(base) = base.and_then(|sample| sample.series.get(&key)) {
                subtract(&mut reading, base);
            }
            reading
        });
        (covered, series.collect())
    }
}

/// Subtracts `base`. A series that restarted at 0, because its route was removed and added again, is left as it is.
fn subtract(reading: &mut RequestReading, base: &RequestReading) {
    if reading.count() < base.count() {
        return;
    }
    for (status, count) in &base.statuses {
        if let Ok(at) = reading
            .statuses
            .binary_search_by_key(status, |(status, _)| *status)
        {
            reading.statuses[at].1 = reading.statuses[at].1.saturating_sub(*count);
        }
    }
    reading.statuses.retain(|(_, count)| *count > 0);
    reading.duration = reading.duration.since(&base.duration);
    reading.upstream = reading.upstream.since(&base.upstream);
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
    use waypost_policy::status::RequestStatus;

    /// A reading of one series with this many responses of status 200.
    fn reading(count: u64) -> Reading {
        let requests = RequestReading {
            route: "r".into(),
            service: "s".into(),
            statuses: vec![(RequestStatus::http(200), count)],
            ..RequestReading::default()
        };
        Reading {
            requests: vec![requests],
            ..Reading::default()
        }
    }

    fn counted(history: &History, now: Instant, window: u64, count: u64) -> (u64, u64) {
        let (covered, series) = history.since(now, Duration::from_secs(window), reading(count));
        (covered.as_secs(), series[0].count())
    }

    #[test]
    fn window_ends_now_and_reports_its_length() {
        let start = Instant::now();
        let mut history = History::new(start);
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(counted(&history, at(3), 60, 7), (3, 7), "all of it, at first");
        // A request a second.
        for seconds in (5..=7200).step_by(5) {
            history.record(at(seconds), reading(seconds));
        }
        for (window, most) in [(5, 5), (60, 65), (600, 640), (3600, 3900)] {
            let (covered, count) = counted(&history, at(7200), window, 7200);
            assert_eq!(covered, count, "a window of {window}");
            assert!(covered >= window && covered <= most, "{window}: {covered}");
        }
        assert!(history.samples.len() < 80, "{} samples", history.samples.len());
    }

    #[test]
    fn many_series_are_sampled_less_often() {
        let start = Instant::now();
        let mut history = History::new(start);
        assert_eq!(history.interval(), INTERVAL);
        history.record(start, reading(1));
        assert_eq!(history.interval(), INTERVAL);
        let requests = (0..20_000).map(|route| RequestReading {
            route: format!("r{route}").into(),
            ..RequestReading::default()
        });
        let requests = requests.collect();
        history.record(
            start,
            Reading {
                requests,
                ..reading(1)
            },
        );
        assert_eq!(history.interval(), Duration::from_secs(20));
    }

    #[test]
    fn restarted_series_counts_in_full() {
        let start = Instant::now();
        let mut history = History::new(start);
        history.record(start, reading(1000));
        assert_eq!(counted(&history, start + Duration::from_secs(1), 1, 10).1, 10);
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
