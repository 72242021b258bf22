//! The syntax of templates: `{NAME}`, with `{{` and `}}` for braces.

use std::ops::Range;

use crate::value::{Part, ValueName, ValueTemplate};

/// The meaning of braces that enclose no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Braces {
    /// They are errors: a path, a host or a query has none.
    Strict,
    /// They are text, as in JSON.
    Text,
}

/// A name in braces, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// The value that it stands for.
    Value(ValueName),
    /// It is text, with its braces.
    Text,
}

/// A brace that encloses no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BraceError {
    /// A brace without its partner, at this byte.
    #[error("a brace without its partner; a literal brace is written twice, `{{{{` or `}}}}`")]
    Unbalanced(usize),
    /// `{}`, at this byte.
    #[error("`{{}}` names nothing")]
    Empty(usize),
    /// Braces around what cannot be a name.
    #[error("no value has such a name; a literal brace is written twice, `{{{{` or `}}}}`")]
    NoName(Range<usize>),
}

impl BraceError {
    /// The bytes that it is about.
    pub fn range(&self) -> Range<usize> {
        match self {
            Self::Unbalanced(at) => *at..at + 1,
            Self::Empty(at) => *at..at + 2,
            Self::NoName(range) => range.clone(),
        }
    }
}

/// Parses a template. `plain` gives the length of what is text at the beginning of its argument in any case, braces
/// included; `resolve` gets each name, and its range with the braces.
///
/// # Errors
/// With [`Braces::Strict`], a brace that encloses no name.
pub fn template(
    text: &str,
    braces: Braces,
    plain: impl Fn(&str) -> Option<usize>,
    mut resolve: impl FnMut(&str, Range<usize>) -> Resolved,
) -> Result<ValueTemplate, BraceError> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    // Braces of text that are open, so that the `}}` of nested JSON stays.
    let mut open = 0_usize;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if let Some(length) = plain(rest).filter(|&length| length > 0) {
            literal.push_str(&rest[..length]);
            at += length;
            continue;
        }
        let mut step = c.len_utf8();
        match c {
            '{' if rest.starts_with("{{") => {
                literal.push('{');
                step = 2;
            }
            '{' => match named(rest) {
                Some(name) => {
                    step = name.len() + 2;
                    match resolve(name, at..at + step) {
                        Resolved::Value(name) => {
                            parts.push(Part::Text(std::mem::take(&mut literal).into()));
                            parts.push(Part::Value(name));
                        }
                        Resolved::Text => literal.push_str(&rest[..step]),
                    }
                }
                None if braces == Braces::Text => {
                    literal.push('{');
                    open += 1;
                }
                None => return Err(no_name(rest, at)),
            },
            '}' if open > 0 => {
                literal.push('}');
                open -= 1;
            }
            '}' if rest.starts_with("}}") => {
                literal.push('}');
                step = 2;
            }
            '}' if braces == Braces::Strict => return Err(BraceError::Unbalanced(at)),
            c => literal.push(c),
        }
        at += step;
    }
    parts.push(Part::Text(literal.into()));
    Ok(ValueTemplate::of(parts))
}

/// The text between the brace that `text` begins with and its partner, if it may be meant as a name: letters, digits, `_`,
/// `-` and `.`, perhaps with blanks around.
fn named(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('{')?;
    let inner = &inner[..inner.find(['{', '}'])?];
    let is_closed = text[1 + inner.len()..].starts_with('}');
    let name = inner.trim_matches(' ');
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (is_closed && !name.is_empty() && name.chars().all(fits)).then_some(inner)
}

fn no_name(rest: &str, at: usize) -> BraceError {
    let inner = &rest[1..];
    match inner.find(['{', '}']) {
        Some(0) if inner.starts_with('}') => BraceError::Empty(at),
        Some(end) if inner[end..].starts_with('}') => BraceError::NoName(at..at + end + 2),
        _ => BraceError::Unbalanced(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses with `<name>` for each name.
    fn parsed(text: &str, braces: Braces) -> Result<String, BraceError> {
        let template = template(
            text,
            braces,
            |rest| {
                rest.starts_with("%{")
                    .then(|| rest.find('}').map_or(2, |end| end + 1))
            },
            |name, range| {
                assert_eq!(text[range], format!("{{{name}}}"));
                match name {
                    "text" => Resolved::Text,
                    name => Resolved::Value(ValueName::Parameter(name.into())),
                }
            },
        )?;
        let parts = template.parts().map(|part| match part {
            crate::value::PartRef::Text(text) => text.to_owned(),
            crate::value::PartRef::Value(name) => format!("<{name}>"),
        });
        Ok(parts.collect())
    }

    #[test]
    fn names_are_found_and_doubled_braces_are_text() {
        for (text, expected) in [
            ("", ""),
            ("a", "a"),
            ("{a}", "<a>"),
            ("{a}{b}", "<a><b>"),
            ("x{a.b-c}y", "x<a.b-c>y"),
            ("{{a}}", "{a}"),
            ("{{{a}}}", "{<a>}"),
            ("{{}}", "{}"),
            ("a }} b {{", "a } b {"),
            ("{1}", "<1>"),
            ("{ a }", "< a >"),
            ("%{a}{b}", "%{a}<b>"),
            ("{text}{a}", "{text}<a>"),
            ("é{a}é", "é<a>é"),
        ] {
            for braces in [Braces::Strict, Braces::Text] {
                assert_eq!(parsed(text, braces).as_deref(), Ok(expected), "{text}");
            }
        }
    }

    #[test]
    fn braces_of_json_and_styles_are_text() {
        for (text, expected) in [
            (r#"{"a": 1}"#, r#"{"a": 1}"#),
            (r#"{"a":{"b":{}}}"#, r#"{"a":{"b":{}}}"#),
            (r#"{"id":"{id}","x":{"y":{}}}"#, r#"{"id":"<id>","x":{"y":{}}}"#),
            (r#"{{"id":"{id}"}}"#, r#"{"id":"<id>"}"#),
            ("a{margin:0}b{c:d}", "a{margin:0}b{c:d}"),
            ("{", "{"),
            ("}", "}"),
            ("{}", "{}"),
            ("{a", "{a"),
            ("{\n}", "{\n}"),
        ] {
            assert_eq!(parsed(text, Braces::Text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn braces_without_a_name_are_errors_in_strict_places() {
        for (text, error) in [
            ("/{a", BraceError::Unbalanced(1)),
            ("/a}", BraceError::Unbalanced(2)),
            ("/{a{b}}", BraceError::Unbalanced(1)),
            ("/{}", BraceError::Empty(1)),
            ("/{a/b}", BraceError::NoName(1..6)),
            ("/{é}", BraceError::NoName(1..5)),
        ] {
            assert_eq!(parsed(text, Braces::Strict), Err(error), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_text_is_parsed_and_doubled_braces_come_back(text in "[{}a.% ]{0,16}") {
            proptest::prop_assert!(parsed(&text, Braces::Text).is_ok());
            let _ = parsed(&text, Braces::Strict);
            let escaped = text.replace('{', "{{").replace('}', "}}");
            if !text.contains("%{") {
                let back = parsed(&escaped, Braces::Strict);
                proptest::prop_assert_eq!(back.as_deref(), Ok(&*text));
            }
        }
    }
}
