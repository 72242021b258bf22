//! Hints that show a corrected value: with it in place of the mistake, the mistake is gone.

use proptest::prelude::*;

use super::*;

/// Configurations with a place for a value, `@`.
const PLACES: &[&str] = &[
    "listeners: [{ bind: @ }]\n",
    "listeners: [{ bind: 127.0.0.1:8080, hosts: [@] }]\n",
    "listeners: [{ bind: 127.0.0.1:8080, trusted_proxies: [@] }]\n",
    "listeners: [{ bind: 127.0.0.1:8080, limits: { header_timeout: @ } }]\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\ndrain_timeout: @\n",
    "listeners: [{ bind: 127.0.0.1:8080, limits: { body_bytes: @ } }]\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nadmin: @\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nadmin: { bind: @ }\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nservices: { a: { endpoints: [@] } }\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nservices: { a: { endpoints: [https://a], tls: { server_name: @ } } }\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nroutes: [{ name: r, match: { host: @ }, respond: { status: 200 } }]\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nroutes: [{ name: r, match: { path: @ }, respond: { status: 200 } }]\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nroutes: [{ name: r, match: { method: @ }, respond: { status: 200 } }]\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nroutes: [{ name: r, match: { client_ip: @ }, respond: { status: 200 } }]\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nroutes: [{ name: r, redirect: { host: @ } }]\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nroutes: [{ name: r, redirect: { path: @ } }]\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nroutes: [{ name: r, redirect: { regex: [@, /x] } }]\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nservices: { a: { endpoints: [] } }\nroutes: [{ name: r, to: a, rewrite: { prefix: @ } }]\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nservices: { a: { endpoints: [] } }\nroutes: [{ name: r, to: a, rewrite: { host: @ } }]\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nservices: { a: { endpoints: [] } }\nroutes: [{ name: r, to: a, timeout: @ }]\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nroutes: [{ name: r, respond: { status: 200 } }]\ntests: [{ request: @, expect: { route: r } }]\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nrollouts: { p: { steps: [@, 100] } }\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nrollouts: { p: { steps: [1, 100], at_least: @ } }\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nrollouts: { p: { steps: [1, 100], judge: @ } }\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nrollouts: { p: { steps: [1, 100], judge: { errors: @ } } }\n",
    "listeners: [{ bind: 127.0.0.1:8080 }]\nrollouts: { p: { steps: [1, 100], judge: { errors: { ratio: @ } } } }\n",
];

/// Parts of values.
const PARTS: &[&str] = &[
    "http://",
    "https://",
    "grpc://",
    "h2c://",
    "ftp://",
    "a",
    "example.com",
    "localhost",
    "::1",
    "[::1]",
    "fe80::a",
    "10.0.0.1",
    "10.0.0.1/8",
    ":",
    ":80",
    ":0",
    ":99999",
    "80",
    "5",
    "99999999",
    "/",
    "/x",
    "/*",
    "*",
    "*.",
    ".",
    "..",
    "?q=1",
    "#f",
    "u:p@",
    "^",
    "~",
    "(",
    "{id}",
    "{",
    "%",
    "%2F",
    " ",
    ",",
    ";",
    "-",
    "ü",
    "`",
    "\\",
    "\"",
    "get",
    "Connect",
    "GET ",
    " HTTP/1.1",
    "kb",
    "none",
    "KiB",
    "m",
    "s",
    "unix:",
    "\u{1}",
    "$1",
];

/// Beginnings of hints that show a value.
const BEGINNINGS: &[&str] = &[
    "did you mean `",
    "write `",
    "for a regex write `",
    "leave it out: `",
    "leave the scheme out: `",
    "leave the port out: `",
    "leave the brackets out: `",
    "leave the `/` out: `",
    "leave out what follows: `",
    "add one: `",
    "add one, with the address in brackets: `",
    "a port is missing: `",
];

/// Writes `text` as YAML, in quotes.
fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\x{:02x}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

fn diagnostics(config: String) -> Vec<Diagnostic> {
    match load_text(config) {
        Ok(loaded) => loaded.warnings,
        Err(found) => found,
    }
}

/// The value that a hint shows.
fn shown(help: &str) -> Option<&str> {
    let rest = BEGINNINGS
        .iter()
        .find_map(|beginning| help.strip_prefix(beginning))?;
    let value = rest.split('`').next()?;
    // Keys of a mapping, rather than a value.
    (!value.starts_with("host: ")).then_some(value)
}

/// Checks the hints at `value` in each place. Returns the number of hints with a value.
fn check_hints(value: &str) -> usize {
    let mut count = 0;
    for place in PLACES {
        for found in diagnostics(place.replace('@', &quoted(value))) {
            let Some(shown) = found.help.as_deref().and_then(shown) else {
                continue;
            };
            count += 1;
            let text = match shown.starts_with("{ ") {
                true => shown.to_owned(),
                false => quoted(shown),
            };
            let at = |found: &Diagnostic| {
                let place = &found.labels[0].place;
                (place.line, place.column)
            };
            let again = diagnostics(place.replace('@', &text));
            let still: Vec<String> = lines(&again)
                .into_iter()
                .zip(&again)
                // An address that is open to others is a question of its own.
                .filter(|(_, again)| at(again) == at(&found) && again.code != Code::OpenAdmin)
                .map(|(line, _)| line)
                .collect();
            assert!(
                still.is_empty(),
                "`{value}` in {place}{:?}\nthen {still:?}",
                found.help
            );
        }
    }
    count
}

#[test]
fn corrected_values_are_accepted() {
    let mut count = 0;
    for first in PARTS {
        count += check_hints(first);
        for second in PARTS {
            count += check_hints(&format!("{first}{second}"));
        }
    }
    assert!(count > 1000, "{count}");
}

#[test]
fn values_with_a_second_mistake_are_not_shown_as_correct() {
    for value in ["%{id}::1", "/GET %{id}", "http://{*", "/x/{*"] {
        check_hints(value);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn corrected_values_of_any_parts_are_accepted(parts in prop::collection::vec(prop::sample::select(PARTS), 3..6)) {
        check_hints(&parts.concat());
    }
}
