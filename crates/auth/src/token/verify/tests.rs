//! Tokens of every kind, and attacks on them.

use std::sync::LazyLock;

use jsonwebtoken::Algorithm as Library;
use rcgen::PublicKeyData as _;

use super::*;
use crate::token::key_set::Origin;
use crate::token::testing::{Signer, base64, token_by_secret};

const NOW: u64 = 1_800_000_000;

static RSA: LazyLock<Signer> = LazyLock::new(Signer::rsa);
static P256: LazyLock<Signer> = LazyLock::new(Signer::p256);
static P384: LazyLock<Signer> = LazyLock::new(Signer::p384);
static ED25519: LazyLock<Signer> = LazyLock::new(Signer::ed25519);

fn rules() -> TokenRules {
    TokenRules {
        issuer: Some("https://id.example.com".into()),
        audience: ["shop".into(), "till".into()].into(),
        algorithms: Algorithm::defaults(),
        leeway: Duration::from_secs(30),
        require_exp: true,
    }
}

fn set(keys: &[String]) -> KeySet {
    let text = format!(r#"{{"keys":[{}]}}"#, keys.join(","));
    KeySet::parse(text.as_bytes(), Origin::File).unwrap()
}

fn ed_set() -> KeySet {
    set(&[ED25519.jwk(r#","kid":"k1""#)])
}

fn verify_at(token: &[u8], rules: &TokenRules, keys: &KeySet, now: f64) -> Result<Verified, Refusal> {
    let verified = verify(token, &rules.algorithms, keys)?;
    verified.check(rules, Duration::from_secs_f64(now))?;
    Ok(verified)
}

fn verify_now(token: &str, rules: &TokenRules, keys: &KeySet) -> Result<Verified, Refusal> {
    verify_at(token.as_bytes(), rules, keys, NOW as f64)
}

/// Claims that are accepted, with these more.
fn good(more: &str) -> String {
    format!(
        r#"{{"iss":"https://id.example.com","aud":"shop","sub":"ann","exp":{}{more}}}"#,
        NOW + 60
    )
}

fn check(token: &str, expected: Result<(), Refusal>) {
    let found = verify_now(token, &rules(), &ed_set()).map(|_| ());
    assert_eq!(found, expected, "{}", token.get(..200).unwrap_or(token));
}

/// Checks a genuine token of this head.
fn check_head(head: &str, expected: Result<(), Refusal>) {
    check(&ED25519.token(Library::EdDSA, head, &good("")), expected);
}

/// Checks a genuine token of these claims.
fn check_claims(claims: &str, expected: Result<(), Refusal>) {
    check(
        &ED25519.token(Library::EdDSA, r#"{"alg":"EdDSA","kid":"k1"}"#, claims),
        expected,
    );
}

#[test]
fn every_algorithm_verifies_with_its_own_kind_of_key() {
    let signers = [
        (&*RSA, Library::RS256),
        (&*RSA, Library::RS384),
        (&*RSA, Library::RS512),
        (&*RSA, Library::PS256),
        (&*RSA, Library::PS384),
        (&*RSA, Library::PS512),
        (&*P256, Library::ES256),
        (&*P384, Library::ES384),
        (&*ED25519, Library::EdDSA),
    ];
    let every = set(&[RSA.jwk(""), P256.jwk(""), P384.jwk(""), ED25519.jwk("")]);
    for (signer, algorithm) in signers {
        let head = format!(r#"{{"alg":"{algorithm:?}"}}"#);
        let token = signer.token(algorithm, &head, &good(""));
        let found = verify_now(&token, &rules(), &every).unwrap();
        assert_eq!(found.claims().text("sub").unwrap(), "ann");
        // Alone, its key is enough, as PEM too.
        for text in [signer.jwk(""), signer.pair.public_key_pem()] {
            let own = KeySet::parse(text.as_bytes(), Origin::File).unwrap();
            assert!(verify_now(&token, &rules(), &own).is_ok(), "{head} with {text}");
        }
        // Another algorithm in the head is another signature, or no key.
        for (_, other) in signers.into_iter().filter(|(_, other)| *other != algorithm) {
            let head = format!(r#"{{"alg":"{other:?}"}}"#);
            let token = signer.token(algorithm, &head, &good(""));
            assert_eq!(
                verify_now(&token, &rules(), &every).err(),
                Some(Refusal::Signature),
                "{head}"
            );
        }
        // It has to be in the list.
        let narrow = TokenRules {
            algorithms: rules()
                .algorithms
                .iter()
                .copied()
                .filter(|own| own.name() != format!("{algorithm:?}"))
                .collect(),
            ..rules()
        };
        assert_eq!(
            verify_now(&token, &narrow, &every).err(),
            Some(Refusal::Algorithm)
        );
    }
}

#[test]
fn a_public_key_is_never_a_secret() {
    let with_secrets = TokenRules {
        algorithms: Algorithm::ALL.into(),
        ..rules()
    };
    for signer in [&*RSA, &*P256, &*P384, &*ED25519] {
        let pem = signer.pair.public_key_pem();
        let jwk = signer.jwk("");
        let der = signer.pair.subject_public_key_info();
        let secrets: [&[u8]; 5] = [
            pem.as_bytes(),
            pem.trim_end().as_bytes(),
            &der,
            jwk.as_bytes(),
            b"",
        ];
        for secret in secrets {
            for (name, algorithm) in [
                ("HS256", Library::HS256),
                ("HS384", Library::HS384),
                ("HS512", Library::HS512),
            ] {
                let head = format!(r#"{{"alg":"{name}"}}"#);
                let token = token_by_secret(secret, algorithm, &head, &good(""));
                for text in [&pem, &jwk] {
                    let keys = KeySet::parse(text.as_bytes(), Origin::File).unwrap();
                    assert_eq!(
                        verify_now(&token, &rules(), &keys).err(),
                        Some(Refusal::Algorithm)
                    );
                    assert_eq!(
                        verify_now(&token, &with_secrets, &keys).err(),
                        Some(Refusal::NoKey)
                    );
                }
            }
        }
    }
}

#[test]
fn a_secret_verifies_where_it_is_asked_for() {
    let secret = b"a secret that is long enough for all";
    let keys = set(&[
        format!(r#"{{"kty":"oct","k":"{}"}}"#, base64(secret)),
        RSA.jwk(""),
    ]);
    let token = token_by_secret(secret, Library::HS256, r#"{"alg":"HS256"}"#, &good(""));
    assert_eq!(
        verify_now(&token, &rules(), &keys).err(),
        Some(Refusal::Algorithm)
    );
    let rules = TokenRules {
        algorithms: [Algorithm::Hs256].into(),
        ..rules()
    };
    assert!(verify_now(&token, &rules, &keys).is_ok());
    let forged = token_by_secret(b"another", Library::HS256, r#"{"alg":"HS256"}"#, &good(""));
    assert_eq!(verify_now(&forged, &rules, &keys).err(), Some(Refusal::Signature));
    let other = token_by_secret(secret, Library::HS384, r#"{"alg":"HS384"}"#, &good(""));
    assert_eq!(verify_now(&other, &rules, &keys).err(), Some(Refusal::Algorithm));
}

#[test]
fn an_algorithm_has_one_spelling_and_none_is_none() {
    for (head, expected) in [
        (r#"{"alg":"EdDSA"}"#, Ok(())),
        (r#"{"alg":"eddsa"}"#, Err(Refusal::Algorithm)),
        (r#"{"alg":"EDDSA"}"#, Err(Refusal::Algorithm)),
        (r#"{"alg":"EdDSA "}"#, Err(Refusal::Algorithm)),
        (r#"{"alg":"none"}"#, Err(Refusal::Algorithm)),
        (r#"{"alg":"None"}"#, Err(Refusal::Algorithm)),
        (r#"{"alg":"NONE"}"#, Err(Refusal::Algorithm)),
        (r#"{"alg":"nOnE"}"#, Err(Refusal::Algorithm)),
        (r#"{"alg":""}"#, Err(Refusal::Algorithm)),
        (r#"{"alg":"ES512"}"#, Err(Refusal::Algorithm)),
        (r#"{"alg":"HS256"}"#, Err(Refusal::Algorithm)),
        (r#"{"alg":null}"#, Err(Refusal::Malformed)),
        (r#"{"alg":["EdDSA"]}"#, Err(Refusal::Malformed)),
        (r#"{"alg":0}"#, Err(Refusal::Malformed)),
        (r#"{}"#, Err(Refusal::Malformed)),
        (r#"{"typ":"JWT"}"#, Err(Refusal::Malformed)),
        (r#"{"ALG":"EdDSA"}"#, Err(Refusal::Malformed)),
    ] {
        check_head(head, expected);
        let unsigned = format!("{}.{}.", base64(head), base64(good("")));
        assert!(verify_now(&unsigned, &rules(), &ed_set()).is_err(), "{head}");
    }
}

#[test]
fn the_head_selects_a_key_and_brings_none() {
    let foreign = Signer::ed25519();
    let forged = |head: &str| foreign.token(Library::EdDSA, head, &good(""));
    let own = foreign.jwk("");
    for head in [
        format!(r#"{{"alg":"EdDSA","jwk":{own}}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"k1","jwk":{own}}}"#),
        r#"{"alg":"EdDSA","jku":"https://evil.test/jwks.json"}"#.to_owned(),
        r#"{"alg":"EdDSA","kid":"k1","jku":"https://id.example.com@evil.test/"}"#.to_owned(),
        r#"{"alg":"EdDSA","x5u":"https://evil.test/chain.pem"}"#.to_owned(),
        r#"{"alg":"EdDSA","x5c":["MIIB"]}"#.to_owned(),
    ] {
        check(&forged(&head), Err(Refusal::Signature));
    }
    // A genuine token is not refused for them.
    check_head(
        &format!(r#"{{"alg":"EdDSA","jku":"https://evil.test","x5u":7,"x5c":[],"jwk":{own}}}"#),
        Ok(()),
    );
}

#[test]
fn a_kid_is_compared_and_nothing_else() {
    for kid in [
        "k2",
        "K1",
        "k1 ",
        "",
        "../../../dev/null",
        "/dev/null",
        "' OR '1'='1",
        "k1' UNION SELECT 'x",
        "https://evil.test/key",
        "k1\\u0000",
        "*",
        "$(id)",
    ] {
        check_head(
            &format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#),
            Err(Refusal::UnknownKey),
        );
    }
    check_head(r#"{"alg":"EdDSA","kid":"k1"}"#, Ok(()));
    check_head(r#"{"alg":"EdDSA","kid":"\u006b1"}"#, Ok(()));
    check_head(r#"{"alg":"EdDSA"}"#, Ok(()));
    for kid in ["1", "null", r#"["k1"]"#, r#"{"k1":1}"#, "true"] {
        check_head(
            &format!(r#"{{"alg":"EdDSA","kid":{kid}}}"#),
            Err(Refusal::Malformed),
        );
    }
}

#[test]
fn a_key_verifies_what_it_is_meant_for() {
    let token = |head: &str| RSA.token(Library::PS256, head, &good(""));
    let with_id = token(r#"{"alg":"PS256","kid":"a"}"#);
    let without = token(r#"{"alg":"PS256"}"#);
    for (key, by_id, by_none) in [
        (RSA.jwk(""), Ok(()), Ok(())),
        (RSA.jwk(r#","kid":"a""#), Ok(()), Ok(())),
        (RSA.jwk(r#","kid":"b""#), Err(Refusal::UnknownKey), Ok(())),
        (RSA.jwk(r#","kid":"a","alg":"PS256""#), Ok(()), Ok(())),
        (
            RSA.jwk(r#","kid":"a","alg":"RS256""#),
            Err(Refusal::NoKey),
            Err(Refusal::NoKey),
        ),
        (
            RSA.jwk(r#","kid":"a","use":"sig","key_ops":["verify"]"#),
            Ok(()),
            Ok(()),
        ),
        (
            P256.jwk(r#","kid":"a""#),
            Err(Refusal::NoKey),
            Err(Refusal::NoKey),
        ),
    ] {
        let keys = set(std::slice::from_ref(&key));
        assert_eq!(verify_now(&with_id, &rules(), &keys).map(|_| ()), by_id, "{key}");
        assert_eq!(
            verify_now(&without, &rules(), &keys).map(|_| ()),
            by_none,
            "{key}"
        );
    }
    // Of several keys with one kid, the one of the right kind counts, wherever it stands.
    let keys = set(&[
        P256.jwk(r#","kid":"a""#),
        Signer::rsa().jwk(r#","kid":"a""#),
        RSA.jwk(r#","kid":"a""#),
    ]);
    assert!(verify_now(&with_id, &rules(), &keys).is_ok());
}

#[test]
fn a_token_without_kid_is_tried_with_a_few_keys() {
    let mut keys: Vec<String> = (0..TRIES_MAX - 1).map(|_| Signer::ed25519().jwk("")).collect();
    keys.push(ED25519.jwk(""));
    let token = ED25519.token(Library::EdDSA, r#"{"alg":"EdDSA"}"#, &good(""));
    assert!(verify_now(&token, &rules(), &set(&keys)).is_ok());
    keys.insert(0, Signer::ed25519().jwk(""));
    assert_eq!(
        verify_now(&token, &rules(), &set(&keys)).err(),
        Some(Refusal::Signature)
    );
}

#[test]
fn crit_is_refused_whatever_it_lists() {
    for crit in [
        r#"["exp"]"#,
        r#"["b64"]"#,
        r#"["alg"]"#,
        "[]",
        "null",
        "true",
        r#""exp""#,
        "{}",
    ] {
        check_head(
            &format!(r#"{{"alg":"EdDSA","crit":{crit},"exp":1,"b64":true}}"#),
            Err(Refusal::Critical),
        );
    }
}

#[test]
fn claims_are_encoded() {
    for (b64, expected) in [
        ("true", Ok(())),
        ("false", Err(Refusal::Critical)),
        ("null", Err(Refusal::Critical)),
        ("0", Err(Refusal::Critical)),
        (r#""false""#, Err(Refusal::Critical)),
    ] {
        check_head(&format!(r#"{{"alg":"EdDSA","b64":{b64}}}"#), expected);
    }
}

#[test]
fn a_token_has_one_spelling() {
    let token = ED25519.token(Library::EdDSA, r#"{"alg":"EdDSA","kid":"k1"}"#, &good(""));
    check(&token, Ok(()));
    let [head, claims, signature] = *token.split('.').collect::<Vec<_>>() else {
        panic!("three parts")
    };
    // The last character of 64 bytes has four bits left over: others decode alike if they are not looked at.
    let (body, last) = signature.split_at(signature.len() - 1);
    let next = char::from(last.as_bytes()[0] + 1);
    for variant in [
        format!(" {token}"),
        format!("{token} "),
        format!("{token}\t"),
        format!("{token}\n"),
        format!("{token}="),
        format!("{token}=="),
        format!("{head}=.{claims}.{signature}"),
        format!("{head}.{claims}=.{signature}"),
        format!("{head}.{claims}==.{signature}"),
        format!("{head}.{claims} .{signature}"),
        format!("{head} .{claims}.{signature}"),
        format!("{head}.{claims}"),
        format!("{head}.{claims}."),
        format!("{head}..{signature}"),
        format!(".{claims}.{signature}"),
        format!("{head}.{claims}.{signature}."),
        format!(".{head}.{claims}.{signature}"),
        format!("{head}.{claims}.{signature}.{signature}"),
        format!("{head}.{claims}.{signature}.{signature}.{signature}"),
        format!("{head}..{claims}.{signature}"),
        format!("{head}.{claims}.{body}{next}"),
        format!("{head}.{claims}.{body}"),
        format!("{head}.{claims}.{signature}A"),
        format!("{head}.{claims}.{signature}AAAA"),
        format!("{claims}.{head}.{signature}"),
        format!("{head}.{head}.{signature}"),
        token.replace('.', "%2E"),
        format!("\"{token}\""),
        format!("Bearer {token}"),
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "a.b.c".to_owned(),
        "\u{feff}".to_owned() + &token,
    ] {
        let found = verify_now(&variant, &rules(), &ed_set());
        assert!(
            matches!(found, Err(Refusal::Malformed | Refusal::Signature)),
            "{variant}: {found:?}"
        );
    }
    assert!(verify_at(b"\xff.\xfe.\xfd", &rules(), &ed_set(), NOW as f64).is_err());
    // The alphabet of ordinary base64 is not that of tokens.
    let head = r#"{"alg":"EdDSA","x":"???>>>"}"#;
    let plain = base64::engine::general_purpose::STANDARD_NO_PAD.encode(head);
    assert!(plain.contains(['+', '/']));
    check(
        &ED25519.sign(Library::EdDSA, &format!("{plain}.{}", base64(good("")))),
        Err(Refusal::Malformed),
    );
    // Nor are bits left over, though the signature covers them: `IA` is a blank, and so might be `IB`.
    let mut claims = good("") + " ";
    while claims.len() % 3 != 1 {
        claims.push(' ');
    }
    let claims = base64(claims);
    let changed = claims
        .strip_suffix("IA")
        .expect("a blank alone in the last group")
        .to_owned()
        + "IB";
    let head = base64(r#"{"alg":"EdDSA"}"#);
    check(&ED25519.sign(Library::EdDSA, &format!("{head}.{claims}")), Ok(()));
    check(
        &ED25519.sign(Library::EdDSA, &format!("{head}.{changed}")),
        Err(Refusal::Malformed),
    );
}

#[test]
fn a_member_that_stands_twice_is_refused() {
    for head in [
        r#"{"alg":"EdDSA","alg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","alg":"none"}"#,
        r#"{"alg":"none","alg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","\u0061lg":"none"}"#,
        r#"{"alg":"EdDSA","kid":"k1","kid":"k2"}"#,
        r#"{"alg":"EdDSA","x":{"y":1,"y":2}}"#,
    ] {
        check_head(head, Err(Refusal::Malformed));
    }
    for more in [
        r#","sub":"eve""#,
        r#","exp":9999999999"#,
        r#","x":{"y":1,"y":1}"#,
        r#","s\u0075b":"eve""#,
    ] {
        check_claims(&good(more), Err(Refusal::Malformed));
    }
    check_claims(&good(r#","x":{"sub":1,"exp":2}"#), Ok(()));
}

#[test]
fn what_is_no_object_or_too_deep_or_too_long_is_refused() {
    let deep = |levels: usize| good(&format!(r#","x":{}{}"#, "[".repeat(levels), "]".repeat(levels)));
    check_claims(&deep(15), Ok(()));
    check_claims(&deep(16), Err(Refusal::Malformed));
    check_claims(&deep(5_000), Err(Refusal::Malformed));
    let inner = ED25519.token(Library::EdDSA, r#"{"alg":"EdDSA"}"#, &good(""));
    // A token in a token (RFC 7519 §5.2) is not unpacked.
    for claims in [&*inner, "[]", "null", "1", "\"x\"", "", " ", "{", "\0"] {
        check_claims(claims, Err(Refusal::Malformed));
        check(
            &ED25519.token(Library::EdDSA, r#"{"alg":"EdDSA","cty":"JWT"}"#, claims),
            Err(Refusal::Malformed),
        );
    }
    for head in ["[]", "null", "\"EdDSA\"", "", "{\"alg\":\"EdDSA\"}x"] {
        check_head(head, Err(Refusal::Malformed));
    }
    // In bytes of the token, of which claims have three quarters.
    let padded = |bytes: usize| {
        let token = ED25519.token(Library::EdDSA, r#"{"alg":"EdDSA"}"#, &good(r#","x":"""#));
        let more = (bytes - token.len()) / 4 * 3;
        ED25519.token(
            Library::EdDSA,
            r#"{"alg":"EdDSA"}"#,
            &good(&format!(r#","x":"{}""#, "x".repeat(more))),
        )
    };
    let fits = padded(BYTES_MAX - 8);
    assert!(fits.len() <= BYTES_MAX);
    check(&fits, Ok(()));
    check(&padded(BYTES_MAX + 8), Err(Refusal::TooLong));
    check(&"x".repeat(10 << 20), Err(Refusal::TooLong));
}

#[test]
fn issuer_and_audience_are_compared_whole() {
    let claims =
        |issuer: &str, audience: &str| format!(r#"{{{issuer}{audience}"sub":"ann","exp":{}}}"#, NOW + 60);
    let issuer = r#""iss":"https://id.example.com","#;
    let audience = r#""aud":"shop","#;
    for (issuer, expected) in [
        (issuer, Ok(())),
        ("", Err(Refusal::Issuer)),
        (r#""iss":"https://id.example.com/","#, Err(Refusal::Issuer)),
        (r#""iss":"HTTPS://ID.EXAMPLE.COM","#, Err(Refusal::Issuer)),
        (
            r#""iss":"https://id.example.com.evil.test","#,
            Err(Refusal::Issuer),
        ),
        (
            r#""iss":"https://evil.test/https://id.example.com","#,
            Err(Refusal::Issuer),
        ),
        (r#""iss":"","#, Err(Refusal::Issuer)),
        (r#""iss":null,"#, Err(Refusal::ClaimType("iss"))),
        (
            r#""iss":["https://id.example.com"],"#,
            Err(Refusal::ClaimType("iss")),
        ),
    ] {
        check_claims(&claims(issuer, audience), expected);
    }
    for (audience, expected) in [
        (audience, Ok(())),
        (r#""aud":"till","#, Ok(())),
        (r#""aud":["shop"],"#, Ok(())),
        (r#""aud":["other","till"],"#, Ok(())),
        ("", Err(Refusal::Audience)),
        (r#""aud":[],"#, Err(Refusal::Audience)),
        (r#""aud":"","#, Err(Refusal::Audience)),
        (r#""aud":"Shop","#, Err(Refusal::Audience)),
        (r#""aud":"shop till","#, Err(Refusal::Audience)),
        (r#""aud":"shop,till","#, Err(Refusal::Audience)),
        (r#""aud":"shopper","#, Err(Refusal::Audience)),
        (r#""aud":["other"],"#, Err(Refusal::Audience)),
        (r#""aud":["shop",7],"#, Err(Refusal::ClaimType("aud"))),
        (r#""aud":{"shop":true},"#, Err(Refusal::ClaimType("aud"))),
        (r#""aud":[["shop"]],"#, Err(Refusal::ClaimType("aud"))),
        (r#""aud":null,"#, Err(Refusal::ClaimType("aud"))),
    ] {
        check_claims(&claims(issuer, audience), expected);
    }
    let any = TokenRules {
        issuer: None,
        audience: [].into(),
        ..rules()
    };
    let token = ED25519.token(Library::EdDSA, r#"{"alg":"EdDSA"}"#, &claims("", ""));
    assert!(verify_now(&token, &any, &ed_set()).is_ok());
    check_claims(&good("").replace(r#""ann""#, "7"), Err(Refusal::ClaimType("sub")));
}

#[test]
fn times_count_to_the_second_and_beyond() {
    let claims = |times: &str| format!(r#"{{"iss":"https://id.example.com","aud":"shop"{times}}}"#);
    let token = |times: &str| ED25519.token(Library::EdDSA, r#"{"alg":"EdDSA"}"#, &claims(times));
    let now = NOW as f64;
    for (times, now, expected) in [
        (r#","exp":1800000000"#, now - 1.0, Ok(())),
        // The leeway is 30 s, and its end is out.
        (r#","exp":1800000000"#, now + 29.999, Ok(())),
        (r#","exp":1800000000"#, now + 30.0, Err(Refusal::Expired)),
        (r#","exp":1800000000.5"#, now + 30.25, Ok(())),
        (r#","exp":1800000000.5"#, now + 30.5, Err(Refusal::Expired)),
        (r#","exp":1.8e9"#, now + 29.0, Ok(())),
        (r#","exp":1.8E+9"#, now + 31.0, Err(Refusal::Expired)),
        (r#","exp":0"#, now, Err(Refusal::Expired)),
        (r#","exp":-1"#, now, Err(Refusal::Expired)),
        (r#","exp":-0"#, now, Err(Refusal::Expired)),
        (r#","exp":-1e300"#, now, Err(Refusal::Expired)),
        (r#","exp":1e300"#, now, Ok(())),
        (r#","exp":9223372036854775807"#, now, Ok(())),
        (r#","exp":18446744073709551615"#, now, Ok(())),
        (r#","exp":18446744073709551616"#, now, Ok(())),
        (r#","exp":99999999999999999999999999"#, now, Ok(())),
        (r#","exp":1e400"#, now, Err(Refusal::Malformed)),
        (r#","exp":NaN"#, now, Err(Refusal::Malformed)),
        (r#","exp":Infinity"#, now, Err(Refusal::Malformed)),
        (r#","exp":0x7fffffff"#, now, Err(Refusal::Malformed)),
        (r#","exp":"9999999999""#, now, Err(Refusal::ClaimType("exp"))),
        (r#","exp":null"#, now, Err(Refusal::ClaimType("exp"))),
        (r#","exp":true"#, now, Err(Refusal::ClaimType("exp"))),
        (r#","exp":[9999999999]"#, now, Err(Refusal::ClaimType("exp"))),
        (r#","exp":{}"#, now, Err(Refusal::ClaimType("exp"))),
        ("", now, Err(Refusal::NoExpiry)),
        (r#","EXP":9999999999"#, now, Err(Refusal::NoExpiry)),
        (r#","exp":9999999999,"nbf":1800000000"#, now - 30.0, Ok(())),
        (
            r#","exp":9999999999,"nbf":1800000000"#,
            now - 30.001,
            Err(Refusal::NotYet),
        ),
        (r#","exp":9999999999,"nbf":1800000000.5"#, now - 29.5, Ok(())),
        (r#","exp":9999999999,"nbf":1e300"#, now, Err(Refusal::NotYet)),
        (r#","exp":9999999999,"nbf":-5"#, now, Ok(())),
        (
            r#","exp":9999999999,"nbf":"1""#,
            now,
            Err(Refusal::ClaimType("nbf")),
        ),
        (
            r#","exp":9999999999,"nbf":null"#,
            now,
            Err(Refusal::ClaimType("nbf")),
        ),
        (r#","exp":9999999999,"iat":9999999999"#, now, Ok(())),
        (r#","exp":1,"nbf":9999999999"#, now, Err(Refusal::NotYet)),
    ] {
        let found = verify_at(token(times).as_bytes(), &rules(), &ed_set(), now);
        assert_eq!(found.map(|_| ()), expected, "{times} at {now}");
    }
    let lasting = TokenRules {
        require_exp: false,
        leeway: Duration::ZERO,
        ..rules()
    };
    assert!(verify_now(&token(""), &lasting, &ed_set()).is_ok());
    for (times, now, expected) in [
        (r#","exp":1800000000"#, now, Err(Refusal::Expired)),
        (r#","exp":1800000000"#, now - 0.001, Ok(())),
        (r#","exp":null"#, now, Err(Refusal::ClaimType("exp"))),
    ] {
        let found = verify_at(token(times).as_bytes(), &lasting, &ed_set(), now);
        assert_eq!(found.map(|_| ()), expected, "{times} at {now}");
    }
}

#[test]
fn every_changed_character_is_noticed() {
    let token = ED25519.token(Library::EdDSA, r#"{"alg":"EdDSA","kid":"k1"}"#, &good(""));
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let found = verify_at(&changed, &rules(), &ed_set(), NOW as f64);
        assert!(found.is_err(), "at {at}");
    }
}

#[test]
fn a_refusal_says_nothing_of_the_token() {
    for refusal in [Refusal::Signature, Refusal::Issuer, Refusal::ClaimType("exp")] {
        assert!(!refusal.to_string().contains("ann"));
    }
}

#[test]
fn a_token_that_is_remembered_is_checked_by_the_rules_that_ask() {
    let token = ED25519.token(Library::EdDSA, r#"{"alg":"EdDSA"}"#, &good(""));
    let verified = verify(token.as_bytes(), &rules().algorithms, &ed_set()).unwrap();
    let at = Duration::from_secs;
    assert_eq!(verified.check(&rules(), at(NOW)), Ok(()));
    assert_eq!(verified.check(&rules(), at(NOW + 90)), Err(Refusal::Expired));
    let others = TokenRules {
        audience: ["other".into()].into(),
        ..rules()
    };
    assert_eq!(verified.check(&others, at(NOW)), Err(Refusal::Audience));
    let narrow = TokenRules {
        algorithms: [Algorithm::Rs256].into(),
        ..rules()
    };
    assert_eq!(verified.check(&narrow, at(NOW)), Err(Refusal::Algorithm));
}
