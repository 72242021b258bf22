//! Bounded byte buffers that sockets read into.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::link::Link;
use crate::link::socket::Socket;

/// What a buffer starts with: more than nearly every head, and what a socket usually has at once.
const USUAL_BYTES: usize = 16 << 10;
/// What a buffer grows to while a large body passes through it, so that fewer reads are needed.
pub(crate) const BODY_BYTES: usize = 64 << 10;

/// Bytes that were received and not yet used.
#[derive(Debug)]
pub(crate) struct Buffer {
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
    /// What has been received and not yet used.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Marks the first `count` bytes as used.
    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start);
        self.start += count;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Makes room behind what is there: moves it to the front, or doubles the memory.
    fn make_room(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        } else {
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
    }

    /// Reads once, behind what is there. The caller bounds how much is let in before it is used.
    ///
    /// A read that does not fill the buffer is taken to have drained the socket, so the next one waits for
    /// readiness instead of asking the kernel in vain.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Poll<io::Result<usize>> {
        if self.end == self.bytes.len() {
            self.make_room();
        }
        let mut space = ReadBuf::new(&mut self.bytes[self.end..]);
        ready!(Pin::new(socket).poll_read(cx, &mut space))?;
        let count = space.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }

    /// Reads once, behind what is there.
    pub(crate) async fn read(&mut self, link: &mut Link) -> io::Result<usize> {
        poll_fn(|cx| link.poll_fill(cx, self)).await
    }

    /// Puts bytes behind what is there.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        while self.bytes.len() - self.end < bytes.len() {
            self.make_room();
        }
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Grows the memory to what a large body is read with. Only while nothing is in it.
    pub(crate) fn widen(&mut self) {
        if self.is_empty() && self.bytes.len() < BODY_BYTES {
            self.bytes.resize(BODY_BYTES, 0);
        }
    }

    /// Gives back what goes beyond the usual, before the buffer is kept for somebody else.
    pub(crate) fn shrink(&mut self) {
        self.clear();
        if self.bytes.len() > BODY_BYTES {
            *self = Self::default();
        }
    }
}
