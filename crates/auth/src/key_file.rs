//! Files of keys: `NAME HASH [GROUP,…]` on each line.
//!
//! A key is found by its hash, so that many cost as one. Keys have 256 random bits, so a fast hash keeps them: there is
//! nothing to guess.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::{Choice, ConstantTimeEq};

use crate::identity::Identity;

/// The beginning of a hash.
const ALGORITHM: &str = "sha256:";
/// The beginning of keys that are made here, by which scanners of repositories find one that was published.
const PREFIX: &str = "wp_";
/// Bytes of a hash.
const HASH_BYTES: usize = 32;

/// The keys of a file.
#[derive(Default)]
pub struct KeyFile {
    /// In the order of their hashes.
    entries: Box<[Entry]>,
    /// The first entry whose hash has this beginning.
    by_beginning: HashMap<[u8; 8], u32>,
}

/// The hash of a key. It has no comparison but the constant one.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; HASH_BYTES]);

struct Entry {
    hash: KeyHash,
    identity: Identity,
}

/// A line that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct KeyFileError {
    /// The line, from 1.
    pub line: usize,
    /// The fault.
    pub fault: KeyFault,
}

/// The fault of a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// It is not text.
    #[error("it is not UTF-8")]
    Text,
    /// There is no hash behind the name.
    #[error("expected `NAME HASH`, with a hash that `waypost hash-key` makes")]
    NoHash,
    /// The hash is of another form.
    #[error("the hash of `{0}` is not `sha256:` and 64 hexadecimal digits")]
    Hash(String),
    /// There is more behind the groups.
    #[error("the groups of `{0}` are one word: write `GROUP,GROUP`")]
    Groups(String),
    /// A group is empty.
    #[error("a group of `{0}` has no name")]
    EmptyGroup(String),
    /// The name has a character that a header cannot have.
    #[error("the name has a control character")]
    Name,
    /// Another line has the same key.
    #[error("`{0}` has the key of an earlier line")]
    Twice(String),
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile")
            .field("keys", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl KeyHash {
    /// The hash of a key.
    pub fn of(key: &[u8]) -> Self {
        let mut hash = [0; HASH_BYTES];
        // The output of SHA-256 has that length.
        hash.copy_from_slice(digest(&SHA256, key).as_ref());
        Self(hash)
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(ALGORITHM)?.as_bytes();
        let mut hash = [0; HASH_BYTES];
        let (pairs, []) = digits.as_chunks::<2>() else {
            return None;
        };
        if pairs.len() != hash.len() {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(pairs) {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            *byte = (high? << 4 | low?) as u8;
        }
        Some(Self(hash))
    }

    fn beginning(&self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        [a, b, c, d, e, f, g, h]
    }
}

impl ConstantTimeEq for KeyHash {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Display for KeyHash {
    /// Writes it as a file has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ALGORITHM)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl KeyFile {
    /// Parses a file. Empty lines and those that begin with `#` mean nothing.
    ///
    /// # Errors
    /// A line is no key; the first is named.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyFileError> {
        let mut entries = Vec::new();
        // Most keys share a few sets of groups.
        let mut groups: HashMap<&str, Arc<[Box<str>]>> = HashMap::new();
        for (at, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let error = |fault| KeyFileError { line: at + 1, fault };
            let line = std::str::from_utf8(line).map_err(|_| error(KeyFault::Text))?;
            let line = match at {
                0 => line.strip_prefix('\u{feff}').unwrap_or(line),
                _ => line,
            };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let entry = entry(line, &mut groups).map_err(error)?;
            entries.push((entry, at + 1));
        }
        entries.sort_by(|(one, at), (other, later)| one.hash.0.cmp(&other.hash.0).then(at.cmp(later)));
        let twice = entries.windows(2).filter_map(|pair| match pair {
            [(one, _), (other, line)] if one.hash.ct_eq(&other.hash).into() => Some((other, *line)),
            _ => None,
        });
        if let Some((entry, line)) = twice.min_by_key(|(_, line)| *line) {
            let fault = KeyFault::Twice(entry.identity.name().map_or("", |name| name).to_owned());
            return Err(KeyFileError { line, fault });
        }
        let mut by_beginning = HashMap::with_capacity(entries.len());
        for (at, (entry, _)) in (0..).zip(&entries) {
            by_beginning.entry(entry.hash.beginning()).or_insert(at);
        }
        Ok(Self {
            entries: entries.into_iter().map(|(entry, _)| entry).collect(),
            by_beginning,
        })
    }

    /// The identity of the client with this key. The time that it takes does not tell how much of a hash is right: its
    /// beginning is looked up, and the whole is compared in constant time.
    pub fn find(&self, key: &[u8]) -> Option<&Identity> {
        let hash = KeyHash::of(key);
        let beginning = hash.beginning();
        let first = *self.by_beginning.get(&beginning)? as usize;
        let same = self.entries.get(first..)?.iter();
        let mut same = same.take_while(|entry| entry.hash.beginning() == beginning);
        let found = same.find(|entry| entry.hash.ct_eq(&hash).into())?;
        Some(&found.identity)
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true if no client has a key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn entry<'l>(line: &'l str, known: &mut HashMap<&'l str, Arc<[Box<str>]>>) -> Result<Entry, KeyFault> {
    let mut words = line.split_whitespace();
    let (Some(name), Some(hash)) = (words.next(), words.next()) else {
        return Err(KeyFault::NoHash);
    };
    let identity = Identity::named(name);
    if identity.name().is_none() {
        return Err(KeyFault::Name);
    }
    let hash = KeyHash::parse(hash).ok_or_else(|| match hash.contains(':') {
        true => KeyFault::Hash(name.to_owned()),
        false => KeyFault::NoHash,
    })?;
    let groups = match words.next() {
        None => Arc::default(),
        Some(text) => match known.get(text) {
            Some(groups) => Arc::clone(groups),
            None => {
                if text.split(',').any(str::is_empty) {
                    return Err(KeyFault::EmptyGroup(name.to_owned()));
                }
                let groups: Arc<[Box<str>]> = text.split(',').map(Box::from).collect();
                known.insert(text, Arc::clone(&groups));
                groups
            }
        },
    };
    if words.next().is_some() {
        return Err(KeyFault::Groups(name.to_owned()));
    }
    Ok(Entry {
        hash,
        identity: identity.in_groups(groups),
    })
}

/// A key of these random bytes.
pub fn key_of(random: [u8; 32]) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random))
}

/// The line of a key for the file.
pub fn line(name: &str, key: &str, groups: &[String]) -> String {
    let hash = KeyHash::of(key.as_bytes());
    match groups {
        [] => format!("{name} {hash}"),
        groups => format!("{name} {hash} {}", groups.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The SHA-256 of `abc` (FIPS 180-2, B.1).
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn check(text: &str, expected: Result<usize, &str>) {
        let parsed = KeyFile::parse(text.as_bytes()).map(|file| file.len());
        let expected = expected.map_err(str::to_owned);
        assert_eq!(parsed.map_err(|error| error.to_string()), expected, "{text:?}");
    }

    #[test]
    fn lines_are_a_name_a_hash_and_groups() {
        check("", Ok(0));
        check("\u{feff}# all\r\n\r\n", Ok(0));
        check(&format!("acme {ABC}"), Ok(1));
        check(
            &format!(
                "  acme\t{}  gold,eu \r\n",
                ABC.to_uppercase().replace("SHA", "sha")
            ),
            Ok(1),
        );
        let twice = format!("acme {ABC}\nother {ABC}\n");
        check(&twice, Err("line 2: `other` has the key of an earlier line"));
        let no_hash = "expected `NAME HASH`, with a hash that `waypost hash-key` makes";
        check("acme", Err(&format!("line 1: {no_hash}")));
        check("acme s3cret", Err(&format!("line 1: {no_hash}")));
        check(
            "\nacme sha256:12",
            Err("line 2: the hash of `acme` is not `sha256:` and 64 hexadecimal digits"),
        );
        check(
            &format!("acme {}", ABC.replace("ba7", "+a7")),
            Err("line 1: the hash of `acme` is not `sha256:` and 64 hexadecimal digits"),
        );
        check(
            &format!("acme {}", ABC.replace("sha256", "md5")),
            Err("line 1: the hash of `acme` is not `sha256:` and 64 hexadecimal digits"),
        );
        check(
            &format!("acme {ABC} gold eu"),
            Err("line 1: the groups of `acme` are one word: write `GROUP,GROUP`"),
        );
        check(
            &format!("acme {ABC} gold,"),
            Err("line 1: a group of `acme` has no name"),
        );
        check(
            &format!("a\u{1}b {ABC}"),
            Err("line 1: the name has a control character"),
        );
        let error = KeyFile::parse(b"a\xff b").unwrap_err();
        assert_eq!(error.to_string(), "line 1: it is not UTF-8");
    }

    #[test]
    fn errors_do_not_tell_what_stands_for_a_hash() {
        let error = KeyFile::parse(b"acme s3cret").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }

    #[test]
    fn keys_are_found_by_their_hash() {
        let key = key_of([7; 32]);
        let text = format!(
            "{}\nacme {ABC} gold,eu\n",
            line("other", &key, &["free".to_owned()])
        );
        let file = KeyFile::parse(text.as_bytes()).unwrap();
        let found = |key: &str| {
            let identity = file.find(key.as_bytes())?;
            Some((identity.name()?.to_string(), identity.groups().join("+")))
        };
        assert_eq!(found("abc"), Some(("acme".to_owned(), "gold+eu".to_owned())));
        assert_eq!(found(&key), Some(("other".to_owned(), "free".to_owned())));
        for wrong in ["", "ab", "abcd", "ABC", ABC, "acme"] {
            assert_eq!(found(wrong), None, "{wrong}");
        }
        assert_eq!(format!("{file:?}"), "KeyFile { keys: 2, .. }");
    }

    #[test]
    fn hashes_compare_by_subtle_alone() {
        // `KeyHash` has no `PartialEq`; this is the comparison of `find`, and every byte counts.
        let hash = KeyHash::of(b"abc");
        assert_eq!(hash.ct_eq(&KeyHash::of(b"abc")).unwrap_u8(), 1);
        for at in 0..HASH_BYTES {
            let mut other = hash;
            other.0[at] ^= 1;
            assert_eq!(hash.ct_eq(&other).unwrap_u8(), 0, "{at}");
        }
        // The same beginning is not enough.
        let mut other = hash;
        other.0[31] ^= 1;
        let file = KeyFile::parse(format!("near {other}\nacme {hash}").as_bytes()).unwrap();
        let name = |file: &KeyFile| file.find(b"abc").and_then(Identity::name).cloned();
        assert_eq!(name(&file).as_deref(), Some("acme"));
        let file = KeyFile::parse(format!("near {other}").as_bytes()).unwrap();
        assert_eq!(name(&file), None);
    }

    #[test]
    fn many_keys_are_found_one_by_one() {
        let text: String = (0..10_000)
            .map(|at| line(&format!("c{at}"), &format!("key-{at}"), &[]) + "\n")
            .collect();
        let file = KeyFile::parse(text.as_bytes()).unwrap();
        for at in [0, 1, 4999, 9999] {
            let identity = file.find(format!("key-{at}").as_bytes()).unwrap();
            assert_eq!(identity.name().unwrap().as_ref(), format!("c{at}"));
        }
        assert_eq!(file.len(), 10_000);
    }
}
