//! Forwarding a request to a service: prepare it, make an [`attempt`], perhaps with a [`hedge`], conclude; perhaps
//! [`retry`].

pub(super) mod attempt;
mod hedge;
mod page;
mod retry;

use std::future::poll_fn;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use waypost_plan::service::Timeouts;
use waypost_policy::decision::{DecisionBuffers, Forwarding};
use waypost_policy::error_format::ErrorFormat;
use waypost_policy::failure::{Cause, Failure};
use waypost_policy::grpc;
use waypost_policy::grpc::web::WebForm;
use waypost_policy::head::upstream::UpstreamHead;
use waypost_policy::request::IncomingRequest;
use waypost_policy::status::RequestStatus;
use waypost_transport::link::Link;
use waypost_transport::proxy_protocol::ProxiedAddresses;
use waypost_transport::relay::transform::Transform;
use waypost_transport::relay::{BodyForm, RelayError};
use waypost_upstream::connect::{ConnectError, ConnectOptions};
use waypost_upstream::lease::{self, Lease, Picked};
use waypost_upstream::limits::RequestPermit;
use waypost_upstream::local::LocalService;
use waypost_upstream::pool::idle::Liveness;
use waypost_wire::framing::Framing;

use crate::local::buffers::RequestBuffers;
use crate::observe::access_log::Ending;
use crate::observe::metrics::Side;
use crate::request::forward::retry::Retries;
use crate::request::local::OnBehalf;
use crate::request::mirror::{self, Copied, MirrorCopy};
use crate::request::watch::Watch;
use crate::request::{ActiveRequest, Next, in_place, is_idempotent};

/// Bytes of a body up to which it is held for an HTTP/2 service, without retries of the route.
const HELD_BYTES: usize = 32 << 10;

/// Options of a request that is forwarded.
struct ForwardOptions {
    /// The deadline of the route's timeout, or of the call's own.
    deadline: Option<Instant>,
    /// True if the deadline is that of the route's timeout, which the client has no say in.
    is_routes_deadline: bool,
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
    /// The range of the endpoint's authority in the head, if that is its host.
    borrowed_host: Option<Range<usize>>,
    /// The mirrored copy, until its body has come.
    copy: Option<Box<MirrorCopy>>,
    /// Interim responses that the client got.
    interims: u32,
    retries: Retries<'p>,
    /// The end of the attempt by the timeout of the route's retries, unless the head of the response has come.
    attempt_by: Option<Instant>,
    /// The permit of the request, of a limited service, between attempts.
    held: Option<RequestPermit>,
}

impl Upstream<'_> {
    /// The timeouts in force: the route's, else the service's.
    fn timeouts(&self) -> Timeouts {
        let timeouts = &self.forwarding.policies.timeouts;
        timeouts.over(self.service.declared().timeouts)
    }
}

/// The reason that a request got no link.
enum NoLease {
    Failed(Failure),
    /// It needs none: an error page takes the place of the service's response.
    Replaced,
    /// Its client left.
    Left(Cause),
}

/// The reason that a round over the endpoints gave no link.
enum Unconnected {
    Error(ConnectError),
    /// The client left.
    Left(Cause),
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
        let of = OnBehalf {
            route: &forwarding.route.matching.name,
            policies: forwarding.policies,
        };
        // Over HTTP/1 there is nothing to wait for.
        if matches!(self.client.link, Link::ServerStream(_))
            && let Some(next) = self.refuse_unsound(of).await
        {
            return next;
        }
        let mut upstream = self.prepare(forwarding, position);
        let pooled = lease::acquire_pooled(
            self.client.worker.upstreams(),
            &upstream.service,
            &upstream.connect,
            upstream.retries.tried(),
        );
        let mut lease = match pooled {
            Ok(lease) => {
                self.begin_attempt(&mut upstream);
                lease
            }
            // Boxed, as most requests need not wait and should not carry the state of a connect.
            Err(picked) => {
                let head_bytes = self.head_bytes;
                match in_place(|| self.connect(&mut upstream, picked, 0, head_bytes)).await {
                    Ok(lease) => lease,
                    Err(NoLease::Failed(failure)) => return self.fail(failure, of).await,
                    Err(NoLease::Left(cause)) => return self.leave(cause),
                    Err(NoLease::Replaced) => return in_place(|| self.send_page(&upstream)).await,
                }
            }
        };
        if let Err(failure) = self.begin_request(&mut upstream, &lease) {
            // Before the client hears of it, so that its next request does not meet a limit for this one.
            drop(lease);
            return self.fail_within_body(failure, of).await;
        }
        let mut progress = None;
        loop {
            let attempt = self.attempt(&mut upstream, &mut lease, progress).await;
            let unfinished = match self.conclude(&mut upstream, lease, attempt) {
                Ok(next) => return next,
                Err(unfinished) => unfinished,
            };
            (lease, progress) = match in_place(|| self.connect_again(&mut upstream, unfinished)).await {
                Ok(again) => again,
                Err(NoLease::Failed(failure)) => {
                    upstream.held = None;
                    return self.fail_within_body(failure, of).await;
                }
                Err(NoLease::Replaced) => return in_place(|| self.send_page(&upstream)).await,
                Err(NoLease::Left(cause)) => return self.leave(cause),
            };
        }
    }

    /// Prepares the request.
    fn prepare<'p>(&mut self, forwarding: Forwarding<'p>, position: Option<usize>) -> Upstream<'p> {
        let service = self.client.worker.service(self.snapshot, forwarding.service);
        let framing = self.buffers.head.framing();
        let mut copy = position.and_then(|position| self.begin_copy(&forwarding, position));
        if framing == Framing::None
            && let Some(copy) = copy.take()
        {
            (*copy).send(&self.client.worker, None);
        }
        let options = self.options(&forwarding);
        let mut scratch = std::mem::take(&mut self.buffers.decision.scratch);
        let key = self.balance_key(&service, &mut scratch);
        self.buffers.decision.scratch = scratch;
        let retries = self.retries(&forwarding, options.is_idempotent);
        service.count_request(self.client.worker.clock().coarse_now());
        Upstream {
            connect: ConnectOptions {
                reuse: Some(options.liveness(framing)),
                http1: options.upgrade.is_some(),
                raw: false,
                addresses: self.addresses(),
                timeout: forwarding.policies.timeouts.connect,
                deadline: options.deadline,
                key,
                may_wait: true,
                attempt: retries.timeout(),
            },
            forwarding,
            form: BodyForm::Plain,
            service,
            options,
            borrowed_host: None,
            copy,
            interims: 0,
            retries,
            attempt_by: None,
            held: None,
        }
    }

    /// Writes the head for the service, and begins with what is there of the body, so that both leave together.
    fn begin_request(&mut self, upstream: &mut Upstream<'_>, lease: &Lease) -> Result<(), Failure> {
        let RequestBuffers {
            from_client,
            upload,
            head,
            normalized,
            decision,
            demands_upgrade,
            ..
        } = &mut *self.buffers;
        upstream.form = upstream.options.body_form(head.framing(), &lease.link);
        let request = IncomingRequest {
            head,
            buffer: from_client.filled(),
            normalized,
            peer: &self.client.peer,
            listener: self.listener,
            query: head.query(from_client.filled()),
            demands_upgrade: *demands_upgrade,
        };
        let out = upload.begin(request.body_limit(upstream.forwarding.policies));
        let written = upstream_head(&upstream.forwarding, request, decision);
        upstream.borrowed_host = written.write(lease.authority().as_bytes(), out);
        if upstream.form != BodyForm::Plain && head.framing() != Framing::None {
            upload.withhold_trailers(written.withheld_trailers());
        }
        from_client.consume(self.head_bytes);
        if upstream.copy.is_some() {
            upload.open_tap(mirror::BODY_BYTES_MAX);
        }
        if upstream.options.web == Some(WebForm::Text) {
            upload.set_transform(Transform::from_grpc_web_text());
        }
        // An HTTP/2 service reports requests that it has not processed; those may be sent again whatever their method.
        let held = upstream.retries.held_bytes();
        let held = held.or((upstream.form == BodyForm::Frames).then_some(HELD_BYTES));
        if let Some(max) = held {
            upload.retain_body(max);
        }
        let begun = upload.begin_body(head.framing(), upstream.form, from_client);
        begun.map_err(|error| match error {
            RelayError::TooLarge => Failure::BodyTooLarge,
            _ => Failure::BodyMalformed,
        })
    }

    /// Gets a link to the service; the request may become late meanwhile, and its client may leave.
    async fn acquire(
        &mut self,
        upstream: &mut Upstream<'_>,
        picked: Option<Picked>,
        mut watch: Watch,
    ) -> Result<Lease, Unconnected> {
        let client = &mut *self.client;
        let from_client = &mut self.buffers.from_client;
        let mut late = upstream.options.late;
        let mut acquired = pin!(lease::acquire(
            client.worker.upstreams(),
            &upstream.service,
            &upstream.connect,
            picked,
            upstream.held.take(),
            upstream.retries.tried_mut(),
        ));
        poll_fn(|cx| {
            if let Some(at) = late {
                client.timer.set(at);
                if client.timer.poll(cx).is_ready() {
                    client.observation.count_late(&client.worker);
                    late = None;
                }
            }
            if let Poll::Ready(acquired) = acquired.as_mut().poll(cx) {
                return Poll::Ready(acquired.map_err(Unconnected::Error));
            }
            let left = watch.poll_left(cx, &mut client.link, from_client);
            left.map(|cause| Err(Unconnected::Left(cause)))
        })
        .await
    }

    /// Ends a request whose client has left.
    pub(super) fn leave(&mut self, cause: Cause) -> Next {
        let client = &mut *self.client;
        client.observation.end(Ending::Cut(cause));
        client.observation.count(&client.worker, RequestStatus::default());
        client.link.abort();
        Next::Close
    }

    /// The request's options.
    fn options(&self, forwarding: &Forwarding<'_>) -> ForwardOptions {
        let head = &self.buffers.head;
        let buffer = self.buffers.from_client.filled();
        let upstream = self.upstream_head(forwarding);
        let is_grpc = matches!(self.buffers.error_format, ErrorFormat::Grpc(_));
        let call = is_grpc.then(|| grpc::timeout(head, buffer)).flatten();
        let route = forwarding.policies.timeout;
        let timeout = [route, call].into_iter().flatten().min();
        let worker = &self.client.worker;
        // Only arms that are compared can be late.
        let late = (forwarding.forward.arms.len() > 1)
            .then(|| self.client.observation.late_after(worker))
            .flatten();
        let after = |time: Option<Duration>| time.map(|time| worker.clock().coarse_now() + time);
        ForwardOptions {
            deadline: after(timeout),
            is_routes_deadline: route.is_some() && route == timeout,
            late: after(late),
            is_idempotent: is_idempotent(head.method(buffer)),
            upgrade: upstream.upgrade().map(<[u8]>::to_vec),
            is_grpc,
            web: upstream.web_form().map(|(form, _)| form),
        }
    }

    /// Begins a copy of the request for the route's mirror, if this request is selected.
    fn begin_copy(&self, forwarding: &Forwarding<'_>, position: usize) -> Option<Box<MirrorCopy>> {
        let mirror = forwarding.forward.split_policies.mirror.as_ref()?;
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
        let host = &self.snapshot.generation.plan().service(mirror.to).host;
        let key = self.balance_key(&service, &mut Vec::new());
        let copy = MirrorCopy::begin(worker, service, counters, announced, || {
            let mut head = Vec::new();
            let name = &forwarding.route.matching.name;
            let upstream = UpstreamHead {
                host,
                ..self.upstream_head(forwarding)
            };
            let authority_at = upstream.write_mirrored(name, &mut head);
            Copied {
                head,
                authority_at,
                is_head: self.buffers.is_head,
                is_idempotent: is_idempotent(self.buffers.head.method(buffer)),
                key,
            }
        });
        copy.map(Box::new)
    }

    /// The parts of the head for the service.
    fn upstream_head<'a>(&'a self, forwarding: &Forwarding<'a>) -> UpstreamHead<'a> {
        upstream_head(forwarding, self.incoming(), &self.buffers.decision)
    }

    fn addresses(&self) -> Option<ProxiedAddresses> {
        let peer = &self.client.peer;
        (!peer.is_unaddressed()).then(|| ProxiedAddresses {
            client: peer.address(),
            local: peer.local,
        })
    }

    fn note_attempts(&mut self, failed: u32, succeeded: bool) {
        let client = &mut *self.client;
        client
            .observation
            .note_attempts(&client.worker, failed, succeeded);
    }
}

/// The parts of the head for the service that `request` is forwarded to.
fn upstream_head<'a>(
    forwarding: &Forwarding<'a>,
    request: IncomingRequest<'a>,
    decision: &'a DecisionBuffers,
) -> UpstreamHead<'a> {
    UpstreamHead {
        policies: forwarding.policies,
        host: forwarding.host,
        path: forwarding.path(request.normalized.path(), decision),
        prefix: forwarding.replaced_prefix(decision),
        filled: &decision.filled,
        request_id: decision.sent_id(request.listener, request.normalized.client()),
        way: decision.way(),
        request,
    }
}

/// The failure that is reported to the client when no link to the service could be obtained.
pub(crate) fn failure_of(error: ConnectError) -> Failure {
    match error {
        ConnectError::NoEndpoint => Failure::NoEndpoint,
        ConnectError::RequestLimit => Failure::RequestLimit,
        ConnectError::ConnectionLimit => Failure::ConnectionLimit,
        ConnectError::NoDescriptor => Failure::NoDescriptor,
        ConnectError::TimedOut => Failure::ConnectTimeout,
        ConnectError::DeadlinePassed => Failure::RouteTimeout,
        ConnectError::Refused => Failure::ConnectionRefused,
        ConnectError::Tls => Failure::TlsToService,
        ConnectError::TlsAlert(alert) => Failure::TlsAlert(alert),
        ConnectError::Certificate => Failure::CertificateOfService,
    }
}
