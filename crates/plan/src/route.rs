//! Routes: a match with an action and policies.

use std::ops::Deref;

use waypost_route::split::Split;

use crate::policies::Policies;
use crate::redirect::Redirect;
use crate::service::ServiceId;
use crate::split_policies::SplitPolicies;
use crate::value::ValueTemplate;

/// A named rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Name and alternatives.
    pub matching: waypost_route::Route,
    /// Action for matching requests.
    pub action: Action,
    /// Policies for its requests.
    pub policies: Policies,
    /// True if it takes TLS connections by SNI and forwards them as they are, rather than requests.
    pub is_passthrough: bool,
}

impl Route {
    /// Returns a route that takes requests, with default policies.
    pub fn new(matching: waypost_route::Route, action: Action) -> Self {
        Self {
            matching,
            action,
            policies: Policies::default(),
            is_passthrough: false,
        }
    }

    /// The route's forwarding, if that is its action.
    pub fn forward(&self) -> Option<&Forward> {
        match &self.action {
            Action::Forward(forward) => Some(forward),
            Action::Redirect(_) | Action::Respond(_) => None,
        }
    }

    /// The deal that its sticky split belongs to.
    pub fn deal(&self) -> Option<&str> {
        self.forward()?.split_policies.sticky.as_ref()?.deal.as_deref()
    }
}

/// The action for requests that match a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Forward to a service.
    Forward(Forward),
    /// Redirect the client.
    Redirect(Redirect),
    /// Respond without a service.
    Respond(Respond),
}

/// Forwarding to one service of a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Weights of the arms. `to: NAME` is one arm of weight 1.
    pub split: Split,
    /// Service of each arm; `arms.len() == split.weights().len()`.
    pub arms: Arms,
    /// Policies of the split.
    pub split_policies: SplitPolicies,
}

/// The services of a split, as a slice. A single one, as in most routes, is stored inline.
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
    /// Returns forwarding with default policies.
    pub fn to(arms: impl Into<Arms>, split: Split) -> Self {
        Self {
            split,
            arms: arms.into(),
            split_policies: SplitPolicies::default(),
        }
    }

    /// Returns the services that get requests: those of the arms, then the mirror's.
    pub fn services(&self) -> impl Iterator<Item = ServiceId> {
        let mirror = self.split_policies.mirror.iter().map(|mirror| mirror.to);
        self.arms.iter().copied().chain(mirror)
    }
}

/// A fixed response of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respond {
    /// Status: 200 to 599.
    pub status: u16,
    /// Body; not sent with 204, 205, 304, nor in response to HEAD.
    pub body: ValueTemplate,
    /// `content-type` of the body.
    pub content_type: Box<str>,
}
