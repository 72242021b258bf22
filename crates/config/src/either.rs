//! Values with two forms: text or a list, or a mapping with more to say.

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::collections::{List, Named};
use crate::diagnostic::Code;
use crate::keys::{At, KeyTable, Read, wrong_type};
use crate::numbers::{Percent, Whole};
use crate::problems::Problems;
use crate::suggest::correction::{self, is_showable, plain};
use crate::suggest::shape;
use crate::tree::{Node, Value};
use crate::values::{OriginText, Text, is_one_of, text_of};

/// One name, or names with weights.
#[derive(Debug, Clone)]
pub(crate) enum To {
    Service(At<Text>),
    Split(Named<Whole>),
}

/// Names, or names with weights.
#[derive(Debug, Clone)]
pub(crate) enum ArmsText {
    Names(List<Text>),
    Weights(Named<Whole>),
}

/// Text, or a mapping with more to say.
#[derive(Debug, Clone)]
pub(crate) enum TextOr<T> {
    Text(At<Text>),
    Mapping(Box<T>),
}

/// A URL, or several where a variable brings them, or a mapping with more to say.
#[derive(Debug, Clone)]
pub(crate) enum UrlsOr<T> {
    Urls(OriginText),
    Mapping(Box<T>),
}

/// A list, or a mapping with more to say.
#[derive(Debug, Clone)]
pub(crate) enum ListOr<L, T> {
    List(List<L>),
    Mapping(Box<T>),
}

/// One of a few words, or a mapping with more to say.
#[derive(Debug, Clone)]
pub(crate) enum WordOr<W, T> {
    Word(W),
    Mapping(Box<T>),
}

/// A mapping that may be written as text.
pub(crate) trait Shorthand: Read {
    /// Description of the text, with its article: `the name of a cookie`.
    const WORDS: &'static str;
}

/// `true`, or text.
#[derive(Debug, Clone)]
pub(crate) enum TrueOrText {
    True,
    Text(Text),
}

/// `off`, or a mapping.
#[derive(Debug, Clone)]
pub(crate) enum OffOr<T> {
    Off,
    Mapping(Box<T>),
}

/// `*` for all, or a list.
#[derive(Debug, Clone)]
pub(crate) enum AllOr<T> {
    All,
    These(List<T>),
}

/// A value, or `off` to take away that of an outer place.
#[derive(Debug, Clone)]
pub(crate) enum Removable<T> {
    Off,
    Value(T),
}

/// A percentage, or a mapping with more to say.
#[derive(Debug, Clone)]
pub(crate) enum PercentOr<T> {
    Percent(At<Percent>),
    Mapping(Box<T>),
}

impl<T> At<Removable<T>> {
    /// The value, unless it is `off`.
    pub(crate) fn given(&self) -> Option<At<&T>> {
        match &self.value {
            Removable::Off => None,
            Removable::Value(value) => Some(self.with(value)),
        }
    }
}

impl<T: Read> Read for Removable<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        if text_of(node).is_some_and(|text| &**text == "off") {
            return Some(Self::Off);
        }
        if is_one_of(node, &["off", "false", "no"]) && !T::takes_false() {
            let problem = problems
                .add(
                    Code::WrongType,
                    node.span,
                    format!("expected {}, or `off`, found {}", T::words(), node.found()),
                )
                .help("write `off` to take it away where a policy has it, or leave it out");
            if let Some(written) = node.written() {
                problem.propose(node.span, written, "off");
            }
            return None;
        }
        T::read(node, problems).map(Self::Value)
    }

    fn words() -> String {
        format!("{}; or `off`", T::words())
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string", "enum": ["off"] }, T::schema(generator)] })
    }

    fn table() -> Option<&'static KeyTable> {
        T::table()
    }
}

impl<T: Read> Read for AllOr<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match text_of(node) {
            Some(text) if &**text == "*" => Some(Self::All),
            _ => List::read(node, problems).map(Self::These),
        }
    }

    fn words() -> String {
        format!("`\"*\"`, or {}", List::<T>::words())
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string", "enum": ["*"] }, List::<T>::schema(generator)] })
    }
}

impl<T: Read> Read for PercentOr<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Mapping(_) => T::read(node, problems).map(|mapping| Self::Mapping(Box::new(mapping))),
            _ => At::read(node.span, node, problems).map(Self::Percent),
        }
    }

    fn words() -> String {
        "a percentage, or a mapping".to_owned()
    }

    fn help_if_empty() -> &'static str {
        "write shares, such as `[1, 5, 25, 50, 100]`"
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [Percent::schema(generator), T::schema(generator)] })
    }

    fn table() -> Option<&'static KeyTable> {
        T::table()
    }
}

impl Read for TrueOrText {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        if is_one_of(node, &["true"]) {
            return Some(Self::True);
        }
        if is_one_of(node, &["false"]) {
            problems
                .add(
                    Code::WrongType,
                    node.span,
                    format!("expected {}, found {}", Self::words(), node.found()),
                )
                .help("leave the key out");
            return None;
        }
        Text::read(node, problems).map(Self::Text)
    }

    fn words() -> String {
        "`true`, or text".to_owned()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "boolean", "enum": [true] }, { "type": "string" }] })
    }
}

impl Read for To {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Mapping(_) => Named::read(node, problems).map(Self::Split),
            Value::Scalar(_) => At::read(node.span, node, problems).map(Self::Service),
            Value::List(items) => {
                let split = shape::split(items);
                let one = match &**items {
                    [one] => one.written().filter(|one| is_showable(one)),
                    _ => None,
                };
                problems
                    .add(
                        Code::WrongType,
                        node.span,
                        "expected the name of a service, or a mapping of names to weights, found a list",
                    )
                    .help(match one {
                        _ if split.is_some() => format!("write `{}`", split.unwrap_or_default()),
                        Some(one) => format!("write `{}` without the brackets", plain(one)),
                        None => "write a split as `{ orders-v1: 90, orders-v2: 10 }`".to_owned(),
                    });
                None
            }
        }
    }

    fn words() -> String {
        "the name of a service, or a mapping of names to weights".to_owned()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [Text::schema(generator), Named::<Whole>::schema(generator)] })
    }
}

impl Read for ArmsText {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Mapping(_) => Named::read(node, problems).map(Self::Weights),
            _ => List::read(node, problems).map(Self::Names),
        }
    }

    fn words() -> String {
        "a list of names, or a mapping of names to weights".to_owned()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [List::<Text>::schema(generator), Named::<Whole>::schema(generator)] })
    }
}

impl<T: Shorthand> Read for TextOr<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Mapping(_) => T::read(node, problems).map(|mapping| Self::Mapping(Box::new(mapping))),
            Value::Scalar(_) => At::read(node.span, node, problems).map(Self::Text),
            Value::List(_) => {
                wrong_type(node, &Self::words(), problems);
                None
            }
        }
    }

    fn words() -> String {
        format!("{}, or a mapping", T::WORDS)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [Text::schema(generator), T::schema(generator)] })
    }

    fn table() -> Option<&'static KeyTable> {
        T::table()
    }
}

impl<T: Read> Read for UrlsOr<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Mapping(_) => T::read(node, problems).map(|mapping| Self::Mapping(Box::new(mapping))),
            Value::Scalar(_) => OriginText::read(node, problems).map(Self::Urls),
            Value::List(_) => {
                wrong_type(node, &Self::words(), problems);
                None
            }
        }
    }

    fn words() -> String {
        "a URL, or a mapping".to_owned()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [OriginText::schema(generator), T::schema(generator)] })
    }

    fn table() -> Option<&'static KeyTable> {
        T::table()
    }
}

impl<L: Read, T: Read> Read for ListOr<L, T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Mapping(_) => T::read(node, problems).map(|mapping| Self::Mapping(Box::new(mapping))),
            _ => List::read(node, problems).map(Self::List),
        }
    }

    fn words() -> String {
        format!("{}; or a mapping", List::<L>::words())
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [List::<L>::schema(generator), T::schema(generator)] })
    }

    fn table() -> Option<&'static KeyTable> {
        T::table()
    }
}

impl<W: Read, T: Read> Read for WordOr<W, T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Mapping(_) => T::read(node, problems).map(|mapping| Self::Mapping(Box::new(mapping))),
            Value::Scalar(_) => W::read(node, problems).map(Self::Word),
            Value::List(_) => {
                wrong_type(node, &Self::words(), problems);
                None
            }
        }
    }

    fn words() -> String {
        format!("{}, or a mapping", W::words())
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [W::schema(generator), T::schema(generator)] })
    }

    fn table() -> Option<&'static KeyTable> {
        T::table()
    }
}

impl<T: Read> Read for OffOr<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Mapping(_) => T::read(node, problems).map(|mapping| Self::Mapping(Box::new(mapping))),
            _ if text_of(node).is_some_and(|text| &**text == "off") => Some(Self::Off),
            _ => {
                // Text with a colon is most likely the address, which is the first key.
                let first = T::table().and_then(|table| table.keys.first());
                let takes_address = first.is_some_and(|key| key.name == "bind");
                let meant = text_of(node).filter(|text| takes_address && text.contains(':'));
                let meant = meant.and_then(|text| correction::address(text, "127.0.0.1", 9900));
                let is_off = is_one_of(node, &["false", "no", "none"]);
                let replacement = match (&meant, first) {
                    _ if is_off => Some("off".to_owned()),
                    (Some(address), Some(key)) => Some(format!("{{ {}: {} }}", key.name, plain(address))),
                    _ => None,
                };
                let help = first.map(|key| match &meant {
                    _ if is_off => "write `off`".to_owned(),
                    Some(address) => format!("write `{{ {}: {} }}`", key.name, plain(address)),
                    None => format!("write `{{ {}: {} }}`, or `off`", key.name, key.example),
                });
                let problem = problems
                    .add(
                        Code::WrongType,
                        node.span,
                        format!("expected a mapping or `off`, found {}", node.found()),
                    )
                    .help_if(help);
                if let (Some(replacement), Some(written)) = (replacement, node.written()) {
                    match is_off {
                        true => problem.mend(node.span, written, replacement),
                        false => problem.propose(node.span, written, replacement),
                    };
                }
                None
            }
        }
    }

    fn words() -> String {
        "a mapping, or `off`".to_owned()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string", "enum": ["off"] }, T::schema(generator)] })
    }

    fn table() -> Option<&'static KeyTable> {
        T::table()
    }
}
