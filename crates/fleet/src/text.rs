//! Texts that are too large for one value of the store: they lie in parts, named by their digest, and the value says where.
//!
//! Parts are written first and never changed, as their name is that of the whole text. The value that names them is written
//! last, so a reader finds all parts or the previous text.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

/// The size in bytes from which on a text lies in parts, and that of a part.
pub const PART_BYTES_MAX: usize = 1 << 20;

/// The largest text in bytes.
pub const TEXT_BYTES_MAX: usize = 16 << 20;

/// The largest number of parts of a text.
pub const PARTS_MAX: u32 = 16;

/// The first word of a value that names parts. No YAML begins with it.
const MARK: &str = "@parts";

/// The SHA-256 of a text; in hexadecimal where it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// A text that is not a digest as they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest has 64 digits of 0 to 9 and a to f")]
pub struct DigestError;

impl Digest {
    /// The digest of a text.
    pub fn of(text: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, text).as_ref());
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digits = text.as_bytes();
        let is_digest = digits.len() == 64
            && digits
                .iter()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        if !is_digest {
            return Err(DigestError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| DigestError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| DigestError)?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// A text as a value of the store says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// The text itself.
    Whole(String),
    /// The parts that it lies in.
    Parts(Parts),
}

/// The place of a large text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Parts {
    /// The digest of the whole text, under which its parts lie.
    pub digest: Digest,
    /// The number of parts.
    pub count: u32,
}

/// A value or its parts that are not a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The text is too large.
    #[error("a text has {TEXT_BYTES_MAX} bytes at most")]
    TooLarge,
    /// The text is not UTF-8.
    #[error("the text is not UTF-8")]
    Encoding,
    /// The value begins as if it named parts, and does not.
    #[error("the value is not `{MARK} HASH N`")]
    Malformed,
    /// A part is missing.
    #[error("part {0} of the text is missing")]
    Missing(u32),
    /// The parts are those of another text.
    #[error("the parts of the text do not have its digest")]
    Damaged,
}

impl Stored {
    /// Reads a value.
    ///
    /// # Errors
    /// It is too large, not UTF-8, or names parts wrongly.
    pub fn read(value: &[u8]) -> Result<Self, TextError> {
        if value.len() > TEXT_BYTES_MAX {
            return Err(TextError::TooLarge);
        }
        let text = std::str::from_utf8(value).map_err(|_| TextError::Encoding)?;
        if !text.starts_with(MARK) {
            return Ok(Self::Whole(text.to_owned()));
        }
        // Editors end a file with a line end.
        let line = text.strip_suffix('\n').unwrap_or(text);
        let words: Vec<&str> = line.split(' ').collect();
        let [MARK, digest, count] = words[..] else {
            return Err(TextError::Malformed);
        };
        let parts = Parts {
            digest: digest.parse().map_err(|_| TextError::Malformed)?,
            count: count.parse().map_err(|_| TextError::Malformed)?,
        };
        if parts.count == 0 || parts.to_string() != line {
            return Err(TextError::Malformed);
        }
        if parts.count > PARTS_MAX {
            return Err(TextError::TooLarge);
        }
        Ok(Self::Parts(parts))
    }
}

impl TryFrom<String> for Parts {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        match Stored::read(text.as_bytes())? {
            Stored::Parts(parts) => Ok(parts),
            Stored::Whole(_) => Err(TextError::Malformed),
        }
    }
}

impl From<Parts> for String {
    fn from(parts: Parts) -> Self {
        parts.to_string()
    }
}

/// As a value names them.
impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK} {} {}", self.digest, self.count)
    }
}

/// A text that was cut: where it lies, and its parts in their order.
pub type Cut<'a> = (Parts, Vec<&'a [u8]>);

impl Parts {
    /// Cuts a text into parts; returns `None` for one that fits a value.
    ///
    /// # Errors
    /// The text is too large.
    pub fn cut(text: &str) -> Result<Option<Cut<'_>>, TextError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(TextError::TooLarge);
        }
        if text.len() <= PART_BYTES_MAX {
            return Ok(None);
        }
        Self::of(text.as_bytes()).map(Some)
    }

    /// Cuts a text of any size into parts.
    ///
    /// # Errors
    /// The text is too large.
    pub fn of(text: &[u8]) -> Result<Cut<'_>, TextError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(TextError::TooLarge);
        }
        let mut pieces: Vec<&[u8]> = text.chunks(PART_BYTES_MAX).collect();
        if pieces.is_empty() {
            pieces.push(&[]);
        }
        let parts = Self {
            digest: Digest::of(text),
            count: u32::try_from(pieces.len()).map_err(|_| TextError::TooLarge)?,
        };
        Ok((parts, pieces))
    }

    /// Puts a text together from its parts. `part` finds one by its number.
    ///
    /// # Errors
    /// A part is missing, or they are not those of this text.
    pub fn join<'a>(&self, mut part: impl FnMut(u32) -> Option<&'a [u8]>) -> Result<String, TextError> {
        let mut text = Vec::new();
        for number in 0..self.count {
            text.extend_from_slice(part(number).ok_or(TextError::Missing(number))?);
            if text.len() > TEXT_BYTES_MAX {
                return Err(TextError::TooLarge);
            }
        }
        if Digest::of(&text) != self.digest {
            return Err(TextError::Damaged);
        }
        String::from_utf8(text).map_err(|_| TextError::Encoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text whose characters do not end where parts do.
    fn text(bytes: usize) -> String {
        let mut text = "x".to_owned();
        text.push_str(&"ü".repeat(bytes / 2));
        text.truncate(bytes - usize::from(!text.is_char_boundary(bytes)));
        text
    }

    #[test]
    fn a_large_text_is_put_together_as_it_was_cut() {
        for (bytes, count) in [
            (PART_BYTES_MAX + 1, 2),
            (2 * PART_BYTES_MAX + 1, 3),
            (TEXT_BYTES_MAX - 1, PARTS_MAX),
        ] {
            let text = text(bytes);
            let (parts, pieces) = Parts::cut(&text).unwrap().unwrap();
            assert_eq!(parts.count, count);
            let value = parts.to_string();
            assert_eq!(Stored::read(value.as_bytes()), Ok(Stored::Parts(parts)));
            let at = |number| pieces.get(usize::try_from(number).unwrap()).copied();
            assert!(parts.join(at).as_deref() == Ok(&text));
            assert_eq!(
                parts.join(|number| at(number).filter(|_| number != 1)),
                Err(TextError::Missing(1))
            );
            assert_eq!(
                parts.join(|number| if number == 0 { Some(&b"y"[..]) } else { at(number) }),
                Err(TextError::Damaged)
            );
        }
        assert_eq!(Parts::cut(&text(PART_BYTES_MAX)), Ok(None));
        assert_eq!(
            Parts::cut(&"x".repeat(TEXT_BYTES_MAX + 1)),
            Err(TextError::TooLarge)
        );
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        let digest = Digest::of(b"x");
        let upper = digest.to_string().to_uppercase();
        for (value, expected) in [
            ("@parts".to_owned(), TextError::Malformed),
            ("@parts x 1".to_owned(), TextError::Malformed),
            (format!("@parts {upper} 1"), TextError::Malformed),
            (format!("@parts {digest}"), TextError::Malformed),
            (format!("@parts {digest} 0"), TextError::Malformed),
            (format!("@parts {digest} 01"), TextError::Malformed),
            (format!("@parts {digest} +1"), TextError::Malformed),
            (format!("@parts  {digest} 1"), TextError::Malformed),
            (format!("@parts {digest} 1 2"), TextError::Malformed),
            (format!("@parts {digest} 1\n\n"), TextError::Malformed),
            (format!("@parts {digest} 17"), TextError::TooLarge),
            (format!("@parts {digest} 4294967296"), TextError::Malformed),
        ] {
            assert_eq!(Stored::read(value.as_bytes()), Err(expected), "{value:?}");
        }
        assert_eq!(Stored::read(b"\xff"), Err(TextError::Encoding));
        assert_eq!(
            Stored::read(&vec![b'x'; TEXT_BYTES_MAX + 1]),
            Err(TextError::TooLarge)
        );
        let whole = "routes: []\n";
        assert_eq!(
            Stored::read(whole.as_bytes()),
            Ok(Stored::Whole(whole.to_owned()))
        );
    }
}
