//! Certificates with their keys.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{self, CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, InconsistentKeys, SignatureAlgorithm, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

use crate::name::CertificateName;
use crate::pem::PemError;
use crate::provider;

/// Maximum bytes of a chain. OpenSSL aborts handshakes beyond 100 KiB.
const CHAIN_BYTES_MAX: usize = 64 << 10;

/// Bits of RSA keys that can sign: below, signatures can be forged; above, the provider has no implementation.
pub(crate) const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

/// A certificate with its chain and its private key.
#[derive(Debug, Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    names: Vec<CertificateName>,
    has_alternative_names: bool,
    is_self_signed: bool,
    not_before: i64,
    not_after: i64,
    authority_key: Option<Box<[u8]>>,
    serial: Box<[u8]>,
}

/// A certificate and a key that cannot be served.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate's file cannot be used.
    #[error("the certificate cannot be used: {0}")]
    Certificate(#[source] ChainError),
    /// The key's file cannot be used.
    #[error("the key cannot be used: {0}")]
    Key(#[source] KeyError),
    /// The key belongs to another certificate.
    #[error("the key is not the certificate's, which is the first one in its file")]
    Mismatch,
}

/// A chain of certificates that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ChainError {
    /// The text is not PEM.
    #[error(transparent)]
    Pem(PemError),
    /// The text has no certificate.
    #[error("there is no certificate in it")]
    Empty,
    /// The chain is longer than clients accept.
    #[error("the {count} certificates in it are more than clients accept, {CHAIN_BYTES_MAX} bytes in all")]
    TooLong {
        /// The number of certificates.
        count: usize,
    },
    /// The first certificate is not an X.509 certificate.
    #[error("it is not an X.509 certificate")]
    NotX509,
    /// The first certificate is not usable for TLS.
    #[error("{0}")]
    Invalid(CertificateError),
}

/// A private key that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// The key is protected by a password.
    #[error("it is protected by a password")]
    Encrypted,
    /// The text is not PEM.
    #[error(transparent)]
    Pem(PemError),
    /// The text has no private key.
    #[error("there is no private key in it")]
    Empty,
    /// The key is an RSA key that TLS peers do not accept.
    #[error("it is an RSA key of {bits} bits, and TLS takes {} to {}", RSA_BITS.start(), RSA_BITS.end())]
    RsaBits {
        /// Bits of the modulus.
        bits: usize,
    },
    /// The key is of an unsupported kind, or malformed.
    #[error("{0}")]
    Unusable(#[source] rustls::Error),
}

impl Identity {
    /// Parses a PEM chain of certificates, whose first is the server's own, and its private key.
    ///
    /// # Errors
    /// Either text cannot be parsed, or the key is not that of the first certificate.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let (certificate, key) = (without_bom(certificate), without_bom(key));
        if memchr::memmem::find(key, b"ENCRYPTED").is_some() {
            return Err(IdentityError::Key(KeyError::Encrypted));
        }
        let chain = read_chain(certificate).map_err(IdentityError::Certificate)?;
        let own = chain
            .first()
            .ok_or(IdentityError::Certificate(ChainError::Empty))?;
        let (_, parsed) =
            X509Certificate::from_der(own).map_err(|_| IdentityError::Certificate(ChainError::NotX509))?;
        let names = names(&parsed);
        let has_alternative_names = matches!(parsed.subject_alternative_name(), Ok(Some(_)));
        let is_self_signed = parsed.issuer().as_raw() == parsed.subject().as_raw();
        let (not_before, not_after) = (
            parsed.validity().not_before.timestamp(),
            parsed.validity().not_after.timestamp(),
        );
        let (authority_key, serial) = (authority_key(&parsed), parsed.raw_serial().into());
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            IdentityError::Key(match error {
                pki_types::pem::Error::NoItemsFound => KeyError::Empty,
                error => KeyError::Pem(error.into()),
            })
        })?;
        // The provider says no more than that it cannot parse such a key.
        if let Some(bits) = refused_rsa_bits(&parsed) {
            return Err(IdentityError::Key(KeyError::RsaBits { bits }));
        }
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => IdentityError::Mismatch,
            rustls::Error::InvalidCertificate(error) => {
                IdentityError::Certificate(ChainError::Invalid(error))
            }
            error => IdentityError::Key(KeyError::Unusable(error)),
        })?;
        Ok(Self {
            key: Arc::new(key),
            names,
            has_alternative_names,
            is_self_signed,
            not_before,
            not_after,
            authority_key,
            serial,
        })
    }

    /// The names that the certificate is valid for.
    pub fn names(&self) -> &[CertificateName] {
        &self.names
    }

    /// Returns true if the certificate has a subject alternative name extension, the only place current clients look at.
    pub fn has_alternative_names(&self) -> bool {
        self.has_alternative_names
    }

    /// Returns true if the certificate is valid for `host`, in lower case and without a port.
    pub fn serves(&self, host: &str) -> bool {
        self.names.iter().any(|name| name.covers(host))
    }

    /// Returns true if the certificate names itself as its issuer: clients trust it only if they have it already.
    pub fn is_self_signed(&self) -> bool {
        self.is_self_signed
    }

    /// Returns true if both certificates are for the same names, in any order.
    pub(crate) fn has_same_names(&self, other: &Self) -> bool {
        let all_of = |a: &Self, b: &Self| a.names.iter().all(|name| b.names.contains(name));
        all_of(self, other) && all_of(other, self)
    }

    /// Start of the validity period, in seconds since 1970.
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// End of the validity period, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// The identifier of the key that signed the certificate (RFC 5280 §4.2.1.1), if it has one.
    pub fn authority_key(&self) -> Option<&[u8]> {
        self.authority_key.as_deref()
    }

    /// The serial number, as DER encodes it.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The chain and the key, for handshakes.
    pub(crate) fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// Returns true if the key can sign with one of `schemes`.
    pub(crate) fn can_sign(&self, schemes: &[SignatureScheme]) -> bool {
        self.key.key.choose_scheme(schemes).is_some()
    }

    /// The signature algorithm of the key.
    pub(crate) fn algorithm(&self) -> SignatureAlgorithm {
        self.key.key.algorithm()
    }

    /// Returns true for an RSA key, whose signatures cost a server far more than those of elliptic curves.
    pub(crate) fn is_rsa(&self) -> bool {
        self.algorithm() == SignatureAlgorithm::RSA
    }
}

/// Returns the size of a certificate's RSA key, if it is one that cannot be used.
pub(crate) fn refused_rsa_bits(certificate: &X509Certificate<'_>) -> Option<usize> {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => Some(key.key_size()).filter(|bits| !RSA_BITS.contains(bits)),
        _ => None,
    }
}

/// The identifier of the key that signed a certificate.
fn authority_key(certificate: &X509Certificate<'_>) -> Option<Box<[u8]>> {
    let mut found =
        certificate
            .iter_extensions()
            .filter_map(|extension| match extension.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref(),
                _ => None,
            });
    found.next().map(|identifier| identifier.0.into())
}

/// Parses the certificates of a PEM text.
fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ChainError> {
    let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| ChainError::Pem(error.into()))?;
    if chain.iter().map(|certificate| certificate.len()).sum::<usize>() > CHAIN_BYTES_MAX {
        return Err(ChainError::TooLong { count: chain.len() });
    }
    Ok(chain)
}

/// Returns `text` without the byte order mark that some editors write.
pub(crate) fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// The names of a certificate: its alternative names, or else its common name, as older clients read it.
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

/// Parses an address of a certificate, which is 4 or 16 bytes long.
pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some(address.to_canonical())
}
