//! A connection of HTTP/2: its frames are counted as they come, and leave together.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use waypost_wire::frames::{Excess, FrameWatch};

use crate::socket::Socket;

/// What may wait to be sent, beyond which whoever writes waits.
pub const UNSENT_MAX: usize = 64 << 10;
/// What is written at once from here on is sent as it is, rather than copied to what waits.
const WAITS_MAX: usize = 8 << 10;
/// What the memory of what waits may keep while nothing does.
const KEPT_BYTES: usize = 16 << 10;

/// A connection, with what was read of it before.
///
/// The library has every answer of some length leave by itself. Here answers wait for each other: what is written is sent
/// when the connection has been served, by [`FrameGuard::poll_send`], so that those that are ready together leave in one call.
pub struct GuardedIo {
    /// What is to be read first.
    read_before: Vec<u8>,
    guard: Rc<FrameGuard>,
}

/// A connection, and what has been seen of its frames.
pub struct FrameGuard {
    began: Instant,
    frames: RefCell<FrameWatch>,
    excess: Cell<Option<Excess>>,
    queue: RefCell<WriteQueue>,
}

/// Where bytes leave.
struct WriteQueue {
    socket: Socket,
    /// What waits to be sent: sent <= unsent.len().
    unsent: Vec<u8>,
    sent: usize,
    /// Whether it waits until it is told to leave.
    waits: bool,
}

impl GuardedIo {
    /// Guards `socket`, of which `read_before` was read already.
    pub fn new(socket: Socket, read_before: Vec<u8>) -> Self {
        let guard = Rc::new(FrameGuard {
            began: Instant::now(),
            frames: RefCell::default(),
            excess: Cell::new(None),
            queue: RefCell::new(WriteQueue {
                socket,
                unsent: Vec::new(),
                sent: 0,
                waits: false,
            }),
        });
        Self { read_before, guard }
    }

    /// What has been seen of it, for whoever decides.
    pub fn guard(&self) -> Rc<FrameGuard> {
        Rc::clone(&self.guard)
    }
}

impl WriteQueue {
    /// Sends what waits.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.unsent.len() {
            let rest = &self.unsent[self.sent..];
            match ready!(Pin::new(&mut self.socket).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        self.unsent.clear();
        self.unsent.shrink_to(KEPT_BYTES);
        self.sent = 0;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let count = slices.iter().map(|slice| slice.len()).sum();
        if count > WAITS_MAX || self.unsent.len() + count > UNSENT_MAX {
            ready!(self.poll_send(cx))?;
        }
        if count > WAITS_MAX {
            return Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        }
        for slice in slices {
            self.unsent.extend_from_slice(slice);
        }
        Poll::Ready(Ok(count))
    }
}

impl FrameGuard {
    fn feed(&self, bytes: &[u8]) {
        if let Err(excess) = self.frames.borrow_mut().feed(bytes, self.began.elapsed()) {
            self.excess.set(Some(excess));
        }
    }

    /// Has what is written wait for [`FrameGuard::poll_send`] from now on.
    pub fn gather(&self) {
        self.queue.borrow_mut().waits = true;
    }

    /// Sends what waits to be sent.
    pub fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.queue.borrow_mut().poll_send(cx)
    }

    /// What the peer sends too much of. Nothing more is read then.
    pub fn excess(&self) -> Option<Excess> {
        self.excess.get()
    }

    /// When a head that has begun has to be complete.
    pub fn head_due(&self, patience: Duration) -> Option<Instant> {
        let since = self.frames.borrow().head_since()?;
        Some(self.began + since + patience)
    }
}

impl AsyncRead for GuardedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.guard.excess().is_some() {
            return Poll::Pending;
        }
        if !self.read_before.is_empty() {
            let taken = self.read_before.len().min(space.remaining());
            self.guard.feed(&self.read_before[..taken]);
            space.put_slice(&self.read_before[..taken]);
            self.read_before.drain(..taken);
            return Poll::Ready(Ok(()));
        }
        let before = space.filled().len();
        ready!(Pin::new(&mut self.guard.queue.borrow_mut().socket).poll_read(cx, space))?;
        self.guard.feed(&space.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for GuardedIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.guard.queue.borrow_mut().poll_write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut queue = self.guard.queue.borrow_mut();
        if queue.waits {
            return Poll::Ready(Ok(()));
        }
        queue.poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut queue = self.guard.queue.borrow_mut();
        ready!(queue.poll_send(cx))?;
        Pin::new(&mut queue.socket).poll_shutdown(cx)
    }
}
