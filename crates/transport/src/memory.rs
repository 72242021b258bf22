//! A message in memory, as a link: what it holds is read as if it came from a peer, and what is written to it is kept.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::buffer::Buffer;

/// A message in memory.
#[derive(Debug, Default)]
pub struct Memory {
    /// What is still to be read, one piece for each read.
    incoming: VecDeque<Bytes>,
    /// The trailers of `incoming`, ended by an empty line; only where the message is framed.
    incoming_trailers: Vec<u8>,
    written: Vec<u8>,
    /// The trailers that the written message was ended with; `None` while it has not ended.
    written_trailers: Option<Vec<u8>>,
    /// True if bodies are delimited as in HTTP/2, rather than by chunks and lengths.
    frames_bodies: bool,
    /// Bytes that one write accepts; 0 for all of them.
    write_max: usize,
    /// True if every other read and write has to wait first.
    pauses: bool,
    paused: bool,
    /// True if the peer stays silent behind `incoming`, rather than end.
    stays_open: bool,
}

impl Memory {
    /// A message that is read in these pieces and ends behind them, as the connection does.
    pub fn new(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self {
            incoming: pieces.into_iter().filter(|piece| !piece.is_empty()).collect(),
            ..Self::default()
        }
    }

    /// The same from slices, which are copied.
    pub fn of(pieces: &[&[u8]]) -> Self {
        Self::new(pieces.iter().map(|piece| Bytes::copy_from_slice(piece)))
    }

    /// The same, with bodies delimited as in HTTP/2, and with `trailers` as lines behind the incoming one.
    #[must_use]
    pub fn framed(mut self, trailers: &[u8]) -> Self {
        self.frames_bodies = true;
        self.incoming_trailers = trailers.to_vec();
        if !trailers.is_empty() {
            self.incoming_trailers.extend_from_slice(b"\r\n");
        }
        self
    }

    /// The same, accepting at most `write_max` bytes a write, and delaying every other read and write.
    #[must_use]
    pub fn slow(mut self, write_max: usize) -> Self {
        self.write_max = write_max;
        self.pauses = true;
        self
    }

    /// The same from a peer that stays silent behind it, rather than end.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.stays_open = true;
        self
    }

    /// The bytes that were written.
    pub fn written(&self) -> &[u8] {
        &self.written
    }

    /// The trailers that the written message was ended with, as lines; `None` while it has not ended. A message that is not
    /// framed ends by itself.
    pub fn written_trailers(&self) -> Option<&[u8]> {
        self.written_trailers.as_deref()
    }

    pub(crate) fn frames_bodies(&self) -> bool {
        self.frames_bodies
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.incoming.is_empty()
    }

    pub(crate) fn trailers(&self) -> &[u8] {
        &self.incoming_trailers
    }

    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        if self.pause(cx) {
            return Poll::Pending;
        }
        if self.incoming.is_empty() && self.stays_open {
            return Poll::Pending;
        }
        let piece = self.incoming.pop_front().unwrap_or_default();
        buffer.append(&piece);
        Poll::Ready(Ok(piece.len()))
    }

    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.pause(cx) {
            return Poll::Pending;
        }
        let count = match self.write_max {
            0 => bytes.len(),
            max => bytes.len().min(max),
        };
        self.written.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    pub(crate) fn finish(&mut self, trailers: &[u8]) {
        self.written_trailers = Some(trailers.to_vec());
    }

    /// Returns true if this operation has to wait; the task is woken at once.
    fn pause(&mut self, cx: &mut Context<'_>) -> bool {
        self.paused = self.pauses && !self.paused;
        if self.paused {
            cx.waker().wake_by_ref();
        }
        self.paused
    }
}
