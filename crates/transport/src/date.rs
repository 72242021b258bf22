//! The value of the `date` header (RFC 9110 §5.6.7), formatted at most once a second.

use std::cell::Cell;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

/// Length of an IMF-fixdate in bytes.
pub const DATE_BYTES: usize = 29;

/// A date in IMF-fixdate format, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub type HttpDate = [u8; DATE_BYTES];

/// A worker's cache of the current date.
#[derive(Debug, Default)]
pub struct DateClock {
    /// The second formatted last, and its text.
    last: Cell<Option<(i64, HttpDate)>>,
}

impl DateClock {
    /// The current date; `None` if HTTP cannot represent its year.
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
        assert_eq!(clock.now().unwrap().len(), date.len());
    }
}
