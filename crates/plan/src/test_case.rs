//! Tests that live in a config and gate its reload.

use std::net::IpAddr;

/// A request, and what is expected to become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCase {
    /// The method.
    pub method: Box<str>,
    /// The URL as written: `http://host/path?query`, or `/path` for a request that names no host.
    pub url: Box<str>,
    /// Headers, in order.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// The client's address.
    pub client_ip: IpAddr,
    /// The listener it comes in by, by name or bind text; `None` for the first that serves its host.
    pub listener: Option<Box<str>>,
    /// What is expected.
    pub expect: Expectation,
}

/// What is expected; what is `None` may be anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expectation {
    /// `forward`, `redirect`, `respond`, `not_found`, `refused` or `unavailable`.
    pub outcome: Option<Box<str>>,
    /// The route; `Some(None)` for none.
    pub route: Option<Option<Box<str>>>,
    /// The one service that gets all of it.
    pub service: Option<Box<str>>,
    /// The arms of the split.
    pub arms: Option<Arms>,
    /// The status of an answer that the gateway makes.
    pub status: Option<u16>,
    /// The path that the service sees.
    pub path: Option<Box<str>>,
    /// The host that the service sees.
    pub host: Option<Box<str>>,
    /// The `Location` of a redirect.
    pub location: Option<Box<str>>,
}

/// The arms that a test expects, in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arms {
    /// These services have a weight above 0, whatever it is.
    Named(Vec<Box<str>>),
    /// These are the services and their weights.
    Weighted(Vec<(Box<str>, u64)>),
}
