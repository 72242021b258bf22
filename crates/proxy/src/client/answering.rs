//! Answering without a service: redirects, responds, and errors.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use waypost_plan::header_edits::HeaderEdits;
use waypost_plan::listener::Listener;
use waypost_plan::redirect::Redirect;
use waypost_plan::route::{Respond, Route};
use waypost_route::path::PathPattern;
use waypost_route::table::Found;
use waypost_wire::body::BodyDecoder;
use waypost_wire::scan::HeadEnd;

use crate::answer::{Envelope, ErrorForm, Failure};
use crate::client::{COMPLETE, Client, Next, debug_headers};
use crate::client_head::Persistence;
use crate::exchange::WRITE_STALL;
use crate::worker::{Snapshot, Workspace};

/// How long a connection that is being closed still swallows what its client sends, so that the answer is
/// not destroyed by a reset.
pub(crate) const LINGER: Duration = Duration::from_secs(2);
/// How much it swallows.
pub(crate) const LINGER_BYTES: usize = 1 << 20;

/// Whether the client's connection goes on after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    Yes,
    No,
}

impl Keeps {
    pub(super) fn when(keeps: bool) -> Self {
        if keeps { Self::Yes } else { Self::No }
    }
}

impl Client {
    /// Sends the client elsewhere.
    #[expect(clippy::too_many_arguments, reason = "everything a request has become by now")]
    pub(super) async fn redirect(
        &mut self,
        workspace: &mut Workspace,
        snapshot: &Snapshot,
        listener: &Listener,
        end: HeadEnd,
        route: &Route,
        redirect: &Redirect,
        found: Found,
    ) -> Next {
        let url = workspace
            .facts
            .url(&workspace.head, workspace.from_client.filled());
        let mut location = Vec::new();
        let pattern = &route.matching.alternatives[found.alternative].path;
        let located = redirect.location(&url, pattern, listener.paths, &mut location);
        let name = &route.matching.name;
        if located.is_err() {
            return self
                .answer_instead(workspace, snapshot, end, Failure::Rewrite, name)
                .await;
        }
        self.answer_as(
            workspace,
            snapshot,
            end,
            name,
            redirect.status,
            |envelope, out| envelope.write_redirect(redirect.status, &location, &route.response_headers, out),
        )
        .await
    }

    /// Sends the client elsewhere, as the listener does with everybody.
    pub(super) async fn redirect_all(
        &mut self,
        workspace: &mut Workspace,
        snapshot: &Snapshot,
        listener: &Listener,
        end: HeadEnd,
        redirect: &Redirect,
    ) -> Next {
        let url = workspace
            .facts
            .url(&workspace.head, workspace.from_client.filled());
        let mut location = Vec::new();
        let located = redirect.location(&url, &PathPattern::any(), listener.paths, &mut location);
        if located.is_err() {
            return self
                .answer_instead(workspace, snapshot, end, Failure::Rewrite, "")
                .await;
        }
        let edits = HeaderEdits::default();
        self.answer_as(workspace, snapshot, end, "", redirect.status, |envelope, out| {
            envelope.write_redirect(redirect.status, &location, &edits, out)
        })
        .await
    }

    /// Gives the route's own answer.
    pub(super) async fn respond(
        &mut self,
        workspace: &mut Workspace,
        snapshot: &Snapshot,
        end: HeadEnd,
        route: &Route,
        respond: &Respond,
    ) -> Next {
        let name = &route.matching.name;
        self.answer_as(workspace, snapshot, end, name, respond.status, |envelope, out| {
            envelope.write_respond(respond, &route.response_headers, out)
        })
        .await
    }

    /// Sends what `write` writes in the name of a route; it returns how many bytes of body that has.
    async fn answer_as(
        &mut self,
        workspace: &mut Workspace,
        snapshot: &Snapshot,
        end: HeadEnd,
        name: &str,
        status: u16,
        write: impl FnOnce(&Envelope<'_>, &mut Vec<u8>) -> usize,
    ) -> Next {
        let keeps = match self.swallow_body(workspace, end) {
            Ok(keeps) => keeps,
            Err(failure) => {
                return self
                    .answer_failure(workspace, snapshot, failure, name, Keeps::No)
                    .await;
            }
        };
        let mut out = mem::take(&mut workspace.own_answer);
        out.clear();
        let bytes = write(&self.envelope(workspace, snapshot, name, keeps), &mut out);
        let next = self.send(status, bytes, &out, keeps).await;
        workspace.own_answer = out;
        next
    }

    /// Answers bytes that are no request, or none that may be forwarded. Of what was parsed, nothing is sure.
    pub(super) async fn refuse(
        &mut self,
        workspace: &mut Workspace,
        snapshot: &Snapshot,
        failure: Failure,
    ) -> Next {
        let bytes = workspace.from_client.filled();
        let begins = bytes.get(workspace.scan.start()..).unwrap_or_default();
        workspace.is_head = begins.starts_with(b"HEAD ");
        workspace.error_form = ErrorForm::Text;
        self.note_first_line(workspace);
        self.answer_failure(workspace, snapshot, failure, "", Keeps::No)
            .await
    }

    /// Answers a request that is in order, but gets no answer from a service.
    pub(super) async fn answer_instead(
        &mut self,
        workspace: &mut Workspace,
        snapshot: &Snapshot,
        end: HeadEnd,
        failure: Failure,
        route: &str,
    ) -> Next {
        let (failure, keeps) = match self.swallow_body(workspace, end) {
            Ok(keeps) => (failure, keeps),
            Err(malformed) => (malformed, Keeps::No),
        };
        self.answer_failure(workspace, snapshot, failure, route, keeps)
            .await
    }

    /// Says what went wrong.
    pub(super) async fn answer_failure(
        &mut self,
        workspace: &mut Workspace,
        snapshot: &Snapshot,
        failure: Failure,
        route: &str,
        keeps: Keeps,
    ) -> Next {
        let keeps = Keeps::when(keeps == Keeps::Yes && !failure.closes());
        let mut out = mem::take(&mut workspace.own_answer);
        out.clear();
        let envelope = self.envelope(workspace, snapshot, route, keeps);
        let bytes = envelope.write_failure(failure, &workspace.error_form, &mut out);
        let status = workspace.error_form.status(failure);
        self.note_failure(failure);
        self.worker.recorder().failed(failure);
        let next = self.send(status, bytes, &out, keeps).await;
        workspace.own_answer = out;
        next
    }

    fn envelope<'a>(
        &'a self,
        workspace: &Workspace,
        snapshot: &Snapshot,
        route: &'a str,
        keeps: Keeps,
    ) -> Envelope<'a> {
        Envelope {
            persistence: match keeps {
                Keeps::Yes => Persistence::of(workspace.head.version(), true),
                Keeps::No => Persistence::Close,
            },
            to_head: workspace.is_head,
            debug: debug_headers(snapshot, route),
            clock: Some(self.worker.http_clock()),
        }
    }

    /// Takes the head, and a body that is here already, out of the buffer; whether the connection can go on.
    ///
    /// A body that is still on its way would be taken for the next request, so the connection ends then.
    ///
    /// # Errors
    /// When the body breaks its coding.
    fn swallow_body(&self, workspace: &mut Workspace, end: HeadEnd) -> Result<Keeps, Failure> {
        workspace.from_client.consume(end.end);
        let mut body = BodyDecoder::new(workspace.head.framing());
        while !body.is_done() {
            match body.decode(workspace.from_client.filled()) {
                Ok(piece) if piece.consumed > 0 => workspace.from_client.consume(piece.consumed),
                Ok(_) => return Ok(Keeps::No),
                Err(_) => return Err(Failure::BodyMalformed),
            }
        }
        Ok(Keeps::when(self.may_persist(workspace)))
    }

    /// Writes an answer of the gateway's own.
    async fn send(&mut self, status: u16, body_bytes: usize, answer: &[u8], keeps: Keeps) -> Next {
        if let Some(record) = &mut self.record {
            record.status = status;
            record.bytes = body_bytes as u64;
            record.ended = record.ended.or(Some(("gateway", COMPLETE)));
        }
        self.count(status, None);
        match self.write_all(answer).await {
            Ok(()) if keeps == Keeps::Yes => Next::Request,
            Ok(()) => Next::Linger,
            Err(_) => {
                self.note_end("client", "connection reset");
                Next::Close
            }
        }
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.timer.set(Instant::now() + WRITE_STALL);
        let mut writing = pin!(self.link.write_all(bytes));
        poll_fn(|cx| match writing.as_mut().poll(cx) {
            Poll::Pending if self.timer.poll(cx).is_ready() => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            written => written,
        })
        .await
    }

    /// Ends the sending side, and swallows for a while what the client still sends.
    pub(super) async fn linger(&mut self, workspace: &mut Workspace) {
        self.timer.set(Instant::now() + LINGER);
        let ended = poll_fn(|cx| match self.link.poll_shutdown(cx) {
            Poll::Pending => self.timer.poll(cx).map(|()| false),
            ended => ended.map(|ended| ended.is_ok()),
        });
        if !ended.await {
            return;
        }
        let mut swallowed = 0;
        poll_fn(|cx| {
            loop {
                workspace.from_client.clear();
                match self.link.poll_fill(cx, &mut workspace.from_client) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(count)) => swallowed += count,
                    Poll::Pending => return self.timer.poll(cx),
                }
                if swallowed > LINGER_BYTES {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }
}
