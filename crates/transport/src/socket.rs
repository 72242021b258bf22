//! A connection as bytes: in clear, or under TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A connection as bytes.
#[derive(Debug)]
pub enum Socket {
    /// A connection in clear text.
    Tcp(TcpStream),
    /// A connection under TLS.
    Tls(Box<Tls>),
}

/// A connection under TLS.
#[derive(Debug)]
pub struct Tls {
    stream: TlsStream<TcpStream>,
    /// Whether the last read filled what it was given, or there was none, so that more may be decrypted already than was
    /// asked for; or the peer has said that no more comes.
    holds_more: bool,
}

impl Socket {
    /// A connection whose TLS handshake is complete.
    pub fn tls(stream: impl Into<TlsStream<TcpStream>>) -> Self {
        Self::Tls(Box::new(Tls {
            stream: stream.into(),
            // What came along with the end of the handshake is decrypted already.
            holds_more: true,
        }))
    }

    /// The connection below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(tls) => tls.stream.get_ref().0,
        }
    }

    /// Returns true if the connection is under TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether HTTP/2 was chosen in its handshake (RFC 7301).
    pub fn chose_http2(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.stream.get_ref().1.alpn_protocol() == Some(b"h2"))
    }

    /// Waits until there may be something to read, without memory to read it into.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.holds_more() {
            return Poll::Ready(Ok(()));
        }
        self.tcp().poll_read_ready(cx)
    }

    /// Whether bytes of the peer may be here already that nobody has read.
    pub fn holds_more(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.holds_more)
    }

    /// Whether nothing has come since the last read, the end of the connection included, as far as the runtime knows;
    /// to ask costs nothing.
    pub fn is_quiet(&self) -> bool {
        // What would read is called only if the runtime takes the connection for readable.
        self.tcp().try_io(Interest::READABLE, || Ok(())).is_err()
    }

    /// What the kernel says of the connection: bytes that wait, none since the peer has ended its side, or why there
    /// are none.
    pub fn peek(&self) -> io::Result<usize> {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        SockRef::from(self.tcp()).peek(&mut byte)
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
            Self::Tls(tls) => {
                let read = Pin::new(&mut tls.stream).poll_read(cx, space);
                let is_full = space.remaining() == 0;
                tls.holds_more = read.is_ready() && (is_full || !tls.stream.get_ref().1.wants_read());
                read
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
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
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_shutdown(cx),
        }
    }
}
