//! Types of scalar values: text, booleans and choices.

use std::rc::Rc;

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::diagnostic::Code;
use crate::keys::{At, Read, wrong_type};
use crate::problems::{Problems, quote};
use crate::suggest::correction::plain;
use crate::suggest::{nearest, shape};
use crate::tree::{Node, Origin, ScalarKind, Value};

/// Text; an unquoted number is text as written.
pub(crate) type Text = Rc<str>;

/// A name, or null for none.
#[derive(Debug, Clone)]
pub(crate) struct NameOrNull(pub(crate) Option<Text>);

/// `off`, `stdout` or the path of a file.
#[derive(Debug, Clone)]
pub(crate) struct LogText(pub(crate) Text);

/// A condition on the value of a header, cookie or query parameter.
#[derive(Debug, Clone)]
pub(crate) enum ValueText {
    /// `"text"`
    Text(OriginText),
    /// `"~regex"`, without the `~`.
    Regex(Text),
    /// `true`
    Present,
    /// `false`
    Absent,
}

/// A text that is compared: a number and a boolean are texts, too.
#[derive(Debug, Clone)]
pub(crate) enum Bare {
    /// `text`
    Text(Text),
    /// `"~regex"`, without the `~`.
    Regex(Text),
}

/// Text whose meaning depends on whether variables filled it.
#[derive(Debug, Clone)]
pub(crate) struct OriginText {
    pub(crate) text: Text,
    pub(crate) origin: Origin,
}

/// `[from, to]`.
#[derive(Debug, Clone)]
pub(crate) struct Replacing {
    pub(crate) from: At<Text>,
    pub(crate) to: At<Text>,
}

/// Pattern of a variable, for schemas: they apply to the text before variables are replaced.
pub(crate) const VARIABLE: &str = r"\$\{";

/// Returns the text of a scalar that is text or a number; reports nothing.
pub(crate) fn text_of(node: &Node) -> Option<&Rc<str>> {
    node.text()
}

/// Returns true if a scalar is one of `words`, without case.
pub(crate) fn is_one_of(node: &Node, words: &[&str]) -> bool {
    match &node.value {
        Value::Scalar(scalar) => words.iter().any(|word| scalar.text.eq_ignore_ascii_case(word)),
        Value::List(_) | Value::Mapping(_) => false,
    }
}

/// Reports that `node` is not the `expected` type, with a hint at quotes if they would help.
fn report_no_text(node: &Node, expected: &str, problems: &mut Problems) {
    if let Value::Scalar(scalar) = &node.value
        && let ScalarKind::Bool(_) = scalar.kind()
    {
        problems
            .add(
                Code::WrongType,
                node.span,
                format!("expected {expected}, found {}", node.found()),
            )
            .help(format!("quote it if it is meant as text: `\"{}\"`", scalar.text));
        return;
    }
    if let Some(value) = shape::unquoted_value(node) {
        problems
            .add(
                Code::WrongType,
                node.span,
                format!("expected {expected}, found {}", node.found()),
            )
            .help(format!("quote it if it is a value of the request: `\"{value}\"`"));
        return;
    }
    if let Some(value) = shape::value_with_type(node) {
        problems
            .add(
                Code::WrongType,
                node.span,
                format!("expected {expected}, found {}", node.found()),
            )
            .help(format!("write the value alone: `{value}`"));
        return;
    }
    wrong_type(node, expected, problems);
}

impl Read for Text {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let text = text_of(node);
        if text.is_none() {
            report_no_text(node, "text", problems);
        }
        text.cloned()
    }

    fn words() -> String {
        "text".to_owned()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number"] })
    }
}

impl Read for bool {
    fn takes_false() -> bool {
        true
    }

    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        if let Value::Scalar(scalar) = &node.value
            && let ScalarKind::Bool(value) = scalar.kind()
        {
            return Some(value);
        }
        let meant = if is_one_of(node, &["on", "yes"]) {
            Some(true)
        } else {
            is_one_of(node, &["off", "no", "none"]).then_some(false)
        };
        match meant {
            Some(meant) => {
                let problem = problems
                    .add(
                        Code::WrongType,
                        node.span,
                        format!("expected `true` or `false`, found {}", node.found()),
                    )
                    .help(format!("write `{meant}`"));
                if let Some(written) = node.written() {
                    problem.mend(node.span, written, meant.to_string());
                }
            }
            None => wrong_type(node, "`true` or `false`", problems),
        }
        None
    }

    fn words() -> String {
        "`true` or `false`".to_owned()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["boolean", "string"], "pattern": VARIABLE })
    }
}

impl Read for NameOrNull {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        if node.is_null() {
            return Some(Self(None));
        }
        Text::read(node, problems).map(|name| Self(Some(name)))
    }

    fn words() -> String {
        "a name, or `null`".to_owned()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "null"] })
    }
}

impl Read for LogText {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        if let Value::Scalar(scalar) = &node.value
            && let ScalarKind::Bool(_) = scalar.kind()
        {
            problems
                .add(
                    Code::WrongType,
                    node.span,
                    format!("expected text, found {}", node.found()),
                )
                .help("write `off`, `stdout` or a path");
            return None;
        }
        Text::read(node, problems).map(Self)
    }

    fn words() -> String {
        Text::words()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Text::schema(generator)
    }
}

/// Returns the hint at a list of values.
fn one_of(items: &[Node]) -> String {
    let is_plain = |text: &&str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_ .".contains(&byte))
    };
    let texts: Option<Vec<&str>> = items.iter().map(|item| item.written().filter(is_plain)).collect();
    match texts.as_deref() {
        Some([one]) => format!("write `{}`, without a list", plain(one)),
        Some([_, _, ..]) => {
            let all = texts.unwrap_or_default().join("|").replace('.', "\\.");
            format!(
                "for one of several values write a regex: `{}`",
                plain(&format!("~^({all})$"))
            )
        }
        _ => "for one of several values write a regex: `\"~^(v1|v2)$\"`".to_owned(),
    }
}

impl Read for ValueText {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        const EXPECTED: &str = "text, `true` (present) or `false` (absent)";
        let Value::Scalar(scalar) = &node.value else {
            match &node.value {
                Value::List(items) => {
                    problems
                        .add(
                            Code::WrongType,
                            node.span,
                            format!("expected {EXPECTED}, found {}", node.found()),
                        )
                        .help(one_of(items));
                }
                Value::Scalar(_) | Value::Mapping(_) => wrong_type(node, EXPECTED, problems),
            }
            return None;
        };
        let text = || OriginText {
            text: Rc::clone(&scalar.text),
            origin: scalar.origin,
        };
        Some(match (scalar.kind(), scalar.origin) {
            (ScalarKind::Bool(true), Origin::Written) => Self::Present,
            (ScalarKind::Bool(false), Origin::Written) => Self::Absent,
            (ScalarKind::Null, Origin::Written) => {
                wrong_type(node, EXPECTED, problems);
                return None;
            }
            // The value of a variable is compared, never obeyed: a secret that is `false`, or begins with `~`, must not
            // open a route.
            (_, Origin::Variable) => Self::Text(text()),
            (_, Origin::Written | Origin::Mixed) => match scalar.text.strip_prefix('~') {
                Some(regex) => Self::Regex(regex.into()),
                None => Self::Text(text()),
            },
        })
    }

    fn words() -> String {
        "text, `\"~regex\"`, `true` or `false`".to_owned()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

impl Read for Bare {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Value::Scalar(scalar) = &node.value else {
            wrong_type(node, &Self::words(), problems);
            return None;
        };
        match (scalar.kind(), scalar.origin) {
            (ScalarKind::Null, Origin::Written) => {
                wrong_type(node, &Self::words(), problems);
                None
            }
            // The value of a variable is compared, never obeyed.
            (_, Origin::Variable) => Some(Self::Text(Rc::clone(&scalar.text))),
            (_, Origin::Written | Origin::Mixed) => Some(match scalar.text.strip_prefix('~') {
                Some(regex) => Self::Regex(regex.into()),
                None => Self::Text(Rc::clone(&scalar.text)),
            }),
        }
    }

    fn words() -> String {
        "text, or `\"~regex\"`".to_owned()
    }

    fn takes_false() -> bool {
        true
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

impl Read for OriginText {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let text = Text::read(node, problems)?;
        let origin = match &node.value {
            Value::Scalar(scalar) => scalar.origin,
            Value::List(_) | Value::Mapping(_) => Origin::Written,
        };
        Some(Self { text, origin })
    }

    fn words() -> String {
        Text::words()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Text::schema(generator)
    }
}

impl Read for Replacing {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Value::List(items) = &node.value else {
            wrong_type(node, "a list of two texts, `[from, to]`", problems);
            return None;
        };
        let [from, to] = &**items else {
            problems.add(
                Code::WrongType,
                node.span,
                format!("expected two texts, `[from, to]`, found {}", items.len()),
            );
            return None;
        };
        let from = At::read(from.span, from, problems);
        let to = At::read(to.span, to, problems);
        Some(Self { from: from?, to: to? })
    }

    fn words() -> String {
        "a list of two texts, `[from, to]`".to_owned()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "items": Text::schema(generator),
            "minItems": 2,
            "maxItems": 2,
        })
    }
}

/// Reads one of `words`.
pub(crate) fn read_word<W: Clone>(node: &Node, words: &[(&str, W)], problems: &mut Problems) -> Option<W> {
    let list: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    if is_one_of(node, &["true", "false"]) {
        problems
            .add(
                Code::WrongType,
                node.span,
                format!("expected {}, found {}", list.join(" or "), node.found()),
            )
            .help(format!("write {}", list.join(" or ")));
        return None;
    }
    let Some(text) = text_of(node) else {
        wrong_type(node, &list.join(" or "), problems);
        return None;
    };
    let found = words.iter().find(|(word, _)| *word == &**text);
    if found.is_none() {
        let near = nearest(text, words.iter().map(|(word, _)| *word));
        let problem = problems.add(
            Code::UnknownWord,
            node.span,
            format!("expected {}, found {}", list.join(" or "), quote(text)),
        );
        if let Some(near) = near {
            problem.did_you_mean(node.span, text, near);
        }
    }
    found.map(|(_, value)| value.clone())
}

/// Implements [`Read`] for types of the plan that are written as one of a few words.
macro_rules! words {
    ($($type:ty { $($word:literal => $value:expr),+ $(,)? })+) => {$(
        impl $crate::keys::Read for $type {
            fn read(
                node: &$crate::tree::Node,
                problems: &mut $crate::problems::Problems,
            ) -> Option<Self> {
                $crate::values::read_word(node, &[$(($word, $value)),+], problems)
            }

            fn words() -> String {
                [$(concat!("`", $word, "`")),+].join(" or ")
            }

            fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($word),+] })
            }
        }
    )+};
}

pub(crate) use words;
