//! The other end of a client's connection.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use waypost_plan::redirect::Scheme;
use waypost_route::attribute::Attribute;
use waypost_tls::peer::ClientCertificate;
use waypost_tls::served::Served;

/// The peer of a client connection, and what the TLS handshake established.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The client's address: the socket's, or the one that a trusted proxy named in a PROXY header; the unspecified one at a
    /// unix socket.
    address: SocketAddr,
    /// `address` without its port, as text: every forwarded request carries it. Empty for the unspecified address.
    ip_text: Box<str>,
    /// The local address of the connection.
    pub local: SocketAddr,
    /// `https` if the connection is under TLS.
    pub scheme: Scheme,
    /// The certificate that the client was served.
    pub served: Option<Served>,
    /// The certificate that the client presented, verified.
    pub certificate: Option<Box<ClientCertificate>>,
}

impl Peer {
    /// The peer of a connection in clear text.
    pub fn in_clear(address: SocketAddr, local: SocketAddr) -> Self {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let address = canonical(address);
        Self {
            address,
            ip_text: text_of(address.ip()),
            local: canonical(local),
            scheme: Scheme::Http,
            served: None,
            certificate: None,
        }
    }

    /// The peer of a connection at a unix socket, in clear text. Neither end has an address.
    pub fn unaddressed() -> Self {
        let unspecified = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        Self::in_clear(unspecified, unspecified)
    }

    /// Returns true if the address of the client is not known.
    pub fn is_unaddressed(&self) -> bool {
        self.address.ip().is_unspecified()
    }

    /// Replaces the address by the client's, as a trusted proxy named it.
    pub fn set_client(&mut self, client: SocketAddr) {
        self.address = SocketAddr::new(client.ip().to_canonical(), client.port());
        self.ip_text = text_of(self.ip());
    }

    /// The client's address and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The client's address; an IPv4-mapped one is IPv4.
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// [`Peer::ip`] as text.
    pub fn ip_text(&self) -> &str {
        &self.ip_text
    }

    /// Returns true if requests for `host` may come on this connection. Otherwise such a request is misdirected
    /// (RFC 9110 §15.5.20); see [`Served::may_serve`].
    pub fn is_authoritative_for(&self, host: Option<&[u8]>) -> bool {
        match (&self.served, host) {
            (Some(served), Some(host)) => std::str::from_utf8(host).is_ok_and(|host| served.may_serve(host)),
            _ => true,
        }
    }

    /// Calls `visit` with each value of an attribute of the client's certificate; there are none without a certificate,
    /// and none of any other attribute.
    pub(crate) fn certificate_values(&self, attribute: Attribute, visit: &mut dyn FnMut(&[u8])) {
        let Some(certificate) = &self.certificate else {
            return;
        };
        match attribute {
            Attribute::ClientCertificateSubject => visit(certificate.subject().as_bytes()),
            Attribute::ClientCertificateSan => {
                certificate.alternatives().for_each(|name| visit(name.as_bytes()));
            }
            Attribute::Listener | Attribute::Scheme => {}
        }
    }
}

/// An address as text; empty for the unspecified one.
fn text_of(ip: IpAddr) -> Box<str> {
    if ip.is_unspecified() {
        return Box::default();
    }
    ip.to_string().into()
}
