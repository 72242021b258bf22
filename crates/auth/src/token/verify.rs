//! The verification of a token.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use waypost_plan::token::{Algorithm, TokenRules};

use crate::claims::Claims;
use crate::identity::Identity;
use crate::json;
use crate::token::key_set::KeySet;

/// The bytes of a token, at most.
pub const BYTES_MAX: usize = 16 * 1024;

/// The keys that are tried for a token that names none.
pub const TRIES_MAX: usize = 8;

/// A reason to refuse a token. It holds nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More bytes than a token may have.
    #[error("the token is longer than 16 KiB")]
    TooLong,
    /// Anything but three parts of base64url, or parts that are no objects, or have a member twice.
    #[error("the token is malformed")]
    Malformed,
    /// `alg` is not in the rules; `none` is never.
    #[error("the algorithm of the token is not accepted")]
    Algorithm,
    /// `crit` lists extensions, and none is understood here (RFC 7515 §4.1.11); or `b64` says that the claims are not
    /// encoded, as no token may (RFC 7797 §7).
    #[error("the token demands an extension by `crit` or `b64`")]
    Critical,
    /// No key has the `kid` of the token.
    #[error("the key set has no key with the `kid` of the token")]
    UnknownKey,
    /// A key with the `kid`, or none at all, is for the algorithm of the token.
    #[error("the key set has no key for the algorithm of the token")]
    NoKey,
    /// The signature is another's.
    #[error("the signature is wrong")]
    Signature,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `exp` is missing.
    #[error("the token never expires")]
    NoExpiry,
    /// `nbf` has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// `iss` is another, or missing.
    #[error("the issuer is another")]
    Issuer,
    /// `aud` has none of ours.
    #[error("the token is for another audience")]
    Audience,
    /// A claim that is registered for another type (RFC 7519 §4.1).
    #[error("the claim `{0}` has the wrong type")]
    ClaimType(&'static str),
}

/// A token whose signature was verified. Whether it counts is another matter: see [`Verified::check`].
#[derive(Debug, Clone)]
pub struct Verified(Arc<Token>);

/// A token comes again and again, so that its claims are looked up once.
#[derive(Debug)]
struct Token {
    claims: Arc<Claims>,
    algorithm: Algorithm,
    registered: Result<Registered, Refusal>,
    /// The client, with the name of the claim that lists its groups: all who ask for a token name the same one, mostly.
    client: OnceLock<(Box<str>, Identity)>,
    /// The bytes of the claims as sent.
    size: usize,
}

/// The registered claims that are checked (RFC 7519 §4.1).
struct Registered {
    issuer: Option<Box<str>>,
    audience: Box<[Box<str>]>,
    not_before: Option<f64>,
    expiry: Option<f64>,
}

/// Claims are the business of who they are about.
impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered").finish_non_exhaustive()
    }
}

/// A token that was taken apart, and not verified.
struct Parts<'a> {
    /// The text that is signed: head and claims as sent.
    message: &'a str,
    claims: &'a str,
    signature: &'a str,
    algorithm: Algorithm,
    key_id: Option<Box<str>>,
}

/// Verifies the signature of a token by a key of `keys`, and one of the algorithms that are accepted.
///
/// The head of the token selects among the keys, and adds none: `jku`, `jwk`, `x5u` and `x5c` are not looked at.
pub fn verify(token: &[u8], accepted: &[Algorithm], keys: &KeySet) -> Result<Verified, Refusal> {
    let parts = Parts::of(token, accepted)?;
    parts.verify_signature(keys)?;
    let text = decode(parts.claims)?;
    let claims = Claims::new(json::object(&text).ok_or(Refusal::Malformed)?);
    Ok(Verified(Arc::new(Token {
        registered: Registered::of(&claims),
        claims: Arc::new(claims),
        algorithm: parts.algorithm,
        client: OnceLock::new(),
        size: text.len(),
    })))
}

impl Verified {
    /// The claims.
    pub fn claims(&self) -> &Claims {
        &self.0.claims
    }

    /// The client that the token is about, in the groups that this claim lists.
    pub fn client(&self, groups: &str) -> Identity {
        let (claim, client) = self
            .0
            .client
            .get_or_init(|| (groups.into(), Identity::of_token(&self.0.claims, groups)));
        match **claim == *groups {
            true => client.clone(),
            false => Identity::of_token(&self.0.claims, groups),
        }
    }

    /// Checks that the token counts by `rules` at `now`, a time since 1970.
    pub fn check(&self, rules: &TokenRules, now: Duration) -> Result<(), Refusal> {
        if !rules.algorithms.contains(&self.0.algorithm) {
            return Err(Refusal::Algorithm);
        }
        let registered = self.0.registered.as_ref().map_err(|refusal| *refusal)?;
        registered.check(rules, now.as_secs_f64())
    }

    /// The bytes of the claims as sent.
    pub(super) fn size(&self) -> usize {
        self.0.size
    }

    /// The same with claims of another size.
    #[cfg(test)]
    pub(super) fn sized(&self, size: usize) -> Self {
        let Token {
            claims, algorithm, ..
        } = &*self.0;
        Self(Arc::new(Token {
            registered: Registered::of(claims),
            claims: Arc::clone(claims),
            algorithm: *algorithm,
            client: OnceLock::new(),
            size,
        }))
    }
}

impl<'a> Parts<'a> {
    fn of(token: &'a [u8], accepted: &[Algorithm]) -> Result<Self, Refusal> {
        if token.len() > BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let token = str::from_utf8(token).map_err(|_| Refusal::Malformed)?;
        let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (head, claims) = message.split_once('.').ok_or(Refusal::Malformed)?;
        if claims.contains('.') {
            return Err(Refusal::Malformed);
        }
        let head = json::object(&decode(head)?).ok_or(Refusal::Malformed)?;
        let text = |name: &str| match head.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(&**text)),
            Some(_) => Err(Refusal::Malformed),
        };
        let algorithm = text("alg")?.ok_or(Refusal::Malformed)?;
        let algorithm = Algorithm::named(algorithm)
            .filter(|algorithm| accepted.contains(algorithm))
            .ok_or(Refusal::Algorithm)?;
        let is_encoded = head.get("b64").is_none_or(|b64| *b64 == Value::Bool(true));
        if head.contains_key("crit") || !is_encoded {
            return Err(Refusal::Critical);
        }
        Ok(Self {
            message,
            claims,
            signature,
            algorithm,
            key_id: text("kid")?.map(Into::into),
        })
    }

    fn verify_signature(&self, keys: &KeySet) -> Result<(), Refusal> {
        let key_id = self.key_id.as_deref();
        if key_id.is_some_and(|id| !keys.knows(id)) {
            return Err(Refusal::UnknownKey);
        }
        let mut refusal = Refusal::NoKey;
        for key in keys.candidates(key_id, self.algorithm).take(TRIES_MAX) {
            let algorithm = library_algorithm(self.algorithm);
            let message = self.message.as_bytes();
            match jsonwebtoken::crypto::verify(self.signature, message, &key.material, algorithm) {
                Ok(true) => return Ok(()),
                _ => refusal = Refusal::Signature,
            }
        }
        Err(refusal)
    }
}

/// The bytes of a part. One text for the same bytes: no padding, no bits left over, no blanks.
fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}

impl Registered {
    fn of(claims: &Claims) -> Result<Self, Refusal> {
        let time = |name: &'static str| match claims.value(name) {
            None => Ok(None),
            Some(Value::Number(number)) => number.as_f64().ok_or(Refusal::ClaimType(name)).map(Some),
            Some(_) => Err(Refusal::ClaimType(name)),
        };
        let text = |name: &'static str| match claims.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(&**text)),
            Some(_) => Err(Refusal::ClaimType(name)),
        };
        text("sub")?;
        Ok(Self {
            issuer: text("iss")?.map(Box::from),
            audience: audience(claims)?,
            not_before: time("nbf")?,
            expiry: time("exp")?,
        })
    }

    fn check(&self, rules: &TokenRules, now: f64) -> Result<(), Refusal> {
        if rules.issuer.is_some() && rules.issuer != self.issuer {
            return Err(Refusal::Issuer);
        }
        let mut audience = self.audience.iter();
        if !rules.audience.is_empty() && !audience.any(|name| rules.audience.contains(name)) {
            return Err(Refusal::Audience);
        }
        let leeway = rules.leeway.as_secs_f64();
        if self.not_before.is_some_and(|from| now + leeway < from) {
            return Err(Refusal::NotYet);
        }
        // "On or after which the JWT MUST NOT be accepted" (RFC 7519 §4.1.4).
        match self.expiry {
            Some(until) if now >= until + leeway => Err(Refusal::Expired),
            None if rules.require_exp => Err(Refusal::NoExpiry),
            _ => Ok(()),
        }
    }
}

/// The audiences of a token: a text, or a list of texts (RFC 7519 §4.1.3).
fn audience(claims: &Claims) -> Result<Box<[Box<str>]>, Refusal> {
    let wrong = Refusal::ClaimType("aud");
    match claims.value("aud") {
        None => Ok(Box::default()),
        Some(Value::String(name)) => Ok([name.as_str().into()].into()),
        Some(Value::Array(names)) => {
            let names = names.iter();
            names
                .map(|name| name.as_str().map(Box::from).ok_or(wrong))
                .collect()
        }
        Some(_) => Err(wrong),
    }
}

fn library_algorithm(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::Rs384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::Rs512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::Es384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::Ps384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::Ps512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::Hs384 => jsonwebtoken::Algorithm::HS384,
        Algorithm::Hs512 => jsonwebtoken::Algorithm::HS512,
    }
}

#[cfg(test)]
mod tests;
