//! The credentials of `Authorization: Basic` (RFC 7617).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest credentials that are read, in base64.
pub const ENCODED_BYTES_MAX: usize = 4096;

/// A name and a password, as a client sends them.
#[derive(PartialEq, Eq)]
pub struct Pair {
    /// `NAME:PASSWORD`
    text: String,
    /// The place of the colon.
    colon: usize,
}

/// A field that claims the scheme `Basic`, without credentials of its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the credentials are malformed")]
pub struct Malformed;

/// Returns what follows the scheme, if a field's value is of the scheme `Basic`, in any case (RFC 9110 §11.1).
pub fn credentials(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(5)?;
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    match rest {
        [] => Some(rest),
        [b' ', ..] => Some(rest.trim_ascii_start()),
        _ => None,
    }
}

impl Pair {
    /// Reads what follows the scheme: base64 in its one spelling (RFC 4648 §4, with its padding, and no bits left over), of
    /// UTF-8 without control characters. The name ends with the first colon.
    ///
    /// # Errors
    /// It is anything else.
    pub fn parse(encoded: &[u8]) -> Result<Self, Malformed> {
        if encoded.len() > ENCODED_BYTES_MAX {
            return Err(Malformed);
        }
        let bytes = STANDARD.decode(encoded).map_err(|_| Malformed)?;
        let text = String::from_utf8(bytes).map_err(|_| Malformed)?;
        if text.contains(char::is_control) {
            return Err(Malformed);
        }
        let colon = text.find(':').ok_or(Malformed)?;
        Ok(Self { text, colon })
    }

    /// The name of the user.
    pub fn name(&self) -> &str {
        &self.text[..self.colon]
    }

    /// The password.
    pub fn password(&self) -> &[u8] {
        &self.text.as_bytes()[self.colon + 1..]
    }
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pair(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_a_word_in_any_case() {
        for (value, expected) in [
            ("Basic YTpi", Some("YTpi")),
            ("basic   YTpi", Some("YTpi")),
            ("BASIC YTpi", Some("YTpi")),
            ("Basic", Some("")),
            ("Basic ", Some("")),
            ("Basic\tYTpi", None),
            ("Basics YTpi", None),
            ("BasicYTpi", None),
            ("Bearer YTpi", None),
            ("", None),
            ("Bas", None),
        ] {
            assert_eq!(
                credentials(value.as_bytes()),
                expected.map(str::as_bytes),
                "{value}"
            );
        }
    }

    #[test]
    fn credentials_have_one_spelling() {
        let check = |encoded: &str, expected: Option<(&str, &str)>| {
            let pair = Pair::parse(encoded.as_bytes());
            let pair = pair.as_ref().ok().map(|pair| (pair.name(), pair.password()));
            let expected = expected.map(|(name, password)| (name, password.as_bytes()));
            assert_eq!(pair, expected, "{encoded}");
        };
        // The example of RFC 7617 §2, and that of §2.1 in UTF-8.
        check("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some(("Aladdin", "open sesame")));
        check("dGVzdDoxMjPCow==", Some(("test", "123\u{a3}")));
        check("YTpi", Some(("a", "b")));
        check("YTpiOmM=", Some(("a", "b:c")));
        check("Og==", Some(("", "")));
        check("YTo=", Some(("a", "")));
        for malformed in [
            "",
            "YWI=",             // no colon
            "dGVzdDoxMjOj",     // Latin-1
            "YTpiOmM",          // no padding
            "YTpiOmM==",        // too much of it
            "YTpi====",         //
            "YTpiOmN=",         // bits left over
            "YTo_",             // base64url
            "YTpi YTpi",        // a blank
            "YTpi\r\n",         //
            "YTpi,realm=\"x\"", // parameters
            "YTpiAA==",         // NUL
            "YTpiCg==",         // LF
            "wpo6Yg==",         // C1
            "QQ",               //
        ] {
            check(malformed, None);
        }
        assert_eq!(Pair::parse("YTpi".repeat(1025).as_bytes()), Err(Malformed));
    }

    #[test]
    fn debug_output_has_no_password() {
        assert_eq!(format!("{:?}", Pair::parse(b"YTpi")), "Ok(Pair(..))");
    }
}
