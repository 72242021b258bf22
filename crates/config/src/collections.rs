//! Lists, and mappings with names as keys.

use std::rc::Rc;

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::diagnostic::Code;
use crate::keys::{At, KeyTable, Read, wrong_type};
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::suggest::correction::{before_path, is_showable, plain};
use crate::suggest::flow;
use crate::tree::{Node, Value};
use crate::values::{Text, text_of};

/// One value, or a non-empty list of values.
#[derive(Debug, Clone)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<At<T>>);

/// A list, possibly empty.
#[derive(Debug, Clone)]
pub(crate) struct List<T>(pub(crate) Vec<At<T>>);

/// A non-empty list.
#[derive(Debug, Clone)]
pub(crate) struct NonEmptyList<T>(pub(crate) Vec<At<T>>);

/// A mapping with names as keys: the entries in order, and the names whose values could not be read.
#[derive(Debug, Clone)]
pub(crate) struct Named<T>(pub(crate) Vec<(Text, At<T>)>, pub(crate) Vec<(Text, Span)>);

fn read_items<T: Read>(items: &[Node], problems: &mut Problems) -> Vec<At<T>> {
    items
        .iter()
        .filter_map(|item| At::read(item.span, item, problems))
        .collect()
}

fn report_empty<T: Read>(node: &Node, problems: &mut Problems) {
    problems
        .add(Code::EmptyList, node.span, "the list is empty")
        .help(T::help_if_empty());
}

/// Reports that `node` is no list, with the list that was probably meant.
fn report_no_list<T: Read>(node: &Node, problems: &mut Problems) {
    let is_text = text_of(node).is_some();
    if !is_text && !matches!(node.value, Value::Mapping(_)) {
        wrong_type(node, "a list", problems);
        return;
    }
    let problem = problems.add(
        Code::WrongType,
        node.span,
        format!("expected a list, found {}", node.found()),
    );
    match (&node.value, flow::of(node)) {
        // A mapping of names is what some gateways have in place of a list.
        (Value::Mapping(entries), _)
            if names_items::<T>()
                && entries
                    .iter()
                    .all(|entry| matches!(entry.value.value, Value::Mapping(_))) =>
        {
            let first = entries.first().map_or("a", |entry| &*entry.key);
            problem.help(format!(
                "write each as an item with its name: `- name: {}`",
                quote(first).trim_matches('`')
            ));
        }
        (_, _) if is_text && T::table().is_some_and(|table| table.words == "a route") => {
            problem
                .help("write each as an item: `- { name: orders, match: { path: /orders/* }, to: orders }`");
        }
        (_, Some(item)) if is_text => {
            let list = match node.text() {
                // Lists in one text, with commas, are common elsewhere.
                Some(text) if are_words(text) => format!("[{}]", text.trim()),
                _ => format!("[{item}]"),
            };
            let problem = problem.help(format!(
                "put it into a list: `{list}`, or a line of its own that begins with `- `"
            ));
            if let Some(written) = node.written() {
                problem.mend(node.span, written, list);
            }
        }
        _ => {
            problem.help("put it into a list: `[…]`, or a line of its own that begins with `- `");
        }
    }
}

/// Returns true for several plain words with commas between them, such as `GET, POST`.
fn are_words(text: &str) -> bool {
    let is_plain = |word: &str| {
        let word = word.trim();
        let mut bytes = word.bytes();
        bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    text.contains(',') && text.split(',').all(is_plain)
}

/// Returns true if the items of a list have names.
fn names_items<T: Read>() -> bool {
    T::table().is_some_and(|table| table.keys.iter().any(|key| key.name == "name"))
}

impl<T: Read> Read for OneOrMany<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::List(items) if items.is_empty() => {
                report_empty::<T>(node, problems);
                None
            }
            Value::List(items) => Some(Self(read_items(items, problems))),
            _ => Some(Self(vec![At::read(node.span, node, problems)?])),
        }
    }

    fn words() -> String {
        format!("{}, or a list of them", T::words())
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [T::schema(generator), NonEmptyList::<T>::schema(generator)] })
    }

    fn table() -> Option<&'static KeyTable> {
        T::table()
    }
}

/// Reports that `node` is no mapping of names. Some gateways have a list in its place.
fn report_no_names<T: Read>(node: &Node, problems: &mut Problems) {
    let Value::List(items) = &node.value else {
        wrong_type(node, &Named::<T>::words(), problems);
        return;
    };
    let of_first = |keys: &[&str]| match &items.first()?.value {
        Value::Mapping(entries) => {
            let entry = entries.iter().find(|entry| keys.contains(&&*entry.key))?;
            entry.value.written().filter(|text| is_showable(text))
        }
        _ => None,
    };
    let name = of_first(&["name", "id"]).unwrap_or("orders");
    // Where a value is a text, the first item may have it; a service has its address.
    let value = match T::table().map(|table| table.words) {
        None => of_first(&["value", "exact", "weight"]).map(|text| plain(text).into_owned()),
        Some("a service") => items.first().and_then(service_of),
        Some(_) => None,
    };
    problems
        .add(
            Code::WrongType,
            node.span,
            format!("expected {}, found a list", Named::<T>::words()),
        )
        .help(format!(
            "write each under its name, without a dash: `{}: {}`",
            plain(name),
            value.as_deref().unwrap_or("…")
        ));
}

/// Returns a service of Kong, which has a URL, or a host and a port.
fn service_of(item: &Node) -> Option<String> {
    let Value::Mapping(entries) = &item.value else {
        return None;
    };
    let of = |key: &str| {
        let entry = entries.iter().find(|entry| &*entry.key == key)?;
        entry.value.written()
    };
    let url = match (of("url"), of("host")) {
        (Some(url), _) => {
            let (scheme, rest) = url.split_once("://")?;
            format!("{scheme}://{}", before_path(rest))
        }
        (None, Some(host)) => {
            let scheme = of("protocol").unwrap_or("http");
            let port = of("port").map_or_else(String::new, |port| format!(":{port}"));
            format!("{scheme}://{host}{port}")
        }
        (None, None) => return None,
    };
    let service = format!("{{ endpoints: [{}] }}", plain(&url));
    is_showable(&service).then_some(service)
}

impl<T: Read> Read for List<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Value::List(items) = &node.value else {
            report_no_list::<T>(node, problems);
            return None;
        };
        Some(Self(read_items(items, problems)))
    }

    fn words() -> String {
        format!("a list; each item is {}", T::words())
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": T::schema(generator) })
    }

    fn table() -> Option<&'static KeyTable> {
        T::table()
    }
}

impl<T: Read> Read for NonEmptyList<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        if matches!(&node.value, Value::List(items) if items.is_empty()) {
            report_empty::<T>(node, problems);
            return None;
        }
        List::read(node, problems).map(|list| Self(list.0))
    }

    fn words() -> String {
        List::<T>::words()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": T::schema(generator), "minItems": 1 })
    }

    fn table() -> Option<&'static KeyTable> {
        T::table()
    }
}

impl<T: Read> Read for Named<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Value::Mapping(entries) = &node.value else {
            report_no_names::<T>(node, problems);
            return None;
        };
        let mut named = Self(Vec::new(), Vec::new());
        for entry in entries.iter() {
            let name = Rc::clone(&entry.key);
            match At::read(entry.key_span, &entry.value, problems) {
                Some(value) => named.0.push((name, value)),
                None => named.1.push((name, entry.key_span)),
            }
        }
        Some(named)
    }

    fn words() -> String {
        format!("a mapping of names; each value is {}", T::words())
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": T::schema(generator) })
    }

    fn table() -> Option<&'static KeyTable> {
        T::table()
    }
}
