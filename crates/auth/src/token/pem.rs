//! Public keys and certificates in PEM. A public key is never a secret: there is no way from here to HMAC.

use std::str;

use jsonwebtoken::{AlgorithmFamily, DecodingKey};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::token::key::{Key, KeyKind, Unusable, check_rsa};

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// A reason to refuse a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PemError {
    /// There is no section in it.
    Absent,
    /// A section is no key, or is damaged.
    Damaged,
    /// A section is a private key.
    Private,
    /// A key cannot be used.
    Unusable(Unusable),
}

/// The keys in a text, in its order. Text between sections is passed over.
pub(super) fn keys(text: &[u8]) -> Result<Vec<Key>, PemError> {
    let mut rest = str::from_utf8(text).map_err(|_| PemError::Absent)?;
    let mut keys = Vec::new();
    while let Some(at) = rest.find(BEGIN) {
        let from = &rest[at..];
        let (label, _) = from[BEGIN.len()..].split_once(DASHES).ok_or(PemError::Damaged)?;
        let end = format!("-----END {label}-----");
        let length = from.find(&end).ok_or(PemError::Damaged)? + end.len();
        let (section, behind) = from.split_at(length);
        keys.push(key(label, section)?);
        rest = behind;
    }
    if keys.is_empty() {
        return Err(PemError::Absent);
    }
    Ok(keys)
}

fn key(label: &str, section: &str) -> Result<Key, PemError> {
    let material = match label {
        "CERTIFICATE" => of_certificate(section)?,
        "PUBLIC KEY" | "RSA PUBLIC KEY" => {
            let bytes = section.as_bytes();
            DecodingKey::from_rsa_pem(bytes)
                .or_else(|_| DecodingKey::from_ec_pem(bytes))
                .or_else(|_| DecodingKey::from_ed_pem(bytes))
                .map_err(|_| PemError::Damaged)?
        }
        label if label.ends_with("PRIVATE KEY") => return Err(PemError::Private),
        _ => return Err(PemError::Damaged),
    };
    let kind = kind(&material)?;
    Ok(Key::of_pem(kind, material))
}

/// The key of a certificate. Its dates and its issuer say nothing here: the operator has named the file.
fn of_certificate(section: &str) -> Result<DecodingKey, PemError> {
    let (_, pem) = parse_x509_pem(section.as_bytes()).map_err(|_| PemError::Damaged)?;
    let certificate = pem.parse_x509().map_err(|_| PemError::Damaged)?;
    let public: &SubjectPublicKeyInfo<'_> = certificate.public_key();
    let bytes = &public.subject_public_key.data;
    match &*public.algorithm.algorithm.to_id_string() {
        "1.2.840.113549.1.1.1" => Ok(DecodingKey::from_rsa_der(bytes)),
        "1.2.840.10045.2.1" => Ok(DecodingKey::from_ec_der(bytes)),
        "1.3.101.112" => Ok(DecodingKey::from_ed_der(bytes)),
        _ => Err(PemError::Unusable(Unusable::Kind)),
    }
}

fn kind(material: &DecodingKey) -> Result<KeyKind, PemError> {
    let bytes = material.try_get_as_bytes().map_err(|_| PemError::Damaged)?;
    match (material.family(), bytes.len()) {
        (AlgorithmFamily::Rsa, _) => {
            let (_, public) = RSAPublicKey::from_der(bytes).map_err(|_| PemError::Damaged)?;
            check_rsa(public.modulus, public.exponent).map_err(PemError::Unusable)?;
            Ok(KeyKind::Rsa)
        }
        (AlgorithmFamily::Ec, 65) => Ok(KeyKind::P256),
        (AlgorithmFamily::Ec, 97) => Ok(KeyKind::P384),
        (AlgorithmFamily::Ed, 32) => Ok(KeyKind::Ed25519),
        _ => Err(PemError::Unusable(Unusable::Kind)),
    }
}
