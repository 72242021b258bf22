//! Values on one line, as they are shown in hints.

use crate::suggest::correction::{is_showable, plain};
use crate::tree::{Node, Origin, Scalar, ScalarKind, Style, Value};

/// Maximum length of a value in a hint.
const CHARS_MAX: usize = 80;

/// Returns a value as YAML on one line; `None` if it is long, cannot be shown as it is, or a variable brings a part of it.
pub(crate) fn of(node: &Node) -> Option<String> {
    let mut text = String::new();
    push(node, &mut text)?;
    (text.chars().count() <= CHARS_MAX && is_showable(&text)).then_some(text)
}

fn push(node: &Node, text: &mut String) -> Option<()> {
    if text.len() > 4 * CHARS_MAX {
        return None;
    }
    match &node.value {
        Value::Scalar(scalar) => text.push_str(&of_scalar(scalar)?),
        Value::List(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                push(item, text)?;
            }
            text.push(']');
        }
        Value::Mapping(entries) => {
            text.push_str("{ ");
            for (at, entry) in entries.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                text.push_str(&plain(&entry.key));
                text.push_str(": ");
                push(&entry.value, text)?;
            }
            text.push_str(" }");
        }
    }
    Some(())
}

fn of_scalar(scalar: &Scalar) -> Option<String> {
    if scalar.origin != Origin::Written || scalar.style == Style::Unset {
        return None;
    }
    // Quotes stay where the text would be something else without them.
    let as_plain = Scalar {
        style: Style::Plain,
        ..scalar.clone()
    };
    match (scalar.kind(), as_plain.kind()) {
        (ScalarKind::Text, ScalarKind::Text) => Some(plain(&scalar.text).into_owned()),
        (ScalarKind::Text, _) => Some(format!("\"{}\"", scalar.text)),
        (ScalarKind::Null, _) => None,
        (ScalarKind::Bool(_) | ScalarKind::Number, _) => Some(scalar.text.to_string()),
    }
}
