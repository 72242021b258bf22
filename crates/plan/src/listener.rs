//! Listeners: addresses that accept clients, with limits, TLS and trust.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use waypost_route::host::HostPattern;
use waypost_wire::path::PathOptions;

use crate::certificate_source::CertificateSource;
use crate::policies::{Overlay, Policies};
use crate::redirect::{Redirect, Scheme};
use crate::trusted_proxies::TrustedProxies;

/// An address that accepts clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The name, if configured.
    pub name: Option<Box<str>>,
    /// The address to listen on.
    pub bind: Bind,
    /// Hosts to serve; empty for every host. Requests for any other get 404.
    pub hosts: Vec<HostPattern>,
    /// Handling of ambiguous paths.
    pub paths: PathOptions,
    /// The proxies in front.
    pub trusted_proxies: TrustedProxies,
    /// Scheme that clients use, where it is not that of the connection: TLS ends in front.
    pub client_scheme: Option<Scheme>,
    /// Limits and timeouts for clients.
    pub limits: Limits,
    /// TLS for clients.
    pub tls: ListenerTls,
    /// Redirect for every request, if configured.
    pub redirect: Option<Redirect>,
    /// Policies for its own responses, and for every route that serves a request here.
    pub policies: Policies,
    /// The policies of routes, where they differ for requests that come in here.
    pub overlay: Option<Overlay>,
    /// PROXY protocol on connections of trusted proxies.
    pub proxy_protocol: ProxyProtocol,
    /// Handling of HTTP/1 clients that stop sending before their response.
    pub half_close: HalfClose,
    /// True if services and clients get the id of each request as `x-request-id`.
    pub request_id: bool,
}

/// Handling of an HTTP/1 client that ends its sending side while nothing of its response has been sent. A request that
/// announced the end of its connection is always served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HalfClose {
    /// It has left: the exchange ends.
    #[default]
    End,
    /// It waits for the response.
    Serve,
}

/// TLS at a listener.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ListenerTls {
    /// Clear text.
    #[default]
    Off,
    /// TLS is terminated here.
    Terminates(TlsTermination),
    /// TLS connections are passed through to a service.
    Passthrough,
}

/// Termination of TLS at a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsTermination {
    /// Server certificates; the first is the default. Never empty.
    pub certificates: Vec<CertificateSource>,
    /// Authentication of clients, if configured.
    pub client_auth: Option<ClientAuth>,
}

/// Authentication of clients by certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuth {
    /// File of the CA certificates for clients, as PEM; the path is as configured.
    pub ca: Box<str>,
    /// Mode.
    pub mode: ClientAuthMode,
}

/// Mode of client authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthMode {
    /// Clients without a certificate are accepted.
    Optional,
    /// Clients without a certificate are refused.
    Required,
}

/// PROXY protocol headers in front of connections from trusted proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyProtocol {
    /// Not read.
    #[default]
    Off,
    /// Read if present.
    Optional,
    /// Required; connections from other addresses are closed.
    Required,
}

/// An address with the text that it was configured by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The text, which identifies the listener across reloads.
    pub text: Box<str>,
    /// The address.
    pub address: BindAddress,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BindAddress {
    /// Over TCP.
    Tcp(SocketAddr),
    /// A unix socket at this path.
    Unix(Box<str>),
}

impl Bind {
    /// An address over TCP.
    pub fn tcp(address: SocketAddr) -> Self {
        Self {
            text: address.to_string().into(),
            address: BindAddress::Tcp(address),
        }
    }
}

impl BindAddress {
    /// The port, of an address over TCP.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) => Some(address.port()),
            Self::Unix(_) => None,
        }
    }

    /// The path, of a unix socket.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(path) => Some(path),
        }
    }
}

/// Limits and timeouts for the clients of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum bytes of a request head (431).
    pub header_bytes: usize,
    /// Maximum fields of a request head (431).
    pub headers: usize,
    /// Maximum bytes of the request target (414).
    pub target_bytes: usize,
    /// Timeout for a request head, from its first byte (408).
    pub header_timeout: Duration,
    /// Timeout for the next request on an idle connection.
    pub keep_alive_timeout: Duration,
    /// Timeout between two parts of a request body (408).
    pub body_idle_timeout: Duration,
    /// Maximum bytes of a request body (413); `None` for no limit.
    pub body_bytes: Option<u64>,
    /// Minimum rate of a request body, in bytes per second, averaged over the time spent waiting for it (408); `None`
    /// for no minimum. Never 0.
    pub body_rate: Option<u64>,
    /// Maximum open connections; further ones wait in the backlog.
    pub connections: usize,
    /// Handling of header names with `_`, which CGI-like servers confuse with `-`.
    pub underscores: Underscores,
    /// Timeout for the TLS handshake, from the start of the connection.
    pub handshake_timeout: Duration,
    /// Maximum concurrent TLS handshakes per worker; a further one replaces the oldest.
    pub handshakes: usize,
}

/// Handling of header names with `_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Underscores {
    /// The header is dropped.
    #[default]
    Drop,
    /// It is forwarded.
    Keep,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 64 << 10,
            headers: 100,
            target_bytes: 8 << 10,
            header_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            body_idle_timeout: Duration::from_secs(30),
            body_bytes: None,
            body_rate: None,
            connections: 10_000,
            underscores: Underscores::Drop,
            handshake_timeout: Duration::from_secs(10),
            handshakes: 1000,
        }
    }
}

impl Listener {
    /// Returns a listener on `bind` with defaults.
    pub fn new(bind: Bind) -> Self {
        Self {
            name: None,
            bind,
            hosts: Vec::new(),
            paths: PathOptions::default(),
            trusted_proxies: TrustedProxies::default(),
            client_scheme: None,
            limits: Limits::default(),
            tls: ListenerTls::Off,
            redirect: None,
            policies: Policies::default(),
            overlay: None,
            proxy_protocol: ProxyProtocol::Off,
            half_close: HalfClose::End,
            request_id: false,
        }
    }

    /// Returns true if TLS is terminated here, so that requests are `https`.
    pub fn terminates_tls(&self) -> bool {
        matches!(self.tls, ListenerTls::Terminates(_))
    }

    /// The name, or the address where it has none, as conditions and people call it.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.bind.text)
    }

    /// Returns true if `text` is its name or its address, as configured.
    pub fn is_called(&self, text: &str) -> bool {
        self.name.as_deref() == Some(text) || *self.bind.text == *text
    }

    /// The scheme that clients use unless a trusted proxy says otherwise.
    pub fn native_scheme(&self) -> Scheme {
        self.client_scheme.unwrap_or(match self.tls {
            ListenerTls::Off => Scheme::Http,
            ListenerTls::Terminates(_) | ListenerTls::Passthrough => Scheme::Https,
        })
    }

    /// The schemes that clients may use.
    pub fn client_schemes(&self) -> [Option<Scheme>; 2] {
        let native = self.native_scheme();
        let other = match native {
            Scheme::Http => Scheme::Https,
            Scheme::Https => Scheme::Http,
        };
        let by_proxy = !self.trusted_proxies.from.is_empty() && self.tls != ListenerTls::Passthrough;
        [Some(native), by_proxy.then_some(other)]
    }

    /// Returns the scheme of its URL: `https` if clients use TLS, else `http`.
    pub fn scheme(&self) -> &'static str {
        match self.tls {
            ListenerTls::Off => "http",
            ListenerTls::Terminates(_) | ListenerTls::Passthrough => "https",
        }
    }

    /// Returns true if requests for `host` (normalised; `None` if the request has none) are served here.
    pub fn serves(&self, host: Option<&[u8]>) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.covers(host))
    }

    /// Returns true if the forwarding headers of `peer` are trusted. A client of a unix socket has no address that could be.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        !peer.is_unspecified() && self.trusted_proxies.contain(peer)
    }

    /// Returns true if a PROXY header of `peer` is believed: that of a trusted proxy, and of every client of a unix
    /// socket.
    pub fn believes_proxy_header_of(&self, peer: IpAddr) -> bool {
        self.bind.address.path().is_some() || self.trusts(peer)
    }

    /// Returns true if both cannot be in one plan: they share an address, or one listens on every address of the
    /// other's port.
    pub(crate) fn conflicts_with(&self, other: &Self) -> bool {
        let (BindAddress::Tcp(a), BindAddress::Tcp(b)) = (&self.bind.address, &other.bind.address) else {
            return self.bind.address == other.bind.address;
        };
        let (a, b) = (*a, *b);
        if a.port() == 0 || a.port() != b.port() {
            return a == b && self.name == other.name;
        }
        // `[::]` accepts IPv4 clients too.
        let covers =
            |all: SocketAddr, one: SocketAddr| all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4());
        a.ip() == b.ip() || covers(a, b) || covers(b, a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conflict(a: &str, b: &str) -> bool {
        let listener = |text: &str| {
            Listener::new(Bind {
                text: text.into(),
                address: match text.strip_prefix("unix:") {
                    Some(path) => BindAddress::Unix(path.into()),
                    None => BindAddress::Tcp(text.parse().unwrap()),
                },
            })
        };
        listener(a).conflicts_with(&listener(b))
    }

    #[test]
    fn one_listener_per_port_and_address() {
        assert!(conflict("127.0.0.1:80", "127.0.0.1:80"));
        assert!(conflict("0.0.0.0:80", "127.0.0.1:80"));
        assert!(conflict("127.0.0.1:80", "[::]:80"));
        assert!(conflict("127.0.0.1:0", "127.0.0.1:0"));
        assert!(conflict("unix:/run/a.sock", "unix:/run/a.sock"));
        assert!(!conflict("unix:/run/a.sock", "unix:/run/b.sock"));
        assert!(!conflict("unix:/run/a.sock", "0.0.0.0:80"));
        assert!(!conflict("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!conflict("127.0.0.1:80", "127.0.0.1:81"));
        assert!(!conflict("0.0.0.0:80", "[::1]:80"));
    }
}
