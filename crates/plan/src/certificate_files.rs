//! Files of certificates.

/// The files of a certificate and its key. Paths are as configured.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// Certificate as PEM, followed by its chain.
    pub cert: Box<str>,
    /// Private key as PEM.
    pub key: Box<str>,
}
