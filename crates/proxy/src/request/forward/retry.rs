//! The same request again, after an attempt that did not end it.
//!
//! A request that the service has not begun with is sent again in any case, at once. For all others, a route's [`Retry`]
//! says whether they are, and bounds it.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use waypost_plan::failures::StatusSet;
use waypost_plan::retry::{Retry, RetryReasons};
use waypost_policy::decision::Forwarding;
use waypost_policy::failure::{Cause, Failure};
use waypost_transport::relay::Relay;
use waypost_upstream::address::Address;
use waypost_upstream::connect::ConnectError;
use waypost_upstream::lease::{Lease, Picked};
use waypost_upstream::local::LocalService;
use waypost_upstream::response_buffers::ResponseBuffers;
use waypost_upstream::retry::backoff;
use waypost_upstream::retry::tried::Tried;
use waypost_wire::framing::Framing;

use crate::exchange::Progress;
use crate::local::Worker;
use crate::local::buffers::RequestBuffers;
use crate::request::ActiveRequest;
use crate::request::forward::hedge::HedgeAttempt;
use crate::request::forward::{NoLease, Unconnected, Upstream, failure_of};
use crate::request::watch::Watch;

/// Maximum times that a request is sent again because the service has not begun to process it.
const RESENDS_MAX: u32 = 2;
/// The longest `Retry-After` that is waited for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(1);

/// The retries of a request.
pub(super) struct Retries<'p> {
    /// The route's; `None` if it has none.
    policy: Option<&'p Retry>,
    /// True if its method permits to send the request twice.
    may_repeat: bool,
    /// Retries so far.
    made: u32,
    /// Times that it was sent again because the service had not begun with it.
    resends: u32,
    /// True once the time of its hedge came.
    is_hedged: bool,
    tried: Tried,
}

/// The reason of a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// No endpoint could be connected to.
    Connect,
    /// The endpoint refused the stream.
    Refused,
    /// The connection broke, or the response was malformed.
    Reset,
    /// The head of the response did not come in time.
    Timeout,
    /// The status of the response, and its `Retry-After`.
    Status(u16, Option<Duration>),
}

/// The circumstances of a retry that its permission depends on, besides its reason.
pub(super) struct Question<'a> {
    pub(super) worker: &'a Worker,
    pub(super) service: &'a LocalService,
    /// The deadline of the route's timeout.
    pub(super) deadline: Option<Instant>,
    /// The endpoint that was asked; `None` if there was none.
    pub(super) asked: Option<&'a Address>,
    /// True if all that has come of the request is held.
    pub(super) is_held: bool,
}

/// The step after an attempt that left the client without a response.
pub(super) enum Unfinished {
    /// It is sent again at once, on a fresh connection: the service has not begun with it.
    Resend,
    /// It is sent again at this time.
    Retry(Instant),
    /// The hedge takes the place of the attempt.
    Hedge(Box<HedgeAttempt>),
    /// The client gets an error.
    Failed(Failure),
    /// It gets an error page in place of the service's response.
    Replaced,
}

impl Retries<'_> {
    /// Timeout of each attempt.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.policy?.timeout
    }

    /// Bytes of a body up to which it is held.
    pub(super) fn held_bytes(&self) -> Option<usize> {
        self.policy.filter(|_| self.may_repeat).map(|policy| policy.body)
    }

    /// Asks for a retry. Returns its time; it is then counted, and taken out of the service's budget.
    pub(super) fn ask(&mut self, reason: Reason, question: &Question<'_>) -> Option<Instant> {
        let policy = self.policy?;
        let is_lawful = question.is_held && (self.may_repeat || reason.is_unprocessed());
        if !is_lawful || !reason.is_in(&policy.on) || self.made >= policy.attempts {
            return None;
        }
        let now = question.worker.clock().now();
        if let Some(asked) = question.asked {
            self.tried.note(asked);
        }
        let mut wait = backoff::wait(policy.backoff, self.made, question.worker.roll());
        if !question.service.has_other(self.tried.avoided(), now) {
            // One that cannot take requests either is no better than those that were asked.
            self.tried.relent();
            wait = wait.max(reason.retry_after().unwrap_or_default());
        }
        let at = now + wait;
        let is_in_time = question.deadline.is_none_or(|deadline| at < deadline);
        let is_permitted = is_in_time && question.service.take_retry(policy.budget);
        self.made += u32::from(is_permitted);
        is_permitted.then_some(at)
    }
}

impl<'p> Retries<'p> {
    /// The endpoints that were tried.
    pub(super) fn tried(&self) -> &Tried {
        &self.tried
    }

    /// The endpoints that were tried.
    pub(super) fn tried_mut(&mut self) -> &mut Tried {
        &mut self.tried
    }

    /// The time without a head after which another attempt begins beside the first; `None` if there is to be none.
    pub(super) fn hedge(&self) -> Option<Duration> {
        let policy = self.policy.filter(|_| self.may_repeat && !self.is_hedged)?;
        policy.hedge.filter(|_| self.made < policy.attempts)
    }

    /// Asks for a hedge of the attempt at the endpoint `asked`. Returns the endpoints at which it must not be; it is then
    /// counted, and taken out of the service's budget.
    pub(super) fn ask_hedge(
        &mut self,
        asked: &Address,
        service: &LocalService,
        now: Instant,
    ) -> Option<Tried> {
        let policy = self.policy?;
        self.is_hedged = true;
        let mut tried = Tried::default();
        for address in self.tried.avoided().iter().chain([asked]) {
            tried.exclude(address);
        }
        let is_permitted = service.has_other(tried.avoided(), now) && service.take_retry(policy.budget);
        self.made += u32::from(is_permitted);
        is_permitted.then_some(tried)
    }

    /// Notes an endpoint that did not get to respond.
    pub(super) fn note_overtaken(&mut self, address: &Address) {
        self.tried.note(address);
    }

    /// Statuses of responses that another attempt may replace.
    pub(super) fn declined(&self) -> Option<&'p StatusSet> {
        let policy = self.policy.filter(|_| self.may_repeat)?;
        (self.made < policy.attempts).then_some(&policy.on.statuses)
    }
}

impl Reason {
    /// The reason that a response is.
    pub(super) fn of_response(response: &ResponseBuffers) -> Self {
        let bytes = response.from_service.filled();
        let mut fields = response.response.fields().iter();
        let field = fields.find(|field| field.name.of(bytes).eq_ignore_ascii_case(b"retry-after"));
        let seconds = field.and_then(|field| str::from_utf8(field.value.of(bytes)).ok()?.parse().ok());
        let after = seconds.map(Duration::from_secs);
        Self::Status(
            response.response.status(),
            after.filter(|after| *after <= RETRY_AFTER_MAX),
        )
    }

    /// The reason that a failure is.
    pub(super) fn of_failure(failure: Failure) -> Option<Self> {
        match failure {
            Failure::ConnectionTerminated | Failure::InvalidResponse(_) | Failure::TlsAlert(_) => {
                Some(Self::Reset)
            }
            Failure::ResponseTimeout | Failure::WriteTimeout => Some(Self::Timeout),
            _ => None,
        }
    }

    /// Returns true if the service has not processed the request.
    fn is_unprocessed(self) -> bool {
        matches!(self, Self::Connect | Self::Refused)
    }

    fn is_in(self, reasons: &RetryReasons) -> bool {
        match self {
            Self::Connect => reasons.connect,
            Self::Refused => reasons.refused_stream,
            Self::Reset => reasons.reset,
            Self::Timeout => reasons.timeout,
            Self::Status(status, _) => reasons.statuses.contains(status),
        }
    }

    fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Status(503, after) => after,
            _ => None,
        }
    }
}

impl ActiveRequest<'_> {
    /// The retries of the request, none of which is made yet.
    pub(super) fn retries<'p>(&self, forwarding: &Forwarding<'p>, is_idempotent: bool) -> Retries<'p> {
        let policy = forwarding.policies.retry.as_ref();
        let method = self.buffers.head.method(self.buffers.from_client.filled());
        Retries {
            may_repeat: policy.is_some_and(|policy| policy.permits(method, is_idempotent)),
            policy,
            made: 0,
            resends: 0,
            is_hedged: false,
            tried: Tried::default(),
        }
    }

    /// The step after a failed attempt.
    pub(super) fn after_failure(
        &self,
        upstream: &mut Upstream<'_>,
        lease: &Lease,
        failure: Failure,
        is_silent: bool,
    ) -> Unfinished {
        let upload = &self.buffers.upload;
        let retries = &mut upstream.retries;
        let retries_refused = retries.policy.is_some_and(|policy| policy.on.refused_stream);
        let is_refused = lease.link.is_refused() && retries_refused;
        let reason = match is_refused {
            true => Some(Reason::Refused),
            false => Reason::of_failure(failure),
        };
        let is_unbegun = match lease.link.is_unprocessed() {
            true => upload.is_retained() && !is_refused,
            false => {
                let is_dead = lease.reused && is_silent;
                let is_repeatable = upstream.options.is_idempotent && upload.can_restart();
                is_dead && (upload.is_untouched() || is_repeatable)
            }
        };
        if is_unbegun && retries.resends < RESENDS_MAX {
            retries.resends += 1;
            return Unfinished::Resend;
        }
        let question = Question {
            worker: &self.client.worker,
            service: &upstream.service,
            deadline: upstream.options.deadline,
            asked: Some(lease.address()),
            is_held: is_held(upload),
        };
        let at = reason.and_then(|reason| retries.ask(reason, &question));
        at.map_or(Unfinished::Failed(failure), Unfinished::Retry)
    }

    /// Gets a link for the next attempt. If that is under way as a hedge, it has progress.
    pub(super) async fn connect_again(
        &mut self,
        upstream: &mut Upstream<'_>,
        unfinished: Unfinished,
    ) -> Result<(Lease, Option<Progress>), NoLease> {
        // The page is made of the head of the response.
        if !matches!(unfinished, Unfinished::Replaced) {
            self.return_response();
        }
        match unfinished {
            Unfinished::Hedge(asked) => {
                let RequestBuffers { upload, response, .. } = &mut *self.buffers;
                let (lease, progress) = asked.replace(upload, &mut upstream.borrowed_host, response);
                upstream.attempt_by = upstream.retries.timeout().map(|timeout| progress.began + timeout);
                return Ok((lease, Some(progress)));
            }
            Unfinished::Replaced => return Err(NoLease::Replaced),
            Unfinished::Failed(failure) => return Err(NoLease::Failed(failure)),
            Unfinished::Resend => upstream.connect.reuse = None,
            Unfinished::Retry(at) => {
                let paused = self.pause(at, upstream.options.late, 0).await;
                paused.map_err(NoLease::Left)?;
            }
        }
        // The head has left the buffer.
        let lease = self.connect(upstream, None, 1, 0).await?;
        let framing = self.buffers.head.framing();
        if framing != Framing::None && upstream.options.body_form(framing, &lease.link) != upstream.form {
            // What is held is written in a form that this connection does not take.
            return Err(NoLease::Failed(Failure::ConnectionTerminated));
        }
        self.buffers.upload.restart();
        if let Some(range) = &mut upstream.borrowed_host {
            // Endpoints' authorities may differ in length.
            let host = lease.authority().as_bytes();
            self.buffers.upload.replace_in_head(range.clone(), host);
            range.end = range.start + host.len();
        }
        Ok((lease, None))
    }

    /// Gets a link to the service, if the route's retries permit it in several rounds over its endpoints, the first of which
    /// begins with the one that is `picked`. `failed` is the number of attempts that just failed, `head_bytes` that of the
    /// head's bytes in the client's buffer.
    pub(super) async fn connect(
        &mut self,
        upstream: &mut Upstream<'_>,
        mut picked: Option<Picked>,
        mut failed: u32,
        head_bytes: usize,
    ) -> Result<Lease, NoLease> {
        let late = upstream.options.late;
        let connected = loop {
            let failed_before = upstream.retries.tried.failed;
            let watch = Watch::of(self.listener, &self.buffers.head, head_bytes);
            let acquired = self.acquire(upstream, picked.take(), watch).await;
            failed += upstream.retries.tried.failed - failed_before;
            let error = match acquired {
                Ok(lease) => break Ok(lease),
                Err(Unconnected::Error(error)) => error,
                Err(Unconnected::Left(cause)) => break Err(NoLease::Left(cause)),
            };
            let question = Question {
                worker: &self.client.worker,
                service: &upstream.service,
                deadline: upstream.options.deadline,
                asked: None,
                // As long as the head is in the buffer, none of the request has left.
                is_held: head_bytes > 0 || is_held(&self.buffers.upload),
            };
            let at = match error {
                ConnectError::Refused
                | ConnectError::TimedOut
                | ConnectError::Tls
                | ConnectError::TlsAlert(_) => upstream.retries.ask(Reason::Connect, &question),
                _ => None,
            };
            let Some(at) = at else {
                break Err(NoLease::Failed(failure_of(error)));
            };
            upstream.retries.tried.forget();
            if let Err(cause) = self.pause(at, late, head_bytes).await {
                break Err(NoLease::Left(cause));
            }
        };
        self.note_attempts(failed, connected.is_ok());
        self.begin_attempt(upstream);
        connected
    }

    /// Begins the time of an attempt.
    pub(super) fn begin_attempt(&self, upstream: &mut Upstream<'_>) {
        let timeout = upstream.retries.timeout();
        upstream.attempt_by = timeout.map(|timeout| self.client.worker.clock().now() + timeout);
    }

    /// Waits for the next attempt.
    ///
    /// # Errors
    /// When the client leaves.
    async fn pause(
        &mut self,
        until: Instant,
        mut late: Option<Instant>,
        head_bytes: usize,
    ) -> Result<(), Cause> {
        let client = &mut *self.client;
        let from_client = &mut self.buffers.from_client;
        let mut watch = Watch::of(self.listener, &self.buffers.head, head_bytes);
        poll_fn(|cx| {
            if let Poll::Ready(cause) = watch.poll_left(cx, &mut client.link, from_client) {
                return Poll::Ready(Err(cause));
            }
            if let Some(at) = late.filter(|at| *at < until) {
                client.timer.set(at);
                if client.timer.poll(cx).is_pending() {
                    return Poll::Pending;
                }
                client.observation.count_late(&client.worker);
                late = None;
            }
            client.timer.set(until);
            client.timer.poll(cx).map(Ok)
        })
        .await
    }
}

/// Returns true if all that has come of the request is held, or none of it has left.
pub(super) fn is_held(upload: &Relay) -> bool {
    upload.is_retained() || upload.is_untouched()
}
