//! Suggestions for every misspelt key.

use super::*;
use crate::keys::{KeyTable, Presence};

/// A common misspelling: two letters swapped, or an extra letter if that changes nothing.
fn misspell(key: &str) -> String {
    let mut letters: Vec<char> = key.chars().collect();
    let at = (0..letters.len() - 1)
        .rev()
        .find(|&at| letters[at] != letters[at + 1]);
    let at = at.expect("no key is one letter over and over");
    letters.swap(at, at + 1);
    letters.into_iter().collect()
}

/// Returns a mapping of `table` with all its examples, one key per line, `typo` misspelt; and the line of the typo.
fn mapping(table: &KeyTable, typo: &str) -> (String, usize) {
    let mut text = String::new();
    let mut line = 0;
    for (at, key) in table.keys.iter().enumerate() {
        let name = if key.name == typo {
            line = at;
            misspell(key.name)
        } else {
            key.name.to_owned()
        };
        text.push_str(&format!("{name}: {}\n", key.example));
    }
    (text, line)
}

fn tables(
    table: &'static KeyTable,
    path: &[&'static str],
    found: &mut Vec<(Vec<&'static str>, &'static KeyTable)>,
) {
    if found.iter().any(|(_, known)| known.words == table.words) {
        return;
    }
    found.push((path.to_vec(), table));
    for key in table.keys {
        if let Some(inner) = (key.table)() {
            tables(inner, &[path, &[key.name]].concat(), found);
        }
    }
}

/// Puts a mapping under its path: `routes` holds a list of mappings, `services` one mapping for each name.
fn nest(path: &[&str], mapping: &str) -> (String, usize, usize) {
    let mut text = String::new();
    let mut indent = 0;
    let mut lines = 0;
    for key in path {
        let pad = " ".repeat(indent);
        match *key {
            "errors" if path.contains(&"judge") => {
                text.push_str(&format!("{pad}{key}:\n"));
                indent += 2;
                lines += 1;
            }
            "listeners" | "routes" | "tests" | "errors" | "certificates" | "steps" | "endpoints" | "any"
            | "allow" => {
                text.push_str(&format!("{pad}{key}:\n{pad}  -\n"));
                indent += 4;
                lines += 2;
            }
            "services" | "policies" => {
                text.push_str(&format!("{pad}{key}:\n{pad}  s:\n"));
                indent += 4;
                lines += 2;
            }
            _ => {
                text.push_str(&format!("{pad}{key}:\n"));
                indent += 2;
                lines += 1;
            }
        }
    }
    for line in mapping.lines() {
        text.push_str(&format!("{}{line}\n", " ".repeat(indent)));
    }
    (text, lines, indent)
}

#[test]
fn every_misspelt_key_is_found_with_a_suggestion() {
    let mut all = Vec::new();
    tables(&Document::TABLE, &[], &mut all);
    let mut count = 0;
    for (path, table) in all {
        for key in table.keys {
            let (mapping, line) = mapping(table, key.name);
            let (text, lines_above, indent) = nest(&path, &mapping);
            let found = load_text(text.clone()).unwrap_err();
            let unknown: Vec<&Diagnostic> = found.iter().filter(|d| d.code == Code::UnknownKey).collect();
            let [unknown] = &*unknown else {
                panic!("{text}\n{found:#?}");
            };
            let place = &unknown.labels[0].place;
            assert_eq!(
                (place.line, place.column),
                (lines_above + line + 1, indent + 1),
                "{text}\n{unknown:#?}"
            );
            assert_eq!(
                unknown.help.as_deref(),
                Some(&*format!("did you mean `{}`?", key.name)),
                "{text}"
            );
            // A misspelt required key is not reported as missing too.
            let missing = |d: &Diagnostic| d.message == format!("{} has no `{}`", table.words, key.name);
            if matches!(key.presence, Presence::Required) && table.words != "a respond" {
                assert!(!found.iter().any(missing), "{text}\n{found:#?}");
            }
            count += 1;
        }
    }
    assert!(count >= 70, "{count} keys");
}

#[test]
fn keys_of_later_versions_are_reported_as_such() {
    check(
        format!("{BASE}include: x\n"),
        &["3:1 unknown-key not supported by this version"],
    );
    check(
        "listeners: [{ bind: 127.0.0.1:80, http3: true }]\n",
        &["1:35 unknown-key `http3` is not supported by this version"],
    );
}

#[test]
fn words_of_other_gateways_are_translated() {
    for (word, key) in [
        ("service", "to"),
        ("upstream", "to"),
        ("proxy_pass", "to"),
        ("return", "respond"),
        ("retries", "retry"),
        ("retry_policy", "retry"),
    ] {
        check_route(
            &format!("{word}: a"),
            &[&format!("4:14 unknown-key did you mean `{key}`?")],
        );
    }
    check(
        "listeners: [{ bind: 127.0.0.1:80 }]\nservices: { a: { endpoints: [http://a], retries: 2 } }\n",
        &["2:41 unknown-key did you mean `retry`, which is a key of a route?"],
    );
    check_route(
        "to: a, match: { hostname: a.b }",
        &["4:30 unknown-key did you mean `host`?"],
    );
    check(
        "listeners: [{ listen: 127.0.0.1:80 }]\n",
        &["1:15 unknown-key did you mean `bind`?"],
    );
    check(
        "listeners: [{ bind: 127.0.0.1:80 }]\nservices: { a: { servers: [http://a] } }\n",
        &["2:18 unknown-key did you mean `endpoints`?"],
    );
    // The names declared under it are not reported as unknown.
    check(
        "listeners: [{ bind: 127.0.0.1:80 }]\nupstreams: {}\nroutes: [{ name: r, to: a }]\n",
        &["2:1 unknown-key did you mean `services`?"],
    );
}

#[test]
fn keys_of_other_mappings_name_the_mapping() {
    check_route(
        "to: a, cookies: {}",
        &["4:21 unknown-key `cookies` is a key of a match"],
    );
    check_route(
        "to: a, zzz: {}",
        &["4:21 unknown-key the keys here are `name`, `match`,"],
    );
}
