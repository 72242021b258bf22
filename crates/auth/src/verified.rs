//! Pairs of names and passwords that were verified a short while ago.
//!
//! Passwords are not kept: a pair is a digest, keyed at random for each process, so that memory that leaks tells nothing.
//! Look-ups wait for no one, and the memory is bounded: a pair has few places, of which the one that ends first is taken.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use aws_lc_rs::hmac;
use subtle::ConstantTimeEq as _;

use crate::basic::Pair;

/// The time after which a password is verified again.
pub const KEPT_FOR: Duration = Duration::from_secs(300);
/// Pairs that are kept for a password file.
pub const PAIRS_MAX: usize = SETS * WAYS;

const SETS: usize = 1024;
const WAYS: usize = 4;

/// The key of digests.
pub struct DigestKey(hmac::Key);

/// The digest of a pair.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

/// The pairs of one password file. Another file, or another version of it, begins with none.
pub struct Verified(Box<[[ArcSwapOption<Kept>; WAYS]]>);

struct Kept {
    digest: Digest,
    until: Instant,
}

impl DigestKey {
    /// The key with these random bytes.
    pub fn new(random: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, random))
    }

    /// The digest of a pair.
    pub fn digest(&self, pair: &Pair) -> Digest {
        let tag = hmac::sign(&self.0, pair.bytes());
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

impl Default for Verified {
    fn default() -> Self {
        Self((0..SETS).map(|_| Default::default()).collect())
    }
}

impl Verified {
    /// Returns true if the pair was verified within [`KEPT_FOR`].
    pub fn has(&self, digest: &Digest, now: Instant) -> bool {
        self.0[digest.set()].iter().any(|slot| {
            slot.load()
                .as_ref()
                .is_some_and(|kept| now < kept.until && bool::from(kept.digest.0.ct_eq(&digest.0)))
        })
    }

    /// Keeps a pair that was verified now.
    pub fn insert(&self, digest: Digest, now: Instant) {
        let ends = |slot: &ArcSwapOption<Kept>| {
            let kept = slot.load();
            kept.as_ref()
                .filter(|kept| !bool::from(kept.digest.0.ct_eq(&digest.0)))
                .map(|kept| kept.until)
        };
        let set = &self.0[digest.set()];
        if let Some(slot) = set.iter().min_by_key(|slot| ends(slot)) {
            slot.store(Some(Arc::new(Kept {
                digest,
                until: now + KEPT_FOR,
            })));
        }
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

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verified(..)")
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
    fn a_pair_is_kept_for_a_while() {
        let (verified, now) = (Verified::default(), Instant::now());
        let pair = digest(7, 1);
        assert!(!verified.has(&pair, now));
        verified.insert(pair, now);
        assert!(verified.has(&pair, now));
        assert!(!verified.has(&digest(7, 2), now));
        assert!(!verified.has(&pair, now + KEPT_FOR));
        verified.insert(pair, now + KEPT_FOR);
        assert!(verified.has(&pair, now + KEPT_FOR));
    }

    #[test]
    fn the_pair_that_ends_first_makes_room() {
        let (verified, now) = (Verified::default(), Instant::now());
        let at = |seconds: u8| now + Duration::from_secs(seconds.into());
        for last in 0..4 {
            verified.insert(digest(7, last), at(last));
        }
        // One that is there already takes its own place.
        verified.insert(digest(7, 0), at(4));
        verified.insert(digest(7, 9), at(5));
        let kept: Vec<u8> = (0..10)
            .filter(|last| verified.has(&digest(7, *last), at(5)))
            .collect();
        assert_eq!(kept, [0, 2, 3, 9]);
    }

    #[test]
    fn digests_tell_pairs_and_keys_apart() {
        let pair = |text: &[u8]| Pair::parse(text).unwrap();
        let (key, other) = (DigestKey::new(&[1; 32]), DigestKey::new(&[2; 32]));
        let digest = key.digest(&pair(b"YTpi")).0;
        assert_eq!(digest, key.digest(&pair(b"YTpi")).0);
        assert_ne!(digest, key.digest(&pair(b"YTpj")).0);
        assert_ne!(digest, other.digest(&pair(b"YTpi")).0);
        assert_eq!(
            format!("{key:?} {:?}", key.digest(&pair(b"YTpi"))),
            "DigestKey(..) Digest(..)"
        );
    }
}
