//! A connection that replays the bytes of a peer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

/// Returns its bytes and then ends. Written bytes are discarded.
pub(crate) struct Replay {
    input: Vec<u8>,
    at: usize,
    /// True until the first write: a service responds only to a request.
    silent: bool,
}

impl Replay {
    /// A client that has sent `input` and closed its side.
    pub(crate) fn client(input: Vec<u8>) -> Self {
        Self {
            input,
            at: 0,
            silent: false,
        }
    }

    /// A service that responds to any request with `input`, and closes its side.
    pub(crate) fn service(input: Vec<u8>) -> Self {
        Self {
            silent: true,
            ..Self::client(input)
        }
    }
}

impl Read for Replay {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.silent {
            return Poll::Pending;
        }
        let taken = buffer.remaining().min(self.input.len() - self.at);
        buffer.put_slice(&self.input[self.at..self.at + taken]);
        self.at += taken;
        Poll::Ready(Ok(()))
    }
}

impl Write for Replay {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.silent = false;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
