//! Finding the end of a head while its bytes arrive, each byte looked at once.

/// Where the search for the end of a head stands. It starts anew with each head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeadScan {
    /// Everything in front of this is known to hold whole lines only. start <= line <= scanned.
    line: usize,
    /// Everything in front of this has been looked at.
    scanned: usize,
    /// Where the head begins, behind empty lines that a client sent in front of it.
    start: usize,
    /// Where the first line ends, its CRLF not included; 0 while it is not known.
    first_line_end: usize,
}

/// A complete head in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadEnd {
    /// Where it begins: behind empty lines, which RFC 9112 §2.2 lets a client send first.
    pub start: usize,
    /// Where its first line ends, without CRLF.
    pub first_line_end: usize,
    /// Where it ends, the empty line included.
    pub end: usize,
}

/// A line that does not end in CRLF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line ends without CRLF")]
pub struct BareLineEnd;

impl HeadScan {
    /// Looks at what is new in `bytes`, which begins where it began before.
    ///
    /// `None` while the head is not complete.
    ///
    /// # Errors
    /// When a line ends in a bare LF, or a CR stands alone.
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
        // The head is not complete, so nobody is in a hurry: a CR that stands alone is said at once,
        // rather than when the client's time is up.
        let rest = &bytes[self.scanned..];
        match memchr::memchr(b'\r', rest) {
            Some(found) if found + 1 < rest.len() => Err(BareLineEnd),
            // What follows this CR is looked at together with it.
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

    /// The first line, once it is complete, without CRLF.
    pub fn first_line<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        (self.first_line_end > 0).then(|| &bytes[self.start..self.first_line_end])
    }

    /// Where the head begins, as far as is known.
    pub fn start(&self) -> usize {
        self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict must not depend on how the bytes are cut.
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
    fn heads_end_at_the_first_empty_line() {
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
    fn bare_line_ends_are_found_at_once() {
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
