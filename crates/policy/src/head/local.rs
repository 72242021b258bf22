//! Responses of the gateway's own: errors, redirects, and those that routes configure.
//!
//! An error describes the failure in a sentence, as text or JSON by `Accept`, with the reason as `proxy-status`
//! (RFC 9209). It reveals nothing internal: no address, no name of a service.

use waypost_plan::header_edits::HeaderEdits;
use waypost_plan::route::Respond;
use waypost_wire::write;

use crate::cors::CorsLines;
use crate::error_format::ErrorFormat;
use crate::error_page::Page;
use crate::failure::Failure;
use crate::grpc;
use crate::head::edits::{DebugHeaders, KeepAlive, ResponseEdits};
use crate::rate::RateFields;
use crate::request_id::RequestId;

/// The parts of a local response that do not depend on its content.
#[derive(Debug, Clone, Copy)]
pub struct LocalResponse<'a> {
    /// The `connection` header.
    pub keep_alive: KeepAlive,
    /// True if it responds to a HEAD, so that its body is left out.
    pub to_head: bool,
    /// The lines of the edits, where values are filled in.
    pub filled_lines: &'a [u8],
    /// The body of a configured response, where values are filled in.
    pub filled_body: &'a [u8],
    /// The challenges of a refusal, as lines.
    pub challenges: &'a [u8],
    /// The fields of rate limits.
    pub rate: RateFields<'a>,
    /// The id of the request, on listeners that send it.
    pub request_id: Option<RequestId<'a>>,
    /// The debug headers.
    pub debug: Option<DebugHeaders<'a>>,
    /// The `date`; `explain` leaves it out.
    pub date: Option<&'a [u8]>,
    /// The lines for pages of other origins, where a policy is in force.
    pub cors: Option<CorsLines<'a>>,
}

impl LocalResponse<'_> {
    /// Appends an error. Returns the bytes of its body.
    pub fn write_failure(
        &self,
        failure: Failure,
        format: &ErrorFormat,
        edits: &HeaderEdits,
        out: &mut Vec<u8>,
    ) -> usize {
        let status = format.status(failure).http_status();
        let start = out.len();
        write_status_line(status, out);
        let field = |name: &[u8], value: &[u8], out: &mut Vec<u8>| {
            if !edits.drops(name) {
                write::field(out, name, value);
            }
        };
        if let Some(content_type) = format.call_type(failure) {
            field(b"content-type", content_type, out);
            let code = failure.grpc_code().number();
            field(b"grpc-status", code.to_string().as_bytes(), out);
            let mut message = Vec::new();
            grpc::write_message(&failure.message(), &mut message);
            field(b"grpc-message", &message, out);
            write_reason(failure, field, out);
            self.write_challenges(edits, out);
            return self.finish(status, edits, b"", start, out);
        }
        let (content_type, body) = match format {
            ErrorFormat::Json => {
                let title = serde_json::Value::from(write::reason(status));
                let detail = serde_json::Value::from(failure.message());
                let body = format!("{{\"status\":{status},\"title\":{title},\"detail\":{detail}}}\n");
                ("application/json", body)
            }
            ErrorFormat::Text | ErrorFormat::Grpc(_) => (
                "text/plain; charset=utf-8",
                format!("{status} {}: {}\n", write::reason(status), failure.message()),
            ),
        };
        field(b"content-type", content_type.as_bytes(), out);
        write_reason(failure, field, out);
        self.write_challenges(edits, out);
        self.finish(status, edits, body.as_bytes(), start, out)
    }

    /// Appends a page in place of an error: of `failure`, or of a response that a route configures. Returns the bytes of its
    /// body.
    pub fn write_page(
        &self,
        page: &Page<'_>,
        failure: Option<Failure>,
        edits: &HeaderEdits,
        out: &mut Vec<u8>,
    ) -> usize {
        let start = out.len();
        write_status_line(page.status, out);
        let headers = &page.configured.headers;
        let field = |name: &[u8], value: &[u8], out: &mut Vec<u8>| {
            if !edits.drops(name) && !headers.drops(name) {
                write::field(out, name, value);
            }
        };
        if !page.is_bodiless() {
            field(b"content-type", page.configured.content_type.as_bytes(), out);
        }
        page.write_headers(edits, out);
        if let Some(failure) = failure {
            write_reason(failure, field, out);
            self.write_challenges(edits, out);
        }
        match page.body() {
            Some(body) => self.finish(page.status, edits, body, start, out),
            None => {
                self.write_end(edits, start, out);
                0
            }
        }
    }

    /// Appends a redirect. Returns the bytes of its body.
    pub fn write_redirect(
        &self,
        status: u16,
        location: &[u8],
        edits: &HeaderEdits,
        out: &mut Vec<u8>,
    ) -> usize {
        let start = out.len();
        write_status_line(status, out);
        if !edits.drops(b"location") {
            write::field(out, b"location", location);
        }
        self.finish(status, edits, b"", start, out)
    }

    /// Appends a response of a route. Returns the bytes of its body.
    pub fn write_respond(&self, respond: &Respond, edits: &HeaderEdits, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        write_status_line(respond.status, out);
        let is_bodiless = matches!(respond.status, 204 | 205 | 304);
        if !edits.drops(b"content-type") && !is_bodiless {
            write::field(out, b"content-type", respond.content_type.as_bytes());
        }
        let body = match respond.body.as_literal() {
            _ if is_bodiless => &[],
            Some(body) => body.as_bytes(),
            None => self.filled_body,
        };
        self.finish(respond.status, edits, body, start, out)
    }

    /// Appends the answer to the challenge of an authority that issues certificates (RFC 8555 §8.3). No policy edits it.
    /// Returns the bytes of its body.
    pub fn write_key_authorization(&self, key_authorization: &str, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        write_status_line(200, out);
        write::field(out, b"content-type", b"application/octet-stream");
        let body = key_authorization.as_bytes();
        self.finish(200, &HeaderEdits::default(), body, start, out)
    }

    /// Appends the challenges of a refusal (RFC 9110 §11.6.1).
    fn write_challenges(&self, edits: &HeaderEdits, out: &mut Vec<u8>) {
        if !edits.drops(b"www-authenticate") {
            out.extend_from_slice(self.challenges);
        }
    }

    fn finish(
        &self,
        status: u16,
        configured: &HeaderEdits,
        body: &[u8],
        start: usize,
        out: &mut Vec<u8>,
    ) -> usize {
        if !matches!(status, 204 | 304) {
            write::content_length(out, body.len() as u64);
        }
        self.write_end(configured, start, out);
        if self.to_head {
            return 0;
        }
        out.extend_from_slice(body);
        body.len()
    }

    /// Appends what every head ends with; it begins at `start`.
    fn write_end(&self, configured: &HeaderEdits, start: usize, out: &mut Vec<u8>) {
        let edits = ResponseEdits {
            configured,
            filled: self.filled_lines,
            rate: self.rate,
            request_id: self.request_id,
            way_back: None,
            cookies: None,
            date: self.date,
            set_cookie: b"",
            debug: self.debug,
            keep_alive: self.keep_alive,
            cors: self.cors,
        };
        edits.finish(start, out);
    }
}

/// Appends the `proxy-status` of an error, and the time after which a client may ask again; `field` appends one field.
fn write_reason(failure: Failure, field: impl Fn(&[u8], &[u8], &mut Vec<u8>), out: &mut Vec<u8>) {
    let mut reason = format!("waypost; error={}", failure.proxy_error());
    if let Some(fault) = failure.response_fault() {
        // A fault's text needs no escapes in a quoted string (RFC 8941 §3.3.3).
        reason.push_str(&format!("; details=\"{fault}\""));
    }
    if let Failure::TlsAlert(alert) = failure {
        reason.push_str(&format!("; alert-id={}", alert.0));
        if let Some(name) = alert.name() {
            reason.push_str(&format!("; alert-message={name}"));
        }
    }
    field(b"proxy-status", reason.as_bytes(), out);
    if let Some(seconds) = failure.retry_after() {
        field(b"retry-after", seconds.to_string().as_bytes(), out);
    }
}

fn write_status_line(status: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("HTTP/1.1 {status} {}\r\n", write::reason(status)).as_bytes());
}
