//! The other end of a client's connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use waypost_plan::redirect::Scheme;
use waypost_tls::identity::Identity;
use waypost_tls::peer::ClientCertificate;

use crate::proxy_protocol::Ends;

/// The name by which conditions look up the subject of a client's certificate. No header can have it.
pub(crate) const SUBJECT: &str = ":client_cert subject";
/// The name by which conditions look up the alternative names of a client's certificate.
pub(crate) const SAN: &str = ":client_cert san";

/// Who is at the other end of a connection, and what it has been shown.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The client's end: what the socket says, or what a trusted proxy says of it.
    address: SocketAddr,
    /// Its address without the port, as text: every request is forwarded with it.
    ip_text: Box<str>,
    /// The end that the client has connected to, as the socket says it.
    pub(crate) local: SocketAddr,
    /// Whether the connection is under TLS.
    pub(crate) scheme: Scheme,
    /// The certificate that it was shown.
    pub(crate) served: Option<Arc<Identity>>,
    /// The certificate that it has shown.
    pub(crate) certificate: Option<Box<ClientCertificate>>,
}

impl Peer {
    /// A peer in clear text.
    pub(crate) fn plain(address: SocketAddr, local: SocketAddr) -> Self {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let address = canonical(address);
        Self {
            address,
            ip_text: address.ip().to_string().into(),
            local: canonical(local),
            scheme: Scheme::Http,
            served: None,
            certificate: None,
        }
    }

    /// Both ends, for services that ask to be told.
    pub(crate) fn ends(&self) -> Ends {
        Ends {
            client: self.address,
            local: self.local,
        }
    }

    /// Notes who the client is, as a trusted proxy says.
    pub(crate) fn is_introduced(&mut self, client: SocketAddr) {
        self.address = SocketAddr::new(client.ip().to_canonical(), client.port());
        self.ip_text = self.ip().to_string().into();
    }

    /// The address; IPv4-mapped ones are IPv4.
    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// [`Peer::ip`], as text.
    pub(crate) fn ip_text(&self) -> &str {
        &self.ip_text
    }

    /// Whether the certificate that it was shown is for `host`; one that was shown none is not misled.
    pub(crate) fn may_ask_for(&self, host: Option<&[u8]>) -> bool {
        match (&self.served, host) {
            (Some(served), Some(host)) => std::str::from_utf8(host).is_ok_and(|host| served.serves(host)),
            _ => true,
        }
    }
}
