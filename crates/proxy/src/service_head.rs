//! The head that a service gets: the client's, parsed and written again.

use std::ops::Range;

use waypost_plan::listener::{Listener, Underscores};
use waypost_plan::route::Forward;
use waypost_wire::field::{Framing, Kind, Version};
use waypost_wire::request::RequestHead;
use waypost_wire::write;

use crate::client::peer::Peer;
use crate::decide::Facts;
use crate::forwarded::Forwarding;
use crate::grpc;
use crate::grpc::web::{self, WebForm};

/// What a copy carries, with the name of its route.
const MIRROR_MARK: &[u8] = b"x-waypost-mirror";

/// Everything that a service's head is written from.
pub(crate) struct ServiceHead<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) buffer: &'a [u8],
    pub(crate) facts: &'a Facts,
    pub(crate) listener: &'a Listener,
    pub(crate) forward: &'a Forward,
    pub(crate) peer: &'a Peer,
    /// The path as the service sees it, without query.
    pub(crate) path: &'a [u8],
}

/// Whether a server that cannot tell `_` from `-` takes a name for one of the gateway's own.
fn is_forwarding(name: &[u8]) -> bool {
    const OWN: [&str; 6] = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-client-cert",
        "x-real-ip",
        "forwarded",
    ];
    let dashed: Vec<u8> = name
        .iter()
        .map(|byte| if *byte == b'_' { b'-' } else { *byte })
        .collect();
    OWN.iter().any(|own| dashed.eq_ignore_ascii_case(own.as_bytes()))
}

impl ServiceHead<'_> {
    /// Appends the head of a copy for a mirror's service, but for the length of the body and the empty line.
    /// `mirror_of` is the route.
    pub(crate) fn write_copy(&self, authority: &[u8], mirror_of: &str, out: &mut Vec<u8>) {
        self.write_fields(authority, Some(MIRROR_MARK), out);
        self.write_edits(out);
        write::field(out, MIRROR_MARK, mirror_of.as_bytes());
    }

    /// Appends the head. `authority` is the endpoint's, for a request that names no host.
    ///
    /// Where the endpoint's authority was needed, its range is returned: another endpoint has another.
    pub(crate) fn write(&self, authority: &[u8], out: &mut Vec<u8>) -> Option<Range<usize>> {
        let head = self.head;
        let borrowed_host = self.write_fields(authority, None, out);
        if let Some(protocol) = self.upgrade() {
            out.extend_from_slice(b"connection: upgrade\r\n");
            write::field(out, b"upgrade", protocol);
        } else if head.te_trailers() || self.web_form().is_some() {
            out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
        }
        match head.framing() {
            // What base64 stands for has another length.
            Framing::Length(_) if matches!(self.web_form(), Some((WebForm::Text, _))) => {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
            Framing::Length(length) => write::content_length(out, length),
            // HTTP/2 needs no word about it, and gets none.
            Framing::Chunked | Framing::UntilClose => {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
            Framing::None => {}
        }
        self.write_edits(out);
        out.extend_from_slice(b"\r\n");
        borrowed_host
    }

    /// The protocol that the client's connection is to be upgraded to, where the route lets it.
    pub(crate) fn upgrade(&self) -> Option<&[u8]> {
        let wanted = self.head.upgrade(self.buffer);
        wanted.filter(|protocol| self.forward.policies.upgrade.allows(protocol))
    }

    /// The form of gRPC-Web that the request has and the route translates, with its `content-type`.
    pub(crate) fn web_form(&self) -> Option<(WebForm, &[u8])> {
        if !self.forward.policies.grpc_web {
            return None;
        }
        let content_type = grpc::call_type(self.head, self.buffer)?;
        Some((web::form_of(content_type)?, content_type))
    }

    /// Appends the request line and all fields but framing and edits. A copy has another mark than the one that
    /// its client may have sent, and expects nothing.
    fn write_fields(&self, authority: &[u8], mark: Option<&[u8]>, out: &mut Vec<u8>) -> Option<Range<usize>> {
        let Self {
            head,
            buffer,
            forward,
            ..
        } = *self;
        let edits = &forward.policies.request_headers;
        out.extend_from_slice(head.method(buffer));
        out.push(b' ');
        out.extend_from_slice(self.path);
        if let Some(query) = head.query(buffer) {
            out.push(b'?');
            out.extend_from_slice(query);
        }
        out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        let asked = head.authority(buffer);
        let host = forward
            .policies
            .rewrite
            .host
            .as_deref()
            .map(str::as_bytes)
            .or(asked);
        let host_start = out.len();
        out.extend_from_slice(host.unwrap_or(authority));
        let borrowed_host = host.is_none().then_some(host_start..out.len());
        out.extend_from_slice(b"\r\n");

        let web = self.web_form();
        if let Some((form, content_type)) = web
            && !edits.drops(b"content-type")
        {
            out.extend_from_slice(b"content-type: ");
            form.write_service_type(content_type, out);
            out.extend_from_slice(b"\r\n");
        }
        let keeps_underscores = self.listener.limits.underscores == Underscores::Keep;
        for field in head.fields() {
            let name = field.name.of(buffer);
            let travels = match field.kind {
                Kind::Other => !name.contains(&b'_') || (keeps_underscores && !is_forwarding(name)),
                Kind::Credentials | Kind::Accept | Kind::Date => true,
                Kind::ContentType => web.is_none(),
                Kind::Expect => head.version() == Version::Http11 && mark.is_none(),
                _ => false,
            } && !mark.is_some_and(|mark| name.eq_ignore_ascii_case(mark));
            if travels && !edits.drops(name) && !head.is_nominated(buffer, field) {
                write::field(out, name, field.value.of(buffer));
            }
        }
        let forwarding = Forwarding {
            peer: self.peer,
            client: self.facts.client_ip(),
            trusted: self.listener.trusts(self.peer.ip()),
            host: asked,
        };
        forwarding.write(head, buffer, |name| edits.drops(name), out);
        borrowed_host
    }

    fn write_edits(&self, out: &mut Vec<u8>) {
        for (name, value) in self.forward.policies.request_headers.lines() {
            write::field(out, name.as_bytes(), value.as_bytes());
        }
    }
}
