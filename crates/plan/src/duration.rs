//! Text form of durations: `500ms`, `10s`, `1h30m`.

use std::time::Duration;

/// The length of a timeout that is `none`: longer than anything runs, and short enough to be added to a point in time.
pub const UNBOUNDED: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// An error in the text of a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Empty, or does not begin with a digit.
    #[error("a duration is numbers with units, such as `500ms`, `10s` or `1h30m`")]
    Form,
    /// A number without a unit.
    #[error("a duration has a unit: `ms`, `s`, `m` or `h`")]
    NoUnit,
    /// An unknown unit.
    #[error("the units of a duration are `ms`, `s`, `m` and `h`")]
    Unit,
    /// A unit twice, or a larger unit after a smaller one.
    #[error("the units of a duration come once each, the largest first")]
    Order,
    /// Overflow.
    #[error("the duration is too long")]
    TooLong,
}

/// Units in their required order, with their length in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Parses a duration: whole numbers with the units `h`, `m`, `s`, `ms`, each at most once, the largest first.
///
/// # Errors
/// For any other text.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Form);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units_left = &UNITS[..];
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        if number.is_empty() {
            return Err(DurationError::Form);
        }
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        if unit.is_empty() {
            return Err(if after.is_empty() {
                DurationError::NoUnit
            } else {
                DurationError::Form
            });
        }
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(DurationError::Unit);
        }
        let at = units_left
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or(DurationError::Order)?;
        let value: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
        total = value
            .checked_mul(units_left[at].1)
            .and_then(|length| total.checked_add(length))
            .ok_or(DurationError::TooLong)?;
        units_left = &units_left[at + 1..];
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// Formats a duration so that [`parse`] reads it; `none` for [`UNBOUNDED`] and longer ones.
pub fn format(duration: Duration) -> String {
    if duration >= UNBOUNDED {
        return "none".to_owned();
    }
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, length) in UNITS {
        if rest >= length {
            text.push_str(&format!("{}{name}", rest / length));
            rest %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<u64, DurationError>) {
        assert_eq!(parse(text), expected.map(Duration::from_millis), "{text}");
    }

    #[test]
    fn numbers_with_units() {
        check("500ms", Ok(500));
        check("10s", Ok(10_000));
        check("1h30m", Ok(5_400_000));
        check("1h2m3s4ms", Ok(3_723_004));
        check("0s", Ok(0));
        check("90m", Ok(5_400_000));
    }

    #[test]
    fn other_texts_are_refused() {
        check("", Err(DurationError::Form));
        check("s", Err(DurationError::Form));
        check("-1s", Err(DurationError::Form));
        check("1.5s", Err(DurationError::Form));
        check("1 s", Err(DurationError::Form));
        check("10", Err(DurationError::NoUnit));
        check("1h30", Err(DurationError::NoUnit));
        check("1d", Err(DurationError::Unit));
        check("1S", Err(DurationError::Unit));
        check("1s1h", Err(DurationError::Order));
        check("1s1s", Err(DurationError::Order));
        check("99999999999999999999h", Err(DurationError::TooLong));
        check("18446744073709551615h", Err(DurationError::TooLong));
    }

    #[test]
    fn an_unbounded_timeout_is_none() {
        assert_eq!(format(UNBOUNDED), "none");
    }

    proptest::proptest! {
        #[test]
        fn format_and_parse_round_trip(millis in 0..3_153_600_000_000_u64) {
            let duration = Duration::from_millis(millis);
            proptest::prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }
    }
}
