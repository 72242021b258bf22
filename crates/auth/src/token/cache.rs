//! The tokens whose signatures were verified, by their hash.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, TryLockError};

use aws_lc_rs::digest::{self, SHA256};

use crate::token::key_set::KeySet;
use crate::token::verify::Verified;

/// The tokens that are remembered for one key set, at most.
pub const TOKENS_MAX: usize = 16 * 1024;

/// The bytes that they take, at most, as estimated.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;

/// A token is looked for in one of this many parts, so that workers seldom meet.
const SHARDS: usize = 16;

/// Memory of a parsed claim beside its text: names, values and the tree that they are in.
const SPREAD: usize = 4;

/// Memory of an entry without claims.
const ENTRY_BYTES: usize = 256;

type Digest = [u8; 32];

/// The tokens that a key set has verified. A part that is in use by another worker is passed over: no worker waits for another.
#[derive(Debug, Default)]
pub struct TokenCache {
    shards: [Mutex<Shard>; SHARDS],
}

/// A part of the cache, in two generations: when the young one is full, the old one is forgotten, and with it what was
/// not asked for since.
#[derive(Debug, Default)]
struct Shard {
    /// The key set that has verified what is here. It is held, so that no other can have its address.
    verified_by: Option<Arc<KeySet>>,
    young: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    tokens: HashMap<Digest, Verified>,
    bytes: usize,
}

/// The hash of a token. It is one that no two tokens share, as a client chooses its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(Digest);

impl TokenHash {
    /// The hash of `token`.
    pub fn of(token: &[u8]) -> Self {
        let mut bytes = Digest::default();
        bytes.copy_from_slice(digest::digest(&SHA256, token).as_ref());
        Self(bytes)
    }
}

impl TokenCache {
    /// A token that `keys` have verified.
    pub fn find(&self, token: TokenHash, keys: &Arc<KeySet>) -> Option<Verified> {
        self.with_shard(token, keys, |shard| shard.find(token.0))?
    }

    /// Remembers a token that `keys` have verified.
    pub fn insert(&self, token: TokenHash, keys: &Arc<KeySet>, verified: Verified) {
        self.with_shard(token, keys, |shard| shard.insert(token.0, verified));
    }

    /// The number of tokens that are remembered.
    pub fn len(&self) -> usize {
        let len = |shard: &Mutex<Shard>| {
            shard
                .lock()
                .map_or(0, |shard| shard.young.tokens.len() + shard.old.tokens.len())
        };
        self.shards.iter().map(len).sum()
    }

    /// Returns true if no token is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with_shard<T>(
        &self,
        token: TokenHash,
        keys: &Arc<KeySet>,
        act: impl FnOnce(&mut Shard) -> T,
    ) -> Option<T> {
        let place = &self.shards[usize::from(token.0[0]) % SHARDS];
        let mut shard = match place.try_lock() {
            Ok(shard) => shard,
            Err(TryLockError::WouldBlock) => return None,
            Err(TryLockError::Poisoned(poisoned)) => {
                place.clear_poison();
                let mut shard = poisoned.into_inner();
                *shard = Shard::default();
                shard
            }
        };
        if !shard
            .verified_by
            .as_ref()
            .is_some_and(|own| Arc::ptr_eq(own, keys))
        {
            *shard = Shard {
                verified_by: Some(Arc::clone(keys)),
                ..Shard::default()
            };
        }
        Some(act(&mut shard))
    }
}

impl Shard {
    fn find(&mut self, token: Digest) -> Option<Verified> {
        if let Some(verified) = self.young.tokens.get(&token) {
            return Some(verified.clone());
        }
        let verified = self.old.tokens.remove(&token)?;
        self.old.bytes -= size(&verified);
        self.insert(token, verified.clone());
        Some(verified)
    }

    fn insert(&mut self, token: Digest, verified: Verified) {
        let bytes = size(&verified);
        let is_full = self.young.tokens.len() >= TOKENS_MAX / SHARDS / 2
            || self.young.bytes + bytes > BYTES_MAX / SHARDS / 2;
        if is_full {
            self.old = mem::take(&mut self.young);
        }
        if bytes <= BYTES_MAX / SHARDS / 2 && self.young.tokens.insert(token, verified).is_none() {
            self.young.bytes += bytes;
        }
    }
}

fn size(verified: &Verified) -> usize {
    ENTRY_BYTES + verified.size() * SPREAD
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use waypost_plan::token::Algorithm;

    use super::*;
    use crate::token::key_set::Origin;
    use crate::token::testing::Signer;
    use crate::token::verify::verify;

    static SIGNER: LazyLock<Signer> = LazyLock::new(Signer::ed25519);

    fn keys() -> Arc<KeySet> {
        Arc::new(KeySet::parse(Signer::ed25519().jwk("").as_bytes(), Origin::File).unwrap())
    }

    fn verified(size: usize) -> Verified {
        let (signer, head) = (&*SIGNER, r#"{"alg":"EdDSA"}"#);
        let token = signer.token(jsonwebtoken::Algorithm::EdDSA, head, "{}");
        let keys = KeySet::parse(signer.jwk("").as_bytes(), Origin::File).unwrap();
        let verified = verify(token.as_bytes(), &Algorithm::defaults(), &keys).unwrap();
        verified.sized(size)
    }

    fn hash(number: usize) -> TokenHash {
        TokenHash::of(&number.to_be_bytes())
    }

    #[test]
    fn a_token_is_found_until_the_keys_change() {
        let (cache, first, second) = (TokenCache::default(), keys(), keys());
        cache.insert(hash(1), &first, verified(10));
        assert!(cache.find(hash(1), &first).is_some());
        assert!(cache.find(hash(2), &first).is_none());
        assert!(cache.find(hash(1), &second).is_none());
        // Nor does the old set bring back what the new one has not verified.
        assert!(cache.find(hash(1), &first).is_none());
    }

    #[test]
    fn number_and_bytes_are_bounded_and_what_is_in_use_stays() {
        let (cache, keys) = (TokenCache::default(), keys());
        let (favourite, small) = (hash(0), verified(100));
        for number in 0..4 * TOKENS_MAX {
            cache.insert(hash(number), &keys, small.clone());
            if number % 64 == 0 {
                assert!(cache.find(favourite, &keys).is_some(), "{number}");
            }
            if number % 4096 == 0 {
                assert!(cache.len() <= TOKENS_MAX);
            }
        }
        assert!(cache.len() > TOKENS_MAX / 3);
        let large = BYTES_MAX / SHARDS / 16 / SPREAD;
        let one = verified(large);
        for number in 0..2_000 {
            cache.insert(hash(number), &keys, one.clone());
        }
        assert!(cache.len() * large * SPREAD <= BYTES_MAX);
        // One that no part has room for is not kept.
        let huge = hash(usize::MAX);
        cache.insert(huge, &keys, verified(BYTES_MAX));
        assert!(cache.find(huge, &keys).is_none());
    }

    #[test]
    fn nobody_waits_for_another() {
        let (cache, keys) = (TokenCache::default(), keys());
        cache.insert(hash(1), &keys, verified(1));
        let place = usize::from(hash(1).0[0]) % SHARDS;
        let held = cache.shards[place].lock().unwrap();
        assert!(cache.find(hash(1), &keys).is_none());
        drop(held);
        assert!(cache.find(hash(1), &keys).is_some());
    }
}
