//! One attempt: an exchange with one endpoint, and the report of its outcome.

use std::future::poll_fn;
use std::task::Poll;

use tokio::time::Instant;
use waypost_plan::listener::HalfClose;
use waypost_policy::failure::{Blame, Cause, Failure};
use waypost_policy::status::RequestStatus;
use waypost_transport::link::Link;
use waypost_upstream::address::Address;
use waypost_upstream::connect::ConnectOptions;
use waypost_upstream::health::Outcome;
use waypost_upstream::lease::Lease;
use waypost_upstream::local::LocalService;
use waypost_upstream::pool::idle::ReuseTrust;
use waypost_wire::framing::Framing;
use waypost_wire::response::ResponseHead;
use waypost_wire::response::fault::ResponseFault;
use waypost_wire::version::Version;

use crate::exchange::{Deadlines, End, Exchange, ExchangeOptions, ExchangeParts, Progress};
use crate::observe::access_log::Ending;
use crate::observe::log;
use crate::request::forward::hedge::{Hedge, HedgeAttempt, Hedging};
use crate::request::forward::retry::{Question, Reason, Unfinished, is_held};
use crate::request::forward::{Upstream, page};
use crate::request::rest::Rest;
use crate::request::sample::FailedAt;
use crate::request::{ActiveRequest, Next, Tunnel};

/// The end of an attempt.
enum AttemptEnd {
    /// The end of its exchange.
    Exchange(End),
    /// The hedge takes its place, as its head came first, or as the attempt had failed.
    Overtaken {
        by: Box<HedgeAttempt>,
        failed: Option<End>,
    },
}

/// The attempt that goes on, of two side by side.
enum Raced {
    /// The first one has ended.
    First(End),
    /// The hedge.
    Hedge,
}

/// The result of one attempt.
pub(super) struct Attempt {
    end: AttemptEnd,
    /// The status of the response, if it was begun to be passed on.
    status: RequestStatus,
    /// The time of the next attempt, if the response was dropped for one.
    again: Option<Instant>,
}

impl ActiveRequest<'_> {
    /// Makes one exchange, or two side by side of which one is left. With `progress`, it goes on where a hedge got to.
    pub(super) async fn attempt(
        &mut self,
        upstream: &mut Upstream<'_>,
        lease: &mut Lease,
        progress: Option<Progress>,
    ) -> Attempt {
        if progress.is_none() {
            self.return_response();
        }
        let pages = self.pages(upstream.forwarding.policies);
        let client = &mut *self.client;
        let buffers = &mut *self.buffers;
        if let Some(record) = client.observation.record() {
            record.endpoint = Some(lease.address().clone());
            record.mark_sent();
        }
        let name = &upstream.forwarding.route.matching.name;
        upstream
            .forwarding
            .note_endpoint(lease.declared(), &mut buffers.decision);
        let options = ExchangeOptions {
            version: buffers.head.version(),
            to_head: buffers.is_head,
            keep_alive: buffers.head.keeps_alive(),
            listener: client.listener_id,
            edits: page::edits(
                &upstream.forwarding,
                &buffers.decision,
                buffers
                    .decision
                    .sent_id(self.listener, buffers.normalized.client()),
                self.snapshot.debug_headers(name),
            ),
            expects_continue: buffers.head.expects(),
            body_idle: self.listener.limits.body_idle_timeout,
            body_rate: self.listener.limits.body_rate,
            // A request that said so is the last, and its client has nothing more to send.
            ends_with_client: self.listener.half_close == HalfClose::End && buffers.head.keeps_alive(),
            upgrade: upstream.options.upgrade.as_deref(),
            demands_upgrade: buffers.demands_upgrade,
            is_grpc: upstream.options.is_grpc,
            web: upstream.options.web,
            response_limits: upstream.service.declared().limits,
            declined: upstream.retries.declined(),
            pages: (!upstream.options.is_grpc).then_some(pages),
        };
        // A hedge of an upgrade would be two tunnels for a moment.
        let hedges = upstream
            .retries
            .hedge()
            .filter(|_| upstream.options.upgrade.is_none());
        let mut hedge = hedges.map(|_| {
            let limits = upstream.service.declared().limits;
            Hedge::new(
                &client.worker,
                upstream.retries.declined(),
                buffers.is_head,
                limits,
            )
        });
        let deadlines = Deadlines {
            service: upstream.timeouts(),
            route: upstream.options.deadline,
            attempt: upstream.attempt_by,
            hedge: hedges.map(|after| client.worker.clock().now() + after),
            late: upstream.options.late,
        };
        // The lease is out of reach during the exchange.
        let asked = upstream.retries.declined().map(|_| lease.address().clone());
        let parts = ExchangeParts {
            worker: &client.worker,
            meter: client.observation.meter(),
            open_ended: &mut client.open_ended,
            claim: &client.claim,
            client: &mut client.link,
            from_client: &mut buffers.from_client,
            service: &mut lease.link,
            taken: &mut lease.taken,
            upload: &mut buffers.upload,
            response: &mut buffers.response,
        };
        let framing = buffers.head.framing();
        let mut exchange = Exchange::new(parts, options, deadlines, upstream.interims);
        if let Some(progress) = &progress {
            exchange.resume(progress);
        }
        let (timer, copy) = (&mut client.timer, &mut upstream.copy);
        let mut again = None;
        // The end of an attempt whose hedge is still to get a link.
        let mut failed = None;
        let end = loop {
            let end = poll_fn(|cx| {
                if failed.is_none() {
                    let polled = exchange.poll(cx, timer);
                    if copy.is_some()
                        && let Some(tap) = exchange.take_tap()
                        && let Some(copy) = copy.take()
                    {
                        copy.send_with(&client.worker, tap);
                    }
                    let Some(hedge) = &mut hedge else {
                        return polled.map(Raced::First);
                    };
                    match polled {
                        Poll::Ready(end) if hedge.is_under_way() && is_followed(&end) => failed = Some(end),
                        Poll::Ready(end) => return Poll::Ready(Raced::First(end)),
                        Poll::Pending if exchange.is_responding() => hedge.stop(),
                        Poll::Pending if exchange.take_hedge() => {
                            let now = client.worker.clock().now();
                            let tried = asked
                                .as_ref()
                                .and_then(|asked| upstream.retries.ask_hedge(asked, &upstream.service, now));
                            if let Some(tried) = tried {
                                if let Some(meter) = &*exchange.meter {
                                    meter.count_retries(&client.worker, 1);
                                }
                                let connect = ConnectOptions {
                                    may_wait: false,
                                    ..upstream.connect
                                };
                                let host = upstream.borrowed_host.clone();
                                hedge.begin(exchange.upload, host, &upstream.service, connect, tried);
                            }
                        }
                        Poll::Pending => {}
                    }
                }
                let Some(hedge) = &mut hedge else {
                    return Poll::Pending;
                };
                let fits = |link: &Link| {
                    framing == Framing::None || upstream.options.body_form(framing, link) == upstream.form
                };
                match hedge.poll(cx, fits) {
                    Hedging::Asking if failed.is_some() => Poll::Ready(Raced::Hedge),
                    Hedging::Won if exchange.is_flushed() => Poll::Ready(Raced::Hedge),
                    Hedging::Lost => failed
                        .take()
                        .map_or(Poll::Pending, |end| Poll::Ready(Raced::First(end))),
                    Hedging::Pending | Hedging::Asking | Hedging::Won => Poll::Pending,
                }
            })
            .await;
            let end = match end {
                Raced::First(end) => end,
                Raced::Hedge => break None,
            };
            if let End::Declined { .. } = end {
                let question = Question {
                    worker: &client.worker,
                    service: &upstream.service,
                    deadline: upstream.options.deadline,
                    asked: asked.as_ref(),
                    is_held: is_held(exchange.upload),
                };
                let reason = exchange
                    .response
                    .as_ref()
                    .map(|response| Reason::of_response(response));
                again = reason.and_then(|reason| upstream.retries.ask(reason, &question));
                if again.is_none() {
                    exchange.accept();
                    continue;
                }
            }
            break Some(end);
        };
        let by = hedge.as_mut().filter(|_| end.is_none()).and_then(Hedge::take);
        let end = match (end, by) {
            (None, Some(by)) => AttemptEnd::Overtaken { by, failed },
            (end, _) => AttemptEnd::Exchange(end.or(failed).unwrap_or(End::Failed {
                failure: Failure::ConnectionTerminated,
                is_silent: false,
            })),
        };
        let is_hedged = hedge.as_mut().is_some_and(|hedge| {
            hedge.stop();
            hedge.is_made
        });
        upstream.interims = exchange.interims();
        let responding = exchange.is_responding();
        let status = exchange.status();
        let response = buffers.response.as_ref().filter(|_| responding);
        if let Some(record) = client.observation.record() {
            record.mark_received();
            record.retries += u32::from(is_hedged);
            if let Some(response) = response {
                record.status = match end {
                    AttemptEnd::Exchange(End::Cut(cause)) => status.cut(cause),
                    _ => status,
                };
                record.bytes = response.download.body_bytes();
            }
        }
        Attempt { end, status, again }
    }

    /// Returns the buffers of an earlier response.
    pub(super) fn return_response(&mut self) {
        if let Some(response) = self.buffers.response.take() {
            self.client.worker.upstreams().return_response(response);
        }
    }

    /// Reports the outcome of an attempt. Returns the connection's next step, or what there is to do as long as the client
    /// has no response.
    pub(super) fn conclude(
        &mut self,
        upstream: &mut Upstream<'_>,
        mut lease: Lease,
        attempt: Attempt,
    ) -> Result<Next, Unfinished> {
        let Attempt { end, status, again } = attempt;
        self.sample_if_failed(upstream, &lease, status, &end);
        let client = &mut *self.client;
        let end = match end {
            AttemptEnd::Exchange(end) => end,
            AttemptEnd::Overtaken { by, failed } => {
                upstream.retries.note_overtaken(lease.address());
                self.end_overtaken(upstream, lease, failed.as_ref());
                return Err(Unfinished::Hedge(by));
            }
        };
        let fault = match &end {
            End::Cut(cause) => cause.response_fault(),
            End::Failed { failure, .. } => failure.response_fault(),
            End::Complete { .. } | End::Upgraded | End::Declined { .. } | End::Replaced { .. } => None,
        };
        if let Some(fault) = fault {
            report(&upstream.service, lease.address(), fault);
        }
        match end {
            End::Complete {
                reusable,
                keep_alive,
                has_rest,
            } => {
                client.observation.end(Ending::Complete(Blame::Service));
                let outcome = outcome_of_response(status);
                let response = self.buffers.response.as_ref().filter(|_| reusable);
                let trust = response
                    .map(|response| ReuseTrust::after(&response.response, Some(client.peer.address())));
                if has_rest {
                    return Ok(Next::Rest(Box::new(Rest {
                        lease,
                        outcome,
                        trust,
                        body_idle: self.listener.limits.body_idle_timeout,
                        deadline: upstream.options.deadline,
                        ends_by_close: self.buffers.head.version() == Version::Http10,
                    })));
                }
                match trust {
                    Some(trust) => lease.end_and_keep(outcome, trust, client.worker.upstreams()),
                    None => lease.end(outcome),
                }
                Ok(self.after_response(keep_alive))
            }
            End::Upgraded => {
                client.observation.count(&client.worker, status);
                Ok(Next::Tunnel(Box::new(Tunnel {
                    lease,
                    status: Some(status.http_status()),
                    idle: upstream.timeouts().tunnel,
                })))
            }
            End::Cut(cause) => {
                client.observation.end(Ending::Cut(cause));
                client.observation.count(&client.worker, status.cut(cause));
                client.link.abort();
                lease.end(outcome_of_cut(cause));
                Ok(Next::Close)
            }
            End::Declined { is_whole } => {
                upstream.held = lease.take_request();
                self.end_dropped(lease, is_whole);
                Err(again.map_or(
                    Unfinished::Failed(Failure::ConnectionTerminated),
                    Unfinished::Retry,
                ))
            }
            End::Replaced { is_whole } => {
                self.end_dropped(lease, is_whole);
                Err(Unfinished::Replaced)
            }
            End::Failed { failure, is_silent } => {
                client.observation.note_failed_at(lease.address());
                let unfinished = self.after_failure(upstream, &lease, failure, is_silent);
                upstream.held = lease.take_request();
                lease.end(match failure {
                    // A connection that closed while idle says nothing about the endpoint.
                    _ if matches!(unfinished, Unfinished::Resend) => Outcome::Abandoned,
                    // All of the request was sent, and the endpoint is waited for.
                    Failure::RouteTimeout
                        if upstream.options.is_routes_deadline && self.buffers.upload.is_finished() =>
                    {
                        Outcome::Timeout
                    }
                    failure => outcome_of(failure),
                });
                Err(unfinished)
            }
        }
    }

    /// Takes a sample of the request if its response has failed.
    fn sample_if_failed(
        &self,
        upstream: &Upstream<'_>,
        lease: &Lease,
        status: RequestStatus,
        end: &AttemptEnd,
    ) {
        let (status, ending) = match end {
            AttemptEnd::Exchange(End::Complete { .. }) => (status, Ending::Complete(Blame::Service)),
            AttemptEnd::Exchange(End::Replaced { .. }) => {
                let response = self.buffers.response.as_ref();
                let http = response.map_or(0, |response| response.response.status());
                (RequestStatus::http(http), Ending::Complete(Blame::Service))
            }
            AttemptEnd::Exchange(End::Cut(cause)) => (status.cut(*cause), Ending::Cut(*cause)),
            _ => return,
        };
        if status.has_failed() {
            let at = FailedAt {
                service: &upstream.service.declared().name,
                endpoint: lease.address(),
            };
            self.sample_response(&upstream.forwarding.route.matching.name, &at, status, ending);
        }
    }

    /// Ends an attempt whose response is dropped at its head. The connection is kept if all of it has come: the rest is not
    /// waited for.
    fn end_dropped(&self, lease: Lease, is_whole: bool) {
        let response = self.buffers.response.as_ref().map(|response| &response.response);
        let outcome = Outcome::Response(response.map_or(0, ResponseHead::status));
        match response.filter(|_| is_whole) {
            Some(response) => {
                let trust = ReuseTrust::after(response, Some(self.client.peer.address()));
                lease.end_and_keep(outcome, trust, self.client.worker.upstreams());
            }
            None => lease.end(outcome),
        }
    }

    /// Ends an attempt whose hedge takes its place; `failed` is its end, if it had one.
    fn end_overtaken(&self, upstream: &Upstream<'_>, mut lease: Lease, failed: Option<&End>) {
        let outcome = match failed {
            Some(End::Failed { failure, .. }) => {
                if let Some(fault) = failure.response_fault() {
                    report(&upstream.service, lease.address(), fault);
                }
                outcome_of(*failure)
            }
            Some(End::Declined { .. }) => {
                let response = self.buffers.response.as_ref();
                Outcome::Response(response.map_or(0, |response| response.response.status()))
            }
            _ => Outcome::Abandoned,
        };
        lease.link.abort();
        lease.end(outcome);
    }

    /// The next step of the connection after a complete response.
    fn after_response(&self, keep_alive: bool) -> Next {
        if keep_alive {
            return Next::Request;
        }
        // With unread bytes of the client's, closing would reset the connection under the response.
        let all_read = self.buffers.upload.is_finished() && self.buffers.from_client.is_empty();
        if all_read { Next::Close } else { Next::Linger }
    }
}

/// Returns true if an attempt that ended so leaves the client to its hedge.
fn is_followed(end: &End) -> bool {
    match end {
        End::Declined { .. } => true,
        End::Failed { failure, .. } => Reason::of_failure(*failure).is_some(),
        End::Complete { .. } | End::Upgraded | End::Replaced { .. } | End::Cut(_) => false,
    }
}

/// Counts an invalid response of an endpoint, and warns of it, once a minute for each service and rule.
fn report(service: &LocalService, endpoint: &Address, fault: ResponseFault) {
    if service.count_fault(fault.rule) {
        log::warn(&format!(
            "the service `{}` sent an invalid response from {endpoint}: {fault}; for the next minute, more of them are \
             only counted (waypost_invalid_responses_total, cause `{}`)",
            service.declared().name,
            fault.rule.name()
        ));
    }
}

/// The outcome that a complete response means for the endpoint.
fn outcome_of_response(status: RequestStatus) -> Outcome {
    let http = status.http_status();
    match status.grpc_code() {
        Some(code) => Outcome::Call { status: http, code },
        None => Outcome::Response(http),
    }
}

/// The outcome that a failure means for the endpoint.
fn outcome_of(failure: Failure) -> Outcome {
    match failure {
        Failure::ConnectionTerminated | Failure::InvalidResponse(_) | Failure::TlsAlert(_) => Outcome::Reset,
        Failure::ResponseTimeout | Failure::WriteTimeout => Outcome::Timeout,
        _ => Outcome::Abandoned,
    }
}

/// The outcome that a cut means for the endpoint.
pub(crate) fn outcome_of_cut(cause: Cause) -> Outcome {
    match cause {
        Cause::ResponseIncomplete | Cause::ResponseMalformed(_) | Cause::ServiceReset => Outcome::Reset,
        Cause::ResponseStalled => Outcome::Timeout,
        Cause::Failed(failure) => outcome_of(failure),
        Cause::ClientReset | Cause::ClientClosed | Cause::ClientStalled | Cause::TunnelIdle => {
            Outcome::Abandoned
        }
    }
}
