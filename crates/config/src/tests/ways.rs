//! Ways to prove who one is: passwords, and services that are asked.

use std::time::Duration;

use waypost_plan::auth::Way;
use waypost_plan::auth::ask::Ask;

use super::*;

/// A route on line 4 with this way in its `auth`.
fn config(way: &str) -> String {
    format!(
        "listeners: [{{ bind: 127.0.0.1:8080 }}]\n\
        services: {{ a: {{ endpoints: [http://a] }}, sso: {{ endpoints: [http://sso] }} }}\n\
        routes:\n\
        - {{ name: r, to: a, auth: {{ {way} }} }}\n"
    )
}

fn ways(way: &str) -> Vec<Way> {
    let loaded = match load_text(config(way)) {
        Ok(loaded) => loaded,
        Err(found) => panic!("{way}\n{:#?}", lines(&found)),
    };
    let ways = loaded.plan.auths().flat_map(|auth| auth.ways.iter().cloned());
    ways.collect()
}

fn ask(keys: &str) -> Ask {
    match ways(&format!("ask: {{ to: sso{keys} }}")).pop() {
        Some(Way::Ask(ask)) => ask,
        other => panic!("{keys} {other:?}"),
    }
}

#[test]
fn passwords_come_from_a_file() {
    let basic = |keys: &str| match ways(&format!("basic: {{ file: users{keys} }}")).pop() {
        Some(Way::Basic(basic)) => (basic.file, basic.realm, basic.forward),
        other => panic!("{keys} {other:?}"),
    };
    assert_eq!(basic(""), ("users".into(), "Restricted".into(), false));
    assert_eq!(
        basic(", realm: The \"Shop\", forward: true".replace('"', "'").as_str()),
        ("users".into(), "The 'Shop'".into(), true)
    );
}

#[test]
fn questions_have_defaults() {
    let default = ask("");
    assert_eq!((&*default.to.name, &*default.path), ("sso", "/"));
    assert!(default.take.is_empty() && !default.open);
    assert_eq!(default.send, ["cookie".into(), "authorization".into()].into());
    assert_eq!((default.cache, default.timeout), (None, Duration::from_secs(2)));
    let given = ask(
        ", path: '/verify?x', take: [Remote-User, x-forwarded-user], send: [], open: true, cache: 10s, timeout: 50ms",
    );
    assert_eq!(&*given.path, "/verify?x");
    assert_eq!(
        given.take,
        ["remote-user".into(), "x-forwarded-user".into()].into()
    );
    assert!(given.send.is_empty() && given.open);
    assert_eq!(given.cache, Some(Duration::from_secs(10)));
    assert_eq!(given.timeout, Duration::from_millis(50));
}

#[test]
fn a_service_that_is_asked_is_used() {
    check(config("ask: { to: sso }"), &[]);
    // In a policy, and on a listener, too.
    check(
        "listeners: [{ bind: 127.0.0.1:8080, auth: { ask: { to: sso } } }]\n\
        services: { sso: { endpoints: [http://sso] }, idp: { endpoints: [http://idp] } }\n\
        policies: { web: { auth: { ask: { to: idp } } } }\n\
        routes: [{ name: r, use: web, respond: { status: 204 } }]\n",
        &[],
    );
}

#[test]
fn wrong_ways_are_refused() {
    for (way, at, expected) in [
        ("ask: { to: ssso }", "ssso", "unknown-service did you mean `sso`?"),
        ("ask: { path: /x }", "{ path", "missing-key"),
        (
            "ask: { to: sso, path: x }",
            "x }",
            "bad-path begin it with a slash",
        ),
        ("ask: { to: sso, take: [Host] }", "Host", "bad-name leave it out"),
        ("ask: { to: sso, take: [x-forwarded-for] }", "x-", "bad-name"),
        ("ask: { to: sso, take: ['a b'] }", "'a", "bad-name"),
        (
            "ask: { to: sso, send: [x-forwarded-uri] }",
            "x-",
            "bad-name from the gateway",
        ),
        (
            "ask: { to: sso, send: [X_Original_URL] }",
            "X_",
            "bad-name from the gateway",
        ),
        ("ask: { to: sso, send: [content-length] }", "content", "bad-name"),
        ("ask: { to: sso, send: [a, A] }", "A]", "no-effect"),
        ("ask: { to: sso, timeout: 0s }", "0s", "out-of-range"),
        ("basic: { realm: x }", "{ realm", "missing-key"),
        ("basic: { file: '' }", "''", "bad-value users.htpasswd"),
        ("basic: { file: u, realm: 'a\u{e9}' }", "'a", "bad-value realm"),
        ("basic: { file: u, realm: '' }", "''", "bad-value realm"),
    ] {
        let config = config(way);
        let line = config.lines().nth(3).unwrap_or_default();
        let column = line.find(way).and_then(|start| Some(start + way.find(at)? + 1));
        let expected = format!("4:{} {expected}", column.unwrap_or_default());
        check(config, &[&expected]);
    }
}

#[test]
fn ways_that_never_decide_are_reported() {
    for way in [
        "any: [{ ask: { to: sso } }, { basic: { file: u } }]",
        "any: [{ basic: { file: u } }, { basic: { file: v } }]",
    ] {
        let found = load_text(config(way))
            .map(|loaded| loaded.warnings)
            .unwrap_or_else(|found| found);
        assert!(found.iter().any(|found| found.code == Code::NoEffect), "{way}");
    }
    check(config("any: [{ basic: { file: u } }, { ask: { to: sso } }]"), &[]);
}

#[test]
fn edits_that_let_clients_write_what_auth_writes_are_warned_of() {
    for (edits, is_warned) in [
        ("set: { remote-user: '{header.remote-user}' }", true),
        ("set: { Remote-User: 'x {query.user}' }", true),
        ("add: { remote-user: '{cookie.u}' }", true),
        ("set: { remote_user: '{path}' }", true),
        ("set: { remote-user: '{identity}' }", false),
        ("set: { remote-user: fixed }", false),
        ("set: { remote-user: '{client_ip}' }", false),
        ("remove: [remote-user]", false),
        ("set: { x-user: '{header.remote-user}' }", false),
    ] {
        let way = format!("ask: {{ to: sso, take: [remote-user] }} }}, request_headers: {{ {edits} ");
        let loaded = load_text(config(&way)).unwrap();
        let found = loaded.warnings.iter().map(|found| found.code.as_str());
        let expected: &[&str] = if is_warned { &["forgeable-header"] } else { &[] };
        assert_eq!(found.collect::<Vec<&str>>(), expected, "{edits}");
    }
    // Once for all users of a policy, and for a listener's `auth` too.
    let shared = "listeners: [{ bind: 127.0.0.1:8080, auth: { ask: { to: sso, take: [remote-user] } } }]\n\
        services: { a: { endpoints: [http://a] }, sso: { endpoints: [http://sso] } }\n\
        policies: { p: { request_headers: { set: { remote-user: '{header.u}' } } } }\n\
        routes:\n\
        - { name: r, match: { path: /r }, use: p, to: a }\n\
        - { name: s, match: { path: /s }, use: p, to: a, timeout: 1s }\n\
        - { name: t, match: { path: /t }, use: p, to: a, auth: off }\n";
    let loaded = load_text(shared).unwrap();
    let found = loaded.warnings.iter().map(|found| found.code.as_str());
    assert_eq!(found.collect::<Vec<&str>>(), ["forgeable-header"]);
}
