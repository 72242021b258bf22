//! A certificate with its key.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{self, CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, SignatureAlgorithm, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::name::CertificateName;
use crate::{pem_error, provider};

/// What a chain may be long: OpenSSL ends a handshake beyond 100 KiB.
const CHAIN_BYTES_MAX: usize = 64 << 10;

/// A certificate with the chain that leads to it, and its key.
#[derive(Debug, Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    names: Vec<CertificateName>,
    has_alternative_names: bool,
    not_before: i64,
    not_after: i64,
}

/// Why a certificate and a key are none that can be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate's file cannot be used.
    #[error("the certificate cannot be used: {0}")]
    Certificate(String),
    /// The key's file cannot be used.
    #[error("the key cannot be used: {0}")]
    Key(String),
    /// They do not belong together.
    #[error("the key is not the certificate's, which is the first one in its file")]
    Mismatch,
}

impl Identity {
    /// Reads a chain of certificates, the first of which is served, and its key.
    ///
    /// # Errors
    /// When either cannot be read, or they do not belong together.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let (certificate, key) = (without_bom(certificate), without_bom(key));
        if memchr::memmem::find(key, b"ENCRYPTED").is_some() {
            return Err(IdentityError::Key("it is protected by a password".to_owned()));
        }
        let chain: Result<Vec<CertificateDer<'static>>, _> =
            CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.map_err(|error| IdentityError::Certificate(pem_error(&error)))?;
        let Some(own) = chain.first() else {
            return Err(IdentityError::Certificate(
                "there is no certificate in it".to_owned(),
            ));
        };
        if chain.iter().map(|certificate| certificate.len()).sum::<usize>() > CHAIN_BYTES_MAX {
            return Err(IdentityError::Certificate(format!(
                "the {} certificates in it are more than clients accept, {CHAIN_BYTES_MAX} bytes in all",
                chain.len()
            )));
        }
        let unreadable = |what: &str| IdentityError::Certificate(what.to_owned());
        let (_, parsed) =
            X509Certificate::from_der(own).map_err(|_| unreadable("it is not an X.509 certificate"))?;
        let names = names(&parsed);
        let has_alternative_names = matches!(parsed.subject_alternative_name(), Ok(Some(_)));
        let (not_before, not_after) = (
            parsed.validity().not_before.timestamp(),
            parsed.validity().not_after.timestamp(),
        );
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            IdentityError::Key(match error {
                pki_types::pem::Error::NoItemsFound => "there is no private key in it".to_owned(),
                error => pem_error(&error),
            })
        })?;
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => IdentityError::Mismatch,
            rustls::Error::InvalidCertificate(error) => IdentityError::Certificate(error.to_string()),
            error => IdentityError::Key(error.to_string()),
        })?;
        Ok(Self {
            key: Arc::new(key),
            names,
            has_alternative_names,
            not_before,
            not_after,
        })
    }

    /// The names that it is for.
    pub fn names(&self) -> &[CertificateName] {
        &self.names
    }

    /// Whether its names are where clients look for them today.
    pub fn has_alternative_names(&self) -> bool {
        self.has_alternative_names
    }

    /// Whether it is for `host`, which is in lower case and without port.
    pub fn serves(&self, host: &str) -> bool {
        self.names.iter().any(|name| name.covers(host))
    }

    /// When it begins to be valid, in seconds since 1970.
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// When it ends, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    pub(crate) fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// Whether a client that knows `schemes` can check a signature of it.
    pub(crate) fn suits(&self, schemes: &[SignatureScheme]) -> bool {
        self.key.key.choose_scheme(schemes).is_some()
    }

    /// Whether its key is one of elliptic curves, whose signatures cost a server far less than RSA's.
    pub(crate) fn is_cheap(&self) -> bool {
        self.key.key.algorithm() != SignatureAlgorithm::RSA
    }
}

/// `text` without the mark that some editors put in front.
pub(crate) fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// What a certificate says that it is for: its alternative names, or else its common name, as clients once read it.
fn names(certificate: &X509Certificate<'_>) -> Vec<CertificateName> {
    if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
        let names = alternatives.value.general_names.iter();
        return names
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(CertificateName::of_host(name)),
                GeneralName::IPAddress(bytes) => address(bytes).map(CertificateName::Address),
                _ => None,
            })
            .collect();
    }
    let common = certificate.subject().iter_common_name();
    common
        .filter_map(|name| name.as_str().ok())
        .map(CertificateName::of_host)
        .collect()
}

/// An address as a certificate has it: its bytes.
pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some(address.to_canonical())
}
