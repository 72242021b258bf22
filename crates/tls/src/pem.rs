//! Errors in PEM texts.

use rustls::pki_types::pem;

/// A PEM text that cannot be parsed. Unlike the error of the parser, it holds no bytes of the text, which may be those of
/// a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// A section without an end line.
    #[error("a section has no end")]
    MissingSectionEnd,
    /// A malformed start line of a section.
    #[error("a section begins in a way that is not allowed")]
    IllegalSectionStart,
    /// A section that is not base64.
    #[error("a section is not base64")]
    Base64,
    /// No section of the expected kind.
    #[error("there is nothing of the kind in it")]
    NoItems,
    /// Any other error, such as a section that is too large.
    #[error("it cannot be read")]
    Unreadable,
}

impl From<pem::Error> for PemError {
    fn from(error: pem::Error) -> Self {
        match error {
            pem::Error::MissingSectionEnd { .. } => Self::MissingSectionEnd,
            pem::Error::IllegalSectionStart { .. } => Self::IllegalSectionStart,
            pem::Error::Base64Decode(_) => Self::Base64,
            pem::Error::NoItemsFound => Self::NoItems,
            _ => Self::Unreadable,
        }
    }
}
