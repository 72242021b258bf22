//! The ways to prove to an authority that a host is served here (RFC 8555 §8).

use std::fmt;

use instant_acme::ChallengeType;

/// A way to prove that a host is served here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By the certificate of a TLS handshake (RFC 8737).
    TlsAlpn,
    /// By a resource in clear text (RFC 8555 §8.3).
    Http,
}

impl Way {
    /// The order in which ways are tried, if those in `possible` are, and the last order failed by `failed`.
    pub fn preferred(possible: &[Self], failed: Option<Self>) -> Vec<Self> {
        let mut ways: Vec<Self> = [Self::TlsAlpn, Self::Http]
            .into_iter()
            .filter(|way| possible.contains(way))
            .collect();
        ways.sort_by_key(|way| failed == Some(*way));
        ways
    }

    pub(crate) fn kind(self) -> ChallengeType {
        match self {
            Self::TlsAlpn => ChallengeType::TlsAlpn01,
            Self::Http => ChallengeType::Http01,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TlsAlpn => "tls-alpn-01",
            Self::Http => "http-01",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_comes_first_unless_it_failed_and_there_is_another_way() {
        use Way::{Http, TlsAlpn};
        for (possible, failed, expected) in [
            (&[TlsAlpn, Http][..], None, &[TlsAlpn, Http][..]),
            (&[Http, TlsAlpn], None, &[TlsAlpn, Http]),
            (&[TlsAlpn, Http], Some(TlsAlpn), &[Http, TlsAlpn]),
            (&[TlsAlpn, Http], Some(Http), &[TlsAlpn, Http]),
            (&[TlsAlpn], Some(TlsAlpn), &[TlsAlpn]),
            (&[Http], None, &[Http]),
        ] {
            assert_eq!(
                Way::preferred(possible, failed),
                expected,
                "{possible:?} {failed:?}"
            );
        }
    }
}
