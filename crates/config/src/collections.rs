//! Lists, and mappings with names as keys.

use std::rc::Rc;

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::diagnostic::Code;
use crate::keys::{At, KeyTable, Read, wrong_type};
use crate::place::Span;
use crate::problems::Problems;
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

impl<T: Read> Read for List<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Value::List(items) = &node.value else {
            if text_of(node).is_some() || matches!(node.value, Value::Mapping(_)) {
                problems
                    .add(
                        Code::WrongType,
                        node.span,
                        format!("expected a list, found {}", node.found()),
                    )
                    .help("put it into a list: `[…]`, or a line of its own that begins with `- `");
            } else {
                wrong_type(node, "a list", problems);
            }
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
            wrong_type(node, &Self::words(), problems);
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
