//! Slow requests: the bounds of a latency histogram over which requests count as bad.
//!
//! A quantile of the canary is worse than tolerated if more of its requests are above `(1 + margin) * x` than of the
//! baseline's above `x`, where `x` is near the baseline's own quantile. So latency is judged by the same bets as errors.

/// Half-life of the baseline's histogram, in seconds.
const HALF_LIFE: f64 = 300.0;
/// Requests above the quantile that the histogram needs before it is judged.
const ABOVE_MIN: f64 = 20.0;
/// The factor by which the share above `x` may exceed `1 - quantile`.
const SHARE_EXCESS: f64 = 1.5;

/// A histogram of the baseline's latencies in which old requests fade.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FadingHistogram {
    /// Requests by bucket.
    counts: Vec<f64>,
    /// All of them.
    total: f64,
}

/// The bounds for one quantile, as positions in the list of bucket bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// The bound above which requests of the baseline count.
    pub baseline: usize,
    /// The bound above which requests of the canary count against it.
    pub against: usize,
    /// The bound above which requests of the canary count when it is to be shown that it is not worse.
    pub proof: usize,
    /// The share of the baseline's requests above its bound so far.
    pub above: f64,
    /// The requests that this share is taken from.
    pub requests: f64,
}

impl FadingHistogram {
    /// All numbers, for storage, in `buckets` buckets.
    pub(crate) fn visit(&mut self, buckets: usize, visit: &mut impl FnMut(&mut f64)) {
        self.counts.resize(buckets.max(self.counts.len()), 0.0);
        self.counts.iter_mut().for_each(visit);
    }

    /// Adds the requests of one second, by bucket, after the older ones have faded.
    pub fn add(&mut self, second: &[f64]) {
        self.counts.resize(second.len().max(self.counts.len()), 0.0);
        let fading = (-1.0 / HALF_LIFE).exp2();
        for count in &mut self.counts {
            *count *= fading;
        }
        for (count, more) in self.counts.iter_mut().zip(second) {
            *count += more;
        }
        self.total = self.counts.iter().sum();
    }

    /// The requests that are missing until `quantile` is judged.
    pub fn missing(&self, quantile: f64) -> f64 {
        (ABOVE_MIN / (1.0 - quantile) - self.total).max(0.0)
    }

    /// The thresholds for `quantile`, of which the canary's may be `margin` greater; `bounds` are the upper bounds of the
    /// buckets, ascending. Returns `None` if there are too few requests, or no bounds that fit.
    pub fn threshold(&self, bounds: &[f64], quantile: f64, margin: f64) -> Option<Threshold> {
        let total = self.total;
        let rest = 1.0 - quantile;
        if total < ABOVE_MIN / rest {
            return None;
        }
        let mut over = total;
        let mut before = None;
        for (at, count) in self.counts.iter().enumerate() {
            over -= count;
            if over <= rest * total {
                let share = (over / total).max(0.0);
                let lower = before.filter(|(_, lower): &(usize, f64)| is_nearer(*lower, share, rest));
                let (baseline, above) = lower.unwrap_or((at, share));
                let limit = bounds.get(baseline)? * (1.0 + margin);
                let against = bounds.partition_point(|bound| *bound < limit);
                let proof = bounds.partition_point(|bound| *bound <= limit).checked_sub(1)?;
                if against == bounds.len() {
                    return None;
                }
                return Some(Threshold {
                    baseline,
                    against,
                    proof,
                    above,
                    requests: total,
                });
            }
            before = Some((at, over / total));
        }
        None
    }
}

/// Returns true if the bound with the share `lower` above it is nearer to `rest` than the next one with `upper`.
fn is_nearer(lower: f64, upper: f64, rest: f64) -> bool {
    lower <= SHARE_EXCESS * rest && (lower / rest).ln() <= (rest / upper).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [f64; 6] = [100.0, 110.0, 120.0, 130.0, 140.0, 150.0];

    fn past(counts: &[f64]) -> FadingHistogram {
        FadingHistogram {
            counts: counts.to_vec(),
            total: counts.iter().sum(),
        }
    }

    #[test]
    fn thresholds_equal_the_reference() {
        let found = past(&[50.0, 1000.0, 5.0]).threshold(&BOUNDS, 0.9, 0.2).unwrap();
        assert_eq!((found.baseline, found.against, found.proof), (1, 4, 3));
        assert!((found.above - 0.004_739_336_49).abs() < 1e-10, "{}", found.above);
    }

    #[test]
    fn nearer_bound_is_taken_if_its_share_is_not_far_too_large() {
        // 12 % are above the first bound, 1 % above the second: the first is nearer to 10 %.
        let near = past(&[880.0, 110.0, 10.0]).threshold(&BOUNDS, 0.9, 0.2).unwrap();
        assert_eq!(near.baseline, 0);
        // 16 % are too many.
        let far = past(&[840.0, 150.0, 10.0]).threshold(&BOUNDS, 0.9, 0.2).unwrap();
        assert_eq!(far.baseline, 1);
        // A bound with nothing above it is infinitely far.
        let none = past(&[880.0, 120.0]).threshold(&BOUNDS, 0.9, 0.2).unwrap();
        assert_eq!(none.baseline, 0);
    }

    #[test]
    fn too_few_requests_or_no_bound_give_no_threshold() {
        assert_eq!(past(&[199.0]).threshold(&BOUNDS, 0.9, 0.2), None);
        assert!(past(&[201.0]).threshold(&BOUNDS, 0.9, 0.2).is_some());
        assert_eq!(
            past(&[0.0, 0.0, 0.0, 0.0, 0.0, 500.0]).threshold(&BOUNDS, 0.9, 0.2),
            None
        );
        assert_eq!(FadingHistogram::default().threshold(&BOUNDS, 0.5, 0.2), None);
    }

    #[test]
    fn old_requests_fade_by_half_in_five_minutes() {
        let mut histogram = past(&[1024.0]);
        for _ in 0..300 {
            histogram.add(&[0.0]);
        }
        assert!((histogram.counts[0] - 512.0).abs() < 1e-6);
    }
}
