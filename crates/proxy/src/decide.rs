//! What becomes of a request: from its head to the route that takes it. Pure, so that `explain` asks the
//! very functions that traffic goes through.

use std::net::IpAddr;

use waypost_plan::listener::Listener;
use waypost_plan::redirect::{RequestUrl, Scheme};
use waypost_route::request::{Headers, Request};
use waypost_wire::field::{Field, Framing};
use waypost_wire::path;
use waypost_wire::request::{HeadLimits, RequestError, RequestHead};

use crate::client::peer::{self, Peer};
use crate::forwarded;

/// A request in its normal form; memory that is used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    host: Vec<u8>,
    has_host: bool,
    path: Vec<u8>,
    client_ip: Option<IpAddr>,
    scheme: Option<Scheme>,
}

impl Facts {
    /// Finds the normal form of host and path, and who the client is.
    pub(crate) fn establish(
        &mut self,
        listener: &Listener,
        peer: &Peer,
        head: &RequestHead,
        buffer: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        self.host.clear();
        self.has_host = head.authority(buffer).is_some();
        head.normalize_host_into(buffer, &mut self.host);
        self.client_ip = Some(forwarded::client_ip(listener, peer.ip(), head, buffer));
        self.scheme = Some(peer.scheme);
        self.path.clear();
        // A path that has no normal form is still there to be shown.
        let raw = head.raw_path(buffer);
        let normal = path::normalize(raw, listener.paths, scratch);
        self.path.extend_from_slice(normal.as_deref().unwrap_or(raw));
        normal?;
        Ok(())
    }

    /// The host in its normal form; `None` when the request names none.
    pub(crate) fn host(&self) -> Option<&[u8]> {
        self.has_host.then_some(&self.host)
    }

    /// The path in its normal form.
    pub(crate) fn path(&self) -> &[u8] {
        &self.path
    }

    /// The client's address; the unspecified one before [`Facts::establish`].
    pub(crate) fn client_ip(&self) -> IpAddr {
        self.client_ip
            .unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
    }

    /// The URL that the request was sent to.
    pub(crate) fn url<'a>(&'a self, head: &RequestHead, buffer: &'a [u8]) -> RequestUrl<'a> {
        RequestUrl {
            scheme: self.scheme.unwrap_or(Scheme::Http),
            host: self.host(),
            port: head.port(),
            path: self.path(),
            query: head.query(buffer),
        }
    }

    /// The request as conditions see it.
    pub(crate) fn request<'a>(&'a self, fields: &'a FieldLines<'a>) -> Request<'a> {
        Request {
            host: self.host(),
            path: self.path(),
            query: fields.head.query(fields.buffer),
            method: fields.head.method(fields.buffer),
            client_ip: self.client_ip(),
            headers: fields,
        }
    }
}

/// Whether the body that a head announces is longer than `listener` allows.
pub(crate) fn announces_too_much(listener: &Listener, head: &RequestHead) -> bool {
    let max = listener.limits.body_bytes.unwrap_or(u64::MAX);
    matches!(head.framing(), Framing::Length(length) if length > max)
}

/// What bounds a head that comes in by `listener`.
pub(crate) fn head_limits(listener: &Listener) -> HeadLimits {
    HeadLimits {
        bytes: listener.limits.header_bytes,
        fields: listener.limits.headers,
        target_bytes: listener.limits.target_bytes,
    }
}

/// The fields of a head, as conditions look them up.
pub(crate) struct FieldLines<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) buffer: &'a [u8],
    pub(crate) peer: &'a Peer,
}

impl Headers for FieldLines<'_> {
    fn lines(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        // A colon in front is no header's: what the client has proved is looked up by the same conditions.
        if name.starts_with(':') {
            if let Some(certificate) = &self.peer.certificate {
                match name {
                    peer::SUBJECT => visit(certificate.subject().as_bytes()),
                    peer::SAN => certificate.alternatives().for_each(|name| visit(name.as_bytes())),
                    _ => {}
                }
            }
            return;
        }
        for Field {
            name: line, value, ..
        } in self.head.fields()
        {
            if line.of(self.buffer).eq_ignore_ascii_case(name.as_bytes()) {
                visit(value.of(self.buffer));
            }
        }
    }
}
