//! The generic cell rate algorithm, in exact integers.
//!
//! A bucket is one point in time: when it would be empty again, if requests came at an even pace (the "theoretical arrival
//! time" of ITU-T I.371). A request passes if that is no further ahead than the burst allows, and moves it on by the
//! interval of the pace. The interval, such as a third of a second, need not be a whole number of nanoseconds: a point has
//! the rest as a fraction, whose denominator is the number of requests of the limit, so that nothing is ever rounded.

use waypost_plan::rate::RateLimit;

/// The last time that counts, in nanoseconds: the clock stands still there, after 146 years, so that no sum overflows.
const END: u64 = 1 << 62;

/// A point in time, or a length of it: nanoseconds, and parts of one, as many as the limit has requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Exact {
    pub(crate) nanos: u64,
    pub(crate) parts: u32,
}

/// The pace of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// The parts of a nanosecond.
    denominator: u32,
    /// Nanoseconds in which so many requests pass; the parts in which one does.
    per: u64,
    burst: u32,
    /// The interval between requests at an even pace.
    interval: Exact,
    /// The time by which a request may come early.
    tolerance: Exact,
}

/// The bucket of a request, as it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The request passes; the bucket is then as given.
    Passes(Exact),
    /// It does not; one passes after so many nanoseconds.
    Waits(u64),
}

/// The rest of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rest {
    /// Requests that may pass now.
    pub(crate) requests: u32,
    /// Nanoseconds until there is one more; 0 for a bucket at rest.
    pub(crate) more_in: u64,
}

impl Pace {
    /// The pace of `limit`.
    pub(crate) fn of(limit: &RateLimit) -> Self {
        let per = u64::try_from(limit.per.as_nanos()).unwrap_or(END);
        Self::new(limit.requests.max(1), per, limit.burst.max(1))
    }

    fn new(denominator: u32, per: u64, burst: u32) -> Self {
        let per = per.min(END);
        let exact = |parts: u128| {
            let nanos = parts / u128::from(denominator);
            Exact {
                nanos: u64::try_from(nanos).unwrap_or(END).min(END),
                // The remainder is less than the denominator.
                parts: (parts % u128::from(denominator)) as u32,
            }
        };
        Self {
            denominator,
            per,
            burst,
            interval: exact(u128::from(per)),
            tolerance: exact(u128::from(per) * u128::from(burst - 1)),
        }
    }

    /// The pace of each of so many gateways that have the limit together: as many requests in a time that is so many times as
    /// long, so it is exact, also below one request each. Buckets mean the same as before. The burst is rounded down, but
    /// for a last request.
    pub(crate) fn among(&self, gateways: u32) -> Self {
        let gateways = gateways.max(1);
        let per = self.per.saturating_mul(u64::from(gateways));
        Self::new(self.denominator, per, (self.burst / gateways).max(1))
    }

    /// Judges a request that comes at `now` at a bucket; `Exact::default()` is one at rest.
    #[inline]
    pub(crate) fn admit(&self, bucket: Exact, now: u64) -> Admission {
        let now = now.min(END);
        let latest = self.sum(at(now), self.tolerance);
        if bucket > latest {
            let missing = bucket.nanos - latest.nanos;
            return Admission::Waits(missing + u64::from(bucket.parts > latest.parts));
        }
        Admission::Passes(self.sum(bucket.max(at(now)), self.interval))
    }

    /// Returns true if the bucket is one at rest: it need not be kept.
    #[inline]
    pub(crate) fn is_at_rest(bucket: Exact, now: u64) -> bool {
        bucket <= at(now.min(END))
    }

    /// Returns true if a request would not pass.
    #[inline]
    pub(crate) fn is_used_up(&self, bucket: Exact, now: u64) -> bool {
        bucket > self.sum(at(now.min(END)), self.tolerance)
    }

    /// The rest of a bucket.
    #[inline]
    pub(crate) fn rest(&self, bucket: Exact, now: u64) -> Rest {
        let now = now.min(END);
        if Self::is_at_rest(bucket, now) {
            return Rest {
                requests: self.burst,
                more_in: 0,
            };
        }
        let (per, denominator) = (u128::from(self.per.max(1)), u128::from(self.denominator));
        let used = u128::from(bucket.nanos - now) * denominator + u128::from(bucket.parts);
        let whole = per * u128::from(self.burst);
        let requests = whole.saturating_sub(used) / per;
        // In all, this is to be left over for one more.
        let wanted = whole - per * (requests + 1);
        Rest {
            requests: u32::try_from(requests).unwrap_or(self.burst),
            more_in: u64::try_from((used - wanted).div_ceil(denominator)).unwrap_or(END),
        }
    }

    #[inline]
    fn sum(&self, one: Exact, other: Exact) -> Exact {
        let parts = u64::from(one.parts) + u64::from(other.parts);
        let denominator = u64::from(self.denominator);
        let carries = parts >= denominator;
        Exact {
            nanos: one.nanos.saturating_add(other.nanos) + u64::from(carries),
            // Less than the denominator again.
            parts: (if carries { parts - denominator } else { parts }) as u32,
        }
    }
}

#[inline]
fn at(nanos: u64) -> Exact {
    Exact { nanos, parts: 0 }
}

/// Nanoseconds as whole seconds, rounded up.
pub(crate) fn seconds(nanos: u64) -> u64 {
    nanos.div_ceil(1_000_000_000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use waypost_plan::rate::{PER_MAX, REFILL_MAX, REQUESTS_MAX, RateKey};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn pace(requests: u32, per: Duration, burst: u32) -> Pace {
        Pace::of(&RateLimit {
            requests,
            per,
            burst,
            by: RateKey::ClientIp,
            report_only: false,
            headers: true,
        })
    }

    #[test]
    fn gateways_together_pass_as_much_as_one_alone() {
        // Requests in a minute and their burst, the number of gateways, and the requests that all pass: from rest, and in
        // the ten minutes after.
        for (requests, burst, gateways, from_rest, after) in [
            (60, 60, 1, 60, 600),
            (60, 60, 3, 60, 600),
            (10, 10, 4, 8, 100),
            (1, 1, 2, 2, 10),
            (3, 3, 30, 30, 30),
        ] {
            let share = pace(requests, Duration::from_secs(60), burst).among(gateways);
            let mut buckets = vec![Exact::default(); gateways as usize];
            let mut pass = |now| -> u32 {
                let buckets = buckets.iter_mut();
                buckets.map(|bucket| pass_all(&share, bucket, now)).sum()
            };
            assert_eq!(pass(0), from_rest, "{requests} among {gateways}");
            let later: u32 = (1..=600).map(|second| pass(second * SECOND)).sum();
            assert_eq!(later, after, "{requests} among {gateways}");
        }
    }

    /// Passes requests until one waits. Returns how many passed.
    fn pass_all(pace: &Pace, bucket: &mut Exact, now: u64) -> u32 {
        let mut passed = 0;
        while let Admission::Passes(next) = pace.admit(*bucket, now) {
            *bucket = next;
            passed += 1;
        }
        passed
    }

    #[test]
    fn a_burst_passes_from_rest_and_then_the_pace_holds() {
        let pace = pace(10, Duration::from_secs(1), 20);
        let mut bucket = Exact::default();
        let start = 5 * SECOND;
        assert_eq!(pass_all(&pace, &mut bucket, start), 20);
        assert_eq!(pace.admit(bucket, start), Admission::Waits(SECOND / 10));
        assert_eq!(pass_all(&pace, &mut bucket, start + SECOND / 10 - 1), 0);
        assert_eq!(pass_all(&pace, &mut bucket, start + SECOND / 10), 1);
        assert_eq!(pass_all(&pace, &mut bucket, start + SECOND), 9);
        assert_eq!(pass_all(&pace, &mut bucket, start + 1000 * SECOND), 20);
    }

    #[test]
    fn thirds_of_a_second_do_not_drift() {
        let pace = pace(3, Duration::from_secs(1), 1);
        let mut bucket = Exact::default();
        // A request at each first nanosecond that lets one pass.
        let mut now = SECOND;
        for _ in 0..300_000 {
            assert!(matches!(pace.admit(bucket, now), Admission::Passes(_)));
            pass_all(&pace, &mut bucket, now);
            let Admission::Waits(wait) = pace.admit(bucket, now) else {
                panic!("the burst is one");
            };
            now += wait;
        }
        // An interval is begun late by less than a nanosecond, which is not made good: the next is counted from there.
        assert!(now - SECOND - 100_000 * SECOND <= 300_000, "{now}");
        // Where requests come early, nothing is lost at all.
        let full = self::pace(3, Duration::from_secs(1), 3);
        let mut bucket = Exact::default();
        let mut passed = u64::from(pass_all(&full, &mut bucket, 0));
        for tick in 1..=100_000_u64 {
            passed += u64::from(pass_all(&full, &mut bucket, tick * 100_000_000));
        }
        assert_eq!(passed, 3 + 3 * 10_000);
    }

    #[test]
    fn the_rest_tells_what_passes_and_when_there_is_one_more() {
        let pace = pace(5, Duration::from_secs(3600), 5);
        let mut bucket = Exact::default();
        let now = 7 * SECOND;
        for left in (0..5).rev() {
            let Admission::Passes(next) = pace.admit(bucket, now) else {
                panic!("{left} are left");
            };
            bucket = next;
            let expected = Rest {
                requests: left,
                more_in: 720 * SECOND,
            };
            assert_eq!(pace.rest(bucket, now), expected);
        }
        assert_eq!(pace.admit(bucket, now), Admission::Waits(720 * SECOND));
        let later = pace.rest(bucket, now + 1000 * SECOND);
        assert_eq!((later.requests, later.more_in), (1, 440 * SECOND));
        let at_rest = pace.rest(bucket, now + 3600 * SECOND);
        assert_eq!((at_rest.requests, at_rest.more_in), (5, 0));
    }

    #[test]
    fn the_ends_of_the_clock_are_as_exact() {
        for requests in [1, 3, REQUESTS_MAX] {
            for per in [Duration::from_millis(1), PER_MAX] {
                let years = REFILL_MAX.as_nanos() / (per.as_nanos() / u128::from(requests)).max(1);
                let burst = u32::try_from(years).unwrap_or(REQUESTS_MAX).clamp(1, 1000);
                let pace = pace(requests, per, burst);
                for now in [0, 1, END - 1, END, END + 1, u64::MAX] {
                    let mut bucket = Exact::default();
                    assert_eq!(pass_all(&pace, &mut bucket, now), burst, "{pace:?} at {now}");
                    let rest = pace.rest(bucket, now);
                    let wait = Admission::Waits(rest.more_in);
                    assert_eq!((rest.requests, pace.admit(bucket, now)), (0, wait));
                    assert!(pace.is_used_up(bucket, now) && !Pace::is_at_rest(bucket, now));
                }
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_lets_nothing_more_pass() {
        let pace = pace(1, Duration::from_secs(1), 2);
        let mut bucket = Exact::default();
        assert_eq!(pass_all(&pace, &mut bucket, 100 * SECOND), 2);
        assert_eq!(pass_all(&pace, &mut bucket, 99 * SECOND), 0);
        assert_eq!(pass_all(&pace, &mut bucket, 101 * SECOND), 1);
    }

    /// A bucket as it is drawn: tokens that come at an even pace, counted in parts of one.
    struct Naive {
        tokens: u128,
        filled: u64,
    }

    proptest! {
        #[test]
        fn a_bucket_is_a_naive_one(
            requests in prop_oneof![1..20_u32, 1..=REQUESTS_MAX],
            per in prop_oneof![1..5000_u64, Just(3_600_000), Just(86_400_000)],
            burst in 1..50_u32,
            waits in prop::collection::vec(prop_oneof![Just(0), 0..10_u64, 0..SECOND, 0..10_000 * SECOND], 1..200),
        ) {
            let pace = pace(requests, Duration::from_millis(per), burst);
            let (per, requests) = (u128::from(per) * 1_000_000, u128::from(requests));
            let whole = per * u128::from(burst);
            let mut naive = Naive { tokens: whole, filled: 0 };
            let (mut bucket, mut now) = (Exact::default(), 0);
            for wait in waits {
                now += wait;
                // A token is as many parts as there are nanoseconds in `per`; a nanosecond brings `requests` of them.
                naive.tokens = whole.min(naive.tokens + u128::from(now - naive.filled) * requests);
                naive.filled = now;
                let rest = pace.rest(bucket, now);
                prop_assert_eq!(u128::from(rest.requests), naive.tokens / per);
                let missing = (per * (u128::from(rest.requests) + 1)).min(whole) - naive.tokens.min(whole);
                prop_assert_eq!(u128::from(rest.more_in), missing.div_ceil(requests));
                match pace.admit(bucket, now) {
                    Admission::Passes(next) => {
                        prop_assert!(naive.tokens >= per);
                        naive.tokens -= per;
                        bucket = next;
                    }
                    Admission::Waits(wait) => {
                        prop_assert!(naive.tokens < per);
                        prop_assert_eq!(u128::from(wait), (per - naive.tokens).div_ceil(requests));
                        // The wait is truthful: not a nanosecond too long.
                        prop_assert!(matches!(pace.admit(bucket, now + wait), Admission::Passes(_)));
                        prop_assert!(matches!(pace.admit(bucket, now + wait - 1), Admission::Waits(_)));
                    }
                }
            }
        }
    }
}
