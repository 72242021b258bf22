//! The id of a request: that of a trusted proxy, or one that is made where it is needed.

/// The longest id of a trusted proxy that is taken over.
const BYTES_MAX: usize = 128;

/// The header that carries the id.
pub(crate) const HEADER: &[u8] = b"x-request-id";

/// A universally unique identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uuid([u8; 16]);

/// The id of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestId<'a> {
    /// As a trusted proxy gave it.
    Given(&'a [u8]),
    /// Made here.
    Made(Uuid),
}

impl Uuid {
    /// The UUID of version 7 (RFC 9562 §5.7) for a time in milliseconds since 1970, with these random bits.
    pub fn v7(unix_ms: u64, [high, low]: [u64; 2]) -> Self {
        let first = unix_ms << 16 | 0x7000 | high & 0x0fff;
        let second = 0x8000_0000_0000_0000 | low & 0x3fff_ffff_ffff_ffff;
        let bits = u128::from(first) << 64 | u128::from(second);
        Self(bits.to_be_bytes())
    }

    /// Appends its 36 characters.
    pub fn write(self, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, byte) in self.0.into_iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                at += 1;
            }
            text[at] = DIGITS[usize::from(byte >> 4)];
            text[at + 1] = DIGITS[usize::from(byte & 15)];
            at += 2;
        }
        out.extend_from_slice(&text);
    }
}

impl RequestId<'_> {
    /// Appends it.
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Given(id) => out.extend_from_slice(id),
            Self::Made(id) => id.write(out),
        }
    }
}

/// Returns true for an id that is taken over from a trusted proxy: 1 to 128 letters, digits, `.`, `_` and `-`.
pub(crate) fn is_valid(id: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=BYTES_MAX).contains(&id.len()) && id.iter().all(fits)
}

/// Appends the line that carries the id.
pub(crate) fn write_line(id: RequestId<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(HEADER);
    out.extend_from_slice(b": ");
    id.write(out);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_are_uuids_of_version_7() {
        let text = |unix_ms, bits| {
            let mut out = Vec::new();
            Uuid::v7(unix_ms, bits).write(&mut out);
            String::from_utf8(out).unwrap()
        };
        // The example of RFC 9562, appendix A.6.
        assert_eq!(
            text(0x017F_22E2_79B0, [0x0CC3, 0x18C4_DC0C_0C07_398F]),
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
        );
        assert_eq!(text(0, [u64::MAX; 2]), "00000000-0000-7fff-bfff-ffffffffffff");
        assert_eq!(text(0, [0; 2]), "00000000-0000-7000-8000-000000000000");
        assert!(text(1, [u64::MAX; 2]) < text(2, [0; 2]));
    }

    #[test]
    fn ids_of_proxies_are_short_and_plain() {
        let long = "a".repeat(128);
        for valid in ["a", "A-1_b.C", &*long] {
            assert!(is_valid(valid.as_bytes()), "{valid}");
        }
        let longer = "a".repeat(129);
        for invalid in ["", "a b", "a,b", "a/b", "é", "a\"", &*longer] {
            assert!(!is_valid(invalid.as_bytes()), "{invalid}");
        }
    }
}
