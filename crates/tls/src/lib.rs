//! Certificates, keys and TLS configurations.
//!
//! The contents of files go in; configurations for handshakes come out. The crate does no I/O, so certificates can be
//! checked before the first client connects. [`identity`] has certificates with their keys, [`server`] the TLS
//! configuration of a listener, [`served`] what a client was served, [`client`] the TLS configuration of connections to
//! services, and [`peer`] verified client certificates. For authorities that issue certificates to the gateway itself,
//! [`request`] has what they are asked with, [`challenge`] the handshake that answers for a host, and [`placeholder`] what
//! is served meanwhile.

pub mod challenge;
pub mod client;
mod danger;
pub mod generated;
pub mod identity;
pub mod name;
pub mod peer;
pub mod pem;
pub mod placeholder;
pub mod request;
mod resolver;
pub mod served;
pub mod server;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::pem::PemError;

/// The cryptography provider. It is passed explicitly, so that nothing depends on a process-wide default.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A file of trusted certificates that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RootsError {
    /// The text is not PEM.
    #[error("it is not PEM: {0}")]
    Pem(#[source] PemError),
    /// The text has no certificate.
    #[error("there is no certificate in it")]
    Empty,
    /// None of the certificates has a key whose signatures can be verified.
    #[error("its certificates have RSA keys of {bits} bits, and TLS takes {} to {}", identity::RSA_BITS.start(), identity::RSA_BITS.end())]
    RsaBits {
        /// Bits of the modulus of the first one.
        bits: usize,
    },
    /// A certificate cannot be parsed.
    #[error("a certificate in it cannot be read: {0}")]
    Certificate(#[source] rustls::Error),
}

/// Checks that a PEM text consists of certificates that can be trusted.
///
/// # Errors
/// The text has no certificate, or one that cannot be parsed.
pub fn check_roots(pem: &[u8]) -> Result<(), RootsError> {
    roots(pem).map(|_| ())
}

/// The certificates of a PEM text, as trust anchors.
fn roots(pem: &[u8]) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    let mut refused = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(identity::without_bom(pem)) {
        let certificate = certificate.map_err(|error| RootsError::Pem(error.into()))?;
        refused.extend(refused_rsa_bits(&certificate));
        roots.add(certificate).map_err(RootsError::Certificate)?;
    }
    if roots.is_empty() {
        return Err(RootsError::Empty);
    }
    // Bundles may still have an old one among many.
    match refused.first() {
        Some(&bits) if refused.len() == roots.len() => Err(RootsError::RsaBits { bits }),
        _ => Ok(roots),
    }
}

/// Returns the size of a certificate's RSA key, if it is one that cannot be used.
fn refused_rsa_bits(certificate: &CertificateDer<'_>) -> Option<usize> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    identity::refused_rsa_bits(&parsed)
}
