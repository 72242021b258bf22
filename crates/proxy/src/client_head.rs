//! The head that a client gets: a service's, parsed and written again.

use waypost_plan::header_edits::HeaderEdits;
use waypost_wire::field::{Framing, Kind, Version};
use waypost_wire::response::ResponseHead;
use waypost_wire::write;

use crate::clock::HttpClock;
use crate::exchange::relay::BodyForm;

/// How a body reaches the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyToClient {
    /// As its length says, or there is none.
    AsIs,
    /// In chunks.
    Chunked,
    /// Until the connection ends: HTTP/1.0 clients know no chunks.
    UntilClose,
    /// In frames, which need no word about its length.
    Framed,
}

impl BodyToClient {
    /// How a body of this framing reaches a client of this version.
    pub(crate) fn of(framing: Framing, client: Version) -> Self {
        match (framing, client) {
            (Framing::None | Framing::Length(_), _) => Self::AsIs,
            (Framing::Chunked | Framing::UntilClose, Version::Http11) => Self::Chunked,
            (Framing::Chunked | Framing::UntilClose, Version::Http10) => Self::UntilClose,
        }
    }

    /// The form that a relay gives it.
    pub(crate) fn form(self) -> BodyForm {
        match self {
            Self::AsIs | Self::UntilClose => BodyForm::Plain,
            Self::Chunked => BodyForm::Chunks,
            Self::Framed => BodyForm::Frames,
        }
    }
}

/// Which connection header an answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// None: HTTP/1.1 goes on without a word.
    Implied,
    /// `keep-alive`, which HTTP/1.0 has to be told.
    KeepAlive,
    /// `close`.
    Close,
}

impl Persistence {
    pub(crate) fn of(client: Version, keeps_alive: bool) -> Self {
        match (client, keeps_alive) {
            (_, false) => Self::Close,
            (Version::Http11, true) => Self::Implied,
            (Version::Http10, true) => Self::KeepAlive,
        }
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Implied => {}
            Self::KeepAlive => out.extend_from_slice(b"connection: keep-alive\r\n"),
            Self::Close => out.extend_from_slice(b"connection: close\r\n"),
        }
    }
}

/// What an answer carries when `debug_headers` is on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DebugHeaders<'a> {
    pub(crate) revision: u64,
    pub(crate) route: &'a str,
}

impl DebugHeaders<'_> {
    /// Appends them, but for those that the route's own edits replace or leave out.
    pub(crate) fn write(&self, edits: &HeaderEdits, out: &mut Vec<u8>) {
        if !edits.drops(b"x-waypost-revision") {
            write::field(out, b"x-waypost-revision", self.revision.to_string().as_bytes());
        }
        if !self.route.is_empty() && !edits.drops(b"x-waypost-route") {
            write::field(out, b"x-waypost-route", self.route.as_bytes());
        }
    }
}

/// Everything that a client's head is written from.
pub(crate) struct ClientHead<'a> {
    pub(crate) answer: &'a ResponseHead,
    pub(crate) buffer: &'a [u8],
    pub(crate) edits: &'a HeaderEdits,
    pub(crate) body: BodyToClient,
    pub(crate) persistence: Persistence,
    pub(crate) debug: Option<DebugHeaders<'a>>,
    /// The value of a `set-cookie` that the gateway adds; empty for none.
    pub(crate) set_cookie: &'a [u8],
    /// The `content-type`, where it is another one than the service's; the body has another length then.
    pub(crate) content_type: Option<&'a [u8]>,
    /// The time now, for an answer that does not say when it was made.
    pub(crate) clock: &'a HttpClock,
}

impl ClientHead<'_> {
    /// Appends the head of a final answer.
    // It is counted by itself: see `cargo xtask instructions`.
    #[inline(never)]
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let status = self.answer.status();
        self.write_status_line_and_fields(self.edits, out);
        if let Some(content_type) = self.content_type
            && !self.edits.drops(b"content-type")
        {
            write::field(out, b"content-type", content_type);
        }
        match self.answer.framing() {
            // The service's length is that of another body.
            _ if self.content_type.is_some() && self.body != BodyToClient::Chunked => {}
            _ if self.content_type.is_some() => {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
            // What a service did not say need not be said either.
            Framing::Length(_) if self.body == BodyToClient::Framed => self.write_length_as_sent(out),
            Framing::Length(length) => write::content_length(out, length),
            // The length that the body would have, in answers to HEAD and in 304.
            Framing::None if status != 204 => self.write_length_as_sent(out),
            _ if self.body == BodyToClient::Chunked => {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
            _ => {}
        }
        // RFC 9110 §15.5.22: it has to say what to.
        if status == 426
            && self.body != BodyToClient::Framed
            && let Some(protocol) = self.answer.upgrade(self.buffer)
        {
            write::field(out, b"upgrade", protocol);
            out.extend_from_slice(b"connection: upgrade\r\n");
        }
        let dated = self.answer.fields().iter().any(|field| field.kind == Kind::Date);
        if !dated && !self.edits.drops(b"date") {
            self.clock.write(out);
        }
        if !self.set_cookie.is_empty() && !self.edits.drops(b"set-cookie") {
            write::field(out, b"set-cookie", self.set_cookie);
        }
        if let Some(debug) = &self.debug {
            debug.write(self.edits, out);
        }
        self.persistence.write(out);
        for (name, value) in self.edits.lines() {
            write::field(out, name.as_bytes(), value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Appends the head of an answer that ends HTTP on this connection: `protocol` is spoken from now on.
    pub(crate) fn write_upgrade(&self, protocol: &[u8], out: &mut Vec<u8>) {
        if self.body == BodyToClient::Framed {
            // RFC 8441 §5: the stream is a tunnel once it is answered like any CONNECT, and has no handshake of its own.
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
            self.write_fields(
                self.edits,
                |name| !name.eq_ignore_ascii_case(b"sec-websocket-accept"),
                out,
            );
        } else {
            self.write_status_line_and_fields(self.edits, out);
            out.extend_from_slice(b"connection: upgrade\r\n");
            write::field(out, b"upgrade", protocol);
        }
        if let Some(debug) = &self.debug {
            debug.write(self.edits, out);
        }
        if !self.set_cookie.is_empty() && !self.edits.drops(b"set-cookie") {
            write::field(out, b"set-cookie", self.set_cookie);
        }
        for (name, value) in self.edits.lines() {
            write::field(out, name.as_bytes(), value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Appends the head of an interim answer, which is not edited.
    pub(crate) fn write_interim(&self, out: &mut Vec<u8>) {
        self.write_status_line_and_fields(&HeaderEdits::default(), out);
        out.extend_from_slice(b"\r\n");
    }

    fn write_status_line_and_fields(&self, edits: &HeaderEdits, out: &mut Vec<u8>) {
        let Self { answer, buffer, .. } = *self;
        out.extend_from_slice(b"HTTP/1.1 ");
        let status = answer.status();
        out.extend_from_slice(&[
            b'0' + (status / 100) as u8,
            b'0' + (status / 10 % 10) as u8,
            b'0' + (status % 10) as u8,
            b' ',
        ]);
        out.extend_from_slice(answer.reason(buffer));
        out.extend_from_slice(b"\r\n");
        self.write_fields(edits, |_| true, out);
    }

    /// Appends the fields that travel on, as far as `keeps` says so.
    fn write_fields(&self, edits: &HeaderEdits, keeps: impl Fn(&[u8]) -> bool, out: &mut Vec<u8>) {
        let Self { answer, buffer, .. } = *self;
        for field in answer.fields() {
            let name = field.name.of(buffer);
            let ends_here = matches!(
                field.kind,
                Kind::ContentLength
                    | Kind::TransferEncoding
                    | Kind::Connection
                    | Kind::Upgrade
                    | Kind::HopByHop
                    | Kind::Te
            ) || (field.kind == Kind::ContentType && self.content_type.is_some());
            if !ends_here && keeps(name) && !edits.drops(name) && !answer.is_nominated(buffer, field) {
                write::field(out, name, field.value.of(buffer));
            }
        }
    }

    fn write_length_as_sent(&self, out: &mut Vec<u8>) {
        let length = self
            .answer
            .fields()
            .iter()
            .find(|field| field.kind == Kind::ContentLength);
        if let Some(field) = length {
            write::field(out, b"content-length", field.value.of(self.buffer));
        }
    }
}
