//! Password files, as `htpasswd` writes them: a line `USER:HASH` for each user.
//!
//! Hashes are those that take long to guess: bcrypt, SHA-256-crypt, SHA-512-crypt and Argon2. Others are errors, since a
//! file that leaks would give the passwords away. So are those that take too long to verify: any client may send a password.

mod hash;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use crate::basic::Pair;
use crate::identity::Identity;
use crate::password::hash::Hash;
pub use crate::password::hash::{
    ARGON2_LANES_MAX, ARGON2_MEMORY_MAX, ARGON2_PASSES_MAX, BCRYPT_COST_MAX, HashError, ROUNDS_MAX,
};

use crate::recent::{Digest, DigestKey, Recent};

/// The time after which a password is verified again.
pub const KEPT_FOR: Duration = Duration::from_secs(300);
/// The longest password that is verified. bcrypt itself heeds 72 bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// The users of a password file.
pub struct Passwords {
    /// In the order of the file.
    hashes: Box<[Hash]>,
    by_name: HashMap<Box<str>, usize>,
}

/// A password file, with the pairs of it that were verified a short while ago. Another version of the file begins with none.
#[derive(Debug)]
pub struct PasswordFile {
    passwords: Passwords,
    key: DigestKey,
    verified: Recent<Identity>,
}

/// A line that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct LineError {
    /// The number of the line, from 1.
    pub line: usize,
    /// The reason.
    pub kind: LineErrorKind,
}

/// The reason that a line is refused. None of them shows a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineErrorKind {
    /// It is not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// It has no colon.
    #[error("a line is `USER:HASH`, as `htpasswd -B` writes it")]
    NoColon,
    /// It begins with its colon.
    #[error("the name of the user is missing")]
    NoName,
    /// The name has a control character.
    #[error("the name of the user has a control character")]
    Control,
    /// There is a line for the user already.
    #[error("the user `{name}` is there already, in line {first}")]
    Twice {
        /// The name.
        name: String,
        /// The number of the other line.
        first: usize,
    },
    /// The hash is refused.
    #[error(transparent)]
    Hash(#[from] HashError),
}

impl PasswordFile {
    /// Reads a password file; see [`Passwords::parse`]. What is remembered of it is kept by digests with `key`.
    ///
    /// # Errors
    /// The first line that is refused.
    pub fn parse(text: &[u8], key: DigestKey) -> Result<Self, LineError> {
        Ok(Self {
            passwords: Passwords::parse(text)?,
            key,
            verified: Recent::default(),
        })
    }

    /// The user of a pair that was verified within [`KEPT_FOR`]; `now` is in milliseconds.
    pub fn recall(&self, pair: &Pair, now: u64) -> Option<Identity> {
        let entry = self.verified.find(&self.digest(pair), now)?;
        Some(entry.value.clone())
    }

    /// Verifies a pair, which takes long, and keeps it if it is right; `now` is in milliseconds.
    pub fn verify(&self, pair: &Pair, now: u64) -> Option<Identity> {
        if !self.passwords.verify(pair.name(), pair.password()) {
            return None;
        }
        let identity = Identity::named(pair.name());
        let until = now.saturating_add(KEPT_FOR.as_millis() as u64);
        self.verified.insert(self.digest(pair), identity.clone(), until);
        Some(identity)
    }

    fn digest(&self, pair: &Pair) -> Digest {
        self.key.digest([pair.name().as_bytes(), pair.password()])
    }
}

impl Passwords {
    /// Reads a password file. Empty lines and those that begin with `#` are skipped; so is what stands behind a second
    /// colon, a comment.
    ///
    /// # Errors
    /// The first line that is refused.
    pub fn parse(text: &[u8]) -> Result<Self, LineError> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut hashes = Vec::new();
        let mut lines = Vec::new();
        let mut by_name = HashMap::new();
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let error = |kind| LineError {
                line: index + 1,
                kind,
            };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let line = str::from_utf8(line).map_err(|_| error(LineErrorKind::NotUtf8))?;
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, rest) = line
                .split_once(':')
                .ok_or_else(|| error(LineErrorKind::NoColon))?;
            let hash = rest.split_once(':').map_or(rest, |(hash, _)| hash).trim_end();
            if name.is_empty() {
                return Err(error(LineErrorKind::NoName));
            }
            if name.contains(char::is_control) {
                return Err(error(LineErrorKind::Control));
            }
            let hash = Hash::parse(hash).map_err(|hash| error(hash.into()))?;
            match by_name.entry(Box::from(name)) {
                Entry::Vacant(entry) => entry.insert(hashes.len()),
                Entry::Occupied(entry) => {
                    return Err(error(LineErrorKind::Twice {
                        name: name.to_owned(),
                        first: lines[*entry.get()],
                    }));
                }
            };
            hashes.push(hash);
            lines.push(index + 1);
        }
        Ok(Self {
            hashes: hashes.into(),
            by_name,
        })
    }

    /// The number of users.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Returns true if there is no user.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Returns true if this is the password of the user. That takes long, also where there is no such user: the password is
    /// then compared with that of another one, always the same for a name.
    pub fn verify(&self, name: &str, password: &[u8]) -> bool {
        if password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        let known = self.by_name.get(name).copied();
        let position = known.or_else(|| self.stand_in(name));
        let is_equal = position.is_some_and(|position| self.hashes[position].verify(password));
        known.is_some() && is_equal
    }

    /// The position of the user that stands in for an unknown one.
    fn stand_in(&self, name: &str) -> Option<usize> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let users = u64::try_from(self.hashes.len()).ok()?;
        let position = hasher.finish().checked_rem(users)?;
        usize::try_from(position).ok()
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords")
            .field("users", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
