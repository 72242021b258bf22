//! What a listener shows its clients, and what it asks of them.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoClientAuth, NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier,
};
use rustls::sign::SingleCertAndKey;
use rustls::{ServerConfig, SignatureScheme};

use crate::identity::Identity;
use crate::name::CertificateName;
use crate::{RootsError, provider, roots};

/// The protocols that a client may choose from, the best first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How long the names of authorities may be in all that a client chooses its certificate by. They may be left out; some
/// clients end the handshake when they exceed 16 KiB.
const HINTS_BYTES_MAX: usize = 12 << 10;

/// The certificates of a listener.
#[derive(Debug)]
pub struct ServerTls {
    /// In order of declaration; the first is served to whoever names no host, or an unknown one. Never empty.
    certificates: Vec<Certificate>,
    /// Positions of certificates by host name, and by what follows the first label of a wildcard.
    by_host: HashMap<Box<str>, Vec<usize>>,
    by_wildcard: HashMap<Box<str>, Vec<usize>>,
}

/// A certificate, ready for handshakes.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate and its key.
    pub identity: Arc<Identity>,
    /// What a handshake is made by.
    pub config: Arc<ServerConfig>,
}

/// What lets a client resume a session. The keys change every six hours, and those before them are still taken. Each
/// listener has its own: a session that began without a client certificate must not continue where one is required.
#[derive(Debug, Clone)]
pub struct Tickets(Arc<dyn ProducesTickets>);

/// What is asked of clients.
#[derive(Debug, Clone)]
pub struct ClientAuth<'a> {
    /// The certificates, as PEM, that may have signed a client's.
    pub ca: &'a [u8],
    /// Whether a client has to have one.
    pub required: bool,
}

/// Why a listener's TLS cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// There is no certificate.
    #[error("there is no certificate")]
    NoCertificate,
    /// The certificates that clients are checked by cannot be used.
    #[error("the client certificate authority cannot be used: {0}")]
    ClientAuth(RootsError),
    /// The cryptography cannot be set up.
    #[error("{0}")]
    Crypto(String),
}

impl Tickets {
    /// Fresh keys.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new() -> Result<Self, ServerError> {
        let ticketer = Ticketer::new().map_err(|error| ServerError::Crypto(error.to_string()))?;
        Ok(Self(ticketer))
    }
}

impl ServerTls {
    /// Sets up a listener.
    ///
    /// # Errors
    /// When there is no certificate, or clients cannot be checked as asked.
    pub fn new(
        identities: Vec<Arc<Identity>>,
        client_auth: Option<&ClientAuth<'_>>,
        tickets: &Tickets,
    ) -> Result<Self, ServerError> {
        if identities.is_empty() {
            return Err(ServerError::NoCertificate);
        }
        let verifier = verifier(client_auth)?;
        let mut by_host: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        let mut by_wildcard: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        let mut certificates = Vec::new();
        for (at, identity) in identities.into_iter().enumerate() {
            for name in identity.names() {
                match name {
                    CertificateName::Host(name) => by_host.entry(name.clone()).or_default().push(at),
                    CertificateName::Wildcard(rest) => by_wildcard.entry(rest.clone()).or_default().push(at),
                    // Nobody names an address in a handshake (RFC 6066 §3).
                    CertificateName::Address(_) => {}
                }
            }
            let mut config = ServerConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .map_err(|error| ServerError::Crypto(error.to_string()))?
                .with_client_cert_verifier(Arc::clone(&verifier))
                .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity.key()))));
            config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
            // Who resumes a session is not verified again: a certificate that has ended since, or whose authority is no
            // longer trusted, would be good for as long as its tickets.
            if client_auth.is_none() {
                config.ticketer = Arc::clone(&tickets.0);
            } else {
                config.send_tls13_tickets = 0;
            }
            config.session_storage = Arc::new(NoServerSessionStorage {});
            certificates.push(Certificate {
                identity,
                config: Arc::new(config),
            });
        }
        Ok(Self {
            certificates,
            by_host,
            by_wildcard,
        })
    }

    /// The certificates, in order of declaration.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The certificate for a client: one for the host that it names, else for a wildcard that covers that, else the
    /// first; among several, one whose signatures it can check, rather of elliptic curves than of RSA.
    pub fn choose(&self, hello: &ClientHello<'_>) -> &Certificate {
        self.choose_for(hello.server_name(), hello.signature_schemes())
    }

    /// The certificate for a client of `host` that can check every signature.
    pub fn identity_for(&self, host: Option<&str>) -> Arc<Identity> {
        const ALL: [SignatureScheme; 9] = [
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::ED25519,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA512,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::RSA_PKCS1_SHA512,
        ];
        Arc::clone(&self.choose_for(host, &ALL).identity)
    }

    fn choose_for(&self, host: Option<&str>, schemes: &[SignatureScheme]) -> &Certificate {
        let host = host.map(|host| host.trim_end_matches('.').to_ascii_lowercase());
        let exact = host.as_deref().and_then(|host| self.by_host.get(host));
        let wildcard = host
            .as_deref()
            .and_then(|host| self.by_wildcard.get(host.split_once('.')?.1));
        let all = [exact, wildcard];
        let suitable = all.into_iter().flatten().find_map(|group| {
            let mut suitable = group
                .iter()
                .map(|&at| &self.certificates[at])
                .filter(|certificate| certificate.identity.suits(schemes));
            let first = suitable.next()?;
            if first.identity.is_cheap() {
                return Some(first);
            }
            Some(suitable.find(|other| other.identity.is_cheap()).unwrap_or(first))
        });
        suitable.unwrap_or_else(|| self.default_for(schemes))
    }

    /// The first certificate, or one with the same names whose signatures the client can check.
    fn default_for(&self, schemes: &[SignatureScheme]) -> &Certificate {
        let first = &self.certificates[0];
        let twins = self
            .certificates
            .iter()
            .filter(|other| other.identity.names() == first.identity.names());
        let mut suitable = twins.filter(|twin| twin.identity.suits(schemes));
        suitable.next().unwrap_or(first)
    }
}

fn verifier(client_auth: Option<&ClientAuth<'_>>) -> Result<Arc<dyn ClientCertVerifier>, ServerError> {
    let Some(client_auth) = client_auth else {
        return Ok(Arc::new(NoClientAuth));
    };
    let roots = roots(client_auth.ca).map_err(ServerError::ClientAuth)?;
    let hints: usize = roots.subjects().iter().map(|name| name.as_ref().len()).sum();
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    if hints > HINTS_BYTES_MAX {
        builder = builder.clear_root_hint_subjects();
    }
    let builder = if client_auth.required {
        builder
    } else {
        builder.allow_unauthenticated()
    };
    builder
        .build()
        .map_err(|error| ServerError::Crypto(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};

    fn identity(names: &[&str], algorithm: &'static SignatureAlgorithm) -> Arc<Identity> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let (certificate, key) = (certificate.pem(), key.serialize_pem());
        Arc::new(Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap())
    }

    fn check(tls: &ServerTls, host: Option<&str>, schemes: &[SignatureScheme], expected: usize) {
        let chosen = tls.choose_for(host, schemes);
        let at = tls
            .certificates
            .iter()
            .position(|other| Arc::ptr_eq(&other.identity, &chosen.identity));
        assert_eq!(at, Some(expected), "{host:?}");
    }

    #[test]
    fn the_closest_name_wins_and_the_first_is_the_default() {
        let p256 = &PKCS_ECDSA_P256_SHA256;
        let identities = vec![
            identity(&["default.test"], p256),
            identity(&["*.b.test"], p256),
            identity(&["a.b.test", "10.0.0.1"], p256),
        ];
        let tls = ServerTls::new(identities, None, &Tickets::new().unwrap()).unwrap();
        let any = [SignatureScheme::ECDSA_NISTP256_SHA256];
        check(&tls, Some("a.b.test"), &any, 2);
        check(&tls, Some("A.B.Test."), &any, 2);
        check(&tls, Some("c.b.test"), &any, 1);
        check(&tls, Some("c.c.b.test"), &any, 0);
        check(&tls, Some("b.test"), &any, 0);
        check(&tls, None, &any, 0);
    }

    #[test]
    fn a_client_gets_a_signature_that_it_can_check() {
        let names = ["a.test"];
        let identities = vec![
            identity(&names, &PKCS_ED25519),
            identity(&names, &PKCS_ECDSA_P256_SHA256),
        ];
        let tls = ServerTls::new(identities, None, &Tickets::new().unwrap()).unwrap();
        let p256 = [SignatureScheme::ECDSA_NISTP256_SHA256];
        check(&tls, Some("a.test"), &p256, 1);
        check(&tls, None, &p256, 1);
        check(&tls, Some("a.test"), &[SignatureScheme::ED25519], 0);
        check(&tls, Some("a.test"), &[SignatureScheme::RSA_PSS_SHA256], 0);
    }
}
