//! Host patterns: an exact name, or every name below a domain.

use std::fmt;
use std::net::Ipv6Addr;

/// A pattern for hosts.
///
/// The text is lower-case, without port and trailing dot, and an IPv6 address is spelled as in RFC 5952, like the host of a
/// [`Request`].
///
/// [`Request`]: crate::request::Request
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Every request, including one without a host (HTTP/1.0).
    Any,
    /// A name or address.
    Exact(Box<str>),
    /// `*.example.net`: names with one or more labels in front of the suffix, which is stored as
    /// `.example.net`. As in the Gateway API, `example.net` itself is not covered.
    Wildcard(Box<str>),
}

/// An error in a host pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// Empty text.
    #[error("a host cannot be empty")]
    Empty,
    /// `*` alone.
    #[error("`*` alone is not a host pattern")]
    BareWildcard,
    /// `*` that is not the first label.
    #[error("`*` may only stand once, as the first label: `*.example.com`")]
    MisplacedWildcard,
    /// `http://…`.
    #[error("a host pattern has no scheme")]
    Scheme,
    /// `example.com:8080`.
    #[error("a host pattern has no port")]
    Port,
    /// `example.com.`.
    #[error("a host pattern has no trailing dot")]
    TrailingDot,
    /// `a..b`, or a dot in front.
    #[error("a host pattern has no empty labels")]
    EmptyLabel,
    /// A character that no valid `Host` header has.
    #[error("`{0}` is not allowed in a host")]
    Character(char),
    /// Brackets without an IPv6 address.
    #[error("the text in brackets is not an IPv6 address")]
    Ipv6,
}

impl HostPattern {
    /// Parses a pattern; upper-case letters are lowered, and an IPv6 address gets the spelling of RFC 5952.
    ///
    /// # Errors
    /// If no request can have such a host, or a wildcard is misplaced.
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        if text.is_empty() {
            return Err(HostPatternError::Empty);
        }
        if text == "*" {
            return Err(HostPatternError::BareWildcard);
        }
        if text.contains("://") {
            return Err(HostPatternError::Scheme);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let Some((address, rest)) = inner.split_once(']') else {
                return Err(HostPatternError::Ipv6);
            };
            if rest.starts_with(':') {
                return Err(HostPatternError::Port);
            }
            return match address.parse::<Ipv6Addr>() {
                Ok(address) if rest.is_empty() => Ok(Self::Exact(format!("[{address}]").into())),
                _ => Err(HostPatternError::Ipv6),
            };
        }
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_prefix("*.").unwrap_or(&lower);
        if name.contains('*') {
            return Err(HostPatternError::MisplacedWildcard);
        }
        if let Some((_, port)) = name.rsplit_once(':')
            && port.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err(HostPatternError::Port);
        }
        if let Some(odd) = name
            .chars()
            .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'))
        {
            return Err(HostPatternError::Character(odd));
        }
        if name.len() > 1 && name.ends_with('.') && !name.ends_with("..") {
            return Err(HostPatternError::TrailingDot);
        }
        if name.split('.').any(str::is_empty) {
            return Err(HostPatternError::EmptyLabel);
        }
        Ok(if name.len() == lower.len() {
            Self::Exact(lower.into())
        } else {
            Self::Wildcard(lower[1..].into())
        })
    }

    /// Returns true if the pattern covers `host` (normalised; `None` if the request has none).
    pub fn covers(&self, host: Option<&[u8]>) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (_, None) => false,
            (Self::Exact(name), Some(host)) => name.as_bytes() == host,
            (Self::Wildcard(suffix), Some(host)) => {
                host.len() > suffix.len() && host.ends_with(suffix.as_bytes())
            }
        }
    }

    /// Returns true if both patterns cover some host.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Exact(name), pattern) | (pattern, Self::Exact(name)) => {
                pattern.covers(Some(name.as_bytes()))
            }
            (Self::Wildcard(a), Self::Wildcard(b)) => a.ends_with(&**b) || b.ends_with(&**a),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any host"),
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(suffix) => write!(f, "*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, host: &str) -> bool {
        HostPattern::parse(pattern).unwrap().covers(Some(host.as_bytes()))
    }

    #[test]
    fn wildcard_covers_subdomains_but_not_the_domain() {
        assert!(covers("*.example.net", "a.example.net"));
        assert!(covers("*.example.net", "a.b.example.net"));
        assert!(!covers("*.example.net", "example.net"));
        assert!(!covers("*.example.net", ".example.net"));
        assert!(!covers("*.example.net", "aexample.net"));
    }

    #[test]
    fn patterns_are_lowered() {
        assert!(covers("API.Example.COM", "api.example.com"));
    }

    #[test]
    fn ipv6_patterns_cover_one_spelling() {
        for text in ["[::1]", "[0:0:0:0:0:0:0:1]", "[::0.0.0.1]", "[0000::0001]"] {
            assert!(covers(text, "[::1]"), "{text}");
        }
        for text in ["[::FFFF:1.2.3.4]", "[::ffff:102:304]"] {
            assert!(covers(text, "[::ffff:1.2.3.4]"), "{text}");
            assert!(!covers(text, "1.2.3.4"), "{text}");
        }
    }

    #[test]
    fn only_any_covers_a_request_without_host() {
        assert!(HostPattern::Any.covers(None));
        assert!(!HostPattern::parse("a").unwrap().covers(None));
    }

    #[test]
    fn invalid_patterns_are_refused() {
        use HostPatternError as E;
        for (text, error) in [
            ("", E::Empty),
            ("*", E::BareWildcard),
            ("a.*.b", E::MisplacedWildcard),
            ("*.*.b", E::MisplacedWildcard),
            ("a*.b", E::MisplacedWildcard),
            ("http://a", E::Scheme),
            ("a:80", E::Port),
            ("[::1]:80", E::Port),
            ("[::g]", E::Ipv6),
            ("a.", E::TrailingDot),
            ("a..b", E::EmptyLabel),
            (".a", E::EmptyLabel),
            ("*.", E::EmptyLabel),
            ("a b", E::Character(' ')),
            ("münchen.de", E::Character('ü')),
        ] {
            assert_eq!(HostPattern::parse(text), Err(error), "{text}");
        }
    }
}
