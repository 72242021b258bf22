//! A configuration as a tree of keys and values with places.

use std::rc::Rc;

use crate::place::Span;

/// A value with its place. The value of an alias is shared and has the place of its anchor.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// The whole value for scalars and flow collections; the first key or item for block collections.
    pub(crate) span: Span,
    pub(crate) value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Rc<[Node]>),
    Mapping(Rc<[Entry]>),
}

/// Untyped text, with variables replaced.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub(crate) text: Rc<str>,
    pub(crate) style: Style,
    pub(crate) origin: Origin,
}

/// The origin of the text of a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// All of it is written in the file.
    Written,
    /// The beginning is written in the file, something behind it comes from a variable.
    Mixed,
    /// The beginning comes from a variable.
    Variable,
}

/// The style of a scalar. Quoted scalars are always text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Quoted,
    /// With an unset variable, so the value is unknown.
    Unset,
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Rc<str>,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

/// The type of a scalar by the core schema of YAML 1.2. Numbers are kept as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScalarKind {
    Null,
    Bool(bool),
    Number,
    Text,
}

impl Scalar {
    pub(crate) fn kind(&self) -> ScalarKind {
        if self.style != Style::Plain {
            return ScalarKind::Text;
        }
        match &*self.text {
            "" | "~" | "null" | "Null" | "NULL" => ScalarKind::Null,
            "true" | "True" | "TRUE" => ScalarKind::Bool(true),
            "false" | "False" | "FALSE" => ScalarKind::Bool(false),
            text if is_number(text) => ScalarKind::Number,
            _ => ScalarKind::Text,
        }
    }
}

/// Returns true for digits with optional sign, fraction and exponent. Octal and hexadecimal numbers are text.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    unsigned.starts_with(|c: char| c.is_ascii_digit())
        && unsigned
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'))
        && unsigned.parse::<f64>().is_ok()
}

impl Node {
    /// Returns a description for `found …`.
    pub(crate) fn found(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Scalar(scalar) => match scalar.kind() {
                ScalarKind::Null => "nothing",
                ScalarKind::Bool(true) => "`true`",
                ScalarKind::Bool(false) => "`false`",
                ScalarKind::Number => "a number",
                ScalarKind::Text => "text",
            },
        }
    }

    /// Returns the text of a scalar that is text or a number.
    pub(crate) fn text(&self) -> Option<&Rc<str>> {
        match &self.value {
            Value::Scalar(scalar) if matches!(scalar.kind(), ScalarKind::Text | ScalarKind::Number) => {
                Some(&scalar.text)
            }
            _ => None,
        }
    }

    /// Returns the text of a scalar that no variable brings a part of; `None` for none.
    pub(crate) fn written(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar)
                if scalar.origin == Origin::Written
                    && scalar.style != Style::Unset
                    && scalar.kind() != ScalarKind::Null =>
            {
                Some(&scalar.text)
            }
            _ => None,
        }
    }

    /// Returns true if the text contains an unset variable.
    pub(crate) fn is_unset(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.style == Style::Unset)
    }

    /// Returns true for a plain `null`, `~` or an empty value.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.kind() == ScalarKind::Null)
    }
}
