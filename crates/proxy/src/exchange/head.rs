//! The response's head: read, judged, and written for the client.

use waypost_policy::failure::Failure;
use waypost_policy::grpc;
use waypost_policy::grpc::web::WebForm;
use waypost_policy::head::downstream::{self, BodyDelimiter, DownstreamHead};
use waypost_policy::head::edits::{KeepAlive, ResponseEdits};
use waypost_transport::relay::call_status::{CallStatus, WebEncoding};
use waypost_transport::relay::transform::Transform;
use waypost_transport::relay::{BodyForm, CodingError, RelayError};
use waypost_upstream::call::INTERIM_MAX;
use waypost_upstream::response_buffers::ResponseBuffers;
use waypost_wire::body::BodyDecoder;
use waypost_wire::field::FieldKind;
use waypost_wire::framing::Framing;
use waypost_wire::grpc::GrpcCode;
use waypost_wire::response;
use waypost_wire::response::fault::{ResponseFault, ResponseRule};
use waypost_wire::scan::{HeadEnd, HeadScan};
use waypost_wire::version::Version;

use crate::exchange::Exchange;
use crate::exchange::state::{RequestPhase, ResponsePhase};

/// A result of looking for a head.
pub(super) enum HeadFound {
    /// It has not come yet.
    Nothing,
    /// It was taken out of the received bytes, and is being passed on.
    Head,
    /// It is final and declined; the bytes are where they were.
    Declined {
        /// True if all of its response has come, on a connection that stays open.
        is_whole: bool,
    },
    /// It is final, and an error page takes its place; the bytes are where they were.
    Replaced {
        /// As of a declined one.
        is_whole: bool,
    },
}

impl Exchange<'_> {
    /// Takes a head out of the received bytes and begins to pass it on.
    pub(super) fn take_head(&mut self, buffers: &mut ResponseBuffers) -> Result<HeadFound, Failure> {
        let bytes = buffers.from_service.filled();
        let limits = &self.options.response_limits;
        let fail = |fault| {
            let is_http = response::may_begin(bytes);
            let fault = if is_http {
                fault
            } else {
                ResponseFault::of(ResponseRule::NotHttp)
            };
            Err(Failure::InvalidResponse(fault))
        };
        let Some(end) = (match self.state.scan.advance(bytes) {
            Ok(end) => end,
            Err(_) => return fail(ResponseFault::line_end(bytes)),
        }) else {
            return match bytes.len() > limits.bytes || !response::may_begin(bytes) {
                true => fail(ResponseFault::of(ResponseRule::HeadTooLarge)),
                false => Ok(HeadFound::Nothing),
            };
        };
        if let Err(error) = buffers.response.parse(bytes, end, self.options.to_head, limits) {
            let fields = buffers.response.fields();
            return fail(ResponseFault::in_head(
                error,
                &bytes[..end.end],
                end.first_line_end,
                fields,
            ));
        }
        self.state.scan = HeadScan::default();
        match buffers.response.status() {
            101 => self.take_upgrade(buffers, end)?,
            // To an HTTP/2 client, a success means that the tunnel is established (RFC 8441 §5).
            200..300 if self.options.demands_upgrade => return Err(invalid(ResponseRule::NoTunnel)),
            _ if buffers.response.is_interim() => self.take_interim(buffers, end)?,
            status
                if self
                    .options
                    .declined
                    .is_some_and(|declined| declined.contains(status)) =>
            {
                let is_whole = self.is_whole(buffers, end);
                return Ok(HeadFound::Declined { is_whole });
            }
            status if self.options.pages.is_some_and(|pages| pages.replaces(status)) => {
                let is_whole = self.is_whole(buffers, end);
                return Ok(HeadFound::Replaced { is_whole });
            }
            _ => self.take_final(buffers, end)?,
        }
        Ok(HeadFound::Head)
    }

    /// Returns true if all of the response has come, whose head ends at `end`, on a connection that stays open.
    fn is_whole(&self, buffers: &ResponseBuffers, end: HeadEnd) -> bool {
        let body = (buffers.from_service.filled().len() - end.end) as u64;
        let is_body_whole = match buffers.response.framing() {
            Framing::None => body == 0,
            Framing::Length(length) => body == length,
            Framing::Chunked => is_whole_in_chunks(&buffers.from_service.filled()[end.end..]),
            Framing::UntilClose => false,
        };
        is_body_whole
            && self.state.request == RequestPhase::Sent
            && buffers.response.keeps_alive()
            && !self.service.may_have_buffered()
    }

    /// Begins to pass a final response on.
    fn take_final(&mut self, buffers: &mut ResponseBuffers, end: HeadEnd) -> Result<(), Failure> {
        if self.service.has_ended() && buffers.response.framing() == Framing::UntilClose {
            buffers.response.set_no_body();
        }
        let framing = buffers.response.framing();
        let web_type = self.web_type(buffers);
        let call_status = self.options.is_grpc.then(|| begin_call_status(buffers));
        let body = if self.client.frames_bodies() {
            BodyDelimiter::Frames
        } else if web_type.is_some() {
            // Trailers become part of the body.
            BodyDelimiter::of(Framing::UntilClose, self.options.version)
        } else {
            BodyDelimiter::of(framing, self.options.version)
        };
        let keep_alive = self.options.keep_alive
            && body != BodyDelimiter::Close
            && self.state.request == RequestPhase::Sent
            && !self.worker.is_closing(self.options.listener);
        let date = match downstream::is_dated(&buffers.response) {
            true => None,
            false => self.worker.date().now(),
        };
        let head = DownstreamHead {
            response: &buffers.response,
            buffer: buffers.from_service.filled(),
            edits: ResponseEdits {
                date: date.as_ref().map(|date| &date[..]),
                keep_alive: KeepAlive::when(keep_alive, self.options.version),
                ..self.options.edits
            },
            body,
            content_type: web_type.as_deref(),
        };
        head.write(buffers.download.begin(None));
        *self.open_ended = body == BodyDelimiter::Close;
        buffers.from_service.consume(end.end);
        if let (Some(form), Some(_)) = (self.options.web, &web_type) {
            buffers.download.set_transform(match form {
                WebForm::Binary => Transform::GrpcWeb,
                WebForm::Text => Transform::GrpcWebText,
            });
        }
        if let Some(status) = call_status {
            buffers.download.observe_call(status);
        }
        let form = match body {
            BodyDelimiter::Length | BodyDelimiter::Close => BodyForm::Plain,
            BodyDelimiter::Chunks => BodyForm::Chunks,
            BodyDelimiter::Frames => BodyForm::Frames,
        };
        let begun = buffers
            .download
            .begin_body(framing, form, &mut buffers.from_service);
        if let Err(error) = begun {
            // The head in front of the malformed bytes is not out yet.
            *self.open_ended = false;
            let fault = body_fault(&error, buffers.download.body_bytes());
            buffers.download.begin(None);
            return Err(Failure::InvalidResponse(fault));
        }
        self.state.response = ResponsePhase::Relaying { keep_alive };
        Ok(())
    }

    /// Begins to pass an interim response on.
    fn take_interim(&mut self, buffers: &mut ResponseBuffers, end: HeadEnd) -> Result<(), Failure> {
        self.state.interims += 1;
        if self.state.interims > INTERIM_MAX {
            return Err(invalid(ResponseRule::TooManyInterims));
        }
        let out = buffers.download.begin(None);
        // HTTP/1.0 has no interim responses (RFC 9110 §15.2).
        if self.options.version == Version::Http11 {
            let head = DownstreamHead {
                response: &buffers.response,
                buffer: buffers.from_service.filled(),
                edits: self.options.edits,
                body: BodyDelimiter::Length,
                content_type: None,
            };
            head.write_interim(out);
        }
        buffers.from_service.consume(end.end);
        // The client may send its body now, and its clock starts.
        self.state.upload_since = self.worker.clock().coarse_now();
        Ok(())
    }

    /// Begins to pass a `101` on, which is valid only where it was requested (RFC 9110 §15.2.2).
    fn take_upgrade(&mut self, buffers: &mut ResponseBuffers, end: HeadEnd) -> Result<(), Failure> {
        let buffer = buffers.from_service.filled();
        let is_framing = |kind| matches!(kind, FieldKind::ContentLength | FieldKind::TransferEncoding);
        let mut fields = buffers.response.fields().iter();
        if fields.any(|field| is_framing(field.kind)) {
            return Err(invalid(ResponseRule::UpgradeFraming));
        }
        let chosen = buffers.response.upgrade(buffer);
        let (Some(requested), Some(chosen)) = (self.options.upgrade, chosen) else {
            return Err(invalid(ResponseRule::UnrequestedUpgrade));
        };
        if !requested.eq_ignore_ascii_case(chosen) || self.state.request != RequestPhase::Sent {
            return Err(invalid(ResponseRule::UnrequestedUpgrade));
        }
        let head = DownstreamHead {
            response: &buffers.response,
            buffer,
            edits: self.options.edits,
            body: match self.client.frames_bodies() {
                true => BodyDelimiter::Frames,
                false => BodyDelimiter::Length,
            },
            content_type: None,
        };
        head.write_upgrade(chosen, buffers.download.begin(None));
        buffers.from_service.consume(end.end);
        self.state.response = ResponsePhase::Upgraded;
        Ok(())
    }

    /// The `content-type` that a client of gRPC-Web gets, if the response is that of a call.
    fn web_type(&self, buffers: &ResponseBuffers) -> Option<Vec<u8>> {
        let form = self.options.web?;
        let mut fields = buffers.response.fields().iter();
        let content_type = fields.find(|field| field.kind == FieldKind::ContentType)?;
        let value = content_type.value.of(buffers.from_service.filled());
        let mut translated = Vec::new();
        form.write_client_type(value, &mut translated)
            .then_some(translated)
    }
}

/// Returns true if `body` is a whole body in chunks, and nothing comes after it.
fn is_whole_in_chunks(mut body: &[u8]) -> bool {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    while !decoder.is_done() {
        match decoder.decode(body) {
            Ok(piece) if piece.consumed > 0 => body = &body[piece.consumed..],
            Ok(_) | Err(_) => return false,
        }
    }
    body.is_empty()
}

/// A response that breaks `rule`.
fn invalid(rule: ResponseRule) -> Failure {
    Failure::InvalidResponse(ResponseFault::of(rule))
}

/// The fault that an error of the download means, behind `body_bytes` of the body.
pub(super) fn body_fault(error: &RelayError, body_bytes: u64) -> ResponseFault {
    match error {
        RelayError::Coding(CodingError::Chunks(error)) => ResponseFault::in_chunks(*error, body_bytes),
        _ => ResponseFault::of(ResponseRule::Http2),
    }
}

/// The status that the head of a response to a call gives, and how its body is scanned for one.
fn begin_call_status(buffers: &ResponseBuffers) -> CallStatus {
    let bytes = buffers.from_service.filled();
    let fields = buffers.response.fields();
    let code = fields
        .iter()
        .find(|field| field.name.of(bytes).eq_ignore_ascii_case(b"grpc-status"))
        .map(|field| GrpcCode::parse(field.value.of(bytes)));
    let content_type = fields.iter().find(|field| field.kind == FieldKind::ContentType);
    let web = content_type.and_then(|field| grpc::web::form_of(field.value.of(bytes)));
    CallStatus::begin(
        code,
        web.map(|form| match form {
            WebForm::Binary => WebEncoding::Binary,
            WebForm::Text => WebEncoding::Base64,
        }),
    )
}
