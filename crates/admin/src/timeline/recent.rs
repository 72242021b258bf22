//! The figures of routes over the last minutes, as a table of all routes shows them.

use std::sync::Arc;

use super::ring::{Counts, MINUTE, Ring, SECONDS};
use super::{Kept, Timeline, middle_ms};

/// Seconds of a point of a sparkline.
const TICK: u64 = 10;
/// Points of a sparkline: ten minutes, less the one that is not over.
const TICKS: u64 = SECONDS / TICK - 1;

/// The figures of a route over a window that ends with the last sweep.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Recent {
    /// The seconds that are known of the window.
    pub(crate) seconds: u64,
    pub(crate) counts: Counts,
    /// The 99th percentile of the duration, of the slowest minutes that have 1 % of the requests together.
    pub(crate) p99_ms: Option<f64>,
}

/// Requests of a route in parts of equal length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sparkline {
    /// The first second of the first part.
    pub(crate) begin: u64,
    pub(crate) step_seconds: u64,
    pub(crate) points: Vec<Counts>,
}

/// Requests of this minute and the one before, of every route that is known.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LastMinutes {
    /// The last minute that it was written for.
    minute: u32,
    now: Counts,
    before: Counts,
}

impl LastMinutes {
    pub(super) fn add(&mut self, minute: u64, counts: Counts) {
        let minute = minute as u32;
        if minute != self.minute {
            self.before = self.of(minute.wrapping_sub(1));
            self.now = Counts::default();
            self.minute = minute;
        }
        self.now.add(counts);
    }

    fn of(&self, minute: u32) -> Counts {
        match self.minute.wrapping_sub(minute) {
            0 => self.now,
            1 => self.before,
            _ => Counts::default(),
        }
    }
}

impl Recent {
    /// Requests per second.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(self.counts.requests) / self.seconds.max(1) as f64
    }

    /// The share of failed requests.
    pub(crate) fn failure_share(&self) -> f64 {
        f64::from(self.counts.failures) / f64::from(self.counts.requests.max(1))
    }
}

impl Timeline {
    /// The figures of the routes with requests in a window of this many seconds, as far as they are known.
    pub(crate) fn recent(&self, window: u64) -> impl Iterator<Item = (&Arc<str>, Recent)> {
        let known = self.routes.iter();
        let known = known.filter_map(move |(route, kept)| Some((route, self.recent_of_kept(kept, window)?)));
        known.filter(|(_, recent)| recent.counts.requests > 0)
    }

    /// The figures of a route in a window of this many seconds; `None` if they are not known.
    pub(crate) fn recent_of(&self, route: &str, window: u64) -> Option<Recent> {
        let whole = self.whole.as_ref()?;
        if let Some(kept) = self.routes.get(route) {
            return self.recent_of_kept(kept, window);
        }
        // Without requests, or left out.
        (self.routes.len() < self.routes_max).then(|| Recent {
            seconds: self.seconds_since(whole.since()).min(window),
            ..Recent::default()
        })
    }

    /// The arms of a route with requests in a window of this many seconds, each with its requests and failures; none if the
    /// route is not kept by the second. The gateway's own responses have no service.
    pub(crate) fn arms_of(&self, route: &str, window: u64) -> Vec<(Arc<str>, u32, u32)> {
        let first = (self.upto + 1).saturating_sub(window.min(SECONDS));
        let fine = self.routes.get(route).and_then(|kept| kept.fine.as_ref());
        let arms = fine.iter().flat_map(|fine| {
            let is_only = fine.arms.len() == 1;
            fine.arms.iter().filter_map(move |arm| {
                let ring = arm.ring.as_ref().or_else(|| is_only.then_some(&fine.ring))?;
                let counts = ring.sum_of_seconds(first, self.upto);
                (counts.requests > 0).then(|| (Arc::clone(&arm.service), counts.requests, counts.failures))
            })
        });
        arms.collect()
    }

    fn recent_of_kept(&self, kept: &Kept, window: u64) -> Option<Recent> {
        match &kept.fine {
            Some(fine) => Some(self.recent_of_ring(&fine.ring, window)),
            None => self.recent_of_minutes(kept.last_minutes, window),
        }
    }

    fn recent_of_ring(&self, ring: &Ring, window: u64) -> Recent {
        let first = (self.upto + 1).saturating_sub(window);
        let minutes = (first / MINUTE..=self.upto / MINUTE).filter_map(|minute| ring.minute(minute));
        let counts: Counts = match window <= SECONDS {
            true => ring.sum_of_seconds(first, self.upto),
            false => minutes.clone().map(|point| point.counts).sum(),
        };
        let mut slowest: Vec<(usize, u32)> = minutes
            .filter_map(|point| Some((point.p99()?, point.counts.requests)))
            .collect();
        slowest.sort_unstable_by(|one, other| other.cmp(one));
        let all: u64 = slowest.iter().map(|(_, requests)| u64::from(*requests)).sum();
        let mut seen = 0;
        let p99 = slowest.iter().find(|(_, requests)| {
            seen += u64::from(*requests);
            seen * 100 >= all
        });
        Recent {
            seconds: self.seconds_since(ring.since()).min(window),
            counts,
            p99_ms: p99
                .filter(|_| counts.requests > 0)
                .map(|(bucket, _)| middle_ms(*bucket)),
        }
    }

    /// The figures of a route without a ring, over this minute and the one before.
    fn recent_of_minutes(&self, minutes: LastMinutes, window: u64) -> Option<Recent> {
        if window > 2 * MINUTE {
            return None;
        }
        let minute = (self.upto / MINUTE) as u32;
        let counts = [minute, minute.wrapping_sub(1)].map(|minute| minutes.of(minute));
        let since = self.whole.as_ref().map_or(self.upto, Ring::since);
        Some(Recent {
            seconds: self.seconds_since(since).min(MINUTE + self.upto % MINUTE + 1),
            counts: counts.into_iter().sum(),
            p99_ms: None,
        })
    }

    /// The seconds from `since` to the end of the last one.
    fn seconds_since(&self, since: u64) -> u64 {
        (self.upto + 1).saturating_sub(since).max(1)
    }

    /// The requests of a route in the last ten minutes; `None` if it is not kept by the second.
    pub(crate) fn sparkline(&self, route: &str) -> Option<Sparkline> {
        let end = (self.upto + 1) / TICK * TICK;
        let begin = end.saturating_sub(TICKS * TICK);
        let ring = match self.routes.get(route) {
            Some(kept) => Some(&kept.fine.as_ref()?.ring),
            None if self.routes.len() < self.routes_max => None,
            None => return None,
        };
        let ticks = (0..TICKS).map(|tick| begin + tick * TICK);
        let points = ticks.map(|first| {
            ring.map_or_else(Counts::default, |ring| {
                ring.sum_of_seconds(first, first + TICK - 1)
            })
        });
        Some(Sparkline {
            begin,
            step_seconds: TICK,
            points: points.collect(),
        })
    }
}
