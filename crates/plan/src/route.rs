//! Routes: what they match, what happens, and where it goes.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use waypost_route::split::Split;

use crate::force::Force;
use crate::header_edits::HeaderEdits;
use crate::mirror::Mirror;
use crate::redirect::Redirect;
use crate::rewrite::Rewrite;
use crate::service::ServiceId;
use crate::sticky::Sticky;

/// A named rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its name and what it matches.
    pub matching: waypost_route::Route,
    /// What happens to a request that it takes.
    pub action: Action,
    /// Edits to the answer: a service's, a redirect, a respond; not the gateway's errors.
    pub response_headers: HeaderEdits,
    /// Whether it takes connections under TLS, by the host that they ask for, rather than requests. It forwards them.
    pub passes_through: bool,
}

/// What happens to a request that a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It goes to a service.
    Forward(Forward),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// The gateway answers.
    Respond(Respond),
}

/// Forwarding to one service of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The weights of the arms. `to: NAME` is one arm of weight 1.
    pub split: Split,
    /// The service of each arm, in the split's order; `arms.len() == split.weights().len()`.
    pub arms: Arms,
    /// What keeps a client on its side of the split; without it, every request rolls anew.
    pub sticky: Option<Box<Sticky>>,
    /// What lets testers pick their arm.
    pub force: Option<Box<Force>>,
    /// Which other service gets copies.
    pub mirror: Option<Box<Mirror>>,
    /// What the service sees instead of the client's path and host.
    pub rewrite: Rewrite,
    /// Edits to the request.
    pub request_headers: HeaderEdits,
    /// The bound on the whole exchange (504).
    pub timeout: Option<Duration>,
    /// The protocols that a connection may be upgraded to.
    pub upgrade: Upgrade,
    /// Whether calls of gRPC-Web are translated into calls of gRPC.
    pub grpc_web: bool,
}

/// The services of a split, as a slice. Nearly every route has one, which stands in the route itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arms(ArmsInner);

#[derive(Debug, Clone, PartialEq, Eq)]
enum ArmsInner {
    One([ServiceId; 1]),
    Any(Box<[ServiceId]>),
}

impl From<Vec<ServiceId>> for Arms {
    fn from(arms: Vec<ServiceId>) -> Self {
        Self(match *arms {
            [only] => ArmsInner::One([only]),
            _ => ArmsInner::Any(arms.into()),
        })
    }
}

impl Deref for Arms {
    type Target = [ServiceId];

    fn deref(&self) -> &[ServiceId] {
        match &self.0 {
            ArmsInner::One(one) => one,
            ArmsInner::Any(any) => any,
        }
    }
}

impl DerefMut for Arms {
    fn deref_mut(&mut self) -> &mut [ServiceId] {
        match &mut self.0 {
            ArmsInner::One(one) => one,
            ArmsInner::Any(any) => any,
        }
    }
}

impl Forward {
    /// Forwarding with nothing else said.
    pub fn to(arms: impl Into<Arms>, split: Split) -> Self {
        Self {
            split,
            arms: arms.into(),
            sticky: None,
            force: None,
            mirror: None,
            rewrite: Rewrite::default(),
            request_headers: HeaderEdits::default(),
            timeout: None,
            upgrade: Upgrade::default(),
            grpc_web: false,
        }
    }
}

/// The protocols that a connection may be upgraded to (RFC 9110 §7.8). Anything else is not passed on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Upgrade {
    /// `websocket`.
    #[default]
    WebSocket,
    /// These, perhaps none.
    Only(Box<[Box<str>]>),
}

impl Upgrade {
    /// Whether `protocol`, as a client names it, is among them. Names compare without case.
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

/// An answer that the gateway gives by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respond {
    /// 200 to 599.
    pub status: u16,
    /// The body; not sent with 204, 205, 304, nor to HEAD.
    pub body: Box<[u8]>,
    /// The `content-type`.
    pub content_type: Box<str>,
}
