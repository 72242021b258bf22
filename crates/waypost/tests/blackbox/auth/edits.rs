//! Edits of requests beside what `auth` writes into them: edits come after it.

use serde_json::{Value, json};

use super::{ask, explained};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::message::seen;
use crate::support::service::Service;
use crate::support::tokens::Issuer;

/// The headers that services get and that begin with `x-`, or with `remote-`, sorted.
fn of_auth(fields: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let fields = fields
        .into_iter()
        .map(|(name, value)| (name.to_lowercase(), value));
    let mut found: Vec<String> = fields
        .filter(|(name, _)| name.starts_with("x-u") || name.starts_with("remote"))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    found.sort();
    found
}

const EDITS: &[(&str, &[&str])] = &[
    ("", &["x-user: ann", "x-user-mail: ann@a.test"]),
    (
        "set: { x-user: fixed }",
        &["x-user-mail: ann@a.test", "x-user: fixed"],
    ),
    (
        "set: { X-User: 'id:{identity}' }, remove: [x-user-mail]",
        &["x-user: id:ann"],
    ),
    (
        "add: { x-user: more }, remove: [X-User-Mail]",
        &["x-user: ann", "x-user: more"],
    ),
    ("remove: [x-user, x-user-mail]", &[]),
];

#[test]
fn edits_come_after_the_claims_of_a_token() {
    let issuer = Issuer::new("k1");
    let token = format!("Bearer {}", issuer.token(&json!({ "email": "ann@a.test" })));
    let forged = [
        ("authorization", &*token),
        ("x-user", "admin"),
        ("X-USER-MAIL", "admin@a.test"),
        ("x_user", "admin"),
    ];
    for (edits, expected) in EDITS {
        let service = Service::echo("a");
        let config = Config::new().service(&service, "").route(&format!(
            "name: r, to: a, request_headers: {{ {edits} }}, auth: {{ jwt: {{ issuer: https://id.example.com, \
             audience: shop, keys: keys.json, claims: {{ sub: x-user, email: x-user-mail }} }} }}"
        ));
        let gateway = Gateway::beside(&[("keys.json", &issuer.key_set())], config);
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        for response in ask(&gateway, "http://a.test/", &forged) {
            assert_eq!(of_auth(seen(&response)), expected, "{edits}");
        }
        let explained = explained(&gateway, "http://a.test/", &forged);
        let headers: Vec<(String, String)> = serde_json::from_value(explained["headers"].clone()).unwrap();
        assert_eq!(of_auth(headers), expected, "{edits}");
        assert_eq!(
            explained["auth"],
            json!({ "way": "jwt", "place": "header authorization", "result": "passed", "identity": "ann" })
        );
    }
}

#[test]
fn edits_come_after_what_is_taken_of_an_answer() {
    let sso = Service::named("sso", |talk| {
        while talk.request().is_some() {
            talk.send(
                "HTTP/1.1 200 OK\r\nRemote-User: ann\r\nRemote-User: bob\r\nRemote-Groups: staff\r\n\
                 Content-Length: 0\r\n\r\n",
            );
        }
    });
    for (edits, expected) in [
        (
            "",
            vec!["remote-groups: staff", "remote-user: ann", "remote-user: bob"],
        ),
        (
            "set: { remote-user: '{identity}' }",
            vec!["remote-groups: staff", "remote-user: ann"],
        ),
        ("remove: [Remote-User, remote-groups]", vec![]),
    ] {
        let service = Service::echo("a");
        let config = Config::new()
            .service(&service, "")
            .service(&sso, "")
            .route(&format!(
                "name: r, to: a, request_headers: {{ {edits} }}, \
             auth: {{ ask: {{ to: sso, take: [remote-user, remote-groups] }} }}"
            ));
        let gateway = Gateway::with(config);
        let forged = [("remote-user", "admin"), ("Remote_Groups", "admin")];
        for response in ask(&gateway, "http://a.test/", &forged) {
            assert_eq!(of_auth(seen(&response)), expected, "{edits}");
        }
    }
}

#[test]
fn an_edit_that_lets_clients_write_what_auth_writes_is_warned_of() {
    let config = Config::new()
        .service_at("a", &["http://127.0.0.1:1"], "")
        .service_at("sso", &["http://127.0.0.1:1"], "")
        .route(
            "name: r, to: a, request_headers: { set: { remote-user: '{header.x-user}' } }, \
             auth: { ask: { to: sso, take: [remote-user] } }",
        );
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("c.yaml"), config.as_ref() as &str).unwrap();
    let checked =
        crate::support::command::waypost_in(directory.path(), &["check", "c.yaml", "--format", "json"]);
    let diagnostics: Value = checked.expect(0).json()["diagnostics"].clone();
    let codes = diagnostics.as_array().unwrap().iter();
    let codes: Vec<&Value> = codes.map(|found| &found["code"]).collect();
    assert!(codes.contains(&&json!("forgeable-header")), "{diagnostics}");
}
