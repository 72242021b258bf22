//! Authentication: the ways in which a client proves who it is, and the conditions on who may pass.

pub mod allow;
pub mod ask;
pub mod basic;
pub mod jwt;
pub mod key;

use std::fmt;

use waypost_wire::field::is_taken_for;

use crate::auth::allow::Allow;
use crate::auth::ask::Ask;
use crate::auth::basic::Basic;
use crate::auth::jwt::Jwt;
use crate::auth::key::Key;
use crate::token::KeySource;

/// The policy `auth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// The ways, in order: the first that a request carries credentials for decides. At least one.
    pub ways: Box<[Way]>,
    /// The conditions of which one has to hold; empty for none.
    pub allow: Box<[Allow]>,
}

/// A way to prove who one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// A key of a list.
    Key(Key),
    /// A token of an issuer.
    Jwt(Jwt),
    /// A name and a password.
    Basic(Basic),
    /// A service that is asked.
    Ask(Ask),
}

/// The place of a credential in a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// The header of this name, in lower case.
    Header(Box<str>),
    /// The query parameter of this name.
    Query(Box<str>),
    /// The cookie of this name.
    Cookie(Box<str>),
}

/// The kind of a way; its name is a metric label, and a stable interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WayKind {
    /// [`Way::Key`].
    Key,
    /// A signed token.
    Jwt,
    /// A name and a password.
    Basic,
    /// A service that is asked.
    Ask,
}

impl WayKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Key, Self::Jwt, Self::Basic, Self::Ask];

    /// The key of the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Jwt => "jwt",
            Self::Basic => "basic",
            Self::Ask => "ask",
        }
    }
}

impl Way {
    /// The kind.
    pub fn kind(&self) -> WayKind {
        match self {
            Self::Key(_) => WayKind::Key,
            Self::Jwt(_) => WayKind::Jwt,
            Self::Basic(_) => WayKind::Basic,
            Self::Ask(_) => WayKind::Ask,
        }
    }

    /// The place of its credentials, which do not reach the service unless [`Way::forwards`].
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Key(key) => Some(&key.place),
            Self::Jwt(jwt) => Some(&jwt.place),
            Self::Basic(basic) => Some(&basic.place),
            Self::Ask(_) => None,
        }
    }

    /// Returns true if the service gets the credentials by which a request passed.
    pub fn forwards(&self) -> bool {
        match self {
            Self::Key(key) => key.forward,
            Self::Jwt(jwt) => jwt.forward,
            Self::Basic(basic) => basic.forward,
            Self::Ask(_) => true,
        }
    }

    /// The request headers that it writes. The client's own of these names never reach the service.
    pub fn writes(&self) -> impl Iterator<Item = &str> {
        let names: &[Box<str>] = match self {
            Self::Key(_) | Self::Basic(_) => &[],
            Self::Jwt(jwt) => &jwt.headers,
            Self::Ask(ask) => &ask.take,
        };
        names.iter().map(|name| &**name)
    }

    /// The file that it reads its credentials from.
    pub fn key_file(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(&key.file),
            Self::Jwt(_) | Self::Basic(_) | Self::Ask(_) => None,
        }
    }

    /// The keys that verify its tokens.
    pub fn key_source(&self) -> Option<&KeySource> {
        match self {
            Self::Jwt(jwt) => Some(&jwt.keys),
            Self::Key(_) | Self::Basic(_) | Self::Ask(_) => None,
        }
    }

    /// The file of users that it reads passwords from.
    pub fn password_file(&self) -> Option<&str> {
        match self {
            Self::Basic(basic) => Some(&basic.file),
            Self::Key(_) | Self::Jwt(_) | Self::Ask(_) => None,
        }
    }

    /// The service that it asks, if it does.
    pub fn asked(&self) -> Option<&Ask> {
        match self {
            Self::Ask(ask) => Some(ask),
            Self::Key(_) | Self::Jwt(_) | Self::Basic(_) => None,
        }
    }
}

impl Auth {
    /// Returns true if servers may take a header of this name, of this kind, for one that a way writes.
    pub fn writes(&self, name: &[u8]) -> bool {
        let mut written = self.ways.iter().flat_map(Way::writes);
        written.any(|written| is_taken_for(name, written))
    }

    /// Returns true if the service gets the client's header of this name; `by` is the way that decided, by position.
    pub fn lets_header_pass(&self, name: &[u8], by: Option<usize>) -> bool {
        !self.writes(name)
            && !self.hidden(by).any(|place| match place {
                Place::Header(header) => is_taken_for(name, header),
                Place::Query(_) | Place::Cookie(_) => false,
            })
    }

    /// The headers that no client's reach the service by: those that a way writes, and those of credentials.
    pub fn withheld_headers(&self) -> impl Iterator<Item = &str> {
        let places = self.ways.iter().filter_map(Way::place);
        let places = places.filter_map(|place| match place {
            Place::Header(name) => Some(&**name),
            Place::Query(_) | Place::Cookie(_) => None,
        });
        self.ways.iter().flat_map(Way::writes).chain(places)
    }

    /// The cookies that stay here.
    pub fn hidden_cookies(&self, by: Option<usize>) -> impl Iterator<Item = &str> {
        self.hidden(by).filter_map(|place| match place {
            Place::Cookie(name) => Some(&**name),
            Place::Header(_) | Place::Query(_) => None,
        })
    }

    /// The query parameters that stay here.
    pub fn hidden_queries(&self, by: Option<usize>) -> impl Iterator<Item = &str> {
        self.hidden(by).filter_map(|place| match place {
            Place::Query(name) => Some(&**name),
            Place::Header(_) | Place::Cookie(_) => None,
        })
    }

    /// Returns true if any way has its credentials in the query.
    pub fn has_secret_queries(&self) -> bool {
        self.hidden_queries(None).next().is_some()
    }

    /// Returns true if any way has its credentials in a cookie.
    pub fn has_cookies(&self) -> bool {
        self.hidden_cookies(None).next().is_some()
    }

    /// The places of credentials that the service does not get: all but that of the way that decided, if it forwards. What
    /// stands at another was not verified.
    fn hidden(&self, by: Option<usize>) -> impl Iterator<Item = &Place> {
        let passed = by.and_then(|by| self.ways.get(by)).filter(|way| way.forwards());
        let passed = passed.and_then(Way::place);
        let places = self.ways.iter().filter_map(Way::place);
        places.filter(move |place| Some(*place) != passed)
    }
}

impl Place {
    /// The kind of place, as it is named in a config.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Header(_) => "header",
            Self::Query(_) => "query",
            Self::Cookie(_) => "cookie",
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Self::Header(name) | Self::Query(name) | Self::Cookie(name) => name,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key(), self.name())
    }
}
