//! Histograms of durations with logarithmic buckets.
//!
//! A decade (1 ms to 10 ms, say) has 32 buckets: ten from 1 to 2, twelve from 2 to 5, ten from 5 to 10. No bucket is
//! wider than an eighth of its lower bound, and the usual bounds (1, 2.5, 5, 10) are bounds of buckets, so that
//! cumulative counts are exact there. A decade is allocated on first use, except the first one used, which is stored
//! inline next to the other counters of a request.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::counters::Counter;

/// Buckets in a decade.
const DECADE: usize = 32;
/// Decades from 1 µs up; the last one ends at 10,000 s and also counts longer durations.
const DECADES: usize = 10;
/// Buckets in all.
pub const BUCKETS: usize = DECADE * DECADES;
/// The last one, which has no end.
const LAST: usize = BUCKETS - 1;

/// Upper bounds of the cumulative buckets in `/metrics`, in microseconds.
pub const SHOWN_BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// Histograms of the parts of the same requests, written by one thread and readable by all.
///
/// The total duration of a request and its service's part mostly fall into the same bucket or a neighbouring one. Their
/// counts are adjacent in memory, because with many routes they are rarely in a core's cache.
#[derive(Debug)]
#[repr(C)]
pub struct Histograms<const PARTS: usize> {
    sums_us: [Counter; PARTS],
    /// The decade of the first duration; most others are expected to fall into it.
    home: OnceLock<Home<PARTS>>,
    others: [OnceLock<Box<DecadeCounts<PARTS>>>; DECADES],
}

/// The counts of a decade, indexed by bucket and part.
type DecadeCounts<const PARTS: usize> = [[AtomicU64; PARTS]; DECADE];

#[derive(Debug)]
#[repr(C)]
struct Home<const PARTS: usize> {
    decade: usize,
    counts: DecadeCounts<PARTS>,
}

/// Counts of a decade in which nothing is counted yet.
fn empty<const PARTS: usize>() -> DecadeCounts<PARTS> {
    std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0)))
}

impl<const PARTS: usize> Default for Histograms<PARTS> {
    fn default() -> Self {
        Self {
            sums_us: std::array::from_fn(|_| Counter::default()),
            home: OnceLock::new(),
            others: std::array::from_fn(|_| OnceLock::new()),
        }
    }
}

/// A snapshot of a histogram.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Durations {
    /// Non-empty buckets with their counts, in order.
    buckets: Vec<(u16, u64)>,
    /// The sum of all durations, in microseconds.
    pub sum_us: u64,
}

impl<const PARTS: usize> Histograms<PARTS> {
    /// Counts a duration of a part. Must only be called by the thread that owns the histograms.
    pub fn record(&self, part: usize, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = bucket_of(us);
        let (decade, at) = (bucket / DECADE, bucket % DECADE);
        let home = self.home.get_or_init(|| Home {
            decade,
            counts: empty(),
        });
        let counts = if home.decade == decade {
            &home.counts
        } else {
            &**self.others[decade].get_or_init(|| Box::new(empty()))
        };
        let count = &counts[at][part];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.sums_us[part].add(us);
    }

    /// Returns true if nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.home.get().is_none()
    }

    /// The decades that were used, with their counts.
    fn decades(&self) -> impl Iterator<Item = (usize, &DecadeCounts<PARTS>)> {
        let home = self.home.get();
        let all = self.others.iter().enumerate();
        all.filter_map(move |(index, other)| match home {
            Some(home) if home.decade == index => Some((index, &home.counts)),
            _ => Some((index, other.get()?)),
        })
    }

    /// The sum of all durations, in microseconds. It is written last, so if it has not changed, nothing was counted.
    pub fn sum_us(&self, part: usize) -> u64 {
        self.sums_us[part].read()
    }

    /// Adds the counts to `sums`, by bucket. It is as long as the last decade that was used needs.
    pub fn add_to(&self, part: usize, sums: &mut Vec<u64>) {
        for (index, counts) in self.decades() {
            let end = (index + 1) * DECADE;
            if sums.len() < end {
                sums.resize(end, 0);
            }
            for (sum, count) in sums[index * DECADE..end].iter_mut().zip(counts) {
                *sum += count[part].load(Ordering::Relaxed);
            }
        }
    }

    /// The durations of a part so far.
    pub fn read(&self, part: usize) -> Durations {
        let mut buckets = Vec::new();
        for (index, counts) in self.decades() {
            for (at, count) in counts.iter().enumerate() {
                let count = count[part].load(Ordering::Relaxed);
                if count > 0 {
                    buckets.push(((index * DECADE + at) as u16, count));
                }
            }
        }
        Durations {
            buckets,
            sum_us: self.sums_us[part].read(),
        }
    }
}

/// The bucket of `us` microseconds: lower bound <= us < upper bound.
fn bucket_of(us: u64) -> usize {
    let mut decade = 0;
    let mut unit = 1;
    while us >= unit * 10 {
        if decade == DECADES - 1 {
            return BUCKETS - 1;
        }
        decade += 1;
        unit *= 10;
    }
    // In twentieths of the decade's lower bound: 20 <= position < 200; 0 µs counts as 1 µs.
    let position = (us * 20 / unit).max(20) as usize;
    let at = match position {
        ..40 => (position - 20) / 2,
        40..100 => 10 + (position - 40) / 5,
        _ => 22 + (position - 100) / 10,
    };
    decade * DECADE + at
}

/// The bounds of a bucket in twentieths of a microsecond, the largest unit in which all are integers.
fn bounds(bucket: usize) -> (u64, u64) {
    let lower = |at: usize| match at {
        ..10 => 20 + 2 * at,
        10..22 => 40 + 5 * (at - 10),
        _ => 100 + 10 * (at - 22),
    } as u64;
    let unit = 10u64.pow((bucket / DECADE) as u32);
    let at = bucket % DECADE;
    (lower(at) * unit, lower(at + 1) * unit)
}

/// The least duration that is in a later bucket than this one, in microseconds.
pub fn exceeding_us(bucket: usize) -> u64 {
    match bucket {
        ..LAST => bounds(bucket).1.div_ceil(20),
        _ => u64::MAX,
    }
}

/// The upper bound of each bucket, in milliseconds.
pub fn bounds_ms() -> Vec<f64> {
    (0..BUCKETS)
        .map(|bucket| bounds(bucket).1 as f64 / 20_000.0)
        .collect()
}

impl Durations {
    /// Durations by bucket, in order and without empty ones. Their sum is not known.
    pub fn of_counts(buckets: Vec<(u16, u64)>) -> Self {
        Self { buckets, sum_us: 0 }
    }

    /// The buckets with durations, in order.
    pub fn counts(&self) -> &[(u16, u64)] {
        &self.buckets
    }

    /// The number of durations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// The buckets with durations: their bounds in milliseconds, and the count. The last one there is has no upper bound.
    pub fn buckets_ms(&self) -> impl Iterator<Item = (f64, Option<f64>, u64)> {
        self.buckets.iter().map(|(bucket, count)| {
            let bucket = usize::from(*bucket);
            let (lower, upper) = bounds(bucket);
            // 0 µs counts as 1 µs.
            let lower = if bucket == 0 { 0.0 } else { lower as f64 / 20_000.0 };
            let upper = (bucket < LAST).then_some(upper as f64 / 20_000.0);
            (lower, upper, *count)
        })
    }

    /// The number of durations below `bound_us` microseconds; exact for bounds of buckets, such as [`SHOWN_BOUNDS_US`].
    pub fn count_below(&self, bound_us: u64) -> u64 {
        let below = |bucket: u16| bounds(usize::from(bucket)).1 <= bound_us.saturating_mul(20);
        self.buckets
            .iter()
            .take_while(|(bucket, _)| below(*bucket))
            .map(|(_, count)| count)
            .sum()
    }

    /// The quantile `q` in milliseconds, as the middle of its bucket; `None` if the histogram is empty.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        let count = self.count();
        let rank = ((count as f64 * q).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        for (bucket, count) in &self.buckets {
            seen += count;
            if seen >= rank {
                let (lower, upper) = bounds(usize::from(*bucket));
                return Some((lower + upper) as f64 / 40_000.0);
            }
        }
        None
    }

    /// Adds another histogram.
    pub fn add(&mut self, other: &Self) {
        self.sum_us += other.sum_us;
        self.combine(other, |own, more| own + more);
    }

    /// The durations counted since `earlier`, an older reading of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut now = self.clone();
        now.sum_us = self.sum_us.saturating_sub(earlier.sum_us);
        now.combine(earlier, u64::saturating_sub);
        now.buckets.retain(|(_, count)| *count > 0);
        now
    }

    /// Merges the counts of `other` into this one, both in order of buckets.
    fn combine(&mut self, other: &Self, counts: impl Fn(u64, u64) -> u64) {
        for (bucket, count) in &other.buckets {
            match self.buckets.binary_search_by_key(bucket, |(bucket, _)| *bucket) {
                Ok(at) => self.buckets[at].1 = counts(self.buckets[at].1, *count),
                Err(at) => self.buckets.insert(at, (*bucket, counts(0, *count))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(durations_us: &[u64]) -> Durations {
        let histograms = Histograms::<2>::default();
        for us in durations_us {
            histograms.record(0, Duration::from_micros(*us));
        }
        assert_eq!(histograms.read(1).count(), 0);
        histograms.read(0)
    }

    #[test]
    fn every_duration_lies_within_its_bucket_and_buckets_are_narrow() {
        for us in (1..2000).chain((0..200).map(|step| 2_000 + step * 49_999_937)) {
            let bucket = bucket_of(us);
            let (lower, upper) = bounds(bucket);
            if bucket + 1 < BUCKETS {
                assert!(lower <= us * 20 && us * 20 < upper, "{us} in {bucket}");
                assert!((upper - lower) * 8 <= lower, "{us}: {lower} to {upper}");
            }
        }
        for bucket in 0..LAST {
            let slow = exceeding_us(bucket);
            assert!(
                bucket_of(slow) > bucket && bucket_of(slow - 1) <= bucket,
                "{bucket}"
            );
        }
        assert_eq!(exceeding_us(LAST), u64::MAX);
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn buckets_are_contiguous() {
        for bucket in 1..BUCKETS {
            assert_eq!(bounds(bucket - 1).1, bounds(bucket).0, "{bucket}");
        }
    }

    #[test]
    fn counts_below_a_shown_bound_are_exact() {
        for bound in SHOWN_BOUNDS_US {
            let durations = of(&[bound - 1, bound, bound + 1, 50]);
            assert_eq!(durations.count_below(bound), 2, "{bound}");
        }
        assert_eq!(of(&[1, 2, 3]).sum_us, 6);
    }

    #[test]
    fn quantiles_come_from_the_right_bucket() {
        let durations = of(&(1..=1000).map(|ms| ms * 1000).collect::<Vec<u64>>());
        for (q, expected) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0)] {
            let found = durations.quantile_ms(q).unwrap();
            assert!((found / expected - 1.0_f64).abs() < 0.0626, "{q}: {found}");
        }
        assert_eq!(Durations::default().quantile_ms(0.5), None);
    }

    #[test]
    fn a_window_is_the_difference_of_two_readings() {
        let (early, late) = (of(&[100, 5000]), of(&[100, 100, 5000, 70_000]));
        let window = late.since(&early);
        assert_eq!((window.count(), window.sum_us), (2, 70_100));
        let mut both = early;
        both.add(&window);
        assert_eq!(both, late);
    }
}
