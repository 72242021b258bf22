//! The two ends of an exchange, whatever they speak.
//!
//! To the rest of the data plane a message is a head as HTTP/1 writes it, followed by the bytes of a body. A socket
//! carries that as it is, with the body in chunks where it has no length. A stream of HTTP/2 has frames for both: its
//! link turns them into such a message, and such a message into frames, and needs no chunks. So every rule about heads
//! and bodies is applied once, to bytes that were parsed by one parser, whichever way they came.

pub(crate) mod asked;
mod body;
pub(crate) mod fields;
pub(crate) mod served;
pub(crate) mod socket;
pub(crate) mod watched;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite as _;
use tokio::net::TcpStream;

use crate::buffer::Buffer;
use crate::link::asked::Asked;
use crate::link::served::Served;
use crate::link::socket::Socket;

/// One end of an exchange.
#[derive(Debug)]
pub(crate) enum Link {
    /// A connection that speaks HTTP/1.
    Socket(Socket),
    /// A stream of HTTP/2 that a client has opened.
    Served(Box<Served>),
    /// A stream of HTTP/2 that the gateway opens at a service.
    Asked(Box<Asked>),
    /// Nothing any more: the connection was handed on.
    Gone,
}

impl Link {
    /// Whether the protocol itself says where a body ends, so that neither chunks nor the end of the connection have to.
    pub(crate) fn frames_bodies(&self) -> bool {
        matches!(self, Self::Served(_) | Self::Asked(_))
    }

    /// Reads once, behind what is in `buffer`; 0 is the end of the message, or of the connection.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        match self {
            Self::Socket(socket) => buffer.poll_read(cx, socket),
            Self::Served(stream) => stream.poll_fill(cx, buffer),
            Self::Asked(stream) => stream.poll_fill(cx, buffer),
            Self::Gone => Poll::Ready(Ok(0)),
        }
    }

    /// Writes some of `bytes`: a head first, which has to be there as a whole, then its body. `last` says that nothing
    /// follows them, trailers neither.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        last: bool,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Socket(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Served(stream) => stream.poll_write(cx, bytes, last),
            Self::Asked(stream) => stream.poll_write(cx, bytes, last),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Writes a whole message: a head and its body.
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
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

    /// Has everything leave that was written.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => Pin::new(socket).poll_flush(cx),
            Self::Served(_) | Self::Asked(_) | Self::Gone => Poll::Ready(Ok(())),
        }
    }

    /// Ends the message that was written, with `trailers` as lines. A socket needs no such word: chunks say it.
    pub(crate) fn finish(&mut self, trailers: &[u8]) -> io::Result<()> {
        match self {
            Self::Socket(_) | Self::Gone => Ok(()),
            Self::Served(stream) => stream.finish(trailers),
            Self::Asked(stream) => stream.finish(trailers),
        }
    }

    /// The trailers that came apart from the body that was read, with an empty line behind them; empty without any.
    pub(crate) fn trailers(&self) -> &[u8] {
        match self {
            Self::Socket(_) | Self::Gone => b"",
            Self::Served(stream) => stream.trailers(),
            Self::Asked(stream) => stream.trailers(),
        }
    }

    /// Whether the message that is being read is known to have ended, so that a body does not follow its head.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Socket(_) => false,
            Self::Gone => true,
            Self::Served(stream) => stream.has_ended(),
            Self::Asked(stream) => stream.has_ended(),
        }
    }

    /// Whether the peer is known not to have begun to process what was sent (RFC 9113 §8.7), so that it may be sent
    /// again whatever it is.
    pub(crate) fn is_unprocessed(&self) -> bool {
        matches!(self, Self::Asked(stream) if stream.is_unprocessed())
    }

    /// Whether reading failed because what came breaks the protocol.
    pub(crate) fn is_malformed(&self) -> bool {
        matches!(self, Self::Asked(stream) if stream.is_malformed())
    }

    /// `Ready` when the peer has left, or says something; `true` is the former. To be asked while nothing of the peer
    /// is waited for.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match self {
            Self::Socket(socket) => {
                if socket.poll_read_ready(cx).is_pending() {
                    return Poll::Pending;
                }
                // That it sends no more is no such sign: a client may close its sending side and still wait.
                let gone = socket
                    .peek()
                    .is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock);
                Poll::Ready(gone)
            }
            Self::Served(stream) => stream.poll_reset(cx).map(|()| true),
            Self::Asked(_) => Poll::Pending,
            Self::Gone => Poll::Ready(true),
        }
    }

    /// Breaks off what was being written, visibly.
    pub(crate) fn abort(&mut self) {
        match self {
            Self::Socket(_) | Self::Gone => {}
            Self::Served(stream) => stream.abort(),
            Self::Asked(stream) => stream.abort(),
        }
    }

    /// Waits until there may be something to read, without memory to read it into.
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_read_ready(cx),
            Self::Served(stream) => stream.poll_read_ready(cx).map(Ok),
            Self::Asked(stream) => stream.poll_read_ready(cx).map(Ok),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }

    /// Waits until a service may have something to say. Only a socket in clear text says so by itself: what is decrypted
    /// already, an end or an error among it, tells nobody until it is read.
    pub(crate) fn poll_may_say(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Socket(Socket::Tcp(socket)) => socket.poll_read_ready(cx).map(|_| ()),
            Self::Socket(Socket::Tls(_)) | Self::Served(_) | Self::Asked(_) | Self::Gone => Poll::Ready(()),
        }
    }

    /// `Ready` once the peer has reset a stream that is served. Of a connection, only reading and writing tell.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Served(stream) => stream.poll_reset(cx),
            Self::Socket(_) | Self::Asked(_) | Self::Gone => Poll::Pending,
        }
    }

    /// Ends the sending side of a connection. A stream has ended with its message.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Served(_) | Self::Asked(_) | Self::Gone => Poll::Ready(Ok(())),
        }
    }

    /// The socket, if it is one in clear text: its bytes are the message's own.
    pub(crate) fn clear_socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Socket(Socket::Tcp(socket)) => Some(socket),
            Self::Socket(Socket::Tls(_)) | Self::Served(_) | Self::Asked(_) | Self::Gone => None,
        }
    }

    /// Whether bytes of the peer may be here already that nobody has read.
    pub(crate) fn holds_more(&self) -> bool {
        matches!(self, Self::Socket(socket) if socket.holds_more())
    }
}
