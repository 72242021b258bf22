//! Forwarding a request to a service.

use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;
use waypost_plan::listener::Listener;
use waypost_plan::route::{Forward, Route};
use waypost_plan::sticky::StickyKey;
use waypost_route::table::Found;
use waypost_wire::field::Framing;
use waypost_wire::request::RequestError;
use waypost_wire::scan::HeadEnd;

use crate::answer::{ErrorForm, Failure};
use crate::arm::{self, Decider};
use crate::client::answering::Keeps;
use crate::client::tunnel::Tunnel;
use crate::client::{COMPLETE, Client, Next, debug_headers, is_idempotent};
use crate::decide::FieldLines;
use crate::exchange::connect::{Lease, Need, lease};
use crate::exchange::relay::{BodyForm, RelayError};
use crate::exchange::{ClientSide, End, Exchange, Patience, State};
use crate::forwarded;
use crate::grpc;
use crate::grpc::web::{Recoding, WebForm};
use crate::link::Link;
use crate::metrics::Side;
use crate::mirror::{self, MirrorCopy};
use crate::pool::{Liveness, Trust, WorkerService};
use crate::service_head::ServiceHead;
use crate::worker::{Snapshot, Workspace};

/// How often a request is sent again that a service has not begun with.
const AGAIN_MAX: u32 = 2;

/// What a request asks for, beside an answer.
struct Wish {
    /// When the time is up that its route gives it, or that it gives itself.
    deadline: Option<Instant>,
    idempotent: bool,
    /// The protocol that its connection is to speak from now on.
    upgrade: Option<Vec<u8>>,
    /// Whether it is a call of gRPC.
    is_call: bool,
    /// The form of gRPC-Web that is translated.
    web: Option<WebForm>,
}

impl Wish {
    /// How sure it has to be that a connection is alive, for a request with a body of this framing.
    fn liveness(&self, framing: Framing) -> Liveness {
        Liveness::when(self.idempotent && self.upgrade.is_none() && framing == Framing::None)
    }

    /// The form in which a body of this framing leaves over `link`.
    fn body_form(&self, framing: Framing, link: &Link) -> BodyForm {
        match framing {
            _ if link.frames_bodies() => BodyForm::Frames,
            Framing::Chunked | Framing::UntilClose => BodyForm::Chunks,
            // What base64 stands for has another length than was said.
            Framing::Length(_) if self.web == Some(WebForm::Text) => BodyForm::Chunks,
            Framing::None | Framing::Length(_) => BodyForm::Plain,
        }
    }
}

impl Client {
    /// Sends the request to the service that a roll of the dice picks, and its answer to the client.
    #[expect(clippy::too_many_arguments, reason = "everything a request has become by now")]
    pub(super) async fn forward(
        &mut self,
        workspace: &mut Workspace,
        snapshot: &Snapshot,
        listener: &Listener,
        end: HeadEnd,
        route: &Route,
        forward: &Forward,
        found: Found,
    ) -> Next {
        let name = &*route.matching.name;
        let (arm, set_cookie) = self.pick_arm(workspace, snapshot, listener, forward, found);
        let Some(arm) = arm else {
            return self
                .answer_instead(workspace, snapshot, end, Failure::NoArm, name)
                .await;
        };
        let service = self.worker.service(snapshot, forward.arms[arm]);
        if let Some(meter) = &mut self.meter {
            meter.has_arm(arm);
        }
        if let Some(record) = &mut self.record {
            record.service = Some(Arc::clone(&service.state().service().name));
        }

        if let Err(failure) = rewrite_path(workspace, listener, route, forward, found) {
            return self.answer_instead(workspace, snapshot, end, failure, name).await;
        }
        // A request with a body is copied once that has come.
        let mut copy = self.begin_copy(workspace, snapshot, listener, route, forward, found);
        if workspace.head.framing() == Framing::None
            && let Some(copy) = copy.take()
        {
            copy.send(&self.worker, None);
        }

        let wish = self.wish(workspace, listener, forward);
        if wish.upgrade.is_none() && workspace.demands_upgrade {
            let failure = Failure::Request(RequestError::Method);
            return self.answer_instead(workspace, snapshot, end, failure, name).await;
        }
        let mut need = Need {
            reuse: Some(wish.liveness(workspace.head.framing())),
            http1: wish.upgrade.is_some(),
            raw: false,
            ends: Some(self.peer.ends()),
            deadline: wish.deadline,
        };
        let mut failed = 0;
        let leased = lease(&self.worker, &service, need, &mut failed).await;
        self.note_attempts(failed, leased.is_ok());
        let mut leased = match leased {
            Ok(leased) => leased,
            Err(failure) => {
                return self.answer_instead(workspace, snapshot, end, failure, name).await;
            }
        };

        let mut upload = mem::take(&mut workspace.upload);
        let mut borrowed_host = self.service_head(workspace, listener, forward).write(
            authority(&service, &leased),
            upload.begin(listener.limits.body_bytes),
        );
        workspace.upload = upload;
        workspace.from_client.consume(end.end);
        if copy.is_some() {
            workspace.upload.open_tap(mirror::BODY_BYTES_MAX);
        }
        let form = wish.body_form(workspace.head.framing(), &leased.link);
        if let Err(failure) = begin_body(workspace, &wish, form) {
            return self.answer_after_body(workspace, snapshot, failure, name).await;
        }

        let side = ClientSide {
            version: workspace.head.version(),
            to_head: workspace.is_head,
            keeps_alive: workspace.head.keeps_alive(),
            listener: self.listener_id,
            edits: &route.response_headers,
            debug: debug_headers(snapshot, name),
            set_cookie: &set_cookie,
            expects: workspace.head.expects(),
            body_idle: listener.limits.body_idle_timeout,
            upgrade: wish.upgrade.as_deref(),
            demands_upgrade: workspace.demands_upgrade,
            is_call: wish.is_call,
            web: wish.web,
        };
        let patience = Patience {
            service: service.state().service().timeouts,
            route: wish.deadline,
        };
        let (mut again, mut interims) = (0, 0);
        loop {
            if let Some(record) = &mut self.record {
                record.endpoint = Some(leased.target.address);
                record.asked_now();
            }
            let (reused, address) = (leased.reused, leased.target.address);
            let state = State::new(self.worker.clock().now(), interims);
            let (outcome, state, link) = self
                .exchange(workspace, side, patience, leased, state, &mut copy)
                .await;
            let answered = workspace.reply.as_ref().filter(|_| state.answering());
            let status = answered.map_or(0, |reply| reply.answer.status());
            interims = state.interims();
            if let Some(record) = &mut self.record {
                record.answered_now();
                if let Some(reply) = answered {
                    record.status = status;
                    record.bytes = reply.download.body_bytes();
                }
            }
            match outcome {
                End::Complete { reusable, persists } => {
                    self.note_end("service", COMPLETE);
                    if let Some(reply) = answered
                        && reusable
                        && service.keeps_connections()
                    {
                        let trust = Trust::after(&reply.answer, Some(self.peer.ends().client));
                        self.worker.keep_idle(&service, address, link, trust);
                    }
                    return after_answer(workspace, persists);
                }
                End::Upgraded => {
                    self.count(status, None);
                    self.tunnel = Some(Tunnel {
                        service: link,
                        idle: service.state().service().timeouts.tunnel,
                    });
                    return Next::Tunnel;
                }
                End::Cut { by, reason } => {
                    self.note_end(by, reason);
                    self.count(status, None);
                    self.link.abort();
                    return Next::Close;
                }
                End::Failed { failure, silent } => {
                    again += 1;
                    let dead = reused && silent;
                    if again > AGAIN_MAX || !may_ask_again(workspace, &wish, &link, dead) {
                        return self.answer_after_body(workspace, snapshot, failure, name).await;
                    }
                }
            }
            // The connection was closed while it was idle, or takes no more. A fresh one will do.
            drop(link);
            need.reuse = None;
            let mut failed = 1;
            let lease_again = lease(&self.worker, &service, need, &mut failed).await;
            self.note_attempts(failed, lease_again.is_ok());
            let written_for = |lease: &Lease| {
                let framing = workspace.head.framing();
                framing == Framing::None || wish.body_form(framing, &lease.link) == form
            };
            leased = match lease_again {
                Ok(leased) if written_for(&leased) => leased,
                // What is held is written in a form that this connection does not take.
                Ok(_) => {
                    let failure = Failure::ConnectionTerminated;
                    return self.answer_after_body(workspace, snapshot, failure, name).await;
                }
                Err(failure) => {
                    return self.answer_after_body(workspace, snapshot, failure, name).await;
                }
            };
            workspace.upload.restart();
            if let Some(range) = &mut borrowed_host {
                // Each attempt borrows the host of its own endpoint; they may differ in length.
                let host = authority(&service, &leased);
                workspace.upload.replace_in_head(range.clone(), host);
                range.end = range.start + host.len();
            }
        }
    }

    /// What the request asks for, beside an answer.
    fn wish(&self, workspace: &Workspace, listener: &Listener, forward: &Forward) -> Wish {
        let buffer = workspace.from_client.filled();
        let head = self.service_head(workspace, listener, forward);
        let is_call = matches!(workspace.error_form, ErrorForm::Grpc(_));
        let call = is_call.then(|| grpc::timeout(&workspace.head, buffer)).flatten();
        let timeout = [forward.policies.timeout, call].into_iter().flatten().min();
        Wish {
            deadline: timeout.map(|timeout| self.worker.clock().about_now() + timeout),
            idempotent: is_idempotent(workspace.head.method(buffer)),
            // It outlives the request's bytes.
            upgrade: head.upgrade().map(<[u8]>::to_vec),
            is_call,
            web: head.web_form().map(|(form, _)| form),
        }
    }

    /// The arm that takes the request, by position, and the cookie that keeps the client on it from now on.
    fn pick_arm(
        &self,
        workspace: &mut Workspace,
        snapshot: &Snapshot,
        listener: &Listener,
        forward: &Forward,
        found: Found,
    ) -> (Option<usize>, Vec<u8>) {
        let mut set_cookie = Vec::new();
        let generation = &snapshot.generation;
        if forward.policies.sticky.is_none() && forward.policies.force.is_none() {
            let arm = generation.with_split(found.route, &forward.split, |split| {
                split.pick(self.worker.roll())
            });
            return (arm, set_cookie);
        }
        let Workspace {
            head,
            from_client,
            facts,
            bytes,
            path,
            ..
        } = workspace;
        let fields = FieldLines {
            head,
            buffer: from_client.filled(),
            peer: &self.peer,
        };
        let mut decider = arm::decider(&forward.policies, &facts.request(&fields), bytes, path);
        if decider == (Decider::Dice { wants_cookie: true })
            && let Some(sticky) = &forward.policies.sticky
            && let StickyKey::Cookie(cookie) = &sticky.key
        {
            let value = format!("{:016x}{:016x}", self.worker.roll(), self.worker.roll());
            decider = Decider::Cohort(sticky.roll(value.as_bytes(), bytes));
            let is_secure = forwarded::client_uses_tls(listener, &self.peer, head, fields.buffer);
            cookie.write(value.as_bytes(), is_secure, &mut set_cookie);
        }
        let arm = generation.with_split(found.route, &forward.split, |split| {
            decider.arm(split, || self.worker.roll())
        });
        (arm, set_cookie)
    }

    /// A copy of the request for the route's mirror, if this one is to be copied.
    fn begin_copy(
        &self,
        workspace: &Workspace,
        snapshot: &Snapshot,
        listener: &Listener,
        route: &Route,
        forward: &Forward,
        found: Found,
    ) -> Option<MirrorCopy> {
        let mirror = forward.policies.mirror.as_ref()?;
        // Nobody would speak the other protocol.
        if workspace.head.upgrade(workspace.from_client.filled()).is_some() {
            return None;
        }
        if !mirror.takes(self.worker.roll()) {
            return None;
        }
        let service = self.worker.service(snapshot, mirror.to);
        let cells = self.worker.cells(snapshot, found.route, Side::Mirror);
        let announced = match workspace.head.framing() {
            Framing::Length(length) => Some(length),
            _ => None,
        };
        let mut copy = MirrorCopy::begin(self.worker.mirrors(), Rc::clone(&service), cells, announced)?;
        let endpoint = service.state().service().endpoints.first();
        let authority = endpoint.map_or(&b""[..], |endpoint| endpoint.authority.as_bytes());
        let head = self.service_head(workspace, listener, forward);
        head.write_copy(authority, &route.matching.name, &mut copy.head);
        copy.is_head = workspace.is_head;
        copy.is_idempotent = is_idempotent(workspace.head.method(workspace.from_client.filled()));
        Some(copy)
    }

    /// What the head for the service is written from.
    fn service_head<'a>(
        &'a self,
        workspace: &'a Workspace,
        listener: &'a Listener,
        forward: &'a Forward,
    ) -> ServiceHead<'a> {
        ServiceHead {
            head: &workspace.head,
            buffer: workspace.from_client.filled(),
            facts: &workspace.facts,
            listener,
            forward,
            peer: &self.peer,
            path: if forward.policies.rewrite.path.keeps() {
                workspace.facts.path()
            } else {
                &workspace.path
            },
        }
    }

    /// Sees one exchange through: its end, how far it has come, and the service's connection.
    async fn exchange(
        &mut self,
        workspace: &mut Workspace,
        side: ClientSide<'_>,
        patience: Patience,
        leased: Lease,
        state: State,
        copy: &mut Option<MirrorCopy>,
    ) -> (End, State, Link) {
        if let Some(reply) = workspace.reply.take() {
            self.worker.return_reply(reply);
        }
        let mut exchange = Exchange {
            worker: &self.worker,
            copy,
            meter: &mut self.meter,
            open_ended: &mut self.open_ended,
            side,
            patience,
            client: &mut self.link,
            from_client: &mut workspace.from_client,
            service: leased.link,
            upload: &mut workspace.upload,
            reply: &mut workspace.reply,
            state,
        };
        let timer = &mut self.timer;
        let end = poll_fn(|cx| exchange.poll(cx, timer)).await;
        (end, exchange.state, exchange.service)
    }

    /// Answers a request whose body has begun to be read: its connection can go on if all of it is through.
    async fn answer_after_body(
        &mut self,
        workspace: &mut Workspace,
        snapshot: &Snapshot,
        failure: Failure,
        route: &str,
    ) -> Next {
        let keeps = Keeps::when(workspace.upload.can_restart() && self.may_persist(workspace));
        self.answer_failure(workspace, snapshot, failure, route, keeps)
            .await
    }

    /// Notes attempts at the service that failed, and whether the last one did not.
    pub(super) fn note_attempts(&mut self, failed: u32, reached: bool) {
        // The first attempt is none that came after another.
        let retries = if reached { failed } else { failed.saturating_sub(1) };
        if retries > 0
            && let Some(meter) = &self.meter
        {
            meter.retried(&self.worker, retries);
        }
        if let Some(record) = &mut self.record {
            record.retries += failed;
        }
    }
}

/// Takes what is there of a request's body, so that it leaves with the head.
fn begin_body(workspace: &mut Workspace, wish: &Wish, form: BodyForm) -> Result<(), Failure> {
    if let Some(web) = wish.web {
        workspace.upload.recode(Recoding::of_request(web));
    }
    if form == BodyForm::Frames {
        // Services of HTTP/2 say what they have not begun with, which may be sent again whatever it is.
        workspace.upload.hold();
    }
    let framing = workspace.head.framing();
    let begun = workspace
        .upload
        .begin_body(framing, form, &mut workspace.from_client);
    begun.map_err(|error| match error {
        RelayError::TooLarge => Failure::BodyTooLarge,
        _ => Failure::BodyMalformed,
    })
}

/// Whether a request may be sent a second time after `link` has failed: all of it is held still, and either the service is
/// known not to have begun with it, or its connection was `dead` and it does no harm twice.
fn may_ask_again(workspace: &Workspace, wish: &Wish, link: &Link, dead: bool) -> bool {
    let upload = &workspace.upload;
    if link.is_unprocessed() {
        return upload.is_whole();
    }
    dead && (upload.is_untouched() || (wish.idempotent && upload.can_restart()))
}

/// Leaves the path that the service is to see in the workspace, where it is another one than the client's.
fn rewrite_path(
    workspace: &mut Workspace,
    listener: &Listener,
    route: &Route,
    forward: &Forward,
    found: Found,
) -> Result<(), Failure> {
    workspace.path.clear();
    if forward.policies.rewrite.path.keeps() {
        return Ok(());
    }
    let pattern = &route.matching.alternatives[found.alternative].path;
    let path = workspace.facts.path();
    let rewritten = forward
        .policies
        .rewrite
        .path
        .apply(path, pattern, listener.paths, &mut workspace.path);
    rewritten.map_err(|_| Failure::Rewrite)
}

/// What comes after a complete answer.
fn after_answer(workspace: &Workspace, persists: bool) -> Next {
    if persists {
        return Next::Request;
    }
    // With bytes of the client's left unread, closing would reset the connection under the answer.
    let all_read = workspace.upload.is_finished() && workspace.from_client.is_empty();
    if all_read { Next::Close } else { Next::Linger }
}

/// What a service sees as Host when the client named none.
fn authority<'a>(service: &'a WorkerService, leased: &Lease) -> &'a [u8] {
    service.state().service().endpoints[leased.target.endpoint]
        .authority
        .as_bytes()
}
