//! Guards of a route: what a request must pass before the route acts.

use std::net::IpAddr;
use std::ops::Deref;

use ipnet::IpNet;

/// The guards of a route. Most routes have none and take no more than a pointer here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guards(Option<Box<GuardSet>>);

/// Every guard that a route can configure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardSet {
    /// The clients that have access.
    pub access: Access,
    /// The limit on the size of request bodies (413).
    pub body: BodyLimit,
}

/// The clients that have access, by address; all if nothing is said. Others get 403.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// If there are any, only these.
    pub allow: Vec<IpNet>,
    /// Never these.
    pub deny: Vec<IpNet>,
}

/// A limit on the size of request bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyLimit {
    /// The listener's.
    #[default]
    OfListener,
    /// None.
    Unlimited,
    /// This many bytes.
    Bytes(u64),
}

/// The guards of a route that configures none.
static NONE: GuardSet = GuardSet {
    access: Access {
        allow: Vec::new(),
        deny: Vec::new(),
    },
    body: BodyLimit::OfListener,
};

impl Default for GuardSet {
    fn default() -> Self {
        NONE.clone()
    }
}

impl From<GuardSet> for Guards {
    fn from(guards: GuardSet) -> Self {
        Self((guards != NONE).then(|| Box::new(guards)))
    }
}

impl Guards {
    /// Returns true if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Deref for Guards {
    type Target = GuardSet;

    fn deref(&self) -> &GuardSet {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl Access {
    /// Returns true if the client at this address has access.
    pub fn admits(&self, client: IpAddr) -> bool {
        let covers = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        !covers(&self.deny) && (self.allow.is_empty() || covers(&self.allow))
    }
}

impl BodyLimit {
    /// The maximum number of bytes, where a listener has this one; `None` for no limit.
    pub fn over(self, listener: Option<u64>) -> Option<u64> {
        match self {
            Self::OfListener => listener,
            Self::Unlimited => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deny_wins_and_an_allow_denies_everybody_else() {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let access = |allow: &[&str], deny: &[&str]| Access {
            allow: networks(allow),
            deny: networks(deny),
        };
        for (access, client, expected) in [
            (access(&[], &[]), "10.0.0.1", true),
            (access(&["10.0.0.0/8"], &[]), "10.0.0.1", true),
            (access(&["10.0.0.0/8"], &[]), "11.0.0.1", false),
            (access(&[], &["10.0.0.0/8"]), "10.0.0.1", false),
            (access(&[], &["10.0.0.0/8"]), "::1", true),
            (access(&["10.0.0.0/8"], &["10.1.0.0/16"]), "10.1.0.1", false),
            (access(&["10.0.0.0/8"], &["10.1.0.0/16"]), "10.2.0.1", true),
        ] {
            assert_eq!(
                access.admits(client.parse().unwrap()),
                expected,
                "{access:?} {client}"
            );
        }
    }

    #[test]
    fn no_guards_take_no_more_than_a_pointer() {
        assert_eq!(size_of::<Guards>(), size_of::<usize>());
        assert!(Guards::from(GuardSet::default()).is_empty());
        assert_eq!(BodyLimit::OfListener.over(Some(7)), Some(7));
        assert_eq!(BodyLimit::Unlimited.over(Some(7)), None);
        assert_eq!(BodyLimit::Bytes(8).over(Some(7)), Some(8));
    }
}
