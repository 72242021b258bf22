//! Credentials that were verified a short while ago, and what is known of them.
//!
//! Passwords and cookies are not kept: they are digests, keyed at random for each process, so that memory that leaks tells
//! nothing. Look-ups wait for no one, and the memory is bounded: a digest has few places, of which the one that ends first
//! is taken.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use subtle::ConstantTimeEq as _;

/// Entries at most.
pub const ENTRIES_MAX: usize = SETS * WAYS;

const SETS: usize = 1024;
const WAYS: usize = 4;

/// The key of digests.
pub struct DigestKey(hmac::Key);

/// The digest of credentials.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

/// Credentials that were verified, each with a value.
pub struct Recent<V>(Box<[[ArcSwapOption<Entry<V>>; WAYS]]>);

/// Credentials that were verified.
pub struct Entry<V> {
    /// The value.
    pub value: V,
    digest: Digest,
    /// In milliseconds.
    until: u64,
}

impl DigestKey {
    /// A key of its own, which no other process has; `None` where the system has no randomness.
    pub fn random() -> Option<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        key.ok().map(Self)
    }

    /// The key with these bytes.
    #[cfg(test)]
    pub(crate) fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The digest of some texts in order: other texts, or the same ones split elsewhere, have another.
    pub fn digest<'a>(&self, texts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
        let mut context = hmac::Context::with_key(&self.0);
        for text in texts {
            context.update(&(text.len() as u64).to_le_bytes());
            context.update(text);
        }
        let tag = context.sign();
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.as_ref());
        Digest(digest)
    }
}

impl Digest {
    fn set(&self) -> usize {
        usize::from(u16::from_le_bytes([self.0[0], self.0[1]])) % SETS
    }
}

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self((0..SETS).map(|_| Default::default()).collect())
    }
}

impl<V> Recent<V> {
    /// The entry of these credentials, unless its time is over `now`, in milliseconds.
    pub fn find(&self, digest: &Digest, now: u64) -> Option<Arc<Entry<V>>> {
        let mut slots = self.0[digest.set()].iter();
        slots.find_map(|slot| {
            slot.load_full()
                .filter(|entry| now < entry.until && entry.is_of(digest))
        })
    }

    /// Adds the entry of credentials.
    pub fn insert(&self, digest: Digest, value: V, until: u64) {
        let ends = |slot: &ArcSwapOption<Entry<V>>| {
            let entry = slot.load();
            entry
                .as_ref()
                .filter(|entry| !entry.is_of(&digest))
                .map(|entry| entry.until)
        };
        let set = &self.0[digest.set()];
        if let Some(slot) = set.iter().min_by_key(|slot| ends(slot)) {
            slot.store(Some(Arc::new(Entry { value, digest, until })));
        }
    }
}

impl<V> Entry<V> {
    fn is_of(&self, digest: &Digest) -> bool {
        self.digest.0.ct_eq(&digest.0).into()
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(..)")
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

impl<V> fmt::Debug for Recent<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recent(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(first: u8, last: u8) -> Digest {
        let mut bytes = [0; 32];
        (bytes[0], bytes[31]) = (first, last);
        Digest(bytes)
    }

    #[test]
    fn an_entry_is_found_until_its_time_is_over() {
        let recent = Recent::default();
        let find = |digest: Digest, at| {
            let entry = recent.find(&digest, at);
            entry.map(|entry| entry.value)
        };
        assert_eq!(find(digest(7, 1), 0), None);
        recent.insert(digest(7, 1), 'a', 10);
        assert_eq!(find(digest(7, 1), 9), Some('a'));
        assert_eq!(find(digest(7, 2), 9), None);
        assert_eq!(find(digest(8, 1), 9), None);
        assert_eq!(find(digest(7, 1), 10), None);
        recent.insert(digest(7, 1), 'b', 20);
        assert_eq!(find(digest(7, 1), 10), Some('b'));
    }

    #[test]
    fn the_entry_that_ends_first_makes_room() {
        let recent = Recent::default();
        for last in 0..4 {
            recent.insert(digest(7, last), (), 10 + u64::from(last));
        }
        // One that is there already keeps to its own place.
        recent.insert(digest(7, 0), (), 14);
        recent.insert(digest(7, 9), (), 15);
        let kept = (0..10).filter(|last| recent.find(&digest(7, *last), 0).is_some());
        assert_eq!(kept.collect::<Vec<u8>>(), [0, 2, 3, 9]);
    }

    #[test]
    fn digests_tell_texts_and_keys_apart() {
        let (key, other) = (DigestKey::new(&[1; 32]), DigestKey::new(&[2; 32]));
        let digest = |key: &DigestKey, texts: &[&str]| key.digest(texts.iter().map(|text| text.as_bytes())).0;
        assert_eq!(digest(&key, &["a", "b"]), digest(&key, &["a", "b"]));
        for texts in [&["a", "c"][..], &["ab"], &["a", "b", ""], &["", "ab"], &[]] {
            assert_ne!(digest(&key, &["a", "b"]), digest(&key, texts), "{texts:?}");
        }
        assert_ne!(digest(&key, &["a"]), digest(&other, &["a"]));
        assert_eq!(
            format!("{key:?} {:?}", key.digest([])),
            "DigestKey(..) Digest(..)"
        );
    }
}
