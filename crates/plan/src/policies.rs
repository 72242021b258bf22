//! Policies: what happens to the requests of a route, whichever service takes them.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::access::{Access, BodyLimit};
use crate::header_edits::HeaderEdits;
use crate::retry::Retry;
use crate::rewrite::Rewrite;
use crate::service::Timeouts;
use crate::set_cookie::SetCookie;

/// The policies of a route.
///
/// Most routes configure none, or share them, and take no more than a pointer here: there may be 100,000 of them, and the
/// cache of a core holds few.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policies(Option<Arc<PolicySet>>);

/// Every policy that routes can share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySet {
    /// The clients that have access (403).
    pub access: Access,
    /// The limit on the size of request bodies (413).
    pub body: BodyLimit,
    /// Rewrites of path, host and query for the service.
    pub rewrite: Rewrite,
    /// Edits to the request.
    pub request_headers: HeaderEdits,
    /// Edits of response headers: of a service's responses, redirects and `respond`, not of the gateway's errors.
    pub response_headers: HeaderEdits,
    /// Timeout for the whole exchange (504).
    pub timeout: Option<Duration>,
    /// Timeouts that replace those of the service.
    pub timeouts: RouteTimeouts,
    /// Retries; without it, a request is sent again only where the service has not begun with it.
    pub retry: Option<Retry>,
    /// The protocols that a connection may be upgraded to.
    pub upgrade: Upgrade,
    /// True if gRPC-Web calls are translated to gRPC.
    pub grpc_web: bool,
    /// Rewrites of the cookies that services set.
    pub set_cookie: Option<SetCookie>,
}

/// Timeouts of a route, which replace those of its services where they are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RouteTimeouts {
    /// As [`Timeouts::connect`].
    pub connect: Option<Duration>,
    /// As [`Timeouts::response`].
    pub response: Option<Duration>,
    /// As [`Timeouts::idle`].
    pub idle: Option<Duration>,
    /// As [`Timeouts::tunnel`].
    pub tunnel: Option<Duration>,
}

impl RouteTimeouts {
    /// The timeouts in force for a service with these.
    pub fn over(&self, service: Timeouts) -> Timeouts {
        Timeouts {
            connect: self.connect.unwrap_or(service.connect),
            response: self.response.unwrap_or(service.response),
            idle: self.idle.unwrap_or(service.idle),
            tunnel: self.tunnel.unwrap_or(service.tunnel),
        }
    }
}

/// The protocols that a connection may be upgraded to (RFC 9110 §7.8). An `Upgrade` to any other is not forwarded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Upgrade {
    /// `websocket`.
    #[default]
    WebSocket,
    /// These; empty for none.
    Only(Box<[Box<str>]>),
}

/// The policies of a route that configures none.
static DEFAULT: PolicySet = PolicySet::DEFAULT;

impl PolicySet {
    const DEFAULT: Self = Self {
        access: Access::ALL,
        body: BodyLimit::OfListener,
        rewrite: Rewrite::NONE,
        request_headers: HeaderEdits::NONE,
        response_headers: HeaderEdits::NONE,
        timeout: None,
        timeouts: RouteTimeouts {
            connect: None,
            response: None,
            idle: None,
            tunnel: None,
        },
        retry: None,
        upgrade: Upgrade::WebSocket,
        grpc_web: false,
        set_cookie: None,
    };
}

impl Default for PolicySet {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl From<PolicySet> for Policies {
    fn from(policies: PolicySet) -> Self {
        Self((policies != DEFAULT).then(|| Arc::new(policies)))
    }
}

impl Deref for Policies {
    type Target = PolicySet;

    fn deref(&self) -> &PolicySet {
        self.0.as_deref().unwrap_or(&DEFAULT)
    }
}

impl Upgrade {
    /// Returns true if `protocol`, as named by a client, is allowed. Names compare without case.
    pub fn allows(&self, protocol: &[u8]) -> bool {
        match self {
            Self::WebSocket => protocol.eq_ignore_ascii_case(b"websocket"),
            Self::Only(names) => {
                let mut names = names.iter();
                names.any(|name| name.as_bytes().eq_ignore_ascii_case(protocol))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_policies_take_no_more_than_a_pointer() {
        let default = Policies::from(PolicySet::default());
        assert_eq!(*default, PolicySet::default());
        assert_eq!((&default.0, size_of::<Policies>()), (&None, size_of::<usize>()));
        let timed = PolicySet {
            timeout: Some(Duration::from_secs(1)),
            ..PolicySet::default()
        };
        assert_eq!(*Policies::from(timed.clone()), timed);
    }
}
