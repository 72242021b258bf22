//! The headers that tell services of the client: `X-Forwarded-*`, `Forwarded`, `X-Real-IP`.

use std::net::IpAddr;

use waypost_wire::field::{self, FieldKind};
use waypost_wire::request::RequestHead;
use waypost_wire::write;

use crate::client::{ClientSide, Trust};
use crate::peer::Peer;
use crate::request::IncomingRequest;

/// The forwarding headers of a request. Both families say the same: the client, its scheme, host and port are one fact.
pub(crate) struct ForwardedHeaders<'a> {
    head: &'a RequestHead,
    buffer: &'a [u8],
    peer: &'a Peer,
    client: &'a ClientSide,
    /// The host that the client asked for, as sent.
    host: Option<&'a [u8]>,
    /// The client's prefix, where the service sees another.
    prefix: Option<&'a [u8]>,
}

impl<'a> ForwardedHeaders<'a> {
    /// The headers of `request`; `prefix` is the client's, where the service sees another.
    pub(crate) fn of(request: &IncomingRequest<'a>, prefix: Option<&'a [u8]>) -> Self {
        let client = request.normalized.client();
        Self {
            head: request.head,
            buffer: request.buffer,
            peer: request.peer,
            client,
            host: client
                .authority()
                .or_else(|| request.head.authority(request.buffer)),
            prefix,
        }
    }

    /// Appends the headers, leaving out those that `drops` names.
    pub(crate) fn write(&self, drops: impl Fn(&[u8]) -> bool, out: &mut Vec<u8>) {
        let (forwarded, x_forwarded_for) = match self.client.trust() {
            Trust::Untrusted | Trust::Unnamed => (List::Own, List::Own),
            Trust::Trusted {
                forwarded,
                x_forwarded_for,
            } => (List::of_trusted(forwarded), List::of_trusted(x_forwarded_for)),
        };
        let client_text;
        let client = if self.client.ip() == self.peer.ip() {
            self.peer.ip_text()
        } else {
            client_text = self.client.ip().to_string();
            &client_text
        };
        // A client of a unix socket has no address, and a list of addresses has no word for that.
        let is_addressed = !client.is_empty();
        if is_addressed && !drops(b"x-forwarded-for") {
            out.extend_from_slice(b"x-forwarded-for: ");
            match x_forwarded_for {
                List::Own => {}
                List::Continued => self.write_list(FieldKind::XForwardedFor, out),
                List::BegunAnew => {
                    out.extend_from_slice(client.as_bytes());
                    out.extend_from_slice(b", ");
                }
            }
            out.extend_from_slice(self.peer.ip_text().as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        if !drops(b"x-forwarded-proto") {
            let scheme = self.client.scheme().as_str();
            write::field(out, b"x-forwarded-proto", scheme.as_bytes());
        }
        if let Some(host) = self.host
            && !drops(b"x-forwarded-host")
        {
            write::field(out, b"x-forwarded-host", host);
        }
        // A client that connects here has its port in the host, where ports are mapped too.
        if let Some(port) = self.client.port_in_front()
            && !drops(b"x-forwarded-port")
        {
            out.extend_from_slice(b"x-forwarded-port: ");
            write::decimal(out, port.into());
            out.extend_from_slice(b"\r\n");
        }
        if let Some(prefix) = self.prefix
            && !drops(b"x-forwarded-prefix")
        {
            out.extend_from_slice(b"x-forwarded-prefix: ");
            append_prefix_in_front(self.client, self.head, self.buffer, out);
            out.extend_from_slice(prefix);
            out.extend_from_slice(b"\r\n");
        }
        if !drops(b"forwarded") {
            out.extend_from_slice(b"forwarded: ");
            match forwarded {
                List::Own => {}
                List::Continued => self.write_list(FieldKind::Forwarded, out),
                List::BegunAnew => {
                    self.write_element(self.client.ip(), client, out);
                    out.extend_from_slice(b", ");
                }
            }
            self.write_element(self.peer.ip(), self.peer.ip_text(), out);
            out.extend_from_slice(b"\r\n");
        }
        if !drops(b"x-forwarded-client-cert") {
            self.write_client_cert(out);
        }
        if is_addressed && !drops(b"x-real-ip") {
            write::field(out, b"x-real-ip", client.as_bytes());
        }
    }

    /// Appends an element of `forwarded` (RFC 7239 §4) for a node, which `text` writes.
    fn write_element(&self, node: IpAddr, text: &str, out: &mut Vec<u8>) {
        let text = text.as_bytes();
        match node {
            _ if text.is_empty() => out.extend_from_slice(b"for=unknown"),
            IpAddr::V4(_) => append(out, [b"for=", text]),
            IpAddr::V6(_) => append(out, [b"for=\"[", text, b"]\""]),
        }
        let scheme = self.client.scheme().as_str().as_bytes();
        let Some(host) = self.host else {
            return append(out, [b";proto=", scheme]);
        };
        let port = self.client.lacking_port();
        // A valid host needs quotes only for its port or its brackets; a port stands at the end.
        let is_quoted = port.is_some() || host.iter().rev().any(|byte| matches!(byte, b':' | b'['));
        append(out, [if is_quoted { b";host=\"" } else { b";host=" }, host]);
        if let Some(port) = port {
            out.push(b':');
            write::decimal(out, port.into());
        }
        append(out, [if is_quoted { b"\";proto=" } else { b";proto=" }, scheme]);
    }

    /// Appends `x-forwarded-client-cert`: the elements of trusted proxies, and the client's own certificate.
    fn write_client_cert(&self, out: &mut Vec<u8>) {
        let is_trusted = self.client.trust().is_given();
        let lines = self.head.fields().iter();
        let believed = lines.filter(|field| is_trusted && field.kind == FieldKind::XForwardedClientCert);
        let mut elements: Vec<&[u8]> = believed.map(|field| field.value.of(self.buffer)).collect();
        if let Some(certificate) = &self.peer.certificate {
            elements.push(certificate.forwarded().as_bytes());
        }
        if !elements.is_empty() {
            write::field(out, b"x-forwarded-client-cert", &elements.join(&b", "[..]));
        }
    }

    /// Appends the peer's lines of a list header, each followed by a comma.
    fn write_list(&self, kind: FieldKind, out: &mut Vec<u8>) {
        for line in self.head.fields().iter().filter(|field| field.kind == kind) {
            let value = line.value.of(self.buffer);
            if !value.is_empty() {
                out.extend_from_slice(value);
                out.extend_from_slice(b", ");
            }
        }
    }
}

/// Appends the prefix that trusted proxies took off: one, or several in a list, the first of which came first. One that is
/// no path is left out with all others.
pub(crate) fn append_prefix_in_front(
    client: &ClientSide,
    head: &RequestHead,
    buffer: &[u8],
    out: &mut Vec<u8>,
) {
    if !client.trust().is_given() {
        return;
    }
    let start = out.len();
    let fields = head.fields().iter();
    let lines = fields.filter(|field| field.kind == FieldKind::XForwardedPrefix);
    for part in lines.flat_map(|line| field::list(line.value.of(buffer))) {
        let is_path = part.first() == Some(&b'/')
            && !part.starts_with(b"//")
            && part.iter().all(
                |&byte| matches!(byte, b'!' | b'$'..=b';' | b'=' | b'@'..=b'Z' | b'_' | b'a'..=b'z' | b'~'),
            );
        if !is_path {
            out.truncate(start);
            return;
        }
        out.extend_from_slice(part.strip_suffix(b"/").unwrap_or(part));
    }
}

/// The beginning of a list header to which each proxy adds its peer.
#[derive(Clone, Copy)]
enum List {
    /// The peer alone.
    Own,
    /// The list of a trusted peer.
    Continued,
    /// The client, in front of the trusted peer that names it in another header.
    BegunAnew,
}

impl List {
    fn of_trusted(names_client: bool) -> Self {
        if names_client {
            Self::Continued
        } else {
            Self::BegunAnew
        }
    }
}

/// Appends parts of a value.
fn append<const N: usize>(out: &mut Vec<u8>, parts: [&[u8]; N]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}
