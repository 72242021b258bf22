//! Routes: what they match, what happens, and where it goes.

use std::ops::Deref;

use waypost_route::split::Split;

use crate::header_edits::HeaderEdits;
use crate::policies::Policies;
use crate::redirect::Redirect;
use crate::service::ServiceId;

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

impl Route {
    /// The route's forwarding, if that is its action.
    pub fn forward(&self) -> Option<&Forward> {
        match &self.action {
            Action::Forward(forward) => Some(forward),
            Action::Redirect(_) | Action::Respond(_) => None,
        }
    }
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
    /// What else is said of its requests.
    pub policies: Policies,
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

impl Forward {
    /// Forwarding with nothing else said.
    pub fn to(arms: impl Into<Arms>, split: Split) -> Self {
        Self {
            split,
            arms: arms.into(),
            policies: Policies::default(),
        }
    }

    /// The services that requests go to: the arms', then the mirror's.
    pub fn services(&self) -> impl Iterator<Item = ServiceId> {
        let mirror = self.policies.mirror.iter().map(|mirror| mirror.to);
        self.arms.iter().copied().chain(mirror)
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
