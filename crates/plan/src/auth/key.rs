//! Keys: one for each client, by their hashes in a file.

use crate::auth::Place;

/// The way of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The place of the key in a request.
    pub place: Place,
    /// The file of the hashes; the path is as configured.
    pub file: Box<str>,
    /// True if the service gets the key.
    pub forward: bool,
}
