//! Services: named destinations, and the endpoints that serve them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::listener::CertificateFiles;

/// A service of a plan, by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(pub(crate) usize);

impl ServiceId {
    /// The position among [`Plan::services`](crate::Plan::services).
    pub fn index(self) -> usize {
        self.0
    }
}

/// A named destination: one version of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The name, unique in its plan.
    pub name: Arc<str>,
    /// Its identical servers; none is a service that answers 503.
    pub endpoints: Vec<Endpoint>,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// Which idle connections are kept.
    pub pool: Pool,
    /// Whether its endpoints speak HTTP/2: those under TLS where they choose it, those in clear text without being asked.
    pub http2: bool,
    /// How its endpoints under TLS are known.
    pub tls: ServiceTls,
    /// Whether a connection begins with who the client is.
    pub proxy_protocol: Option<ProxyVersion>,
}

/// How the endpoints of a service are known under TLS, and what they are shown. Paths are as written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceTls {
    /// Whose certificates they may have.
    pub trust: Trust,
    /// The name that their certificates have to have, and that they are asked for; without it, that of the endpoint.
    pub server_name: Option<Box<str>>,
    /// What they are shown.
    pub client_cert: Option<CertificateFiles>,
}

/// Whose certificates a service may have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// Those that the machine trusts.
    #[default]
    Platform,
    /// Those that one in this file has signed.
    Ca(Box<str>),
    /// Anybody's.
    Anybody,
}

/// The versions of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl Service {
    /// A service with nothing else said.
    pub fn new(name: Arc<str>, endpoints: Vec<Endpoint>) -> Self {
        Self {
            name,
            endpoints,
            timeouts: Timeouts::default(),
            pool: Pool::default(),
            http2: false,
            tls: ServiceTls::default(),
            proxy_protocol: None,
        }
    }

    /// Whether some endpoint is spoken to under TLS.
    pub fn uses_tls(&self) -> bool {
        self.endpoints
            .iter()
            .any(|endpoint| endpoint.scheme == EndpointScheme::Https)
    }

    /// What is spoken with `endpoint`.
    pub fn speaks(&self, endpoint: &Endpoint) -> Speaks {
        match endpoint.scheme {
            EndpointScheme::Http if self.http2 => Speaks::Http2,
            EndpointScheme::Http => Speaks::Http1,
            EndpointScheme::H2c => Speaks::Http2,
            EndpointScheme::Https => Speaks::Tls { http2: self.http2 },
        }
    }
}

/// What is spoken with an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1 in clear text.
    Http1,
    /// HTTP/2 in clear text, from the first byte on (RFC 9113 §3.3).
    Http2,
    /// TLS, and in it what the endpoint chooses.
    Tls {
        /// Whether HTTP/2 is offered.
        http2: bool,
    },
}

/// One server of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// `host[:port]` as written, which a service sees as `Host` when the client named none.
    pub authority: Box<str>,
    /// Where it is.
    pub host: EndpointHost,
    /// The port; where none is written, that of the scheme.
    pub port: u16,
    /// How it is spoken to.
    pub scheme: EndpointScheme,
}

/// The scheme of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndpointScheme {
    /// In clear text: `http`.
    Http,
    /// Under TLS: `https`.
    Https,
    /// HTTP/2 in clear text: `h2c`.
    H2c,
}

/// The host of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EndpointHost {
    /// An address.
    Address(IpAddr),
    /// A name, looked up again and again; each of its addresses takes its turn.
    Name(Box<str>),
}

/// How long a service may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection to come about (504).
    pub connect: Duration,
    /// From the end of the request to the first byte of the answer (504).
    pub response: Duration,
    /// Between two parts of an answer.
    pub idle: Duration,
    /// In which nothing moves on a connection that was upgraded, such as a WebSocket.
    pub tunnel: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            response: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            tunnel: Duration::from_secs(3600),
        }
    }
}

/// Which idle connections are kept, for each worker and endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// How many; 0 keeps none.
    pub idle_max: usize,
    /// How long.
    pub idle_timeout: Duration,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            idle_max: 64,
            idle_timeout: Duration::from_secs(60),
        }
    }
}
