//! Message framing: the length of a body (RFC 9112 §6).

use crate::field::list;
use crate::token;
use crate::version::Version;

/// The length of a body, as the head gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// A body of this many bytes.
    Length(u64),
    /// A body in the chunked transfer coding.
    Chunked,
    /// A body that ends with the connection or stream; over HTTP/1 only in responses.
    UntilClose,
}

/// Framing that is ambiguous or not supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Both `Content-Length` and `Transfer-Encoding`.
    #[error("both content-length and transfer-encoding are present")]
    Both,
    /// A `Content-Length` that is not exactly one number.
    #[error("content-length is not one number")]
    ContentLength,
    /// A `Transfer-Encoding` that is not exactly one `chunked`, or stands in an HTTP/1.0 message.
    #[error("transfer-encoding is not exactly one `chunked`")]
    TransferEncoding,
    /// A transfer coding other than `chunked`.
    #[error("a transfer coding is not supported")]
    UnknownCoding,
}

/// Collects the fields that determine the framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FramingFields {
    content_length: Option<u64>,
    chunked: bool,
}

impl FramingFields {
    pub(crate) fn add_content_length(&mut self, value: &[u8]) -> Result<(), FramingError> {
        let digits_only = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        if self.content_length.is_some() || !digits_only {
            return Err(FramingError::ContentLength);
        }
        let length = value.iter().try_fold(0_u64, |length, digit| {
            length.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        });
        // A length beyond `i64` may overflow a signed counter in the service.
        let length = length.filter(|&length| i64::try_from(length).is_ok());
        self.content_length = Some(length.ok_or(FramingError::ContentLength)?);
        Ok(())
    }

    pub(crate) fn add_transfer_encoding(&mut self, value: &[u8]) -> Result<(), FramingError> {
        if !self.chunked && value.eq_ignore_ascii_case(b"chunked") {
            self.chunked = true;
            return Ok(());
        }
        let unknown = |coding: &[u8]| token::is_token(coding) && !coding.eq_ignore_ascii_case(b"chunked");
        if !self.chunked && list(value).all(token::is_token) && list(value).any(unknown) {
            return Err(FramingError::UnknownCoding);
        }
        Err(FramingError::TransferEncoding)
    }

    /// The framing that the fields determine, or `otherwise` without any.
    pub(crate) fn finish(self, version: Version, otherwise: Framing) -> Result<Framing, FramingError> {
        match (self.content_length, self.chunked) {
            (Some(_), true) => Err(FramingError::Both),
            (None, true) if version == Version::Http10 => Err(FramingError::TransferEncoding),
            (None, true) => Ok(Framing::Chunked),
            (Some(length), false) => Ok(Framing::Length(length)),
            (None, false) => Ok(otherwise),
        }
    }
}
