//! HTTP/2 connections to services, each shared by concurrent exchanges.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::time::Instant;
use waypost_wire::tls_alert::TlsAlert;

use crate::h2::client_stream::ClientStream;
use crate::h2::stream_count::StreamCount;
use crate::h2::watched_socket::WatchedSocket;
use crate::permits::{OpenPermit, Permit};
use crate::socket::Socket;

/// Initial flow-control window of a stream, in bytes.
pub const STREAM_WINDOW: u32 = 64 << 10;
/// Initial flow-control window of a connection, in bytes.
pub const CONNECTION_WINDOW: u32 = 1 << 20;
/// Maximum unsent bytes buffered per stream.
pub const SEND_BUFFER: usize = 64 << 10;

/// Budget for small unread DATA frames, which `h2` charges 256 bytes minus their length each. Exceeding it ends the
/// whole connection, so it is larger than a full window of frames of any usual size can cost: one client that does not
/// read must not end the exchanges of others.
const DATA_FRAMES_BUDGET: usize = 64 << 20;

/// An HTTP/2 connection to a service.
#[derive(Debug)]
pub struct ClientConnection {
    sender: SendRequest<Bytes>,
    /// `https` or `http`.
    scheme: &'static str,
    streams: Rc<StreamCount>,
}

impl ClientConnection {
    /// Starts HTTP/2 on a new connection, and waits for the service's SETTINGS with its stream limit. Heads of
    /// responses may have `head_bytes_max` bytes. The connection holds `permit` while it is used or kept, and `open` until
    /// its socket is closed.
    ///
    /// # Errors
    /// The connection fails or closes before that; with the TLS alert that the service sent, if it did.
    pub async fn begin(
        socket: Socket,
        head_bytes_max: usize,
        permit: Option<Permit>,
        open: Option<OpenPermit>,
    ) -> Result<Rc<Self>, Option<TlsAlert>> {
        let scheme = if socket.is_tls() { "https" } else { "http" };
        let open = open.map(Rc::new);
        let streams = Rc::new(StreamCount::new(permit, open.as_ref().map(Rc::downgrade)));
        let socket = WatchedSocket::new(socket, &streams);
        let failed = |_: h2::Error| streams.alert();
        let (sender, mut connection) = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(head_bytes_max).unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_BUFFER)
            .enable_push(false)
            .data_frame_budget(DATA_FRAMES_BUDGET)
            .initial_max_send_streams(0)
            .handshake::<_, Bytes>(socket)
            .await
            .map_err(failed)?;
        poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended.and(Err(h2::Reason::NO_ERROR.into()))),
            Poll::Pending if sender.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await
        .map_err(failed)?;
        let counted = Rc::downgrade(&streams);
        tokio::task::spawn_local(async move {
            let _ = connection.await;
            if let Some(streams) = counted.upgrade() {
                streams.close();
            }
            drop(open);
        });
        Ok(Rc::new(Self {
            sender,
            scheme,
            streams,
        }))
    }

    /// Opens a stream; also returns true if the connection had streams before. Returns `None` if the connection is
    /// closed or its stream limit is reached.
    pub fn stream(&self) -> Option<(Box<ClientStream>, bool)> {
        let (slot, reused) = self.streams.open(self.sender.current_max_send_streams())?;
        let stream = ClientStream::new(self.sender.clone(), self.scheme, slot);
        Some((Box::new(stream), reused))
    }

    /// Returns true if no further streams can be opened.
    pub fn is_closed(&self) -> bool {
        self.streams.is_closed()
    }

    /// Returns true if no stream is open.
    pub fn is_idle(&self) -> bool {
        self.streams.is_idle()
    }

    /// The time at which the last stream ended, or the connection was opened.
    pub fn idle_since(&self) -> Instant {
        self.streams.idle_since()
    }
}
