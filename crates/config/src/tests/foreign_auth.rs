//! Authentication and limits in the words of other gateways, and the way to say them here.

use super::check_keys;

#[test]
fn routes_lead_to_auth() {
    for (keys, expected) in [
        (
            "auth_basic: Area",
            "auth_basic | unknown-key basic: { file: users.htpasswd",
        ),
        (
            "basicAuth: { users: [a] }",
            "basicAuth | unknown-key basic: { file: users.htpasswd",
        ),
        ("key-auth: {}", "key-auth | unknown-key waypost hash-key"),
        ("jwt: {}", "jwt | unknown-key auth: { jwt:"),
        ("oidc: {}", "oidc | unknown-key auth: { jwt:"),
        ("auth_request: /auth", "auth_request | unknown-key auth: { ask:"),
        ("forwardAuth: {}", "forwardAuth | unknown-key auth: { ask:"),
        ("ext_authz: {}", "ext_authz | unknown-key auth: { ask:"),
        ("oauth2: {}", "oauth2 | unknown-key auth: { ask:"),
        ("rbac: {}", "rbac | unknown-key allow: [{ groups: [admin] }]"),
    ] {
        check_keys(keys, &[expected]);
    }
}

#[test]
fn ways_and_their_keys_are_found() {
    let jwt = "issuer: I, keys: 'https://i.test/jwks'";
    for (auth, expected) in [
        ("{ key-auth: {} }", &["key-auth | unknown-key key: { header:"][..]),
        ("{ api_key: {} }", &["api_key | unknown-key key: { header:"]),
        ("{ oidc: {} }", &["oidc | unknown-key jwt: { issuer:"]),
        ("{ basicAuth: {} }", &["basicAuth | unknown-key basic: { file:"]),
        ("{ forwardAuth: {} }", &["forwardAuth | unknown-key ask: { to:"]),
        ("none", &["none | wrong-type write `off`"]),
        (
            "[{ key: { header: x-a, file: a } }]",
            &["[{ | wrong-type { any: [{ key: { header: x-a, file: a } }] }"],
        ),
        (
            "{ jwt: { issuer: I, jwks_uri: 'https://i.test/jwks' } }",
            &["jwks_uri | unknown-key keys: https://id.example.com/jwks.json"],
        ),
        (
            &format!("{{ jwt: {{ {jwt}, clock_skew_seconds: 60 }} }}"),
            &["clock_skew | unknown-key leeway: 30s"],
        ),
        (
            &format!("{{ jwt: {{ {jwt}, claim_to_headers: [] }} }}"),
            &["claim_to | unknown-key claims: { sub: x-user-id }"],
        ),
        (
            &format!("{{ jwt: {{ {jwt}, scopes: [a] }} }}"),
            &["scopes | unknown-key allow: [{ claims: { scope:"],
        ),
        (
            "{ jwt: { keys: 'https://i.test/.well-known/openid-configuration' } }",
            &["'https | bad-value jwks_uri"],
        ),
        (
            "{ ask: { to: a, trustForwardHeader: true } }",
            &["trustFor | unknown-key trusted_proxies"],
        ),
        (
            "{ ask: { to: a, authResponseHeaders: [x-a] } }",
            &["authRes | unknown-key take: [remote-user"],
        ),
        (
            "{ ask: { to: a, take: ['*'] } }",
            &["'*' | bad-name list each header by its name"],
        ),
        (
            "{ ask: { to: a, take: ['~^x-', x-user-*] } }",
            &["'~ | bad-name no patterns", "x-user-* | bad-name no patterns"],
        ),
        (
            "{ ask: { to: a, send: ['*'] } }",
            &["'*' | bad-name list each header by its name"],
        ),
        (
            "{ key: { header: x-a, file: a }, allow: [{ roles: [a] }] }",
            &["roles | unknown-key groups: [admin]"],
        ),
        (
            "{ key: { header: x-a, file: a }, allow: [{ users: [a] }] }",
            &["users | unknown-key identity: [ann, bob]"],
        ),
        (
            "{ key: { header: x-a, file: a }, allow: [{ scope: a }] }",
            &["scope | unknown-key claims: { scope:"],
        ),
    ] {
        check_keys(&format!("auth: {auth}"), expected);
    }
}

#[test]
fn limits_are_said_by_their_keys() {
    for (keys, expected) in [
        (
            "rate: { requests: 1, per: 1s, by: { query: k } }",
            "query | unknown-key by: identity",
        ),
        (
            "rate: { requests: 1, per: 1s, requestedTokens: 1 }",
            "requestedT | unknown-key each request counts once",
        ),
        (
            "rate: { requests: 1, per: 1s, except: [10.0.0.0/8] }",
            "except | unknown-key rate: off",
        ),
        (
            "rate: { requests: 1, per: 1s, token_bucket: {} }",
            "token_b | unknown-key `requests`, `per` and `burst`",
        ),
        (
            "cors: { origins: [http://a], methods: 'GET, POST' }",
            "'GET | wrong-type `[GET, POST]`",
        ),
        (
            "cors: { origins: [http://a], headers: 'x-a,x-b' }",
            "'x-a | wrong-type `[x-a,x-b]`",
        ),
    ] {
        check_keys(keys, &[expected]);
    }
}
