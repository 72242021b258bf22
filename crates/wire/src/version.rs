//! The HTTP version of a message.

/// An HTTP/1 version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, or a later 1.x, which is handled as 1.1 (RFC 9110 §2.5).
    Http11,
}
