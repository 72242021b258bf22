//! A configuration as a tree in which every key and value knows its place.

use std::rc::Rc;

use crate::place::Span;

/// A value and where it stands. What an alias stands for is shared, and keeps the place of its anchor.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// All of it for scalars and flow collections; the first key or item for block collections.
    pub(crate) span: Span,
    pub(crate) value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Rc<[Node]>),
    Mapping(Rc<[Entry]>),
}

/// Text, before anyone asks what type it is of. Environment variables are filled in.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub(crate) text: Rc<str>,
    pub(crate) style: Style,
}

/// How a scalar is written; only a plain one can be anything but text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Quoted,
    /// With a variable that is not set: what it would be is not known.
    Unset,
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Rc<str>,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

/// What a scalar is by the core schema of YAML 1.2, numbers being text as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number,
    Text,
}

impl Scalar {
    pub(crate) fn kind(&self) -> Kind {
        if self.style != Style::Plain {
            return Kind::Text;
        }
        match &*self.text {
            "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
            "true" | "True" | "TRUE" => Kind::Bool(true),
            "false" | "False" | "FALSE" => Kind::Bool(false),
            text if is_number(text) => Kind::Number,
            _ => Kind::Text,
        }
    }
}

/// Digits with a sign, a fraction and an exponent; octal and hexadecimal numbers are text here.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    unsigned.starts_with(|c: char| c.is_ascii_digit())
        && unsigned
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'))
        && unsigned.parse::<f64>().is_ok()
}

impl Node {
    /// What it is, in words for `found …`.
    pub(crate) fn found(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Scalar(scalar) => match scalar.kind() {
                Kind::Null => "nothing",
                Kind::Bool(true) => "`true`",
                Kind::Bool(false) => "`false`",
                Kind::Number => "a number",
                Kind::Text => "text",
            },
        }
    }

    /// Whether its text depends on a variable that is not set, so that nothing can be said about it.
    pub(crate) fn is_unset(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.style == Style::Unset)
    }

    /// Whether it is a plain `null`, `~` or nothing at all.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.kind() == Kind::Null)
    }
}
