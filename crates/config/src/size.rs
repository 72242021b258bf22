//! Text form of sizes: `4096`, `64KiB`, `10MiB`.

/// An error in the text of a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not a number with an optional unit.
    #[error("a size is a whole number of bytes, or one with a unit, such as `64KiB` or `10MiB`")]
    Form,
    /// An unknown unit.
    #[error("the units of a size are `KiB`, `MiB` and `GiB`")]
    Unit,
    /// More than 2^64 bytes.
    #[error("the size is too large")]
    TooLarge,
}

const UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("", 0)];

/// Parses a size: a whole number, optionally followed by `KiB`, `MiB` or `GiB`.
///
/// # Errors
/// For any other text.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(SizeError::Form);
    }
    let shift = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, shift)| *shift);
    let shift = shift.ok_or(if unit.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        SizeError::Unit
    } else {
        SizeError::Form
    })?;
    let number: u64 = number.parse().map_err(|_| SizeError::TooLarge)?;
    number.checked_mul(1 << shift).ok_or(SizeError::TooLarge)
}

/// Returns the probable meaning of a size with a foreign unit: `64KiB` for `64kb`.
pub(crate) fn corrected(text: &str) -> Option<String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim_start().to_ascii_lowercase().as_str() {
        "b" => "",
        "k" | "kb" | "ki" | "kib" => "KiB",
        "m" | "mb" | "mi" | "mib" => "MiB",
        "g" | "gb" | "gi" | "gib" => "GiB",
        _ => return None,
    };
    let size = format!("{number}{unit}");
    parse(&size).is_ok().then_some(size)
}

/// Formats a size so that [`parse`] reads it, with the largest unit that leaves a whole number.
pub fn format(bytes: u64) -> String {
    let fits = |shift: u32| bytes >= 1 << shift && bytes.trailing_zeros() >= shift;
    let (name, shift) = UNITS
        .into_iter()
        .find(|&(_, shift)| fits(shift))
        .unwrap_or(("", 0));
    format!("{}{name}", bytes >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_or_without_a_unit() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("4096", Ok(4096)),
            ("64KiB", Ok(64 << 10)),
            ("10MiB", Ok(10 << 20)),
            ("2GiB", Ok(2 << 30)),
            ("", Err(SizeError::Form)),
            ("-1", Err(SizeError::Form)),
            ("1.5KiB", Err(SizeError::Form)),
            ("1 KiB", Err(SizeError::Form)),
            ("1KB", Err(SizeError::Unit)),
            ("1k", Err(SizeError::Unit)),
            ("99999999999999999999", Err(SizeError::TooLarge)),
            ("18446744073709551615KiB", Err(SizeError::TooLarge)),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn format_and_parse_round_trip(bytes: u64) {
            proptest::prop_assert_eq!(parse(&format(bytes)), Ok(bytes));
        }
    }
}
