//! `Set-Cookie`, taken apart as user agents do it (RFC 6265bis §5.6).

use crate::field::trim_blanks;

/// Bytes of name and value together up to which user agents take a cookie.
const PAIR_BYTES_MAX: usize = 4096;
/// Bytes of an attribute's value up to which user agents look at it.
const VALUE_BYTES_MAX: usize = 1024;

/// The value of one `Set-Cookie` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetCookie<'a> {
    /// The pair of name and value, as written.
    pub pair: &'a [u8],
    attributes: Option<&'a [u8]>,
}

/// An attribute of a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// As written, without the `;` in front.
    pub written: &'a [u8],
    /// The name.
    pub name: &'a [u8],
    /// The value; empty if there is none.
    pub value: &'a [u8],
    /// The value in `written`; `None` without a `=`.
    value_start: Option<usize>,
}

/// A prefix of a cookie's name, by which user agents demand attributes (RFC 6265bis §4.1.3). It compares without case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamePrefix {
    /// None.
    None,
    /// `__Secure-`: `Secure`.
    Secure,
    /// `__Http-`: `Secure` and `HttpOnly`.
    Http,
    /// `__Host-`: `Secure`, no `Domain`, and `/` as `Path`.
    Host,
    /// `__Host-Http-`: the same and `HttpOnly`.
    HostHttp,
}

impl<'a> SetCookie<'a> {
    /// Takes a value apart, whatever it is.
    pub fn parse(value: &'a [u8]) -> Self {
        match memchr::memchr(b';', value) {
            Some(end) => Self {
                pair: &value[..end],
                attributes: Some(&value[end + 1..]),
            },
            None => Self {
                pair: value,
                attributes: None,
            },
        }
    }

    /// The attributes in order, also those that user agents do not know.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        let attributes = self.attributes.into_iter();
        attributes
            .flat_map(|attributes| attributes.split(|&byte| byte == b';'))
            .map(Attribute::parse)
    }

    /// The name, empty if there is none, and the value.
    pub fn name_and_value(&self) -> (&'a [u8], &'a [u8]) {
        match memchr::memchr(b'=', self.pair) {
            Some(end) => (trim_blanks(&self.pair[..end]), trim_blanks(&self.pair[end + 1..])),
            None => (b"", trim_blanks(self.pair)),
        }
    }

    /// The prefix of the name. A user agent takes no cookie without a name whose value begins like one.
    pub fn name_prefix(&self) -> NamePrefix {
        match self.name_and_value() {
            (b"", value) => NamePrefix::of(value),
            (name, _) => NamePrefix::of(name),
        }
    }

    /// Returns true if user agents take it for a cookie.
    pub fn is_cookie(&self) -> bool {
        let is_control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
        let mut bytes = self.pair.iter().chain(self.attributes.unwrap_or_default());
        let (name, value) = self.name_and_value();
        let length = name.len() + value.len();
        let imitates_prefix = name.is_empty() && NamePrefix::of(value) != NamePrefix::None;
        !bytes.any(is_control) && (1..=PAIR_BYTES_MAX).contains(&length) && !imitates_prefix
    }
}

impl<'a> Attribute<'a> {
    fn parse(written: &'a [u8]) -> Self {
        let end = memchr::memchr(b'=', written);
        let name = trim_blanks(&written[..end.unwrap_or(written.len())]);
        let value_start = end.map(|end| {
            let blanks = written[end + 1..].iter();
            end + 1 + blanks.take_while(|byte| matches!(byte, b' ' | b'\t')).count()
        });
        Self {
            written,
            name,
            value: value_start.map_or(b"", |start| trim_blanks(&written[start..])),
            value_start,
        }
    }

    /// Returns true if this is its name. Names compare without case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Returns true if user agents pass it over, because its value is too long.
    pub fn is_ignored(&self) -> bool {
        self.value.len() > VALUE_BYTES_MAX
    }

    /// Appends the attribute with another value, the rest byte for byte as written.
    pub fn write_with(&self, value: &[u8], out: &mut Vec<u8>) {
        match self.value_start {
            Some(start) => {
                out.extend_from_slice(&self.written[..start]);
                out.extend_from_slice(value);
                out.extend_from_slice(&self.written[start + self.value.len()..]);
            }
            None => {
                out.extend_from_slice(self.written);
                out.push(b'=');
                out.extend_from_slice(value);
            }
        }
    }
}

impl NamePrefix {
    /// The prefix of `name`.
    pub fn of(name: &[u8]) -> Self {
        let begins = |prefix: &str| {
            let start = name.get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        if !name.starts_with(b"__") {
            Self::None
        } else if begins("__secure-") {
            Self::Secure
        } else if begins("__http-") {
            Self::Http
        } else if begins("__host-http-") {
            Self::HostHttp
        } else if begins("__host-") {
            Self::Host
        } else {
            Self::None
        }
    }

    /// Returns true if the cookie needs `Secure`.
    pub fn needs_secure(self) -> bool {
        self != Self::None
    }

    /// Returns true if the cookie needs `HttpOnly`.
    pub fn needs_http_only(self) -> bool {
        matches!(self, Self::Http | Self::HostHttp)
    }

    /// Returns true if the cookie is for the whole of its host, and needs the path `/` and no domain.
    pub fn is_of_host(self) -> bool {
        matches!(self, Self::Host | Self::HostHttp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_those_that_user_agents_take() {
        let long = |bytes: usize| format!("a={}", "v".repeat(bytes - 1));
        for (value, expected) in [
            ("a=1", true),
            ("a=", true),
            ("=1", true),
            ("a", true),
            (" a = 1 ; Path=/", true),
            ("a=1\tb", true),
            ("", false),
            ("=", false),
            (" = ; Path=/", false),
            ("; Path=/", false),
            ("a=1\u{1}", false),
            ("a=1; Path=/\u{7f}", false),
            ("__Secure-a", false),
            ("=__host-a=1", false),
            ("__Secure-a=1", true),
            (&long(4096), true),
            (&long(4097), false),
        ] {
            let cookie = SetCookie::parse(value.as_bytes());
            assert_eq!(cookie.is_cookie(), expected, "{value:.20}");
        }
    }

    #[test]
    fn prefixes_compare_without_case() {
        for (name, expected) in [
            ("a", NamePrefix::None),
            ("__a", NamePrefix::None),
            ("__secure-a", NamePrefix::Secure),
            ("__Http-a", NamePrefix::Http),
            ("__HOST-a", NamePrefix::Host),
            ("__Host-Http-a", NamePrefix::HostHttp),
        ] {
            assert_eq!(NamePrefix::of(name.as_bytes()), expected, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parts_make_up_the_whole(value in "[a=; \\t\"-]{0,24}", other in "[/a-z]{0,4}") {
            let cookie = SetCookie::parse(value.as_bytes());
            let mut same = cookie.pair.to_vec();
            for attribute in cookie.attributes() {
                same.push(b';');
                same.extend_from_slice(attribute.written);
                let mut changed = Vec::new();
                attribute.write_with(other.as_bytes(), &mut changed);
                let again = Attribute::parse(&changed);
                proptest::prop_assert_eq!(again.name, attribute.name);
                proptest::prop_assert_eq!(again.value, other.as_bytes());
            }
            proptest::prop_assert_eq!(same, value.as_bytes());
        }
    }
}
