//! The token in the value of a header.

/// The token in a value of `authorization` of the scheme `Bearer`, in any case (RFC 6750 §2.1, RFC 9110 §11.4); `None` if it
/// is of another scheme, or holds no token.
pub fn of_authorization(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") || rest.first() != Some(&b' ') {
        return None;
    }
    let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    let token = &rest[blanks..];
    (!token.is_empty()).then_some(token)
}

/// The token in a value of another header: all of it, or what follows a scheme `Bearer`.
pub fn of_header(value: &[u8]) -> Option<&[u8]> {
    of_authorization(value).or_else(|| (!value.is_empty()).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_follows_the_scheme_and_blanks() {
        for (value, token, in_other) in [
            ("Bearer a.b.c", Some("a.b.c"), Some("a.b.c")),
            ("bearer a.b.c", Some("a.b.c"), Some("a.b.c")),
            ("BEARER   a.b.c", Some("a.b.c"), Some("a.b.c")),
            // The verification refuses what is no token.
            ("Bearer a b", Some("a b"), Some("a b")),
            ("Bearer \ta", Some("\ta"), Some("\ta")),
            ("Bearer", None, Some("Bearer")),
            ("Bearer ", None, Some("Bearer ")),
            ("Bearer\ta.b.c", None, Some("Bearer\ta.b.c")),
            ("Bearera.b.c", None, Some("Bearera.b.c")),
            ("Bearer=a.b.c", None, Some("Bearer=a.b.c")),
            ("Basic YTpi", None, Some("Basic YTpi")),
            ("a.b.c", None, Some("a.b.c")),
            ("", None, None),
        ] {
            let text = |found: Option<&[u8]>| found.map(|token| String::from_utf8(token.to_vec()).unwrap());
            assert_eq!(
                text(of_authorization(value.as_bytes())).as_deref(),
                token,
                "{value}"
            );
            assert_eq!(text(of_header(value.as_bytes())).as_deref(), in_other, "{value}");
        }
    }
}
