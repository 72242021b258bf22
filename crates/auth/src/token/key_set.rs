//! A key set: the keys that verify the tokens of an issuer.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};
use waypost_plan::token::Algorithm;

use crate::json;
use crate::token::pem;

/// The bytes of a key set, at most.
pub const BYTES_MAX: usize = 256 * 1024;

/// The keys of a set, at most.
pub const KEYS_MAX: usize = 100;

/// The bits of the modulus of an RSA key, at least (RFC 7518 §3.3); and at most, as the library has it.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

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

/// A key that verifies signatures.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<Box<str>>,
    /// The one algorithm that it may be used with (RFC 8725 §3.1).
    only: Option<Algorithm>,
    kind: KeyKind,
    pub(super) material: DecodingKey,
}

/// A kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa,
    P256,
    P384,
    Ed25519,
    Secret,
}

/// A key of a set that verifies nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The place in the set, from 1.
    pub number: usize,
    /// The reason.
    pub why: Unusable,
}

/// A reason to pass over a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// A `kty` or `crv` that is not known here, such as P-521.
    #[error("its kind is not known here")]
    Kind,
    /// A `use` other than `sig`, or `key_ops` without `verify`.
    #[error("it is not meant to verify signatures")]
    Use,
    /// An `alg` that is not known here, or that the kind of key has not.
    #[error("its algorithm is not known here, or not one of its kind")]
    Algorithm,
    /// Numbers that are missing, are not base64url, or have the wrong size.
    #[error("its numbers cannot be read")]
    Numbers,
    /// An RSA key of fewer than 2048 bits, or of more than 8192.
    #[error("it has fewer than 2048 or more than 8192 bits")]
    Size,
    /// A secret in a key set that is fetched.
    #[error("it is a secret, and those are taken from files alone")]
    Secret,
    /// No object, or members of the wrong type.
    #[error("it is no JSON Web Key")]
    Form,
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
            let key = member.as_object().ok_or(Unusable::Form);
            match key.and_then(|member| Key::of_json(member, origin)) {
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
        self.keys
            .iter()
            .any(|key| key.id.as_deref().is_none_or(|own| own == id))
    }

    /// The keys to try for a token: those with its `kid`, else those without one; all if the token has none.
    pub(super) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        let is_named = id.is_some_and(|id| self.keys.iter().any(|key| key.id.as_deref() == Some(id)));
        self.keys.iter().filter(move |key| {
            let fits = match id {
                None => true,
                Some(id) if is_named => key.id.as_deref() == Some(id),
                Some(_) => key.id.is_none(),
            };
            fits && key.verifies(algorithm)
        })
    }
}

impl Key {
    pub(super) fn of_pem(kind: KeyKind, material: DecodingKey) -> Self {
        Self {
            id: None,
            only: None,
            kind,
            material,
        }
    }

    /// The key of a JSON Web Key. Private parts are not looked at.
    fn of_json(member: &Map<String, Value>, origin: Origin) -> Result<Self, Unusable> {
        let text = |name: &str| match member.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(&**text)),
            Some(_) => Err(Unusable::Form),
        };
        if text("use")?.is_some_and(|usage| usage != "sig") {
            return Err(Unusable::Use);
        }
        if let Some(operations) = member.get("key_ops") {
            let operations = operations.as_array().ok_or(Unusable::Form)?;
            if !operations.iter().any(|operation| operation == "verify") {
                return Err(Unusable::Use);
            }
        }
        let number = |name: &str| {
            let text = text(name)?.ok_or(Unusable::Numbers)?;
            URL_SAFE_NO_PAD.decode(text).map_err(|_| Unusable::Numbers)
        };
        let (kind, material) = match (text("kty")?, text("crv")?) {
            (Some("RSA"), _) => {
                let (modulus, exponent) = (number("n")?, number("e")?);
                (KeyKind::Rsa, rsa(&modulus, &exponent)?)
            }
            (Some("EC"), Some("P-256")) => (KeyKind::P256, point(&number("x")?, &number("y")?, 32)?),
            (Some("EC"), Some("P-384")) => (KeyKind::P384, point(&number("x")?, &number("y")?, 48)?),
            (Some("OKP"), Some("Ed25519")) => {
                let public = number("x")?;
                if public.len() != 32 {
                    return Err(Unusable::Numbers);
                }
                (KeyKind::Ed25519, DecodingKey::from_ed_der(&public))
            }
            (Some("oct"), _) if origin == Origin::Url => return Err(Unusable::Secret),
            (Some("oct"), _) => {
                let secret = number("k")?;
                if secret.is_empty() {
                    return Err(Unusable::Numbers);
                }
                (KeyKind::Secret, DecodingKey::from_secret(&secret))
            }
            (Some(_), _) => return Err(Unusable::Kind),
            (None, _) => return Err(Unusable::Form),
        };
        let only = match text("alg")? {
            None => None,
            Some(name) => Some(Algorithm::named(name).ok_or(Unusable::Algorithm)?),
        };
        if only.is_some_and(|only| KeyKind::of(only) != kind) {
            return Err(Unusable::Algorithm);
        }
        Ok(Self {
            id: text("kid")?.map(Into::into),
            only,
            kind,
            material,
        })
    }

    /// Returns true if it may be used with `algorithm`: the kind of key says, not the token (RFC 8725 §3.1).
    fn verifies(&self, algorithm: Algorithm) -> bool {
        KeyKind::of(algorithm) == self.kind && self.only.is_none_or(|only| only == algorithm)
    }
}

impl KeyKind {
    /// The kind of key that an algorithm needs.
    fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => Self::Rsa,
            Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => Self::Rsa,
            Algorithm::Es256 => Self::P256,
            Algorithm::Es384 => Self::P384,
            Algorithm::EdDsa => Self::Ed25519,
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => Self::Secret,
        }
    }
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<DecodingKey, Unusable> {
    let modulus = without_zeros(modulus);
    check_rsa(modulus, exponent)?;
    Ok(DecodingKey::from_rsa_raw_components(
        modulus,
        without_zeros(exponent),
    ))
}

/// Checks the numbers of an RSA key.
pub(super) fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), Unusable> {
    let modulus = without_zeros(modulus);
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(Unusable::Size);
    }
    // An exponent of 1 makes every text its own signature.
    let exponent = without_zeros(exponent);
    if exponent.len() > 8 || matches!(exponent, [] | [1]) || exponent.last().is_none_or(|last| last % 2 == 0)
    {
        return Err(Unusable::Numbers);
    }
    Ok(())
}

/// The key of a point in coordinates of `size` bytes, uncompressed as the library takes it.
fn point(x: &[u8], y: &[u8], size: usize) -> Result<DecodingKey, Unusable> {
    if x.len() != size || y.len() != size {
        return Err(Unusable::Numbers);
    }
    Ok(DecodingKey::from_ec_der(&[&[4], x, y].concat()))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests;
