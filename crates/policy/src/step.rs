//! The steps in which a request is judged.

/// A step in which a request is judged. [`decision`](crate::decision) takes them in this order, whatever the request.
///
/// Numbers belong to the order as a whole. The one that is left out is for a rule that there is none of: 11 cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The head: its limits, its form, and the normal form of the request.
    Head = 1,
    /// The listener: the hosts that it serves, by name and by certificate.
    Host = 2,
    /// The listener's redirect.
    ListenerRedirect = 3,
    /// The route: the best alternative whose conditions hold.
    Route = 4,
    /// The clients that have access.
    Access = 5,
    /// A preflight, which is answered.
    Cors = 6,
    /// The clients that may pass, by what they prove.
    Auth = 7,
    /// The limits on how often requests pass.
    Rate = 8,
    /// The limit on the size of the body.
    BodyLimit = 9,
    /// The route's action: a redirect, a response, or a service.
    Action = 10,
    /// The arm of the split, the rewrite, and the edits of the request.
    Rewrite = 12,
    /// The endpoint of the service, and its retries.
    Balance = 13,
}

impl Step {
    /// The number of the step, from 1 to 13.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The name in explanations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Host => "host",
            Self::ListenerRedirect => "listener_redirect",
            Self::Route => "route",
            Self::Access => "access",
            Self::Cors => "cors",
            Self::Auth => "auth",
            Self::Rate => "rate",
            Self::BodyLimit => "body_limit",
            Self::Action => "action",
            Self::Rewrite => "rewrite",
            Self::Balance => "balance",
        }
    }

    /// The key of the policy that judges in this step, if one does.
    pub fn key(self) -> Option<&'static str> {
        match self {
            Self::Access => Some("access"),
            Self::Cors => Some("cors"),
            Self::Auth => Some("auth"),
            Self::Rate => Some("rate"),
            Self::BodyLimit => Some("limits"),
            Self::Head
            | Self::Host
            | Self::ListenerRedirect
            | Self::Route
            | Self::Action
            | Self::Rewrite
            | Self::Balance => None,
        }
    }
}
