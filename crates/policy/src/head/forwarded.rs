//! The headers that pass the client's address to services: `X-Forwarded-*`, `Forwarded`, `X-Real-IP`.

use std::net::IpAddr;

use waypost_wire::field::FieldKind;
use waypost_wire::request::RequestHead;
use waypost_wire::write;

use crate::peer::Peer;
use crate::request::IncomingRequest;

/// The forwarding headers of a request.
pub(crate) struct ForwardedHeaders<'a> {
    head: &'a RequestHead,
    buffer: &'a [u8],
    peer: &'a Peer,
    /// The client; see [`crate::client`].
    client: IpAddr,
    /// True if the peer's own headers are believed, and only added to.
    trusted: bool,
    /// The requested host, as sent.
    host: Option<&'a [u8]>,
}

impl<'a> ForwardedHeaders<'a> {
    /// The headers of `request`.
    pub(crate) fn of(request: &IncomingRequest<'a>) -> Self {
        Self {
            head: request.head,
            buffer: request.buffer,
            peer: request.peer,
            client: request.normalized.client_ip(),
            trusted: request.listener.trusts(request.peer.ip()),
            host: request.head.authority(request.buffer),
        }
    }

    /// Appends the headers, leaving out those that `drops` names.
    pub(crate) fn write(&self, drops: impl Fn(&[u8]) -> bool, out: &mut Vec<u8>) {
        let scheme = self.peer.scheme.as_str().as_bytes();
        if !drops(b"x-forwarded-for") {
            self.begin_list(FieldKind::XForwardedFor, b"x-forwarded-for", out);
            out.extend_from_slice(self.peer.ip_text().as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        if !drops(b"x-forwarded-proto") {
            self.write_first(
                FieldKind::XForwardedProto,
                b"x-forwarded-proto",
                Some(scheme),
                out,
            );
        }
        if !drops(b"x-forwarded-host") {
            self.write_first(FieldKind::XForwardedHost, b"x-forwarded-host", self.host, out);
        }
        if !drops(b"forwarded") {
            self.begin_list(FieldKind::Forwarded, b"forwarded", out);
            self.write_element(scheme, out);
            out.extend_from_slice(b"\r\n");
        }
        if !drops(b"x-forwarded-client-cert") {
            self.write_client_cert(out);
        }
        if !drops(b"x-real-ip") {
            let client = (self.client != self.peer.ip()).then(|| self.client.to_string());
            let client = client.as_deref().unwrap_or(self.peer.ip_text());
            self.write_first(FieldKind::XRealIp, b"x-real-ip", Some(client.as_bytes()), out);
        }
    }

    /// Appends this proxy's element of `forwarded` (RFC 7239 §4).
    fn write_element(&self, scheme: &[u8], out: &mut Vec<u8>) {
        let (open, close): (&[u8], &[u8]) = match self.peer.ip() {
            IpAddr::V4(_) => (b"for=", b""),
            IpAddr::V6(_) => (b"for=\"[", b"]\""),
        };
        for part in [open, self.peer.ip_text().as_bytes(), close] {
            out.extend_from_slice(part);
        }
        if let Some(host) = self.host {
            // A valid host needs quotes only for its port or its brackets.
            let quote: &[u8] = if host.iter().any(|byte| matches!(byte, b':' | b'[')) {
                b"\""
            } else {
                b""
            };
            for part in [b";host=", quote, host, quote] {
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(b";proto=");
        out.extend_from_slice(scheme);
    }

    /// Appends `x-forwarded-client-cert`: the elements of trusted proxies, and the client's own certificate.
    fn write_client_cert(&self, out: &mut Vec<u8>) {
        let lines = self.head.fields().iter();
        let believed = lines.filter(|field| self.trusted && field.kind == FieldKind::XForwardedClientCert);
        let mut elements: Vec<&[u8]> = believed.map(|field| field.value.of(self.buffer)).collect();
        if let Some(certificate) = &self.peer.certificate {
            elements.push(certificate.forwarded().as_bytes());
        }
        if !elements.is_empty() {
            write::field(out, b"x-forwarded-client-cert", &elements.join(&b", "[..]));
        }
    }

    /// Begins a header to which each proxy adds an element, up to where ours stands.
    fn begin_list(&self, kind: FieldKind, name: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        if self.trusted {
            for line in self.head.fields().iter().filter(|field| field.kind == kind) {
                let value = line.value.of(self.buffer);
                if !value.is_empty() {
                    out.extend_from_slice(value);
                    out.extend_from_slice(b", ");
                }
            }
        }
    }

    /// Appends a header that the first proxy sets and later ones leave: a trusted peer's, else `own`.
    fn write_first(&self, kind: FieldKind, name: &[u8], own: Option<&[u8]>, out: &mut Vec<u8>) {
        let mut fields = self.head.fields().iter();
        let believed = fields.find(|field| self.trusted && field.kind == kind);
        if let Some(value) = believed.map(|field| field.value.of(self.buffer)).or(own) {
            write::field(out, name, value);
        }
    }
}
