//! Trust in the proxies in front of a listener.

use std::net::IpAddr;
use std::num::NonZeroUsize;

use ipnet::IpNet;

/// The proxies in front of a listener, and what they are believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedProxies {
    /// Peers that are believed; empty for none.
    pub from: Vec<IpNet>,
    /// The place where they name the client.
    pub client: ClientSource,
    /// The host that routes match.
    pub host: MatchedHost,
}

/// The place where a trusted proxy names its client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ClientSource {
    /// `Forwarded`, `X-Forwarded-For` and `X-Real-IP`; in a list, the right-most address that is not a trusted proxy's.
    #[default]
    Lists,
    /// The address at this place of `X-Forwarded-For`, counted from the right.
    Hop(NonZeroUsize),
    /// The single address in the header of this name.
    Header(Box<str>),
}

/// The host that routes match behind a trusted proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MatchedHost {
    /// The request's own, of `Host` or `:authority`.
    #[default]
    Requested,
    /// The one that the proxy says its client asked for, if it says so.
    Forwarded,
}

impl TrustedProxies {
    /// Proxies that are believed in every way that is known.
    pub fn of(from: Vec<IpNet>) -> Self {
        Self {
            from,
            ..Self::default()
        }
    }

    /// Returns true if `peer` is one of them.
    pub fn contain(&self, peer: IpAddr) -> bool {
        self.from.iter().any(|network| network.contains(&peer))
    }

    /// The header of a custom name in which they name the client.
    pub fn client_header(&self) -> Option<&str> {
        match &self.client {
            ClientSource::Header(name) => Some(name),
            ClientSource::Lists | ClientSource::Hop(_) => None,
        }
    }
}
