//! Tests on whole configurations.

use super::*;

mod accepted;
mod acme;
mod auth;
mod cors;
mod destinations;
mod effects;
mod foreign_auth;
mod health;
mod hints;
mod hostile;
mod local;
mod mistakes;
mod newcomers;
mod policies;
mod rollouts;
mod shown;
mod tokens;
mod typos;
mod validator;
mod values;
mod ways;

/// The smallest configuration, for tests to extend.
const BASE: &str = "\
listeners: [{ bind: 127.0.0.1:8080 }]
services: { a: { endpoints: [http://a] } }
";

fn environment(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("8081".to_owned()),
        "YES" => Some("true".to_owned()),
        "NO" => Some("false".to_owned()),
        "EMPTY" => Some(String::new()),
        "NULL" => Some("null".to_owned()),
        "REGEX" => Some("~.*".to_owned()),
        "BANG" => Some("!secret".to_owned()),
        "WORD" => Some("a.c".to_owned()),
        "LIST" => Some("http://10.0.0.1:1,http://10.0.0.2:2 ,\n\thttp://c ".to_owned()),
        "BAD_LIST" => Some("http://a, b:80, ftp://c".to_owned()),
        _ => None,
    }
}

fn source(name: &str, text: impl Into<Vec<u8>>) -> Source {
    Source {
        name: name.to_owned(),
        text: text.into().into(),
    }
}

fn load_text(text: impl Into<Vec<u8>>) -> Result<Loaded, Vec<Diagnostic>> {
    load(&[source("c.yaml", text)], Kind::File, &environment)
}

/// Formats diagnostics, one line each: `LINE:COLUMN code message (hint)`.
fn lines(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics
        .iter()
        .map(|found| {
            let place = &found.labels[0].place;
            let help = found.help.as_deref().unwrap_or("-");
            format!(
                "{}:{} {} {} ({help})",
                place.line, place.column, found.code, found.message
            )
        })
        .collect()
}

/// Checks that `config` gives these diagnostics and no others: `LINE:COLUMN code`, then a part of message or hint.
fn check(config: impl Into<Vec<u8>>, expected: &[&str]) {
    let config = config.into();
    let found = match load_text(config.clone()) {
        Ok(loaded) => loaded.warnings,
        Err(found) => found,
    };
    let found = lines(&found);
    let shown = String::from_utf8_lossy(&config[..config.len().min(2000)]).into_owned();
    let matches = found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| {
            let mut parts = expected.splitn(3, ' ');
            let start = [parts.next().unwrap_or(""), parts.next().unwrap_or("")].join(" ");
            found.starts_with(&format!("{start} ")) && found.contains(parts.next().unwrap_or(""))
        });
    assert!(
        matches,
        "config:\n{shown}\nexpected:\n{expected:#?}\nfound:\n{found:#?}"
    );
}

/// Like [`check`], for a route on line 4 of a configuration with the service `a`.
fn check_route(route: &str, expected: &[&str]) {
    check(format!("{BASE}routes:\n- {{ name: r, {route} }}\n"), expected);
}

/// Like [`check_route`], for a route to `a` with these keys. What is expected begins with the text that it is about and ` | `.
fn check_keys(keys: &str, expected: &[&str]) {
    let expected = expected.iter().map(|expected| {
        let (place, said) = expected.split_once(" | ").expect("a place, and what is said");
        let at = keys.find(place).expect("a place of the route");
        format!("4:{} {said}", "- { name: r, to: a, ".len() + at + 1)
    });
    let expected: Vec<String> = expected.collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check_route(&format!("to: a, {keys}"), &expected);
}
