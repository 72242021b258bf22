//! Authentication: what is accepted, and what is said of the rest.

use super::check_route;

/// Checks a route with this `auth`, whose text begins at 4:29.
fn check_auth(auth: &str, expected: &[&str]) {
    check_route(&format!("to: a, auth: {auth}"), expected);
}

#[test]
fn one_way_or_any_of_several_with_conditions() {
    for auth in [
        "{ key: { header: x-api-key, file: keys } }",
        "{ key: { query: apikey, file: /etc/keys, forward: true } }",
        "{ key: { cookie: sid, file: keys }, allow: [{ groups: [admin] }] }",
        "{ any: [{ key: { header: x-a, file: a } }, { key: { header: x-b, file: b } }] }",
        "{ key: { header: x-a, file: a }, allow: [{ identity: '~^a', groups: eu, claims: { scope: 'a:b', n: 3, yes: true } }] }",
        "off",
    ] {
        check_auth(auth, &[]);
    }
}

#[test]
fn mistakes_name_their_place() {
    for (auth, expected) in [
        ("{}", &["missing-key there is no way"][..]),
        ("{ allow: [{ groups: [a] }] }", &["missing-key there is no way"]),
        (
            "{ key: { file: keys } }",
            &["missing-key no place for the credentials"],
        ),
        ("{ key: { header: x-a } }", &["missing-key has no `file`"]),
        (
            "{ key: { header: x-a, query: a, file: keys } }",
            &["conflicting-keys the credentials stand at one place"],
        ),
        (
            "{ key: { header: 'x a', file: keys } }",
            &["bad-name is not the name of a header"],
        ),
        (
            "{ key: { header: cookie, file: keys } }",
            &["bad-name never carries credentials"],
        ),
        (
            "{ key: { query: '', file: keys } }",
            &["bad-name the name is empty"],
        ),
        (
            "{ key: { cookie: 'a;b', file: keys } }",
            &["bad-name is not the name of a cookie"],
        ),
        (
            "{ key: { header: x-a, file: keys/ } }",
            &["bad-value is not the path of a file"],
        ),
        (
            "{ key: { header: x-a, file: a }, any: [{ key: { header: x-b, file: b } }] }",
            &["conflicting-keys `any` stands in place of a way"],
        ),
        (
            "{ any: [{ key: { header: x-a, file: a } }, { key: { header: X-A, file: b } }] }",
            &["no-effect put the keys of both into one file"],
        ),
        (
            "{ any: [{ key: { header: authorization, file: a } }, { jwt: { keys: a } }] }",
            &["no-effect `key` in front of it"],
        ),
        (
            "{ any: [{ jwt: { cookie: c, keys: a } }, { key: { cookie: c, file: b } }] }",
            &["no-effect give each its own place"],
        ),
        (
            "{ any: [{ jwt: { issuer: I, keys: a } }, { jwt: { issuer: J, keys: b } }, { basic: { file: u } }, \
             { key: { header: authorization, file: k } }] }",
            &[],
        ),
        (
            "{ key: { header: x-a, file: a }, allow: [{}] }",
            &["missing-key lets everybody pass"],
        ),
        (
            "{ jwt: { keys: a }, allow: [{ groups: [a] }, { claims: {} }] }",
            &["missing-key lets everybody pass"],
        ),
        (
            "{ key: { header: x-a, file: a }, allow: [{ groups: ['~('] }] }",
            &["bad-regex "],
        ),
        (
            "{ key: { header: x-a, file: a }, allow: [{ identity: '' }] }",
            &["empty-condition nothing verified is empty"],
        ),
    ] {
        let text = super::load_text(format!(
            "{}routes:\n- {{ name: r, to: a, auth: {auth} }}\n",
            super::BASE
        ));
        let found = match text {
            Ok(loaded) => loaded.warnings,
            Err(found) => found,
        };
        let found: Vec<String> = found
            .iter()
            .map(|found| {
                format!(
                    "{} {} {}",
                    found.code.as_str(),
                    found.message,
                    found.help.as_deref().unwrap_or("")
                )
            })
            .collect();
        assert_eq!(found.len(), expected.len(), "{auth}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            let (code, part) = expected.split_once(' ').unwrap();
            assert!(found.starts_with(code) && found.contains(part), "{auth}: {found}");
        }
    }
}

#[test]
fn credentials_as_conditions_are_warned_of() {
    for (headers, is_warned) in [
        ("{ authorization: Bearer abc }", true),
        ("{ Authorization: '~^Basic ' }", true),
        ("{ x-api-key: s3cret }", true),
        ("{ authorization: true }", false),
        ("{ x-api-key: false }", false),
        ("{ x-tenant: acme }", false),
    ] {
        let warning: &[&str] = match is_warned {
            true => &["plain-credential `auth`"],
            false => &[],
        };
        let text = super::load_text(format!(
            "{}routes:\n- {{ name: r, to: a, match: {{ headers: {headers} }} }}\n",
            super::BASE
        ));
        let found: Vec<&str> = text
            .as_ref()
            .unwrap()
            .warnings
            .iter()
            .map(|found| found.code.as_str())
            .collect();
        let expected: Vec<&str> = warning.iter().map(|_| "plain-credential").collect();
        assert_eq!(found, expected, "{headers}");
    }
}
