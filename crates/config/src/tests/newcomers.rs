//! Mistakes of people who come from another gateway, and what they are told: one file for each gateway.
//!
//! A case begins with `=== ` and a title. A config follows, then `---`, then its diagnostics. A config without
//! `listeners` or `services` gets them at its end, so that a case is as long as the mistake. The diagnostics are written
//! by `UPDATE_DOCS=1 cargo test -p waypost-config newcomers`; read what changes.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::*;
use crate::diagnostic::Confidence;

/// Minimum number of cases in all files.
const CASES_MIN: usize = 60;

const LISTENERS: &str = "listeners: [{ bind: 127.0.0.1:8080 }]\n";
const SERVICES: &str = "services: { orders: { endpoints: [http://10.0.0.11:8080] } }\n";

/// Returns the config with the parts that it has left out.
fn completed(config: &str) -> String {
    let has = |key: &str| config.lines().any(|line| line.starts_with(key));
    let mut text = config.to_owned();
    if !has("listeners:") && !has("# no listeners") {
        text.push_str(LISTENERS);
    }
    if !has("services:") && !has("# no services") {
        text.push_str(SERVICES);
    }
    text
}

fn shown(config: &str) -> String {
    let found = match load_text(completed(config)) {
        Ok(loaded) => loaded.warnings,
        Err(found) => found,
    };
    let mut text = String::new();
    for found in found {
        let place = &found.labels[0].place;
        let _ = writeln!(
            text,
            "{}:{}: {}[{}]: {}",
            place.line,
            place.column,
            found.severity.as_str(),
            found.code,
            found.message
        );
        if let Some(help) = &found.help {
            let _ = writeln!(text, "  hint: {help}");
        }
        if let Some(suggestion) = found
            .suggestion
            .filter(|suggestion| suggestion.confidence == Confidence::Certain)
        {
            let _ = writeln!(
                text,
                "  fix: {} -> {}",
                suggestion.written, suggestion.replacement
            );
        }
    }
    text
}

#[test]
fn mistakes_of_newcomers_are_answered_in_place() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/newcomers");
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut count = 0;
    for file in files {
        let written = fs::read_to_string(&file).unwrap();
        let (head, cases) = written.split_once("=== ").expect("a case");
        let mut expected = head.to_owned();
        for case in cases.split("\n=== ") {
            let (title, rest) = case.split_once('\n').expect("a config under the title");
            let (config, _) = rest.split_once("---\n").expect("`---` under the config");
            let diagnostics = shown(config);
            assert!(
                !diagnostics.is_empty(),
                "{}: {title}: nothing is said",
                file.display()
            );
            let _ = write!(expected, "=== {title}\n{config}---\n{diagnostics}\n");
            count += 1;
        }
        let expected = format!("{}\n", expected.trim_end());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&file, expected).unwrap();
        } else {
            let said = "where keys have changed, run it with `UPDATE_DOCS=1`, and read the difference";
            assert_eq!(written, expected, "{}: {said}", file.display());
        }
    }
    assert!(count >= CASES_MIN, "{count} cases");
}

#[test]
fn every_hint_of_a_newcomer_is_more_than_a_list_of_keys() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/newcomers");
    for file in fs::read_dir(directory).unwrap() {
        let file = file.unwrap().path();
        let text = fs::read_to_string(&file).unwrap();
        let vague = text.lines().filter(|line| line.contains("the keys here are"));
        assert_eq!(vague.count(), 0, "{}", file.display());
    }
}
