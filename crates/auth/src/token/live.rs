//! The keys of an issuer as they are now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use waypost_plan::token::TokenRules;

use crate::token::cache::{TokenCache, TokenHash};
use crate::token::key_set::KeySet;
use crate::token::verify::{BYTES_MAX, Refusal, Verified, verify};

/// The key set of an issuer, which may change while it is in use, and the tokens that it has verified. It outlives a
/// generation where the next one names the same file or URL.
#[derive(Debug, Default)]
pub struct LiveKeys {
    set: ArcSwapOption<KeySet>,
    verified: TokenCache,
    /// True if a key set may come soon for who asks: it is being fetched, or may be.
    may_come: AtomicBool,
}

/// The judgement on a token.
#[derive(Debug, Clone)]
pub enum Judgement {
    /// It is genuine and counts.
    Valid(Verified),
    /// It is refused.
    Refused(Refusal),
    /// There is no key set.
    NoKeys,
    /// There is no key set, or none with the `kid` of the token, but one may come soon.
    Later,
}

impl LiveKeys {
    /// The keys of a file.
    pub fn of(set: Arc<KeySet>) -> Self {
        Self {
            set: ArcSwapOption::new(Some(set)),
            ..Self::default()
        }
    }

    /// Replaces the key set. Tokens that the last one has verified are forgotten.
    pub fn set(&self, set: Arc<KeySet>) {
        self.set.store(Some(set));
    }

    /// The key set.
    pub fn get(&self) -> Option<Arc<KeySet>> {
        self.set.load_full()
    }

    /// Says whether a token may wait for another key set.
    pub fn set_may_come(&self, may_come: bool) {
        self.may_come.store(may_come, Ordering::Release);
    }

    /// Judges a token by `rules` at `now`, a time since 1970. `Later` is answered to who may wait alone.
    pub fn judge(&self, token: &[u8], rules: &TokenRules, now: Duration, may_wait: bool) -> Judgement {
        let later = || may_wait && self.may_come.load(Ordering::Acquire);
        let set = self.set.load();
        let Some(set) = &*set else {
            return if later() {
                Judgement::Later
            } else {
                Judgement::NoKeys
            };
        };
        if token.len() > BYTES_MAX {
            return Judgement::Refused(Refusal::TooLong);
        }
        let hash = TokenHash::of(token);
        let known = self.verified.find(hash, set);
        let is_known = known.is_some();
        let verified = match known.map_or_else(|| verify(token, &rules.algorithms, set), Ok) {
            Ok(verified) => verified,
            Err(Refusal::UnknownKey) if later() => return Judgement::Later,
            Err(refusal) => return Judgement::Refused(refusal),
        };
        if let Err(refusal) = verified.check(rules, now) {
            return Judgement::Refused(refusal);
        }
        if !is_known {
            self.verified.insert(hash, set, verified.clone());
        }
        Judgement::Valid(verified)
    }

    /// The number of tokens that are remembered.
    pub fn tokens(&self) -> usize {
        self.verified.len()
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm as Library;
    use waypost_plan::token::Algorithm;

    use super::*;
    use crate::token::key_set::Origin;
    use crate::token::testing::Signer;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn rules() -> TokenRules {
        TokenRules {
            issuer: None,
            audience: [].into(),
            algorithms: Algorithm::defaults(),
            leeway: Duration::ZERO,
            require_exp: true,
        }
    }

    fn set(signer: &Signer, id: &str) -> Arc<KeySet> {
        let text = signer.jwk(&format!(r#","kid":"{id}""#));
        Arc::new(KeySet::parse(text.as_bytes(), Origin::Url).unwrap())
    }

    fn check(keys: &LiveKeys, token: &str, may_wait: bool, expected: &str) {
        let found = match keys.judge(token.as_bytes(), &rules(), NOW, may_wait) {
            Judgement::Valid(verified) => verified.claims().text("sub").unwrap().to_string(),
            Judgement::Refused(refusal) => format!("{refusal:?}"),
            Judgement::NoKeys => "no keys".to_owned(),
            Judgement::Later => "later".to_owned(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_token_waits_for_keys_that_may_come_and_no_longer() {
        let (first, second) = (Signer::ed25519(), Signer::ed25519());
        let token = |signer: &Signer, id: &str| {
            let head = format!(r#"{{"alg":"EdDSA","kid":"{id}"}}"#);
            signer.token(Library::EdDSA, &head, r#"{"sub":"ann","exp":1800000001}"#)
        };
        let (old, new) = (token(&first, "1"), token(&second, "2"));
        let keys = LiveKeys::default();
        check(&keys, &old, true, "no keys");
        keys.set_may_come(true);
        check(&keys, &old, true, "later");
        check(&keys, &old, false, "no keys");
        keys.set(set(&first, "1"));
        check(&keys, &old, true, "ann");
        assert_eq!(keys.tokens(), 1);
        check(&keys, &new, true, "later");
        check(&keys, &new, false, "UnknownKey");
        keys.set_may_come(false);
        check(&keys, &new, true, "UnknownKey");
        // A wrong signature is none that another set would make right.
        keys.set_may_come(true);
        check(&keys, &token(&second, "1"), true, "Signature");
        keys.set(set(&second, "2"));
        check(&keys, &old, false, "UnknownKey");
        check(&keys, &new, false, "ann");
        assert_eq!(keys.tokens(), 1);
    }

    #[test]
    fn only_tokens_that_counted_once_are_remembered() {
        let signer = Signer::ed25519();
        let keys = LiveKeys::of(set(&signer, "1"));
        let expired = signer.token(Library::EdDSA, r#"{"alg":"EdDSA"}"#, r#"{"exp":1}"#);
        check(&keys, &expired, true, "Expired");
        check(&keys, "a.b.c", true, "Malformed");
        assert_eq!(keys.tokens(), 0);
        let valid = signer.token(
            Library::EdDSA,
            r#"{"alg":"EdDSA"}"#,
            r#"{"sub":"ann","exp":1800000001}"#,
        );
        check(&keys, &valid, true, "ann");
        assert_eq!(keys.tokens(), 1);
        let later = keys.judge(valid.as_bytes(), &rules(), NOW + Duration::from_secs(1), true);
        assert!(matches!(later, Judgement::Refused(Refusal::Expired)));
    }
}
