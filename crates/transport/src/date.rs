//! The `date` header (RFC 9110 §5.6.7), formatted once a second.

use std::cell::Cell;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

/// Bytes of an IMF-fixdate.
pub const DATE_BYTES: usize = 29;

/// A point in time as HTTP writes it, an IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub type HttpDate = [u8; DATE_BYTES];

/// A worker's own source of dates.
#[derive(Debug, Default)]
pub struct DateClock {
    /// The second that was formatted last, and its text.
    last: Cell<Option<(i64, HttpDate)>>,
}

impl DateClock {
    /// The current date; `None` for years that HTTP cannot write.
    pub fn now(&self) -> Option<HttpDate> {
        let now = Timestamp::now();
        if let Some((second, date)) = self.last.get()
            && second == now.as_second()
        {
            return Some(date);
        }
        let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok()?;
        let date = HttpDate::try_from(text.as_bytes()).ok()?;
        self.last.set(Some((now.as_second(), date)));
        Some(date)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_an_imf_fixdate() {
        let clock = DateClock::default();
        let date = clock.now().unwrap();
        assert_eq!(&date[DATE_BYTES - 4..], b" GMT");
        assert_eq!((date[3], date[7]), (b',', b' '));
        // Within the same second, or in the next one, the text is made by the same rule.
        assert_eq!(clock.now().unwrap().len(), date.len());
    }
}
