//! A connection whose frames of HTTP/2 are counted as they come.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use waypost_wire::frames::{Excess, FrameWatch};

use crate::link::socket::Socket;

/// A connection, with what was read of it before.
pub(crate) struct Watched {
    socket: Socket,
    /// What is to be read first.
    read_before: Vec<u8>,
    watch: Rc<Watch>,
}

/// What has been seen of a connection's frames.
pub(crate) struct Watch {
    began: Instant,
    frames: RefCell<FrameWatch>,
    excess: Cell<Option<Excess>>,
}

impl Watched {
    pub(crate) fn new(socket: Socket, read_before: Vec<u8>) -> Self {
        let watch = Rc::new(Watch {
            began: Instant::now(),
            frames: RefCell::default(),
            excess: Cell::new(None),
        });
        Self {
            socket,
            read_before,
            watch,
        }
    }

    /// What has been seen of it, for whoever decides.
    pub(crate) fn watch(&self) -> Rc<Watch> {
        Rc::clone(&self.watch)
    }
}

impl Watch {
    fn feed(&self, bytes: &[u8]) {
        if let Err(excess) = self.frames.borrow_mut().feed(bytes, self.began.elapsed()) {
            self.excess.set(Some(excess));
        }
    }

    /// What the peer sends too much of. Nothing more is read then.
    pub(crate) fn excess(&self) -> Option<Excess> {
        self.excess.get()
    }

    /// When a head that has begun has to be complete.
    pub(crate) fn head_due(&self, patience: Duration) -> Option<Instant> {
        let since = self.frames.borrow().head_since()?;
        Some(self.began + since + patience)
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.watch.excess().is_some() {
            return Poll::Pending;
        }
        if !self.read_before.is_empty() {
            let taken = self.read_before.len().min(space.remaining());
            self.watch.feed(&self.read_before[..taken]);
            space.put_slice(&self.read_before[..taken]);
            self.read_before.drain(..taken);
            return Poll::Ready(Ok(()));
        }
        let before = space.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, space))?;
        self.watch.feed(&space.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
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
