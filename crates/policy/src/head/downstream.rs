//! The head that a client gets: a service's, parsed and written again.

use waypost_plan::header_edits::HeaderEdits;
use waypost_wire::field::{Field, FieldKind};
use waypost_wire::framing::Framing;
use waypost_wire::response::ResponseHead;
use waypost_wire::version::Version;
use waypost_wire::write;

use crate::error_page::Page;
use crate::head::edits::{KeepAlive, ResponseEdits};

/// The delimiter of a response body on the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyDelimiter {
    /// By its length; or there is no body.
    Length,
    /// By chunks.
    Chunks,
    /// By the end of the connection: HTTP/1.0 has no chunks.
    Close,
    /// By the frames of HTTP/2, which need no header for it.
    Frames,
}

impl BodyDelimiter {
    /// The delimiter for a body of this framing, on an HTTP/1 connection of a client of this version.
    pub fn of(framing: Framing, client: Version) -> Self {
        match (framing, client) {
            (Framing::None | Framing::Length(_), _) => Self::Length,
            (Framing::Chunked | Framing::UntilClose, Version::Http11) => Self::Chunks,
            (Framing::Chunked | Framing::UntilClose, Version::Http10) => Self::Close,
        }
    }
}

/// The parts of a client's response head.
#[derive(Debug, Clone, Copy)]
pub struct DownstreamHead<'a> {
    /// The service's head.
    pub response: &'a ResponseHead,
    /// The bytes that it has ranges of.
    pub buffer: &'a [u8],
    /// The edits.
    pub edits: ResponseEdits<'a>,
    /// The delimiter of the body.
    pub body: BodyDelimiter,
    /// The `content-type`, where a transform of the body replaces the service's; its length changes too then.
    pub content_type: Option<&'a [u8]>,
}

impl DownstreamHead<'_> {
    /// Appends the head of a final response.
    // It is counted by itself: see `cargo xtask instructions`.
    #[inline(never)]
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.write_status_line(out);
        self.write_fields(self.edits.configured, |_| true, out);
        if let Some(content_type) = self.content_type {
            self.edits.add(b"content-type", content_type, out);
        }
        let status = self.response.status();
        match self.response.framing() {
            // A transformed body has another length.
            _ if self.content_type.is_some() && self.body != BodyDelimiter::Chunks => {}
            _ if self.content_type.is_some() => {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
            // In frames, a length is optional: it is sent if the service sent it.
            Framing::Length(_) if self.body == BodyDelimiter::Frames => self.write_length_as_sent(out),
            Framing::Length(length) => write::content_length(out, length),
            // The length that the body would have, in responses to HEAD and in 304.
            Framing::None if status != 204 => self.write_length_as_sent(out),
            _ if self.body == BodyDelimiter::Chunks => {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
            _ => {}
        }
        self.write_wanted_upgrade(status, out);
        self.edits.finish(start, out);
    }

    /// Appends the head and the whole body of a response that was read before; no body if it responds to a HEAD. Returns
    /// the bytes of the body.
    pub fn write_whole(&self, body: &[u8], to_head: bool, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        self.write_status_line(out);
        let is_date = |name: &[u8]| name.eq_ignore_ascii_case(b"date");
        let has_date = |field: &&Field| field.kind == FieldKind::Date;
        let dated = self.response.fields().iter().find(has_date);
        self.write_fields(self.edits.configured, |name| !is_date(name), out);
        write::content_length(out, body.len() as u64);
        let edits = ResponseEdits {
            date: dated.map(|field| field.value.of(self.buffer)).or(self.edits.date),
            ..self.edits
        };
        edits.finish(start, out);
        if to_head {
            return 0;
        }
        out.extend_from_slice(body);
        body.len()
    }

    /// Appends the head and the body of a page in place of the service's response. The service's fields stay, but for those
    /// of its body's form.
    pub fn write_page(&self, page: &Page<'_>, to_head: bool, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        match page.configured.status {
            Some(status) if status != self.response.status() => {
                let reason = write::reason(status);
                out.extend_from_slice(format!("HTTP/1.1 {status} {reason}\r\n").as_bytes());
            }
            _ => self.write_status_line(out),
        }
        let configured = self.edits.configured;
        let is_of_body = |name: &[u8]| {
            let mut of_body = ["content-type", "content-encoding", "trailer"].into_iter();
            of_body.any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        };
        let keeps = |name: &[u8]| !is_of_body(name) && !page.configured.headers.drops(name);
        self.write_fields(configured, keeps, out);
        let body = page.body().unwrap_or_default();
        if !page.is_bodiless() {
            self.edits
                .add(b"content-type", page.configured.content_type.as_bytes(), out);
        }
        if !matches!(page.status, 204 | 304) {
            write::content_length(out, body.len() as u64);
        }
        page.write_headers(configured, out);
        self.write_wanted_upgrade(page.status, out);
        self.edits.finish(start, out);
        if to_head {
            return 0;
        }
        out.extend_from_slice(body);
        body.len()
    }

    /// Appends the head of a `101`: the connection speaks `protocol` from now on. Its edits have no date and imply that
    /// the connection stays open.
    pub fn write_upgrade(&self, protocol: &[u8], out: &mut Vec<u8>) {
        debug_assert_eq!(self.edits.keep_alive, KeepAlive::Implied);
        let start = out.len();
        if self.body == BodyDelimiter::Frames {
            // RFC 8441 §5: a stream becomes a tunnel by a 200, and has no handshake of its own.
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
            self.write_fields(
                self.edits.configured,
                |name| !name.eq_ignore_ascii_case(b"sec-websocket-accept"),
                out,
            );
        } else {
            self.write_status_line(out);
            self.write_fields(self.edits.configured, |_| true, out);
            out.extend_from_slice(b"connection: upgrade\r\n");
            write::field(out, b"upgrade", protocol);
        }
        self.edits.finish(start, out);
    }

    /// Appends the head of an interim response, which is not edited. Where it has fields, what it says of other origins is
    /// replaced as in a final one.
    pub fn write_interim(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.write_status_line(out);
        self.write_fields(&HeaderEdits::NONE, |_| true, out);
        if let Some(cors) = self.edits.cors
            && !self.response.fields().is_empty()
        {
            cors.replace(start, out);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Appends the protocol that the service demands, which a 426 names (RFC 9110 §15.5.22).
    #[inline]
    fn write_wanted_upgrade(&self, status: u16, out: &mut Vec<u8>) {
        if status == 426
            && self.body != BodyDelimiter::Frames
            && let Some(protocol) = self.response.upgrade(self.buffer)
        {
            write::field(out, b"upgrade", protocol);
            out.extend_from_slice(b"connection: upgrade\r\n");
        }
    }

    fn write_status_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 ");
        let status = self.response.status();
        out.extend_from_slice(&[
            b'0' + (status / 100) as u8,
            b'0' + (status / 10 % 10) as u8,
            b'0' + (status % 10) as u8,
            b' ',
        ]);
        out.extend_from_slice(self.response.reason(self.buffer));
        out.extend_from_slice(b"\r\n");
    }

    /// Appends the end-to-end fields that `edits` and `keeps` let through.
    fn write_fields(&self, edits: &HeaderEdits, keeps: impl Fn(&[u8]) -> bool, out: &mut Vec<u8>) {
        let Self { response, buffer, .. } = *self;
        let maps = self.edits.maps();
        for field in response.fields() {
            let name = field.name.of(buffer);
            let ends_here = matches!(
                field.kind,
                FieldKind::ContentLength
                    | FieldKind::TransferEncoding
                    | FieldKind::Connection
                    | FieldKind::Upgrade
                    | FieldKind::HopByHop
                    | FieldKind::Te
                    | FieldKind::Waypost
            ) || (field.kind == FieldKind::ContentType && self.content_type.is_some())
                || (field.kind == FieldKind::RequestId && self.edits.request_id.is_some());
            if !ends_here && keeps(name) && !edits.drops(name) && !response.is_nominated(buffer, field) {
                let value = field.value.of(buffer);
                match maps.then(|| self.edits.map(name, value)).flatten() {
                    None => write::field(out, name, value),
                    Some(mapped) => write::field(out, name, &mapped),
                }
            }
        }
    }

    fn write_length_as_sent(&self, out: &mut Vec<u8>) {
        let mut fields = self.response.fields().iter();
        if let Some(field) = fields.find(|field| field.kind == FieldKind::ContentLength) {
            write::field(out, b"content-length", field.value.of(self.buffer));
        }
    }
}

/// Returns true if the response has a `date`.
pub fn is_dated(response: &ResponseHead) -> bool {
    response
        .fields()
        .iter()
        .any(|field| field.kind == FieldKind::Date)
}
