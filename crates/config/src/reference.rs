//! The reference page, generated from the same definitions as parser and schema.

use std::fmt::Write;

use waypost_plan::value::ValueName;

use crate::description::paragraphs;
use crate::diagnostic::{Code, Severity};
use crate::document::Document;
use crate::keys::{KeyTable, Presence};

/// Returns the reference of the configuration language in Markdown: every key with its type, default, meaning and an
/// example, and every diagnostic code.
pub fn reference() -> String {
    let mut page = String::from(INTRODUCTION);
    let mut seen = Vec::new();
    section("", &Document::TABLE, &mut seen, &mut page);
    page.push_str(VALUES);
    for (name, meaning) in ValueName::reference() {
        push(&mut page, format_args!("| `{{{name}}}` | {meaning} |\n"));
    }
    page.push_str("\n## Diagnostics\n\n");
    page.push_str("A configuration with errors is refused, one with warnings is not. A code never changes its meaning.\n\n");
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

const VALUES: &str = "\
## Values of a request

`{NAME}` stands for a value of the request in the values of `request_headers` and `response_headers` (`set`, `add`), in
`respond.body`, in `body` and `headers` of `errors`, and in `prefix`, `path`, `host`, `query` and `url` of `rewrite` and `redirect`. `{{` and `}}` are literal braces. A
parameter of the path pattern, or a named group of its regex, is `{NAME}` too, and wins over these names. See
[routing.md](routing.md#values-of-a-request).

| Name | Value |
|---|---|
";

const INTRODUCTION: &str = "\
# Configuration

<!-- Generated from the definitions in crates/config by `UPDATE_DOCS=1 cargo test -p waypost-config`. -->

A configuration is YAML, so it can be JSON: one file, or a directory whose `*.yaml` and `*.yml` files are merged in the
order of their names. A file of a directory may be empty. `waypost schema` prints its JSON Schema.

- `${NAME}` and `${NAME:-default}` in values, quoted or not, are replaced from the environment before the type of the value
  is determined. The default applies if the variable is unset or empty; without a default, both are errors, and `${NAME:-}`
  is empty on purpose. `$${` is a literal `${`. Inside `{…}` and `[…]`, quote such a value.
- In the conditions of a match, a value that begins with a variable is text to compare with, even if it begins with `~` or
  is `true` or `false`. In `~^/v${VERSION}/`, whose `~` is in the file, the variable becomes part of the regex as it is.
- Durations are whole numbers with units: `500ms`, `10s`, `1h30m`. The maximum is `24h`, unless another is given. Sizes are bytes, or have one of the
  units `KiB`, `MiB`, `GiB`.
- Where text is expected, an unquoted number is text as written. `true`, `false` and `null` are not text unless quoted;
  `yes`, `no`, `on` and `off` are.
- Unknown keys, duplicate keys and keys without a value are errors. Anchors and aliases may expand to at most 100,000
  values. Merge keys (`<<`), tags and several documents in a file are not supported.
- A file is at most 16 MiB, and lists and mappings nest at most 64 deep.

";

fn section(path: &str, table: &'static KeyTable, seen: &mut Vec<&'static str>, page: &mut String) {
    seen.push(table.words);
    let title = if path.is_empty() { "The top level" } else { path };
    let title = if path.is_empty() {
        title.to_owned()
    } else {
        format!("`{title}`")
    };
    push(page, format_args!("## {title}\n\n{}\n\n", paragraphs(table.doc)));
    // The keys of a policy are listed with those of the route.
    if is_listed(table) {
        let names: Vec<String> = table.keys.iter().map(|key| format!("`{}`", key.name)).collect();
        push(
            page,
            format_args!(
                "Its keys are described under [`routes`](#routes): {}.\n\n",
                names.join(", ")
            ),
        );
        return;
    }
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
                cell(&key.description()),
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

/// Returns true if another mapping has the keys of `table` too, and they are listed there.
fn is_listed(table: &KeyTable) -> bool {
    fn shares(other: &'static KeyTable, table: &KeyTable) -> bool {
        let shared = other.shared.and_then(|shared| shared());
        shared.is_some_and(|shared| shared.words == table.words)
            || other
                .keys
                .iter()
                .filter_map(|key| (key.table)())
                .any(|inner| shares(inner, table))
    }
    shares(&Document::TABLE, table)
}

/// A pipe would end the cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text)
        .expect("a String takes everything that is written to it");
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
