//! Connections to services that carry many exchanges at a time.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::time::Instant;
use waypost_wire::response::HEAD_BYTES_MAX;

use crate::h2::client_stream::ClientStream;
use crate::h2::stream_count::StreamCount;
use crate::permits::Permit;
use crate::socket::Socket;

/// What a peer may send on a stream before it is read.
pub const STREAM_WINDOW: u32 = 64 << 10;
/// What a peer may send on all streams of a connection before it is read.
pub const CONNECTION_WINDOW: u32 = 1 << 20;
/// What is taken from an exchange of a connection before the peer takes it.
pub const SEND_BUFFER: usize = 64 << 10;

/// What small frames of data that wait to be read may cost, as the library reckons: a frame, 256 less its length. One
/// client that does not read must not end the exchanges of the others, so it is out of the reach of what a window holds
/// of any usual size of frames.
const DATA_FRAMES_BUDGET: usize = 64 << 20;

/// A connection that speaks HTTP/2.
#[derive(Debug)]
pub struct ClientConnection {
    sender: SendRequest<Bytes>,
    /// `https` or `http`.
    scheme: &'static str,
    streams: Rc<StreamCount>,
}

impl ClientConnection {
    /// Begins to speak HTTP/2 on a new connection, and waits until the service has said how many streams it takes.
    ///
    /// # Errors
    /// When the connection breaks at once.
    pub async fn begin(socket: Socket, permit: Option<Permit>) -> Result<Rc<Self>, h2::Error> {
        let scheme = if socket.is_tls() { "https" } else { "http" };
        let (sender, mut connection) = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .max_send_buffer_size(SEND_BUFFER)
            .enable_push(false)
            .data_frame_budget(DATA_FRAMES_BUDGET)
            .initial_max_send_streams(0)
            .handshake::<_, Bytes>(socket)
            .await?;
        poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended.and(Err(h2::Reason::NO_ERROR.into()))),
            Poll::Pending if sender.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await?;
        let streams = Rc::new(StreamCount::new(permit));
        let counted = Rc::downgrade(&streams);
        tokio::task::spawn_local(async move {
            let _ = connection.await;
            if let Some(streams) = counted.upgrade() {
                streams.close();
            }
        });
        Ok(Rc::new(Self {
            sender,
            scheme,
            streams,
        }))
    }

    /// A stream of it, and whether there were others before; `None` when it has no more to give.
    pub fn stream(&self) -> Option<(ClientStream, bool)> {
        let (slot, reused) = self.streams.open(self.sender.current_max_send_streams())?;
        Some((ClientStream::new(self.sender.clone(), self.scheme, slot), reused))
    }

    /// Returns true if no further streams can be opened on it, now or later.
    pub fn is_closed(&self) -> bool {
        self.streams.is_closed()
    }

    /// Returns true if no stream is open.
    pub fn is_idle(&self) -> bool {
        self.streams.is_idle()
    }

    /// The time when the last stream ended, or the connection began.
    pub fn idle_since(&self) -> Instant {
        self.streams.idle_since()
    }
}
