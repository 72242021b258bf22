//! One end of an exchange, independent of the protocol.
//!
//! To the rest of the data plane a message is an HTTP/1 head followed by the bytes of a body. A socket carries exactly
//! that, with a chunked body if the length is unknown. An HTTP/2 link translates between that format and frames, and
//! needs no chunks. A message in memory can act as either. Rules about heads and bodies are therefore applied in one
//! place, by one parser, to the same bytes.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncWrite as _, Interest, ReadBuf};
use waypost_wire::tls_alert::TlsAlert;

use crate::buffer::Buffer;
use crate::h2::client_stream::ClientStream;
use crate::h2::server_stream::ServerStream;
use crate::memory::Memory;
use crate::socket::{Socket, SystemSocket, alert_of};
use crate::sockets;

/// One end of an exchange.
#[derive(Debug)]
pub enum Link {
    /// An HTTP/1 connection.
    Socket(Socket),
    /// An HTTP/2 stream opened by a client.
    ServerStream(Box<ServerStream>),
    /// An HTTP/2 stream opened by the gateway at a service.
    ClientStream(Box<ClientStream>),
    /// A message in memory.
    Memory(Box<Memory>),
    /// No connection: its owner moved it elsewhere.
    Gone,
}

/// A sign of life of a peer from which no input is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It sent something.
    Input,
    /// It ended its sending side, and may still read.
    End,
    /// It reset the connection or the stream, or the connection failed.
    Reset,
}

impl Link {
    /// Returns true if the protocol itself delimits bodies, without chunks or the end of the connection.
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

    /// Writes some of `bytes`: first a head, which must be passed in one piece, then its body. `last` is true if
    /// nothing follows, not even trailers.
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

    /// Flushes buffered writes.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => Pin::new(socket).poll_flush(cx),
            Self::ServerStream(_) | Self::ClientStream(_) | Self::Memory(_) | Self::Gone => {
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Ends the outgoing message with `trailers`, given as lines. No-op on a socket, where the body's framing ends it.
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

    /// The trailers received separately from the body, as lines ended by an empty line. Empty if there are none.
    pub fn trailers(&self) -> &[u8] {
        match self {
            Self::Socket(_) | Self::Gone => b"",
            Self::ServerStream(stream) => stream.trailers(),
            Self::ClientStream(stream) => stream.trailers(),
            Self::Memory(memory) => memory.trailers(),
        }
    }

    /// Returns true if the incoming message is known to have ended, so no more of its body follows.
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Socket(_) => false,
            Self::Gone => true,
            Self::ServerStream(stream) => stream.has_ended(),
            Self::ClientStream(stream) => stream.has_ended(),
            Self::Memory(memory) => memory.frames_bodies() && memory.has_ended(),
        }
    }

    /// Returns true if the peer is known not to have processed the request (RFC 9113 §8.7). Any request may then be
    /// retried.
    pub fn is_unprocessed(&self) -> bool {
        matches!(self, Self::ClientStream(stream) if stream.is_unprocessed())
    }

    /// Returns true if the peer refused the stream itself, rather than all further ones of its connection.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::ClientStream(stream) if stream.is_refused())
    }

    /// Returns true if reading failed because of a protocol error by the peer.
    pub fn is_malformed(&self) -> bool {
        matches!(self, Self::ClientStream(stream) if stream.is_malformed())
    }

    /// Returns true if reading failed because a body is longer or shorter than its `content-length`.
    pub fn breaks_length(&self) -> bool {
        matches!(self, Self::ClientStream(stream) if stream.breaks_length())
    }

    /// The TLS alert by which the peer ended its connection, if reading failed with `error` because of one.
    pub fn alert(&self, error: &io::Error) -> Option<TlsAlert> {
        match self {
            Self::Socket(_) => alert_of(error),
            Self::ClientStream(stream) => stream.alert(),
            Self::ServerStream(_) | Self::Memory(_) | Self::Gone => None,
        }
    }

    /// Polls for a sign of life while no input is expected. Input that has to be read for it is appended to `buffer`.
    pub fn poll_sign(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<Sign> {
        let read = match self {
            Self::Socket(Socket::Tcp(socket)) => {
                if socket.poll_read_ready(cx).is_pending() {
                    return Poll::Pending;
                }
                let mut byte = [0];
                ready!(socket.poll_peek(cx, &mut ReadBuf::new(&mut byte)))
            }
            Self::Socket(Socket::Unix(socket)) => ready!(SystemSocket::Unix(socket).poll_peek(cx)),
            // Only the TLS layer can tell a close notification from data.
            Self::Socket(socket) => {
                if socket.poll_read_ready(cx).is_pending() {
                    return Poll::Pending;
                }
                ready!(buffer.poll_read(cx, socket))
            }
            Self::ServerStream(stream) => return stream.poll_reset(cx).map(|()| Sign::Reset),
            Self::ClientStream(_) | Self::Memory(_) => return Poll::Pending,
            Self::Gone => return Poll::Ready(Sign::Reset),
        };
        Poll::Ready(match read {
            Ok(0) => Sign::End,
            Ok(_) => Sign::Input,
            // A TLS client that ended without a close notification.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Sign::End,
            Err(_) => Sign::Reset,
        })
    }

    /// Aborts the outgoing message by resetting its stream. No-op on a socket, where the caller closes the connection.
    pub fn abort(&mut self) {
        match self {
            Self::Socket(_) | Self::Memory(_) | Self::Gone => {}
            Self::ServerStream(stream) => stream.abort(),
            Self::ClientStream(stream) => stream.abort(),
        }
    }

    /// Polls for readability without a buffer.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_read_ready(cx),
            Self::ServerStream(stream) => stream.poll_read_ready(cx).map(Ok),
            Self::ClientStream(stream) => stream.poll_read_ready(cx).map(Ok),
            Self::Memory(_) | Self::Gone => Poll::Ready(Ok(())),
        }
    }

    /// Polls for readability, with false positives. Only a cleartext socket reports readiness by itself; the other
    /// links are always ready, and a read finds out.
    pub fn poll_maybe_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Socket(Socket::Tcp(socket)) => socket.poll_read_ready(cx).map(|_| ()),
            Self::Socket(Socket::Unix(socket)) => socket.poll_read_ready(cx).map(|_| ()),
            _ => Poll::Ready(()),
        }
    }

    /// Lets TCP find out that the peer is gone, on a connection that may be quiet for long. No-op on a stream.
    pub fn watch_peer(&self) {
        if let Self::Socket(socket) = self
            && let SystemSocket::Tcp(stream) = socket.system()
        {
            sockets::watch(stream);
        }
    }

    /// Waits until the connection or the stream fails, while no input is expected: after the end of the peer's sending
    /// side, readiness says nothing about the other side.
    pub async fn failed(&mut self) {
        match self {
            Self::Socket(socket) => {
                let _ = socket.system().ready(Interest::ERROR).await;
            }
            Self::ServerStream(stream) => poll_fn(|cx| stream.poll_reset(cx)).await,
            Self::ClientStream(_) | Self::Memory(_) => pending().await,
            Self::Gone => {}
        }
    }

    /// Shuts down the sending side of a connection. No-op on a stream, which ends with its message.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::ServerStream(_) | Self::ClientStream(_) | Self::Memory(_) | Self::Gone => {
                Poll::Ready(Ok(()))
            }
        }
    }

    /// The socket of a cleartext connection.
    pub fn cleartext(&self) -> Option<SystemSocket<'_>> {
        match self {
            Self::Socket(socket) => socket.cleartext(),
            _ => None,
        }
    }

    /// Returns true if unread input may already be buffered.
    pub fn may_have_buffered(&self) -> bool {
        matches!(self, Self::Socket(socket) if socket.may_have_buffered())
    }
}
