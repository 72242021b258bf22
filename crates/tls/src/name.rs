//! Names in certificates.

use std::fmt;
use std::net::IpAddr;

/// A name that a certificate is valid for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CertificateName {
    /// A host name, in lower case.
    Host(Box<str>),
    /// `*.` and these labels, in lower case. The `*` stands for exactly one label (RFC 9525 §6.3).
    Wildcard(Box<str>),
    /// An IP address.
    Address(IpAddr),
}

impl CertificateName {
    /// Parses a host name or a wildcard of a certificate.
    pub(crate) fn of_host(name: &str) -> Self {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        match name.strip_prefix("*.") {
            Some(rest) => Self::Wildcard(rest.into()),
            None => Self::Host(name.into()),
        }
    }

    /// Returns true if the name covers `host`, in lower case and without a port. An IPv6 address stands in brackets.
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
    fn wildcard_covers_exactly_one_label() {
        let name = CertificateName::of_host("*.Example.net");
        assert!(name.covers("a.example.net"));
        assert!(!name.covers("example.net"));
        assert!(!name.covers("a.b.example.net"));
        assert!(!name.covers(".example.net"));
        assert_eq!(name.to_string(), "*.example.net");
    }

    #[test]
    fn addresses_are_compared_by_value() {
        let name = CertificateName::Address("::1".parse().unwrap());
        assert!(name.covers("[::1]"));
        assert!(name.covers("[0::1]"));
        assert!(!name.covers("localhost"));
    }
}
