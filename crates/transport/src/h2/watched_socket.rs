//! The socket of an HTTP/2 connection to a service.

use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::h2::stream_count::StreamCount;
use crate::socket::{Socket, alert_of};

/// A socket that notes the TLS alert that ends it. `h2` keeps only the kind of an error.
pub(super) struct WatchedSocket {
    socket: Socket,
    /// Gone once no stream and no pool needs the connection any more.
    streams: Weak<StreamCount>,
}

impl WatchedSocket {
    /// Watches `socket`, the connection of `streams`.
    pub(super) fn new(socket: Socket, streams: &Rc<StreamCount>) -> Self {
        Self {
            socket,
            streams: Rc::downgrade(streams),
        }
    }
}

impl AsyncRead for WatchedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.socket).poll_read(cx, space);
        if let Poll::Ready(Err(error)) = &read
            && let Some(alert) = alert_of(error)
            && let Some(streams) = self.streams.upgrade()
        {
            streams.note_alert(alert);
        }
        read
    }
}

impl AsyncWrite for WatchedSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
