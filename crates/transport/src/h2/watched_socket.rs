//! The socket of an HTTP/2 connection to a service.

use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use waypost_wire::stream_ends::StreamEnds;

use crate::h2::stream_count::StreamCount;
use crate::socket::{Socket, alert_of};

/// A socket that keeps what `h2` forgets when a connection ends: the TLS alert that ends it, as `h2` keeps only the
/// kind of an error, and the responses that were received to their end, as it fails every stream whose request is not
/// sent completely.
///
/// A service may respond early and close while the gateway still writes. Once the peer takes nothing more, writes are
/// discarded, so that `h2` reads everything that the peer sent before it learns of the end.
pub(super) struct WatchedSocket {
    socket: Socket,
    /// Gone once no stream and no pool needs the connection any more.
    streams: Weak<StreamCount>,
    ends: StreamEnds,
    /// True once the peer takes nothing more.
    discards: bool,
}

impl WatchedSocket {
    /// Watches `socket`, the connection of `streams`.
    pub(super) fn new(socket: Socket, streams: &Rc<StreamCount>) -> Self {
        Self {
            socket,
            streams: Rc::downgrade(streams),
            ends: StreamEnds::default(),
            discards: false,
        }
    }

    /// The result of a write, which is `discarded` if the peer takes nothing more: reading then ends, too.
    fn written<T>(&mut self, written: Poll<io::Result<T>>, discarded: T) -> Poll<io::Result<T>> {
        let Poll::Ready(Err(error)) = &written else {
            return written;
        };
        if matches!(
            error.kind(),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
        ) {
            self.discards = true;
            return Poll::Ready(Ok(discarded));
        }
        // `h2` may fail before it has parsed all that was read.
        if let Some(streams) = self.streams.upgrade() {
            streams.forget_ends();
        }
        written
    }
}

impl AsyncRead for WatchedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = space.filled().len();
        let read = Pin::new(&mut this.socket).poll_read(cx, space);
        match &read {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                let streams = &this.streams;
                this.ends.feed(&space.filled()[before..], |stream| {
                    if let Some(streams) = streams.upgrade() {
                        streams.note_end(stream);
                    }
                });
            }
            Poll::Ready(Err(error)) => {
                if let Some(alert) = alert_of(error)
                    && let Some(streams) = this.streams.upgrade()
                {
                    streams.note_alert(alert);
                }
            }
        }
        read
    }
}

impl AsyncWrite for WatchedSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.discards {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.written(written, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = || slices.iter().map(|slice| slice.len()).sum();
        if self.discards {
            return Poll::Ready(Ok(length()));
        }
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.written(written, length())
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.discards {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.written(flushed, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
