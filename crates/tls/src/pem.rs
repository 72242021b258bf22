//! PEM texts (RFC 7468), and errors in them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem;

/// Characters of base64 in a line (RFC 7468 §2).
const LINE: usize = 64;

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

/// Writes `der` as a section with this label.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = &*base64;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    #[test]
    fn lines_end_after_64_characters() {
        assert_eq!(
            encode("KEY", b"abc"),
            "-----BEGIN KEY-----\nYWJj\n-----END KEY-----\n"
        );
        for length in [0, 47, 48, 49, 96, 1000] {
            let der: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
            let text = encode("CERTIFICATE", &der);
            let mut lines = text.lines().rev().skip(1);
            let last = lines.next().unwrap();
            assert!(last.len() <= LINE, "{text}");
            assert!(
                lines.all(|line| line.len() == LINE || line.starts_with("-----BEGIN ")),
                "{text}"
            );
            let read = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
            assert_eq!(&*read, der);
        }
    }
}
