//! The time of day as HTTP writes it, formatted once a second.

use std::cell::{Cell, RefCell};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

/// A worker's own clock (RFC 9110 §5.6.7).
#[derive(Debug, Default)]
pub(crate) struct HttpClock {
    /// Which second `text` is.
    second: Cell<i64>,
    text: RefCell<String>,
}

impl HttpClock {
    /// Appends a `date` line with the time now.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let now = Timestamp::now();
        let mut text = self.text.borrow_mut();
        if text.is_empty() || self.second.get() != now.as_second() {
            self.second.set(now.as_second());
            // The years that HTTP cannot write are not ours to see.
            *text = DateTimePrinter::new()
                .timestamp_to_rfc9110_string(&now)
                .unwrap_or_default();
        }
        if !text.is_empty() {
            waypost_wire::write::field(out, b"date", text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_an_imf_fixdate() {
        let mut out = Vec::new();
        HttpClock::default().write(&mut out);
        let line = String::from_utf8(out).unwrap();
        assert_eq!(
            line.len(),
            "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n".len(),
            "{line}"
        );
        assert!(line.starts_with("date: ") && line.ends_with(" GMT\r\n"), "{line}");
    }
}
