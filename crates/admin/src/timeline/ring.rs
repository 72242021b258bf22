//! Figures of one subject in rings: by the second, by the minute, or coarsely by the hour.

use std::iter::Sum;

use waypost_upstream::histogram::BUCKETS;

use super::durations::{Parts, Sparse};

/// Seconds that are kept one by one: ten minutes.
pub(crate) const SECONDS: u64 = 600;
/// Minutes that are kept one by one: a day.
pub(crate) const MINUTES: u64 = 24 * 60;
/// Hours that are kept of what is kept coarsely: a day.
pub(crate) const HOURS: u64 = 24;

/// Seconds of a minute.
pub(crate) const MINUTE: u64 = 60;
/// Seconds of an hour.
pub(crate) const HOUR: u64 = 60 * MINUTE;

/// Requests by the bucket of their duration.
pub(crate) type Buckets = Box<[u32; BUCKETS]>;

/// No requests in any bucket.
pub(crate) fn no_buckets() -> Buckets {
    Box::new([0; BUCKETS])
}

/// Requests, and what became of some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u32,
    pub(crate) failures: u32,
    /// Requests that a rule refused; they are no failures.
    pub(crate) refused: u32,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.failures = self.failures.saturating_add(other.failures);
        self.refused = self.refused.saturating_add(other.refused);
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        let mut sum = Self::default();
        all.for_each(|counts| sum.add(counts));
        sum
    }
}

/// The figures of a second, a minute or an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) counts: Counts,
    /// The buckets of the quantiles of the durations; [`UNKNOWN`] without any.
    p50: u16,
    p99: u16,
}

impl From<Counts> for Point {
    fn from(counts: Counts) -> Self {
        Self { counts, ..Self::NONE }
    }
}

/// Stands for a quantile that is not known.
const UNKNOWN: u16 = u16::MAX;

impl Point {
    pub(crate) const NONE: Self = Self {
        counts: Counts {
            requests: 0,
            failures: 0,
            refused: 0,
        },
        p50: UNKNOWN,
        p99: UNKNOWN,
    };

    /// The bucket of the median duration.
    pub(crate) fn p50(&self) -> Option<usize> {
        (self.p50 != UNKNOWN).then_some(self.p50.into())
    }

    /// The bucket of the 99th percentile of the duration.
    pub(crate) fn p99(&self) -> Option<usize> {
        (self.p99 != UNKNOWN).then_some(self.p99.into())
    }

    /// Counts, and the buckets of their quantiles.
    pub(crate) fn with_quantiles(counts: Counts, p50: Option<u16>, p99: Option<u16>) -> Self {
        Self {
            counts,
            p50: p50.unwrap_or(UNKNOWN),
            p99: p99.unwrap_or(UNKNOWN),
        }
    }

    fn set_quantiles(&mut self, (p50, p99): (u16, u16)) {
        (self.p50, self.p99) = (p50, p99);
    }
}

/// The seconds that a count is about, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Span {
    /// The part of the requests that falls into `second`, which is within the span: those of two seconds differ by one at
    /// most.
    fn share(self, tally: &Tally, second: u64) -> Counts {
        let (count, at) = (self.last - self.first + 1, second - self.first);
        let requests = |at: u64| tally.requests * at / count;
        let of = |some: u64| {
            let some = |at: u64| some * requests(at) / tally.requests.max(1);
            (some(at + 1) - some(at)) as u32
        };
        Counts {
            requests: of(tally.requests),
            failures: of(tally.failures),
            refused: of(tally.refused),
        }
    }
}

/// Requests that were counted together.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) failures: u64,
    pub(crate) refused: u64,
    pub(crate) durations: Buckets,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            requests: 0,
            failures: 0,
            refused: 0,
            durations: no_buckets(),
        }
    }
}

impl Tally {
    pub(crate) fn clear(&mut self) {
        (self.requests, self.failures, self.refused) = (0, 0, 0);
        self.durations.fill(0);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failures += other.failures;
        self.refused += other.refused;
        add(&mut self.durations, &other.durations);
    }
}

fn add(sums: &mut Buckets, more: &Buckets) {
    for (sum, count) in sums.iter_mut().zip(more.iter()) {
        *sum = sum.saturating_add(*count);
    }
}

/// The buckets of the median and of the 99th percentile.
fn quantiles(durations: &Buckets) -> (u16, u16) {
    let count: u64 = durations.iter().map(|count| u64::from(*count)).sum();
    let bucket = |percent: u64| {
        let rank = (count * percent).div_ceil(100);
        let mut seen = 0;
        let found = durations.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank && seen > 0
        });
        found.map_or(UNKNOWN, |bucket| bucket as u16)
    };
    (bucket(50), bucket(99))
}

/// The last ten minutes by the second, and the last day by the minute.
#[derive(Debug, Clone)]
pub(crate) struct Ring {
    /// The first second that it knows of.
    since: u64,
    /// The last second that it was written for; what follows is empty.
    upto: u64,
    seconds: Box<[Point]>,
    minutes: Box<[Point]>,
    /// The durations of the minute of `upto`.
    minute: Buckets,
    /// The durations of all parts, where they are kept.
    durations: Option<Box<Durations>>,
}

/// The durations of parts that are kept one by one.
#[derive(Debug, Clone)]
struct Durations {
    seconds: Parts,
    /// Minutes that are over.
    minutes: Parts,
}

impl Ring {
    /// The memory that it takes.
    pub(crate) const BYTES: usize =
        size_of::<Self>() + (SECONDS + MINUTES) as usize * size_of::<Point>() + BUCKETS * size_of::<u32>();

    /// A ring that begins with the second `since`.
    pub(crate) fn new(since: u64) -> Self {
        Self {
            since,
            upto: since,
            seconds: vec![Point::NONE; SECONDS as usize].into(),
            minutes: vec![Point::NONE; MINUTES as usize].into(),
            minute: no_buckets(),
            durations: None,
        }
    }

    /// Keeps the durations of parts from now on, in so many bytes for seconds, and as many for minutes.
    pub(crate) fn keep_durations(&mut self, bytes_max: usize) {
        self.durations.get_or_insert_with(|| {
            Box::new(Durations {
                seconds: Parts::new(bytes_max),
                minutes: Parts::new(bytes_max),
            })
        });
    }

    /// The same, where they are kept at all.
    pub(crate) fn keeping(mut self, bytes_max: Option<usize>) -> Self {
        if let Some(bytes_max) = bytes_max {
            self.keep_durations(bytes_max);
        }
        self
    }

    /// The memory of durations that are kept.
    pub(crate) fn durations_bytes(&self) -> usize {
        let durations = self.durations.as_ref();
        durations.map_or(0, |kept| {
            size_of::<Durations>() + kept.seconds.bytes() + kept.minutes.bytes()
        })
    }

    /// The durations of the seconds from `first` to `last`; `None` of those that are not kept.
    pub(crate) fn durations_of_seconds(&self, first: u64, last: u64) -> Option<Vec<Option<Sparse>>> {
        Some(self.durations.as_ref()?.seconds.of(first, last))
    }

    /// The durations of the minutes from `first` to `last`; `None` of those that are not kept.
    pub(crate) fn durations_of_minutes(&self, first: u64, last: u64) -> Option<Vec<Option<Sparse>>> {
        let mut minutes = self.durations.as_ref()?.minutes.of(first, last);
        let now = self.upto / MINUTE;
        if (first..=last).contains(&now) {
            let buckets = (0..).zip(self.minute.iter().copied());
            minutes[(now - first) as usize] = Some(buckets.filter(|(_, count)| *count > 0).collect());
        }
        Some(minutes)
    }

    pub(crate) fn since(&self) -> u64 {
        self.since
    }

    /// Adds requests of the seconds of `span`, evenly, as it is not known when they were. The last second does not lie
    /// before that of an earlier call.
    pub(crate) fn add(&mut self, span: Span, tally: &Tally) {
        self.advance(span.last);
        let span = Span {
            first: span.first.max(self.since).min(span.last),
            ..span
        };
        let quantiles_of_seconds = quantiles(&tally.durations);
        for second in span.first..=span.last {
            let counts = span.share(tally, second);
            if counts.requests == 0 {
                continue;
            }
            let point = &mut self.seconds[(second % SECONDS) as usize];
            point.counts.add(counts);
            point.set_quantiles(quantiles_of_seconds);
            let minute = &mut self.minutes[(second / MINUTE % MINUTES) as usize];
            minute.counts.add(counts);
            if let Some(kept) = &mut self.durations {
                kept.seconds.push(second, &*tally.durations);
            }
        }
        add(&mut self.minute, &tally.durations);
        let minute = &mut self.minutes[(span.last / MINUTE % MINUTES) as usize];
        minute.set_quantiles(quantiles(&self.minute));
    }

    /// Empties the places of what begins up to the second `to`.
    fn advance(&mut self, to: u64) {
        let begun = to.saturating_sub(self.upto).min(SECONDS);
        for second in to + 1 - begun..=to {
            self.seconds[(second % SECONDS) as usize] = Point::NONE;
        }
        let minute = to / MINUTE;
        let begun = minute.saturating_sub(self.upto / MINUTE).min(MINUTES);
        for minute in minute + 1 - begun..=minute {
            self.minutes[(minute % MINUTES) as usize] = Point::NONE;
        }
        if begun > 0 {
            if let Some(kept) = &mut self.durations
                && self.minute.iter().any(|count| *count > 0)
            {
                kept.minutes.push(self.upto / MINUTE, &*self.minute);
            }
            self.minute.fill(0);
        }
        self.upto = self.upto.max(to);
    }

    /// The figures of a second; `None` before it began. It is one of the last [`SECONDS`].
    pub(crate) fn second(&self, second: u64) -> Option<Point> {
        match second {
            _ if second < self.since => None,
            _ if second > self.upto => Some(Point::NONE),
            _ => Some(self.seconds[(second % SECONDS) as usize]),
        }
    }

    /// The requests of the seconds from `first` to `last`, which are among the last [`SECONDS`].
    pub(crate) fn sum_of_seconds(&self, first: u64, last: u64) -> Counts {
        let points = (first..=last).filter_map(|second| self.second(second));
        points.map(|point| point.counts).sum()
    }

    /// The figures of a minute; `None` before it began. It is one of the last [`MINUTES`].
    pub(crate) fn minute(&self, minute: u64) -> Option<Point> {
        match minute {
            _ if minute < self.since / MINUTE => None,
            _ if minute > self.upto / MINUTE => Some(Point::NONE),
            _ => Some(self.minutes[(minute % MINUTES) as usize]),
        }
    }
}

/// The last day by the hour, of what is kept coarsely.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hours {
    /// The last hour that it was written for.
    upto: u64,
    hours: [Counts; HOURS as usize],
}

impl Hours {
    pub(crate) fn add(&mut self, hour: u64, counts: Counts) {
        let begun = hour.saturating_sub(self.upto).min(HOURS);
        for hour in hour + 1 - begun..=hour {
            self.hours[(hour % HOURS) as usize] = Counts::default();
        }
        self.upto = self.upto.max(hour);
        self.hours[(hour % HOURS) as usize].add(counts);
    }

    /// The figures of an hour, one of the last [`HOURS`].
    pub(crate) fn hour(&self, hour: u64) -> Counts {
        match hour > self.upto {
            true => Counts::default(),
            false => self.hours[(hour % HOURS) as usize],
        }
    }

    /// Returns true if there was no request in the last day and more, up to `hour`.
    pub(crate) fn are_empty(&self, hour: u64) -> bool {
        hour.saturating_sub(self.upto) > HOURS
    }
}
