//! Request targets (RFC 9112 §3.2) in origin and absolute form.

use crate::authority::Authority;

/// The parts of a request target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// The authority of an absolute target, as sent.
    pub authority: Option<&'a [u8]>,
    /// The path as sent; `/` where an absolute target has none.
    pub path: &'a [u8],
    /// The part after the first `?`; `None` without a `?`.
    pub query: Option<&'a [u8]>,
}

/// An invalid request target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither a path nor an absolute URL; `*` is one example, unless it is that of OPTIONS.
    #[error("the request target is neither a path nor an absolute URL")]
    Form,
    /// A `#`, which is not part of any target (RFC 9112 §3.2).
    #[error("the request target has a fragment")]
    Fragment,
    /// A scheme other than `http` and `https`.
    #[error("the scheme of the request target is neither `http` nor `https`")]
    Scheme,
    /// An authority other than `host[:port]`.
    #[error("the authority of the request target is not valid")]
    Authority,
}

impl<'a> Target<'a> {
    /// Parses a target.
    ///
    /// # Errors
    /// Neither a path nor an `http` or `https` URL with a valid authority.
    pub fn parse(raw: &'a [u8]) -> Result<Self, TargetError> {
        // Servers disagree on whether a target ends there, and so on the query.
        if memchr::memchr(b'#', raw).is_some() {
            return Err(TargetError::Fragment);
        }
        if raw.first() == Some(&b'/') {
            return Ok(Self::with_path(None, raw));
        }
        let scheme_end = raw
            .windows(3)
            .position(|three| three == b"://")
            .ok_or(TargetError::Form)?;
        let scheme = &raw[..scheme_end];
        if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
            return Err(TargetError::Scheme);
        }
        let rest = &raw[scheme_end + 3..];
        let end = rest
            .iter()
            .position(|byte| matches!(byte, b'/' | b'?'))
            .unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        Authority::parse(authority).map_err(|_| TargetError::Authority)?;
        Ok(Self::with_path(Some(authority), path))
    }

    fn with_path(authority: Option<&'a [u8]>, raw: &'a [u8]) -> Self {
        let (path, query) = match memchr::memchr(b'?', raw) {
            Some(at) => (&raw[..at], Some(&raw[at + 1..])),
            None => (raw, None),
        };
        let path = if path.is_empty() { b"/" } else { path };
        Self {
            authority,
            path,
            query,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: Result<(Option<&str>, &str, Option<&str>), TargetError>) {
        let found = Target::parse(raw.as_bytes());
        let expected = expected.map(|(authority, path, query)| Target {
            authority: authority.map(str::as_bytes),
            path: path.as_bytes(),
            query: query.map(str::as_bytes),
        });
        assert_eq!(found, expected, "{raw}");
    }

    #[test]
    fn paths_and_absolute_urls_are_parsed() {
        check("/", Ok((None, "/", None)));
        check("/a?", Ok((None, "/a", Some(""))));
        check("/a?b?c", Ok((None, "/a", Some("b?c"))));
        check("//h/x", Ok((None, "//h/x", None)));
        check("http://h", Ok((Some("h"), "/", None)));
        check("HTTPS://h:1?q", Ok((Some("h:1"), "/", Some("q"))));
        check("http://h/a?b=http://c", Ok((Some("h"), "/a", Some("b=http://c"))));
    }

    #[test]
    fn invalid_targets_are_refused() {
        check("*", Err(TargetError::Form));
        check("h:443", Err(TargetError::Form));
        check("", Err(TargetError::Form));
        check("ftp://h/", Err(TargetError::Scheme));
        check("http://h#f", Err(TargetError::Fragment));
        check("http://h#/a?b", Err(TargetError::Fragment));
        check("/a?b#c", Err(TargetError::Fragment));
        check("http:///a", Err(TargetError::Authority));
        check("http://u@h/", Err(TargetError::Authority));
    }
}
