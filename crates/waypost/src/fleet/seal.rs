//! The seal of what is secret in etcd: certificates with their keys, accounts, and challenges.
//!
//! Sealed is a version, a random nonce, and the secret with its tag, by AES-256-GCM, all as base64. The name of the key in
//! etcd is authenticated along, so that nothing sealed can be moved to another place.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The bytes of a key.
const KEY_BYTES: usize = 32;

/// The way that this version seals.
const VERSION: u8 = 1;

/// The help for a file that has no key.
pub(crate) const HELP: &str =
    "`openssl rand -base64 32` makes a key; all instances of the fleet have the same";

/// A key that seals.
pub(crate) struct Seal(RandomizedNonceKey);

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not {KEY_BYTES} bytes in base64 on one line")]
pub(crate) struct NoKey;

/// Something that the key does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    /// Another version has sealed it.
    #[error("a newer version of Waypost has sealed it")]
    Version,
    /// It was sealed with another key, for another name, or is damaged.
    #[error("`certificates_key` does not open it: it was sealed with another key, or is damaged")]
    Key,
}

impl Seal {
    /// The key in the text of a file.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn read(text: &[u8]) -> Result<Self, NoKey> {
        let key = STANDARD.decode(text.trim_ascii()).map_err(|_| NoKey)?;
        if key.len() != KEY_BYTES {
            return Err(NoKey);
        }
        let key = RandomizedNonceKey::new(&AES_256_GCM, &key).map_err(|_| NoKey)?;
        Ok(Self(key))
    }

    /// Seals a secret for the key `name` in etcd; `None` if there are no random bytes.
    pub(crate) fn seal(&self, name: &str, secret: &[u8]) -> Option<String> {
        let mut sealed = secret.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(name), &mut sealed)
            .ok()?;
        let bytes = [&[VERSION][..], nonce.as_ref(), &sealed].concat();
        Some(STANDARD.encode(bytes))
    }

    /// Opens what lies under the key `name` in etcd.
    ///
    /// # Errors
    /// This key has not sealed it, or not for that name.
    pub(crate) fn open(&self, name: &str, sealed: &str) -> Result<Vec<u8>, OpenError> {
        let bytes = STANDARD.decode(sealed).map_err(|_| OpenError::Key)?;
        let (version, bytes) = bytes.split_first().ok_or(OpenError::Key)?;
        if *version != VERSION {
            return Err(OpenError::Version);
        }
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(OpenError::Key)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place(nonce, Aad::from(name), &mut sealed);
        opened.map(|secret| secret.to_vec()).map_err(|_| OpenError::Key)
    }
}

// The key stays out of logs.
impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(byte: u8) -> Seal {
        Seal::read(STANDARD.encode([byte; KEY_BYTES]).as_bytes()).unwrap()
    }

    #[test]
    fn key_is_32_bytes_in_base64() {
        for (text, is_key) in [
            ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", true),
            (" AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n", true),
            ("", false),
            ("AAAAAAAAAAAAAAAAAAAAAA==", false),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", false),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", false),
            ("AAAAAAAAAAAAAAAAAAAA\nAAAAAAAAAAAAAAAAAAAAAAA=", false),
            ("0123456789abcdef0123456789abcdef", false),
        ] {
            assert_eq!(Seal::read(text.as_bytes()).is_ok(), is_key, "{text:?}");
        }
    }

    #[test]
    fn what_is_sealed_is_opened_with_the_same_key_for_the_same_name_alone() {
        let sealed = seal(1).seal("/w/certificates/account", b"secret").unwrap();
        assert!(!sealed.contains("secret") && !sealed.contains(&STANDARD.encode("secret")));
        let open = |key: u8, name: &str, sealed: &str| seal(key).open(name, sealed);
        assert_eq!(
            open(1, "/w/certificates/account", &sealed),
            Ok(b"secret".to_vec())
        );
        assert_eq!(open(2, "/w/certificates/account", &sealed), Err(OpenError::Key));
        assert_eq!(open(1, "/w/certificates/other", &sealed), Err(OpenError::Key));
        let again = seal(1).seal("/w/certificates/account", b"secret").unwrap();
        assert_ne!(again, sealed, "each has its own nonce");
        let empty = seal(1).seal("n", b"").unwrap();
        assert_eq!(open(1, "n", &empty), Ok(Vec::new()));
    }

    #[test]
    fn damaged_values_are_not_opened_and_end_nothing() {
        let sealed = seal(1).seal("n", b"secret").unwrap();
        let bytes = STANDARD.decode(&sealed).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            let opened = seal(1).open("n", &STANDARD.encode(&damaged));
            let expected = match at {
                0 => OpenError::Version,
                _ => OpenError::Key,
            };
            assert_eq!(opened, Err(expected), "{at}");
            let cut = seal(1).open("n", &STANDARD.encode(&bytes[..at]));
            assert_eq!(cut, Err(OpenError::Key), "{at}");
        }
        assert_eq!(seal(1).open("n", "no base64!"), Err(OpenError::Key));
    }

    #[test]
    fn key_stays_out_of_logs() {
        assert_eq!(format!("{:?}", seal(7)), "Seal { .. }");
    }
}
