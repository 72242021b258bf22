//! Keys that verify signatures, from JSON Web Keys (RFC 7517).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};
use waypost_plan::token::Algorithm;

/// The bits of the modulus of an RSA key, at least (RFC 7518 §3.3); and at most, as the library has it.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

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
    pub(super) fn of_json(member: &Map<String, Value>) -> Result<Self, Unusable> {
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

    /// The `kid`.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns true for a secret.
    pub(super) fn is_secret(&self) -> bool {
        self.kind == KeyKind::Secret
    }

    /// Returns true if it may be used with `algorithm`: the kind of key says, not the token (RFC 8725 §3.1).
    pub(super) fn verifies(&self, algorithm: Algorithm) -> bool {
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
