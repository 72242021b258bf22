//! An in-memory link: serves prepared input to reads and records writes.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::buffer::Buffer;

/// An in-memory link.
#[derive(Debug, Default)]
pub struct Memory {
    /// Input that is not read yet. Each read returns one piece.
    incoming: VecDeque<Bytes>,
    /// The trailers of `incoming`, ended by an empty line; only if the message is framed.
    incoming_trailers: Vec<u8>,
    written: Vec<u8>,
    /// The trailers of the written message; `None` until it ends.
    written_trailers: Option<Vec<u8>>,
    /// True if bodies are delimited as in HTTP/2, not by chunks and lengths.
    frames_bodies: bool,
    /// Maximum bytes per write; 0 for no limit.
    write_max: usize,
    /// True if every other read and write returns `Pending` first.
    pauses: bool,
    paused: bool,
    /// True if the peer stays silent behind `incoming`, rather than end.
    stays_open: bool,
}

impl Memory {
    /// Creates a link that returns `pieces`, one per read, followed by the end of the connection.
    pub fn new(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self {
            incoming: pieces.into_iter().filter(|piece| !piece.is_empty()).collect(),
            ..Self::default()
        }
    }

    /// Like [`Memory::new`], but copies slices.
    pub fn of(pieces: &[&[u8]]) -> Self {
        Self::new(pieces.iter().map(|piece| Bytes::copy_from_slice(piece)))
    }

    /// Delimits bodies as in HTTP/2 and appends `trailers`, given as lines, to the incoming one.
    #[must_use]
    pub fn framed(mut self, trailers: &[u8]) -> Self {
        self.frames_bodies = true;
        self.incoming_trailers = trailers.to_vec();
        if !trailers.is_empty() {
            self.incoming_trailers.extend_from_slice(b"\r\n");
        }
        self
    }

    /// Limits each write to `write_max` bytes (0: no limit) and delays every other read and write.
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

    /// The trailers of the written message, as lines; `None` until [`Link::finish`](crate::link::Link::finish).
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

    /// Returns true if this operation must return `Pending`; the task is woken immediately.
    fn pause(&mut self, cx: &mut Context<'_>) -> bool {
        self.paused = self.pauses && !self.paused;
        if self.paused {
            cx.waker().wake_by_ref();
        }
        self.paused
    }
}
