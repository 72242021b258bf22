//! Requests of the last hour by series, for statistics over a window.
//!
//! The requests between two looks at the counters are a part. Parts are merged as they grow old, the more of them the older
//! they are, and sooner if they take too much memory: then windows begin less exactly, and at last earlier ones are
//! forgotten. So the memory is bounded however many series there are, and a window has the requests of all of them. It
//! ends exactly now, and begins with a part. Time is an argument.

pub mod ledger;
mod packed;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use waypost_proxy::observe::metrics::RequestReading;

use crate::history::packed::{Counts, Packed, Packing};

/// The time between two looks, unless there are very many series.
const INTERVAL: Duration = Duration::from_secs(5);
/// The least time between two looks for each series. Reading one takes some microseconds, mostly waiting for memory, and
/// competes with requests for the cache.
const INTERVAL_PER_SERIES: Duration = Duration::from_millis(1);
/// The longest time between two looks.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// The longest window.
pub(crate) const WINDOW_MAX: Duration = Duration::from_secs(60 * 60);
/// The memory that it takes, at most.
const BYTES_MAX: usize = 16 << 20;
/// Bytes of a part beside its counts, with the allocation.
const PART: usize = size_of::<Part>() + 16;

/// Requests of the last hour.
#[derive(Debug)]
pub struct History {
    bytes_max: usize,
    /// The start of counting, with all counters at 0.
    began: Instant,
    /// The last look; `None` if the counts of all series do not fit.
    last: Option<Look>,
    /// The parts before the last look, the oldest first, without gaps between them.
    parts: VecDeque<Part>,
    /// The time of the last look, whether it fitted or not.
    looked: Instant,
    /// The number of series then.
    series: usize,
}

/// The counts of all series at a time.
#[derive(Debug)]
struct Look {
    at: Instant,
    counts: Packed,
}

/// The requests from a time to the beginning of the next part.
#[derive(Debug)]
struct Part {
    from: Instant,
    counts: Packed,
}

impl History {
    /// An empty history that begins now.
    pub fn new(now: Instant) -> Self {
        Self::bounded(now, BYTES_MAX)
    }

    fn bounded(now: Instant, bytes_max: usize) -> Self {
        Self {
            bytes_max,
            began: now,
            last: Some(Look {
                at: now,
                counts: Packed::default(),
            }),
            parts: VecDeque::new(),
            looked: now,
            series: 0,
        }
    }

    /// A history of counts that were these when it began.
    fn from_counts(now: Instant, bytes_max: usize, series: usize, counts: Packed) -> Self {
        Self {
            last: Some(Look { at: now, counts }),
            series,
            ..Self::bounded(now, bytes_max)
        }
    }

    /// The requests in a window that ends now, by series, and the time that they cover. What came since the last look is not
    /// among them.
    fn window(&self, now: Instant, window: Duration) -> (BTreeMap<u64, Counts>, Duration) {
        let from = now.checked_sub(window).unwrap_or(self.began);
        let mut all = BTreeMap::<u64, Counts>::new();
        let mut begin = self.looked;
        for part in self.parts.iter().rev() {
            if begin <= from {
                break;
            }
            for (series, counts) in part.counts.entries() {
                all.entry(series).or_default().add(&Counts::unpack(counts));
            }
            begin = part.from;
        }
        (all, now.saturating_duration_since(begin))
    }

    /// Returns true if it is time for another look.
    pub fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.looked) >= self.interval()
    }

    fn interval(&self) -> Duration {
        let interval = INTERVAL_PER_SERIES * u32::try_from(self.series).unwrap_or(u32::MAX);
        interval.clamp(INTERVAL, INTERVAL_MAX)
    }

    /// Returns true if the next look is to read all series, not only those that changed.
    pub fn wants_all(&self) -> bool {
        self.last.is_none()
    }

    /// Records a look at the counters: the numbers of all series there are, and the readings of those that changed since
    /// the look before, both in order.
    pub fn record(
        &mut self,
        now: Instant,
        series: &[u64],
        changed: impl Iterator<Item = (u64, RequestReading)>,
    ) {
        (self.looked, self.series) = (now, series.len());
        let before = self.last.take();
        let mut known = before.iter().flat_map(|last| last.counts.entries()).peekable();
        let mut changed = changed.peekable();
        let (mut all, mut part) = (Packing::default(), Packing::default());
        for series in series {
            while known.next_if(|(other, _)| other < series).is_some() {}
            let earlier = known.next_if(|(other, _)| other == series);
            match (changed.next_if(|(other, _)| other == series), earlier) {
                (Some((_, reading)), earlier) => {
                    let mut counts = Counts::of(reading);
                    all.push(*series, &counts);
                    if let Some((_, earlier)) = earlier {
                        counts.subtract(&Counts::unpack(earlier));
                    }
                    part.push(*series, &counts);
                }
                (None, Some((_, counts))) => all.push_packed(*series, counts),
                (None, None) => {}
            }
            if all.len() > self.bytes_max {
                self.parts.clear();
                return;
            }
        }
        if let Some(before) = &before {
            self.parts.push_back(Part {
                from: before.at,
                counts: part.finish(),
            });
        }
        self.last = Some(Look {
            at: now,
            counts: all.finish(),
        });
        self.thin(now);
    }

    /// Merges and drops parts: the older, the fewer.
    fn thin(&mut self, now: Instant) {
        while self
            .parts
            .get(1)
            .is_some_and(|next| now - next.from >= WINDOW_MAX)
        {
            self.parts.pop_front();
        }
        let mut at = 0;
        while at + 1 < self.parts.len() {
            let age = now - self.parts[at + 1].from;
            let spacing = match age.as_secs() {
                ..=90 => INTERVAL,
                91..=900 => INTERVAL * 6,
                _ => INTERVAL * 60,
            };
            match self.end_of(at + 1) - self.parts[at].from <= spacing {
                true => self.merge(at),
                false => at += 1,
            }
        }
        while self.bytes() > self.bytes_max {
            match self.least_missed(now) {
                Some(at) => self.merge(at),
                None if self.parts.pop_front().is_some() => {}
                None => return,
            }
        }
    }

    /// The part to merge with the next one, by the error of windows that begin there: half of their length at most.
    fn least_missed(&self, now: Instant) -> Option<usize> {
        let error = |at: usize| {
            let from = self.parts[at].from;
            let length = self.end_of(at + 1) - from;
            length.as_secs_f64() / (now - from).as_secs_f64().max(0.001)
        };
        let errors = (0..self.parts.len().saturating_sub(1)).map(|at| (error(at), at));
        let least = errors.min_by(|one, other| one.0.total_cmp(&other.0));
        least.filter(|(error, _)| *error <= 0.5).map(|(_, at)| at)
    }

    /// The end of a part.
    fn end_of(&self, at: usize) -> Instant {
        let next = self.parts.get(at + 1).map(|next| next.from);
        let last = self.last.as_ref().map(|last| last.at);
        next.or(last).unwrap_or(self.began)
    }

    /// Merges a part with the next one.
    fn merge(&mut self, at: usize) {
        if let Some(next) = self.parts.remove(at + 1) {
            let part = &mut self.parts[at];
            part.counts = part.counts.merged(&next.counts);
        }
    }

    /// The memory that it takes.
    fn bytes(&self) -> usize {
        let parts = self.parts.iter().map(|part| PART + part.counts.len());
        let last = self.last.iter().map(|last| last.counts.len());
        parts.chain(last).sum()
    }

    /// Takes from readings of now, by the numbers of their series, what came before the `window`. Returns the time that
    /// they then cover.
    pub fn since(&self, now: Instant, window: Duration, readings: &mut [(u64, RequestReading)]) -> Duration {
        let Some(last) = &self.last else {
            // Nothing is known but the counts since the start.
            return now.saturating_duration_since(self.began);
        };
        let from = now.checked_sub(window).unwrap_or(self.began);
        readings.sort_unstable_by_key(|(series, _)| *series);
        each(readings, &last.counts, |counts, earlier| {
            counts.subtract(&earlier);
        });
        let mut begin = last.at;
        for part in self.parts.iter().rev() {
            if begin <= from {
                break;
            }
            each(readings, &part.counts, |counts, more| counts.add(&more));
            begin = part.from;
        }
        now.saturating_duration_since(begin)
    }
}

/// Changes readings, which are in order, by the counts of their series.
fn each(readings: &mut [(u64, RequestReading)], counts: &Packed, change: impl Fn(&mut Counts, Counts)) {
    let mut entries = counts.entries().peekable();
    for (series, reading) in readings {
        while entries.next_if(|(other, _)| other < series).is_some() {}
        if let Some((_, counts)) = entries.next_if(|(other, _)| other == series) {
            let mut own = Counts {
                statuses: std::mem::take(&mut reading.statuses),
                refused: reading.refused,
                durations: std::mem::take(&mut reading.duration),
            };
            change(&mut own, Counts::unpack(counts));
            (reading.statuses, reading.duration) = (own.statuses, own.durations);
            reading.refused = own.refused;
        }
    }
}

#[cfg(test)]
mod tests;
