//! Guards in front of the action of a route: access by address, and the limit on bodies.

use std::net::IpAddr;

use ipnet::IpNet;

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

impl Access {
    /// Every client has access.
    pub const ALL: Self = Self {
        allow: Vec::new(),
        deny: Vec::new(),
    };

    /// Returns true if the client at this address has access. The unspecified address, that of a client of a unix socket,
    /// is in no network.
    pub fn admits(&self, client: IpAddr) -> bool {
        let covers = |networks: &[IpNet]| {
            !client.is_unspecified() && networks.iter().any(|network| network.contains(&client))
        };
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
            (access(&["0.0.0.0/0"], &[]), "0.0.0.0", false),
            (access(&[], &["0.0.0.0/0", "::/0"]), "0.0.0.0", true),
        ] {
            assert_eq!(
                access.admits(client.parse().unwrap()),
                expected,
                "{access:?} {client}"
            );
        }
    }

    #[test]
    fn a_limit_of_the_route_replaces_that_of_the_listener() {
        assert_eq!(BodyLimit::OfListener.over(Some(7)), Some(7));
        assert_eq!(BodyLimit::Unlimited.over(Some(7)), None);
        assert_eq!(BodyLimit::Bytes(8).over(Some(7)), Some(8));
    }
}
