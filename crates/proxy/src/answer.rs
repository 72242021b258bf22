//! Answers that the gateway makes itself: errors, redirects, responds.
//!
//! An error says what happened in a sentence, as text or as JSON by `Accept`, with the reason as a
//! `proxy-status` (RFC 9209), and nothing of the inside: no address, no name of a service.

use waypost_plan::header_edits::HeaderEdits;
use waypost_plan::route::Respond;
use waypost_wire::field::{self, Kind};
use waypost_wire::request::{RequestError, RequestHead};
use waypost_wire::write;

use crate::client_head::{DebugHeaders, Persistence};
use crate::clock::HttpClock;
use crate::grpc;

/// Why the gateway answers instead of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The request is not one that may be forwarded.
    Request(RequestError),
    /// The head did not arrive in time.
    HeadTimeout,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body ended early.
    BodyIncomplete,
    /// The body breaks its coding.
    BodyMalformed,
    /// The body is longer than the listener allows.
    BodyTooLarge,
    /// The listener does not serve this host.
    HostNotServed,
    /// No route takes the request.
    NoRoute,
    /// The split has no arm with a weight.
    NoArm,
    /// What a rewrite made of the path has no safe form.
    Rewrite,
    /// The service has no endpoint, or none whose name resolves.
    NoEndpoint,
    /// The gateway itself has no descriptor left for a connection.
    NoDescriptor,
    /// No endpoint accepts connections.
    ConnectionRefused,
    /// No endpoint accepted a connection in time.
    ConnectTimeout,
    /// The TLS handshake with the service failed.
    TlsToService,
    /// The service's certificate is not one that is trusted, or not its own.
    CertificateOfService,
    /// The certificate that the client was shown is not for the host that it asks for.
    Misdirected,
    /// The client floods its connection of HTTP/2 with frames. There is nothing to answer.
    TooManyFrames,
    /// The service closed the connection instead of answering.
    ConnectionTerminated,
    /// The service did not answer in time.
    ResponseTimeout,
    /// The service did not take the request in time.
    WriteTimeout,
    /// The whole exchange took longer than the route allows.
    RouteTimeout,
    /// What the service answered is no valid HTTP.
    Protocol,
}

/// The values of the label `reason`: a word for each kind of failure, for good.
pub(crate) const REASONS: [&str; 37] = [
    "bare_line_end",
    "request_line",
    "version",
    "target_too_long",
    "head_too_large",
    "too_many_headers",
    "header",
    "framing",
    "host_count",
    "host",
    "host_disagrees",
    "method",
    "target",
    "head_incomplete",
    "path",
    "head_timeout",
    "body_timeout",
    "body_incomplete",
    "body_malformed",
    "body_too_large",
    "host_not_served",
    "no_route",
    "no_arm",
    "rewrite",
    "no_endpoint",
    "no_descriptor",
    "connection_refused",
    "connect_timeout",
    "tls_to_service",
    "certificate_of_service",
    "misdirected",
    "too_many_frames",
    "connection_terminated",
    "response_timeout",
    "write_timeout",
    "route_timeout",
    "invalid_answer",
];

impl Failure {
    /// A word for it, one of [`REASONS`].
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Request(error) => match error {
                RequestError::LineEnd(_) => "bare_line_end",
                RequestError::RequestLine => "request_line",
                RequestError::Version => "version",
                RequestError::TargetTooLong => "target_too_long",
                RequestError::HeadTooLarge => "head_too_large",
                RequestError::TooManyFields => "too_many_headers",
                RequestError::Field => "header",
                RequestError::Framing(_) => "framing",
                RequestError::HostCount => "host_count",
                RequestError::Host(_) => "host",
                RequestError::HostDisagrees => "host_disagrees",
                RequestError::Method => "method",
                RequestError::Target(_) => "target",
                RequestError::Incomplete => "head_incomplete",
                RequestError::Path(_) => "path",
            },
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::BodyIncomplete => "body_incomplete",
            Self::BodyMalformed => "body_malformed",
            Self::BodyTooLarge => "body_too_large",
            Self::HostNotServed => "host_not_served",
            Self::NoRoute => "no_route",
            Self::NoArm => "no_arm",
            Self::Rewrite => "rewrite",
            Self::NoEndpoint => "no_endpoint",
            Self::NoDescriptor => "no_descriptor",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::TlsToService => "tls_to_service",
            Self::CertificateOfService => "certificate_of_service",
            Self::Misdirected => "misdirected",
            Self::TooManyFrames => "too_many_frames",
            Self::ConnectionTerminated => "connection_terminated",
            Self::ResponseTimeout => "response_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::RouteTimeout => "route_timeout",
            Self::Protocol => "invalid_answer",
        }
    }

    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Request(error) => error.status(),
            Self::HeadTimeout | Self::BodyTimeout => 408,
            Self::BodyIncomplete | Self::BodyMalformed => 400,
            Self::BodyTooLarge => 413,
            Self::HostNotServed | Self::NoRoute => 404,
            Self::NoArm | Self::Rewrite => 500,
            Self::NoEndpoint | Self::NoDescriptor => 503,
            Self::Misdirected => 421,
            Self::TooManyFrames => 429,
            Self::ConnectionRefused
            | Self::ConnectionTerminated
            | Self::Protocol
            | Self::TlsToService
            | Self::CertificateOfService => 502,
            Self::ConnectTimeout | Self::ResponseTimeout | Self::WriteTimeout | Self::RouteTimeout => 504,
        }
    }

    /// The error type of RFC 9209 §2.3.
    pub(crate) fn proxy_error(self) -> &'static str {
        match self {
            Self::Request(_) | Self::HeadTimeout | Self::BodyTimeout | Self::BodyIncomplete => {
                "http_request_error"
            }
            Self::BodyMalformed | Self::BodyTooLarge => "http_request_error",
            Self::HostNotServed | Self::NoRoute => "destination_not_found",
            Self::NoArm => "destination_unavailable",
            Self::Rewrite => "proxy_configuration_error",
            Self::NoEndpoint => "destination_unavailable",
            Self::NoDescriptor => "connection_limit_reached",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectTimeout => "connection_timeout",
            Self::TlsToService => "tls_protocol_error",
            Self::CertificateOfService => "tls_certificate_error",
            Self::Misdirected | Self::TooManyFrames => "http_request_error",
            Self::ConnectionTerminated => "connection_terminated",
            Self::ResponseTimeout | Self::RouteTimeout => "http_response_timeout",
            Self::WriteTimeout => "connection_write_timeout",
            Self::Protocol => "http_protocol_error",
        }
    }

    /// What the client reads.
    pub(crate) fn message(self) -> String {
        match self {
            Self::Request(error) => error.to_string(),
            Self::HeadTimeout => "the request head did not arrive in time".to_owned(),
            Self::BodyTimeout => "the request body did not arrive in time".to_owned(),
            Self::BodyIncomplete => "the request body ended early".to_owned(),
            Self::BodyMalformed => "the request body is malformed".to_owned(),
            Self::BodyTooLarge => "the request body is too large".to_owned(),
            Self::HostNotServed => "this host is not served here".to_owned(),
            Self::NoRoute => "no route takes this request".to_owned(),
            Self::NoArm => "the route sends its traffic nowhere".to_owned(),
            Self::Rewrite => "the route's rewrite gives a path that cannot be forwarded".to_owned(),
            Self::NoEndpoint => "the service has no endpoint that is ready".to_owned(),
            Self::NoDescriptor => "the gateway has no more connections to give".to_owned(),
            Self::ConnectionRefused => "the service refused the connection".to_owned(),
            Self::ConnectTimeout => "the service could not be reached in time".to_owned(),
            Self::TlsToService => "no secure connection to the service came about".to_owned(),
            Self::CertificateOfService => "the certificate of the service cannot be trusted".to_owned(),
            Self::TooManyFrames => "the connection is flooded with frames".to_owned(),
            Self::Misdirected => "this connection's certificate is not for this host".to_owned(),
            Self::ConnectionTerminated => "the service closed the connection before it answered".to_owned(),
            Self::ResponseTimeout => "the service did not answer in time".to_owned(),
            Self::WriteTimeout => "the service did not take the request in time".to_owned(),
            Self::RouteTimeout => "the exchange took longer than its route allows".to_owned(),
            Self::Protocol => "the service gave an invalid answer".to_owned(),
        }
    }

    /// Whether the client's connection cannot be used any more: its bytes are not to be trusted, or some of
    /// them have not been read.
    pub(crate) fn closes(self) -> bool {
        matches!(
            self,
            Self::Request(_)
                | Self::HeadTimeout
                | Self::BodyTimeout
                | Self::BodyIncomplete
                | Self::BodyMalformed
                | Self::BodyTooLarge
        )
    }

    /// Whose doing it was, for the access log.
    pub(crate) fn culprit(self) -> &'static str {
        match self {
            Self::Request(_)
            | Self::HeadTimeout
            | Self::BodyTimeout
            | Self::BodyIncomplete
            | Self::BodyMalformed
            | Self::BodyTooLarge
            | Self::Misdirected
            | Self::TooManyFrames => "client",
            Self::HostNotServed
            | Self::NoRoute
            | Self::NoArm
            | Self::Rewrite
            | Self::NoEndpoint
            | Self::NoDescriptor
            | Self::RouteTimeout => "gateway",
            Self::ConnectionRefused
            | Self::ConnectTimeout
            | Self::TlsToService
            | Self::CertificateOfService
            | Self::ConnectionTerminated
            | Self::ResponseTimeout
            | Self::WriteTimeout
            | Self::Protocol => "service",
        }
    }
}

/// The form in which a client reads of errors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum ErrorForm {
    /// A sentence.
    #[default]
    Text,
    /// The same in JSON.
    Json,
    /// The status of a call of gRPC; what the call has as `content-type`.
    Grpc(Vec<u8>),
}

impl ErrorForm {
    /// The form that a request asks for.
    pub(crate) fn of(head: &RequestHead, buffer: &[u8]) -> Self {
        match grpc::call_type(head, buffer) {
            Some(content_type) => Self::Grpc(content_type.to_vec()),
            None if wants_json(head, buffer) => Self::Json,
            None => Self::Text,
        }
    }

    /// The status of an answer in this form: that of a call that fails stands elsewhere.
    pub(crate) fn status(&self, failure: Failure) -> u16 {
        match self.call_type(failure) {
            Some(_) => 200,
            None => failure.status(),
        }
    }

    /// The `content-type` of an answer to a call. What is misdirected is said to whoever holds the connection, who then
    /// makes the call on another (RFC 9110 §15.5.20).
    fn call_type(&self, failure: Failure) -> Option<&[u8]> {
        match self {
            Self::Grpc(content_type) if failure != Failure::Misdirected => Some(content_type),
            _ => None,
        }
    }
}

/// What an answer is written with, whatever it says.
pub(crate) struct Envelope<'a> {
    pub(crate) persistence: Persistence,
    /// Whether it answers a HEAD, and so has no body.
    pub(crate) to_head: bool,
    pub(crate) debug: Option<DebugHeaders<'a>>,
    /// The time now; `explain` leaves it out.
    pub(crate) clock: Option<&'a HttpClock>,
}

impl Envelope<'_> {
    /// Appends an error in the form that the client reads; how many bytes of body that is.
    pub(crate) fn write_failure(&self, failure: Failure, form: &ErrorForm, out: &mut Vec<u8>) -> usize {
        let status = form.status(failure);
        if let Some(content_type) = form.call_type(failure) {
            write_status_line(status, out);
            write::field(out, b"content-type", content_type);
            write::field(out, b"grpc-status", grpc::status(failure).to_string().as_bytes());
            out.extend_from_slice(b"grpc-message: ");
            grpc::write_message(&failure.message(), out);
            out.extend_from_slice(b"\r\n");
            write_proxy_status(failure, out);
            return self.finish(status, &HeaderEdits::default(), b"", out);
        }
        let (content_type, body) = if *form == ErrorForm::Json {
            let title = serde_json::Value::from(write::reason(status));
            let detail = serde_json::Value::from(failure.message());
            let body = format!("{{\"status\":{status},\"title\":{title},\"detail\":{detail}}}\n");
            ("application/json", body)
        } else {
            (
                "text/plain; charset=utf-8",
                format!("{status} {}: {}\n", write::reason(status), failure.message()),
            )
        };
        write_status_line(status, out);
        write::field(out, b"content-type", content_type.as_bytes());
        write_proxy_status(failure, out);
        self.finish(status, &HeaderEdits::default(), body.as_bytes(), out)
    }

    /// Appends a redirect; how many bytes of body that is.
    pub(crate) fn write_redirect(
        &self,
        status: u16,
        location: &[u8],
        edits: &HeaderEdits,
        out: &mut Vec<u8>,
    ) -> usize {
        write_status_line(status, out);
        if !edits.drops(b"location") {
            write::field(out, b"location", location);
        }
        self.finish(status, edits, b"", out)
    }

    /// Appends an answer from the config; how many bytes of body that is.
    pub(crate) fn write_respond(&self, respond: &Respond, edits: &HeaderEdits, out: &mut Vec<u8>) -> usize {
        write_status_line(respond.status, out);
        let bodiless = matches!(respond.status, 204 | 205 | 304);
        if !edits.drops(b"content-type") && !bodiless {
            write::field(out, b"content-type", respond.content_type.as_bytes());
        }
        self.finish(
            respond.status,
            edits,
            if bodiless { b"" } else { &respond.body },
            out,
        )
    }

    fn finish(&self, status: u16, edits: &HeaderEdits, body: &[u8], out: &mut Vec<u8>) -> usize {
        if !matches!(status, 204 | 304) {
            write::content_length(out, body.len() as u64);
        }
        if let Some(clock) = self.clock
            && !edits.drops(b"date")
        {
            clock.write(out);
        }
        if let Some(debug) = &self.debug {
            debug.write(edits, out);
        }
        self.persistence.write(out);
        for (name, value) in edits.lines() {
            write::field(out, name.as_bytes(), value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        if self.to_head {
            return 0;
        }
        out.extend_from_slice(body);
        body.len()
    }
}

/// Whether the client asks for JSON: an `Accept` names it, or a format made of it.
fn wants_json(head: &RequestHead, buffer: &[u8]) -> bool {
    head.fields()
        .iter()
        .filter(|field| field.kind == Kind::Accept)
        .any(|line| names_json(line.value.of(buffer)))
}

/// Whether one of these media ranges is JSON. Every request is asked, few fail: the usual ones are told apart at a glance.
fn names_json(ranges: &[u8]) -> bool {
    const JSON: &[u8] = b"application/json";
    if let Some((first, rest)) = ranges.split_at_checked(JSON.len())
        && first.eq_ignore_ascii_case(JSON)
        && matches!(rest.first(), None | Some(b',' | b';'))
    {
        return true;
    }
    if memchr::memchr2(b'j', b'J', ranges).is_none() {
        return false;
    }
    field::list(ranges)
        .map(|range| field::trim_blanks(range.split(|&byte| byte == b';').next().unwrap_or(range)))
        .any(|range| {
            range.eq_ignore_ascii_case(JSON)
                || (range.len() > 5 && range[range.len() - 5..].eq_ignore_ascii_case(b"+json"))
        })
}

fn write_proxy_status(failure: Failure, out: &mut Vec<u8>) {
    let reason = format!("waypost; error={}", failure.proxy_error());
    write::field(out, b"proxy-status", reason.as_bytes());
}

fn write_status_line(status: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("HTTP/1.1 {status} {}\r\n", write::reason(status)).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_asked_for_by_any_range_that_names_it() {
        for ranges in [
            "application/json",
            "Application/JSON;q=0.9, text/plain",
            "text/plain, application/json",
            "text/plain,application/problem+JSON ; q=0.5",
        ] {
            assert!(names_json(ranges.as_bytes()), "{ranges}");
        }
        for ranges in [
            "",
            "*/*",
            "text/html, image/jxl",
            "application/jsonlines",
            "application/json5, text/plain",
            "text/plain;format=json",
            "+json",
        ] {
            assert!(!names_json(ranges.as_bytes()), "{ranges}");
        }
    }
}
