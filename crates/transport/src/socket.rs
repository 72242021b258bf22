//! A byte stream over TCP, TLS or a unix socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, recv};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;
use tokio_rustls::rustls;
use waypost_wire::tls_alert::TlsAlert;

/// A byte stream over TCP, TLS or a unix socket.
#[derive(Debug)]
pub enum Socket {
    /// A cleartext connection.
    Tcp(TcpStream),
    /// A TLS connection.
    Tls(Box<Tls>),
    /// A connection to a unix socket, in clear text.
    Unix(UnixStream),
}

/// A connection of the system, below TLS if there is any.
#[derive(Debug)]
pub enum Stream {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection to a unix socket.
    Unix(UnixStream),
}

/// The socket of the system below a byte stream.
#[derive(Debug, Clone, Copy)]
pub enum SystemSocket<'a> {
    /// A TCP connection.
    Tcp(&'a TcpStream),
    /// A connection to a unix socket.
    Unix(&'a UnixStream),
}

/// A TLS connection.
#[derive(Debug)]
pub struct Tls {
    stream: TlsStream<Stream>,
    /// True if decrypted bytes or a close notification may be waiting: there was no read yet, the last one filled its
    /// buffer, or TLS wants no more input.
    may_have_buffered: bool,
}

impl Socket {
    /// Wraps a TLS stream whose handshake is complete.
    pub fn tls(stream: impl Into<TlsStream<Stream>>) -> Self {
        Self::Tls(Box::new(Tls {
            stream: stream.into(),
            // Bytes received along with the end of the handshake are already decrypted.
            may_have_buffered: true,
        }))
    }

    /// The underlying socket.
    pub fn system(&self) -> SystemSocket<'_> {
        match self {
            Self::Tcp(stream) => SystemSocket::Tcp(stream),
            Self::Tls(tls) => tls.stream.get_ref().0.system(),
            Self::Unix(stream) => SystemSocket::Unix(stream),
        }
    }

    /// The underlying socket, if its bytes are those of the stream.
    pub fn cleartext(&self) -> Option<SystemSocket<'_>> {
        (!self.is_tls()).then(|| self.system())
    }

    /// Returns true if the connection uses TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Returns true if the TLS handshake selected HTTP/2 (ALPN, RFC 7301).
    pub fn chose_http2(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.stream.get_ref().1.alpn_protocol() == Some(b"h2"))
    }

    /// Polls for readability without a buffer; may report false positives.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.may_have_buffered() {
            return Poll::Ready(Ok(()));
        }
        self.system().poll_read_ready(cx)
    }

    /// Returns true if unread input may already be buffered in the TLS layer.
    pub fn may_have_buffered(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.may_have_buffered)
    }

    /// Returns true if, to the runtime's knowledge, neither bytes nor the end of the connection arrived since the last
    /// read. Makes no system call.
    pub fn is_quiet(&self) -> bool {
        // The closure runs only if the runtime considers the connection readable.
        self.system().try_io(Interest::READABLE, || Ok(())).is_err()
    }

    /// Peeks at one byte, with a system call. Returns 1 if a byte is available and 0 if the peer closed its side;
    /// otherwise the error, such as `WouldBlock`.
    pub fn peek(&self) -> io::Result<usize> {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        SockRef::from(&self.system()).peek(&mut byte)
    }
}

impl Stream {
    /// The underlying socket.
    pub fn system(&self) -> SystemSocket<'_> {
        match self {
            Self::Tcp(stream) => SystemSocket::Tcp(stream),
            Self::Unix(stream) => SystemSocket::Unix(stream),
        }
    }
}

impl From<Stream> for Socket {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Tcp(stream) => Self::Tcp(stream),
            Stream::Unix(stream) => Self::Unix(stream),
        }
    }
}

impl SystemSocket<'_> {
    /// Polls for readability.
    pub fn poll_read_ready(self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Polls for writability.
    pub fn poll_write_ready(self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Polls for a byte to read, or the end, and leaves it there. Returns 0 at the end.
    pub fn poll_peek(self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            let mut byte = [std::mem::MaybeUninit::uninit()];
            let peeked = self.try_io(Interest::READABLE, || SockRef::from(&self).peek(&mut byte));
            match peeked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                peeked => return Poll::Ready(peeked),
            }
        }
    }

    /// Tries `io`, and forgets the readiness if it would block.
    pub fn try_io<R>(self, interest: Interest, io: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        match self {
            Self::Tcp(stream) => stream.try_io(interest, io),
            Self::Unix(stream) => stream.try_io(interest, io),
        }
    }

    /// Reads what has arrived, and leaves it there. Returns 0 at the end.
    pub async fn peek(self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            self.ready(Interest::READABLE).await?;
            let peeked = self.try_io(Interest::READABLE, || {
                Ok(recv(self, &mut *bytes, RecvFlags::PEEK)?.0)
            });
            match peeked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                peeked => return peeked,
            }
        }
    }

    /// Waits for `interest`.
    pub async fn ready(self, interest: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.ready(interest).await.map(|_| ()),
            Self::Unix(stream) => stream.ready(interest).await.map(|_| ()),
        }
    }
}

impl AsFd for SystemSocket<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

/// The alert by which the peer ended a TLS connection, or a handshake, that failed with `error`.
pub fn alert_of(error: &io::Error) -> Option<TlsAlert> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(TlsAlert((*alert).into())),
        _ => None,
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, space),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, space),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, space),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, space),
            Self::Tls(tls) => {
                let read = Pin::new(&mut tls.stream).poll_read(cx, space);
                let is_full = space.remaining() == 0;
                tls.may_have_buffered = read.is_ready() && (is_full || !tls.stream.get_ref().1.wants_read());
                read
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_shutdown(cx),
        }
    }
}
