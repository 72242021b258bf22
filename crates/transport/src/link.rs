//! One end of an exchange, whatever it speaks.
//!
//! To the rest of the data plane a message is a head as HTTP/1 writes it, followed by the bytes of a body. A socket
//! carries exactly that, with a chunked body where its length is unknown. A stream of HTTP/2 has frames for both: its link
//! translates between such a message and frames, and needs no chunks. A message in memory looks like either. Every rule
//! about heads and bodies is therefore applied once, by one parser, to the same bytes.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite as _;
use tokio::net::TcpStream;

use crate::buffer::Buffer;
use crate::h2::client_stream::ClientStream;
use crate::h2::server_stream::ServerStream;
use crate::memory::Memory;
use crate::socket::Socket;

/// One end of an exchange.
#[derive(Debug)]
pub enum Link {
    /// A connection that speaks HTTP/1.
    Socket(Socket),
    /// A stream of HTTP/2 that a client opened.
    ServerStream(Box<ServerStream>),
    /// A stream of HTTP/2 that the gateway opens at a service.
    ClientStream(Box<ClientStream>),
    /// A message in memory.
    Memory(Box<Memory>),
    /// No connection: it was handed on.
    Gone,
}

impl Link {
    /// Returns true if the protocol itself delimits bodies, so that neither chunks nor the end of the connection do.
    pub fn frames_bodies(&self) -> bool {
        match self {
            Self::ServerStream(_) | Self::ClientStream(_) => true,
            Self::Memory(memory) => memory.frames_bodies(),
            Self::Socket(_) | Self::Gone => false,
        }
    }

    /// Reads once, appending to `buffer`; 0 is the end of the message, or of the connection.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        match self {
            Self::Socket(socket) => buffer.poll_read(cx, socket),
            Self::ServerStream(stream) => stream.poll_fill(cx, buffer),
            Self::ClientStream(stream) => stream.poll_fill(cx, buffer),
            Self::Memory(memory) => memory.poll_fill(cx, buffer),
            Self::Gone => Poll::Ready(Ok(0)),
        }
    }

    /// Reads once, appending to `buffer`; 0 is the end of the message, or of the connection.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn fill(&mut self, buffer: &mut Buffer) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx, buffer)).await
    }

    /// Writes some of `bytes`: first a head, which must be passed as a whole, then its body. `last` is true if nothing
    /// follows them, not even trailers.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8], last: bool) -> Poll<io::Result<usize>> {
        match self {
            Self::Socket(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::ServerStream(stream) => stream.poll_write(cx, bytes, last),
            Self::ClientStream(stream) => stream.poll_write(cx, bytes, last),
            Self::Memory(memory) => memory.poll_write(cx, bytes),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Writes a whole message: a head and its body.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        poll_fn(|cx| {
            while written < bytes.len() {
                match ready!(self.poll_write(cx, &bytes[written..], true))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    count => written += count,
                }
            }
            self.poll_flush(cx)
        })
        .await
    }

    /// Sends everything that was written.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => Pin::new(socket).poll_flush(cx),
            Self::ServerStream(_) | Self::ClientStream(_) | Self::Memory(_) | Self::Gone => {
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Ends the message that was written, with `trailers` as lines. On a socket, the body's own framing ends it.
    ///
    /// # Errors
    /// When the stream fails.
    pub fn finish(&mut self, trailers: &[u8]) -> io::Result<()> {
        match self {
            Self::Socket(_) | Self::Gone => Ok(()),
            Self::ServerStream(stream) => stream.finish(trailers),
            Self::ClientStream(stream) => stream.finish(trailers),
            Self::Memory(memory) => {
                memory.finish(trailers);
                Ok(())
            }
        }
    }

    /// The trailers that arrived apart from the body, ended by an empty line; empty without any.
    pub fn trailers(&self) -> &[u8] {
        match self {
            Self::Socket(_) | Self::Gone => b"",
            Self::ServerStream(stream) => stream.trailers(),
            Self::ClientStream(stream) => stream.trailers(),
            Self::Memory(memory) => memory.trailers(),
        }
    }

    /// Returns true if the message that is being read is known to have ended, so that no body follows its head.
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Socket(_) => false,
            Self::Gone => true,
            Self::ServerStream(stream) => stream.has_ended(),
            Self::ClientStream(stream) => stream.has_ended(),
            Self::Memory(memory) => memory.frames_bodies() && memory.has_ended(),
        }
    }

    /// Returns true if the peer is known not to have processed the request (RFC 9113 §8.7), so that any request may be
    /// sent again.
    pub fn is_unprocessed(&self) -> bool {
        matches!(self, Self::ClientStream(stream) if stream.is_unprocessed())
    }

    /// Returns true if reading failed because the peer broke the protocol.
    pub fn is_malformed(&self) -> bool {
        matches!(self, Self::ClientStream(stream) if stream.is_malformed())
    }

    /// Polls for the peer's departure while nothing is expected from it. `Ready(true)` means that it has left,
    /// `Ready(false)` that it sent something.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match self {
            Self::Socket(socket) => {
                if socket.poll_read_ready(cx).is_pending() {
                    return Poll::Pending;
                }
                // A half-closed connection is not gone: a client may end its sending side and wait for the response.
                let gone = socket
                    .peek()
                    .is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock);
                Poll::Ready(gone)
            }
            Self::ServerStream(stream) => stream.poll_reset(cx).map(|()| true),
            Self::ClientStream(_) | Self::Memory(_) => Poll::Pending,
            Self::Gone => Poll::Ready(true),
        }
    }

    /// Breaks off the message that is being written, in a way that the peer can see.
    pub fn abort(&mut self) {
        match self {
            Self::Socket(_) | Self::Memory(_) | Self::Gone => {}
            Self::ServerStream(stream) => stream.abort(),
            Self::ClientStream(stream) => stream.abort(),
        }
    }

    /// Waits for readability, without a buffer to read into.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_read_ready(cx),
            Self::ServerStream(stream) => stream.poll_read_ready(cx).map(Ok),
            Self::ClientStream(stream) => stream.poll_read_ready(cx).map(Ok),
            Self::Memory(_) | Self::Gone => Poll::Ready(Ok(())),
        }
    }

    /// Waits until a service may have sent something. Only a TCP socket in clear text reports that by itself; decrypted
    /// bytes, an end or an error of the others show when they are read.
    pub fn poll_may_say(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Socket(Socket::Tcp(socket)) => socket.poll_read_ready(cx).map(|_| ()),
            _ => Poll::Ready(()),
        }
    }

    /// Resolves when the client has reset its stream. Connections report that only to reads and writes.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::ServerStream(stream) => stream.poll_reset(cx),
            Self::Socket(_) | Self::ClientStream(_) | Self::Memory(_) | Self::Gone => Poll::Pending,
        }
    }

    /// Ends the sending side of a connection. A stream ends with its message.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::ServerStream(_) | Self::ClientStream(_) | Self::Memory(_) | Self::Gone => {
                Poll::Ready(Ok(()))
            }
        }
    }

    /// The TCP socket of a connection in clear text, whose bytes are the message's own.
    pub fn clear_socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Socket(Socket::Tcp(socket)) => Some(socket),
            _ => None,
        }
    }

    /// Returns true if unread bytes of the peer may have been received already.
    pub fn holds_more(&self) -> bool {
        matches!(self, Self::Socket(socket) if socket.holds_more())
    }
}
