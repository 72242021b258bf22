//! The I/O of a client's HTTP/2 connection: watches received frames and batches writes.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::StreamId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use waypost_wire::frames::{Excess, FrameBudget};

use crate::socket::Socket;

/// Maximum unsent bytes; beyond it, writes wait for the socket.
pub const UNSENT_MAX: usize = 64 << 10;
/// Maximum size of a write that is copied to the queue. Larger writes go directly to the socket.
const QUEUED_WRITE_MAX: usize = 8 << 10;
/// Maximum capacity that an empty queue keeps.
const KEPT_BYTES: usize = 16 << 10;

/// The I/O of a connection, given to `h2`.
///
/// `h2` sends every response of some length with a system call of its own. Once [corked](FrameGuard::cork), the
/// connection queues them until [`FrameGuard::poll_send`], so that responses that are ready together are sent with one
/// call.
pub struct GuardedIo {
    /// Bytes that were read from the socket before.
    read_before: Vec<u8>,
    guard: Rc<FrameGuard>,
}

/// The connection's frame counts and write queue, for its owner.
pub struct FrameGuard {
    began: Instant,
    frames: RefCell<FrameBudget>,
    excess: Cell<Option<Excess>>,
    queue: RefCell<WriteQueue>,
}

impl std::fmt::Debug for FrameGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameGuard")
            .field("excess", &self.excess)
            .finish_non_exhaustive()
    }
}

/// The socket and its unsent bytes.
struct WriteQueue {
    socket: Socket,
    /// Queued bytes.
    unsent: Vec<u8>,
    /// Bytes of `unsent` already sent: `sent <= unsent.len()`.
    sent: usize,
    /// True if a flush does not send, and only [`FrameGuard::poll_send`] does.
    corked: bool,
}

impl GuardedIo {
    /// Wraps `socket`, from which the bytes `read_before` were already read.
    pub fn new(socket: Socket, read_before: Vec<u8>) -> Self {
        let guard = Rc::new(FrameGuard {
            began: Instant::now(),
            frames: RefCell::default(),
            excess: Cell::new(None),
            queue: RefCell::new(WriteQueue {
                socket,
                unsent: Vec::new(),
                sent: 0,
                corked: false,
            }),
        });
        Self { read_before, guard }
    }

    /// The guard of the connection.
    pub fn guard(&self) -> Rc<FrameGuard> {
        Rc::clone(&self.guard)
    }
}

impl WriteQueue {
    /// Sends all queued bytes and flushes the socket.
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
        if count > QUEUED_WRITE_MAX || self.unsent.len() + count > UNSENT_MAX {
            ready!(self.poll_send(cx))?;
        }
        if count > QUEUED_WRITE_MAX {
            return Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        }
        for slice in slices {
            self.unsent.extend_from_slice(slice);
        }
        Poll::Ready(Ok(count))
    }
}

impl FrameGuard {
    /// Counts the frames in `bytes`.
    fn feed(&self, bytes: &[u8]) {
        if let Err(excess) = self.frames.borrow_mut().feed(bytes, self.began.elapsed()) {
            self.excess.set(Some(excess));
        }
    }

    /// Queues writes until [`FrameGuard::poll_send`] from now on.
    pub fn cork(&self) {
        self.queue.borrow_mut().corked = true;
    }

    /// Sends all queued bytes.
    pub fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.queue.borrow_mut().poll_send(cx)
    }

    /// The limit on frames that the peer exceeded, if any. The connection is no longer read then.
    pub fn excess(&self) -> Option<Excess> {
        self.excess.get()
    }

    /// Returns true if the head or the trailers of a stream, as far as they came, are malformed in a way that `h2` hides.
    pub(super) fn is_malformed(&self, stream: StreamId) -> bool {
        self.frames.borrow().is_malformed(stream.as_u32())
    }

    /// Forgets a stream that has ended.
    pub(super) fn forget(&self, stream: StreamId) {
        self.frames.borrow_mut().forget(stream.as_u32());
    }

    /// The deadline of an incomplete head, `timeout` after its start.
    pub fn head_deadline(&self, timeout: Duration) -> Option<Instant> {
        let since = self.frames.borrow().head_since()?;
        Some(self.began + since + timeout)
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
        if queue.corked {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderName, HeaderValue, Request};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;
    use tokio::runtime::Builder;

    use super::*;

    /// Fields of a message: few names, so that the encoder refers to them, and values of all lengths.
    fn fields() -> impl Strategy<Value = HeaderMap> {
        let name = "x-[ab]|cookie|accept|user-agent|[a-z]{1,30}";
        vec((name, "[ -~]{0,40}|[ -~]{0,3}|[#&'+;^|~]{0,60}"), 0..8).prop_map(|fields| {
            let fields = fields.into_iter().filter_map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                Some((name, HeaderValue::from_str(&value).ok()?))
            });
            fields
                .filter(|(name, _)| !["te", "connection", "upgrade"].contains(&name.as_str()))
                .collect()
        })
    }

    /// The bytes that a client sends for these requests: paths, heads and trailers.
    async fn sent(requests: Vec<(String, HeaderMap, HeaderMap)>) -> Vec<u8> {
        let (near, mut far) = tokio::io::duplex(4 << 20);
        let (mut sender, connection) = h2::client::handshake(near).await.unwrap();
        let client = async move {
            let mut open = Vec::new();
            for (path, head, trailers) in requests {
                let mut request = Request::post(format!("http://a{path}")).body(()).unwrap();
                *request.headers_mut() = head;
                let (response, mut stream) = sender.send_request(request, false).unwrap();
                stream.send_data(Bytes::from_static(b"body"), false).unwrap();
                stream.send_trailers(trailers).unwrap();
                open.push((response, stream));
            }
            // The connection writes all of it in one of its turns.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            drop(open);
        };
        let connection = Box::pin(connection);
        tokio::select! {
            _ = connection => {}
            () = client => {}
        }
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn nothing_of_an_encoder_is_malformed(
            requests in vec(("(/[a-z0-9&;+]{0,12}){1,4}(\\?[a-z=&;]{0,20})?", fields(), fields()), 1..40),
            piece in 1usize..5000,
        ) {
            let runtime = Builder::new_current_thread().build().unwrap();
            let count = requests.len() as u32;
            let bytes = runtime.block_on(sent(requests));
            let mut frames = FrameBudget::default();
            for piece in bytes.chunks(piece) {
                frames.feed(piece, Duration::ZERO).unwrap();
            }
            prop_assert!(bytes.len() > 30 * count as usize, "{} bytes", bytes.len());
            let malformed: Vec<u32> = (0..count).map(|number| 2 * number + 1).filter(|id| frames.is_malformed(*id)).collect();
            prop_assert_eq!(malformed, Vec::<u32>::new());
        }
    }
}
