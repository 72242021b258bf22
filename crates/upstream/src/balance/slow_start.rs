//! Slow start: the share of an endpoint that has become available grows to its weight.

use std::time::Duration;

use crate::balance::weights::ONE;

/// The part of its weight that an endpoint begins with, in thousandths.
const FIRST: u64 = 100;

/// Steps of a slow start: one for each percent, from 10 to 100.
const STEPS: u32 = 90;

/// The shortest step.
const STEP_MIN: Duration = Duration::from_millis(50);

/// The part of its weight, in thousandths, that an endpoint has which became available `since` ago: it grows linearly
/// from a tenth to all over `slow_start`.
pub fn part(since: Duration, slow_start: Duration) -> u64 {
    if since >= slow_start {
        return ONE;
    }
    let grown = (ONE - FIRST) as u128 * since.as_nanos() / slow_start.as_nanos().max(1);
    FIRST + grown as u64
}

/// The time until the part has grown by about a percent.
pub fn step(slow_start: Duration) -> Duration {
    (slow_start / STEPS).max(STEP_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_grows_linearly_from_a_tenth() {
        let slow_start = Duration::from_secs(30);
        for (since_ms, expected) in [
            (0, 100),
            (1, 100),
            (333, 109),
            (3_000, 190),
            (10_000, 400),
            (15_000, 550),
            (29_999, 999),
            (30_000, 1000),
            (u64::MAX, 1000),
        ] {
            assert_eq!(
                part(Duration::from_millis(since_ms), slow_start),
                expected,
                "{since_ms} ms"
            );
        }
        assert_eq!(part(Duration::ZERO, Duration::ZERO), ONE);
    }

    #[test]
    fn steps_are_of_a_percent_and_not_too_short() {
        assert_eq!(step(Duration::from_secs(90)), Duration::from_secs(1));
        assert_eq!(step(Duration::from_millis(10)), STEP_MIN);
    }
}
