//! Transforms that a relay applies to a body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use waypost_wire::field::{self, Field, FieldKind};

use crate::relay::call_status::TRAILERS;

/// A transform of a body and its trailers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Transform {
    /// No transform.
    #[default]
    None,
    /// gRPC to gRPC-Web: trailers become a frame at the end of the body.
    GrpcWeb,
    /// gRPC to gRPC-Web-Text: the same, in base64.
    GrpcWebText,
    /// gRPC-Web-Text to gRPC: base64 is decoded. Contains the bytes of an incomplete group.
    FromGrpcWebText(Vec<u8>),
}

/// Malformed base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBase64;

impl Transform {
    /// Returns the transform for a gRPC-Web-Text request.
    pub fn from_grpc_web_text() -> Self {
        Self::FromGrpcWebText(Vec::new())
    }

    /// Returns true if the body is not changed, though its trailers may be.
    pub(crate) fn keeps_bytes(&self) -> bool {
        matches!(self, Self::None | Self::GrpcWeb)
    }

    /// Appends the transformed `data`.
    ///
    /// # Errors
    /// When `data` should be base64 and is malformed.
    pub(crate) fn apply(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), NotBase64> {
        match self {
            Self::None | Self::GrpcWeb => out.extend_from_slice(data),
            // Decoders of gRPC-Web-Text accept padding in the middle of the body.
            Self::GrpcWebText => out.extend_from_slice(STANDARD.encode(data).as_bytes()),
            Self::FromGrpcWebText(rest) => {
                for &byte in data {
                    rest.push(byte);
                    if rest.len() == 4 {
                        out.extend(STANDARD.decode(&rest).map_err(|_| NotBase64)?);
                        rest.clear();
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends the end of the body. `trailers` are lines ended by an empty line. Returns the trailers that remain to be
    /// sent as trailers.
    ///
    /// # Errors
    /// When base64 ends in an incomplete group.
    pub(crate) fn finish<'t>(
        &mut self,
        trailers: &'t [u8],
        out: &mut Vec<u8>,
    ) -> Result<&'t [u8], NotBase64> {
        match self {
            Self::None => Ok(trailers),
            Self::FromGrpcWebText(rest) if rest.is_empty() => Ok(trailers),
            Self::FromGrpcWebText(_) => Err(NotBase64),
            Self::GrpcWeb | Self::GrpcWebText => {
                let block = trailer_lines(trailers);
                if !block.is_empty() {
                    let mut frame = vec![TRAILERS];
                    let length = u32::try_from(block.len()).unwrap_or(u32::MAX);
                    frame.extend_from_slice(&length.to_be_bytes());
                    frame.extend_from_slice(&block);
                    self.apply(&frame, out)?;
                }
                Ok(b"")
            }
        }
    }
}

/// Formats trailers for a gRPC-Web frame: lower-case names, no space after the colon.
fn trailer_lines(trailers: &[u8]) -> Vec<u8> {
    let mut fields = Vec::new();
    let mut lines = Vec::new();
    if trailers.len() <= 2 || field::parse(trailers, 0, usize::from(u8::MAX), &mut fields).is_err() {
        return lines;
    }
    let travels = |field: &&Field| matches!(field.kind, FieldKind::Other | FieldKind::RequestId);
    for field in fields.iter().filter(travels) {
        lines.extend(field.name.of(trailers).to_ascii_lowercase());
        lines.push(b':');
        lines.extend_from_slice(field.value.of(trailers));
        lines.extend_from_slice(b"\r\n");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded_at_any_split() {
        let mut transform = Transform::from_grpc_web_text();
        let mut out = Vec::new();
        // Two padded groups, as from a client that flushes in between.
        for piece in [&b"AAE"[..], b"=", b"AgM", b"E", b""] {
            transform.apply(piece, &mut out).unwrap();
        }
        assert_eq!(out, [0, 1, 2, 3, 4]);
        assert!(transform.finish(b"", &mut out).is_ok());
        transform.apply(b"A", &mut out).unwrap();
        assert!(transform.finish(b"", &mut out).is_err());
        assert!(Transform::from_grpc_web_text().apply(b"A-==", &mut out).is_err());
    }

    #[test]
    fn trailers_are_encoded_as_a_frame() {
        let trailers = b"Grpc-Status: 0\r\ngrpc-message: a b\r\n\r\n";
        let mut out = Vec::new();
        assert_eq!(Transform::GrpcWeb.finish(trailers, &mut out), Ok(&b""[..]));
        assert_eq!(out, b"\x80\0\0\0\x21grpc-status:0\r\ngrpc-message:a b\r\n");
        let mut text = Vec::new();
        Transform::GrpcWebText.finish(trailers, &mut text).unwrap();
        assert_eq!(STANDARD.decode(text).unwrap(), out);
    }
}
