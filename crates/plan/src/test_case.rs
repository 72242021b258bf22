//! Tests in a config, which must pass before it is loaded.

use std::net::IpAddr;

/// A request with its expected outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCase {
    /// Method.
    pub method: Box<str>,
    /// URL as written: `http://host/path?query`, or `/path` for a request without host.
    pub url: Box<str>,
    /// Headers, in order.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// Address of the client; `None` for 127.0.0.1, or none at a unix socket.
    pub client_ip: Option<IpAddr>,
    /// Listener of the request, by name or bind text; `None` for the first that serves the host and fits
    /// the scheme of the URL.
    pub listener: Option<Box<str>>,
    /// Expected outcome.
    pub expect: Expectation,
}

/// The expected outcome of a request. `None` is not checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expectation {
    /// `forward`, `redirect`, `respond`, `not_found`, `refused` or `unavailable`.
    pub outcome: Option<Box<str>>,
    /// Route; `Some(None)` for none.
    pub route: Option<Option<Box<str>>>,
    /// Service that gets all such requests.
    pub service: Option<Box<str>>,
    /// Arms of the split.
    pub arms: Option<ExpectedArms>,
    /// Status of a response of the gateway itself.
    pub status: Option<u16>,
    /// Path as the service gets it.
    pub path: Option<Box<str>>,
    /// `Host` as the service gets it.
    pub host: Option<Box<str>>,
    /// `Location` of a redirect.
    pub location: Option<Box<str>>,
    /// True if a page of the request's origin may read the response, or send what its preflight asks for.
    pub cors: Option<bool>,
}

/// Expected arms, in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedArms {
    /// The services with a weight above 0.
    Named(Vec<Box<str>>),
    /// All services with their weights.
    Weighted(Vec<(Box<str>, u64)>),
}
