//! Services: named destinations with their endpoints.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use waypost_wire::response::ResponseLimits;

use crate::balance::Balance;
use crate::certificate_files::CertificateFiles;
use crate::health::{Ejection, HealthCheck};

/// A service of a plan, by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(pub(crate) usize);

impl ServiceId {
    /// Returns the position in [`Plan::services`](crate::Plan::services).
    pub fn index(self) -> usize {
        self.0
    }
}

/// The threshold of panic mode, in thousandths of a percent, where none is configured.
pub const PANIC_DEFAULT: u64 = 50_000;

/// A named destination: one version of one application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The name, unique in its plan.
    pub name: Arc<str>,
    /// Identical servers; without any, requests get 503.
    pub endpoints: Vec<Endpoint>,
    /// The rule by which its endpoints share requests.
    pub balance: Balance,
    /// The part of its endpoints, in thousandths of a percent, below which all are used, available or not; 0 for never.
    pub panic: u64,
    /// The time over which the share of an endpoint that becomes available grows to its weight.
    pub slow_start: Option<Duration>,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// Limits on the heads of its responses.
    pub limits: ResponseLimits,
    /// Requests and connections that it may have.
    pub capacity: Capacity,
    /// Idle connections to keep.
    pub pool: Pool,
    /// True to use HTTP/2: by ALPN under TLS, with prior knowledge in clear text.
    pub http2: bool,
    /// Verification of its endpoints under TLS.
    pub tls: ServiceTls,
    /// PROXY protocol header to send on connections, if any.
    pub proxy_protocol: Option<ProxyVersion>,
    /// Checks of its endpoints, if any.
    pub health: Option<HealthCheck>,
    /// Ejection of its endpoints by the outcomes of requests; `None` for failed connections alone.
    pub eject: Option<Ejection>,
    /// The `Host` of its requests, unless a route rewrites it.
    pub host: SentHost,
}

/// The `Host` that a service gets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SentHost {
    /// The client's.
    #[default]
    Client,
    /// The authority of the endpoint that gets the request.
    Endpoint,
    /// A fixed host, possibly with a port.
    Named(Box<str>),
}

/// Verification of the endpoints of a service under TLS, and the client certificate. Paths are as configured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceTls {
    /// Trusted certificates.
    pub trust: Trust,
    /// Server name for SNI and verification; `None` for the endpoint's host.
    pub server_name: Option<Box<str>>,
    /// Client certificate, if any.
    pub client_cert: Option<CertificateFiles>,
}

/// Trust in the certificates of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// The CA certificates of the system.
    #[default]
    Platform,
    /// The CA certificates in this file.
    Ca(Box<str>),
    /// Any certificate, without verification.
    Unverified,
}

/// Versions of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl Service {
    /// Returns a service with defaults.
    pub fn new(name: Arc<str>, endpoints: Vec<Endpoint>) -> Self {
        Self {
            name,
            endpoints,
            balance: Balance::default(),
            panic: PANIC_DEFAULT,
            slow_start: None,
            timeouts: Timeouts::default(),
            limits: ResponseLimits::default(),
            capacity: Capacity::default(),
            pool: Pool::default(),
            http2: false,
            tls: ServiceTls::default(),
            proxy_protocol: None,
            health: None,
            eject: None,
            host: SentHost::Client,
        }
    }

    /// Returns true if any endpoint uses TLS.
    pub fn uses_tls(&self) -> bool {
        self.endpoints
            .iter()
            .any(|endpoint| endpoint.scheme == EndpointScheme::Https)
    }

    /// Returns the protocol to speak with `endpoint`.
    pub fn upstream_protocol(&self, endpoint: &Endpoint) -> UpstreamProtocol {
        match endpoint.scheme {
            EndpointScheme::Http if self.http2 => UpstreamProtocol::Http2,
            EndpointScheme::Http => UpstreamProtocol::Http1,
            EndpointScheme::H2c => UpstreamProtocol::Http2,
            EndpointScheme::Https => UpstreamProtocol::Tls { http2: self.http2 },
        }
    }
}

/// The protocol to speak with an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1 in clear text.
    Http1,
    /// HTTP/2 in clear text with prior knowledge (RFC 9113 §3.3).
    Http2,
    /// TLS, with the protocol chosen by ALPN (RFC 7301).
    Tls {
        /// True if HTTP/2 is offered.
        http2: bool,
    },
}

/// One server of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// `host[:port]` as configured, or `localhost` of a unix socket; the `Host` for requests without one.
    pub authority: Box<str>,
    /// Address or name.
    pub host: EndpointHost,
    /// Port; defaults to that of the scheme. 0 for a unix socket, which has none, and for SRV records, which say it.
    pub port: u16,
    /// Scheme.
    pub scheme: EndpointScheme,
    /// Weight, relative to those of the other endpoints; 0 takes no requests.
    pub weight: u32,
    /// True if it is used only while no other endpoint is available.
    pub backup: bool,
}

impl Endpoint {
    /// Returns an endpoint with defaults.
    pub fn new(authority: Box<str>, host: EndpointHost, port: u16, scheme: EndpointScheme) -> Self {
        Self {
            authority,
            host,
            port,
            scheme,
            weight: 1,
            backup: false,
        }
    }

    /// The endpoint as configured, without its scheme.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.host {
            EndpointHost::Unix(path) => format!("unix:{path}").into(),
            EndpointHost::Address(_) | EndpointHost::Name(_) | EndpointHost::Service(_) => {
                (&*self.authority).into()
            }
        }
    }
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
    /// A name, looked up when its TTL ends; requests are spread over all of its addresses. With a trailing dot it is not
    /// searched for in other domains.
    Name(Box<str>),
    /// The absolute path of a unix socket.
    Unix(Box<str>),
    /// A name whose SRV records (RFC 2782) say host, port, priority and weight of the servers.
    Service(Box<str>),
}

/// Timeouts of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Timeout for a connection attempt (504).
    pub connect: Duration,
    /// Timeout from the end of the request to the first byte of the response (504).
    pub response: Duration,
    /// Timeout between two parts of a response.
    pub idle: Duration,
    /// Idle timeout of an upgraded connection, such as a WebSocket.
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

/// Requests and connections that a service may have, over all workers, and the queue for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Maximum requests in flight, if any.
    pub requests: Option<usize>,
    /// Maximum open connections, if any.
    pub connections: Option<usize>,
    /// Maximum requests that wait for a place of either.
    pub waiting: usize,
    /// Maximum time that one waits.
    pub wait: Duration,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            requests: None,
            connections: None,
            waiting: 0,
            wait: Duration::from_secs(1),
        }
    }
}

/// Idle connections to keep, for each worker and endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Maximum number; 0 keeps none.
    pub idle_max: usize,
    /// Timeout after which one is closed.
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
