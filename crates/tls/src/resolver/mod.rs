//! The choice of a certificate for a handshake.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, SignatureAlgorithm, SupportedCipherSuite};

use crate::identity::Identity;
use crate::name::CertificateName;

/// The certificates of a listener, by host name.
///
/// It depends on the client's hello alone, so it serves TLS over TCP and over QUIC alike.
#[derive(Debug)]
pub(crate) struct CertificateResolver {
    /// In order of declaration; never empty. The first is the default for unknown hosts.
    identities: Vec<Arc<Identity>>,
    /// Parallel to `identities`: the first one with the same names.
    twins: Vec<usize>,
    /// Positions in `identities` by host name.
    by_host: HashMap<Box<str>, Vec<usize>>,
    /// Positions in `identities` by the labels behind a wildcard.
    by_wildcard: HashMap<Box<str>, Vec<usize>>,
    /// The cipher suites of the server.
    suites: Vec<SupportedCipherSuite>,
}

impl CertificateResolver {
    /// A resolver over `identities`, for a server with these cipher suites; `None` without any identity.
    pub(crate) fn new(identities: Vec<Arc<Identity>>, suites: Vec<SupportedCipherSuite>) -> Option<Self> {
        if identities.is_empty() {
            return None;
        }
        let mut by_host: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        let mut by_wildcard: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        for (at, identity) in identities.iter().enumerate() {
            for name in identity.names() {
                match name {
                    CertificateName::Host(name) => by_host.entry(name.clone()).or_default().push(at),
                    CertificateName::Wildcard(rest) => by_wildcard.entry(rest.clone()).or_default().push(at),
                    // Clients send no addresses as server names (RFC 6066 §3).
                    CertificateName::Address(_) => {}
                }
            }
        }
        let twins = identities.iter().map(|identity| {
            let mut all = identities.iter();
            all.position(|other| other.has_same_names(identity)).unwrap_or(0)
        });
        Some(Self {
            twins: twins.collect(),
            identities,
            by_host,
            by_wildcard,
            suites,
        })
    }

    /// The identities, in order of declaration.
    pub(crate) fn identities(&self) -> &[Arc<Identity>] {
        &self.identities
    }

    /// The identity for a client: one for the host that it names, else one for a wildcard that covers the host, else the
    /// first. Among several, the first whose signatures the client can verify, and ECDSA before RSA.
    pub(crate) fn choose(&self, hello: &ClientHello<'_>) -> &Arc<Identity> {
        self.select(hello.server_name(), |identity| {
            identity.can_sign(hello.signature_schemes())
                && self.shares_suite(hello.cipher_suites(), identity.algorithm())
        })
    }

    /// The identity for a client that names `host` and supports every signature scheme.
    pub(crate) fn identity_for(&self, host: Option<&str>) -> &Arc<Identity> {
        self.select(host, |_| true)
    }

    /// Names `identity_for(host)` by its position. Identities with the same names, which differ in their keys, share one.
    pub(crate) fn choice_for(&self, host: &str) -> usize {
        let chosen = self.identity_for(Some(host));
        let mut all = self.identities.iter();
        let position = all.position(|identity| Arc::ptr_eq(identity, chosen));
        position.map_or(0, |position| self.twins[position])
    }

    fn select(&self, host: Option<&str>, suits: impl Fn(&Identity) -> bool) -> &Arc<Identity> {
        let host = host.map(|host| host.trim_end_matches('.').to_ascii_lowercase());
        let exact = host.as_deref().and_then(|host| self.by_host.get(host));
        let wildcard = host
            .as_deref()
            .and_then(|host| self.by_wildcard.get(host.split_once('.')?.1));
        let preferred = [exact, wildcard].into_iter().flatten().find_map(|group| {
            let mut suitable = group
                .iter()
                .map(|&at| &self.identities[at])
                .filter(|identity| suits(identity));
            let first = suitable.next()?;
            if !first.is_rsa() {
                return Some(first);
            }
            Some(suitable.find(|other| !other.is_rsa()).unwrap_or(first))
        });
        preferred.unwrap_or_else(|| self.default_for(suits))
    }

    /// The first identity, or one with the same names that suits the client.
    fn default_for(&self, suits: impl Fn(&Identity) -> bool) -> &Arc<Identity> {
        let all = self.identities.iter().zip(&self.twins);
        let twins = all.filter(|(_, twin)| **twin == 0);
        let mut suitable = twins.map(|(identity, _)| identity).filter(|twin| suits(twin));
        suitable.next().unwrap_or(&self.identities[0])
    }

    /// Returns true if the client offers a cipher suite of the server that works with keys of this algorithm. In TLS 1.2
    /// a suite names the algorithm (RFC 5246 §7.4.2).
    ///
    /// rustls hides unusable schemes from a resolver but not from readers of a hello; with this check, the choice is the
    /// same for both.
    fn shares_suite(&self, offered: &[CipherSuite], algorithm: SignatureAlgorithm) -> bool {
        self.suites
            .iter()
            .any(|suite| suite.usable_for_signature_algorithm(algorithm) && offered.contains(&suite.suite()))
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.choose(&hello).key()))
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
