//! `Host` and the authority of an absolute target: validation and normal form.

use std::io::Write as _;
use std::net::Ipv6Addr;

/// A valid `host[:port]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The host as sent, including the brackets of an IPv6 address.
    pub host: &'a [u8],
    /// The port, if given. An empty one is none (RFC 3986 §3.2.3).
    pub port: Option<u16>,
}

/// An invalid authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// No host in front of the port, or an empty text.
    #[error("the host is empty")]
    Empty,
    /// A character that is not allowed in a host, such as the `@` of user information.
    #[error("the host has a character that is not allowed there")]
    Character,
    /// Two dots in a row, or a leading dot.
    #[error("the host has an empty label")]
    EmptyLabel,
    /// Brackets around something other than an IPv6 address.
    #[error("the text in brackets is not an IPv6 address")]
    Ipv6,
    /// Not a number from 0 to 65535.
    #[error("the port is not a number from 0 to 65535")]
    Port,
}

impl<'a> Authority<'a> {
    /// Parses `host[:port]`. The host consists of letters, digits, `-`, `_` and `.` without empty labels (one trailing
    /// dot is allowed), or is a bracketed IPv6 address. The port is a number from 0 to 65535, or empty.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(raw: &'a [u8]) -> Result<Self, AuthorityError> {
        let (host, port) = if raw.first() == Some(&b'[') {
            let end = memchr::memchr(b']', raw).ok_or(AuthorityError::Ipv6)?;
            let inside = std::str::from_utf8(&raw[1..end]).map_err(|_| AuthorityError::Ipv6)?;
            inside.parse::<Ipv6Addr>().map_err(|_| AuthorityError::Ipv6)?;
            (&raw[..=end], &raw[end + 1..])
        } else {
            let end = memchr::memchr(b':', raw).unwrap_or(raw.len());
            check_name(&raw[..end])?;
            (&raw[..end], &raw[end..])
        };
        let port = match port {
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(parse_port(digits)?),
            _ => return Err(AuthorityError::Character),
        };
        Ok(Self { host, port })
    }

    /// Appends the host in its normal form: lower-case, without the port and one trailing dot; an IPv6 address in the
    /// one spelling of RFC 5952.
    pub fn normalize_into(&self, out: &mut Vec<u8>) {
        if let Some(address) = self.ipv6() {
            // Writing to a vector cannot fail.
            let _ = write!(out, "[{address}]");
            return;
        }
        let host = self.host.strip_suffix(b".").unwrap_or(self.host);
        let start = out.len();
        out.extend_from_slice(host);
        out[start..].make_ascii_lowercase();
    }

    fn ipv6(&self) -> Option<Ipv6Addr> {
        let inside = self.host.strip_prefix(b"[")?.strip_suffix(b"]")?;
        std::str::from_utf8(inside).ok()?.parse().ok()
    }
}

fn check_name(name: &[u8]) -> Result<(), AuthorityError> {
    if name.is_empty() {
        return Err(AuthorityError::Empty);
    }
    let mut previous = b'.';
    for &byte in name {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => {}
            b'.' if previous != b'.' => {}
            b'.' => return Err(AuthorityError::EmptyLabel),
            _ => return Err(AuthorityError::Character),
        }
        previous = byte;
    }
    Ok(())
}

fn parse_port(digits: &[u8]) -> Result<u16, AuthorityError> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(AuthorityError::Port);
    }
    let value = digits
        .iter()
        .fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    u16::try_from(value).map_err(|_| AuthorityError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: Result<(&str, Option<u16>), AuthorityError>) {
        let found = Authority::parse(raw.as_bytes()).map(|authority| {
            let mut host = Vec::new();
            authority.normalize_into(&mut host);
            (String::from_utf8(host).unwrap(), authority.port)
        });
        let expected = expected.map(|(host, port)| (host.to_owned(), port));
        assert_eq!(found, expected, "{raw}");
    }

    #[test]
    fn valid_hosts_are_normalized() {
        check("Api.Example.com", Ok(("api.example.com", None)));
        check("a.:80", Ok(("a", Some(80))));
        check("10.0.0.1:65535", Ok(("10.0.0.1", Some(65535))));
        check("[::1]:0", Ok(("[::1]", Some(0))));
        check("[FE80::1]", Ok(("[fe80::1]", None)));
        check("[0:0:0:0:0:0:0:1]", Ok(("[::1]", None)));
        check(
            "[2001:DB8:0:0:1:0:0:1]:8080",
            Ok(("[2001:db8::1:0:0:1]", Some(8080))),
        );
        check("[2001:0db8::0001]", Ok(("[2001:db8::1]", None)));
        check("[::FFFF:1.2.3.4]", Ok(("[::ffff:1.2.3.4]", None)));
        check("[::ffff:102:304]", Ok(("[::ffff:1.2.3.4]", None)));
        check("a:", Ok(("a", None)));
        check("a.:", Ok(("a", None)));
        check("[::1]:", Ok(("[::1]", None)));
        check("a_b-c", Ok(("a_b-c", None)));
    }

    #[test]
    fn invalid_authorities_are_refused() {
        use AuthorityError as E;
        for (raw, error) in [
            ("", E::Empty),
            (":80", E::Empty),
            (".", E::EmptyLabel),
            ("a..b", E::EmptyLabel),
            ("a..", E::EmptyLabel),
            (".a", E::EmptyLabel),
            ("user@a", E::Character),
            ("a b", E::Character),
            ("a,b", E::Character),
            ("a/b", E::Character),
            ("ü", E::Character),
            ("::1", E::Empty),
            ("[::1", E::Ipv6),
            ("[::1%eth0]", E::Ipv6),
            ("[1.2.3.4]", E::Ipv6),
            ("[::1]x", E::Character),
            (":", E::Empty),
            ("a::", E::Port),
            ("a:+80", E::Port),
            ("a:65536", E::Port),
            ("a:80:80", E::Port),
            ("a:000080", E::Port),
        ] {
            check(raw, Err(error));
        }
    }
}
