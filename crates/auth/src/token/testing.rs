//! Keys and tokens for tests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PublicKeyData as _, RsaKeySize};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::RSAPublicKey;

/// A pair of keys.
pub(crate) struct Signer {
    pub(crate) pair: KeyPair,
    signs: EncodingKey,
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    pub(crate) fn rsa() -> Self {
        let pair = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let signs = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { pair, signs }
    }

    pub(crate) fn p256() -> Self {
        Self::ec(&rcgen::PKCS_ECDSA_P256_SHA256)
    }

    pub(crate) fn p384() -> Self {
        Self::ec(&rcgen::PKCS_ECDSA_P384_SHA384)
    }

    fn ec(kind: &'static rcgen::SignatureAlgorithm) -> Self {
        let pair = KeyPair::generate_for(kind).unwrap();
        let signs = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { pair, signs }
    }

    pub(crate) fn ed25519() -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let signs = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { pair, signs }
    }

    /// The public key as JSON Web Key, with these members more.
    pub(crate) fn jwk(&self, more: &str) -> String {
        let public = self.pair.der_bytes();
        let numbers = match public.len() {
            32 => format!(r#""kty":"OKP","crv":"Ed25519","x":"{}""#, base64(public)),
            65 | 97 => {
                let (curve, size) = if public.len() == 65 {
                    ("P-256", 32)
                } else {
                    ("P-384", 48)
                };
                let (x, y) = (base64(&public[1..=size]), base64(&public[1 + size..]));
                format!(r#""kty":"EC","crv":"{curve}","x":"{x}","y":"{y}""#)
            }
            _ => {
                let (_, public) = RSAPublicKey::from_der(public).unwrap();
                let modulus = base64(public.modulus.strip_prefix(&[0]).unwrap_or(public.modulus));
                format!(r#""kty":"RSA","n":"{modulus}","e":"{}""#, base64(public.exponent))
            }
        };
        format!("{{{numbers}{more}}}")
    }

    /// A token of this head and these claims.
    pub(crate) fn token(&self, algorithm: Algorithm, head: &str, claims: &str) -> String {
        let message = format!("{}.{}", base64(head), base64(claims));
        self.sign(algorithm, &message)
    }

    /// A token of a message that is base64url already.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &str) -> String {
        sign(&self.signs, algorithm, message)
    }
}

/// A token that is signed with a secret.
pub(crate) fn token_by_secret(secret: &[u8], algorithm: Algorithm, head: &str, claims: &str) -> String {
    let message = format!("{}.{}", base64(head), base64(claims));
    sign(&EncodingKey::from_secret(secret), algorithm, &message)
}

fn sign(key: &EncodingKey, algorithm: Algorithm, message: &str) -> String {
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}
