//! Waits before retries.

use std::time::Duration;

/// Maximum wait.
pub const WAIT_MAX: Duration = Duration::from_secs(1);

/// The wait before a retry that comes after `earlier` others: uniform up to `base`, doubled with each of those, and never
/// more than [`WAIT_MAX`]. Requests that fail together do not come back together.
pub fn wait(base: Duration, earlier: u32, roll: u64) -> Duration {
    let doubled = base.saturating_mul(1 << earlier.min(31)).min(WAIT_MAX);
    let nanos = (doubled.as_nanos() * u128::from(roll)) >> 64;
    // At most `WAIT_MAX`, so it fits.
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_second() {
        let check = |base_ms: u64, earlier: u32, expected_ms: u64| {
            let base = Duration::from_millis(base_ms);
            let half = Duration::from_millis(expected_ms) / 2;
            assert_eq!(wait(base, earlier, 0), Duration::ZERO, "{base_ms} {earlier}");
            assert_eq!(wait(base, earlier, 1 << 63), half, "{base_ms} {earlier}");
            let longest = wait(base, earlier, u64::MAX);
            assert!(longest < 2 * half && longest + Duration::from_nanos(2) > 2 * half);
        };
        for (base_ms, earlier, expected_ms) in [
            (25, 0, 25),
            (25, 1, 50),
            (25, 2, 100),
            (25, 5, 800),
            (25, 6, 1000),
            (25, u32::MAX, 1000),
            (1000, 0, 1000),
            (1000, 9, 1000),
        ] {
            check(base_ms, earlier, expected_ms);
        }
    }
}
