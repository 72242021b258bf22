//! One exchange with a service: both directions at once, driven by the client connection's own task.

pub(crate) mod connect;
mod deadline;
pub(crate) mod relay;
pub(crate) mod splice;

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use waypost_plan::header_edits::HeaderEdits;
use waypost_plan::service::Timeouts;
use waypost_wire::field::{Framing, Kind, Version};
use waypost_wire::response;
use waypost_wire::scan::{HeadEnd, HeadScan};

use crate::answer::Failure;
use crate::buffer::Buffer;
use crate::client_head::{BodyToClient, ClientHead, DebugHeaders, Persistence};
use crate::exchange::relay::{Relay, RelayError, Waits};
use crate::generation::ListenerId;
use crate::grpc::web::{Recoding, WebForm};
use crate::link::Link;
use crate::meter::Meter;
use crate::mirror::MirrorCopy;
use crate::timer::Timer;
use crate::worker::{Reply, Worker};

/// How many interim answers a request may get.
pub(crate) const INTERIM_MAX: u32 = 8;
/// How long a peer may take none of what is written to it.
pub(crate) const WRITE_STALL: Duration = Duration::from_secs(30);
/// A request body has to come at this many bytes a second...
pub(crate) const BODY_RATE_MIN: u64 = 1024;
/// ...once it has been waited for this long.
pub(crate) const BODY_RATE_GRACE: Duration = Duration::from_secs(10);

/// What the client's side of an exchange needs to know.
#[derive(Clone, Copy)]
pub(crate) struct ClientSide<'a> {
    pub(crate) version: Version,
    pub(crate) to_head: bool,
    /// Whether the client means to go on after the answer.
    pub(crate) keeps_alive: bool,
    pub(crate) listener: ListenerId,
    pub(crate) edits: &'a HeaderEdits,
    pub(crate) debug: Option<DebugHeaders<'a>>,
    /// The value of a `set-cookie` that the gateway adds; empty for none.
    pub(crate) set_cookie: &'a [u8],
    /// Whether the client waits for a `100 Continue` before it sends its body.
    pub(crate) expects: bool,
    pub(crate) body_idle: Duration,
    /// The protocol that the connection is to be upgraded to.
    pub(crate) upgrade: Option<&'a [u8]>,
    /// Whether it makes no sense without, as an extended CONNECT.
    pub(crate) demands_upgrade: bool,
    /// Whether it is a call of gRPC, which may pause for long in either direction.
    pub(crate) is_call: bool,
    /// The form of gRPC-Web that the client speaks.
    pub(crate) web: Option<WebForm>,
}

/// How long the parts of an exchange may take.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) service: Timeouts,
    /// When the route's own timeout ends.
    pub(crate) route: Option<Instant>,
}

/// An exchange that is under way.
pub(crate) struct Exchange<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    /// The copy of the request that is sent once its body has come.
    pub(crate) copy: &'a mut Option<MirrorCopy>,
    /// What the answer is counted by; taken once it is.
    pub(crate) meter: &'a mut Option<Meter>,
    /// Raised while the end of the connection would end the answer, so that a cut must not look like it.
    pub(crate) open_ended: &'a mut bool,
    pub(crate) side: ClientSide<'a>,
    pub(crate) patience: Patience,
    pub(crate) client: &'a mut Link,
    pub(crate) from_client: &'a mut Buffer,
    pub(crate) service: Link,
    pub(crate) upload: &'a mut Relay,
    /// Borrowed once the service has something to say.
    pub(crate) reply: &'a mut Option<Box<Reply>>,
    pub(crate) state: State,
}

/// How far an exchange has come.
pub(crate) struct State {
    began: Instant,
    uploading: Uploading,
    scan: HeadScan,
    interims: u32,
    /// Whether a byte of the answer has come.
    heard: bool,
    /// Whether the final head has been read, and its writing begun.
    answering: bool,
    /// Whether it was one that ends HTTP.
    upgraded: bool,
    /// How the final head said that the client's connection goes on.
    persists: bool,
    /// Whether the client is still watched for leaving.
    watching: bool,
    /// Since when the upload, the answer, the download wait as they do.
    upload_since: Instant,
    download_since: Instant,
    /// When something moved last, in either direction.
    moved: Instant,
    /// How long the client was waited for in all.
    client_waited: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Uploading {
    Active,
    Finished,
    /// The service takes no more; it may have answered all the same.
    Broken,
}

/// How an exchange ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The client has all of the answer.
    Complete {
        /// Whether both directions finished exactly, so that the service's connection can be used again.
        reusable: bool,
        /// Whether the client's connection goes on.
        persists: bool,
    },
    /// The service speaks another protocol from now on, and the answer that says so is about to be written.
    Upgraded,
    /// It failed before the client got a byte of the final answer.
    Failed {
        failure: Failure,
        /// Whether the service said nothing at all: a reused connection may have been dead.
        silent: bool,
    },
    /// It failed with the answer half given: all that is left is to cut it off.
    Cut { by: &'static str, reason: &'static str },
}

/// That no answer can be passed on. Whoever finds out has the reply, without which nobody can say what end that makes.
struct Broken {
    failure: Failure,
    /// Whether the service said nothing at all.
    silent: bool,
}

impl State {
    /// `interims` is how many interim answers the client has had of earlier attempts.
    pub(crate) fn new(now: Instant, interims: u32) -> Self {
        Self {
            began: now,
            uploading: Uploading::Active,
            scan: HeadScan::default(),
            interims,
            heard: false,
            answering: false,
            upgraded: false,
            persists: false,
            watching: true,
            upload_since: now,
            download_since: now,
            moved: now,
            client_waited: Duration::ZERO,
        }
    }

    /// How many interim answers the client has had.
    pub(crate) fn interims(&self) -> u32 {
        self.interims
    }

    /// Whether bytes of the final answer may have reached the client.
    pub(crate) fn answering(&self) -> bool {
        self.answering
    }
}

impl Exchange<'_> {
    /// Moves what can be moved, in both directions.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Timer) -> Poll<End> {
        let upload_waited_for = self.upload.waits_for;
        if self.state.uploading == Uploading::Active
            && let Poll::Ready(end) = self.poll_upload(cx)
        {
            return Poll::Ready(end);
        }
        if self.copy.is_some()
            && let Some(tap) = self.upload.take_tap()
            && let Some(copy) = self.copy.take()
        {
            copy.send_with(self.worker, tap);
        }
        if let Poll::Ready(end) = self.poll_answer(cx) {
            return Poll::Ready(end);
        }
        if self.client_left(cx) {
            return Poll::Ready(End::Cut {
                by: "client",
                reason: "connection reset",
            });
        }
        self.note_progress(upload_waited_for);
        let (deadline, _) = self.deadline();
        timer.set(deadline);
        if timer.poll(cx).is_ready() {
            return Poll::Ready(self.out_of_time());
        }
        Poll::Pending
    }

    /// `Ready` when the exchange is over for the upload's sake.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let failure = match self.upload.poll(
            cx,
            self.client,
            self.from_client,
            &mut self.service,
            Some(self.worker.pipes()),
            || {},
        ) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {
                self.state.uploading = Uploading::Finished;
                self.state.download_since = self.worker.clock().about_now();
                return Poll::Pending;
            }
            Poll::Ready(Err(RelayError::Sink)) => {
                self.state.uploading = Uploading::Broken;
                self.state.download_since = self.worker.clock().about_now();
                return Poll::Pending;
            }
            Poll::Ready(Err(RelayError::Source)) => {
                return Poll::Ready(End::Cut {
                    by: "client",
                    reason: "connection reset",
                });
            }
            Poll::Ready(Err(RelayError::Ended)) => Failure::BodyIncomplete,
            Poll::Ready(Err(RelayError::Coding)) => Failure::BodyMalformed,
            Poll::Ready(Err(RelayError::TooLarge)) => Failure::BodyTooLarge,
        };
        Poll::Ready(self.fail(failure, false))
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mut reply = match self.reply.take() {
            Some(reply) => reply,
            // While the service thinks, nothing but the request is held. Reading tells of failures.
            None if self.service.poll_may_say(cx).is_pending() => return Poll::Pending,
            None => self.worker.borrow_reply(),
        };
        let polled = self.poll_reply(cx, &mut reply);
        *self.reply = Some(reply);
        polled.map(|end| end.unwrap_or_else(|Broken { failure, silent }| self.fail(failure, silent)))
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>, reply: &mut Reply) -> Poll<Result<End, Broken>> {
        while !self.state.answering {
            // An interim answer leaves before anything else is read.
            match reply.download.poll_flush(cx, self.client) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    return Poll::Ready(Ok(End::Cut {
                        by: "client",
                        reason: "connection reset",
                    }));
                }
                Poll::Pending => return Poll::Pending,
            }
            match self.take_head(reply) {
                Err(failure) => {
                    return Poll::Ready(Err(Broken {
                        failure,
                        silent: false,
                    }));
                }
                Ok(true) => continue,
                Ok(false) => {}
            }
            match self.service.poll_fill(cx, &mut reply.from_service) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => {
                    let silent = !self.state.heard;
                    let failure = if self.service.is_malformed() {
                        Failure::Protocol
                    } else {
                        Failure::ConnectionTerminated
                    };
                    return Poll::Ready(Err(Broken { failure, silent }));
                }
                Poll::Ready(Ok(_)) => self.state.heard = true,
            }
        }
        if self.state.upgraded {
            return Poll::Ready(Ok(End::Upgraded));
        }
        let (meter, worker, began) = (&mut *self.meter, self.worker, self.state.began);
        let status = reply.answer.status();
        let count = || {
            if let Some(meter) = meter.take() {
                meter.count(worker, status, Some(began));
            }
        };
        match reply.download.poll(
            cx,
            &mut self.service,
            &mut reply.from_service,
            self.client,
            Some(self.worker.pipes()),
            count,
        ) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => {
                *self.open_ended = false;
                Poll::Ready(Ok(End::Complete {
                    reusable: self.state.uploading == Uploading::Finished
                        && reply.answer.keeps_alive()
                        && reply.from_service.is_empty()
                        && !self.service.holds_more(),
                    persists: self.state.persists && self.state.uploading == Uploading::Finished,
                }))
            }
            Poll::Ready(Err(RelayError::Sink)) => Poll::Ready(Ok(End::Cut {
                by: "client",
                reason: "connection reset",
            })),
            Poll::Ready(Err(RelayError::Ended | RelayError::Source)) => Poll::Ready(Ok(End::Cut {
                by: "service",
                reason: "http_response_incomplete",
            })),
            Poll::Ready(Err(RelayError::Coding | RelayError::TooLarge)) => Poll::Ready(Ok(End::Cut {
                by: "service",
                reason: "http_protocol_error",
            })),
        }
    }

    /// Takes an answer's head out of what has arrived, and begins to pass it on; whether there was one.
    fn take_head(&mut self, reply: &mut Reply) -> Result<bool, Failure> {
        let bytes = reply.from_service.filled();
        let Some(end) = self.state.scan.advance(bytes).map_err(|_| Failure::Protocol)? else {
            let hopeless = !response::may_begin(bytes) || bytes.len() > response::HEAD_BYTES_MAX;
            return if hopeless {
                Err(Failure::Protocol)
            } else {
                Ok(false)
            };
        };
        reply
            .answer
            .parse(bytes, end, self.side.to_head)
            .map_err(|_| Failure::Protocol)?;
        self.state.scan = HeadScan::default();
        if reply.answer.status() == 101 {
            return self.take_upgrade(reply, end);
        }
        // A success would tell a client of HTTP/2 that the tunnel is there (RFC 8441 §5).
        if self.side.demands_upgrade && (200..300).contains(&reply.answer.status()) {
            return Err(Failure::Protocol);
        }
        let interim = reply.answer.is_interim();
        if !interim && self.service.has_ended() && reply.answer.framing() == Framing::UntilClose {
            reply.answer.has_no_body();
        }
        let framing = reply.answer.framing();
        let web_type = self.web_type(reply).filter(|_| !interim);
        let body = if self.client.frames_bodies() {
            BodyToClient::Framed
        } else if web_type.is_some() {
            // Trailers become part of it.
            BodyToClient::of(Framing::UntilClose, self.side.version)
        } else {
            BodyToClient::of(framing, self.side.version)
        };
        self.state.persists = self.side.keeps_alive
            && body != BodyToClient::UntilClose
            && self.state.uploading == Uploading::Finished
            && !self.worker.is_closing(self.side.listener);
        let head = ClientHead {
            answer: &reply.answer,
            buffer: bytes,
            edits: self.side.edits,
            body,
            persistence: Persistence::of(self.side.version, self.state.persists),
            debug: self.side.debug,
            set_cookie: self.side.set_cookie,
            content_type: web_type.as_deref(),
            clock: self.worker.http_clock(),
        };
        if interim {
            self.state.interims += 1;
            if self.state.interims > INTERIM_MAX {
                return Err(Failure::Protocol);
            }
            let out = reply.download.begin(None);
            // HTTP/1.0 has no interim answers (RFC 9110 §15.2).
            if self.side.version == Version::Http11 {
                head.write_interim(out);
            }
            reply.from_service.consume(end.end);
            // The client may send its body now, and its time runs.
            self.state.upload_since = self.worker.clock().about_now();
            return Ok(true);
        }
        *self.open_ended = body == BodyToClient::UntilClose;
        head.write(reply.download.begin(None));
        reply.from_service.consume(end.end);
        self.state.answering = true;
        if let (Some(form), Some(_)) = (self.side.web, &web_type) {
            reply.download.recode(Recoding::of_answer(form));
        }
        // A body that breaks its coding in its first bytes has a head in front of it that is not out yet.
        match reply
            .download
            .begin_body(framing, body.form(), &mut reply.from_service)
        {
            Ok(()) => Ok(true),
            Err(_) => {
                self.state.answering = false;
                *self.open_ended = false;
                reply.download.begin(None);
                Err(Failure::Protocol)
            }
        }
    }

    /// The `content-type` that a client of gRPC-Web gets, where the answer is that of a call.
    fn web_type(&self, reply: &Reply) -> Option<Vec<u8>> {
        let form = self.side.web?;
        let mut fields = reply.answer.fields().iter();
        let content_type = fields.find(|field| field.kind == Kind::ContentType)?;
        let value = content_type.value.of(reply.from_service.filled());
        let mut translated = Vec::new();
        form.write_client_type(value, &mut translated)
            .then_some(translated)
    }

    /// Takes the head of a `101`, which is one only where it was asked for (RFC 9110 §15.2.2).
    fn take_upgrade(&mut self, reply: &mut Reply, end: HeadEnd) -> Result<bool, Failure> {
        let buffer = reply.from_service.filled();
        let chosen = reply.answer.upgrade(buffer);
        let is_framing = |kind| matches!(kind, Kind::ContentLength | Kind::TransferEncoding);
        if reply.answer.fields().iter().any(|field| is_framing(field.kind)) {
            return Err(Failure::Protocol);
        }
        let (Some(asked), Some(chosen)) = (self.side.upgrade, chosen) else {
            return Err(Failure::Protocol);
        };
        if !asked.eq_ignore_ascii_case(chosen) || self.state.uploading != Uploading::Finished {
            return Err(Failure::Protocol);
        }
        let body = if self.client.frames_bodies() {
            BodyToClient::Framed
        } else {
            BodyToClient::AsIs
        };
        let head = ClientHead {
            answer: &reply.answer,
            buffer,
            edits: self.side.edits,
            body,
            persistence: Persistence::Implied,
            debug: self.side.debug,
            set_cookie: self.side.set_cookie,
            content_type: None,
            clock: self.worker.http_clock(),
        };
        head.write_upgrade(chosen, reply.download.begin(None));
        reply.from_service.consume(end.end);
        self.state.answering = true;
        self.state.upgraded = true;
        Ok(true)
    }

    /// The end that a failure makes: an answer if none was begun, else a cut.
    fn fail(&self, failure: Failure, silent: bool) -> End {
        // An interim answer that is half written leaves no room for another answer either.
        let is_flushed = self
            .reply
            .as_ref()
            .is_none_or(|reply| reply.download.is_flushed());
        if self.state.answering || !is_flushed {
            return End::Cut {
                by: failure.culprit(),
                reason: failure.proxy_error(),
            };
        }
        End::Failed { failure, silent }
    }

    /// Whether the client has gone while the service is waited for.
    fn client_left(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.state.watching || self.state.uploading == Uploading::Active {
            return false;
        }
        match self.client.poll_gone(cx) {
            Poll::Pending => false,
            Poll::Ready(gone) => {
                self.state.watching = false;
                gone
            }
        }
    }

    /// Restarts the clocks of what moved. Time in which the upload waited for its source is the client's.
    fn note_progress(&mut self, upload_waited_for: Waits) {
        let up = self.upload.take_progress();
        let down = self
            .reply
            .as_mut()
            .is_some_and(|reply| reply.download.take_progress());
        if up || down {
            let now = self.worker.clock().about_now();
            self.state.moved = now;
            if up {
                if upload_waited_for == Waits::Source {
                    self.state.client_waited += now - self.state.upload_since;
                }
                self.state.upload_since = now;
            }
            if down && self.state.answering {
                self.state.download_since = now;
            }
        }
    }
}
