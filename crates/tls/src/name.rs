//! The names that a certificate is for.

use std::fmt;
use std::net::IpAddr;

/// A name that a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CertificateName {
    /// A host name, in lower case.
    Host(Box<str>),
    /// `*.` and these labels: exactly one label stands in front of them (RFC 9525 §6.3).
    Wildcard(Box<str>),
    /// An address.
    Address(IpAddr),
}

impl CertificateName {
    /// A host name or a wildcard as a certificate has it.
    pub(crate) fn of_host(name: &str) -> Self {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        match name.strip_prefix("*.") {
            Some(rest) => Self::Wildcard(rest.into()),
            None => Self::Host(name.into()),
        }
    }

    /// Whether the name covers `host`, which is in lower case and has no port; an IPv6 address stands in brackets.
    pub fn covers(&self, host: &str) -> bool {
        match self {
            Self::Host(name) => **name == *host,
            Self::Wildcard(rest) => host
                .split_once('.')
                .is_some_and(|(first, others)| !first.is_empty() && *others == **rest),
            Self::Address(address) => {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                bare.parse::<IpAddr>()
                    .is_ok_and(|host| host.to_canonical() == *address)
            }
        }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Wildcard(rest) => write!(f, "*.{rest}"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_exactly_one_label() {
        let name = CertificateName::of_host("*.Example.net");
        assert!(name.covers("a.example.net"));
        assert!(!name.covers("example.net"));
        assert!(!name.covers("a.b.example.net"));
        assert!(!name.covers(".example.net"));
        assert_eq!(name.to_string(), "*.example.net");
    }

    #[test]
    fn addresses_are_compared_as_such() {
        let name = CertificateName::Address("::1".parse().unwrap());
        assert!(name.covers("[::1]"));
        assert!(name.covers("[0::1]"));
        assert!(!name.covers("localhost"));
    }
}
