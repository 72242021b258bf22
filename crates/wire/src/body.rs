//! Finding the body in the bytes behind a head, whatever its framing.

use crate::chunked::{ChunkError, ChunkedDecoder, Piece};
use crate::field::Framing;

/// Takes a body out of the bytes that follow a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyDecoder {
    /// This many bytes are still to come.
    Length(u64),
    /// As its chunks say.
    Chunked(ChunkedDecoder),
    /// Until the connection ends.
    UntilClose,
}

impl BodyDecoder {
    /// A decoder for a body that is framed so.
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(ChunkedDecoder::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Takes the next stretch of data out of `input`. Bytes behind the body are not consumed.
    ///
    /// # Errors
    /// When a chunked body breaks its coding.
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

    /// How much of the body may pass without being looked at; `None` when each byte has to be.
    pub fn unseen(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(_) => None,
            Self::UntilClose => Some(u64::MAX),
        }
    }

    /// Notes that `count` bytes have passed without being looked at, at most [`BodyDecoder::unseen`].
    pub fn skip(&mut self, count: u64) {
        if let Self::Length(left) = self {
            debug_assert!(count <= *left);
            *left = left.saturating_sub(count);
        }
    }

    /// Whether all of the body has been read. One that lasts until the connection ends never says so.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(decoder) => decoder.is_done(),
            Self::UntilClose => false,
        }
    }

    /// Whether the end of the connection ends this body as it should.
    pub fn may_end_by_close(&self) -> bool {
        matches!(self, Self::UntilClose)
    }
}
