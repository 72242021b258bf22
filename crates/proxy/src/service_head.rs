//! The head that a service gets: the client's, parsed and written again.

use std::ops::Range;

use waypost_plan::listener::{Listener, Underscores};
use waypost_plan::route::Forward;
use waypost_wire::field::{Framing, Kind, Version};
use waypost_wire::request::RequestHead;
use waypost_wire::write;

use crate::decide::Facts;
use crate::forwarded::Forwarding;

/// Everything that a service's head is written from.
pub(crate) struct ServiceHead<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) buffer: &'a [u8],
    pub(crate) facts: &'a Facts,
    pub(crate) listener: &'a Listener,
    pub(crate) forward: &'a Forward,
    pub(crate) peer: std::net::IpAddr,
    /// The path as the service sees it, without query.
    pub(crate) path: &'a [u8],
}

impl ServiceHead<'_> {
    /// Appends the head. `authority` is the endpoint's, for a request that names no host.
    ///
    /// Where the endpoint's authority was needed, its range is returned: another endpoint has another.
    pub(crate) fn write(&self, authority: &[u8], out: &mut Vec<u8>) -> Option<Range<usize>> {
        let Self {
            head,
            buffer,
            forward,
            ..
        } = *self;
        let edits = &forward.request_headers;
        out.extend_from_slice(head.method(buffer));
        out.push(b' ');
        out.extend_from_slice(self.path);
        if let Some(query) = head.query(buffer) {
            out.push(b'?');
            out.extend_from_slice(query);
        }
        out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        let asked = head.authority(buffer);
        let host = forward.rewrite.host.as_deref().map(str::as_bytes).or(asked);
        let host_start = out.len();
        out.extend_from_slice(host.unwrap_or(authority));
        let borrowed_host = host.is_none().then_some(host_start..out.len());
        out.extend_from_slice(b"\r\n");

        let keeps_underscores = self.listener.limits.underscores == Underscores::Keep;
        for field in head.fields() {
            let name = field.name.of(buffer);
            let travels = match field.kind {
                Kind::Other => keeps_underscores || !name.contains(&b'_'),
                Kind::Credentials | Kind::Accept | Kind::Date => true,
                Kind::Expect => head.version() == Version::Http11,
                _ => false,
            };
            if travels && !edits.drops(name) && !head.is_nominated(buffer, field) {
                write::field(out, name, field.value.of(buffer));
            }
        }
        let forwarding = Forwarding {
            peer: self.peer,
            client: self.facts.client_ip(),
            trusted: self.listener.trusts(self.peer),
            host: asked,
        };
        forwarding.write(head, buffer, |name| edits.drops(name), out);
        if head.te_trailers() {
            out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
        }
        match head.framing() {
            Framing::Length(length) => write::content_length(out, length),
            Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Framing::None | Framing::UntilClose => {}
        }
        for (name, value) in edits.lines() {
            write::field(out, name.as_bytes(), value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        borrowed_host
    }
}
