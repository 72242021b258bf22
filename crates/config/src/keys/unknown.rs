//! Hints at unknown keys: the key of this language for a word of another gateway, with a snippet.

use std::borrow::Cow;

use super::{Key, KeyTable};
use crate::suggest::correction::{address, is_showable, plain};
use crate::suggest::foreign::{self, Meaning};
use crate::suggest::{flow, location, other_config, service, shape};
use crate::tree::{Entry, Node, Value};

/// The statuses of redirects, as other gateways write them in front of a URL.
const REDIRECTS: &[&str] = &["301", "302", "303", "307", "308"];

/// Returns the meaning of `name` as a word of another gateway in `table`.
pub(crate) fn meaning(name: &str, table: &KeyTable) -> Option<Meaning> {
    if condition(name, table).is_some() {
        return Some(Meaning::Elsewhere(""));
    }
    let meaning = |word| foreign::meaning(word, table.words, |key| table.has(key));
    // nginx and HAProxy write a name behind the word.
    meaning(name).or_else(|| meaning(name.split_once(' ')?.0))
}

/// Returns the hint at a word of another gateway.
pub(crate) fn hint(entry: &Entry, table: &KeyTable) -> Option<String> {
    let name = &*entry.key;
    let written = entry.value.written();
    let condition = condition(name, table);
    // `uri` and `url` are paths in some gateways, destinations in others.
    if let Some(condition) = condition
        && !written.is_some_and(|text| text.contains("://"))
    {
        return Some(condition_hint(entry, condition));
    }
    if let Some(hint) = own_header(entry) {
        return Some(hint);
    }
    let is_destination = condition.is_some() || matches!(meaning(name, table), Some(Meaning::Key("to", _)));
    if let Some(services) = written.filter(|_| is_destination).and_then(service::hint) {
        return Some(services);
    }
    if table.words == "a route"
        && name.eq_ignore_ascii_case("filters")
        && let Value::List(items) = &entry.value.value
        && let Some(keys) = other_config::filters(items)
    {
        return Some(format!("filters are keys of the route itself: write {keys}"));
    }
    if table.words == "the configuration"
        && let Some(route) = other_config::first_route(entry)
    {
        return Some(format!(
            "there is no level above `listeners`, `services` and `routes`; its first route is `routes: [{route}]`"
        ));
    }
    let (key, hint) = match meaning(name, table)? {
        Meaning::Elsewhere("") => return None,
        Meaning::Elsewhere(hint) => return Some(filled(hint, written)),
        Meaning::Key(key, hint) => (key, hint),
    };
    if key == "respond"
        && let Some((status, _)) = written.and_then(|text| text.split_once(' '))
        && REDIRECTS.contains(&status)
        && let Some(redirect) = table.key("redirect").and_then(|key| (key.table)())
        && let Some(shape) = shape_of(entry, redirect)
    {
        return Some(format!(
            "did you mean `redirect`? write `redirect: {}`",
            shape.yaml
        ));
    }
    let known = table.key(key)?;
    Some(format!(
        "did you mean `{key}`? {}",
        shaped(entry, known).unwrap_or_else(|| match hint {
            "" => format!("for example `{key}: {}`", known.example),
            _ => with_verb(&filled(hint, written)),
        })
    ))
}

/// Returns the hint at a key that is no word of another gateway, but whose place tells what is meant.
pub(crate) fn hint_elsewhere(entry: &Entry, table: &KeyTable) -> Option<String> {
    if table.words == "header edits" {
        let value = flow::of(&entry.value)?;
        let name = plain(&entry.key);
        return is_showable(&name)
            .then(|| format!("a header goes under `set`: `set: {{ {name}: {value} }}`"));
    }
    None
}

/// Returns the hint with the value in the form that `key` takes.
fn shaped(entry: &Entry, key: &Key) -> Option<String> {
    let write = |value: &str| Some(format!("write `{}: {value}`", key.name));
    let value = &entry.value;
    let written = value.written();
    match (key.name, &value.value) {
        ("to", Value::List(items)) => return write(&shape::split(items)?),
        ("to", Value::Mapping(_)) => return write(&plain_unless_split(&other_config::destination(value)?)),
        ("match", Value::List(items)) => {
            if let Some(matching) = other_config::predicates(items) {
                return write(&matching);
            }
        }
        ("endpoints", _) => return write(&other_config::endpoints(value)?),
        ("services", _) if key.name != entry.key.as_ref() => {
            if let Some(services) = other_config::services(entry) {
                return write(&services);
            }
        }
        ("listeners", Value::Mapping(entries)) => {
            if let Some(listener) = other_config::listener(entries) {
                return write(&listener);
            }
        }
        ("respond", Value::Mapping(_)) => return write(&response(value)?),
        ("access", _) => {
            let is_denial = entry.key.contains("deny") || entry.key.contains("black");
            let shape = shape_of(entry, (key.table)()?)?.yaml;
            return write(&match is_denial {
                true => shape.replace("{ allow:", "{ deny:"),
                false => shape,
            });
        }
        ("use", Value::List(items)) if items.iter().all(|item| item.written().is_some()) => {
            return write(&flow::of(value)?);
        }
        ("bind", Value::Scalar(_)) => {
            let text = written?.split_ascii_whitespace().next()?;
            return write(&plain(&address(text, "0.0.0.0", 8080)?));
        }
        ("path", Value::Scalar(_)) => {
            if let Some(path) = path_value(entry, key) {
                return write(&path);
            }
        }
        _ => {}
    }
    let table = (key.table)()?;
    // A prefix that is taken off is not the one that is written in its place, and a port alone is no endpoint.
    if matches!(table.words, "a rewrite" | "an endpoint") {
        return None;
    }
    if table.words == "header edits" {
        if let Some((name, value)) = written.and_then(header_line) {
            return write(&format!("{{ set: {{ {}: {value} }} }}", plain(name)));
        }
        let Value::Mapping(entries) = &value.value else {
            return None;
        };
        let is_pairs = entries.iter().all(|entry| entry.value.written().is_some());
        let pairs = flow::of(value).filter(|_| is_pairs && !entries.is_empty())?;
        return write(&format!("{{ set: {pairs} }}"));
    }
    // The word can be that of a key within.
    let inner = foreign::meaning(&entry.key, table.words, |key| table.has(key));
    if let (Some(Meaning::Key(inner, _)), Some(_)) = (inner, written)
        && table.key(inner).is_some_and(|key| (key.table)().is_none())
        && !table.requires_more_than(inner)
    {
        return write(&format!("{{ {inner}: {} }}", flow::of(value)?));
    }
    let has_other_keys = matches!(
        table.words,
        "the limits of a listener"
            | "the timeouts of a service"
            | "the timeouts of a route"
            | "the `tls` of a listener"
            | "the `tls` of a service"
    );
    if has_other_keys {
        return None;
    }
    write(&shape_of(entry, table)?.yaml)
}

/// Returns a name and a value, as in `X-Frame-Options DENY` of nginx; `None` where a variable is in the value.
fn header_line(text: &str) -> Option<(&str, Cow<'_, str>)> {
    let (name, value) = text.split_once(' ')?;
    let value = value.trim();
    let value = value.strip_suffix(" always").unwrap_or(value).trim_matches('"');
    let is_fixed = !value.contains(['$', '%', '{']) && is_showable(value);
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (is_fixed && is_name && !value.is_empty()).then(|| (name, plain(value)))
}

/// The headers of nginx that are passed on, or made, by the gateway itself.
const OWN_HEADERS: [&str; 6] = [
    "Host",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Real-IP",
];

/// Returns the hint at a header that services get by themselves.
fn own_header(entry: &Entry) -> Option<String> {
    let (name, value) = entry.value.written()?.split_once(' ')?;
    let mut own = OWN_HEADERS.iter();
    let name = own.find(|own| own.eq_ignore_ascii_case(name))?;
    let is_set = entry.key.to_ascii_lowercase().contains("set_header") || entry.key.contains("header_up");
    (is_set && value.contains(['$', '{']))
        .then(|| format!("leave it out: services get `{name}` by themselves"))
}

/// Returns the response that a `direct_response` of Envoy says.
fn response(node: &Node) -> Option<String> {
    let Value::Mapping(entries) = &node.value else {
        return None;
    };
    let find = |entries: &[Entry], key: &str| {
        let entry = entries.iter().find(|entry| &*entry.key == key);
        entry.map(|entry| entry.value.clone())
    };
    let status = find(entries, "status")?.written()?.parse::<u16>().ok()?;
    let body = find(entries, "body").and_then(|body| match &body.value {
        Value::Mapping(inner) => flow::of(&find(inner, "inline_string")?),
        _ => flow::of(&body),
    });
    Some(match body {
        Some(body) => format!("{{ status: {status}, body: {body} }}"),
        None => format!("{{ status: {status} }}"),
    })
}

fn plain_unless_split(to: &str) -> String {
    match to.starts_with('{') {
        true => to.to_owned(),
        false => plain(to).into_owned(),
    }
}

/// Returns the key of a match that `name`, a key of a route, is a word for; `None` in every other mapping.
fn condition(name: &str, table: &KeyTable) -> Option<&'static Key> {
    if table.words != "a route" {
        return None;
    }
    let conditions = (table.key("match")?.table)()?;
    if let Some(known) = conditions.key(name) {
        return Some(known);
    }
    // A route has such words of its own.
    let is_own = foreign::meaning(name, table.words, |_| true).is_some();
    match foreign::meaning(name, conditions.words, |name| conditions.has(name)) {
        Some(Meaning::Key(meant, _)) if !is_own => conditions.key(meant),
        _ => None,
    }
}

/// Returns the mapping of `table` that a value probably stands for.
fn shape_of(entry: &Entry, table: &KeyTable) -> Option<shape::Shape> {
    shape::of(&entry.value, table.words, |key| table.has(key))
}

/// Returns the hint at a condition that stands in the route itself.
fn condition_hint(entry: &Entry, key: &Key) -> String {
    let name = &*entry.key;
    // Lists of mappings are of another shape, and a scheme is one word.
    let is_alike = match &entry.value.value {
        Value::List(items) => key.name != "scheme" && items.iter().all(|item| item.written().is_some()),
        Value::Scalar(_) | Value::Mapping(_) => true,
    };
    let listed = match &entry.value.value {
        Value::List(items) if key.name == "path" && name == "paths" => {
            let paths: Option<Vec<String>> = items
                .iter()
                .map(|item| Some(plain(&path_of_kong(item.written()?)).into_owned()))
                .collect();
            paths.map(|paths| format!("[{}]", paths.join(", ")))
        }
        _ => path_value(entry, key),
    };
    let value = listed.or_else(|| flow::of(&entry.value).filter(|_| is_alike));
    let value = value.unwrap_or_else(|| key.example.to_owned());
    let what = if key.name == name {
        format!("`{name}` is a key of a match, so it goes under `match`")
    } else {
        format!("`{name}` is `{}` here, and goes under `match`", key.name)
    };
    let also = match key.name {
        "headers" => "; headers are changed by `request_headers: { set: { … } }`",
        _ => "",
    };
    format!("{what}: `match: {{ {}: {value} }}`{also}", key.name)
}

/// Returns a path in the form that its word stands for: `/x/*` for a prefix, `~…` for a regex.
fn path_value(entry: &Entry, key: &Key) -> Option<String> {
    let text = entry.value.written().filter(|_| key.name == "path")?;
    let word = entry.key.to_ascii_lowercase();
    let path = if let Some(location) = location::of(text) {
        location.pattern
    } else if text.starts_with('/') && !text.ends_with('*') && (word.contains("prefix") || word == "location")
    {
        format!("{}/*", text.trim_end_matches('/'))
    } else if word == "paths" {
        path_of_kong(text)
    } else if word.contains("reg") && !text.starts_with('~') {
        format!("~{text}")
    } else {
        return None;
    };
    is_showable(&path).then(|| plain(&path).into_owned())
}

/// Returns a path of Kong: a prefix, or a regex that is looked for at the beginning alone.
fn path_of_kong(text: &str) -> String {
    match text.strip_prefix("~/") {
        Some(regex) => format!("~^/{regex}"),
        None if text.starts_with('/') && !text.ends_with('*') => format!("{}/*", text.trim_end_matches('/')),
        None => text.to_owned(),
    }
}

/// Returns a hint with the written value in the place of its example, `@example@`, if both are of one kind.
fn filled(hint: &str, written: Option<&str>) -> String {
    let mut parts = hint.split('@');
    let mut text = parts.next().unwrap_or_default().to_owned();
    while let (Some(example), Some(rest)) = (parts.next(), parts.next()) {
        let value = written.map(|value| match value {
            "/" => value,
            _ => value.trim_end_matches('/'),
        });
        let value = value.filter(|value| is_showable(value) && is_like(value, example));
        text.push_str(value.unwrap_or(example));
        text.push_str(rest);
    }
    text
}

fn is_like(value: &str, example: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/');
    !value.is_empty()
        && value.bytes().all(is_plain)
        && value.starts_with('/') == example.starts_with('/')
        && value.contains('/') == example.contains('/')
        && value.parse::<f64>().is_ok() == example.parse::<f64>().is_ok()
}

/// Puts a verb in front of a snippet.
fn with_verb(hint: &str) -> String {
    match hint.starts_with('`') {
        true => format!("write {hint}"),
        false => hint.to_owned(),
    }
}
