//! Certificates and keys: what they serve, whom they trust, when they end.
//!
//! Texts of files go in; what a handshake needs comes out. The crate reads no files and does no I/O, so a listener's
//! certificates can be judged before anybody connects. [`identity`] is a certificate with its key, [`server`] is what a
//! listener shows its clients, [`client`] is how a service is known, and [`peer`] is who a client has proved to be.

pub mod client;
pub mod identity;
pub mod name;
pub mod peer;
pub mod server;

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{self, CertificateDer};

/// Which cryptography is used: one, given everywhere, so that nothing depends on what a process has set.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Why a file of trusted certificates cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// The text is not PEM.
    #[error("it is not PEM: {0}")]
    Pem(String),
    /// There is none in it.
    #[error("there is no certificate in it")]
    Empty,
    /// One is no certificate.
    #[error("a certificate in it cannot be read: {0}")]
    Certificate(String),
}

/// Whether a PEM text has certificates that can be trusted, and nothing else of the kind.
///
/// # Errors
/// When it has none, or one that cannot be read.
pub fn check_roots(pem: &[u8]) -> Result<(), RootsError> {
    roots(pem).map(|_| ())
}

/// The certificates of a PEM text, each of which is trusted.
fn roots(pem: &[u8]) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(identity::without_bom(pem)) {
        let certificate = certificate.map_err(|error| RootsError::Pem(pem_error(&error)))?;
        roots
            .add(certificate)
            .map_err(|error| RootsError::Certificate(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(RootsError::Empty);
    }
    Ok(roots)
}

/// What is wrong with a PEM text, without the bytes that it stumbled over: they may be a key's.
fn pem_error(error: &pki_types::pem::Error) -> String {
    use pki_types::pem::Error;
    match error {
        Error::MissingSectionEnd { .. } => "a section has no end".to_owned(),
        Error::IllegalSectionStart { .. } => "a section begins in a way that is not allowed".to_owned(),
        Error::Base64Decode(_) => "a section is not base64".to_owned(),
        Error::NoItemsFound => "there is nothing of the kind in it".to_owned(),
        _ => "it cannot be read".to_owned(),
    }
}
