//! Who the client is, and what a service is told of it: `X-Forwarded-*`, `Forwarded`, `X-Real-IP`.

use std::net::{IpAddr, SocketAddr};

use waypost_plan::listener::Listener;
use waypost_plan::redirect::Scheme;
use waypost_wire::field::{self, Kind};
use waypost_wire::request::RequestHead;
use waypost_wire::write;

use crate::client::peer::Peer;

/// The address of the client: the peer's, or, when that is a trusted proxy, the right-most address of
/// `X-Forwarded-For` that is not one.
///
/// An entry that is no address ends the search: what stands left of it was not written by anybody trusted.
pub(crate) fn client_ip(listener: &Listener, peer: IpAddr, head: &RequestHead, buffer: &[u8]) -> IpAddr {
    if !listener.trusts(peer) {
        return peer;
    }
    let mut client = peer;
    let lines = head
        .fields()
        .iter()
        .rev()
        .filter(|field| field.kind == Kind::XForwardedFor);
    for line in lines {
        for entry in line
            .value
            .of(buffer)
            .rsplit(|&byte| byte == b',')
            .map(field::trim_blanks)
        {
            let Some(address) = parse_entry(entry) else {
                return client;
            };
            client = address;
            if !listener.trusts(address) {
                return client;
            }
        }
    }
    client
}

/// Whether the client itself uses TLS: it does so here, or a trusted proxy in front says so.
pub(crate) fn client_uses_tls(listener: &Listener, peer: &Peer, head: &RequestHead, buffer: &[u8]) -> bool {
    let said = head
        .fields()
        .iter()
        .find(|field| field.kind == Kind::XForwardedProto);
    match said.filter(|_| listener.trusts(peer.ip())) {
        Some(field) => field.value.of(buffer).eq_ignore_ascii_case(b"https"),
        None => peer.scheme == Scheme::Https,
    }
}

/// `192.0.2.1`, `2001:db8::1`, or either with a port.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare
        .parse()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// What the headers about the client are written from.
pub(crate) struct Forwarding<'a> {
    /// The peer of the connection.
    pub(crate) peer: &'a Peer,
    /// The client, as [`client_ip`] finds it.
    pub(crate) client: IpAddr,
    /// Whether the peer's own headers are believed, and only added to.
    pub(crate) trusted: bool,
    /// The host that the client asked for, as sent.
    pub(crate) host: Option<&'a [u8]>,
}

impl Forwarding<'_> {
    /// Appends the headers, leaving out those that `drops` names.
    pub(crate) fn write(
        &self,
        head: &RequestHead,
        buffer: &[u8],
        drops: impl Fn(&[u8]) -> bool,
        out: &mut Vec<u8>,
    ) {
        let scheme: &[u8] = match self.peer.scheme {
            Scheme::Http => b"http",
            Scheme::Https => b"https",
        };
        if !drops(b"x-forwarded-for") {
            self.begin_list(Kind::XForwardedFor, b"x-forwarded-for", head, buffer, out);
            out.extend_from_slice(self.peer.ip_text().as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        self.write_one(
            Kind::XForwardedProto,
            b"x-forwarded-proto",
            Some(scheme),
            head,
            buffer,
            &drops,
            out,
        );
        self.write_one(
            Kind::XForwardedHost,
            b"x-forwarded-host",
            self.host,
            head,
            buffer,
            &drops,
            out,
        );
        if !drops(b"forwarded") {
            self.begin_list(Kind::Forwarded, b"forwarded", head, buffer, out);
            self.write_element(scheme, out);
            out.extend_from_slice(b"\r\n");
        }
        self.write_client_cert(head, buffer, &drops, out);
        let client = if self.client == self.peer.ip() {
            None
        } else {
            Some(self.client.to_string())
        };
        let client = client.as_deref().unwrap_or(self.peer.ip_text());
        self.write_one(
            Kind::XRealIp,
            b"x-real-ip",
            Some(client.as_bytes()),
            head,
            buffer,
            &drops,
            out,
        );
    }

    /// What this proxy adds to `forwarded` (RFC 7239 §4).
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

    /// `x-forwarded-client-cert`: what trusted proxies say, and what the client has proved here.
    fn write_client_cert(
        &self,
        head: &RequestHead,
        buffer: &[u8],
        drops: &impl Fn(&[u8]) -> bool,
        out: &mut Vec<u8>,
    ) {
        const NAME: &[u8] = b"x-forwarded-client-cert";
        if drops(NAME) {
            return;
        }
        let lines = head.fields().iter();
        let told = lines.filter(|field| self.trusted && field.kind == Kind::XForwardedClientCert);
        let mut elements: Vec<&[u8]> = told.map(|field| field.value.of(buffer)).collect();
        if let Some(certificate) = &self.peer.certificate {
            elements.push(certificate.forwarded().as_bytes());
        }
        if !elements.is_empty() {
            write::field(out, NAME, &elements.join(&b", "[..]));
        }
    }

    /// A header that each proxy on the way adds an element to, up to where ours begins.
    fn begin_list(&self, kind: Kind, name: &[u8], head: &RequestHead, buffer: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        if self.trusted {
            for line in head.fields().iter().filter(|field| field.kind == kind) {
                let value = line.value.of(buffer);
                if !value.is_empty() {
                    out.extend_from_slice(value);
                    out.extend_from_slice(b", ");
                }
            }
        }
    }

    /// A header that the first proxy sets and the others leave.
    #[expect(
        clippy::too_many_arguments,
        reason = "a private helper that spares its two callers a struct"
    )]
    fn write_one(
        &self,
        kind: Kind,
        name: &[u8],
        own: Option<&[u8]>,
        head: &RequestHead,
        buffer: &[u8],
        drops: &impl Fn(&[u8]) -> bool,
        out: &mut Vec<u8>,
    ) {
        if drops(name) {
            return;
        }
        let believed = head
            .fields()
            .iter()
            .find(|field| self.trusted && field.kind == kind);
        if let Some(value) = believed.map(|field| field.value.of(buffer)).or(own) {
            write::field(out, name, value);
        }
    }
}
