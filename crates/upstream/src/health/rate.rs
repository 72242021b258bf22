//! The share of failures among the requests of the last seconds, counted by all workers without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use waypost_plan::health::FailureRate;

/// Slices of a window. The current one is incomplete, so a window is up to a tenth shorter than configured.
const SLICES: u64 = 10;
/// Bits of each of the two counts of a slice; they stop at their maximum.
const COUNT_BITS: u32 = 20;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
/// Bits of the number of a slice.
const NUMBER_MASK: u64 = (1 << (64 - 2 * COUNT_BITS)) - 1;

/// Requests and failures in the slices of a window of time.
#[derive(Debug, Default)]
pub struct RateWindow {
    slices: [AtomicU64; SLICES as usize],
}

/// The counts of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Slice {
    /// The number of the slice, counted from the beginning of time.
    number: u64,
    requests: u64,
    failures: u64,
}

impl Slice {
    fn unpack(bits: u64) -> Self {
        Self {
            number: bits >> (2 * COUNT_BITS),
            requests: bits >> COUNT_BITS & COUNT_MAX,
            failures: bits & COUNT_MAX,
        }
    }

    fn pack(self) -> u64 {
        let counts = self.requests.min(COUNT_MAX) << COUNT_BITS | self.failures.min(COUNT_MAX);
        self.number << (2 * COUNT_BITS) | counts
    }
}

/// The number of the slice at `at`, a time since the window was made.
fn number_at(rate: &FailureRate, at: Duration) -> u64 {
    let slice = (rate.window / SLICES as u32).max(Duration::from_millis(1));
    let number = at.as_millis() / slice.as_millis();
    u64::try_from(number).unwrap_or(u64::MAX)
}

impl RateWindow {
    /// Counts a request that ended at `at`, a time since the window was made.
    pub fn count(&self, rate: &FailureRate, at: Duration, failed: bool) {
        let number = number_at(rate, at) & NUMBER_MASK;
        let slice = &self.slices[(number_at(rate, at) % SLICES) as usize];
        let add = |bits| {
            let known = Slice::unpack(bits);
            // What another number has is past.
            let known = if known.number == number {
                known
            } else {
                Slice {
                    number,
                    ..Slice::default()
                }
            };
            let added = Slice {
                requests: known.requests + 1,
                failures: known.failures + u64::from(failed),
                ..known
            };
            Some(added.pack())
        };
        // Never fails: `add` always has a value.
        let _ = slice.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Returns true if too many of the requests in the window that ends at `at` have failed.
    pub fn exceeds(&self, rate: &FailureRate, at: Duration) -> bool {
        let last = number_at(rate, at);
        let (mut requests, mut failures) = (0, 0);
        for number in last.saturating_sub(SLICES - 1)..=last {
            let slice = Slice::unpack(self.slices[(number % SLICES) as usize].load(Ordering::Relaxed));
            if slice.number == number & NUMBER_MASK {
                requests += slice.requests;
                failures += slice.failures;
            }
        }
        requests >= u64::from(rate.requests) && failures * 100 >= requests * u64::from(rate.percent)
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for slice in &self.slices {
            slice.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn rate(percent: u32, requests: u32) -> FailureRate {
        FailureRate {
            percent,
            requests,
            ..FailureRate::default()
        }
    }

    #[test]
    fn share_is_judged_from_the_least_number_of_requests_on() {
        let (rate, window) = (rate(50, 4), RateWindow::default());
        let seconds = Duration::from_secs;
        for (at, failed, expected) in [
            (0, true, false),
            (0, true, false),
            (1, false, false),
            (2, false, true),
            (3, false, false),
            (9, true, true),
        ] {
            window.count(&rate, seconds(at), failed);
            assert_eq!(window.exceeds(&rate, seconds(at)), expected, "at {at} s");
        }
        // The two failures of the first second are past.
        assert!(!window.exceeds(&rate, seconds(10)));
        window.clear();
        window.count(&rate, seconds(10), true);
        assert!(!window.exceeds(&rate, seconds(10)));
    }

    #[test]
    fn counts_stop_at_their_maximum() {
        let slice = Slice {
            number: 7,
            requests: COUNT_MAX + 5,
            failures: COUNT_MAX + 1,
        };
        let packed = Slice::unpack(slice.pack());
        assert_eq!(
            (packed.number, packed.requests, packed.failures),
            (7, COUNT_MAX, COUNT_MAX)
        );
    }

    proptest! {
        #[test]
        fn share_is_that_of_all_requests_in_the_window(
            events in prop::collection::vec((0u64..3000, any::<bool>()), 1..100),
            percent in 1u32..=100,
            requests in 1u32..10,
        ) {
            let (rate, window) = (rate(percent, requests), RateWindow::default());
            let (mut past, mut at) = (Vec::new(), 0);
            for (ms, failed) in events {
                at += ms;
                window.count(&rate, Duration::from_millis(at), failed);
                past.push((at, failed));
                let first = (at / 1000).saturating_sub(9) * 1000;
                let recent: Vec<bool> = past.iter().filter(|(at, _)| *at >= first).map(|(_, failed)| *failed).collect();
                let failures = recent.iter().filter(|failed| **failed).count();
                let expected = recent.len() >= requests as usize && failures * 100 >= recent.len() * percent as usize;
                prop_assert_eq!(window.exceeds(&rate, Duration::from_millis(at)), expected);
            }
        }
    }
}
