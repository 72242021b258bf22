//! A key set: the keys that verify the tokens of an issuer.

use std::borrow::Cow;

use serde_json::Value;
use waypost_plan::token::Algorithm;

use crate::json;
use crate::token::key::{Key, Unusable};
use crate::token::pem::{self, PemError};

/// The bytes of a key set, at most.
pub const BYTES_MAX: usize = 256 * 1024;

/// The keys of a set, at most.
pub const KEYS_MAX: usize = 100;

/// The origin of a key set. Secrets are taken from a file alone: one that can be fetched is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A file that the config names.
    File,
    /// A URL that the config names.
    Url,
}

/// The keys that can verify tokens. There is one at least.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<Skipped>,
}

/// A key of a set that verifies nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The place in the set, from 1.
    pub number: usize,
    /// The reason.
    pub why: Unusable,
}

/// A reason to refuse a key set as a whole. It holds no bytes of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// More bytes than a key set may have.
    #[error("it has more than 256 KiB")]
    TooLarge,
    /// Neither a JSON Web Key Set, a JSON Web Key, nor PEM.
    #[error("it is neither a JSON Web Key Set nor PEM")]
    Form,
    /// More keys than a set may have.
    #[error("it has more than 100 keys")]
    TooMany,
    /// No key that can verify a token, and the reason for the first that cannot.
    #[error("it has no key that can verify a token{}", first(.0))]
    NoKey(Option<Unusable>),
    /// A private key, which has no business here.
    #[error("it holds a private key; the public key is enough")]
    Private,
    /// A section of PEM that is no key.
    #[error("it holds PEM that is neither a public key nor a certificate, or is damaged")]
    Pem,
    /// A key for none of the algorithms that are accepted.
    #[error("none of its keys is for an algorithm in `algorithms`")]
    OtherAlgorithms,
}

impl From<PemError> for KeySetError {
    fn from(error: PemError) -> Self {
        match error {
            PemError::Absent => Self::Form,
            PemError::Damaged => Self::Pem,
            PemError::Private => Self::Private,
            PemError::Unusable(why) => Self::NoKey(Some(why)),
        }
    }
}

fn first(reason: &Option<Unusable>) -> Cow<'static, str> {
    reason.map_or("".into(), |reason| format!(": {reason}").into())
}

impl KeySet {
    /// The set in `text`: a JSON Web Key Set, a single JSON Web Key, or, in a file, PEM with public keys and certificates.
    /// Keys that cannot be used are passed over (RFC 7517 §5).
    pub fn parse(text: &[u8], origin: Origin) -> Result<Self, KeySetError> {
        if text.len() > BYTES_MAX {
            return Err(KeySetError::TooLarge);
        }
        let set = match origin {
            Origin::File if !text.trim_ascii_start().starts_with(b"{") => Self {
                keys: pem::keys(text)?,
                skipped: Vec::new(),
            },
            _ => Self::parse_json(text, origin)?,
        };
        if set.keys.len() + set.skipped.len() > KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        if set.keys.is_empty() {
            return Err(KeySetError::NoKey(set.skipped.first().map(|skipped| skipped.why)));
        }
        Ok(set)
    }

    fn parse_json(text: &[u8], origin: Origin) -> Result<Self, KeySetError> {
        let object = json::object(text).ok_or(KeySetError::Form)?;
        let single;
        let members = match object.get("keys") {
            Some(Value::Array(members)) => &members[..],
            None if object.contains_key("kty") => {
                single = [Value::Object(object)];
                &single
            }
            _ => return Err(KeySetError::Form),
        };
        if members.len() > KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (index, member) in members.iter().enumerate() {
            let key = member.as_object().ok_or(Unusable::Form).and_then(Key::of_json);
            match key {
                Ok(key) if origin == Origin::Url && key.is_secret() => skipped.push(Skipped {
                    number: index + 1,
                    why: Unusable::Secret,
                }),
                Ok(key) => keys.push(key),
                Err(why) => skipped.push(Skipped {
                    number: index + 1,
                    why,
                }),
            }
        }
        Ok(Self { keys, skipped })
    }

    /// Checks that one of its keys is for one of these algorithms.
    pub fn check_algorithms(&self, algorithms: &[Algorithm]) -> Result<(), KeySetError> {
        let fits = |key: &Key| algorithms.iter().any(|algorithm| key.verifies(*algorithm));
        match self.keys.iter().any(fits) {
            true => Ok(()),
            false => Err(KeySetError::OtherAlgorithms),
        }
    }

    /// The number of keys that can verify tokens.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns false: a set has a key at least.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that were passed over.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Returns true if a token with this `kid` may have a key here.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id().is_none_or(|own| own == id))
    }

    /// The keys to try for a token: those with its `kid`, else those without one; all if the token has none.
    pub(super) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        let is_named = id.is_some_and(|id| self.keys.iter().any(|key| key.id() == Some(id)));
        self.keys.iter().filter(move |key| {
            let fits = match id {
                None => true,
                Some(id) if is_named => key.id() == Some(id),
                Some(_) => key.id().is_none(),
            };
            fits && key.verifies(algorithm)
        })
    }
}

#[cfg(test)]
mod tests;
