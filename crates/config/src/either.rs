//! What may be written in two forms: a name, or a mapping with more to say.

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::collections::{List, Named};
use crate::diagnostic::Code;
use crate::document::{Admin, State, StickyCookie};
use crate::keys::{At, Read, Table};
use crate::problems::{Problems, quote};
use crate::tree::{Node, Value};
use crate::values::{Text, Whole, text_of};

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

/// The name of a cookie, or all there is to say of it.
#[derive(Debug, Clone)]
pub(crate) enum CookieText {
    Name(At<Text>),
    Cookie(Box<StickyCookie>),
}

/// Where the admin API is, or `off`.
#[derive(Debug, Clone)]
pub(crate) enum AdminText {
    Off,
    At(Box<Admin>),
}

/// A directory, or all there is to say of the state.
#[derive(Debug, Clone)]
pub(crate) enum StateText {
    Path(At<Text>),
    State(Box<State>),
}

impl Read for To {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Mapping(_) => Named::read(node, problems).map(Self::Split),
            Value::Scalar(_) => At::read(node.span, node, problems).map(Self::Service),
            Value::List(_) => {
                problems
                    .add(
                        Code::WrongType,
                        node.span,
                        "expected the name of a service, or a mapping of names to weights, found a list",
                    )
                    .help("write a split as `{ orders-v1: 90, orders-v2: 10 }`");
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

impl Read for CookieText {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Mapping(_) => {
                StickyCookie::read(node, problems).map(|cookie| Self::Cookie(Box::new(cookie)))
            }
            _ => At::read(node.span, node, problems).map(Self::Name),
        }
    }

    fn words() -> String {
        "the name of a cookie, or a mapping".to_owned()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [Text::schema(generator), StickyCookie::schema(generator)] })
    }

    fn table() -> Option<&'static Table> {
        StickyCookie::table()
    }
}

impl Read for AdminText {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Mapping(_) => Admin::read(node, problems).map(|admin| Self::At(Box::new(admin))),
            _ if text_of(node).is_some_and(|text| &**text == "off") => Some(Self::Off),
            _ => {
                let help = match text_of(node) {
                    Some(text) if text.contains(':') => {
                        format!("write `{{ bind: {} }}`", quote(text).trim_matches('`'))
                    }
                    _ => "write `{ bind: 127.0.0.1:9900 }`, or `off`".to_owned(),
                };
                problems
                    .add(
                        Code::WrongType,
                        node.span,
                        format!("expected a mapping or `off`, found {}", node.found()),
                    )
                    .help(help);
                None
            }
        }
    }

    fn words() -> String {
        "a mapping, or `off`".to_owned()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string", "enum": ["off"] }, Admin::schema(generator)] })
    }

    fn table() -> Option<&'static Table> {
        Admin::table()
    }
}

impl Read for StateText {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Mapping(_) => State::read(node, problems).map(|state| Self::State(Box::new(state))),
            _ => At::read(node.span, node, problems).map(Self::Path),
        }
    }

    fn words() -> String {
        "the path of a directory, or a mapping".to_owned()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [Text::schema(generator), State::schema(generator)] })
    }

    fn table() -> Option<&'static Table> {
        State::table()
    }
}
