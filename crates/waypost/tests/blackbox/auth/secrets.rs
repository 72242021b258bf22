//! Credentials of every kind, and all that is shown of requests: none of it has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{ask, explained};
use crate::access_log::wait_for_log;
use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::Service;
use crate::support::tokens::Issuer;
use crate::tail::listen;

/// `ann` with the password `correct horse`.
const USERS: &str = "ann:$2a$04$N9qo8uLOickgx2ZMRZoMye7lwnnKjdKULIb0Soe6BjJXxCPR1R3dC\n";

/// A gateway with every way, each on a route whose service responds and on one whose service fails.
fn gateway(issuer: &Issuer, good: &Service, bad: &Service, sso: &Service) -> Gateway {
    let jwt = "issuer: https://id.example.com, audience: shop, keys: keys.json, claims: { sub: x-sub }";
    let ways = [
        ("bearer", format!("jwt: {{ {jwt} }}")),
        (
            "jwt-cookie",
            format!("jwt: {{ {jwt}, cookie: session, forward: true }}"),
        ),
        ("jwt-query", format!("jwt: {{ {jwt}, query: token }}")),
        (
            "key",
            "key: { header: x-api-key, file: keys, forward: true }".to_owned(),
        ),
        ("key-cookie", "key: { cookie: apikey, file: keys }".to_owned()),
        (
            "key-query",
            "key: { query: apikey, file: keys, forward: true }".to_owned(),
        ),
        ("basic", "basic: { file: users, forward: true }".to_owned()),
        (
            "ask",
            "ask: { to: sso, take: [remote-user], cache: 60s }".to_owned(),
        ),
    ];
    let mut config = Config::new()
        .key("access_log: access.log")
        .key("admin: { bind: 127.0.0.1:0, show_headers: [x-api-key, x-own, user-agent] }")
        .service(good, "")
        .service(bad, "")
        .service(sso, "");
    for (name, way) in &ways {
        for (to, of) in [("good", good), ("bad", bad)] {
            // Even where an edit copies them.
            config = config.route(&format!(
                "name: {name}-{to}, match: {{ path: /{to}/{name} }}, to: {}, auth: {{ {way} }}, \
                 request_headers: {{ set: {{ x-own: 'k {{header.x-api-key}} {{cookie.apikey}} {{query.apikey}}' }} }}",
                of.name()
            ));
        }
    }
    let key = hex(b"s3cret-key");
    Gateway::verbatim_beside(
        &[
            ("keys.json", &issuer.key_set()),
            ("keys", &format!("acme sha256:{key} gold\n")),
            ("users", USERS),
        ],
        config,
    )
}

fn hex(key: &[u8]) -> String {
    use std::fmt::Write as _;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key);
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[test]
fn nobody_gets_to_see_credentials_of_any_kind() {
    let issuer = Issuer::new("k1");
    let (good, sso) = (
        Service::named("good", |talk| {
            while talk.request().is_some() {
                talk.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        }),
        Service::named("sso", |talk| {
            while let Some(question) = talk.request() {
                let status = match question
                    .values("cookie")
                    .concat()
                    .contains("session=s3cret-session")
                {
                    true => "200 OK\r\nRemote-User: ann",
                    false => "401 X",
                };
                talk.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
            }
        }),
    );
    let bad = Service::refusing_as("bad");
    let gateway = gateway(&issuer, &good, &bad, &sso);
    let token = issuer.token(&json!({}));
    let wrong_token = format!("{token}x");
    let signature = token.rsplit('.').next().unwrap().to_owned();
    let pair = STANDARD.encode("ann:correct horse");
    let wrong_pair = STANDARD.encode("ann:s3cret-wrong");
    let secrets = [
        token.as_str(),
        &signature,
        "s3cret-key",
        "s3cret-wrong",
        "s3cret-session",
        "correct horse",
        &pair,
        &wrong_pair,
    ];
    let mut tail = listen(&gateway, "rate=1000");
    let mut shown = String::new();
    let mut sent = 0;
    for to in ["good", "bad"] {
        for (name, query, fields) in [
            ("bearer", "", vec![("authorization", format!("Bearer {token}"))]),
            (
                "bearer",
                "",
                vec![("authorization", format!("Bearer {wrong_token}"))],
            ),
            (
                "jwt-cookie",
                "",
                vec![("cookie", format!("a=1; session={token}"))],
            ),
            ("jwt-query", &*format!("?token={token}&a=1"), vec![]),
            ("jwt-query", &*format!("?token={wrong_token}"), vec![]),
            ("key", "", vec![("x-api-key", "s3cret-key".to_owned())]),
            ("key", "", vec![("x-api-key", "s3cret-wrong".to_owned())]),
            ("key-cookie", "", vec![("cookie", "apikey=s3cret-key".to_owned())]),
            ("key-query", "?apikey=s3cret-key", vec![]),
            ("key-query", "?a=1&apikey=s3cret-wrong", vec![]),
            ("basic", "", vec![("authorization", format!("Basic {pair}"))]),
            (
                "basic",
                "",
                vec![("authorization", format!("Basic {wrong_pair}"))],
            ),
            ("ask", "", vec![("cookie", "session=s3cret-session".to_owned())]),
            (
                "ask",
                "",
                vec![("authorization", "Bearer s3cret-wrong".to_owned())],
            ),
        ] {
            let url = format!("http://a.test/{to}/{name}{query}");
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
            for response in ask(&gateway, &url, &fields) {
                sent += 1;
                shown += &response.head;
                shown += &response.text();
            }
            let explained = explained(&gateway, &url, &fields);
            assert_ne!(explained["auth"], Value::Null, "{url}");
            shown += &explained.to_string();
            let headers: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            let mut command = vec!["explain", "GET", &*url];
            command.extend(headers.iter().flat_map(|header| ["-H", header.as_str()]));
            let text = gateway.command(&command).stdout;
            assert!(text.contains("\n  auth     "), "{text}");
            shown += &text;
        }
    }
    shown += &format!("{:?}", wait_for_log(&gateway, sent));
    assert_eq!(gateway.get("http://a.test/last").status(), 404);
    shown += &tail.text_to("\"path\":\"/last\"");
    for path in [
        "/api/v1/timeline",
        "/api/v1/stats",
        "/api/v1/status",
        "/api/v1/routes?figures=true",
        "/api/v1/revisions",
        "/api/v1/services",
        "/api/v1/config",
    ] {
        let answer = gateway.admin("GET", path, "", "");
        assert_eq!(answer.status(), 200, "{path}");
        shown += &answer.text();
    }
    for name in [
        "bearer",
        "jwt-cookie",
        "jwt-query",
        "key",
        "key-cookie",
        "key-query",
        "basic",
        "ask",
    ] {
        let samples = gateway.admin("GET", &format!("/api/v1/routes/{name}-bad/failures"), "", "");
        assert!(samples.text().contains("bad"), "{}", samples.text());
        shown += &samples.text();
    }
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    let tested = format!(
        "{config}tests:\n- {{ request: GET http://a.test/good/key, headers: {{ x-api-key: s3cret-key }}, \
         expect: {{ status: 200 }} }}\n"
    );
    let dry = gateway.admin("PUT", "/api/v1/config?dry_run=true", "if-match: *\r\n", &tested);
    shown += &dry.text();
    shown += &gateway.metrics();
    shown += &gateway.said().join("\n");
    for secret in secrets {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn explanations_show_no_credentials_of_queries() {
    let config = Config::listening(&[
        "name: own",
        "name: moved, redirect: { scheme: https, status: 308 }",
    ])
    .service_at("a", &["http://127.0.0.1:1"], "")
    .service_at("sso", &["http://127.0.0.1:1"], "")
    .route("name: key, match: { path: /key }, to: a, auth: { key: { query: apikey, file: keys } }")
    .route("name: ask, match: { path: /ask }, to: a, auth: { ask: { to: sso } }")
    .route("name: r, match: { path: /r }, redirect: { path: /key }");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("c.yaml"), config.as_ref() as &str).unwrap();
    std::fs::write(
        directory.path().join("keys"),
        format!("acme sha256:{}\n", hex(b"s3cret")),
    )
    .unwrap();
    for (listener, path) in [
        ("own", "key"),
        ("own", "ask"),
        ("own", "r"),
        ("own", "none"),
        ("moved", "key"),
    ] {
        let url = format!("http://a.test/{path}?a=1&apikey=s3cret&b=2");
        for format in ["text", "json"] {
            let asked = [
                "explain",
                "c.yaml",
                "GET",
                &*url,
                "--listener",
                listener,
                "--format",
                format,
            ];
            let shown = waypost_in(directory.path(), &asked).expect(0).stdout;
            assert!(shown.contains("a=1&b=2"), "{shown}");
            assert!(!shown.contains("s3cret"), "{listener} {path}: {shown}");
        }
    }
}
