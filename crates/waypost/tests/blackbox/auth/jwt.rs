//! Tokens: those that pass, attacks on them, and what a service and a log get to see of them.

use serde_json::{Value, json};

use super::{ask, check, explained, sent};
use crate::access_log::wait_for_log;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::message::seen;
use crate::support::service::Service;
use crate::support::tokens::{Issuer, base64url, by_secret, now};

const CHALLENGE: &str = "Bearer realm=\"api\"";
const INVALID: &str = "Bearer realm=\"api\", error=\"invalid_token\"";

/// A gateway whose route `all` wants tokens of `issuer`, whose key set is a file; `keys` are further keys of the `jwt`.
fn gateway(issuer: &Issuer, service: &Service, keys: &str) -> Gateway {
    with_keys(&issuer.key_set(), service, keys)
}

fn with_keys(key_set: &str, service: &Service, keys: &str) -> Gateway {
    let jwt = format!("issuer: https://id.example.com, audience: shop, keys: keys.json{keys}");
    let config = Config::new()
        .key("access_log: access.log")
        .service(service, "")
        .route(&format!(
            "name: all, to: {}, auth: {{ jwt: {{ {jwt} }} }}, request_headers: {{ set: {{ x-identity: \"{{identity}}\", x-mail: \"{{claim.email}}\" }} }}",
            service.name()
        ));
    Gateway::beside(&[("keys.json", key_set)], config)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[test]
fn a_valid_token_passes_and_stays_here() {
    let (issuer, service) = (Issuer::new("k1"), Service::echo("a"));
    let gateway = gateway(
        &issuer,
        &service,
        ", claims: { sub: X-User-Id, roles: x-roles, gone: x-gone }",
    );
    let token = issuer.token(&json!({ "email": "ann@example.com", "roles": ["a", "b"] }));
    for scheme in ["Bearer", "bearer", "BEARER", "Bearer  "] {
        let value = format!("{scheme} {token}");
        let fields = [
            ("Authorization", &*value),
            ("X-User-Id", "eve"),
            ("x_user_id", "eve"),
            ("x-gone", "eve"),
            ("x-identity", "eve"),
        ];
        for (name, expected) in [
            ("authorization", None),
            ("x-user-id", Some("ann")),
            ("x-roles", Some("a,b")),
            ("x-gone", None),
            ("x-identity", Some("ann")),
            ("x-mail", Some("ann@example.com")),
        ] {
            let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            for got in sent(&gateway, "http://a.test/x", &fields, name) {
                assert_eq!(got, expected, "{scheme} {name}");
            }
        }
    }
    for line in wait_for_log(&gateway, 48) {
        assert_eq!(line["identity"], "ann");
        assert!(!line.to_string().contains(&token));
    }
}

#[test]
fn a_request_without_a_token_gets_a_challenge_without_an_error() {
    let (issuer, service) = (Issuer::new("k1"), Service::echo("a"));
    let gateway = gateway(&issuer, &service, "");
    for fields in [
        &[][..],
        &[("Authorization", "")],
        &[("Authorization", "Bearer")],
        &[("Authorization", "Basic YTpi")],
        &[("X-Token", "a.b.c")],
    ] {
        check(&gateway, "http://a.test/", fields, 401, &[CHALLENGE]);
    }
    // Where a token is not looked for there is none.
    let token = issuer.token(&json!({}));
    check(
        &gateway,
        &format!("http://a.test/?access_token={token}"),
        &[],
        401,
        &[CHALLENGE],
    );
    assert_eq!(service.connections(), 0);
}

/// Tokens that are refused, by name.
fn attacks(issuer: &Issuer) -> Vec<(&'static str, String)> {
    let good = issuer.token(&json!({}));
    let [head, claims, signature] = *good.split('.').collect::<Vec<_>>() else {
        panic!("three parts")
    };
    let other = Issuer::new("k1");
    let public = issuer.pair.public_key_pem();
    let ours = Issuer::claims();
    let hs = json!({ "alg": "HS256", "kid": "k1" });
    let with_head = |head: Value| issuer.token_with(&head, &json!({}));
    let with = |claims: Value| issuer.token(&claims);
    let forged_with = |head: Value| other.token_with(&head, &json!({}));
    vec![
        ("another key", other.token(&json!({}))),
        (
            "the public key as a secret",
            by_secret(public.as_bytes(), &hs, &ours),
        ),
        (
            "the key set as a secret",
            by_secret(issuer.key_set().as_bytes(), &hs, &ours),
        ),
        ("no secret", by_secret(b"", &hs, &ours)),
        ("none", format!("{}.{claims}.", base64url(r#"{"alg":"none"}"#))),
        (
            "None",
            format!("{}.{claims}.", base64url(r#"{"alg":"None","kid":"k1"}"#)),
        ),
        (
            "none with a signature",
            format!("{}.{claims}.{signature}", base64url(r#"{"alg":"nOnE"}"#)),
        ),
        ("no signature", format!("{head}.{claims}.")),
        ("no third part", format!("{head}.{claims}")),
        (
            "a path as kid",
            with_head(json!({ "alg": "EdDSA", "kid": "../../../../dev/null" })),
        ),
        (
            "SQL as kid",
            with_head(json!({ "alg": "EdDSA", "kid": "k1' OR '1'='1" })),
        ),
        (
            "a URL as kid",
            with_head(json!({ "alg": "EdDSA", "kid": "http://127.0.0.1:1/jwks" })),
        ),
        (
            "a list as kid",
            with_head(json!({ "alg": "EdDSA", "kid": ["k1"] })),
        ),
        (
            "jku",
            forged_with(json!({ "alg": "EdDSA", "kid": "k1", "jku": "http://127.0.0.1:1/" })),
        ),
        (
            "x5u",
            forged_with(json!({ "alg": "EdDSA", "kid": "k1", "x5u": "http://127.0.0.1:1/" })),
        ),
        ("jwk", forged_with(json!({ "alg": "EdDSA", "jwk": other.jwk() }))),
        (
            "crit",
            with_head(json!({ "alg": "EdDSA", "kid": "k1", "crit": ["exp"] })),
        ),
        (
            "claims that are said not to be encoded",
            with_head(json!({ "alg": "EdDSA", "kid": "k1", "b64": false })),
        ),
        (
            "an algorithm in lower case",
            with_head(json!({ "alg": "eddsa", "kid": "k1" })),
        ),
        (
            "a head twice",
            issuer.sign(r#"{"alg":"EdDSA","alg":"EdDSA","kid":"k1"}"#, &ours.to_string()),
        ),
        (
            "a claim twice",
            issuer.sign(
                r#"{"alg":"EdDSA"}"#,
                &ours.to_string().replacen('{', r#"{"sub":"eve","#, 1),
            ),
        ),
        (
            "a token in a token",
            issuer.sign(r#"{"alg":"EdDSA","cty":"JWT"}"#, &good),
        ),
        ("claims that are a list", issuer.sign(r#"{"alg":"EdDSA"}"#, "[]")),
        (
            "deep claims",
            issuer.sign(
                r#"{"alg":"EdDSA"}"#,
                &ours.to_string().replacen(
                    '{',
                    &format!(r#"{{"x":{}{},"#, "[".repeat(5000), "]".repeat(5000)),
                    1,
                ),
            ),
        ),
        ("padding", format!("{good}=")),
        ("padding inside", format!("{head}=.{claims}.{signature}")),
        ("ordinary base64", good.replacen('.', "+.", 1)),
        ("a blank inside", good.replacen('.', " .", 1)),
        ("four parts", format!("{good}.{signature}")),
        ("too long", with(json!({ "x": "x".repeat(16 * 1024) }))),
        ("expired", with(json!({ "exp": now() - 3600 }))),
        ("expired at the edge", with(json!({ "exp": now() - 30 }))),
        ("no expiry", with(json!({ "exp": null }))),
        (
            "an expiry in quotes",
            with(json!({ "exp": (now() + 60).to_string() })),
        ),
        ("an expiry of true", with(json!({ "exp": true }))),
        ("a negative expiry", with(json!({ "exp": -1 }))),
        ("not valid yet", with(json!({ "nbf": now() + 3600 }))),
        (
            "another issuer",
            with(json!({ "iss": "https://id.example.com/" })),
        ),
        ("no issuer", with(json!({ "iss": null }))),
        ("another audience", with(json!({ "aud": "shopping" }))),
        ("other audiences", with(json!({ "aud": ["a", "b"] }))),
        ("no audience", with(json!({ "aud": null }))),
        ("a subject of the wrong type", with(json!({ "sub": 7 }))),
        ("no token", "x".to_owned()),
        ("dots", "..".to_owned()),
    ]
}

#[test]
fn attacks_are_refused_alike_and_without_details() {
    let (issuer, service) = (Issuer::new("k1"), Service::echo("a"));
    let gateway = gateway(&issuer, &service, "");
    let mut bodies = Vec::new();
    for (name, token) in attacks(&issuer) {
        let value = bearer(&token);
        for response in ask(&gateway, "http://a.test/", &[("Authorization", &value)]) {
            let found = (response.status(), response.values("www-authenticate"));
            assert_eq!(found, (401, vec![INVALID]), "{name}");
            bodies.push(response.text());
        }
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    assert_eq!(service.connections(), 0);
    let good =
        bearer(&issuer.token(&json!({ "aud": ["other", "shop"], "nbf": now() + 20, "exp": now() - 20 })));
    check(&gateway, "http://a.test/", &[("Authorization", &good)], 200, &[]);
    // Two tokens: a service may take the other one.
    let two = [("Authorization", &*good), ("authorization", &*good)];
    check(&gateway, "http://a.test/", &two, 401, &[INVALID]);
    let said = gateway.said().join("\n");
    let log = std::fs::read_to_string(gateway.directory().join("access.log")).unwrap_or_default();
    for (name, token) in attacks(&issuer).into_iter().filter(|(_, token)| token.len() > 40) {
        let secret = &token[token.len() - 40..];
        assert!(!said.contains(secret) && !log.contains(secret), "{name}");
    }
}

#[test]
fn a_secret_verifies_tokens_where_a_file_has_it_and_the_config_says_so() {
    let service = Service::echo("a");
    let secret = b"a secret that nobody else should know";
    let keys = json!({ "keys": [{ "kty": "oct", "k": base64url(secret) }] }).to_string();
    let gateway = with_keys(&keys, &service, ", algorithms: [HS256]");
    let token = by_secret(secret, &json!({ "alg": "HS256" }), &Issuer::claims());
    check(
        &gateway,
        "http://a.test/",
        &[("Authorization", &bearer(&token))],
        200,
        &[],
    );
    let forged = by_secret(b"another", &json!({ "alg": "HS256" }), &Issuer::claims());
    check(
        &gateway,
        "http://a.test/",
        &[("Authorization", &bearer(&forged))],
        401,
        &[INVALID],
    );
}

#[test]
fn pem_verifies_tokens_whatever_their_kid() {
    let (issuer, service) = (Issuer::new("k1"), Service::echo("a"));
    let gateway = with_keys(
        &issuer.pair.public_key_pem(),
        &service,
        ", algorithms: [EdDSA, RS256]",
    );
    for head in [json!({ "alg": "EdDSA", "kid": "any" }), json!({ "alg": "EdDSA" })] {
        let token = bearer(&issuer.token_with(&head, &json!({})));
        check(&gateway, "http://a.test/", &[("Authorization", &token)], 200, &[]);
    }
}

#[test]
fn a_token_is_taken_from_its_place_and_from_there_alone() {
    let (issuer, service) = (Issuer::new("k1"), Service::echo("a"));
    let token = issuer.token(&json!({}));
    let value = bearer(&token);
    let cookie = format!("a=1; session={token}; b=2");
    let url = format!("http://a.test/x?a=1&access_token={token}&b=2");

    let by_header = gateway(&issuer, &service, ", header: X-Token");
    check(&by_header, "http://a.test/", &[("X-Token", &token)], 200, &[]);
    check(&by_header, "http://a.test/", &[("X-Token", &value)], 200, &[]);
    check(
        &by_header,
        "http://a.test/",
        &[("Authorization", &value)],
        401,
        &[CHALLENGE],
    );

    let by_cookie = gateway(&issuer, &service, ", cookie: session");
    for got in sent(&by_cookie, "http://a.test/", &[("Cookie", &cookie)], "cookie") {
        assert_eq!(got, ["a=1; b=2"]);
    }
    let by_query = gateway(&issuer, &service, ", query: access_token");
    for response in ask(&by_query, &url, &[]) {
        assert_eq!(response.json()["target"], "/x?a=1&b=2");
    }
    for line in wait_for_log(&by_query, 2) {
        assert!(!line.to_string().contains(&token), "{line}");
    }
    let forwarding = gateway(&issuer, &service, ", forward: true");
    for got in sent(
        &forwarding,
        "http://a.test/",
        &[("Authorization", &value)],
        "authorization",
    ) {
        assert_eq!(got, [&*value]);
    }
}

#[test]
fn claims_with_control_characters_are_absent() {
    let (issuer, service) = (Issuer::new("k1"), Service::echo("a"));
    let gateway = gateway(&issuer, &service, ", claims: { sub: x-user-id, ok: x-ok }");
    let token = bearer(&issuer.token(&json!({
        "sub": "ann\r\nx-admin: 1",
        "email": "a\u{0}b",
        "ok": "Zoë",
    })));
    for response in ask(
        &gateway,
        "http://a.test/",
        &[("Authorization", &token), ("x-user-id", "eve")],
    ) {
        assert_eq!(response.status(), 200);
        let fields = seen(&response);
        for name in ["x-user-id", "x-admin", "x-identity", "x-mail"] {
            assert!(
                fields.iter().all(|(found, _)| found != name),
                "{name} in {fields:?}"
            );
        }
        assert!(fields.iter().any(|(name, _)| name == "x-ok"));
    }
}

#[test]
fn groups_and_claims_say_who_may_pass() {
    let (issuer, service) = (Issuer::new("k1"), Service::echo("a"));
    let jwt = "issuer: https://id.example.com, audience: shop, keys: keys.json";
    let route = |name: &str, groups: &str, allow: &str| {
        format!(
            "name: {name}, match: {{ path: /{name} }}, to: a, auth: {{ jwt: {{ {jwt}{groups} }}, allow: [{allow}] }}"
        )
    };
    let config = Config::new()
        .service(&service, "")
        .route(&route("groups", "", "{ groups: [admin] }"))
        .route(&route(
            "roles",
            ", groups: realm_access.roles",
            "{ groups: [admin] }",
        ))
        .route(&route("scope", "", "{ claims: { scope: \"orders:read\" } }"));
    let gateway = Gateway::beside(&[("keys.json", &issuer.key_set())], config);
    let scope = "Bearer realm=\"api\", error=\"insufficient_scope\"";
    for (path, claims, passes) in [
        ("groups", json!({ "groups": ["staff", "admin"] }), true),
        ("groups", json!({ "groups": ["administrator"] }), false),
        ("groups", json!({}), false),
        ("roles", json!({ "realm_access": { "roles": ["admin"] } }), true),
        ("roles", json!({ "groups": ["admin"] }), false),
        ("scope", json!({ "scope": "openid orders:read" }), true),
        ("scope", json!({ "scope": "openid orders:reader" }), false),
    ] {
        let token = bearer(&issuer.token(&claims));
        let url = format!("http://a.test/{path}");
        let (status, challenges) = match passes {
            true => (200, vec![]),
            false => (403, vec![scope]),
        };
        check(&gateway, &url, &[("Authorization", &token)], status, &challenges);
    }
}

#[test]
fn of_several_ways_the_one_with_credentials_decides() {
    let (issuer, service) = (Issuer::new("k1"), Service::echo("a"));
    let jwt = "jwt: { issuer: https://id.example.com, audience: shop, keys: keys.json }";
    let config = Config::new().service(&service, "").route(&format!(
        "name: all, to: a, auth: {{ any: [{{ {jwt} }}, {{ key: {{ header: x-api-key, file: clients }} }}] }}"
    ));
    let gateway = Gateway::beside(&[("keys.json", &issuer.key_set()), ("clients", "")], config);
    let key = "ApiKey header=\"x-api-key\"";
    check(&gateway, "http://a.test/", &[], 401, &[CHALLENGE, key]);
    check(
        &gateway,
        "http://a.test/",
        &[("Authorization", "Basic YTpi")],
        401,
        &[CHALLENGE, key],
    );
    let token = bearer(&issuer.token(&json!({})));
    let both = [("Authorization", &*token), ("X-Api-Key", "wrong")];
    for got in sent(&gateway, "http://a.test/", &both, "x-api-key") {
        assert!(got.is_empty(), "{got:?}");
    }
    check(
        &gateway,
        "http://a.test/",
        &[("Authorization", "Bearer x")],
        401,
        &[INVALID, key],
    );
}

#[test]
fn a_new_key_file_counts_and_a_bad_one_does_not() {
    let (first, second, service) = (Issuer::new("k1"), Issuer::new("k2"), Service::echo("a"));
    let gateway = gateway(&first, &service, "");
    let token = |issuer: &Issuer| bearer(&issuer.token(&json!({})));
    let (old, new) = (token(&first), token(&second));
    check(&gateway, "http://a.test/", &[("Authorization", &old)], 200, &[]);
    check(
        &gateway,
        "http://a.test/",
        &[("Authorization", &new)],
        401,
        &[INVALID],
    );
    gateway.place("keys.json", &second.key_set());
    gateway.wait_for_part("the keys of issuers were read again");
    check(&gateway, "http://a.test/", &[("Authorization", &new)], 200, &[]);
    // Though it was verified before.
    check(
        &gateway,
        "http://a.test/",
        &[("Authorization", &old)],
        401,
        &[INVALID],
    );
    gateway.place("keys.json", "{");
    gateway.wait_for_part("the last good version stays in use");
    check(&gateway, "http://a.test/", &[("Authorization", &new)], 200, &[]);
    assert_eq!(gateway.admin_json("/api/v1/status")["ok"], false);
}

#[test]
fn an_explanation_says_why_a_token_is_refused_and_never_the_token() {
    let (issuer, service) = (Issuer::new("k1"), Service::echo("a"));
    let gateway = gateway(&issuer, &service, "");
    for (claims, because) in [
        (json!({ "exp": now() - 60 }), "the token has expired"),
        (json!({ "aud": "other" }), "the token is for another audience"),
        (json!({ "iss": "other" }), "the issuer is another"),
    ] {
        let token = issuer.token(&claims);
        let explanation = explained(&gateway, "http://a.test/", &[("Authorization", &bearer(&token))]);
        assert_eq!(explanation["outcome"], "refused");
        let text = explanation.to_string();
        assert!(text.contains(because), "{text}");
        assert!(!text.contains(&token), "{text}");
    }
    let token = issuer.token(&json!({}));
    let explanation = explained(&gateway, "http://a.test/", &[("Authorization", &bearer(&token))]);
    assert_eq!(
        (&explanation["outcome"], &explanation["identity"]),
        (&json!("forward"), &json!("ann"))
    );
    assert!(!explanation.to_string().contains(&token));
}

#[test]
fn tokens_of_two_issuers_are_for_the_way_that_verifies_them() {
    let (ours, partner, service) = (Issuer::new("k1"), Issuer::new("k1"), Service::echo("a"));
    let jwt = |issuer: &str, keys: &str, more: &str| {
        format!("{{ jwt: {{ issuer: {issuer}, audience: shop, keys: {keys}{more} }} }}")
    };
    let config = Config::new().service(&service, "").route(&format!(
        "name: all, to: a, auth: {{ any: [{}, {}, {}], allow: [{{ identity: [ann, bob] }}] }}, \
         request_headers: {{ set: {{ x-identity: \"{{identity}}\" }} }}",
        jwt("https://id.example.com", "ours.json", ", claims: { sub: x-ours }"),
        jwt(
            "https://partner.example.net",
            "partner.json",
            ", claims: { sub: x-partner }"
        ),
        jwt("https://partner.example.net", "partner.json", ", cookie: token"),
    ));
    let files = [("ours.json", ours.key_set()), ("partner.json", partner.key_set())];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
    let gateway = Gateway::beside(&files, config);
    let other = json!({ "iss": "https://partner.example.net", "sub": "bob" });
    let forged = [("x-ours", "eve"), ("x-partner", "eve")];
    for (token, expected) in [
        (ours.token(&json!({})), ["ann", "ann", ""]),
        (partner.token(&other), ["bob", "", "bob"]),
    ] {
        let value = bearer(&token);
        for (name, expected) in ["x-identity", "x-ours", "x-partner"].into_iter().zip(expected) {
            let fields = [&[("authorization", &*value)][..], &forged].concat();
            for got in sent(&gateway, "http://a.test/", &fields, name) {
                assert_eq!(got.concat(), expected, "{name}");
            }
        }
    }
    // None verifies these: the keys of one are none of the other.
    for token in [
        ours.token(&other),
        partner.token(&json!({})),
        partner.token(&json!({ "iss": "https://partner.example.net", "exp": 1 })),
        Issuer::new("k1").token(&other),
    ] {
        let value = bearer(&token);
        check(
            &gateway,
            "http://a.test/",
            &[("authorization", &value)],
            401,
            &[INVALID, CHALLENGE, CHALLENGE],
        );
    }
    // One that is known, and may not pass.
    let value = bearer(&partner.token(&json!({ "iss": "https://partner.example.net", "sub": "eve" })));
    let fields = [("authorization", &*value)];
    check(
        &gateway,
        "http://a.test/",
        &fields,
        403,
        &[
            CHALLENGE,
            "Bearer realm=\"api\", error=\"insufficient_scope\"",
            CHALLENGE,
        ],
    );
    // A token elsewhere does not make up for a bad one.
    let cookie = format!("token={}", partner.token(&other));
    let bad = [("authorization", "Bearer a.b.c"), ("cookie", &*cookie)];
    check(
        &gateway,
        "http://a.test/",
        &bad,
        401,
        &[INVALID, CHALLENGE, CHALLENGE],
    );
    check(&gateway, "http://a.test/", &[("cookie", &cookie)], 200, &[]);
}
