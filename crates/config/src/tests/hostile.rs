//! Broken, enormous and malicious files are refused with a diagnostic.

use proptest::prelude::*;

use super::*;

#[test]
fn files_that_are_not_a_configuration_are_refused() {
    check("", &["1:1 empty-file"]);
    check("# nothing\n", &["1:1 empty-file"]);
    check("---\n...\n", &["1:1 empty-file"]);
    check(
        "- a\n",
        &["1:3 wrong-type a configuration is a mapping, not a list"],
    );
    check(
        "text\n",
        &["1:1 wrong-type a configuration is a mapping, not text"],
    );
    check(format!("{BASE}---\na: 1\n"), &["3:1 several-documents"]);
    check(b"a: 1\nbc: \xff\n".to_vec(), &["2:5 not-utf8 0xFF"]);
    check(b"\xff\xfea\0".to_vec(), &["1:1 not-utf8 UTF-16"]);
    check("a: x\0y\n", &["1:5 syntax"]);
    check("a: [1, 2\n", &["1:4 syntax"]);
    check("a: !!str 1\n", &["1:10 unsupported-yaml"]);
    check("a: { <<: {} }\n", &["1:6 unsupported-yaml merge keys"]);
    check("? [a]\n: 1\n", &["1:3 unsupported-yaml a key is text"]);
}

#[test]
fn byte_order_mark_does_not_change_places() {
    check(
        b"\xef\xbb\xbfworkres: 1\n".to_vec(),
        &["1:1 unknown-key did you mean `workers`?"],
    );
}

#[test]
fn tabs_are_named() {
    check(
        "services:\n\ta: {}\n",
        &["2:1 tab-indentation indent with spaces"],
    );
    check(
        "services:\n  a:\n  \tendpoints: []\n  b: c\n",
        &["3:3 tab-indentation indent with spaces"],
    );
}

#[test]
fn duplicate_keys_name_both_places() {
    check(
        format!("{BASE}routes: []\nworkers: 1\nroutes: []\n"),
        &["5:1 duplicate-key the key `routes` is set twice"],
    );
    let many: String = (0..50)
        .map(|at| format!(" s{at}: {{ endpoints: [] }},"))
        .collect();
    let text =
        format!("listeners: [{{ bind: 127.0.0.1:80 }}]\nservices: {{{many}\n s40: {{ endpoints: [] }} }}\n");
    check(text, &["3:2 duplicate-key the key `s40` is set twice"]);
}

#[test]
fn alias_bombs_are_refused() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, inner) in ('b'..='z').zip('a'..) {
        let aliases = vec![format!("*{inner}"); 10].join(", ");
        bomb.push_str(&format!("{name}: &{name} [{aliases}]\n"));
    }
    check(bomb, &["5:36 alias stand for more than 100000 values"]);
    check(
        "a: &a [*a]\n",
        &["1:8 alias the alias refers to a value that contains it"],
    );
    check("a: *b\n", &["1:4 alias"]);
    // Nested aliases go deeper than the text.
    let mut deep = "a: &a0 [[[[[[[[[[x]]]]]]]]]]\n".to_owned();
    for at in 1..9 {
        deep.push_str(&format!("a{at}: &a{at} [[[[[[[[[[*a{}]]]]]]]]]]\n", at - 1));
    }
    check(deep, &["7:19 nested-too-deep"]);
}

#[test]
fn depth_and_size_are_limited() {
    let nested = |depth: usize| format!("a: {}{}\n", "[".repeat(depth), "]".repeat(depth));
    check(nested(64), &["1:67 nested-too-deep"]);
    check(nested(100_000), &["1:68 nested-too-deep"]);
    check("[".repeat(1_000_000), &["1:65 nested-too-deep"]);
    let blocks: String = (0..80)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    check(blocks, &["65:65 nested-too-deep"]);
    check(vec![b'a'; 17 << 20], &["1:1 file-too-large is larger than 16MiB"]);
    check(vec![b'#'; 50 << 20], &["1:1 file-too-large is larger than 16MiB"]);
}

#[test]
fn no_more_than_ten_thousand_mistakes_are_listed() {
    let text: String = (0..20_000).map(|at| format!("k{at}: 1\n")).collect();
    let found = load_text(text.clone()).unwrap_err();
    assert_eq!(found.len(), 10_001);
    assert_eq!(found.last().map(|last| last.code), Some(Code::TooManyMistakes));
    let shown = render::render(&found, &[source("c.yaml", text)], false);
    assert!(
        shown.ends_with("\n… and 9901 more\n"),
        "{}",
        &shown[shown.len() - 100..]
    );
}

/// A configuration with all features, to be damaged.
const VALID: &str = r#"listeners: [{ name: l, bind: "127.0.0.1:${PORT}", hosts: ["*.a.b"], limits: { headers: 9 } }]
services: { a: &a { endpoints: [http://a:1] }, b: *a }
routes:
  - name: r
    match: [{ path: "/a/{b}/*", headers: { x: "~^a", y: true } }, { path: "/b/{b}/*", client_ip: 10.0.0.0/8 }]
    to: { a: 1, b: 2 }
    rewrite: { prefix: "/x/{b}" }
    request_headers: { set: { p: q }, remove: [z] }
    rollout: p
  - { name: s, match: { path: "~^/(?P<n>x)" }, redirect: { path: "/{n}", status: 301 } }
rollouts:
  p: { canary: b, steps: [1, { percent: 2.5, at_least: 5m }, 100], judge: { errors: { ratio: 1.5, max: 5 }, latency: off } }
tests:
  - { request: GET /a/1/2, expect: { route: r, arms: { a: 1 } } }
"#;

fn shown(text: &[u8]) {
    let sources = [source("c.yaml", text)];
    let found = match load(&sources, Kind::File, &environment) {
        Ok(loaded) => loaded.warnings,
        Err(found) => found,
    };
    for color in [false, true] {
        render::render(&found, &sources, color);
    }
    diagnostic::to_json(&found);
}

#[test]
fn undamaged_configuration_is_valid() {
    assert!(
        load_text(VALID).is_ok(),
        "{:#?}",
        load_text(VALID).map_err(|found| lines(&found))
    );
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        shown(&bytes);
    }

    #[test]
    fn random_yaml_never_panics(text in "[-a-c:*&!#?{}\\[\\]|>'\"$%@,~ \t\r\n\u{feff}ü]{0,80}") {
        shown(text.as_bytes());
    }

    #[test]
    fn a_damaged_configuration_never_panics(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..4_u8, "[-a-z0-9:*&{}\\[\\]/~$%\"' \n\t\r\u{0}ü]{0,4}"), 1..6)
    ) {
        let mut text: Vec<char> = VALID.chars().collect();
        for (at, kind, new) in edits {
            if text.is_empty() {
                break;
            }
            let at = at.index(text.len());
            match kind {
                0 => { text.remove(at); }
                1 => { text.splice(at..at, new.chars()); }
                2 => { let end = (at + 7).min(text.len()); text.splice(at..end, new.chars()); }
                _ => { let end = (at + 20).min(text.len()); let copy = text[at..end].to_vec(); text.splice(at..at, copy); }
            }
        }
        shown(text.into_iter().collect::<String>().as_bytes());
    }
}
