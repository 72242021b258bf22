//! The figures of the last day: of the gateway, of its routes and of their arms.
//!
//! A sweep of the counters once a second tells what came since the last one. The gateway as a whole, the busiest routes
//! and those that fail are kept by the second for ten minutes and by the minute for a day; other routes by the hour,
//! and what does not fit only as a part of the whole. So the memory is bounded, however many routes there are. Names
//! are the keys, so a reload does not matter. Time is an argument.

pub(crate) mod durations;
mod fine;
pub(crate) mod fleet;
pub(crate) mod lately;
mod recent;
mod ring;
pub(crate) mod rounds;
pub(crate) mod shared;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use waypost_proxy::observe::metrics::sweep::Swept;
use waypost_upstream::histogram::bounds_ms;

use crate::timeline::durations::Sparse;
use crate::timeline::fine::{Fine, add_by_mean};
use crate::timeline::recent::LastMinutes;
pub(crate) use crate::timeline::recent::{Recent, Sparkline};
pub(crate) use crate::timeline::ring::{Counts, Point};
use crate::timeline::ring::{HOUR, HOURS, Hours, MINUTE, MINUTES, Ring, SECONDS, Span, Tally};

/// Rings for routes and arms, beside that of the whole.
const RINGS_MAX: usize = 300;
/// Routes that are kept by the hour.
const ROUTES_MAX: usize = 11_000;
/// The memory of all figures and marks together, at most.
pub const BYTES_MAX: usize = 16 << 20;
/// The memory of the durations of a route or arm by the second, and as much by the minute, at most. They are kept in a fleet.
const DURATIONS_BYTES: usize = 32 << 10;
/// The same for all requests.
const DURATIONS_BYTES_OF_WHOLE: usize = 256 << 10;
/// The memory of all durations together, at most.
pub const DURATIONS_BYTES_MAX: usize = 20 << 20;
/// Sweeps come once a second for this many series, and less often for more: a sweep looks at each.
const SERIES_A_SECOND: usize = 40_000;
/// The longest time between two sweeps.
const INTERVAL_MAX: Duration = Duration::from_secs(10);
/// Seconds over which the counts of one sweep are spread. Before them, the gateway was stopped.
const SPREAD_MAX: u64 = 15;
/// Seconds by which the clock may go back. If it goes back further, all figures are dropped.
const BACK_MAX: u64 = 60;
/// Routes that a new one may take the place of until the next minute.
const WEAK_MAX: usize = 256;
/// Requests that a failure counts for when it is decided which routes are kept by the second.
const FAILURE_WEIGHT: u64 = 64;
/// Bytes that an allocation takes beyond those that were asked for.
const ALLOCATION: usize = 16;

/// The upper bounds of the buckets of durations, in milliseconds.
static BOUNDS_MS: LazyLock<Vec<f64>> = LazyLock::new(bounds_ms);

/// The middle of a bucket, in milliseconds.
pub(crate) fn middle_ms(bucket: usize) -> f64 {
    let lower = bucket.checked_sub(1).map_or(0.001, |before| BOUNDS_MS[before]);
    let middle = f64::midpoint(lower, BOUNDS_MS[bucket]);
    // Without the noise of binary fractions.
    (middle * 1e6).round() / 1e6
}

/// The bucket of a duration.
pub(crate) fn bucket_of_ms(ms: f64) -> u16 {
    let bucket = BOUNDS_MS.partition_point(|bound| *bound <= ms);
    bucket.min(BOUNDS_MS.len() - 1) as u16
}

/// The requests of a route to a service since the last sweep.
pub(crate) trait Change {
    fn route(&self) -> &Arc<str>;
    fn service(&self) -> &Arc<str>;
    fn requests(&self) -> u64;
    fn failures(&self) -> u64;
    /// Requests that a rule refused.
    fn refused(&self) -> u64;
    /// The sum of the durations, in microseconds.
    fn sum_us(&self) -> u64;
    /// True if there were no requests before.
    fn is_first(&self) -> bool;
    /// Adds the durations of all requests so far, by bucket.
    fn add_durations_to(&self, sums: &mut Vec<u64>);
}

impl Change for Swept {
    fn route(&self) -> &Arc<str> {
        &self.route
    }

    fn service(&self) -> &Arc<str> {
        &self.service
    }

    fn requests(&self) -> u64 {
        self.requests
    }

    fn failures(&self) -> u64 {
        self.failed
    }

    fn refused(&self) -> u64 {
        self.refused
    }

    fn sum_us(&self) -> u64 {
        self.sum_us
    }

    fn is_first(&self) -> bool {
        self.is_first
    }

    fn add_durations_to(&self, sums: &mut Vec<u64>) {
        self.add_durations_to(sums);
    }
}

/// The figures of the last day.
#[derive(Debug)]
pub(crate) struct Timeline {
    rings_max: usize,
    routes_max: usize,
    /// All requests; `None` before the first sweep.
    whole: Option<Ring>,
    /// The last second that figures are known of.
    upto: u64,
    /// Boxed, so that a table that has grown does not count for much.
    routes: HashMap<Arc<str>, Box<Kept>>,
    /// Rings of routes and arms.
    rings: usize,
    /// The weakest routes without rings, the weakest last.
    weak: Vec<Arc<str>>,
    /// Requests so far that are only a part of the whole.
    left_out: u64,
    /// True if the durations of parts are kept, by bucket.
    keeps_durations: bool,
}

/// A route.
#[derive(Debug, Default)]
struct Kept {
    hours: Hours,
    last_minutes: LastMinutes,
    /// Requests and failures, older ones counting less.
    requests: u64,
    failures: u64,
    fine: Option<Box<Fine>>,
}

/// The length of the parts of time that figures are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Second,
    Minute,
}

/// The figures of the subject or of an arm.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// The service of an arm.
    pub(crate) service: Option<Arc<str>>,
    /// A point for each part. `None` is a part from which nothing was kept.
    pub(crate) points: Vec<Option<Point>>,
    /// The durations of each part by bucket, where they are kept: in a fleet, for figures that are summed.
    pub(crate) durations: Option<Vec<Option<Sparse>>>,
}

/// Figures in parts of equal length.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figures {
    pub(crate) step_seconds: u64,
    /// The first second of the first part.
    pub(crate) begin: u64,
    /// The first second that a later look would add, or change.
    pub(crate) next: u64,
    /// The subject itself, then its arms by service.
    pub(crate) series: Vec<Series>,
}

/// Requests of a route by the hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ByHour {
    /// The first second of the first hour.
    pub(crate) begin: u64,
    pub(crate) hours: Vec<Counts>,
}

/// The memory that is used, and what did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) bytes: usize,
    pub(crate) bytes_max: usize,
    pub(crate) rings: usize,
    pub(crate) rings_max: usize,
    pub(crate) routes: usize,
    pub(crate) routes_max: usize,
    pub(crate) left_out: u64,
}

impl Step {
    /// The length of a part.
    pub(crate) fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => MINUTE,
        }
    }
}

impl Default for Timeline {
    fn default() -> Self {
        Self::new(RINGS_MAX, ROUTES_MAX)
    }
}

impl Timeline {
    fn new(rings_max: usize, routes_max: usize) -> Self {
        Self {
            rings_max,
            routes_max,
            whole: None,
            upto: 0,
            routes: HashMap::new(),
            rings: 0,
            weak: Vec::new(),
            left_out: 0,
            keeps_durations: false,
        }
    }

    /// Keeps the durations of parts from now on, so that the figures of several instances can be summed.
    pub(crate) fn keep_durations(&mut self) {
        self.keeps_durations = true;
        if let Some(whole) = &mut self.whole {
            whole.keep_durations(DURATIONS_BYTES_OF_WHOLE);
        }
        let fine = self.routes.values_mut().filter_map(|kept| kept.fine.as_mut());
        fine.for_each(|fine| fine.keep_durations());
    }

    /// The memory of the durations of a route or arm, if they are kept.
    fn durations_bytes(&self) -> Option<usize> {
        self.keeps_durations.then_some(DURATIONS_BYTES)
    }

    /// The time from one sweep to the next, with this many series.
    pub(crate) fn interval(series: usize) -> Duration {
        let seconds = series.div_ceil(SERIES_A_SECOND).max(1) as u64;
        Duration::from_secs(seconds).min(INTERVAL_MAX)
    }

    /// Records the changes up to the end of the second `now`, in order of their routes.
    pub(crate) fn record(&mut self, now: u64, changes: &[impl Change]) {
        let span = self.span(now);
        let minute = self.upto / MINUTE;
        self.upto = span.last;
        if span.last / MINUTE > minute {
            self.choose();
        }
        let (mut all, mut of_route, mut of_arm) = (Tally::default(), Tally::default(), Tally::default());
        for changes in changes.chunk_by(|one, next| one.route() == next.route()) {
            of_route.clear();
            self.record_route(span, changes, &mut of_route, &mut of_arm);
            all.add(&of_route);
        }
        let durations = self.keeps_durations.then_some(DURATIONS_BYTES_OF_WHOLE);
        self.whole
            .get_or_insert_with(|| Ring::new(span.first).keeping(durations))
            .add(span, &all);
    }

    /// The seconds up to `now` that are not recorded yet.
    fn span(&mut self, now: u64) -> Span {
        if self.whole.is_none() {
            return Span {
                first: now,
                last: now,
            };
        }
        if now + BACK_MAX < self.upto {
            *self = Self {
                keeps_durations: self.keeps_durations,
                ..Self::new(self.rings_max, self.routes_max)
            };
            return Span {
                first: now,
                last: now,
            };
        }
        let last = now.max(self.upto);
        let first = (self.upto + 1)
            .min(last)
            .max((last + 1).saturating_sub(SPREAD_MAX));
        Span { first, last }
    }

    /// Records the changes of one route, and adds them up in `sum`.
    fn record_route(&mut self, span: Span, changes: &[impl Change], sum: &mut Tally, of_arm: &mut Tally) {
        let Some(first) = changes.first() else { return };
        let requests = changes.iter().map(Change::requests).sum();
        let failures = changes.iter().map(Change::failures).sum();
        let refused: u64 = changes.iter().map(Change::refused).sum();
        let counts = Counts {
            requests: requests as u32,
            failures: failures as u32,
            refused: refused as u32,
        };
        if !self.make_place(first.route(), requests, failures) {
            self.left_out += requests;
            changes.iter().for_each(|change| add_by_mean(sum, change));
            return;
        }
        let durations = self.durations_bytes();
        let kept = self.routes.entry(Arc::clone(first.route())).or_default();
        kept.hours.add(span.last / HOUR, counts);
        kept.last_minutes.add(span.last / MINUTE, counts);
        kept.requests += requests;
        kept.failures += failures;
        if kept.fine.is_none() && self.rings < self.rings_max {
            self.rings += 1;
            kept.fine = Some(Box::new(Fine::new(span.first, durations)));
        }
        match &mut kept.fine {
            Some(fine) => {
                self.rings += fine.add_arms(changes, self.rings_max - self.rings);
                for change in changes {
                    of_arm.clear();
                    fine.record(span, change, of_arm);
                    sum.add(of_arm);
                }
                fine.ring.add(span, sum);
            }
            None => changes.iter().for_each(|change| add_by_mean(sum, change)),
        }
    }

    /// Returns true if there is a place for a route, if need be that of a weaker one.
    fn make_place(&mut self, route: &Arc<str>, requests: u64, failures: u64) -> bool {
        if self.routes.len() < self.routes_max || self.routes.contains_key(route) {
            return true;
        }
        let Some(weakest) = self.weak.last() else {
            return false;
        };
        let weakest = self.routes.get(weakest);
        if weakest.is_some_and(|kept| kept.fine.is_some() || kept.weight() >= weight(requests, failures)) {
            return false;
        }
        if let Some(name) = self.weak.pop() {
            self.routes.remove(&name);
        }
        self.routes.len() < self.routes_max
    }

    /// Decides which routes have rings, once a minute: those with the most failures and requests of late.
    fn choose(&mut self) {
        let hour = self.upto / HOUR;
        let mut rings = 0;
        self.routes.retain(|_, kept| {
            kept.requests -= kept.requests.div_ceil(8);
            kept.failures -= kept.failures.div_ceil(8);
            let stays = !kept.hours.are_empty(hour);
            rings += kept
                .fine
                .as_ref()
                .filter(|_| stays)
                .map_or(0, |fine| fine.rings());
            stays
        });
        self.rings = rings;
        let (mut fine, mut coarse): (Vec<_>, Vec<_>) = self
            .routes
            .iter()
            .map(|(name, kept)| (kept.weight(), Arc::clone(name), kept.fine.is_some()))
            .partition(|(_, _, is_fine)| *is_fine);
        coarse.sort_unstable_by(|one, other| (other.0, &one.1).cmp(&(one.0, &other.1)));
        fine.sort_unstable_by(|one, other| (other.0, &one.1).cmp(&(one.0, &other.1)));
        let durations = self.durations_bytes();
        for (candidate, name, _) in coarse.iter().take(self.rings_max) {
            while self.rings >= self.rings_max
                // One that is about as busy is not worth the loss of what is known.
                && fine.last().is_some_and(|(weakest, _, _)| weakest * 2 < *candidate)
                && let Some(weakest) = fine.pop()
                && let Some(kept) = self.routes.get_mut(&weakest.1)
            {
                self.rings -= kept.fine.take().map_or(0, |fine| fine.rings());
            }
            if *candidate == 0 || self.rings >= self.rings_max {
                break;
            }
            if let Some(kept) = self.routes.get_mut(name) {
                self.rings += 1;
                kept.fine = Some(Box::new(Fine::new(self.upto, durations)));
            }
        }
        let weak = coarse.len().saturating_sub(WEAK_MAX);
        self.weak = coarse.drain(weak..).map(|(_, name, _)| name).collect();
    }

    /// The last second that figures are known of; `None` before the first sweep.
    pub(crate) fn upto(&self) -> Option<u64> {
        self.whole.as_ref().map(|_| self.upto)
    }

    /// The figures of all requests, from the second `from` on at most.
    pub(crate) fn of_whole(&self, step: Step, from: u64) -> Option<Figures> {
        let ring = self.whole.as_ref()?;
        Some(self.figures(step, from, ring, [(None, ring)].into_iter()))
    }

    /// The figures of a route and its arms, from the second `from` on at most. They are by the hour, and without arms, if
    /// it has no ring. `None` if nothing is kept of it.
    pub(crate) fn of_route(&self, route: &str, step: Step, from: u64) -> Option<Figures> {
        let whole = self.whole.as_ref()?;
        let Some(kept) = self.routes.get(route) else {
            // Without requests, or left out.
            let is_known = self.routes.len() < self.routes_max;
            let none = Ring::new(whole.since());
            return is_known.then(|| self.figures(step, from, whole, [(None, &none)].into_iter()));
        };
        if let Some(fine) = &kept.fine {
            let arms = fine.arms.iter().filter_map(|arm| {
                let is_only = fine.arms.len() == 1;
                let ring = arm.ring.as_ref().or_else(|| is_only.then_some(&fine.ring))?;
                Some((Some(Arc::clone(&arm.service)), ring))
            });
            let all = [(None, &fine.ring)].into_iter().chain(arms);
            return Some(self.figures(step, from, &fine.ring, all));
        }
        let ByHour { begin, hours } = self.by_hour(kept, whole, from);
        Some(Figures {
            step_seconds: HOUR,
            begin,
            next: self.upto / HOUR * HOUR,
            series: vec![Series {
                service: None,
                points: hours.into_iter().map(|hour| Some(Point::from(hour))).collect(),
                durations: None,
            }],
        })
    }

    /// The requests of a route by the hour. `None` if nothing is kept of it.
    pub(crate) fn hours_of(&self, route: &str) -> Option<ByHour> {
        let whole = self.whole.as_ref()?;
        match self.routes.get(route) {
            Some(kept) => Some(self.by_hour(kept, whole, 0)),
            // Without requests, or left out.
            None if self.routes.len() < self.routes_max => Some(self.by_hour(&Kept::default(), whole, 0)),
            None => None,
        }
    }

    fn by_hour(&self, kept: &Kept, whole: &Ring, from: u64) -> ByHour {
        let now = self.upto / HOUR;
        let first = (now + 1)
            .saturating_sub(HOURS)
            .max(whole.since() / HOUR)
            .max(from / HOUR);
        ByHour {
            begin: first * HOUR,
            hours: (first..=now).map(|hour| kept.hours.hour(hour)).collect(),
        }
    }

    /// The figures of `rings` since the beginning of `longest`.
    fn figures<'r>(
        &self,
        step: Step,
        from: u64,
        longest: &Ring,
        rings: impl Iterator<Item = (Option<Arc<str>>, &'r Ring)>,
    ) -> Figures {
        let (length, most) = match step {
            Step::Second => (1, SECONDS),
            Step::Minute => (MINUTE, MINUTES),
        };
        let last = self.upto / length;
        let first = (last + 1)
            .saturating_sub(most)
            .max(longest.since() / length)
            .max(from / length);
        let series = rings.map(|(service, ring)| {
            let points = (first..=last).map(|at| match step {
                Step::Second => ring.second(at),
                Step::Minute => ring.minute(at),
            });
            Series {
                service,
                points: points.collect(),
                durations: match step {
                    Step::Second => ring.durations_of_seconds(first, last),
                    Step::Minute => ring.durations_of_minutes(first, last),
                },
            }
        });
        Figures {
            step_seconds: length,
            begin: first * length,
            // The last minute is not over.
            next: match step {
                Step::Second => self.upto + 1,
                Step::Minute => last * length,
            },
            series: series.collect(),
        }
    }

    /// The memory that is used, and what did not fit.
    pub(crate) fn usage(&self) -> Use {
        let rings = self.rings + usize::from(self.whole.is_some());
        // A hash table has a byte for each of its places, an eighth of which stay empty.
        let places = self.routes.capacity() * 8 / 7;
        let fine = self.routes.values().filter_map(|kept| kept.fine.as_ref());
        let durations = self.whole.as_ref().map_or(0, Ring::durations_bytes)
            + fine.map(|fine| fine.durations_bytes()).sum::<usize>();
        Use {
            bytes_max: BYTES_MAX
                + if self.keeps_durations {
                    DURATIONS_BYTES_MAX
                } else {
                    0
                },
            bytes: durations
                + rings * Fine::BYTES_OF_RING
                + places * (size_of::<(Arc<str>, Box<Kept>)>() + 1)
                + self.routes.len() * (size_of::<Kept>() + ALLOCATION),
            rings: self.rings,
            rings_max: self.rings_max,
            routes: self.routes.len(),
            routes_max: self.routes_max,
            left_out: self.left_out,
        }
    }
}

impl Kept {
    /// The weight by which it is decided what is kept.
    fn weight(&self) -> u64 {
        weight(self.requests, self.failures)
    }
}

fn weight(requests: u64, failures: u64) -> u64 {
    failures.saturating_mul(FAILURE_WEIGHT).saturating_add(requests)
}
