//! The rest of a request behind its response: relayed to a service that reads on, or else discarded.
//!
//! A client that sends all before it reads would lose the response if its connection were closed, or its stream reset,
//! while it sends.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;
use waypost_transport::link::Link;
use waypost_transport::relay::{BlockedOn, RelayError};
use waypost_upstream::health::Outcome;
use waypost_upstream::lease::Lease;
use waypost_upstream::pool::idle::ReuseTrust;

use crate::local::buffers::RequestBuffers;
use crate::request::client::Client;

/// Time for which the rest of a request is discarded.
pub(crate) const LINGER: Duration = Duration::from_secs(30);
/// Time without a byte after which it is discarded no longer.
pub(crate) const LINGER_IDLE: Duration = Duration::from_secs(5);
/// Maximum requests of a worker whose rest is discarded; a further one replaces the oldest.
pub(crate) const LINGERING_MAX: usize = 1000;
/// Time in which a service that has responded may accept nothing, before the rest is discarded.
pub(crate) const REST_STALL: Duration = Duration::from_secs(5);

/// The rest of a request whose service has responded.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(super) lease: Lease,
    pub(super) outcome: Outcome,
    /// The trust in the service's connection, if it can be reused behind the request.
    pub(super) trust: Option<ReuseTrust>,
    /// The listener's `body_idle_timeout`.
    pub(super) body_idle: Duration,
    /// The deadline of the route's timeout.
    pub(super) deadline: Option<Instant>,
    /// True if the response ends with the connection.
    pub(super) ends_by_close: bool,
}

/// The end of the rest of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RestEnd {
    /// The client sends no more, or has to go.
    Over,
    /// The client still sends, but the service does not read.
    Unread,
}

impl Client {
    /// Relays the rest of a request to its service.
    pub(crate) async fn relay_rest(&mut self, mut rest: Box<Rest>, buffers: &mut RequestBuffers) -> RestEnd {
        if let Some(response) = buffers.response.take() {
            self.worker.upstreams().return_response(response);
        }
        let RequestBuffers {
            upload, from_client, ..
        } = buffers;
        let mut moved = Instant::now();
        let mut place = None;
        let mut is_shut = !rest.ends_by_close;
        let pipes = self.worker.upstreams().pipes();
        let end = poll_fn(|cx| {
            let place = place.get_or_insert_with(|| self.claim.add(cx.waker(), true));
            if place.is_displaced() {
                return Poll::Ready(Err(RelayError::Source));
            }
            is_shut = is_shut || self.link.poll_shutdown(cx).is_ready();
            let service = &mut rest.lease.link;
            let relayed = upload.poll(cx, &mut self.link, from_client, service, Some(pipes), |_| {});
            if relayed.is_ready() {
                return relayed;
            }
            if upload.take_progress() {
                moved = Instant::now();
            }
            let (limit, error) = match upload.blocked_on {
                BlockedOn::Source => (rest.body_idle, RelayError::Source),
                BlockedOn::Sink => (REST_STALL, RelayError::Sink),
            };
            let pause = moved + limit;
            let (end, error) = match rest.deadline {
                Some(deadline) if deadline < pause => (deadline, RelayError::Sink),
                _ => (pause, error),
            };
            self.timer.set(end);
            self.timer.poll(cx).map(|()| Err(error))
        });
        match end.await {
            Ok(()) => {
                match rest.trust {
                    Some(trust) => rest
                        .lease
                        .end_and_keep(rest.outcome, trust, self.worker.upstreams()),
                    None => rest.lease.end(rest.outcome),
                }
                RestEnd::Over
            }
            Err(error) => {
                rest.lease.end(rest.outcome);
                match error {
                    RelayError::Source | RelayError::Ended => RestEnd::Over,
                    RelayError::Sink | RelayError::Coding(_) | RelayError::TooLarge => RestEnd::Unread,
                }
            }
        }
    }

    /// Ends the sending side, and discards for a while what the client still sends. Holds no buffers while it waits.
    pub(crate) async fn linger(&mut self) {
        if self.claim.is_displaced() {
            return;
        }
        let mut evictable = self.worker.lingering().begin(LINGERING_MAX);
        let mut place = None;
        let mut moved = Instant::now();
        let last = moved + LINGER;
        let mut is_shut = false;
        poll_fn(|cx| {
            let place = place.get_or_insert_with(|| self.claim.add(cx.waker(), true));
            if place.is_displaced() || evictable.poll_evicted(cx).is_ready() {
                return Poll::Ready(());
            }
            if !is_shut && let Poll::Ready(shut) = self.link.poll_shutdown(cx) {
                is_shut = true;
                if shut.is_err() {
                    return Poll::Ready(());
                }
            }
            // A client that does not read may keep even the end of the response from leaving.
            while let Poll::Ready(discarded) = self.poll_discard(cx) {
                if !matches!(discarded, Ok(count) if count > 0) {
                    return Poll::Ready(());
                }
                moved = Instant::now();
            }
            self.timer.set(last.min(moved + LINGER_IDLE));
            self.timer.poll(cx)
        })
        .await;
    }

    /// Discards what there is. Returns the number of bytes; 0 at the end of the request, or of the connection.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Link::ServerStream(stream) = &mut self.link {
            return stream.poll_discard(cx);
        }
        ready!(self.link.poll_read_ready(cx))?;
        let mut buffers = self.worker.borrow_request();
        let read = self.link.poll_fill(cx, &mut buffers.from_client);
        self.worker.return_request(buffers);
        read
    }
}
