//! Forwarding a request to a service: prepare it, attempt the exchange, conclude; again on a fresh connection if the
//! service has not begun with it.

use std::future::poll_fn;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use waypost_plan::listener::HalfClose;
use waypost_policy::decision::Forwarding;
use waypost_policy::error_format::ErrorFormat;
use waypost_policy::failure::{Blame, Cause, Failure};
use waypost_policy::grpc;
use waypost_policy::grpc::web::WebForm;
use waypost_policy::head::edits::{KeepAlive, ResponseEdits};
use waypost_policy::head::upstream::UpstreamHead;
use waypost_policy::status::RequestStatus;
use waypost_transport::link::Link;
use waypost_transport::proxy_protocol::ProxiedAddresses;
use waypost_transport::relay::transform::Transform;
use waypost_transport::relay::{BodyForm, RelayError};
use waypost_upstream::address::Address;
use waypost_upstream::connect::{ConnectError, ConnectOptions};
use waypost_upstream::health::Outcome;
use waypost_upstream::lease::{self, Lease};
use waypost_upstream::local::LocalService;
use waypost_upstream::pool::idle::{Liveness, ReuseTrust};
use waypost_wire::framing::Framing;
use waypost_wire::response::fault::ResponseFault;
use waypost_wire::version::Version;

use crate::exchange::{Deadlines, End, Exchange, ExchangeOptions, ExchangeParts};
use crate::local::buffers::RequestBuffers;
use crate::observe::access_log::Ending;
use crate::observe::log;
use crate::observe::metrics::Side;
use crate::request::mirror::{self, Copied, MirrorCopy};
use crate::request::rest::Rest;
use crate::request::{ActiveRequest, Next, Tunnel, is_idempotent};

/// Maximum retries of a request that the service has not begun to process.
const RESENDS_MAX: u32 = 2;

/// Options of a request that is forwarded.
struct ForwardOptions {
    /// The deadline of the route's timeout, or of the call's own.
    deadline: Option<Instant>,
    /// The time at which the request counts as failed if no response has begun.
    late: Option<Instant>,
    is_idempotent: bool,
    /// The requested protocol of an upgrade; a copy, because it outlives the request's bytes.
    upgrade: Option<Vec<u8>>,
    /// True for a gRPC call.
    is_grpc: bool,
    /// The form of gRPC-Web that is translated.
    web: Option<WebForm>,
}

/// A request on its way to a service, across attempts.
struct Upstream<'p> {
    forwarding: Forwarding<'p>,
    service: Rc<LocalService>,
    options: ForwardOptions,
    connect: ConnectOptions,
    /// The form in which the body was begun to be written.
    form: BodyForm,
    /// The range of the endpoint's authority in the head, if the client named no host.
    borrowed_host: Option<Range<usize>>,
    /// The mirrored copy, until its body has come.
    copy: Option<MirrorCopy>,
    /// Interim responses that the client got.
    interims: u32,
    resends: u32,
}

/// The result of one attempt.
struct Attempt {
    lease: Lease,
    end: End,
    /// The status of the response, if it was begun to be passed on.
    status: RequestStatus,
}

impl ForwardOptions {
    /// The certainty that a reused connection is alive, for a request with a body of this framing.
    fn liveness(&self, framing: Framing) -> Liveness {
        Liveness::when(self.is_idempotent && self.upgrade.is_none() && framing == Framing::None)
    }

    /// The form in which a body of this framing leaves over `link`.
    fn body_form(&self, framing: Framing, link: &Link) -> BodyForm {
        match framing {
            _ if link.frames_bodies() => BodyForm::Frames,
            Framing::Chunked | Framing::UntilClose => BodyForm::Chunks,
            // Decoded base64 has another length.
            Framing::Length(_) if self.web == Some(WebForm::Text) => BodyForm::Chunks,
            Framing::None | Framing::Length(_) => BodyForm::Plain,
        }
    }
}

impl ActiveRequest<'_> {
    /// Forwards the request to the decision's service; `position` is the route's.
    pub(super) async fn forward(&mut self, forwarding: Forwarding<'_>, position: Option<usize>) -> Next {
        let name = &*forwarding.route.matching.name;
        // Over HTTP/1 there is nothing to wait for.
        if matches!(self.client.link, Link::ServerStream(_))
            && let Some(next) = self.refuse_unsound(name).await
        {
            return next;
        }
        let (mut upstream, mut lease) = match self.prepare(forwarding, position).await {
            Ok(prepared) => prepared,
            Err(failure) => return self.fail(failure, name).await,
        };
        if let Err(failure) = self.begin_request(&mut upstream, &lease) {
            return self.fail_within_body(failure, name).await;
        }
        loop {
            let attempt = self.attempt(&mut upstream, lease).await;
            let retry = match self.conclude(&mut upstream, attempt) {
                Ok(next) => return next,
                Err(retry) => retry,
            };
            lease = match self.connect_again(&mut upstream, retry).await {
                Ok(lease) => lease,
                Err(failure) => return self.fail_within_body(failure, name).await,
            };
        }
    }

    /// Prepares the request, and gets a link to the service.
    async fn prepare<'p>(
        &mut self,
        forwarding: Forwarding<'p>,
        position: Option<usize>,
    ) -> Result<(Upstream<'p>, Lease), Failure> {
        let service = self.client.worker.service(self.snapshot, forwarding.service);
        let framing = self.buffers.head.framing();
        let mut copy = position.and_then(|position| self.begin_copy(&forwarding, position));
        if framing == Framing::None
            && let Some(copy) = copy.take()
        {
            copy.send(&self.client.worker, None);
        }
        let options = self.options(&forwarding);
        let connect = ConnectOptions {
            reuse: Some(options.liveness(framing)),
            http1: options.upgrade.is_some(),
            raw: false,
            addresses: Some(self.addresses()),
            deadline: options.deadline,
        };
        let mut failed = 0;
        let lease = self.acquire(&service, connect, options.late, &mut failed).await;
        self.note_attempts(failed, lease.is_ok());
        let lease = lease.map_err(failure_of)?;
        let upstream = Upstream {
            forwarding,
            form: options.body_form(framing, &lease.link),
            service,
            options,
            connect,
            borrowed_host: None,
            copy,
            interims: 0,
            resends: 0,
        };
        Ok((upstream, lease))
    }

    /// Writes the head for the service, and begins with what is there of the body, so that both leave together.
    fn begin_request(&mut self, upstream: &mut Upstream<'_>, lease: &Lease) -> Result<(), Failure> {
        let mut upload = std::mem::take(&mut self.buffers.upload);
        let out = upload.begin(self.listener.limits.body_bytes);
        upstream.borrowed_host = self
            .upstream_head(&upstream.forwarding)
            .write(lease.authority().as_bytes(), out);
        self.buffers.upload = upload;
        let RequestBuffers {
            from_client,
            upload,
            head,
            ..
        } = &mut *self.buffers;
        from_client.consume(self.head_bytes);
        if upstream.copy.is_some() {
            upload.open_tap(mirror::BODY_BYTES_MAX);
        }
        if upstream.options.web == Some(WebForm::Text) {
            upload.set_transform(Transform::from_grpc_web_text());
        }
        if upstream.form == BodyForm::Frames {
            // An HTTP/2 service reports requests that it has not processed; those may be sent again whatever their
            // method.
            upload.retain_body();
        }
        let begun = upload.begin_body(head.framing(), upstream.form, from_client);
        begun.map_err(|error| match error {
            RelayError::TooLarge => Failure::BodyTooLarge,
            _ => Failure::BodyMalformed,
        })
    }

    /// Makes one exchange.
    async fn attempt(&mut self, upstream: &mut Upstream<'_>, mut lease: Lease) -> Attempt {
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
        };
        let deadlines = Deadlines {
            service: upstream.service.declared().timeouts,
            route: upstream.options.deadline,
            late: upstream.options.late,
        };
        let parts = ExchangeParts {
            worker: &client.worker,
            meter: client.observation.meter(),
            open_ended: &mut client.open_ended,
            claim: &client.claim,
            client: &mut client.link,
            from_client: &mut buffers.from_client,
            service: &mut lease.link,
            upload: &mut buffers.upload,
            response: &mut buffers.response,
        };
        let mut exchange = Exchange::new(parts, options, deadlines, upstream.interims);
        let (timer, copy) = (&mut client.timer, &mut upstream.copy);
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
        upstream.interims = exchange.interims();
        let responding = exchange.is_responding();
        let mut status = exchange.status();
        if let End::Cut(cause) = end {
            status = status.cut(cause);
        }
        let response = buffers.response.as_ref().filter(|_| responding);
        if let Some(record) = client.observation.record() {
            record.mark_received();
            if let Some(response) = response {
                record.status = status;
                record.bytes = response.download.body_bytes();
            }
        }
        Attempt { lease, end, status }
    }

    /// Reports the outcome of an attempt. Returns the connection's next step, or a failure, after which the request is
    /// retried or an error sent.
    fn conclude(&mut self, upstream: &mut Upstream<'_>, attempt: Attempt) -> Result<Next, Retry> {
        let Attempt { lease, end, status } = attempt;
        let client = &mut *self.client;
        let fault = match &end {
            End::Cut(cause) => cause.response_fault(),
            End::Failed { failure, .. } => failure.response_fault(),
            End::Complete { .. } | End::Upgraded => None,
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
                let outcome = Outcome::Response(status.http_status());
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
                client.observation.count(&client.worker, status);
                client.link.abort();
                lease.end(outcome_of_cut(cause));
                Ok(Next::Close)
            }
            End::Failed { failure, is_silent } => {
                upstream.resends += 1;
                let is_dead = lease.reused && is_silent;
                let may_resend = upstream.resends <= RESENDS_MAX
                    && may_resend(self.buffers, &upstream.options, &lease.link, is_dead);
                lease.end(outcome_of(failure));
                Err(Retry { failure, may_resend })
            }
        }
    }

    /// Gets a fresh link for the same request, after a connection that closed while idle, or that accepts no more
    /// requests.
    async fn connect_again(&mut self, upstream: &mut Upstream<'_>, retry: Retry) -> Result<Lease, Failure> {
        if !retry.may_resend {
            return Err(retry.failure);
        }
        upstream.connect.reuse = None;
        let mut failed = 1;
        let late = upstream.options.late;
        let lease = self
            .acquire(&upstream.service, upstream.connect, late, &mut failed)
            .await;
        self.note_attempts(failed, lease.is_ok());
        let lease = lease.map_err(failure_of)?;
        let framing = self.buffers.head.framing();
        if framing != Framing::None && upstream.options.body_form(framing, &lease.link) != upstream.form {
            // What is held is written in a form that this connection does not take.
            return Err(Failure::ConnectionTerminated);
        }
        self.buffers.upload.restart();
        if let Some(range) = &mut upstream.borrowed_host {
            // Endpoints' authorities may differ in length.
            let host = lease.authority().as_bytes();
            self.buffers.upload.replace_in_head(range.clone(), host);
            range.end = range.start + host.len();
        }
        Ok(lease)
    }

    /// Gets a link to a service; the request may become late meanwhile. `failed` counts failed attempts.
    async fn acquire(
        &mut self,
        service: &Rc<LocalService>,
        connect: ConnectOptions,
        mut late: Option<Instant>,
        failed: &mut u32,
    ) -> Result<Lease, ConnectError> {
        let client = &mut *self.client;
        let mut acquired = pin!(lease::acquire(
            client.worker.upstreams(),
            service,
            connect,
            failed
        ));
        poll_fn(|cx| {
            if let Some(at) = late {
                client.timer.set(at);
                if client.timer.poll(cx).is_ready() {
                    client.observation.count_late(&client.worker);
                    late = None;
                }
            }
            acquired.as_mut().poll(cx)
        })
        .await
    }

    /// The request's options.
    fn options(&self, forwarding: &Forwarding<'_>) -> ForwardOptions {
        let head = &self.buffers.head;
        let buffer = self.buffers.from_client.filled();
        let upstream = self.upstream_head(forwarding);
        let is_grpc = matches!(self.buffers.error_format, ErrorFormat::Grpc(_));
        let call = is_grpc.then(|| grpc::timeout(head, buffer)).flatten();
        let timeout = [forwarding.policies().timeout, call].into_iter().flatten().min();
        let worker = &self.client.worker;
        // Only arms that are compared can be late.
        let late = (forwarding.forward.arms.len() > 1)
            .then(|| self.client.observation.late_after(worker))
            .flatten();
        let after = |time: Option<Duration>| time.map(|time| worker.clock().coarse_now() + time);
        ForwardOptions {
            deadline: after(timeout),
            late: after(late),
            is_idempotent: is_idempotent(head.method(buffer)),
            upgrade: upstream.upgrade().map(<[u8]>::to_vec),
            is_grpc,
            web: upstream.web_form().map(|(form, _)| form),
        }
    }

    /// Begins a copy of the request for the route's mirror, if this request is selected.
    fn begin_copy(&self, forwarding: &Forwarding<'_>, position: usize) -> Option<MirrorCopy> {
        let mirror = forwarding.policies().mirror.as_ref()?;
        let buffer = self.buffers.from_client.filled();
        // A copy cannot speak another protocol.
        if self.buffers.head.upgrade(buffer).is_some() || !mirror.takes(self.client.worker.roll()) {
            return None;
        }
        let worker = &self.client.worker;
        let service = worker.service(self.snapshot, mirror.to);
        let counters = worker.counters(self.snapshot, position, Side::Mirror);
        let announced = match self.buffers.head.framing() {
            Framing::Length(length) => Some(length),
            _ => None,
        };
        let endpoints = &service.declared().endpoints;
        let authority: Vec<u8> = endpoints
            .first()
            .map_or_else(Vec::new, |endpoint| endpoint.authority.as_bytes().to_vec());
        MirrorCopy::begin(worker, service, counters, announced, || {
            let mut head = Vec::new();
            let name = &forwarding.route.matching.name;
            self.upstream_head(forwarding)
                .write_mirrored(&authority, name, &mut head);
            Copied {
                head,
                is_head: self.buffers.is_head,
                is_idempotent: is_idempotent(self.buffers.head.method(buffer)),
            }
        })
    }

    /// The parts of the head for the service.
    fn upstream_head<'a>(&'a self, forwarding: &Forwarding<'a>) -> UpstreamHead<'a> {
        UpstreamHead {
            request: self.incoming(),
            policies: forwarding.policies(),
            path: forwarding.path(self.buffers.normalized.path(), &self.buffers.decision),
            prefix: forwarding.replaced_prefix(&self.buffers.decision),
        }
    }

    fn addresses(&self) -> ProxiedAddresses {
        let peer = &self.client.peer;
        ProxiedAddresses {
            client: peer.address(),
            local: peer.local,
        }
    }

    fn note_attempts(&mut self, failed: u32, succeeded: bool) {
        let client = &mut *self.client;
        client
            .observation
            .note_attempts(&client.worker, failed, succeeded);
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

/// A failed attempt.
struct Retry {
    failure: Failure,
    /// True if the request may be sent again.
    may_resend: bool,
}

/// Returns true if a request may be sent again after `link` failed: all of it is still held, and either the service is
/// known not to have begun with it, or its connection was `dead` and the request does no harm twice.
fn may_resend(buffers: &RequestBuffers, options: &ForwardOptions, link: &Link, dead: bool) -> bool {
    let upload = &buffers.upload;
    if link.is_unprocessed() {
        return upload.is_retained();
    }
    dead && (upload.is_untouched() || (options.is_idempotent && upload.can_restart()))
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

/// The failure that is reported to the client when no link to the service could be obtained.
pub(crate) fn failure_of(error: ConnectError) -> Failure {
    match error {
        ConnectError::NoEndpoint => Failure::NoEndpoint,
        ConnectError::NoDescriptor => Failure::NoDescriptor,
        ConnectError::TimedOut => Failure::ConnectTimeout,
        ConnectError::DeadlinePassed => Failure::RouteTimeout,
        ConnectError::Refused => Failure::ConnectionRefused,
        ConnectError::Tls => Failure::TlsToService,
        ConnectError::TlsAlert(alert) => Failure::TlsAlert(alert),
        ConnectError::Certificate => Failure::CertificateOfService,
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
