//! The question to a service that is asked who may pass.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use waypost_plan::auth::WayKind;
use waypost_plan::auth::ask::Ask;
use waypost_policy::auth::ask::{self, Answered};
use waypost_policy::auth::{AuthResult, Waited};
use waypost_policy::decision::Decision;
use waypost_policy::error_format::ErrorFormat;
use waypost_policy::failure::Failure;
use waypost_policy::head::downstream::{self, BodyDelimiter, DownstreamHead};
use waypost_policy::head::edits::{KeepAlive, ResponseEdits};
use waypost_policy::permissions::Permission;
use waypost_policy::status::RequestStatus;
use waypost_policy::values::Circumstances as _;
use waypost_upstream::call::{self, BodyNeed, Call, CallError, FullAnswer};
use waypost_upstream::connect::ConnectError;

use crate::local::snapshot::Snapshot;
use crate::request::local::OnBehalf;
use crate::request::{ActiveRequest, Next};

/// The longest body of an answer that a client gets.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The wait for the body of a permission, which no one reads, so that its connection can be used again.
pub(crate) const BODY_WAIT: Duration = Duration::from_millis(20);
/// The time for which the end of a question is waited for beyond its timeout.
const SLACK: Duration = Duration::from_millis(200);

impl ActiveRequest<'_> {
    /// Asks who may pass. The client gets an answer that refuses the request.
    ///
    /// # Errors
    /// The request has ended.
    pub(super) async fn ask(
        &mut self,
        ask: &Ask,
        decision: &Decision<'_>,
        snapshot: &Snapshot,
    ) -> Result<Waited, Next> {
        let compiled = snapshot.generation.compiled();
        let worker = Rc::clone(&self.client.worker);
        let service = worker.service(snapshot, ask.to.id);
        let mut scratch = std::mem::take(&mut self.buffers.decision.scratch);
        let key = self.balance_key(&service, &mut scratch);
        self.buffers.decision.scratch = scratch;
        let request = self.incoming();
        let question = ask::digest(ask, compiled, &request);
        let mut message = Vec::with_capacity(512);
        let host = &service.declared().host;
        let authority_at = ask::write_question(ask, host, &request, self.sent_id(), &mut message);
        let call = Call {
            message,
            authority_at,
            is_head: false,
            is_idempotent: true,
            response_bytes_max: ANSWER_BYTES_MAX,
            response_bytes_kept: ANSWER_BYTES_MAX,
            may_wait: true,
            body: BodyNeed::UnlessSuccess(BODY_WAIT),
            keeps_head: true,
            key,
        };
        let deadline = Instant::now() + ask.timeout;
        let answer = async move { call::call_for_head(worker.upstreams(), &service, &call, deadline).await };
        let failure = match self.wait_for(answer, ask.timeout + SLACK).await? {
            Some(Ok(answer)) => match ask::answered(&ask.take, &answer.head, &answer.head_bytes) {
                Answered::Permission(permission) => {
                    if let Some(question) = question {
                        let now_ms = self.now().unix_ms();
                        let head = (&answer.head, &*answer.head_bytes);
                        ask::keep(ask, compiled, question, &permission, head, now_ms);
                    }
                    return Ok(Waited::Permitted(permission));
                }
                Answered::Refusal if answer.is_whole => {
                    return Err(self.pass_on(&answer, decision, snapshot).await);
                }
                Answered::Refusal | Answered::Nonsense => Failure::AskFailed,
            },
            None
            | Some(Err(
                CallError::TimedOut
                | CallError::Connect(ConnectError::TimedOut | ConnectError::DeadlinePassed),
            )) => Failure::AskTimeout,
            Some(Err(_)) => Failure::AskFailed,
        };
        Ok(match ask.open {
            true => Waited::Permitted(Arc::new(Permission::default())),
            false => Waited::Refused(failure),
        })
    }

    /// Gives the client an answer that refuses its request. A page of the config takes the place of an error, as it does of
    /// every other refusal; the headers of the answer stay.
    async fn pass_on(&mut self, answer: &FullAnswer, decision: &Decision<'_>, snapshot: &Snapshot) -> Next {
        let routes = snapshot.generation.plan().routes();
        let route = decision.route.map(|route| &routes[route].matching.name);
        let of = OnBehalf {
            route: route.map_or("", |name| name),
            policies: decision.policies(self.listener),
        };
        let keep_alive = match self.discard_body() {
            Ok(keep_alive) => keep_alive,
            Err(malformed) => return self.fail(malformed, of).await,
        };
        let status = answer.head.status();
        let (failure, result) = match status {
            403 => (Failure::NotAllowed, AuthResult::NotAllowed),
            _ => (Failure::NoCredentials, AuthResult::NoCredentials),
        };
        let worker = &self.client.worker;
        self.client.observation.fail(worker, failure);
        if let Some(route) = route {
            worker.recorder().count_auth(route, Some(WayKind::Ask), result);
        }
        // A redirect to a login is no error.
        let scope = self.pages(of.policies);
        let page = scope.of_failure(failure, &self.buffers.error_format);
        let mut page = page.filter(|_| status >= 400);
        if let Some(page) = &mut page {
            self.fill_page(page);
        }
        let date = self.client.worker.date().now();
        let mut out = std::mem::take(&mut self.buffers.local_response);
        let head = DownstreamHead {
            response: &answer.head,
            buffer: &answer.head_bytes,
            edits: ResponseEdits {
                configured: &of.policies.response_headers,
                filled: self.buffers.decision.filled.response_lines(),
                rate: self.buffers.decision.rate.fields(),
                cors: self.buffers.decision.cors.lines(),
                request_id: self.sent_id(),
                way_back: None,
                cookies: None,
                date: date
                    .as_ref()
                    .filter(|_| page.is_none() || !downstream::is_dated(&answer.head))
                    .map(|date| &date[..]),
                set_cookie: b"",
                debug: snapshot.debug_headers(of.route),
                keep_alive: KeepAlive::when(keep_alive, self.buffers.head.version()),
            },
            body: BodyDelimiter::Length,
            content_type: None,
        };
        out.clear();
        let body_bytes = match &page {
            Some(page) => head.write_page(page, self.buffers.is_head, &mut out),
            None => head.write_whole(&answer.body, self.buffers.is_head, &mut out),
        };
        // To a call, the answer is as it is to others, and its code is that of the refusal.
        let code = match self.buffers.error_format {
            ErrorFormat::Grpc(_) => Some(failure.grpc_code()),
            ErrorFormat::Text | ErrorFormat::Json => None,
        };
        let status = page.as_ref().map_or(status, |page| page.status);
        let status = RequestStatus::refused(status, code);
        self.write_out(status, keep_alive, out, body_bytes).await
    }
}
