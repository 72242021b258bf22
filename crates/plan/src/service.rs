//! Services: named destinations, and the endpoints that serve them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

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
}

/// One server of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// `host[:port]` as written, which a service sees as `Host` when the client named none.
    pub authority: Box<str>,
    /// Where it is.
    pub host: EndpointHost,
    /// The port; 80 where none is written.
    pub port: u16,
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
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            response: Duration::from_secs(30),
            idle: Duration::from_secs(60),
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
