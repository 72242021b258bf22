//! The other end of a client's connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use waypost_plan::redirect::Scheme;
use waypost_tls::identity::Identity;
use waypost_tls::peer::ClientCertificate;

/// The name by which conditions look up the subject of a client's certificate. No header can have it.
pub(crate) const SUBJECT: &str = ":client_cert subject";
/// The name by which conditions look up the alternative names of a client's certificate.
pub(crate) const SAN: &str = ":client_cert san";

/// Who is at the other end of a connection, and what it has been shown.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The client's end: what the socket says, or what a trusted proxy says of it.
    pub(crate) address: SocketAddr,
    /// Whether the connection is under TLS.
    pub(crate) scheme: Scheme,
    /// The certificate that it was shown.
    pub(crate) served: Option<Arc<Identity>>,
    /// The certificate that it has shown.
    pub(crate) certificate: Option<Box<ClientCertificate>>,
}

impl Peer {
    /// A peer in clear text.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self {
            address: SocketAddr::new(address.ip().to_canonical(), address.port()),
            scheme: Scheme::Http,
            served: None,
            certificate: None,
        }
    }

    /// The address; IPv4-mapped ones are IPv4.
    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// Whether the certificate that it was shown is for `host`; one that was shown none is not misled.
    pub(crate) fn may_ask_for(&self, host: Option<&[u8]>) -> bool {
        match (&self.served, host) {
            (Some(served), Some(host)) => std::str::from_utf8(host).is_ok_and(|host| served.serves(host)),
            _ => true,
        }
    }
}
