//! One exchange with a service: both directions at once, driven by the client connection's own task.

mod deadline;
mod head;
mod state;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use waypost_plan::failures::StatusSet;
use waypost_plan::service::Timeouts;
use waypost_policy::error_page::PageScope;
use waypost_policy::failure::{Cause, Failure};
use waypost_policy::grpc::web::WebForm;
use waypost_policy::head::edits::ResponseEdits;
use waypost_policy::status::RequestStatus;
use waypost_transport::buffer::Buffer;
use waypost_transport::link::{Link, Sign};
use waypost_transport::relay::call_status::CallStatus;
use waypost_transport::relay::tap::Tap;
use waypost_transport::relay::{BlockedOn, Relay, RelayError};
use waypost_transport::timer::Timer;
use waypost_upstream::lease::Taken;
use waypost_upstream::response_buffers::ResponseBuffers;
use waypost_wire::response::ResponseLimits;
use waypost_wire::response::fault::{ResponseFault, ResponseRule};
use waypost_wire::tls_alert::TlsAlert;
use waypost_wire::version::Version;

use crate::exchange::head::HeadFound;
use crate::exchange::state::{RequestPhase, ResponsePhase, State};
use crate::generation::ListenerId;
use crate::local::Worker;
use crate::local::expendable::{Claim, Expendable};
use crate::local::meter::Meter;

/// Timeout of writes: how long a peer may accept no bytes.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time spent waiting for a request body after which its connection may have to go, where connections run short.
pub(crate) const SLOW_AFTER: Duration = Duration::from_secs(1);
/// Time spent waiting for a request body after which the listener's `body_rate` applies.
pub(crate) const BODY_RATE_GRACE: Duration = Duration::from_secs(10);

/// Options of an exchange, from the request and its client.
#[derive(Clone, Copy)]
pub(crate) struct ExchangeOptions<'a> {
    /// The client's version of HTTP.
    pub(crate) version: Version,
    /// True for HEAD, whose response has no body.
    pub(crate) to_head: bool,
    /// True if the client's connection may stay open after the response.
    pub(crate) keep_alive: bool,
    pub(crate) listener: ListenerId,
    /// Edits of the response, but for its date and keep-alive.
    pub(crate) edits: ResponseEdits<'a>,
    /// True if the client waits for `100 Continue` before it sends its body.
    pub(crate) expects_continue: bool,
    /// The listener's `body_idle_timeout`.
    pub(crate) body_idle: Duration,
    /// The listener's `body_rate`.
    pub(crate) body_rate: Option<u64>,
    /// True if a client that ends its sending side before the response has left. Otherwise it may wait for it.
    pub(crate) ends_with_client: bool,
    /// The requested protocol of an upgrade.
    pub(crate) upgrade: Option<&'a [u8]>,
    /// True if the request is meaningless without the upgrade (extended CONNECT).
    pub(crate) demands_upgrade: bool,
    /// True for a gRPC call, which may pause for long in either direction.
    pub(crate) is_grpc: bool,
    /// The form of gRPC-Web that the client speaks.
    pub(crate) web: Option<WebForm>,
    /// The service's limits on the head of a response.
    pub(crate) response_limits: ResponseLimits,
    /// Statuses of responses that are held back at their head, so that another attempt can take their place.
    pub(crate) declined: Option<&'a StatusSet>,
    /// Error pages in place of the service's responses; none for calls.
    pub(crate) pages: Option<PageScope<'a>>,
}

/// The deadlines of an exchange.
#[derive(Clone, Copy)]
pub(crate) struct Deadlines {
    /// The service's timeouts.
    pub(crate) service: Timeouts,
    /// The deadline of the route's timeout.
    pub(crate) route: Option<Instant>,
    /// The end of the attempt, unless the final head has come. Time spent waiting for the client is added.
    pub(crate) attempt: Option<Instant>,
    /// The time at which another attempt is to begin beside this one, unless the final head has come or the request is not
    /// held as a whole. Time spent waiting for the client is added.
    pub(crate) hedge: Option<Instant>,
    /// The time at which the request counts as failed if no response has begun; it goes on all the same. Time spent waiting for
    /// the client is added.
    pub(crate) late: Option<Instant>,
}

/// An exchange in progress.
pub(crate) struct Exchange<'a> {
    pub(crate) worker: &'a Worker,
    /// The measurement of the request; taken when it is counted.
    pub(crate) meter: &'a mut Option<Meter>,
    /// True while the end of the client's connection would end the response, so that a cut must not look like it.
    pub(crate) open_ended: &'a mut bool,
    pub(crate) claim: &'a Rc<Claim>,
    pub(crate) options: ExchangeOptions<'a>,
    pub(crate) deadlines: Deadlines,
    pub(crate) client: &'a mut Link,
    pub(crate) from_client: &'a mut Buffer,
    pub(crate) service: &'a mut Link,
    /// The permits that the exchange takes of the service's limits.
    pub(crate) taken: &'a mut Taken,
    pub(crate) upload: &'a mut Relay,
    /// Borrowed when the service sends something.
    pub(crate) response: &'a mut Option<Box<ResponseBuffers>>,
    state: State,
    /// The place among the connections that go first, while the client keeps the upload waiting.
    place: Option<Expendable>,
    /// True if the time of the hedge has come.
    is_hedge_due: bool,
}

/// The progress of an attempt that was made beside another one, and goes on in an exchange of its own.
pub(crate) struct Progress {
    /// Its start.
    pub(crate) began: Instant,
    /// True if the request was sent completely.
    pub(crate) is_sent: bool,
    /// True if bytes of a response have come.
    pub(crate) has_begun: bool,
}

/// The parts of an exchange that outlive it.
pub(crate) struct ExchangeParts<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) meter: &'a mut Option<Meter>,
    pub(crate) open_ended: &'a mut bool,
    pub(crate) claim: &'a Rc<Claim>,
    pub(crate) client: &'a mut Link,
    pub(crate) from_client: &'a mut Buffer,
    pub(crate) service: &'a mut Link,
    pub(crate) taken: &'a mut Taken,
    pub(crate) upload: &'a mut Relay,
    pub(crate) response: &'a mut Option<Box<ResponseBuffers>>,
}

/// The end of an exchange.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client has the whole response.
    Complete {
        /// True if the response finished exactly, so that the service's connection can be reused behind the request.
        reusable: bool,
        /// True if the client's connection stays open.
        keep_alive: bool,
        /// True if there is a rest of the request that the service may still read.
        has_rest: bool,
    },
    /// The service switches protocols; the `101` is about to be written.
    Upgraded,
    /// It failed before the client got a byte of the final response.
    Failed {
        failure: Failure,
        /// True if the service sent nothing at all: a reused connection may have been dead.
        is_silent: bool,
    },
    /// The response has a declined status. Nothing of it has left; [`Exchange::accept`] permits to go on.
    Declined {
        /// True if the connection can be reused once the response is dropped, as all of it has come.
        is_whole: bool,
    },
    /// An error page takes the place of the response. Nothing of it has left, and its head is still in the buffer.
    Replaced {
        /// True if the connection can be reused once the response is dropped, as all of it has come.
        is_whole: bool,
    },
    /// It failed within the response, which must be cut.
    Cut(Cause),
}

/// A failure before the response is complete; [`Exchange::fail`] turns it into an [`End`], once the buffers are back.
struct Broken(Failure);

impl<'a> Exchange<'a> {
    /// An exchange that begins now. `interims` is how many interim responses the client got of earlier attempts.
    pub(crate) fn new(
        parts: ExchangeParts<'a>,
        options: ExchangeOptions<'a>,
        deadlines: Deadlines,
        interims: u32,
    ) -> Self {
        let ExchangeParts {
            worker,
            meter,
            open_ended,
            claim,
            client,
            from_client,
            service,
            taken,
            upload,
            response,
        } = parts;
        Self {
            state: State::new(worker.clock().now(), interims),
            place: None,
            is_hedge_due: false,
            worker,
            meter,
            open_ended,
            claim,
            options,
            deadlines,
            client,
            from_client,
            service,
            taken,
            upload,
            response,
        }
    }

    /// Goes on where another attempt got to.
    pub(crate) fn resume(&mut self, progress: &Progress) {
        self.state.began = progress.began;
        if progress.is_sent {
            self.state.request = RequestPhase::Sent;
        }
        if progress.has_begun {
            self.state.response = ResponsePhase::Begun;
        }
    }

    /// Returns true once, if it is time for another attempt beside this one.
    pub(crate) fn take_hedge(&mut self) -> bool {
        std::mem::take(&mut self.is_hedge_due)
    }

    /// Returns true if no interim response is half written, so that another attempt can take the place of this one.
    pub(crate) fn is_flushed(&self) -> bool {
        let response = self.response.as_ref();
        response.is_none_or(|response| response.download.is_flushed())
    }

    /// Passes a declined response on after all.
    pub(crate) fn accept(&mut self) {
        self.options.declined = None;
    }

    /// Interim responses that the client got so far.
    pub(crate) fn interims(&self) -> u32 {
        self.state.interims
    }

    /// Returns true if bytes of a final response may have reached the client.
    pub(crate) fn is_responding(&self) -> bool {
        self.state.is_responding()
    }

    /// The status of the response as far as it has come; that of a request without one before a final head.
    pub(crate) fn status(&self) -> RequestStatus {
        match self.response.as_ref().filter(|_| self.is_responding()) {
            Some(buffers) => status_of(
                buffers.response.status(),
                self.options.is_grpc,
                buffers.download.tap(),
            ),
            None => RequestStatus::default(),
        }
    }

    /// The copy of the request's body, once all of it has come or it is too long.
    pub(crate) fn take_tap(&mut self) -> Option<Tap> {
        self.upload.take_tap()
    }

    /// Moves what can be moved, in both directions.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Timer) -> Poll<End> {
        let upload_waited_for = self.upload.blocked_on;
        if self.state.request == RequestPhase::Sending
            && let Poll::Ready(end) = self.poll_upload(cx)
        {
            return Poll::Ready(end);
        }
        if let Poll::Ready(end) = self.poll_response(cx) {
            return Poll::Ready(end);
        }
        if let Some(cause) = self.client_left(cx) {
            return Poll::Ready(End::Cut(cause));
        }
        self.note_progress(upload_waited_for);
        self.note_pace();
        if self.place.as_ref().is_some_and(Expendable::is_displaced) {
            return Poll::Ready(self.fail(Failure::BodyDisplaced));
        }
        loop {
            let deadline = self.deadline();
            let slow = self.slow_at().filter(|slow| *slow < deadline);
            let next = slow.unwrap_or(deadline);
            let late = self.late_at().filter(|late| *late < next);
            let next = late.unwrap_or(next);
            let hedge = self.hedge_at().filter(|hedge| *hedge < next);
            timer.set(hedge.unwrap_or(next));
            if timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
            if hedge.is_some() {
                self.deadlines.hedge = None;
                self.is_hedge_due = true;
                continue;
            }
            if late.is_some() {
                self.deadlines.late = None;
                if let Some(meter) = self.meter {
                    meter.count_late(self.worker);
                }
                continue;
            }
            if slow.is_none() {
                return Poll::Ready(self.overdue());
            }
            self.place = Some(self.claim.add(cx.waker(), false));
            self.note_pace();
        }
    }

    /// Notes the pace of an upload that the client keeps waiting; one that is no longer waited for gives its place up.
    fn note_pace(&mut self) {
        match &self.place {
            Some(place) if self.awaits_body() => {
                place.note(
                    self.upload.body_bytes(),
                    self.state.client_waited,
                    self.state.upload_since,
                );
            }
            Some(_) => self.place = None,
            None => {}
        }
    }

    /// Resolves when the upload ends the exchange.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let moved = self.upload.poll(
            cx,
            self.client,
            self.from_client,
            self.service,
            Some(self.worker.upstreams().pipes()),
            |_| {},
        );
        let failure = match moved {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {
                self.end_request(RequestPhase::Sent);
                return Poll::Pending;
            }
            Poll::Ready(Err(RelayError::Sink)) => {
                self.end_request(RequestPhase::Broken);
                return Poll::Pending;
            }
            Poll::Ready(Err(RelayError::Source)) => return Poll::Ready(End::Cut(Cause::ClientReset)),
            Poll::Ready(Err(RelayError::Ended)) => Failure::BodyIncomplete,
            Poll::Ready(Err(RelayError::Coding(_))) => Failure::BodyMalformed,
            Poll::Ready(Err(RelayError::TooLarge)) => Failure::BodyTooLarge,
        };
        Poll::Ready(self.fail(failure))
    }

    fn end_request(&mut self, phase: RequestPhase) {
        self.state.request = phase;
        self.state.download_since = self.worker.clock().coarse_now();
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mut buffers = match self.response.take() {
            Some(buffers) => buffers,
            // Until the service responds, only the request buffers are held. Reading detects failures.
            None if self.service.poll_maybe_readable(cx).is_pending() => return Poll::Pending,
            None => self.worker.upstreams().borrow_response(),
        };
        let polled = self.poll_with(cx, &mut buffers);
        *self.response = Some(buffers);
        polled.map(|end| end.unwrap_or_else(|Broken(failure)| self.fail(failure)))
    }

    fn poll_with(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut ResponseBuffers,
    ) -> Poll<Result<End, Broken>> {
        while !self.state.is_responding() {
            // An interim response leaves before anything else is read.
            match buffers.download.poll_flush(cx, self.client) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(End::Cut(Cause::ClientReset))),
                Poll::Pending => return Poll::Pending,
            }
            match self.take_head(buffers) {
                Err(failure) => return Poll::Ready(Err(Broken(failure))),
                Ok(HeadFound::Head) => continue,
                Ok(HeadFound::Declined { is_whole }) => return Poll::Ready(Ok(End::Declined { is_whole })),
                Ok(HeadFound::Replaced { is_whole }) => return Poll::Ready(Ok(End::Replaced { is_whole })),
                Ok(HeadFound::Nothing) => {}
            }
            match self.service.poll_fill(cx, &mut buffers.from_service) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Broken(self.terminated(None)))),
                Poll::Ready(Err(error)) => {
                    let alert = self.service.alert(&error);
                    return Poll::Ready(Err(Broken(self.terminated(alert))));
                }
                Poll::Ready(Ok(_)) => self.state.response = ResponsePhase::Begun,
            }
        }
        let ResponsePhase::Relaying { keep_alive } = self.state.response else {
            return Poll::Ready(Ok(End::Upgraded));
        };
        let (meter, worker, began) = (&mut *self.meter, self.worker, self.state.began);
        let (status, is_grpc) = (buffers.response.status(), self.options.is_grpc);
        let (taken, is_sent) = (&mut *self.taken, self.state.request == RequestPhase::Sent);
        let count = |tap: &Tap| {
            if is_sent {
                taken.ends_soon();
            }
            if let Some(meter) = meter.take() {
                meter.count(worker, status_of(status, is_grpc, tap), Some(began));
            }
        };
        let moved = buffers.download.poll(
            cx,
            self.service,
            &mut buffers.from_service,
            self.client,
            Some(self.worker.upstreams().pipes()),
            count,
        );
        let cause = match moved {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {
                *self.open_ended = false;
                let is_sent = self.state.request == RequestPhase::Sent;
                return Poll::Ready(Ok(End::Complete {
                    reusable: self.state.request != RequestPhase::Broken
                        && buffers.response.keeps_alive()
                        && buffers.from_service.is_empty()
                        && !self.service.may_have_buffered(),
                    keep_alive: keep_alive && is_sent,
                    has_rest: self.state.request == RequestPhase::Sending && !self.awaits_continue(),
                }));
            }
            Poll::Ready(Err(RelayError::Sink)) => Cause::ClientReset,
            Poll::Ready(Err(RelayError::Ended | RelayError::Source)) if self.service.breaks_length() => {
                Cause::ResponseMalformed(ResponseFault::of(ResponseRule::BodyLength))
            }
            Poll::Ready(Err(RelayError::Ended | RelayError::Source)) => Cause::ResponseIncomplete,
            Poll::Ready(Err(error @ (RelayError::Coding(_) | RelayError::TooLarge))) => {
                Cause::ResponseMalformed(head::body_fault(&error, buffers.download.body_bytes()))
            }
        };
        Poll::Ready(Ok(End::Cut(cause)))
    }

    /// The failure of a service whose connection or stream ended before its response; `alert` is its TLS alert, if any.
    fn terminated(&self, alert: Option<TlsAlert>) -> Failure {
        match alert {
            // A connection that closed while idle has no fatal alert, so this is an answer to the request.
            Some(alert) => Failure::TlsAlert(alert),
            None if self.service.breaks_length() => {
                Failure::InvalidResponse(ResponseFault::of(ResponseRule::BodyLength))
            }
            None if self.service.is_malformed() => {
                Failure::InvalidResponse(ResponseFault::of(ResponseRule::Http2))
            }
            None => Failure::ConnectionTerminated,
        }
    }

    /// The end that a failure makes: a response of the gateway's own if none was begun, else a cut.
    fn fail(&self, failure: Failure) -> End {
        // An interim response that is half written leaves no room for another response either.
        if self.state.is_responding() || !self.is_flushed() {
            return End::Cut(Cause::Failed(failure));
        }
        let is_silent = self.state.response == ResponsePhase::Silent
            && matches!(
                failure,
                Failure::ConnectionTerminated | Failure::InvalidResponse(_)
            );
        End::Failed { failure, is_silent }
    }

    /// The cause of the end, if the client left while the service is waited for.
    fn client_left(&mut self, cx: &mut Context<'_>) -> Option<Cause> {
        if !self.state.watches_client || self.state.request == RequestPhase::Sending {
            return None;
        }
        // Behind the final head, the request is not sent again: what the service does not read is discarded, so that a
        // client that sends all before it reads gets to the response.
        while self.state.request == RequestPhase::Broken && self.state.is_responding() {
            self.from_client.clear();
            match self.client.poll_fill(cx, self.from_client) {
                Poll::Pending => return None,
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(Ok(_)) => {
                    self.state.watches_client = false;
                    return None;
                }
                Poll::Ready(Err(_)) => return Some(Cause::ClientReset),
            }
        }
        let Poll::Ready(sign) = self.client.poll_sign(cx, self.from_client) else {
            return None;
        };
        self.state.watches_client = false;
        match sign {
            Sign::Reset => Some(Cause::ClientReset),
            // Behind further requests, it is the last of them that it leaves. Within the response, it may be a client
            // that has nothing more to say, and writing finds out.
            Sign::End
                if self.options.ends_with_client
                    && !self.state.is_responding()
                    && self.from_client.is_empty() =>
            {
                Some(Cause::ClientClosed)
            }
            Sign::End | Sign::Input => None,
        }
    }

    /// Restarts the clocks of what moved. Time in which the upload waited for its source is the client's.
    fn note_progress(&mut self, upload_waited_for: BlockedOn) {
        let up = self.upload.take_progress();
        let response = self.response.as_mut();
        let down = response.is_some_and(|response| response.download.take_progress());
        if !up && !down {
            return;
        }
        let now = self.worker.clock().coarse_now();
        self.state.moved = now;
        if up {
            if upload_waited_for == BlockedOn::Source {
                self.state.client_waited += now - self.state.upload_since;
            }
            self.state.upload_since = now;
        }
        if down && self.state.is_responding() {
            self.state.download_since = now;
        }
    }
}

/// The status of a response, whose body `tap` observes.
#[inline]
fn status_of(http: u16, is_grpc: bool, tap: &Tap) -> RequestStatus {
    // An upgrade is no call.
    if !is_grpc || http == 101 {
        return RequestStatus::http(http);
    }
    RequestStatus::call(http, tap.call_status().and_then(CallStatus::code))
}
