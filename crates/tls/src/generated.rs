//! Keys and certificates that are made here: what all of them have in common.

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};

/// A key or a certificate that could not be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GenerateError {
    /// A host cannot stand in a certificate.
    #[error("`{host}` is no name that a certificate can have")]
    Host {
        /// The host as given.
        host: Box<str>,
    },
    /// The cryptography provider failed, as without randomness.
    #[error("no certificate could be made: {0}")]
    Crypto(#[from] rcgen::Error),
}

/// A new key. All that speak TLS know its curve, P-256.
pub(crate) fn key() -> Result<KeyPair, GenerateError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

/// A certificate for these hosts alone, without a subject.
pub(crate) fn params<'a>(
    hosts: impl IntoIterator<Item = &'a str>,
) -> Result<CertificateParams, GenerateError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = hosts.into_iter().map(name).collect::<Result<_, _>>()?;
    Ok(params)
}

fn name(host: &str) -> Result<SanType, GenerateError> {
    if let Ok(address) = host.parse() {
        return Ok(SanType::IpAddress(address));
    }
    let name = host
        .try_into()
        .map_err(|_| GenerateError::Host { host: host.into() })?;
    Ok(SanType::DnsName(name))
}
