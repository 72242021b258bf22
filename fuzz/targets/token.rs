//! A token that is accepted is one for the library too, with the same claims, and has no other spelling. The first byte
//! says whether the rest is a token, or head and claims that are signed here, so that more than the signature is tried.

#![no_main]

use std::sync::LazyLock;

use jsonwebtoken::{DecodingKey, EncodingKey, Validation, decode};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use waypost_auth::basic::{self, Pair};
use waypost_auth::token::bearer;
use waypost_auth::token::key_set::{KeySet, Origin};
use waypost_auth::token::verify::verify;
use waypost_fuzz::base64url;
use waypost_plan::token::Algorithm;

const SECRET: &[u8] = b"a secret of the fuzz target, in bytes";

static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let text = format!(
        r#"{{"keys":[{{"kty":"oct","kid":"a","k":"{}"}},{{"kty":"OKP","crv":"Ed25519","kid":"b","x":"{}"}}]}}"#,
        base64url(SECRET),
        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    );
    KeySet::parse(text.as_bytes(), Origin::File).expect("two keys")
});

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else {
        return;
    };
    match kind % 4 {
        0 => check(rest),
        1 => {
            let parts: Vec<&[u8]> = rest.splitn(2, |byte| *byte == 0).collect();
            let [head, claims] = parts[..] else { return };
            let message = format!("{}.{}", base64url(head), base64url(claims));
            check(signed(&message).as_bytes());
        }
        2 => {
            let parsed = KeySet::parse(rest, Origin::File);
            // A secret is never taken from elsewhere, nor PEM; all else is the same.
            if let Ok(set) = KeySet::parse(rest, Origin::Url) {
                assert!(set.len() <= parsed.expect("a set in a file too").len());
            }
        }
        _ => header(rest),
    }
});

/// Checks the value of an `authorization` header.
fn header(value: &[u8]) {
    let token = bearer::of_authorization(value);
    let pair = basic::credentials(value);
    assert!(token.is_none() || pair.is_none(), "two schemes");
    if let Some(token) = token {
        assert!(value.ends_with(token) && !token.starts_with(b" "));
        check(token);
    }
    if let Some(Ok(pair)) = pair.map(Pair::parse) {
        assert!(!pair.name().contains(':'));
    }
}

fn signed(message: &str) -> String {
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256);
    format!("{message}.{}", signature.expect("a signature"))
}

fn check(token: &[u8]) {
    let Ok(verified) = verify(token, &Algorithm::ALL, &KEYS) else {
        return;
    };
    // Members of the head that are not looked at here have types there.
    if jsonwebtoken::decode_header(token).is_err() {
        return;
    }
    // Only the secret can have signed it here.
    let mut validation = Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_secret(SECRET);
    let theirs = decode::<Map<String, Value>>(token, &key, &validation);
    let theirs = theirs.expect("the library verifies it too").claims;
    let ours: Vec<(&str, &Value)> = verified.claims().iter().collect();
    assert_eq!(ours.len(), theirs.len());
    for (name, value) in ours {
        assert_eq!(theirs.get(name), Some(value), "{name}");
    }
    let text = std::str::from_utf8(token).expect("a token is ASCII");
    for other in [
        format!("{text}="),
        format!(" {text}"),
        format!("{text}."),
        text.replacen('.', "=.", 1),
    ] {
        assert!(
            verify(other.as_bytes(), &Algorithm::ALL, &KEYS).is_err(),
            "{other}"
        );
    }
}
