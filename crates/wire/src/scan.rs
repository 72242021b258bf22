//! Incremental search for the end of a head. Each byte is examined once.

/// The state of the search for the end of one head.
///
/// Invariant: `start <= line <= scanned`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeadScan {
    /// Start of the current line; everything before it consists of complete lines.
    line: usize,
    /// End of the bytes that have been examined.
    scanned: usize,
    /// Start of the head, after leading empty lines.
    start: usize,
    /// End of the first line, without its CRLF; 0 while unknown.
    first_line_end: usize,
}

/// A complete head in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadEnd {
    /// Start of the head, after leading empty lines, which a client may send (RFC 9112 §2.2).
    pub start: usize,
    /// End of the first line, without its CRLF.
    pub first_line_end: usize,
    /// End of the head, including the empty line.
    pub end: usize,
}

/// A line that does not end in CRLF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line ends without CRLF")]
pub struct BareLineEnd;

impl HeadScan {
    /// Examines the new bytes of `bytes`, which extends the slice of the previous call. Returns `None` while the head is
    /// incomplete.
    ///
    /// # Errors
    /// A bare LF or a bare CR.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Option<HeadEnd>, BareLineEnd> {
        while let Some(found) = memchr::memchr(b'\n', &bytes[self.scanned..]) {
            let newline = self.scanned + found;
            if newline == self.line || bytes[newline - 1] != b'\r' {
                return Err(BareLineEnd);
            }
            let empty = newline - self.line == 1;
            self.scanned = newline + 1;
            if !empty && self.first_line_end == 0 {
                self.first_line_end = newline - 1;
            }
            self.line = self.scanned;
            if empty && self.first_line_end == 0 {
                self.start = self.scanned;
            } else if empty {
                return Ok(Some(HeadEnd {
                    start: self.start,
                    first_line_end: self.first_line_end,
                    end: self.scanned,
                }));
            }
        }
        // Report a bare CR at once rather than at the client's timeout. The head is incomplete, so the extra search
        // delays no response.
        let rest = &bytes[self.scanned..];
        match memchr::memchr(b'\r', rest) {
            Some(found) if found + 1 < rest.len() => Err(BareLineEnd),
            // Examine this CR again, together with the next byte.
            Some(found) => {
                self.scanned += found;
                Ok(None)
            }
            None => {
                self.scanned = bytes.len();
                Ok(None)
            }
        }
    }

    /// The first line without its CRLF, once complete.
    pub fn first_line<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        (self.first_line_end > 0).then(|| &bytes[self.start..self.first_line_end])
    }

    /// Start of the head, after the leading empty lines seen so far.
    pub fn start(&self) -> usize {
        self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans `bytes` at once and byte by byte: the result must not depend on how they are cut.
    fn check(bytes: &[u8], expected: Result<Option<HeadEnd>, BareLineEnd>) {
        assert_eq!(
            HeadScan::default().advance(bytes),
            expected,
            "at once: {:?}",
            bytes.escape_ascii()
        );
        let mut scan = HeadScan::default();
        let mut found = Ok(None);
        for end in 1..=bytes.len() {
            found = scan.advance(&bytes[..end]);
            if found != Ok(None) {
                break;
            }
        }
        assert_eq!(found, expected, "byte by byte: {:?}", bytes.escape_ascii());
    }

    #[test]
    fn head_ends_at_first_empty_line() {
        let end = |start, first_line_end, end| {
            Ok(Some(HeadEnd {
                start,
                first_line_end,
                end,
            }))
        };
        check(b"GET / HTTP/1.1\r\n\r\nrest", end(0, 14, 18));
        check(b"a\r\nb: c\r\n\r\n", end(0, 1, 11));
        check(b"\r\n\r\na\r\n\r\n", end(4, 5, 9));
        check(b"a\r\nb: c\r\n\r", Ok(None));
        check(b"", Ok(None));
        check(b"\r\n\r\n", Ok(None));
    }

    #[test]
    fn bare_line_ends_are_refused_early() {
        for bytes in [
            &b"a\nb\r\n\r\n"[..],
            b"\n",
            b"a\r\nb\n",
            b"a\r\n\n",
            b"a\rb",
            b"a\r\rb",
        ] {
            check(bytes, Err(BareLineEnd));
        }
    }
}
