//! Key sets as issuers and operators write them.

use super::*;
use crate::token::testing::{Signer, base64};

/// The number of keys that are used, and why others are not.
fn read(text: &str, origin: Origin) -> Result<(usize, Vec<Unusable>), KeySetError> {
    let set = KeySet::parse(text.as_bytes(), origin)?;
    let skipped = set.skipped().iter().map(|skipped| skipped.why).collect();
    Ok((set.len(), skipped))
}

fn of_keys(keys: &[&str]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

/// Checks a key in a set beside a good one.
fn check_key(key: &str, origin: Origin, expected: Result<(), Unusable>) {
    let good = Signer::ed25519().jwk("");
    let expected = match expected {
        Ok(()) => (2, vec![]),
        Err(why) => (1, vec![why]),
    };
    assert_eq!(read(&of_keys(&[&good, key]), origin), Ok(expected), "{key}");
}

#[test]
fn a_key_that_cannot_be_used_is_passed_over() {
    let (p256, ed25519) = (Signer::p256(), Signer::ed25519());
    for (key, expected) in [
        (p256.jwk(""), Ok(())),
        (
            p256.jwk(r#","use":"sig","alg":"ES256","kid":"a","x5t":"x""#),
            Ok(()),
        ),
        (p256.jwk(r#","key_ops":["sign","verify"]"#), Ok(())),
        (p256.jwk(r#","use":"enc""#), Err(Unusable::Use)),
        (p256.jwk(r#","use":"""#), Err(Unusable::Use)),
        (p256.jwk(r#","key_ops":["encrypt"]"#), Err(Unusable::Use)),
        (p256.jwk(r#","key_ops":[]"#), Err(Unusable::Use)),
        (p256.jwk(r#","key_ops":"verify""#), Err(Unusable::Form)),
        (p256.jwk(r#","alg":"ES384""#), Err(Unusable::Algorithm)),
        (p256.jwk(r#","alg":"HS256""#), Err(Unusable::Algorithm)),
        (p256.jwk(r#","alg":"none""#), Err(Unusable::Algorithm)),
        (p256.jwk(r#","alg":"ECDH-ES""#), Err(Unusable::Algorithm)),
        (p256.jwk(r#","alg":7"#), Err(Unusable::Form)),
        (p256.jwk(r#","kid":7"#), Err(Unusable::Form)),
        (p256.jwk("").replace("P-256", "P-384"), Err(Unusable::Numbers)),
        (p256.jwk("").replace("P-256", "P-521"), Err(Unusable::Kind)),
        (p256.jwk("").replace("P-256", "secp256k1"), Err(Unusable::Kind)),
        (
            p256.jwk("").replace(r#""x":""#, r#""x":"AA"#),
            Err(Unusable::Numbers),
        ),
        (p256.jwk("").replace(r#""x":"#, r#""z":"#), Err(Unusable::Numbers)),
        (ed25519.jwk("").replace("Ed25519", "X25519"), Err(Unusable::Kind)),
        (ed25519.jwk("").replace("Ed25519", "Ed448"), Err(Unusable::Kind)),
        (
            r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#.to_owned(),
            Err(Unusable::Numbers),
        ),
        (
            r#"{"kty":"AKP","alg":"ML-DSA-44"}"#.to_owned(),
            Err(Unusable::Kind),
        ),
        (r#"{"kty":"rsa"}"#.to_owned(), Err(Unusable::Kind)),
        ("{}".to_owned(), Err(Unusable::Form)),
        ("7".to_owned(), Err(Unusable::Form)),
        ("null".to_owned(), Err(Unusable::Form)),
    ] {
        for origin in [Origin::File, Origin::Url] {
            check_key(&key, origin, expected);
        }
    }
}

#[test]
fn an_rsa_key_has_2048_to_8192_bits_and_an_exponent() {
    let key = |first: u8, bytes: usize, exponent: &[u8]| {
        let mut modulus = vec![0xff; bytes];
        modulus[0] = first;
        format!(
            r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#,
            base64(modulus),
            base64(exponent)
        )
    };
    let usual = [1, 0, 1];
    for (key, expected) in [
        (key(0x80, 256, &usual), Ok(())),
        (key(0x7f, 256, &usual), Err(Unusable::Size)),
        (key(0x80, 128, &usual), Err(Unusable::Size)),
        (key(0, 257, &usual), Ok(())),
        (key(0, 256, &usual), Err(Unusable::Size)),
        (key(0xff, 1024, &usual), Ok(())),
        (key(0xff, 1025, &usual), Err(Unusable::Size)),
        (key(0x80, 256, &[3]), Ok(())),
        (key(0x80, 256, &[1]), Err(Unusable::Numbers)),
        (key(0x80, 256, &[0, 1]), Err(Unusable::Numbers)),
        (key(0x80, 256, &[2]), Err(Unusable::Numbers)),
        (key(0x80, 256, &[]), Err(Unusable::Numbers)),
        (key(0x80, 256, &[0]), Err(Unusable::Numbers)),
        (key(0x80, 256, &[0xff; 9]), Err(Unusable::Numbers)),
        (
            key(0x80, 256, &usual).replace("AQAB", "AQAB="),
            Err(Unusable::Numbers),
        ),
        (
            key(0x80, 256, &usual).replace(r#""n":"#, r#""m":"#),
            Err(Unusable::Numbers),
        ),
    ] {
        check_key(&key, Origin::Url, expected);
    }
}

#[test]
fn a_secret_comes_from_a_file_alone() {
    let secret = r#"{"kty":"oct","k":"c2VjcmV0"}"#;
    check_key(secret, Origin::File, Ok(()));
    check_key(secret, Origin::Url, Err(Unusable::Secret));
    check_key(r#"{"kty":"oct","k":""}"#, Origin::File, Err(Unusable::Numbers));
    assert_eq!(
        read(secret, Origin::Url),
        Err(KeySetError::NoKey(Some(Unusable::Secret)))
    );
    assert_eq!(read(secret, Origin::File), Ok((1, vec![])));
}

#[test]
fn a_set_is_one_object_of_bounded_size() {
    let good = Signer::ed25519().jwk("");
    let many = |count: usize| of_keys(&vec![&*good; count]);
    for (text, expected) in [
        (of_keys(&[&good]), Ok(1)),
        (format!("\n {}\n", of_keys(&[&good])), Ok(1)),
        (good.clone(), Ok(1)),
        (many(KEYS_MAX), Ok(KEYS_MAX)),
        (many(KEYS_MAX + 1), Err(KeySetError::TooMany)),
        (
            of_keys(&[&good]) + &" ".repeat(BYTES_MAX),
            Err(KeySetError::TooLarge),
        ),
        (of_keys(&[]), Err(KeySetError::NoKey(None))),
        ("{}".to_owned(), Err(KeySetError::Form)),
        (r#"{"keys":{}}"#.to_owned(), Err(KeySetError::Form)),
        (
            format!(r#"{{"keys":[{good}],"keys":[]}}"#),
            Err(KeySetError::Form),
        ),
        (format!("[{good}]"), Err(KeySetError::Form)),
        ("<html>".to_owned(), Err(KeySetError::Form)),
        (String::new(), Err(KeySetError::Form)),
        (of_keys(&["7"]), Err(KeySetError::NoKey(Some(Unusable::Form)))),
    ] {
        for origin in [Origin::File, Origin::Url] {
            let found = read(&text, origin).map(|(keys, _)| keys);
            assert_eq!(found, expected, "{}", text.get(..80).unwrap_or(&text));
        }
    }
}

#[test]
fn pem_has_public_keys_and_certificates() {
    let signers = [Signer::rsa(), Signer::p256(), Signer::p384(), Signer::ed25519()];
    let public: Vec<String> = signers
        .iter()
        .map(|signer| signer.pair.public_key_pem())
        .collect();
    let certificates: Vec<String> = signers
        .iter()
        .map(|signer| {
            let names = rcgen::CertificateParams::new(["id.example.com".to_owned()]).unwrap();
            names.self_signed(&signer.pair).unwrap().pem()
        })
        .collect();
    for text in public.iter().chain(&certificates) {
        assert_eq!(read(text, Origin::File), Ok((1, vec![])), "{text}");
        assert_eq!(read(text, Origin::Url), Err(KeySetError::Form), "{text}");
    }
    let all = format!("# keys\n{}and\n{}", public.concat(), certificates.concat());
    assert_eq!(read(&all, Origin::File), Ok((8, vec![])));
    let private = signers[1].pair.serialize_pem();
    let unusable = |why| KeySetError::NoKey(Some(why));
    for (text, expected) in [
        (private.clone(), KeySetError::Private),
        (public[0].clone() + &private, KeySetError::Private),
        (public[0].replace("END PUBLIC", "END"), KeySetError::Pem),
        (public[1].replace("PUBLIC KEY", "PARAMETERS"), KeySetError::Pem),
        (public[1].replace("PUBLIC KEY", "CERTIFICATE"), KeySetError::Pem),
        (certificates[1].replace("MII", "AII"), KeySetError::Pem),
        (SMALL_RSA.to_owned(), unusable(Unusable::Size)),
        ("-----BEGIN ".to_owned(), KeySetError::Pem),
        ("no pem".to_owned(), KeySetError::Form),
    ] {
        assert_eq!(read(&text, Origin::File), Err(expected), "{text}");
    }
}

/// A key of 1024 bits.
const SMALL_RSA: &str = "\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC7vbqajDw4o6gJy8UtmIbkcpnk
O3Kwc4qsEnSZp/TR+fQi62F79RHWmwKOtFmwteURgLbj7D/WGuNLGOfa/2vse3G2
eHnHl5CB8ruRX9fBl/KgwCVr2JaEuUm66bBQeP5XeBotdR4cvX38uPYivCDdPjJ1
QWPdspTBKcxeFbccDwIDAQAB
-----END PUBLIC KEY-----
";

#[test]
fn a_set_has_a_key_for_an_algorithm_that_is_accepted() {
    let set = || KeySet::parse(Signer::p256().jwk("").as_bytes(), Origin::File).unwrap();
    let fits = |algorithms: &[Algorithm]| set().check_algorithms(algorithms);
    assert_eq!(fits(&[Algorithm::Rs256, Algorithm::Es256]), Ok(()));
    assert_eq!(
        fits(&[Algorithm::Hs256, Algorithm::Es384]),
        Err(KeySetError::OtherAlgorithms)
    );
}
