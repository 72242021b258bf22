//! Policies: what happens to the requests of a route, whichever service takes them.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::access::{Access, BodyLimit};
use crate::auth::Auth;
use crate::cors::Cors;
use crate::error_pages::ErrorPages;
use crate::header_edits::HeaderEdits;
use crate::origin::Origin;
use crate::rate::Rate;
use crate::retry::Retry;
use crate::rewrite::Rewrite;
use crate::service::Timeouts;
use crate::set_cookie::SetCookie;
use crate::value::listed::ListedNames;

/// The policies of a route.
///
/// Most routes configure none, or share them, and take no more than a pointer here: there may be 100,000 of them, and the
/// cache of a core holds few.
///
/// Two are equal if they mean the same, wherever it is said.
#[derive(Debug, Clone, Default)]
pub struct Policies(Option<Arc<Effective>>);

/// The policies in force for some routes, once all places are considered that say something.
#[derive(Debug)]
struct Effective {
    /// Number by which an [`Overlay`] finds them.
    number: u32,
    set: PolicySet,
    origins: Arc<[Origin]>,
    uses: Box<[Arc<str>]>,
}

/// The policies of routes where their requests come in by a listener that has policies too.
///
/// It is made from routes and listeners, so two of them are always equal: a difference between plans is one of those.
#[derive(Debug, Clone)]
pub struct Overlay(Arc<[Policies]>);

/// Every policy that routes can share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySet {
    /// The clients that have access (403).
    pub access: Access,
    /// Clients that may pass (401, 403); `None` for all.
    pub auth: Option<Arc<Auth>>,
    /// Limits on how often requests pass (429).
    pub rate: Option<Arc<Rate>>,
    /// The limit on the size of request bodies (413).
    pub body: BodyLimit,
    /// Rewrites of path, host and query for the service.
    pub rewrite: Rewrite,
    /// Edits to the request.
    pub request_headers: HeaderEdits,
    /// Edits of response headers.
    pub response_headers: HeaderEdits,
    /// Pages in place of errors.
    pub errors: ErrorPages,
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
    /// The pages of other origins that may read responses.
    pub cors: Option<Arc<Cors>>,
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
        auth: None,
        rate: None,
        body: BodyLimit::OfListener,
        rewrite: Rewrite::NONE,
        request_headers: HeaderEdits::NONE,
        response_headers: HeaderEdits::NONE,
        errors: ErrorPages::NONE,
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
        cors: None,
    };

    /// Puts parameters in the place of the values of these names, which the paths of a route bind: its own parameters win.
    pub fn shadow(&mut self, names: ListedNames) {
        self.rewrite.shadow(names);
        self.request_headers.shadow(names);
        self.response_headers.shadow(names);
        self.errors.shadow(names);
    }
}

impl Default for PolicySet {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Policies {
    /// Returns the policies with this number, of routes that use those with these names; 0 is the number of routes for which
    /// nothing is said.
    pub fn numbered(number: u32, set: PolicySet, origins: Arc<[Origin]>, uses: Box<[Arc<str>]>) -> Self {
        Self(Some(Arc::new(Effective {
            number,
            set,
            origins,
            uses,
        })))
    }

    /// The names of the policies that the route uses, in order.
    pub fn uses(&self) -> &[Arc<str>] {
        self.0.as_deref().map_or(&[], |effective| &effective.uses)
    }

    /// The policies that come with an explanation, and the places that each comes from.
    pub fn origins(&self) -> &[Origin] {
        self.0.as_deref().map_or(&[], |effective| &effective.origins)
    }

    /// Returns true if both are one value in memory, or none.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        }
    }

    fn number(&self) -> usize {
        self.0.as_deref().map_or(0, |effective| effective.number as usize)
    }
}

impl From<PolicySet> for Policies {
    fn from(policies: PolicySet) -> Self {
        match policies == DEFAULT {
            true => Self(None),
            false => Self::numbered(0, policies, Arc::new([]), Box::default()),
        }
    }
}

impl Deref for Policies {
    type Target = PolicySet;

    fn deref(&self) -> &PolicySet {
        self.0.as_deref().map_or(&DEFAULT, |effective| &effective.set)
    }
}

impl PartialEq for Policies {
    fn eq(&self, other: &Self) -> bool {
        self.is_shared_with(other) || **self == **other
    }
}

impl Eq for Policies {}

impl Overlay {
    /// Returns an overlay: the policies in place of those with each number.
    pub fn new(by_number: Vec<Policies>) -> Self {
        Self(by_number.into())
    }

    /// The policies in place of `of_route`, if they are known.
    pub fn over(&self, of_route: &Policies) -> Option<&Policies> {
        self.0.get(of_route.number())
    }

    /// The policies of all numbers.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Policies> {
        self.0.iter()
    }

    /// Returns true if `other` is the same value in memory.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl PartialEq for Overlay {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Overlay {}

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
        assert!(default.0.is_none());
        assert_eq!(size_of::<Policies>(), size_of::<usize>());
        let timed = PolicySet {
            timeout: Some(Duration::from_secs(1)),
            ..PolicySet::default()
        };
        assert_eq!(*Policies::from(timed.clone()), timed);
    }
}
