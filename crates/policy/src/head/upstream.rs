//! The head that a service gets: the client's, parsed and written again.

use std::ops::Range;

use waypost_plan::auth::Auth;
use waypost_plan::listener::Underscores;
use waypost_plan::policies::PolicySet;
use waypost_plan::service::SentHost;
use waypost_wire::field::{FieldKind, is_taken_for};
use waypost_wire::framing::Framing;
use waypost_wire::version::Version;
use waypost_wire::write;

use crate::auth::credentials;
use crate::filled::Filled;
use crate::forwarded::ForwardedHeaders;
use crate::grpc;
use crate::grpc::web::{self, WebForm};
use crate::request::IncomingRequest;
use crate::request_id::{self, RequestId};

/// The header of a mirrored request, with the name of its route.
const MIRROR_MARK: &[u8] = b"x-waypost-mirror";

/// The parts of a service's request head.
#[derive(Clone, Copy)]
pub struct UpstreamHead<'a> {
    /// The client's request.
    pub request: IncomingRequest<'a>,
    /// The policies of its route.
    pub policies: &'a PolicySet,
    /// The `Host` that the service gets, unless the policies rewrite it.
    pub host: &'a SentHost,
    /// The path that the service gets, without query.
    pub path: &'a [u8],
    /// The client's prefix, where the service sees another.
    pub prefix: Option<&'a [u8]>,
    /// The texts that are filled in.
    pub filled: &'a Filled,
    /// The id of the request, on listeners that send it.
    pub request_id: Option<RequestId<'a>>,
    /// The way that let the request pass, by position.
    pub way: Option<usize>,
}

/// The purpose of a request to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The client waits for its response.
    Original,
    /// It goes to a mirror.
    Copy,
}

impl<'a> UpstreamHead<'a> {
    /// Appends the head of a mirrored request of the route `mirror_of`, up to `content-length` and the empty line. Returns
    /// the place for the endpoint's authority, if it is to be the host.
    pub fn write_mirrored(&self, mirror_of: &str, out: &mut Vec<u8>) -> Option<usize> {
        let host = self.write_fields(b"", Purpose::Copy, out);
        self.write_edits(out);
        write::field(out, MIRROR_MARK, mirror_of.as_bytes());
        host.map(|host| host.start)
    }

    /// Appends the head. `authority` is the endpoint's, for a service that is to get it and for a request that names no
    /// host; its range in `out` is returned where it was used, since another endpoint has another authority.
    pub fn write(&self, authority: &[u8], out: &mut Vec<u8>) -> Option<Range<usize>> {
        let head = self.request.head;
        let web_form = self.web_form();
        let borrowed_host = self.write_fields(authority, Purpose::Original, out);
        if let Some(protocol) = self.upgrade() {
            out.extend_from_slice(b"connection: upgrade\r\n");
            write::field(out, b"upgrade", protocol);
        } else if head.te_trailers() || web_form.is_some() {
            out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
        }
        match head.framing() {
            // Decoded base64 has another length.
            Framing::Length(_) if matches!(web_form, Some((WebForm::Text, _))) => {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
            Framing::Length(length) => write::content_length(out, length),
            // HTTP/2 drops the header again.
            Framing::Chunked | Framing::UntilClose => {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
            Framing::None => {}
        }
        self.write_edits(out);
        out.extend_from_slice(b"\r\n");
        borrowed_host
    }

    /// The protocol that the client's connection is upgraded to.
    pub fn upgrade(&self) -> Option<&'a [u8]> {
        self.request.upgrade(self.policies)
    }

    /// The names of headers that the client may not write in its trailers either, since some servers read those as headers:
    /// those that the gateway removes or writes itself.
    pub fn withheld_trailers(&self) -> Vec<Box<str>> {
        let auth = self.policies.auth.iter();
        let withheld = auth.flat_map(|auth| auth.withheld_headers());
        let edited = self.policies.request_headers.dropped();
        withheld.chain(edited).map(Box::from).collect()
    }

    /// The form of gRPC-Web that is translated for the service, with the request's `content-type`.
    pub fn web_form(&self) -> Option<(WebForm, &'a [u8])> {
        if !self.policies.grpc_web {
            return None;
        }
        let content_type = grpc::call_type(self.request.head, self.request.buffer)?;
        Some((web::form_of(content_type)?, content_type))
    }

    /// Appends the request line and all fields but framing and edits. A copy has no `expect`.
    fn write_fields(&self, authority: &[u8], purpose: Purpose, out: &mut Vec<u8>) -> Option<Range<usize>> {
        let IncomingRequest {
            head,
            buffer,
            listener,
            normalized,
            ..
        } = self.request;
        let edits = &self.policies.request_headers;
        out.extend_from_slice(head.method(buffer));
        out.push(b' ');
        out.extend_from_slice(self.path);
        let auth = self.policies.auth.as_deref();
        match head.query(buffer) {
            _ if !self.policies.rewrite.query.keeps() => out.extend_from_slice(&self.filled.query),
            _ if auth.is_some_and(Auth::has_secret_queries) => {
                out.extend_from_slice(&self.filled.open_query);
            }
            Some(query) => {
                out.push(b'?');
                out.extend_from_slice(query);
            }
            None => {}
        }
        out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        let requested = match self.host {
            SentHost::Client => head.authority(buffer),
            SentHost::Endpoint => None,
            SentHost::Named(name) => Some(name.as_bytes()),
        };
        let rewritten = self
            .policies
            .rewrite
            .host
            .as_ref()
            .map(|host| match host.as_literal() {
                Some(host) => host.as_bytes(),
                None => &self.filled.host,
            });
        let host = rewritten.or(requested);
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
        let keeps_underscores = listener.limits.underscores == Underscores::Keep;
        let is_trusted = normalized.client().trust().is_given();
        let forged = listener.trusted_proxies.client_header();
        let forged = forged.filter(|_| !normalized.client().trust().names_client());
        let is_forged = |name: &[u8]| forged.is_some_and(|forged| is_taken_for(name, forged));
        for field in head.fields() {
            let name = field.name.of(buffer);
            let travels = match field.kind {
                FieldKind::Other if name.contains(&b'_') => {
                    let kind = FieldKind::of_dashed(name);
                    let passes = !kind.is_of_the_gateway() && self.lets_pass(kind);
                    keeps_underscores && passes && !is_forged(name) && !edits.is_verified(name)
                }
                FieldKind::Other => !is_forged(name),
                FieldKind::XForwardedPrefix => is_trusted && self.prefix.is_none(),
                FieldKind::Forwarding => {
                    is_trusted && (keeps_underscores || !name.contains(&b'_')) && !is_forged(name)
                }
                FieldKind::RequestId => self.lets_pass(FieldKind::RequestId),
                FieldKind::Credentials | FieldKind::Accept | FieldKind::Date => true,
                FieldKind::ContentType => web.is_none(),
                FieldKind::Expect => head.version() == Version::Http11 && purpose == Purpose::Original,
                _ => false,
            };
            if travels && !edits.drops(name) && !head.is_nominated(buffer, field) {
                let value = field.value.of(buffer);
                match auth {
                    None => write::field(out, name, value),
                    Some(auth) => self.write_without_credentials(auth, name, value, out),
                }
            }
        }
        ForwardedHeaders::of(&self.request, self.prefix).write(|name| edits.drops(name), out);
        borrowed_host
    }

    /// Returns true if the client's field of this kind passes, of those that are the gateway's on some listeners.
    fn lets_pass(&self, kind: FieldKind) -> bool {
        kind != FieldKind::RequestId || self.request_id.is_none()
    }

    fn write_edits(&self, out: &mut Vec<u8>) {
        let edits = &self.policies.request_headers;
        if let Some(id) = self.request_id
            && !edits.drops(request_id::HEADER)
        {
            request_id::write_line(id, out);
        }
        if !self.filled.auth_lines.is_empty() && self.policies.auth.is_some() {
            self.write_verified(out);
        }
        edits.write(&self.filled.request_lines, out);
    }

    /// Writes the lines of the way that decided. Edits come after them, as they do after the client's: those that are removed
    /// or set are left out.
    #[inline(never)]
    fn write_verified(&self, out: &mut Vec<u8>) {
        let edits = &self.policies.request_headers;
        // No value has a line end in it.
        for line in self.filled.auth_lines.split_inclusive(|&byte| byte == b'\n') {
            let name = memchr::memchr(b':', line).unwrap_or(line.len());
            if !edits.drops(&line[..name]) {
                out.extend_from_slice(line);
            }
        }
    }

    /// Writes a field of the client, as far as it has no credentials that stay here.
    // Out of the loop over fields, where it would cost requests without `auth` registers.
    #[inline(never)]
    fn write_without_credentials(&self, auth: &Auth, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        if !auth.lets_header_pass(name, self.way) {
            return;
        }
        if auth.has_cookies() && name.eq_ignore_ascii_case(b"cookie") {
            credentials::write_cookies(value, || auth.hidden_cookies(self.way), out);
        } else {
            write::field(out, name, value);
        }
    }
}
