//! The way of a token: `jwt` of `auth`.

use waypost_plan::auth::jwt::Jwt;
use waypost_plan::auth::{Place, Way};
use waypost_plan::token::{Algorithm, KeySource};

use super::*;

fn with(jwt: &str) -> String {
    format!("{BASE}routes:\n- {{ name: r, to: a, auth: {{ jwt: {{ {jwt} }} }} }}\n")
}

fn jwt(keys: &str) -> Jwt {
    let loaded = load_text(with(keys)).unwrap_or_else(|errors| panic!("{:?}", lines(&errors)));
    let auth = loaded.plan.auths().next().expect("an auth").clone();
    let [Way::Jwt(jwt)] = &*auth.ways else {
        panic!("{auth:?}")
    };
    jwt.clone()
}

#[test]
fn defaults_are_strict() {
    let found = jwt("keys: keys.json");
    assert_eq!(found.place, Place::Header("authorization".into()));
    assert_eq!(found.keys, KeySource::File("keys.json".into()));
    assert_eq!(found.rules.algorithms, Algorithm::defaults());
    assert_eq!(found.rules.leeway, std::time::Duration::from_secs(30));
    assert!(found.rules.require_exp && !found.forward);
    assert_eq!(&*found.groups, "groups");
}

#[test]
fn every_key_has_its_meaning() {
    let found = jwt(
        "issuer: https://id.example.com, audience: [shop, till], keys: \"https://id.example.com/jwks.json\", \
         algorithms: [ES256, RS256, ES256], leeway: 0s, require_exp: false, cookie: session, \
         claims: { sub: X-User-Id, \"https://x.example/roles\": x-roles }, groups: realm_access.roles, forward: true",
    );
    assert_eq!(found.place, Place::Cookie("session".into()));
    assert_eq!(found.keys.url().map(|url| &*url.host), Some("id.example.com"));
    assert_eq!(found.rules.issuer.as_deref(), Some("https://id.example.com"));
    assert_eq!(found.rules.audience, ["shop".into(), "till".into()].into());
    assert_eq!(
        found.rules.algorithms,
        [Algorithm::Es256, Algorithm::Rs256].into()
    );
    assert!(found.rules.leeway.is_zero() && !found.rules.require_exp && found.forward);
    assert_eq!(
        found.claims,
        ["sub".into(), "https://x.example/roles".into()].into()
    );
    assert_eq!(found.headers, ["x-user-id".into(), "x-roles".into()].into());
    assert_eq!(&*found.groups, "realm_access.roles");
    assert_eq!(
        &*jwt("keys: a.pem, audience: shop").rules.audience,
        ["shop".into()]
    );
    let hmac = jwt("keys: secret.json, algorithms: HS256");
    assert_eq!(hmac.rules.algorithms, [Algorithm::Hs256].into());
}

#[test]
fn mistakes_are_told_with_a_hint() {
    for (keys, expected) in [
        ("issuer: https://a", "a `jwt` has no `keys`"),
        ("keys: \"\"", "is not the path of a file"),
        (
            "keys: \"ftp://a/keys\"",
            "keys are fetched by `https://` or `http://`",
        ),
        (
            "keys: \"https://u:p@a/keys\"",
            "a URL of keys has no user and password",
        ),
        ("keys: \"https:///keys\"", "the host is empty"),
        ("keys: \"-----BEGIN PUBLIC KEY-----\"", "the keys stand in a file"),
        (
            "keys: k, algorithms: [none]",
            "a token without a signature proves nothing",
        ),
        ("keys: k, algorithms: [rs256]", "write `RS256`"),
        (
            "keys: k, algorithms: [ES512]",
            "is not an algorithm that is known here",
        ),
        ("keys: k, algorithms: []", "empty"),
        (
            "keys: \"https://a/k\", algorithms: [HS256]",
            "one that can be fetched is none",
        ),
        (
            "keys: k, header: x-a, cookie: b",
            "the credentials stand at one place",
        ),
        ("keys: k, claims: { sub: host }", "is no header for a claim"),
        (
            "keys: k, claims: { sub: authorization }",
            "is no header for a claim",
        ),
        ("keys: k, claims: { sub: \"a b\" }", "is not the name of a header"),
        (
            "keys: k, claims: { sub: x-a, iss: X-A }",
            "two claims are written into `x-a`",
        ),
        ("keys: k, leeway: 30", "30s"),
        ("keys: k, issuer: \"\"", "an issuer is not empty"),
        ("keys: k, audience: [\"\"]", "an audience is not empty"),
        ("keys: k, jwks_uri: x", "jwks_uri"),
    ] {
        let errors = load_text(with(keys)).err().unwrap_or_default();
        let lines = lines(&errors);
        assert!(
            lines.len() == 1 && lines[0].contains(expected),
            "{keys}: {lines:?}"
        );
    }
}
