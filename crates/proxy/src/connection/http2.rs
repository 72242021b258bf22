//! HTTP/2 client connections: a task for the connection and one for each stream.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::request::Parts;
use http::{Method, Request};
use tokio::time::{Instant, timeout};
use waypost_plan::listener::{Limits, Listener};
use waypost_policy::failure::Failure;
use waypost_policy::peer::Peer;
use waypost_policy::request::head_limits;
use waypost_policy::status::RequestStatus;
use waypost_transport::h2::client_connection::{CONNECTION_WINDOW, STREAM_WINDOW};
use waypost_transport::h2::fields;
use waypost_transport::h2::guard::{FrameGuard, GuardedIo};
use waypost_transport::h2::server_stream::ServerStream;
use waypost_transport::link::Link;
use waypost_transport::socket::Socket;
use waypost_transport::timer::Timer;
use waypost_wire::request::RequestError;

use crate::connection::reading::LAST_CALL;
use crate::generation::ListenerId;
use crate::local::Worker;
use crate::local::buffers::RequestBuffers;
use crate::local::expendable::Claim;
use crate::local::slots::ConnectionSlot;
use crate::local::snapshot::Snapshot;
use crate::request::client::Client;
use crate::request::rest::RestEnd;
use crate::request::{ActiveRequest, Next, in_place};

/// Maximum concurrent streams of a connection.
pub(crate) const STREAMS_MAX: u32 = 100;
/// Maximum streams reset because of a client's protocol errors.
pub(crate) const MISTAKES_MAX: usize = 200;
/// Maximum bytes of a response that are buffered on a stream.
pub(crate) const SEND_BUFFER: usize = 32 << 10;
/// Budget for small unread DATA frames; each counts as 256 minus its length.
const DATA_FRAMES_BUDGET: usize = 4 << 20;
/// Timeout for flushing GOAWAY on a connection that is being closed.
const GOAWAY_TIMEOUT: Duration = Duration::from_secs(1);

/// The number of open streams of a connection.
#[derive(Debug)]
struct Streams {
    open: Cell<usize>,
    /// When the last stream ended, while none is open.
    idle_since: Cell<Instant>,
    claim: Rc<Claim>,
}

/// An open stream; counted until dropped.
struct OpenStream(Rc<Streams>);

impl OpenStream {
    fn new(streams: &Rc<Streams>) -> Self {
        streams.open.set(streams.open.get() + 1);
        streams.claim.set_open(streams.open.get());
        Self(Rc::clone(streams))
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let open = self.0.open.get() - 1;
        self.0.open.set(open);
        self.0.claim.set_open(open);
        if open == 0 {
            self.0.idle_since.set(Instant::now());
        }
    }
}

/// A client connection that speaks HTTP/2, before it is served.
pub(crate) struct Http2 {
    pub(crate) worker: Rc<Worker>,
    pub(crate) peer: Rc<Peer>,
    pub(crate) listener_id: ListenerId,
    pub(crate) listener: Rc<Listener>,
}

/// The phase of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// New streams are accepted.
    Open,
    /// A graceful shutdown began at this time; open streams may finish.
    Leaving(Instant),
    /// The connection is being closed; GOAWAY may be flushed until this deadline.
    Closing(Instant),
}

/// A request head with its body, and the handle for the response.
type NewStream = (Request<RecvStream>, SendResponse<Bytes>);

impl Http2 {
    /// Serves the connection until it ends. `read_before` holds the bytes that were already read from it.
    pub(crate) async fn serve(self, socket: Socket, read_before: Vec<u8>, slot: &ConnectionSlot) {
        slot.register().await;
        let limits = self.listener.limits;
        let guarded = GuardedIo::new(socket, read_before);
        let guard = guarded.guard();
        let handshake = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(STREAMS_MAX)
            // `h2` derives its CONTINUATION limit from this. Heads over `header_bytes` still get a 431.
            .max_header_list_size(u32::try_from(limits.header_bytes.saturating_mul(2)).unwrap_or(u32::MAX))
            .max_local_error_reset_streams(Some(MISTAKES_MAX))
            .max_send_buffer_size(SEND_BUFFER)
            .data_frame_budget(DATA_FRAMES_BUDGET)
            .enable_connect_protocol()
            .handshake::<_, Bytes>(guarded);
        let Ok(Ok(connection)) = timeout(limits.header_timeout, handshake).await else {
            return;
        };
        guard.cork();
        slot.claim().set_open(0);
        let mut server = ServerConnection {
            connection,
            guard,
            streams: Rc::new(Streams {
                open: Cell::new(0),
                idle_since: Cell::new(Instant::now()),
                claim: Rc::clone(slot.claim()),
            }),
            timer: Timer::new(Instant::now() + limits.header_timeout),
            phase: Phase::Open,
            served: false,
        };
        while let Some((request, respond)) = poll_fn(|cx| server.poll(cx, &self)).await {
            server.served = true;
            let open = OpenStream::new(&server.streams);
            let guard = Rc::clone(&server.guard);
            let mut client = Client::new(
                Rc::clone(&self.worker),
                Link::Gone,
                Rc::clone(&self.peer),
                self.listener_id,
                Rc::clone(&self.listener),
                Rc::clone(slot.claim()),
            );
            // The runtime moves the future three times: box it, so that it moves a pointer.
            tokio::task::spawn_local(in_place(|| async move {
                client.serve_stream(request, respond, guard).await;
                drop(open);
            }));
        }
    }

    /// The limits of the listener; if it was removed, those it had when the connection was accepted.
    fn limits(&self) -> Limits {
        let snapshot = self.worker.snapshot();
        let listener = snapshot.listener(self.listener_id);
        listener.unwrap_or(&self.listener).limits
    }
}

/// A connection being served.
struct ServerConnection {
    connection: Connection<GuardedIo, Bytes>,
    guard: Rc<FrameGuard>,
    streams: Rc<Streams>,
    timer: Timer,
    phase: Phase,
    /// True once a stream has been opened.
    served: bool,
}

impl ServerConnection {
    /// Polls for the next stream; `None` at the end of the connection.
    fn poll(&mut self, cx: &mut Context<'_>, http2: &Http2) -> Poll<Option<NewStream>> {
        let next = self.poll_next(cx, http2);
        // Send all frames written since the last poll together.
        if next.is_pending() && matches!(self.guard.poll_send(cx), Poll::Ready(Err(_))) {
            return Poll::Ready(None);
        }
        next
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, http2: &Http2) -> Poll<Option<NewStream>> {
        loop {
            if self.phase == Phase::Open && http2.worker.is_closing(http2.listener_id) {
                self.connection.graceful_shutdown();
                self.phase = Phase::Leaving(Instant::now());
            }
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok(stream))) => return Poll::Ready(Some(stream)),
                Poll::Ready(Some(Err(error))) => {
                    // `h2` has frame budgets of its own.
                    if error.reason() == Some(Reason::ENHANCE_YOUR_CALM) && self.guard.excess().is_none() {
                        http2.worker.recorder().count_failure(Failure::TooManyFrames);
                    }
                    return Poll::Ready(None);
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {}
            }
            if self.guard.excess().is_some() && !self.is_closing() {
                http2.worker.recorder().count_failure(Failure::TooManyFrames);
                self.close(Reason::ENHANCE_YOUR_CALM);
                continue;
            }
            let limits = http2.limits();
            let head_deadline = self
                .guard
                .head_deadline(limits.header_timeout)
                .filter(|_| !self.is_closing());
            let Some(next) = [self.deadline(&limits), head_deadline]
                .into_iter()
                .flatten()
                .min()
            else {
                return Poll::Pending;
            };
            self.timer.set(next);
            if self.timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
            match self.phase {
                Phase::Closing(_) => return Poll::Ready(None),
                _ if head_deadline.is_some_and(|due| due <= Instant::now()) => {
                    self.close(Reason::ENHANCE_YOUR_CALM);
                }
                // Idle: close after a GOAWAY.
                Phase::Open | Phase::Leaving(_) => self.close(Reason::NO_ERROR),
            }
        }
    }

    /// When the connection is closed; `None` while streams are open, unless it is closing already.
    fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let idle_since = (self.streams.open.get() == 0).then(|| self.streams.idle_since.get());
        let limit = if self.streams.claim.is_displaced() {
            Duration::ZERO
        } else if self.served {
            limits.keep_alive_timeout
        } else {
            limits.header_timeout
        };
        match self.phase {
            Phase::Closing(until) => Some(until),
            Phase::Leaving(left) => idle_since.map(|since| since.max(left) + LAST_CALL),
            Phase::Open => idle_since.map(|since| since + limit),
        }
    }

    fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing(_))
    }

    /// Sends GOAWAY with `reason` and begins to close the connection.
    fn close(&mut self, reason: Reason) {
        self.connection.abrupt_shutdown(reason);
        self.phase = Phase::Closing(Instant::now() + GOAWAY_TIMEOUT);
    }
}

impl Client {
    /// Serves the request of one stream.
    async fn serve_stream(
        &mut self,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        guard: Rc<FrameGuard>,
    ) {
        let (head, body) = request.into_parts();
        let stream = ServerStream::new(&head.headers, body, respond, guard);
        let snapshot = self.worker.snapshot();
        let listener = self.listener_in(&snapshot);
        self.expect_request(&snapshot);
        let mut buffers = self.worker.borrow_request();
        let next = self
            .respond_to_stream(&mut buffers, &snapshot, &listener, &head, stream)
            .await;
        drop((snapshot, listener));
        let rest = match next {
            Next::Tunnel(tunnel) => {
                self.run_tunnel(tunnel, buffers).await;
                self.log();
                return;
            }
            Next::Rest(rest) => {
                self.log();
                let end = in_place(|| self.relay_rest(rest, &mut buffers)).await;
                self.worker.return_request(buffers);
                end
            }
            Next::Request | Next::Linger | Next::Close => {
                self.worker.return_request(buffers);
                self.log();
                RestEnd::Unread
            }
        };
        // A stream that ends before its request is reset (RFC 9113 §8.1), which some clients report as a failure even if
        // the body was about to end.
        if rest == RestEnd::Unread
            && let Link::ServerStream(stream) = &self.link
            && !stream.has_ended()
        {
            in_place(|| self.linger()).await;
        }
    }

    /// Serves the request of a stream.
    async fn respond_to_stream(
        &mut self,
        buffers: &mut RequestBuffers,
        snapshot: &Rc<Snapshot>,
        listener: &Listener,
        head: &Parts,
        mut stream: ServerStream,
    ) -> Next {
        // RFC 8441 §4: a CONNECT with `:protocol` corresponds to an upgrade in HTTP/1.
        let protocol = head
            .extensions
            .get::<h2::ext::Protocol>()
            .map(h2::ext::Protocol::as_str);
        let upgrade = protocol.map(|protocol| fields::Upgrade {
            protocol,
            key: [self.worker.roll(), self.worker.roll()],
        });
        let bytes = &mut buffers.decision.scratch;
        bytes.clear();
        let is_malformed = stream.is_malformed() || (upgrade.is_some() && head.method != Method::CONNECT);
        if is_malformed || fields::write_request(head, upgrade, bytes).is_err() {
            stream.reset(Reason::PROTOCOL_ERROR);
            let failure = Failure::Request(RequestError::Field);
            self.observation.fail(&self.worker, failure);
            self.observation.count(&self.worker, RequestStatus::default());
            return Next::Close;
        }
        let has_body = !stream.has_ended() && upgrade.is_none();
        buffers.demands_upgrade = upgrade.is_some();
        self.link = Link::ServerStream(Box::new(stream));
        buffers.from_client.append(bytes);
        let limits = head_limits(listener);
        // Cookie crumbs are joined by now and count as one field; `h2` bounds their bytes with the header list.
        let parsed = buffers.parse_whole_head(&limits);
        let mut request = ActiveRequest {
            client: self,
            buffers,
            snapshot,
            listener,
            head_bytes: 0,
        };
        match parsed {
            Ok(end) => request.head_bytes = end.end,
            Err(error) => {
                return request.refuse(Failure::Request(error)).await;
            }
        }
        if has_body {
            request.buffers.head.set_framing_by_stream();
        }
        if matches!(head.method, Method::POST | Method::PUT | Method::PATCH) {
            request.buffers.head.set_empty_body();
        }
        request.serve().await
    }
}
