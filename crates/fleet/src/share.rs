//! Shares of rate limits: each live instance has the same part of a limit, so that all of them together let as much pass as
//! one alone would.

use std::time::Duration;

/// A limit as one instance keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Requests in the time; 1 at least.
    pub requests: u32,
    /// The time.
    pub per: Duration,
    /// Requests that may pass at once from rest; 1 at least.
    pub burst: u32,
}

impl Share {
    /// The share of one of `live` instances. 0 instances count as one: an instance that serves is alive, whatever the store
    /// says.
    ///
    /// The pace is exact. Where an instance would have a fraction of a request, as with 10 requests among 4, the time is
    /// longer instead: 5 in twice the time. A burst is a whole number, rounded down; so from rest all instances together let
    /// at most the limit's pass, unless there are more of them than requests in it.
    #[must_use]
    pub fn among(self, live: u32) -> Self {
        let live = live.max(1);
        let requests = self.requests.max(1);
        let common = gcd(requests, live);
        Self {
            requests: requests / common,
            per: self.per.saturating_mul(live / common),
            burst: (self.burst / live).max(1),
        }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn limits_are_divided_and_spread_where_they_are_small() {
        for (requests, per, burst, live, expected) in [
            (100, 1, 100, 1, (100, 1, 100)),
            (100, 1, 100, 0, (100, 1, 100)),
            (100, 1, 100, 4, (25, 1, 25)),
            (10, 1, 10, 4, (5, 2, 2)),
            (10, 1, 10, 3, (10, 3, 3)),
            (1, 60, 1, 3, (1, 180, 1)),
            (2, 60, 5, 50, (1, 1500, 1)),
            (3, 1, 3, 1000, (3, 1000, 1)),
        ] {
            let limit = Share {
                requests,
                per: Duration::from_secs(per),
                burst,
            };
            let (requests, per, burst) = expected;
            let expected = Share {
                requests,
                per: Duration::from_secs(per),
                burst,
            };
            assert_eq!(limit.among(live), expected, "{limit:?} among {live}");
        }
    }

    proptest! {
        #[test]
        fn shares_add_up_to_the_limit(
            requests in 1_u32..=1_000_000_000,
            nanos in 1_u64..=31_536_000_000_000_000,
            burst in 1_u32..=1_000_000_000,
            live in 1_u32..=100_000,
        ) {
            let per = Duration::from_nanos(nanos);
            let share = Share { requests, per, burst }.among(live);
            // live * share.requests / share.per == requests / per
            prop_assert_eq!(
                u128::from(live) * u128::from(share.requests) * per.as_nanos(),
                u128::from(requests) * share.per.as_nanos()
            );
            prop_assert!(share.requests >= 1 && share.burst >= 1);
            prop_assert!(burst < live || u64::from(share.burst) * u64::from(live) <= u64::from(burst));
        }
    }
}
