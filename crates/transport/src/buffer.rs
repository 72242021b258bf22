//! Input buffers of connections.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::socket::Socket;

/// Initial size of a buffer. Nearly every head fits, and so does what a socket usually has available.
const USUAL_BYTES: usize = 16 << 10;
/// Size of a buffer for a large body: larger reads cost less per byte.
pub const BODY_BYTES: usize = 64 << 10;

/// Received bytes that are not consumed yet. The buffer grows as needed; callers bound its size.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    /// `start <= end <= bytes.len()`
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
    /// The unconsumed bytes.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Returns true if there are no unconsumed bytes.
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

    /// Makes room at the end by moving the bytes to the front, or else by doubling the capacity.
    fn make_room(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        } else {
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
    }

    /// Reads once and appends the bytes. Returns their number; 0 at the end of the stream.
    ///
    /// A read that does not fill the buffer is assumed to have drained the socket. The next one then waits for
    /// readiness, which saves a system call.
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

    /// Grows an empty buffer to [`BODY_BYTES`].
    pub fn widen(&mut self) {
        if self.is_empty() && self.bytes.len() < BODY_BYTES {
            self.bytes.resize(BODY_BYTES, 0);
        }
    }

    /// Discards all bytes, and memory beyond [`BODY_BYTES`]. Prepares the buffer for reuse.
    pub fn shrink(&mut self) {
        self.clear();
        if self.bytes.len() > BODY_BYTES {
            *self = Self::default();
        }
    }
}
