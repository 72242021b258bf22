//! Listeners: the addresses that accept clients, and what is accepted there.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use waypost_route::host::HostPattern;
use waypost_wire::path::PathOptions;

use crate::redirect::Redirect;

/// An address that accepts clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The name, where one is given.
    pub name: Option<Box<str>>,
    /// Where it listens.
    pub bind: Bind,
    /// The hosts it serves; empty for every host. Any other is answered 404.
    pub hosts: Vec<HostPattern>,
    /// What it does with paths that have two readings.
    pub paths: PathOptions,
    /// The peers whose `X-Forwarded-*`, `Forwarded` and `X-Real-IP` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What a client may send, and how long it may take.
    pub limits: Limits,
    /// Whether clients speak TLS.
    pub tls: ListenerTls,
    /// Where every request that comes in here is sent instead.
    pub redirect: Option<Redirect>,
    /// Whether connections of trusted proxies begin with who the client is.
    pub proxy_protocol: ProxyProtocol,
}

/// Whether the clients of a listener speak TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ListenerTls {
    /// They do not.
    #[default]
    Off,
    /// They do, and it ends here.
    Ends(TlsEnd),
    /// They do, with a service of a route that passes it through.
    PassesThrough,
}

/// TLS that ends at a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsEnd {
    /// What clients are shown; the first is the default. Never empty.
    pub certificates: Vec<CertificateFiles>,
    /// What clients are asked for.
    pub client_auth: Option<ClientAuth>,
}

/// The files of a certificate and its key. Paths are as written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The certificate with the chain that leads to it, as PEM.
    pub cert: Box<str>,
    /// Its key, as PEM.
    pub key: Box<str>,
}

/// What the clients of a listener are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuth {
    /// The file, as PEM, of the certificates that may have signed theirs; the path is as written.
    pub ca: Box<str>,
    /// Whether they have to have one.
    pub mode: ClientAuthMode,
}

/// Whether clients have to have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthMode {
    /// They may have none.
    Optional,
    /// Without one, there is no connection.
    Required,
}

/// Whether connections of trusted proxies begin with a header of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyProtocol {
    /// They do not.
    #[default]
    Off,
    /// They may.
    Optional,
    /// Every connection has to; what comes from elsewhere is closed.
    Required,
}

/// An address as written and as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The text, by which the listener is known across reloads.
    pub text: Box<str>,
    /// The address.
    pub address: SocketAddr,
}

/// What a client of a listener may send, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head in all (431).
    pub header_bytes: usize,
    /// Fields of a request head (431).
    pub headers: usize,
    /// Bytes of the request target (414).
    pub target_bytes: usize,
    /// Time for a whole head, from its first byte on (408).
    pub header_timeout: Duration,
    /// Time that a connection may wait for its next request.
    pub keep_alive_timeout: Duration,
    /// Time that a body may pause (408).
    pub body_idle_timeout: Duration,
    /// Bytes of a request body (413); `None` for no bound.
    pub body_bytes: Option<u64>,
    /// Connections at a time; more wait in the backlog.
    pub connections: usize,
    /// What happens to header names with `_`, which CGI-like servers cannot tell from `-`.
    pub underscores: Underscores,
    /// Time from a connection to the end of its TLS handshake.
    pub handshake_timeout: Duration,
    /// TLS handshakes at a time, in each worker; beyond them, the oldest makes room for the newest.
    pub handshakes: usize,
}

/// What happens to header names with `_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Underscores {
    /// The header is left out.
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
            keep_alive_timeout: Duration::from_secs(60),
            body_idle_timeout: Duration::from_secs(30),
            body_bytes: None,
            connections: 10_000,
            underscores: Underscores::Drop,
            handshake_timeout: Duration::from_secs(10),
            handshakes: 1000,
        }
    }
}

impl Listener {
    /// A listener on `bind` with nothing else said.
    pub fn new(bind: Bind) -> Self {
        Self {
            name: None,
            bind,
            hosts: Vec::new(),
            paths: PathOptions::default(),
            trusted_proxies: Vec::new(),
            limits: Limits::default(),
            tls: ListenerTls::Off,
            redirect: None,
            proxy_protocol: ProxyProtocol::Off,
        }
    }

    /// Whether clients speak TLS that ends here, so that their requests are `https`.
    pub fn ends_tls(&self) -> bool {
        matches!(self.tls, ListenerTls::Ends(_))
    }

    /// The scheme of its URL: `https` where clients speak TLS, else `http`.
    pub fn scheme(&self) -> &'static str {
        match self.tls {
            ListenerTls::Off => "http",
            ListenerTls::Ends(_) | ListenerTls::PassesThrough => "https",
        }
    }

    /// Whether a request to `host` (normalised; `None` when it names none) may come in here.
    pub fn serves(&self, host: Option<&[u8]>) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.covers(host))
    }

    /// Whether the forwarding headers of `peer` are believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&peer))
    }

    /// Whether both cannot stand in one plan: they share an address, or one takes every address of a port of
    /// which the other takes one.
    pub(crate) fn conflicts_with(&self, other: &Self) -> bool {
        let (a, b) = (self.bind.address, other.bind.address);
        if a.port() == 0 || a.port() != b.port() {
            return a == b && self.name == other.name;
        }
        // `[::]` takes IPv4 clients too.
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
                address: text.parse().unwrap(),
            })
        };
        listener(a).conflicts_with(&listener(b))
    }

    #[test]
    fn one_port_of_one_address_is_taken_once() {
        assert!(conflict("127.0.0.1:80", "127.0.0.1:80"));
        assert!(conflict("0.0.0.0:80", "127.0.0.1:80"));
        assert!(conflict("127.0.0.1:80", "[::]:80"));
        assert!(conflict("127.0.0.1:0", "127.0.0.1:0"));
        assert!(!conflict("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!conflict("127.0.0.1:80", "127.0.0.1:81"));
        assert!(!conflict("0.0.0.0:80", "[::1]:80"));
    }
}
