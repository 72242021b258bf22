//! Shared code of the fuzz targets: hyper as a second parser, and structured choices from bytes.

pub mod choices;
pub mod hyper_reads;
mod replay;

use base64::Engine as _;

/// Bytes in the base64 of tokens.
pub fn base64url(bytes: &[u8]) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
