//! What a route says of the requests that it forwards, beside where they go.

use std::ops::Deref;
use std::time::Duration;

use crate::force::Force;
use crate::header_edits::HeaderEdits;
use crate::mirror::Mirror;
use crate::rewrite::Rewrite;
use crate::sticky::Sticky;

/// What a route says of the requests that it forwards.
///
/// Most routes say nothing, and those take no more than a pointer: of one route in many nothing is in a core's cache, and
/// there may be a hundred thousand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policies(Option<Box<PolicySet>>);

/// All that a route can say of the requests that it forwards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicySet {
    /// What keeps a client on its side of the split; without it, every request rolls anew.
    pub sticky: Option<Sticky>,
    /// What lets testers pick their arm.
    pub force: Option<Force>,
    /// Which other service gets copies.
    pub mirror: Option<Mirror>,
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

/// The protocols that a connection may be upgraded to (RFC 9110 §7.8). Anything else is not passed on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Upgrade {
    /// `websocket`.
    #[default]
    WebSocket,
    /// These, perhaps none.
    Only(Box<[Box<str>]>),
}

/// What is said by saying nothing.
static NOTHING: PolicySet = PolicySet {
    sticky: None,
    force: None,
    mirror: None,
    rewrite: Rewrite::NONE,
    request_headers: HeaderEdits::NONE,
    timeout: None,
    upgrade: Upgrade::WebSocket,
    grpc_web: false,
};

impl From<PolicySet> for Policies {
    fn from(policies: PolicySet) -> Self {
        Self((policies != NOTHING).then(|| Box::new(policies)))
    }
}

impl Deref for Policies {
    type Target = PolicySet;

    fn deref(&self) -> &PolicySet {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_say_nothing_takes_a_pointer_and_means_what_it_meant() {
        let silent = Policies::from(PolicySet::default());
        assert_eq!(*silent, PolicySet::default());
        assert_eq!((&silent.0, size_of::<Policies>()), (&None, size_of::<usize>()));
        let timed = PolicySet {
            timeout: Some(Duration::from_secs(1)),
            ..PolicySet::default()
        };
        assert_eq!(*Policies::from(timed.clone()), timed);
    }
}
