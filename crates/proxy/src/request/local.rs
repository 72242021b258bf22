//! Local responses.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::pin;
use std::task::Poll;

use tokio::time::Instant;
use waypost_plan::header_edits::HeaderEdits;
use waypost_plan::policies::PolicySet;
use waypost_plan::route::Respond;
use waypost_policy::decision::place::ValuePlace;
use waypost_policy::error_format::ErrorFormat;
use waypost_policy::error_page::{Page, PageScope};
use waypost_policy::failure::{Blame, Cause, Failure};
use waypost_policy::head::edits::KeepAlive;
use waypost_policy::head::local::LocalResponse;
use waypost_policy::request::IncomingRequest;
use waypost_policy::status::RequestStatus;
use waypost_wire::body::BodyDecoder;
use waypost_wire::grpc::GrpcCode;
use waypost_wire::request::RequestHead;

use crate::challenges::ChallengeType;
use crate::exchange::WRITE_TIMEOUT;
use crate::local::buffers::RequestBuffers;
use crate::observe::access_log::Ending;
use crate::request::client::Client;
use crate::request::{ActiveRequest, Next, Now};

/// The origin of a local response: the route that it is sent in the name of, if any, with the policies in force.
#[derive(Clone, Copy)]
pub(crate) struct OnBehalf<'a> {
    /// The name of the route; empty for none.
    pub(crate) route: &'a str,
    pub(crate) policies: &'a PolicySet,
}

impl<'c> ActiveRequest<'c> {
    /// Redirects the client to the location that was decided.
    pub(super) async fn redirect(&mut self, status: u16, of: OnBehalf<'_>) -> Next {
        let location = mem::take(&mut self.buffers.decision.location);
        let edits = &of.policies.response_headers;
        let next = self
            .send(self.status_of(status, edits), of, |response, out| {
                response.write_redirect(status, &location, edits, out)
            })
            .await;
        self.buffers.decision.location = location;
        next
    }

    /// Sends the response that a route configures.
    pub(super) async fn respond(&mut self, respond: &Respond, of: OnBehalf<'_>) -> Next {
        let edits = &of.policies.response_headers;
        let scope = self.pages(of.policies);
        if let Some(mut page) = scope.of_respond(respond, &self.buffers.error_format) {
            self.fill_page(&mut page);
            let status = RequestStatus::http(respond.status).replaced(page.status);
            return self
                .send(status, of, |response, out| {
                    response.write_page(&page, None, edits, out)
                })
                .await;
        }
        let status = self.status_of(respond.status, edits);
        self.send(status, of, |response, out| {
            response.write_respond(respond, edits, out)
        })
        .await
    }

    /// Answers the challenge of an authority that issues certificates.
    pub(super) async fn answer_challenge(&mut self, key_authorization: &str) -> Next {
        let counters = self.client.worker.recorder().own();
        counters.challenges.count(ChallengeType::Http);
        let of = OnBehalf {
            route: "",
            policies: &self.listener.policies,
        };
        self.send(RequestStatus::http(200), of, |response, out| {
            response.write_key_authorization(key_authorization, out)
        })
        .await
    }

    /// The status of a configured response with these edits. To a call, one without a `grpc-status` is no success.
    fn status_of(&self, status: u16, edits: &HeaderEdits) -> RequestStatus {
        if !matches!(self.buffers.error_format, ErrorFormat::Grpc(_)) {
            return RequestStatus::http(status);
        }
        let code = edits.value("grpc-status", self.buffers.decision.filled.response_lines());
        RequestStatus::call(status, code.map(GrpcCode::parse))
    }

    /// Refuses a malformed or unsupported request. Its parsed parts are not trusted.
    pub(crate) async fn refuse(&mut self, failure: Failure) -> Next {
        let bytes = self.buffers.from_client.filled();
        let begins = bytes.get(self.buffers.scan.start()..).unwrap_or_default();
        self.buffers.is_head = begins.starts_with(b"HEAD ");
        self.buffers.error_format = ErrorFormat::Text;
        self.buffers.normalized.forget(&self.client.peer);
        self.buffers.decision.forget();
        self.buffers.kept_head.clear();
        let secret = self.snapshot.generation.compiled().secret_queries();
        self.client.observation.note_first_line(self.buffers, secret);
        self.fill_refusal(false);
        let of = OnBehalf {
            route: "",
            policies: &self.listener.policies,
        };
        self.send_failure(failure, of, false).await
    }

    /// The origin of a response before any route is known.
    pub(super) fn of_listener(&mut self) -> OnBehalf<'c> {
        self.fill_refusal(true);
        OnBehalf {
            route: "",
            policies: &self.listener.policies,
        }
    }

    /// Fills in what is added to a response before any route is known.
    fn fill_refusal(&mut self, is_read: bool) {
        let unread = RequestHead::default();
        let RequestBuffers {
            head,
            from_client,
            normalized,
            decision,
            ..
        } = &mut *self.buffers;
        let (head, buffer) = match is_read {
            true => (&*head, from_client.filled()),
            false => (&unread, &b""[..]),
        };
        let request = IncomingRequest {
            head,
            buffer,
            normalized,
            peer: &self.client.peer,
            listener: self.listener,
            query: head.query(buffer),
            demands_upgrade: false,
        };
        let now = Now {
            worker: &self.client.worker,
            snapshot: self.snapshot,
            time: self.client.observation.time(),
        };
        decision.fill_refusal(&request, &now);
    }

    /// The error pages in force beside these policies.
    pub(super) fn pages<'p>(&self, policies: &'p PolicySet) -> PageScope<'p>
    where
        'c: 'p,
    {
        PageScope::of(policies, self.snapshot.generation.compiled())
    }

    /// Fills values of the request into a page. One that could not be read has those of its connection alone.
    pub(super) fn fill_page(&mut self, page: &mut Page<'_>) {
        if !page.configured.has_values() {
            return;
        }
        let unread = RequestHead::default();
        let buffers = &*self.buffers;
        let request = IncomingRequest {
            head: match buffers.kept_head.is_empty() {
                true => &unread,
                false => &buffers.head,
            },
            buffer: &buffers.kept_head,
            normalized: &buffers.normalized,
            peer: &self.client.peer,
            listener: self.listener,
            query: buffers.head.query(&buffers.kept_head),
            demands_upgrade: buffers.demands_upgrade,
        };
        let place = ValuePlace::of(self.snapshot.generation.plan(), &buffers.decision);
        let now = Now {
            worker: &self.client.worker,
            snapshot: self.snapshot,
            time: self.client.observation.time(),
        };
        let made = &buffers.decision.request_id;
        let values = place.values(&request, &now, made);
        page.fill(&values.known_as(buffers.decision.identity()));
        if let Some(id) = made.get() {
            self.client.observation.note_id(id);
        }
    }

    /// Sends an error, before anything of the body is read.
    pub(super) async fn fail(&mut self, failure: Failure, of: OnBehalf<'_>) -> Next {
        self.sample_failure(failure, of.route, self.unsent_head());
        if failure.closes() {
            return self.send_failure(failure, of, false).await;
        }
        match self.discard_body() {
            Ok(keep_alive) => self.send_failure(failure, of, keep_alive).await,
            Err(malformed) => self.send_failure(malformed, of, false).await,
        }
    }

    /// Sends an error after part of the body was read. The connection stays open only if the whole body was read.
    pub(super) async fn fail_within_body(&mut self, failure: Failure, of: OnBehalf<'_>) -> Next {
        self.sample_failure(failure, of.route, self.sent_head());
        let keep_alive = self.buffers.upload.can_restart() && self.may_keep_alive();
        self.send_failure(failure, of, keep_alive).await
    }

    /// Sends a response in the name of a route. `write` returns the bytes of its body.
    async fn send(
        &mut self,
        status: RequestStatus,
        of: OnBehalf<'_>,
        write: impl FnOnce(&LocalResponse<'_>, &mut Vec<u8>) -> usize,
    ) -> Next {
        if status.has_failed() {
            self.sample_own(status, of.route);
        }
        let keep_alive = match self.discard_body() {
            Ok(keep_alive) => keep_alive,
            Err(malformed) => return self.send_failure(malformed, of, false).await,
        };
        self.client.observation.end(Ending::Complete(Blame::Gateway));
        self.write_response(status, of, keep_alive, write).await
    }

    async fn send_failure(&mut self, failure: Failure, of: OnBehalf<'_>, keep_alive: bool) -> Next {
        let format = mem::take(&mut self.buffers.error_format);
        let mut page = self.pages(of.policies).of_failure(failure, &format);
        if let Some(page) = &mut page {
            self.fill_page(page);
        }
        let status = format.status(failure);
        let status = page.as_ref().map_or(status, |page| status.replaced(page.status));
        self.client.observation.fail(&self.client.worker, failure);
        let keep_alive = keep_alive && !failure.closes();
        let next = self
            .write_response(status, of, keep_alive, |response, out| match &page {
                Some(page) => response.write_page(page, Some(failure), &of.policies.response_headers, out),
                None => response.write_failure(failure, &format, &of.policies.response_headers, out),
            })
            .await;
        self.buffers.error_format = format;
        next
    }

    async fn write_response(
        &mut self,
        status: RequestStatus,
        of: OnBehalf<'_>,
        keep_alive: bool,
        write: impl FnOnce(&LocalResponse<'_>, &mut Vec<u8>) -> usize,
    ) -> Next {
        let made = &self.buffers.decision.request_id;
        if self.listener.request_id && made.get().is_none() {
            // It was not decided on.
            let id = self.client.worker.new_id(self.client.observation.time());
            made.set(Some(id));
            self.client.observation.note_id(id);
        }
        let date = self.client.worker.date().now();
        let mut out = mem::take(&mut self.buffers.local_response);
        let response = LocalResponse {
            keep_alive: KeepAlive::when(keep_alive, self.buffers.head.version()),
            to_head: self.buffers.is_head,
            filled_lines: self.buffers.decision.filled.response_lines(),
            filled_body: self.buffers.decision.filled.body(),
            rate: self.buffers.decision.rate.fields(),
            challenges: self.buffers.decision.filled.challenges(),
            request_id: self.sent_id(),
            debug: self.snapshot.debug_headers(of.route),
            date: date.as_ref().map(|date| &date[..]),
            cors: self.buffers.decision.cors.lines(),
        };
        out.clear();
        let body_bytes = write(&response, &mut out);
        self.write_out(status, keep_alive, out, body_bytes).await
    }

    /// Sends `out`, a whole response with this many bytes of a body.
    pub(super) async fn write_out(
        &mut self,
        status: RequestStatus,
        keep_alive: bool,
        out: Vec<u8>,
        body_bytes: usize,
    ) -> Next {
        if let Some(record) = self.client.observation.record() {
            record.status = status;
            record.bytes = body_bytes as u64;
        }
        self.client.observation.count(&self.client.worker, status);
        let written = self.client.write_all(&out).await;
        self.buffers.local_response = out;
        match written {
            Ok(()) if keep_alive => Next::Request,
            Ok(()) => Next::Linger,
            Err(_) => {
                self.client.observation.end(Ending::Cut(Cause::ClientReset));
                Next::Close
            }
        }
    }

    /// Takes the head, and a body that is here already, out of the buffer. Returns true if the connection may stay
    /// open: a body that has not arrived would be taken for the next request.
    ///
    /// # Errors
    /// The body violates its transfer coding.
    pub(super) fn discard_body(&mut self) -> Result<bool, Failure> {
        let buffers = &mut *self.buffers;
        buffers.from_client.consume(self.head_bytes);
        let mut body = BodyDecoder::new(buffers.head.framing());
        while !body.is_done() {
            match body.decode(buffers.from_client.filled()) {
                Ok(piece) if piece.consumed > 0 => buffers.from_client.consume(piece.consumed),
                Ok(_) => return Ok(false),
                Err(_) => return Err(Failure::BodyMalformed),
            }
        }
        Ok(self.may_keep_alive())
    }
}

impl Client {
    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.timer.set(Instant::now() + WRITE_TIMEOUT);
        let mut writing = pin!(self.link.write_all(bytes));
        poll_fn(|cx| match writing.as_mut().poll(cx) {
            Poll::Pending if self.timer.poll(cx).is_ready() => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            written => written,
        })
        .await
    }
}
