//! A request in its normal form, as rules see it.

use std::net::IpAddr;

use waypost_plan::listener::Listener;
use waypost_plan::policies::PolicySet;
use waypost_plan::redirect::{RequestUrl, Scheme};
use waypost_plan::trusted_proxies::MatchedHost;
use waypost_route::attribute::{Attribute, Attributes};
use waypost_route::request::{Headers, Request};
use waypost_wire::field::Field;
use waypost_wire::framing::Framing;
use waypost_wire::path;
use waypost_wire::request::{HeadLimits, RequestHead};

use crate::client::ClientSide;
use crate::failure::Failure;
use crate::peer::Peer;

/// The normal form of a request, in memory that is reused for the next one.
#[derive(Debug, Default)]
pub struct NormalizedRequest {
    host: Vec<u8>,
    has_host: bool,
    path: Vec<u8>,
    client: ClientSide,
    /// The host that rules match.
    matched: MatchedHost,
}

/// A request with everything that was established about it before rules are applied.
#[derive(Clone, Copy)]
pub struct IncomingRequest<'a> {
    /// The parsed head.
    pub head: &'a RequestHead,
    /// The bytes that `head` has ranges of.
    pub buffer: &'a [u8],
    /// Its normal form.
    pub normalized: &'a NormalizedRequest,
    /// The client.
    pub peer: &'a Peer,
    /// The listener that accepted it.
    pub listener: &'a Listener,
    /// The query without `?`. Behind authentication, it has no credentials in it.
    pub query: Option<&'a [u8]>,
    /// True if the request is meaningless unless its connection is upgraded: an extended CONNECT (RFC 8441).
    pub demands_upgrade: bool,
}

/// The fields and attributes of a request, as conditions look them up.
pub struct RequestFields<'a> {
    head: &'a RequestHead,
    buffer: &'a [u8],
    peer: &'a Peer,
    listener: &'a Listener,
    client: &'a ClientSide,
}

impl NormalizedRequest {
    /// Normalises host and path, and finds the client.
    ///
    /// # Errors
    /// The path has no safe normal form, and is kept as sent, for the log; or a trusted proxy contradicts itself about its
    /// client.
    pub fn fill(
        &mut self,
        listener: &Listener,
        peer: &Peer,
        head: &RequestHead,
        buffer: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        self.host.clear();
        self.has_host = head.authority(buffer).is_some();
        head.normalize_host_into(buffer, &mut self.host);
        self.matched = listener.trusted_proxies.host;
        let found = self.client.find(listener, peer, head, buffer);
        self.path.clear();
        let raw = head.raw_path(buffer);
        if head.targets_server(buffer) {
            self.path.extend_from_slice(raw);
            return Ok(());
        }
        let normal = path::normalize(raw, listener.paths, scratch);
        self.path.extend_from_slice(normal.as_deref().unwrap_or(raw));
        match normal {
            Ok(_) => found,
            Err(error) => Err(Failure::Request(error.into())),
        }
    }

    /// The normalised host of `Host` or `:authority`; `None` when the request names none.
    pub fn host(&self) -> Option<&[u8]> {
        self.has_host.then_some(&self.host)
    }

    /// The normalised host that rules match: that of the request, or the one that a trusted proxy names, as its listener is
    /// configured.
    pub fn matched_host(&self) -> Option<&[u8]> {
        match self.matched {
            MatchedHost::Requested => self.host(),
            MatchedHost::Forwarded => self.client.host().or(self.host()),
        }
    }

    /// The normalised path; `*` for a request that is for the server.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The client's address; unspecified before [`NormalizedRequest::fill`].
    pub fn client_ip(&self) -> IpAddr {
        self.client.ip()
    }

    /// Forgets the last request, where the next one, of `peer`, cannot be read.
    pub fn forget(&mut self, peer: &Peer) {
        self.host.clear();
        self.has_host = false;
        self.path.clear();
        self.client.forget(peer);
    }

    /// The client's side of the request.
    pub fn client(&self) -> &ClientSide {
        &self.client
    }
}

impl<'a> IncomingRequest<'a> {
    /// The URL that the client sent the request to.
    pub fn url(&self) -> RequestUrl<'a> {
        let client = self.normalized.client();
        RequestUrl {
            scheme: client.scheme(),
            host: client.host().or(self.normalized.host()),
            port: client.url_port(),
            path: self.normalized.path(),
            query: self.query,
        }
    }

    /// The port of the listener; `None` if it is not known, or the listener is a unix socket.
    pub(crate) fn port(&self) -> Option<u16> {
        let ports = [self.listener.bind.address.port()?, self.peer.local.port()];
        ports.into_iter().find(|&port| port > 0)
    }

    /// The request's fields, for [`IncomingRequest::conditions`].
    pub fn fields(&self) -> RequestFields<'a> {
        RequestFields {
            head: self.head,
            buffer: self.buffer,
            peer: self.peer,
            listener: self.listener,
            client: self.normalized.client(),
        }
    }

    /// The request as conditions see it.
    pub fn conditions<'f>(&self, fields: &'f RequestFields<'f>) -> Request<'f>
    where
        'a: 'f,
    {
        Request {
            host: self.normalized.matched_host(),
            path: self.normalized.path(),
            query: self.query,
            method: self.head.method(self.buffer),
            client_ip: self.normalized.client_ip(),
            headers: fields,
            attributes: fields,
        }
    }

    /// Returns true if the client itself uses TLS: on this connection, or as a trusted proxy in front says.
    pub(crate) fn client_uses_tls(&self) -> bool {
        self.normalized.client().scheme() == Scheme::Https
    }

    /// The protocol that the connection is upgraded to: the one that the client asks for, where `policies` allow it.
    pub fn upgrade(&self, policies: &PolicySet) -> Option<&'a [u8]> {
        let wanted = self.head.upgrade(self.buffer)?;
        policies.upgrade.allows(wanted).then_some(wanted)
    }

    /// The maximum size of a body with `policies`; `None` for no limit.
    pub fn body_limit(&self, policies: &PolicySet) -> Option<u64> {
        policies.body.over(self.listener.limits.body_bytes)
    }

    /// Returns true if the announced body is longer than `policies` allow.
    pub(crate) fn exceeds_body_limit(&self, policies: &PolicySet) -> bool {
        let Framing::Length(length) = self.head.framing() else {
            return false;
        };
        self.body_limit(policies).is_some_and(|max| length > max)
    }
}

/// The limits on a request head that `listener` accepts.
pub fn head_limits(listener: &Listener) -> HeadLimits {
    HeadLimits {
        bytes: listener.limits.header_bytes,
        fields: listener.limits.headers,
        target_bytes: listener.limits.target_bytes,
    }
}

impl Attributes for RequestFields<'_> {
    fn values(&self, attribute: Attribute, visit: &mut dyn FnMut(&[u8])) {
        match attribute {
            Attribute::Listener => visit(self.listener.label().as_bytes()),
            Attribute::Scheme => visit(self.client.scheme().as_str().as_bytes()),
            Attribute::ClientCertificateSubject | Attribute::ClientCertificateSan => {
                self.peer.certificate_values(attribute, visit);
            }
        }
    }
}

impl Headers for RequestFields<'_> {
    fn lines(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
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
