//! Cross-origin requests: the pages that may read the responses of a route, and what they may send (Fetch §3.2).

use std::fmt;

use waypost_route::host::{HostPattern, HostPatternError};

/// The permissions of pages of other origins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// The origins that may read responses.
    pub origins: Origins,
    /// The methods of their requests.
    pub methods: Permitted,
    /// The headers of their requests, beside those that every page may send.
    pub headers: Permitted,
    /// The headers of responses that they may read, beside those that every page may, as a list with commas; empty for none.
    pub expose: Box<str>,
    /// True if their requests may carry cookies and other credentials.
    pub credentials: bool,
    /// The seconds for which browsers may keep the answer to a preflight.
    pub max_age: Option<u64>,
    /// True if pages of public networks may send requests into this private one.
    pub private_network: bool,
}

/// Origins of pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// All.
    Any,
    /// These.
    Listed(OriginList),
}

/// A list of origins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OriginList {
    /// In order, so that one is found by halving.
    exact: Vec<Box<str>>,
    wildcards: Vec<WildcardOrigin>,
}

/// `https://*.example.com:8443`: any number of labels, but at least one, in front of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WildcardOrigin {
    /// `https://`.
    scheme: Box<str>,
    /// `.example.com:8443`.
    suffix: Box<str>,
}

/// An origin as the config has it, in the form in which browsers send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginPattern {
    /// One.
    Exact(Box<str>),
    /// All below a name.
    Wildcard(WildcardOrigin),
}

/// Names that a preflight may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permitted {
    /// All that it asks for.
    Any,
    /// These, as a list with commas.
    Listed(Box<str>),
}

/// A text that is no origin of a page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// `null`.
    #[error("`null` is the origin of every page that hides its own")]
    Null,
    /// No `://`.
    #[error("an origin has a scheme")]
    NoScheme,
    /// A scheme that is no scheme, or that no page has.
    #[error("no page has the scheme `{0}`")]
    Scheme(Box<str>),
    /// `*` in the scheme, or as the port.
    #[error("`*` may only stand for the first labels of the host")]
    Wildcard,
    /// A slash, and nothing behind it.
    #[error("an origin ends without a slash")]
    TrailingSlash,
    /// A path, query or fragment.
    #[error("an origin has no path")]
    Path,
    /// `user@`.
    #[error("an origin has no user")]
    User,
    /// A port that is none.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// A host that is none.
    #[error("{0}")]
    Host(HostPatternError),
}

impl OriginList {
    /// Adds an origin. Returns false if it is among them already.
    pub fn add(&mut self, origin: OriginPattern) -> bool {
        match origin {
            OriginPattern::Exact(origin) => match self.exact.binary_search(&origin) {
                Ok(_) => return false,
                Err(place) => self.exact.insert(place, origin),
            },
            OriginPattern::Wildcard(wildcard) => {
                if self.wildcards.contains(&wildcard) {
                    return false;
                }
                self.wildcards.push(wildcard);
            }
        }
        true
    }

    /// Returns true if pages of `origin`, as a browser sends it, are among them.
    ///
    /// Origins are compared byte for byte, as browsers compare what they get back with what they sent (Fetch §4.9).
    pub fn covers(&self, origin: &[u8]) -> bool {
        let exact = self
            .exact
            .binary_search_by(|known| (**known).as_bytes().cmp(origin));
        exact.is_ok() || self.wildcards.iter().any(|wildcard| wildcard.covers(origin))
    }
}

/// The length of the longest name of a host (RFC 1035 §2.3.4).
const HOST_MAX: usize = 253;

impl WildcardOrigin {
    fn covers(&self, origin: &[u8]) -> bool {
        let labels = origin
            .strip_prefix(self.scheme.as_bytes())
            .and_then(|rest| rest.strip_suffix(self.suffix.as_bytes()));
        let Some(labels) = labels else {
            return false;
        };
        // Any other character would end the host in front of the suffix, for one reader or another.
        let is_of_host = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        labels.len() + self.suffix.len() <= HOST_MAX
            && labels.iter().all(is_of_host)
            && labels.split(|&byte| byte == b'.').all(|label| !label.is_empty())
    }
}

impl OriginPattern {
    /// Parses an origin, and writes it as browsers do: in lower case, without the scheme's default port, and an IPv6 address
    /// in the spelling of RFC 5952.
    ///
    /// # Errors
    /// If no page, or any, can have it.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        if text == "null" {
            return Err(OriginError::Null);
        }
        let (scheme, rest) = text.split_once("://").ok_or(OriginError::NoScheme)?;
        let scheme = scheme.to_ascii_lowercase();
        if scheme.contains('*') {
            return Err(OriginError::Wildcard);
        }
        let mut letters = scheme.bytes();
        let is_scheme = letters.next().is_some_and(|first| first.is_ascii_lowercase())
            && letters.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
        // Pages of files have the origin `null`, and sockets that of the page.
        if !is_scheme || matches!(&*scheme, "file" | "data" | "ws" | "wss") {
            return Err(OriginError::Scheme(scheme.into()));
        }
        if rest.contains('@') {
            return Err(OriginError::User);
        }
        if let Some(at) = rest.find(['/', '?', '#']) {
            return Err(match &rest[at..] {
                "/" => OriginError::TrailingSlash,
                _ => OriginError::Path,
            });
        }
        let (host, port) = split_port(rest);
        let port = match port {
            None => None,
            Some("*") => return Err(OriginError::Wildcard),
            Some(digits) => {
                let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
                let port = is_number.then(|| digits.parse::<u16>().ok()).flatten();
                Some(port.filter(|port| *port > 0).ok_or(OriginError::Port)?)
            }
        };
        let is_default = matches!((&*scheme, port), ("http", Some(80)) | ("https", Some(443)));
        let port = match port.filter(|_| !is_default) {
            Some(port) => format!(":{port}"),
            None => String::new(),
        };
        match HostPattern::parse(host).map_err(OriginError::Host)? {
            HostPattern::Exact(host) => Ok(Self::Exact(format!("{scheme}://{host}{port}").into())),
            HostPattern::Wildcard(suffix) => Ok(Self::Wildcard(WildcardOrigin {
                scheme: format!("{scheme}://").into(),
                suffix: format!("{suffix}{port}").into(),
            })),
            HostPattern::Any => Err(OriginError::Host(HostPatternError::BareWildcard)),
        }
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(origin) => out.write_str(origin),
            Self::Wildcard(WildcardOrigin { scheme, suffix }) => write!(out, "{scheme}*{suffix}"),
        }
    }
}

/// Splits the port off a host, whose colons may be those of an IPv6 address in brackets.
fn split_port(text: &str) -> (&str, Option<&str>) {
    let behind_address = match text.rfind(']') {
        Some(end) => end + 1,
        None if text.starts_with('[') => return (text, None),
        None => 0,
    };
    match text[behind_address..].find(':') {
        Some(colon) => {
            let colon = behind_address + colon;
            (&text[..colon], Some(&text[colon + 1..]))
        }
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_as_browsers_send_them() {
        for (written, expected) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.COM", "https://app.example.com"),
            ("https://app.example.com:443", "https://app.example.com"),
            ("http://app.example.com:80", "http://app.example.com"),
            ("http://app.example.com:443", "http://app.example.com:443"),
            ("https://app.example.com:0443", "https://app.example.com"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("https://*.example.com", "https://*.example.com"),
            ("https://*.Example.com:8443", "https://*.example.com:8443"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ] {
            assert_eq!(
                OriginPattern::parse(written).unwrap().to_string(),
                expected,
                "{written}"
            );
        }
    }

    #[test]
    fn what_no_page_or_any_page_has_is_no_origin() {
        let host = OriginError::Host;
        for (written, expected) in [
            ("null", OriginError::Null),
            ("", OriginError::NoScheme),
            ("app.example.com", OriginError::NoScheme),
            ("//app.example.com", OriginError::NoScheme),
            ("://app.example.com", OriginError::Scheme("".into())),
            ("file:///srv", OriginError::Scheme("file".into())),
            ("wss://app.example.com", OriginError::Scheme("wss".into())),
            ("ht tp://app.example.com", OriginError::Scheme("ht tp".into())),
            ("*://app.example.com", OriginError::Wildcard),
            ("https://app.example.com:*", OriginError::Wildcard),
            ("https://app.example.com/", OriginError::TrailingSlash),
            ("https://app.example.com/shop", OriginError::Path),
            ("https://app.example.com//", OriginError::Path),
            ("https://app.example.com?x", OriginError::Path),
            ("https://app.example.com#x", OriginError::Path),
            ("https://user@app.example.com", OriginError::User),
            ("https://user:secret@app.example.com", OriginError::User),
            ("https://app.example.com:", OriginError::Port),
            ("https://app.example.com:0", OriginError::Port),
            ("https://app.example.com:65536", OriginError::Port),
            ("https://app.example.com:+1", OriginError::Port),
            ("https://app.example.com:80:80", OriginError::Port),
            ("https://", host(HostPatternError::Empty)),
            ("https://*", host(HostPatternError::BareWildcard)),
            ("https://app.*.com", host(HostPatternError::MisplacedWildcard)),
            (
                "https://*app.example.com",
                host(HostPatternError::MisplacedWildcard),
            ),
            ("https://app.example.com.", host(HostPatternError::TrailingDot)),
            ("https://bücher.example", host(HostPatternError::Character('ü'))),
            ("https://[::1", host(HostPatternError::Ipv6)),
            ("https://::1", OriginError::Port),
        ] {
            assert_eq!(OriginPattern::parse(written), Err(expected), "{written}");
        }
    }

    #[test]
    fn an_origin_is_covered_byte_for_byte() {
        let mut list = OriginList::default();
        for origin in [
            "https://shop.example.com",
            "http://localhost:5173",
            "http://[::1]:3000",
            "https://*.example.org",
            "https://*.example.net:8443",
        ] {
            assert!(list.add(OriginPattern::parse(origin).unwrap()));
        }
        assert!(!list.add(OriginPattern::parse("https://SHOP.example.com:443").unwrap()));
        assert!(!list.add(OriginPattern::parse("https://*.EXAMPLE.org").unwrap()));
        let long = format!("https://{}.example.org", "a".repeat(8192));
        for (origin, expected) in [
            ("https://shop.example.com", true),
            ("http://localhost:5173", true),
            ("http://[::1]:3000", true),
            ("https://a.example.org", true),
            ("https://a.b_c.d-1.example.org", true),
            ("https://a.example.net:8443", true),
            ("", false),
            ("null", false),
            ("*", false),
            ("http://shop.example.com", false),
            ("https://shop.example.com:443", false),
            ("https://shop.example.com:8443", false),
            ("https://shop.example.com/", false),
            ("https://shop.example.com.", false),
            ("https://shop.example.com.evil.test", false),
            ("https://evil.test/shop.example.com", false),
            ("https://shop.example.com@evil.test", false),
            ("https://shop.example.com https://evil.test", false),
            ("https://evilshop.example.com", false),
            ("HTTPS://shop.example.com", false),
            ("https://Shop.example.com", false),
            ("http://localhost:51730", false),
            ("http://[0:0:0:0:0:0:0:1]:3000", false),
            ("https://example.org", false),
            ("https://.example.org", false),
            ("https://a..example.org", false),
            ("https://.a.example.org", false),
            ("https://evilexample.org", false),
            ("http://a.example.org", false),
            ("https://A.example.org", false),
            ("https://a.example.org:443", false),
            ("https://a.example.org.evil.test", false),
            ("https://evil.test/.example.org", false),
            ("https://evil.test?.example.org", false),
            ("https://evil.test:80.example.org", false),
            ("https://evil.test@a.example.org", false),
            ("https://evil.test\\.example.org", false),
            ("https://evil.test%2f.example.org", false),
            ("https://a.example.net", false),
            ("https://a.example.net:84430", false),
            (&long, false),
        ] {
            assert_eq!(list.covers(origin.as_bytes()), expected, "{origin}");
        }
    }
}
