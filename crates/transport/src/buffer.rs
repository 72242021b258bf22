//! Byte buffers that connections read into.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::socket::Socket;

/// Initial size of a buffer: more than nearly every head, and what a socket usually has at once.
const USUAL_BYTES: usize = 16 << 10;
/// Size of a buffer while a large body passes through it; larger reads cost less.
pub const BODY_BYTES: usize = 64 << 10;

/// Received bytes that are not consumed yet. The caller bounds how many are let in.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    /// start <= end <= bytes.len()
    start: usize,
    end: usize,
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            bytes: vec![0; USUAL_BYTES],
            start: 0,
            end: 0,
        }
    }
}

impl Buffer {
    /// The bytes that are not consumed yet.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Returns true if all received bytes are consumed.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Consumes the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start);
        self.start += count;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Discards all bytes.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Makes room at the end: moves the bytes to the front, or doubles the memory.
    fn make_room(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        } else {
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
    }

    /// Reads once, appending.
    ///
    /// A read that does not fill the buffer is trusted to have drained the socket, so the next one waits for readiness
    /// instead of making a call in vain.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Poll<io::Result<usize>> {
        if self.end == self.bytes.len() {
            self.make_room();
        }
        let mut space = ReadBuf::new(&mut self.bytes[self.end..]);
        ready!(Pin::new(socket).poll_read(cx, &mut space))?;
        let count = space.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }

    /// Appends bytes.
    pub fn append(&mut self, bytes: &[u8]) {
        while self.bytes.len() - self.end < bytes.len() {
            self.make_room();
        }
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Grows an empty buffer to the size for large bodies.
    pub fn widen(&mut self) {
        if self.is_empty() && self.bytes.len() < BODY_BYTES {
            self.bytes.resize(BODY_BYTES, 0);
        }
    }

    /// Discards all bytes, and memory beyond [`BODY_BYTES`], before the buffer is kept for reuse.
    pub fn shrink(&mut self) {
        self.clear();
        if self.bytes.len() > BODY_BYTES {
            *self = Self::default();
        }
    }
}
