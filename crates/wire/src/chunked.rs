//! A strict decoder for the chunked transfer coding (RFC 9112 §7.1).

use std::ops::Range;

use crate::field::{self, Field, FieldKind};
use crate::write;

/// Maximum bytes of one chunk extension.
pub const EXTENSION_BYTES_MAX: usize = 256;
/// Maximum bytes of all chunk extensions of a message.
pub const EXTENSIONS_BYTES_MAX: usize = 16 << 10;
/// Maximum bytes of the trailers.
pub const TRAILERS_BYTES_MAX: usize = 8 << 10;
/// Maximum number of trailer lines.
pub const TRAILERS_MAX: usize = 100;
/// Maximum digits of a chunk size: sixteen hold every 64-bit length.
const SIZE_DIGITS_MAX: usize = 16;

/// Decodes a chunked body incrementally.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkedDecoder {
    state: State,
    extensions_bytes: usize,
    trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the digits of a chunk size.
    Size { value: u64, digits: usize },
    /// In an extension, after the size.
    Extension { value: u64, bytes: usize },
    /// At the LF after a size.
    SizeLf { value: u64 },
    /// In the data of a chunk, with this many bytes left.
    Data { left: u64 },
    /// At the CR after the data.
    DataCr,
    /// At the LF after the data.
    DataLf,
    /// In the trailers; `line` is the offset of the current line within them.
    Trailers { line: usize },
    /// The body is complete.
    Done,
}

impl Default for State {
    fn default() -> Self {
        Self::Size { value: 0, digits: 0 }
    }
}

/// A violation of the chunked coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// A chunk size that is not a hexadecimal number, or is too large.
    #[error("a chunk size is malformed")]
    Size,
    /// A line that does not end in CRLF, or a chunk longer than its size.
    #[error("a chunk does not end in CRLF")]
    LineEnd,
    /// An extension with a control character, or extensions over the limit.
    #[error("a chunk extension is malformed or too long")]
    Extension,
    /// Malformed trailer fields.
    #[error("a trailer line is malformed")]
    Trailers,
    /// Trailers over 8 KiB.
    #[error("the trailers are too large")]
    TrailersTooLarge,
}

/// The result of one decoding step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The number of input bytes consumed.
    pub consumed: usize,
    /// The range of the input that is body data.
    pub data: Range<usize>,
}

impl ChunkedDecoder {
    /// Decodes up to the end of the next stretch of data in `input`, or to the end of `input` if it holds none.
    ///
    /// Call it again with the rest until nothing is consumed.
    ///
    /// # Errors
    /// The body violates the coding.
    pub fn decode(&mut self, input: &[u8]) -> Result<Piece, ChunkError> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match &mut self.state {
                State::Size { value, digits } => match (char::from(byte).to_digit(16), byte) {
                    (Some(digit), _) if *digits < SIZE_DIGITS_MAX => {
                        *value = *value << 4 | u64::from(digit);
                        *digits += 1;
                    }
                    (None, b'\r') if *digits > 0 => self.state = State::SizeLf { value: *value },
                    (None, b';') if *digits > 0 => {
                        self.state = State::Extension {
                            value: *value,
                            bytes: 1,
                        }
                    }
                    _ => return Err(ChunkError::Size),
                },
                State::Extension { value, bytes } => match byte {
                    b'\r' => {
                        self.extensions_bytes += *bytes;
                        self.state = State::SizeLf { value: *value };
                    }
                    _ if (byte < b' ' && byte != b'\t') || byte == 0x7f => return Err(ChunkError::Extension),
                    _ => {
                        *bytes += 1;
                        if *bytes > EXTENSION_BYTES_MAX
                            || self.extensions_bytes + *bytes > EXTENSIONS_BYTES_MAX
                        {
                            return Err(ChunkError::Extension);
                        }
                    }
                },
                State::SizeLf { value } => {
                    if byte != b'\n' {
                        return Err(ChunkError::LineEnd);
                    }
                    self.state = match *value {
                        0 => State::Trailers { line: 0 },
                        value if i64::try_from(value).is_err() => return Err(ChunkError::Size),
                        left => State::Data { left },
                    };
                }
                State::Data { left } => {
                    let available = input.len() - at;
                    let taken = usize::try_from(*left).map_or(available, |left| left.min(available));
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Piece {
                        consumed: at + taken,
                        data: at..at + taken,
                    });
                }
                State::DataCr if byte == b'\r' => self.state = State::DataLf,
                State::DataLf if byte == b'\n' => self.state = State::default(),
                State::DataCr | State::DataLf => return Err(ChunkError::LineEnd),
                State::Trailers { .. } => {
                    at += self.take_trailers(&input[at..])?;
                    continue;
                }
                State::Done => break,
            }
            at += 1;
        }
        Ok(Piece {
            consumed: at,
            data: at..at,
        })
    }

    /// Returns true once the whole body, including its trailers, has been read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The raw trailers received so far, complete once [`ChunkedDecoder::is_done`]. [`write_trailers`] serialises them.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Consumes one line of trailers, or what there is of it; returns the number of bytes consumed.
    fn take_trailers(&mut self, input: &[u8]) -> Result<usize, ChunkError> {
        let State::Trailers { line } = &mut self.state else {
            return Ok(0);
        };
        let line_start = *line;
        let taken = memchr::memchr(b'\n', input).map_or(input.len(), |at| at + 1);
        if self.trailers.len() + taken > TRAILERS_BYTES_MAX {
            return Err(ChunkError::TrailersTooLarge);
        }
        self.trailers.extend_from_slice(&input[..taken]);
        // Report a bare CR at once rather than at the end of its line.
        let unread = &self.trailers[line_start..];
        if memchr::memchr(b'\r', unread)
            .is_some_and(|at| unread.get(at + 1).is_some_and(|&next| next != b'\n'))
        {
            return Err(ChunkError::LineEnd);
        }
        if self.trailers.last() == Some(&b'\n') {
            if !self.trailers.ends_with(b"\r\n") || self.trailers.len() - *line < 2 {
                return Err(ChunkError::LineEnd);
            }
            let empty = self.trailers.len() - *line == 2;
            *line = self.trailers.len();
            if empty {
                self.state = State::Done;
                write_trailers(&self.trailers, |_| true, &mut Vec::new())?;
            }
        }
        Ok(taken)
    }
}

/// Appends `trailers`, which end with an empty line, one CRLF line per field. Fields that frame, route or authenticate
/// are left out, as are those that are `withheld` by name, and the empty line.
///
/// # Errors
/// A malformed field, too many fields, or trailers over the limit.
pub fn write_trailers(
    trailers: &[u8],
    withheld: impl Fn(&[u8]) -> bool,
    out: &mut Vec<u8>,
) -> Result<(), ChunkError> {
    if trailers.len() <= 2 {
        return Ok(());
    }
    if trailers.len() > TRAILERS_BYTES_MAX {
        return Err(ChunkError::TrailersTooLarge);
    }
    let mut fields = Vec::new();
    field::parse(trailers, 0, TRAILERS_MAX, &mut fields).map_err(|_| ChunkError::Trailers)?;
    for Field { name, value, kind } in fields {
        let name = name.of(trailers);
        let may_pass = matches!(kind, FieldKind::Other | FieldKind::RequestId);
        if may_pass && !is_forbidden_trailer(name) && !withheld(name) {
            write::field(out, name, value.of(trailers));
        }
    }
    Ok(())
}

/// Returns true for fields beyond those of [`FieldKind`] that change how a message is framed, routed, authenticated or
/// read, and therefore must not be sent as trailers (RFC 9110 §6.5.1).
fn is_forbidden_trailer(name: &[u8]) -> bool {
    const FORBIDDEN: [&str; 14] = [
        "trailer",
        "content-encoding",
        "content-type",
        "content-range",
        "cache-control",
        "max-forwards",
        "set-cookie",
        "location",
        "www-authenticate",
        "age",
        "date",
        "expires",
        "vary",
        "range",
    ];
    FORBIDDEN
        .iter()
        .any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()))
        || name.contains(&b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(cuts: &[&[u8]]) -> Result<(String, String, bool), ChunkError> {
        let mut decoder = ChunkedDecoder::default();
        let mut data = Vec::new();
        for cut in cuts {
            let mut rest = *cut;
            while !rest.is_empty() {
                let piece = decoder.decode(rest)?;
                data.extend_from_slice(&rest[piece.data.clone()]);
                if piece.consumed == 0 {
                    break;
                }
                rest = &rest[piece.consumed..];
            }
        }
        let mut trailers = Vec::new();
        if decoder.is_done() {
            write_trailers(decoder.trailers(), |_| false, &mut trailers)?;
        }
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ok((text(data), text(trailers), decoder.is_done()))
    }

    /// Decodes `body` whole and byte by byte: the result must not depend on how the bytes are cut.
    fn check(body: &[u8], expected: Result<(&str, &str, bool), ChunkError>) {
        let expected = expected.map(|(data, trailers, done)| (data.to_owned(), trailers.to_owned(), done));
        assert_eq!(decode(&[body]), expected, "{:?}", body.escape_ascii().to_string());
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(
            decode(&bytes),
            expected,
            "byte by byte: {:?}",
            body.escape_ascii().to_string()
        );
    }

    #[test]
    fn chunks_and_trailers_are_decoded() {
        check(b"5\r\nhello\r\n0\r\n\r\n", Ok(("hello", "", true)));
        check(
            b"5;a=b\r\nhello\r\n00A\r\n0123456789\r\n0;x\r\n\r\n",
            Ok(("hello0123456789", "", true)),
        );
        check(
            b"0\r\nX-Sum:  7 \r\nContent-Length: 5\r\nHost: a\r\n\r\n",
            Ok(("", "X-Sum: 7\r\n", true)),
        );
        check(b"5\r\nhel", Ok(("hel", "", false)));
        check(b"1\r\na\r\n0\r\n", Ok(("a", "", false)));
    }

    #[test]
    fn violations_are_refused() {
        use ChunkError as E;
        for (body, error) in [
            (&b"5\nhello"[..], E::Size),
            (b"\r\n", E::Size),
            (b"g\r\n", E::Size),
            (b"-1\r\n", E::Size),
            (b"+1\r\n", E::Size),
            (b"0x5\r\n", E::Size),
            (b" 5\r\n", E::Size),
            (b"5 \r\n", E::Size),
            (b"ffffffffffffffff\r\n", E::Size),
            (b"00000000000000001\r\n", E::Size),
            (b"5\rx", E::LineEnd),
            (b"5\r\nhello0\r\n", E::LineEnd),
            (b"5\r\nhello\n0\r\n", E::LineEnd),
            (b"5\r\nhello\r0\r\n", E::LineEnd),
            (b"5;a\nhello", E::Extension),
            (b"5;a\x00\r\nhello", E::Extension),
            (b"0\r\n\rX", E::LineEnd),
            (b"0\r\n\n", E::LineEnd),
            (b"0\r\na: b\n\r\n", E::LineEnd),
            (b"0\r\na b: c\r\n\r\n", E::Trailers),
            (b"0\r\n folded\r\n\r\n", E::Trailers),
        ] {
            check(body, Err(error));
        }
        let long = [b"5;", &vec![b'a'; 300][..], b"\r\n"].concat();
        check(&long, Err(E::Extension));
        let many = [b"1;", &vec![b'a'; 200][..], b"\r\nx\r\n"].concat().repeat(90);
        check(&many, Err(E::Extension));
        let trailers = [b"0\r\n", &b"a: b\r\n".repeat(2000)[..]].concat();
        check(&trailers, Err(E::TrailersTooLarge));
    }
}
