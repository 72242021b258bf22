//! Listeners: the addresses that accept clients, and what is accepted there.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use waypost_route::host::HostPattern;
use waypost_wire::path::PathOptions;

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
