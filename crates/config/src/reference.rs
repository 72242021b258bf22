//! The reference page, made from the same definitions as parser and schema.

use std::fmt::Write;

use crate::diagnostic::{Code, Severity};
use crate::document::Document;
use crate::keys::{Presence, Table};

/// The reference of the configuration language, in Markdown: every key with type, default, meaning and an
/// example, and every code that a diagnostic may have.
pub fn reference() -> String {
    let mut page = String::from(INTRODUCTION);
    let mut seen = Vec::new();
    section("", &Document::TABLE, &mut seen, &mut page);
    page.push_str("## Diagnostics\n\n");
    page.push_str("Errors refuse the configuration, warnings do not. A code never changes its meaning.\n\n");
    page.push_str("| Code | | Meaning |\n|---|---|---|\n");
    for code in Code::ALL {
        let severity = match code.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        push(
            &mut page,
            format_args!("| `{code}` | {severity} | {} |\n", code.meaning()),
        );
    }
    page
}

const INTRODUCTION: &str = "\
# Configuration

<!-- Made from the definitions in crates/config; `UPDATE_DOCS=1 cargo test -p waypost-config` writes it. -->

A configuration is YAML, and so may be JSON: one file, or a directory whose `*.yaml` and `*.yml` files are merged in
the order of their names. `waypost schema` prints its JSON Schema.

- `${NAME}` and `${NAME:-default}` are replaced from the environment inside values, quoted or not, before the type of the
  value is decided. The default counts when the variable is unset or empty. `$${` is a literal `${`. Inside `{…}` and
  `[…]` such a value has to be quoted.
- Durations are whole numbers with units, `500ms`, `10s`, `1h30m`; they go up to `24h`. Sizes are bytes, or have one of the
  units `KiB`, `MiB`, `GiB`.
- Unquoted numbers are the text as written where text is expected. `true`, `false` and `null` are not text unless quoted;
  `yes`, `no`, `on` and `off` are.
- An unknown key, a key twice, and a key without a value are errors. Anchors and aliases may stand for up to 100,000 values
  in all; merge keys (`<<`), tags and several documents in a file are not supported.
- A file has 16 MiB at most, and lists and mappings stand at most 64 deep in each other.

";

fn section(path: &str, table: &'static Table, seen: &mut Vec<&'static str>, page: &mut String) {
    seen.push(table.words);
    let title = if path.is_empty() { "The top level" } else { path };
    let title = if path.is_empty() {
        title.to_owned()
    } else {
        format!("`{title}`")
    };
    push(page, format_args!("## {title}\n\n{}\n\n", paragraphs(table.doc)));
    page.push_str("| Key | Type | Default | Meaning |\n|---|---|---|---|\n");
    for key in table.keys {
        let default = match key.presence {
            Presence::Required => "*required*".to_owned(),
            Presence::Optional => "–".to_owned(),
            Presence::Default("") => "empty".to_owned(),
            Presence::Default(default) => format!("`{default}`"),
        };
        push(
            page,
            format_args!(
                "| `{}` | {} | {default} | {} Example: `{}: {}` |\n",
                key.name,
                cell(&(key.words)()),
                cell(&one_line(key.doc)),
                key.name,
                cell(key.example),
            ),
        );
    }
    page.push('\n');
    for key in table.keys {
        if let Some(inner) = (key.table)()
            && !seen.contains(&inner.words)
        {
            let inner_path = if path.is_empty() {
                key.name.to_owned()
            } else {
                format!("{path}.{}", key.name)
            };
            section(&inner_path, inner, seen, page);
        }
    }
}

/// A pipe would end the cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text)
        .expect("a String takes everything that is written to it");
}

/// The doc comment without the line breaks of its source, one paragraph a line.
fn paragraphs(doc: &str) -> String {
    let lines: Vec<&str> = doc.lines().map(str::trim).collect();
    let paragraphs: Vec<String> = lines
        .split(|line| line.is_empty())
        .map(|lines| lines.join(" "))
        .filter(|paragraph| !paragraph.is_empty())
        .collect();
    paragraphs.join("\n\n")
}

/// The doc comment as one line.
pub(crate) fn one_line(doc: &str) -> String {
    paragraphs(doc).replace("\n\n", " ")
}

/// The first paragraph without its full stop, and all of it.
pub(crate) fn title_and_text(doc: &str) -> (String, String) {
    let paragraphs = paragraphs(doc);
    let title = paragraphs.split("\n\n").next().unwrap_or_default();
    let title = title.strip_suffix('.').unwrap_or(title);
    (title.to_owned(), one_line(doc))
}

#[cfg(test)]
mod tests {
    /// Set to write the page instead of comparing it.
    const UPDATE: &str = "UPDATE_DOCS";

    #[test]
    fn the_page_in_docs_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let page = super::reference();
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap();
        assert!(
            written == page,
            "docs/configuration.md is old; run the tests with {UPDATE}=1"
        );
    }
}
