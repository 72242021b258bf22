//! One attempt: an exchange with one endpoint, and the report of its outcome.

use std::future::poll_fn;

use tokio::time::Instant;
use waypost_plan::listener::HalfClose;
use waypost_policy::failure::{Blame, Cause, Failure};
use waypost_policy::head::edits::{KeepAlive, ResponseEdits};
use waypost_policy::status::RequestStatus;
use waypost_upstream::address::Address;
use waypost_upstream::health::Outcome;
use waypost_upstream::lease::Lease;
use waypost_upstream::local::LocalService;
use waypost_upstream::pool::idle::ReuseTrust;
use waypost_wire::response::ResponseHead;
use waypost_wire::response::fault::ResponseFault;
use waypost_wire::version::Version;

use crate::exchange::{Deadlines, End, Exchange, ExchangeOptions, ExchangeParts};
use crate::observe::access_log::Ending;
use crate::observe::log;
use crate::request::forward::Upstream;
use crate::request::forward::retry::{Question, Reason, Unfinished, is_held};
use crate::request::rest::Rest;
use crate::request::{ActiveRequest, Next, Tunnel};

/// The result of one attempt.
pub(super) struct Attempt {
    lease: Lease,
    end: End,
    /// The status of the response, if it was begun to be passed on.
    status: RequestStatus,
    /// The time of the next attempt, if the response was dropped for one.
    again: Option<Instant>,
}

impl ActiveRequest<'_> {
    /// Makes one exchange.
    pub(super) async fn attempt(&mut self, upstream: &mut Upstream<'_>, mut lease: Lease) -> Attempt {
        if let Some(record) = self.client.observation.record() {
            record.endpoint = Some(lease.address().clone());
            record.mark_sent();
        }
        let client = &mut *self.client;
        let buffers = &mut *self.buffers;
        if let Some(response) = buffers.response.take() {
            client.worker.upstreams().return_response(response);
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
            edits: ResponseEdits {
                configured: &upstream.forwarding.route.response_headers,
                way_back: upstream.forwarding.way_back(&buffers.decision),
                date: None,
                set_cookie: &buffers.decision.set_cookie,
                debug: self.snapshot.debug_headers(name),
                keep_alive: KeepAlive::Implied,
            },
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
        };
        let deadlines = Deadlines {
            service: upstream.service.declared().timeouts,
            route: upstream.options.deadline,
            attempt: upstream.attempt_by,
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
        let mut exchange = Exchange::new(parts, options, deadlines, upstream.interims);
        let (timer, copy) = (&mut client.timer, &mut upstream.copy);
        let mut again = None;
        let end = loop {
            let end = poll_fn(|cx| {
                let end = exchange.poll(cx, timer);
                if copy.is_some()
                    && let Some(tap) = exchange.take_tap()
                    && let Some(copy) = copy.take()
                {
                    copy.send_with(&client.worker, tap);
                }
                end
            })
            .await;
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
            break end;
        };
        upstream.interims = exchange.interims();
        let responding = exchange.is_responding();
        let status = exchange.status();
        let response = buffers.response.as_ref().filter(|_| responding);
        if let Some(record) = client.observation.record() {
            record.mark_received();
            if let Some(response) = response {
                record.status = match end {
                    End::Cut(cause) => status.cut(cause),
                    _ => status,
                };
                record.bytes = response.download.body_bytes();
            }
        }
        Attempt {
            lease,
            end,
            status,
            again,
        }
    }

    /// Reports the outcome of an attempt. Returns the connection's next step, or what there is to do as long as the client
    /// has no response.
    pub(super) fn conclude(
        &mut self,
        upstream: &mut Upstream<'_>,
        attempt: Attempt,
    ) -> Result<Next, Unfinished> {
        let Attempt {
            mut lease,
            end,
            status,
            again,
        } = attempt;
        let client = &mut *self.client;
        let fault = match &end {
            End::Cut(cause) => cause.response_fault(),
            End::Failed { failure, .. } => failure.response_fault(),
            End::Complete { .. } | End::Upgraded | End::Declined { .. } => None,
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
                Ok(Next::Tunnel(Tunnel {
                    lease,
                    status: Some(status.http_status()),
                    idle: upstream.service.declared().timeouts.tunnel,
                }))
            }
            End::Cut(cause) => {
                client.observation.end(Ending::Cut(cause));
                client.observation.count(&client.worker, status.cut(cause));
                client.link.abort();
                lease.end(outcome_of_cut(cause));
                Ok(Next::Close)
            }
            End::Declined { is_whole } => {
                let response = self.buffers.response.as_ref().map(|response| &response.response);
                let outcome = Outcome::Response(response.map_or(0, ResponseHead::status));
                upstream.held = lease.take_request();
                match response.filter(|_| is_whole) {
                    Some(response) => {
                        let trust = ReuseTrust::after(response, Some(client.peer.address()));
                        lease.end_and_keep(outcome, trust, client.worker.upstreams());
                    }
                    None => lease.end(outcome),
                }
                Err(again.map_or(
                    Unfinished::Failed(Failure::ConnectionTerminated),
                    Unfinished::Retry,
                ))
            }
            End::Failed { failure, is_silent } => {
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
