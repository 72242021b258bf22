//! Decoding the body that follows a head, for every framing.

use crate::chunked::{ChunkError, ChunkedDecoder, Piece};
use crate::framing::Framing;

/// Decodes a body from the bytes that follow a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyDecoder {
    /// The number of bytes left.
    Length(u64),
    /// The chunked transfer coding.
    Chunked(ChunkedDecoder),
    /// The body ends with the connection.
    UntilClose,
}

impl BodyDecoder {
    /// A decoder for a body with this framing.
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(ChunkedDecoder::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Decodes the next stretch of data in `input`. Bytes after the body are not consumed.
    ///
    /// # Errors
    /// A chunked body violates its coding.
    pub fn decode(&mut self, input: &[u8]) -> Result<Piece, ChunkError> {
        match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= taken as u64;
                Ok(Piece {
                    consumed: taken,
                    data: 0..taken,
                })
            }
            Self::Chunked(decoder) => decoder.decode(input),
            Self::UntilClose => Ok(Piece {
                consumed: input.len(),
                data: 0..input.len(),
            }),
        }
    }

    /// The number of bytes that may pass unexamined; `None` if every byte must be decoded.
    pub fn unseen(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(_) => None,
            Self::UntilClose => Some(u64::MAX),
        }
    }

    /// Records that `count` bytes passed unexamined, at most [`BodyDecoder::unseen`].
    pub fn skip(&mut self, count: u64) {
        if let Self::Length(left) = self {
            debug_assert!(count <= *left);
            *left = left.saturating_sub(count);
        }
    }

    /// Returns true once the whole body has been read; never for a body that ends with its connection.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(decoder) => decoder.is_done(),
            Self::UntilClose => false,
        }
    }

    /// Returns true if the end of the connection is the proper end of this body.
    pub fn may_end_by_close(&self) -> bool {
        matches!(self, Self::UntilClose)
    }
}
