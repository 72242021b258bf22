//! Arms side by side, over the same minutes: what each got in a window, how often it failed, how long it took.
//!
//! The counts are noted every few seconds, those of many routes less often, and kept for an hour, the older the more
//! sparsely. A window is the difference between now and what was noted at its beginning, so it ends now, to the request,
//! and begins within an interval of when it should; what it really covers is said.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_proxy::observe::metrics::histogram::Durations;
use waypost_proxy::observe::metrics::{Reading, RequestReading};

/// How often the counts are noted, unless they are very many.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long they are left alone for each series that was noted, up to a minute: to read one takes some microseconds, most
/// of which are waits for memory, and requests use the same cache.
const REST_PER_SERIES: Duration = Duration::from_millis(1);
/// The longest that they are left alone.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// The longest window.
pub const WINDOW_MAX: Duration = Duration::from_secs(60 * 60);
/// The window when none is named.
pub const WINDOW: Duration = Duration::from_secs(60);
/// How many readings of series are kept in all: some hundred bytes each. Beyond that, windows become shorter.
const READINGS_MAX: usize = 400_000;

/// What was counted in the past.
#[derive(Debug)]
pub struct History {
    /// When counting began, with nothing.
    began: Instant,
    notes: VecDeque<Note>,
    /// Whether notes had to go before their time.
    forgot: bool,
}

/// What had been counted at some time. Series that had not changed since the note before share their reading.
#[derive(Debug)]
struct Note {
    at: Instant,
    series: BTreeMap<(Arc<str>, Arc<str>), Arc<RequestReading>>,
    /// How many readings are not those of an earlier note.
    fresh: usize,
}

/// What arms got in a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// What the window really covers.
    pub window_seconds: f64,
    /// The routes that got requests, or were asked for.
    pub routes: Vec<RouteStats>,
}

/// What the arms of a route got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouteStats {
    /// The route.
    pub route: String,
    /// Its arms in order; last, without a service, requests that none was picked for.
    pub arms: Vec<ArmStats>,
}

/// What one arm got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArmStats {
    /// The service; empty where the gateway answered by itself.
    pub service: String,
    /// Its live weight; not there for what is no arm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u64>,
    /// Requests.
    pub requests: u64,
    /// Requests a second.
    pub rate: f64,
    /// Answers by class, such as `5xx`; `none` is no answer, as the client had left.
    pub classes: BTreeMap<String, u64>,
    /// Answers of class `5xx`.
    pub errors: u64,
    /// The share of answers of class `5xx`.
    pub error_share: f64,
    /// Where that share really lies with a confidence of 95 % (Wilson's score interval).
    pub error_interval: (f64, f64),
    /// Half of the requests took no longer, in milliseconds.
    pub p50_ms: Option<f64>,
    /// Nine in ten took no longer.
    pub p90_ms: Option<f64>,
    /// Ninety-nine in a hundred took no longer.
    pub p99_ms: Option<f64>,
}

impl History {
    /// A history that begins now.
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            notes: VecDeque::new(),
            forgot: false,
        }
    }

    /// How long to wait before the counts are noted again.
    pub fn interval(&self) -> Duration {
        let series = self.notes.back().map_or(0, |note| note.series.len());
        let rest = REST_PER_SERIES * u32::try_from(series).unwrap_or(u32::MAX);
        rest.clamp(INTERVAL, INTERVAL_MAX)
    }

    /// Notes what has been counted.
    pub fn note(&mut self, now: Instant, reading: Reading) {
        let last = self.notes.back();
        let mut fresh = 0;
        let series = reading.requests.into_iter().map(|reading| {
            let key = (Arc::clone(&reading.route), Arc::clone(&reading.service));
            let same = last
                .and_then(|note| note.series.get(&key))
                .filter(|last| ***last == reading);
            fresh += usize::from(same.is_none());
            let reading = same.map_or_else(|| Arc::new(reading), Arc::clone);
            (key, reading)
        });
        let series = series.collect();
        self.notes.push_back(Note {
            at: now,
            series,
            fresh,
        });
        self.thin(now);
    }

    /// Lets go of notes: the older, the fewer are needed.
    fn thin(&mut self, now: Instant) {
        // One note that is older than the longest window is where that begins.
        while self.notes.get(1).is_some_and(|note| now - note.at >= WINDOW_MAX) {
            self.notes.pop_front();
            self.forgot = true;
        }
        let mut at = 1;
        while at + 1 < self.notes.len() {
            let age = now - self.notes[at].at;
            let spacing = match age.as_secs() {
                ..=90 => INTERVAL,
                91..=900 => INTERVAL * 6,
                _ => INTERVAL * 60,
            };
            let gap = self.notes[at + 1].at - self.notes[at - 1].at;
            if gap <= spacing {
                self.notes.remove(at);
            } else {
                at += 1;
            }
        }
        let mut size: usize = self.notes.iter().map(|note| note.fresh).sum();
        while size > READINGS_MAX && self.notes.len() > 1 {
            size -= self.notes.pop_front().map_or(0, |note| note.fresh);
            self.forgot = true;
        }
    }

    /// What has been counted since `window` ago, and how long ago that really is.
    pub fn since(&self, now: Instant, window: Duration, reading: Reading) -> (Duration, Vec<RequestReading>) {
        let from = now.checked_sub(window).unwrap_or(self.began);
        let before = self.notes.iter().rev().find(|note| note.at <= from);
        // Before the first note nothing had been counted, unless there once was an earlier one.
        let base = before.or_else(|| self.notes.front().filter(|_| self.forgot));
        let covered = now.saturating_duration_since(base.map_or(self.began, |note| note.at));
        let series = reading.requests.into_iter().map(|mut reading| {
            let key = (Arc::clone(&reading.route), Arc::clone(&reading.service));
            if let Some(base) = base.and_then(|note| note.series.get(&key)) {
                subtract(&mut reading, base);
            }
            reading
        });
        (covered, series.collect())
    }
}

/// Leaves what has come since `base`. A series that has begun anew, as its route had gone, is left as it is.
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
    /// The statistics of an arm that got this in that time.
    pub fn of(
        service: &str,
        weight: Option<u64>,
        reading: Option<&RequestReading>,
        window: Duration,
    ) -> Self {
        let none = RequestReading::default();
        let reading = reading.unwrap_or(&none);
        let requests = reading.count();
        let mut classes = BTreeMap::new();
        for (status, count) in &reading.statuses {
            *classes.entry(class(*status).to_owned()).or_insert(0) += count;
        }
        let errors = classes.get("5xx").copied().unwrap_or(0);
        let (error_share, error_interval) = wilson(errors, requests);
        let quantile = |durations: &Durations, q: f64| durations.quantile_ms(q);
        Self {
            service: service.to_owned(),
            weight,
            requests,
            rate: requests as f64 / window.as_secs_f64().max(0.001),
            classes,
            errors,
            error_share,
            error_interval,
            p50_ms: quantile(&reading.duration, 0.5),
            p90_ms: quantile(&reading.duration, 0.9),
            p99_ms: quantile(&reading.duration, 0.99),
        }
    }
}

/// The class of a status: `2xx`; `none` for no answer.
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

/// The share of `errors` in `all`, and the interval in which it lies with a confidence of 95 % (E. B. Wilson,
/// "Probable inference, the law of succession, and statistical inference", 1927).
fn wilson(errors: u64, all: u64) -> (f64, (f64, f64)) {
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

    /// A reading of one series with this many answers of status 200.
    fn reading(count: u64) -> Reading {
        let requests = RequestReading {
            route: "r".into(),
            service: "s".into(),
            statuses: vec![(200, count)],
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
    fn a_window_ends_now_and_covers_what_it_says() {
        let start = Instant::now();
        let mut history = History::new(start);
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(counted(&history, at(3), 60, 7), (3, 7), "all of it, at first");
        // A request a second.
        for seconds in (5..=7200).step_by(5) {
            history.note(at(seconds), reading(seconds));
        }
        for (window, most) in [(5, 5), (60, 65), (600, 640), (3600, 3900)] {
            let (covered, count) = counted(&history, at(7200), window, 7200);
            assert_eq!(covered, count, "a window of {window}");
            assert!(covered >= window && covered <= most, "{window}: {covered}");
        }
        assert!(history.notes.len() < 80, "{} notes", history.notes.len());
    }

    #[test]
    fn many_series_are_noted_less_often() {
        let start = Instant::now();
        let mut history = History::new(start);
        assert_eq!(history.interval(), INTERVAL);
        history.note(start, reading(1));
        assert_eq!(history.interval(), INTERVAL);
        let requests = (0..20_000).map(|route| RequestReading {
            route: format!("r{route}").into(),
            ..RequestReading::default()
        });
        let requests = requests.collect();
        history.note(
            start,
            Reading {
                requests,
                ..reading(1)
            },
        );
        assert_eq!(history.interval(), Duration::from_secs(20));
    }

    #[test]
    fn a_series_that_began_anew_counts_whole() {
        let start = Instant::now();
        let mut history = History::new(start);
        history.note(start, reading(1000));
        assert_eq!(counted(&history, start + Duration::from_secs(1), 1, 10).1, 10);
    }

    #[test]
    fn the_interval_is_wilsons() {
        // Values of the formula, as textbooks give them.
        for (errors, all, low, high) in [
            (0, 10, 0.0, 0.2775),
            (5, 10, 0.2366, 0.7634),
            (10, 10, 0.7225, 1.0),
            (1, 100, 0.0018, 0.0545),
        ] {
            let (share, interval) = wilson(errors, all);
            assert!((share - errors as f64 / all as f64).abs() < 1e-12);
            assert!((interval.0 - low).abs() < 1e-4, "{errors}/{all}: {interval:?}");
            assert!((interval.1 - high).abs() < 1e-4, "{errors}/{all}: {interval:?}");
        }
        assert_eq!(wilson(0, 0), (0.0, (0.0, 1.0)), "nothing is known");
    }
}
