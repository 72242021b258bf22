//! Names and passwords: `Authorization: Basic` (RFC 7617).

use crate::auth::Place;

/// The way of a name and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basic {
    /// The place of the credentials: the header `authorization`.
    pub place: Place,
    /// The file of users with their hashed passwords; the path is as configured.
    pub file: Box<str>,
    /// The realm of the challenge.
    pub realm: Box<str>,
    /// True if the service gets the credentials.
    pub forward: bool,
}

impl Basic {
    /// The way of the users of `file`.
    pub fn new(file: Box<str>, realm: Box<str>, forward: bool) -> Self {
        Self {
            place: Place::Header("authorization".into()),
            file,
            realm,
            forward,
        }
    }
}
