//! JSON Web Tokens, by the keys of their issuer.

use crate::auth::Place;
use crate::token::{KeySource, TokenRules};

/// The way of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwt {
    /// The place of the token in a request. In `authorization` it is behind the scheme `Bearer`.
    pub place: Place,
    /// The keys that verify tokens.
    pub keys: KeySource,
    /// The rules that a token has to meet.
    pub rules: TokenRules,
    /// The claims that are written into request headers.
    pub claims: Box<[Box<str>]>,
    /// The headers that they are written into, in the same order; in lower case.
    pub headers: Box<[Box<str>]>,
    /// The claim that has the groups of the client.
    pub groups: Box<str>,
    /// True if the service gets the token.
    pub forward: bool,
}

impl Jwt {
    /// The header of a token where nothing else is said.
    pub const HEADER: &str = "authorization";
}
