//! A hedge: an attempt at another endpoint beside the first one, whose response is late. The first head wins.
//!
//! Both are polled by the task of the request. The hedge only sends what is held of the request, and waits for a final
//! head; it then takes the place of the first attempt, in an exchange of its own that begins where the hedge got to. It
//! does so too when the first attempt fails.

use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;
use waypost_plan::failures::StatusSet;
use waypost_transport::link::Link;
use waypost_transport::relay::Relay;
use waypost_upstream::call::INTERIM_MAX;
use waypost_upstream::connect::{ConnectError, ConnectOptions};
use waypost_upstream::health::Outcome;
use waypost_upstream::lease::{self, Lease};
use waypost_upstream::local::LocalService;
use waypost_upstream::response_buffers::ResponseBuffers;
use waypost_upstream::retry::tried::Tried;
use waypost_wire::response::{self, ResponseLimits};
use waypost_wire::scan::HeadScan;

use crate::exchange::Progress;
use crate::local::Worker;

/// The hedge of an attempt.
pub(super) struct Hedge<'a> {
    worker: &'a Rc<Worker>,
    state: State,
    /// Statuses that win nothing.
    declined: Option<&'a StatusSet>,
    to_head: bool,
    limits: ResponseLimits,
    /// True once it was begun.
    pub(super) is_made: bool,
}

/// The state of a hedge.
enum State {
    /// Its time has not come, or it is over.
    Idle,
    /// It gets a link.
    Connecting(
        Pin<Box<dyn Future<Output = Result<Lease, ConnectError>>>>,
        Message,
    ),
    /// It has a link.
    Asking(Box<HedgeAttempt>),
}

/// The request as it is held.
struct Message {
    bytes: Vec<u8>,
    trailers: Vec<u8>,
    /// The range of the endpoint's authority, if the client named no host.
    borrowed_host: Option<Range<usize>>,
}

/// A hedge with a link.
pub(super) struct HedgeAttempt {
    pub(super) lease: Lease,
    message: Message,
    /// Bytes of the message that are written.
    written: usize,
    is_sent: bool,
    pub(super) began: Instant,
    response: Option<Box<ResponseBuffers>>,
    scan: HeadScan,
    /// Bytes of interim responses in front of what is looked at.
    skipped: usize,
    interims: u32,
    has_head: bool,
}

/// The state of a hedge after a poll.
pub(super) enum Hedging {
    /// There is none, or nothing is known of it yet.
    Pending,
    /// It has a link, and can take the place of an attempt that failed.
    Asking,
    /// The final head of its response has come.
    Won,
    /// It failed just now.
    Lost,
}

impl<'a> Hedge<'a> {
    /// A hedge whose time has not come.
    pub(super) fn new(
        worker: &'a Rc<Worker>,
        declined: Option<&'a StatusSet>,
        to_head: bool,
        limits: ResponseLimits,
    ) -> Self {
        Self {
            worker,
            state: State::Idle,
            declined,
            to_head,
            limits,
            is_made: false,
        }
    }

    /// Begins with a copy of the message that `upload` holds, at an endpoint that is not `tried`.
    pub(super) fn begin(
        &mut self,
        upload: &Relay,
        borrowed_host: Option<Range<usize>>,
        service: &Rc<LocalService>,
        connect: ConnectOptions,
        mut tried: Tried,
    ) {
        let (bytes, trailers) = upload.message();
        let message = Message {
            bytes: bytes.to_vec(),
            trailers: trailers.to_vec(),
            borrowed_host,
        };
        let (worker, service) = (Rc::clone(self.worker), Rc::clone(service));
        let connecting = async move {
            lease::acquire(worker.upstreams(), &service, &connect, None, None, &mut tried).await
        };
        self.is_made = true;
        self.state = State::Connecting(Box::pin(connecting), message);
    }

    /// Returns true if it is under way.
    pub(super) fn is_under_way(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    /// Moves what can be moved. `fits` returns true if the message is in a form that the link takes.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, fits: impl Fn(&Link) -> bool) -> Hedging {
        if let State::Connecting(connecting, _) = &mut self.state {
            let Poll::Ready(lease) = connecting.as_mut().poll(cx) else {
                return Hedging::Pending;
            };
            let State::Connecting(_, message) = std::mem::replace(&mut self.state, State::Idle) else {
                return Hedging::Pending;
            };
            let Some(lease) = lease.ok().filter(|lease| fits(&lease.link)) else {
                return Hedging::Lost;
            };
            self.state = State::Asking(Box::new(HedgeAttempt::new(
                lease,
                message,
                self.worker.clock().now(),
            )));
        }
        let State::Asking(asked) = &mut self.state else {
            return Hedging::Pending;
        };
        match asked.poll(cx, self.worker, self.to_head, &self.limits, self.declined) {
            Poll::Pending => Hedging::Asking,
            Poll::Ready(Ok(())) => Hedging::Won,
            Poll::Ready(Err(outcome)) => {
                self.end(outcome);
                Hedging::Lost
            }
        }
    }

    /// Takes it, to go on in the place of the first attempt.
    pub(super) fn take(&mut self) -> Option<Box<HedgeAttempt>> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Asking(asked) => Some(asked),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Ends it: the other attempt won, or the request is over.
    pub(super) fn stop(&mut self) {
        self.end(Outcome::Abandoned);
        self.state = State::Idle;
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(mut asked) = self.take() {
            if let Some(response) = asked.response.take() {
                self.worker.upstreams().return_response(response);
            }
            asked.lease.link.abort();
            asked.lease.end(outcome);
        }
    }
}

impl HedgeAttempt {
    fn new(lease: Lease, mut message: Message, began: Instant) -> Self {
        if let Some(range) = &mut message.borrowed_host {
            let host = lease.authority().as_bytes();
            message.bytes.splice(range.clone(), host.iter().copied());
            range.end = range.start + host.len();
        }
        Self {
            lease,
            message,
            written: 0,
            is_sent: false,
            began,
            response: None,
            scan: HeadScan::default(),
            skipped: 0,
            interims: 0,
            has_head: false,
        }
    }

    /// Puts the message, as far as it is written, and what has come of the response, in the place of another attempt's.
    /// Returns the lease, and how far it got.
    pub(super) fn replace(
        self,
        upload: &mut Relay,
        borrowed_host: &mut Option<Range<usize>>,
        response: &mut Option<Box<ResponseBuffers>>,
    ) -> (Lease, Progress) {
        let progress = Progress {
            began: self.began,
            is_sent: self.is_sent,
            has_begun: self
                .response
                .as_ref()
                .is_some_and(|response| !response.from_service.is_empty()),
        };
        upload.replace_message(self.message.bytes, self.written);
        *borrowed_host = self.message.borrowed_host;
        *response = self.response;
        (self.lease, progress)
    }

    /// Sends the request, and waits for the final head of the response. Resolves to the outcome if there is none, or one
    /// with a declined status.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        to_head: bool,
        limits: &ResponseLimits,
        declined: Option<&StatusSet>,
    ) -> Poll<Result<(), Outcome>> {
        if self.has_head {
            return Poll::Ready(Ok(()));
        }
        if !self.is_sent
            && let Poll::Ready(sent) = self.poll_send(cx)
        {
            if sent.is_err() {
                return Poll::Ready(Err(Outcome::Reset));
            }
            self.is_sent = true;
        }
        loop {
            if let Some(status) = self.look(to_head, limits)? {
                if declined.is_some_and(|declined| declined.contains(status)) {
                    return Poll::Ready(Err(Outcome::Response(status)));
                }
                self.has_head = true;
                return Poll::Ready(Ok(()));
            }
            let link = &mut self.lease.link;
            let response = match &mut self.response {
                Some(response) => response,
                None if link.poll_maybe_readable(cx).is_pending() => return Poll::Pending,
                none => none.insert(worker.upstreams().borrow_response()),
            };
            match ready!(link.poll_fill(cx, &mut response.from_service)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Outcome::Reset)),
                Ok(_) => {}
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        let Message { bytes, trailers, .. } = &self.message;
        let link = &mut self.lease.link;
        while self.written < bytes.len() {
            let rest = &bytes[self.written..];
            match ready!(link.poll_write(cx, rest, trailers.is_empty())) {
                Ok(0) | Err(_) => return Poll::Ready(Err(())),
                Ok(count) => self.written += count,
            }
        }
        let flushed = ready!(link.poll_flush(cx));
        Poll::Ready(flushed.and_then(|()| link.finish(trailers)).map_err(|_| ()))
    }

    /// The status of the final head, if it has come.
    fn look(&mut self, to_head: bool, limits: &ResponseLimits) -> Result<Option<u16>, Outcome> {
        let Some(buffers) = &mut self.response else {
            return Ok(None);
        };
        loop {
            let bytes = &buffers.from_service.filled()[self.skipped..];
            let Some(end) = self.scan.advance(bytes).map_err(|_| Outcome::Reset)? else {
                return match bytes.len() > limits.bytes || !response::may_begin(bytes) {
                    true => Err(Outcome::Reset),
                    false => Ok(None),
                };
            };
            let parsed = buffers.response.parse(bytes, end, to_head, limits);
            // It asked for no other protocol.
            if parsed.is_err() || buffers.response.status() == 101 {
                return Err(Outcome::Reset);
            }
            if !buffers.response.is_interim() {
                return Ok(Some(buffers.response.status()));
            }
            self.interims += 1;
            if self.interims > INTERIM_MAX {
                return Err(Outcome::Reset);
            }
            self.skipped += end.end;
            self.scan = HeadScan::default();
        }
    }
}
