//! The places that policies come from.

use std::sync::Arc;

/// The places that a policy in force comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The key.
    pub key: &'static str,
    /// True if it has no effect but where a service gets the request.
    pub forwards: bool,
    /// The places: several where edits are joined, in order, else one.
    pub sources: Box<[Source]>,
}

/// A place that says a policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A policy that the listener uses, by name.
    ListenersPolicy(Arc<str>),
    /// The listener.
    Listener,
    /// A policy that the route uses, by name.
    Policy(Arc<str>),
    /// The route.
    Route,
}
