//! Rewrites of the query.

use std::collections::HashMap;

use waypost_plan::query::{Parameter, QueryEdits, QueryRewrite};

use crate::collections::Named;
use crate::diagnostic::Code;
use crate::document;
use crate::either::TextOr;
use crate::keys::At;
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::values::Text;

/// Lowers the `query` of a rewrite or redirect.
pub(super) fn of(
    written: Option<&At<TextOr<document::route::QueryEdits>>>,
    problems: &mut Problems,
) -> QueryRewrite {
    match written.map(|written| (written, &written.value)) {
        None => QueryRewrite::Keep,
        Some((_, TextOr::Text(text))) => {
            check_text(text, problems);
            QueryRewrite::Replace((*text.value).into())
        }
        Some((written, TextOr::Mapping(given))) => {
            QueryRewrite::Edit(Box::new(edits(given, written.key, problems)))
        }
    }
}

fn edits(given: &document::route::QueryEdits, key: Span, problems: &mut Problems) -> QueryEdits {
    let mut seen: HashMap<Text, Span> = HashMap::new();
    let mut check = |name: &Text, span: Span, problems: &mut Problems| {
        refuse_braces(name, span, problems);
        if name.is_empty() {
            problems.add(Code::BadRewrite, span, "a parameter has a name");
        }
        if let Some(first) = seen.insert(name.clone(), span) {
            problems
                .add(
                    Code::BadRewrite,
                    span,
                    format!("the parameter {} is edited twice", quote(name)),
                )
                .label(first, "first here")
                .help("a name stands in one of `set`, `add` and `remove`, once");
        }
    };
    let mut edits = QueryEdits::default();
    let mut parameters = |named: Option<&At<Named<Text>>>, problems: &mut Problems| {
        let named = named.iter().flat_map(|named| &named.value.0);
        let parameters = named.map(|(name, value)| {
            check(name, value.key, problems);
            refuse_braces(&value.value, value.span, problems);
            Parameter::new(name, &value.value)
        });
        parameters.collect::<Vec<Parameter>>()
    };
    edits.set = parameters(given.set.as_deref(), problems);
    edits.add = parameters(given.add.as_deref(), problems);
    for name in given.remove.iter().flat_map(|list| &list.value.0) {
        check(&name.value, name.span, problems);
        edits.remove.push((*name.value).into());
    }
    // What could not be read is reported already.
    let read = [given.set.is_some(), given.add.is_some(), given.remove.is_some()];
    let is_misread = given.given.keys().count() > read.iter().filter(|read| **read).count();
    if edits == QueryEdits::default() && !is_misread {
        problems
            .add(Code::MissingKey, key, "the query stays as it is")
            .help("add `set`, `add` or `remove`; `query: \"\"` drops the query");
    }
    edits
}

/// Checks a text that replaces a query.
fn check_text(written: &At<Text>, problems: &mut Problems) {
    let text = &*written.value;
    if refuse_braces(text, written.span, problems) {
        return;
    }
    let bytes = text.as_bytes();
    let stray = bytes.iter().enumerate().any(|(at, &byte)| {
        let digits = bytes.get(at + 1..at + 3);
        byte == b'%' && !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let is_odd = |c: char| !c.is_ascii_graphic() || "\"#<>\\^`|".contains(c);
    let help = match () {
        () if text.starts_with('?') => "leave the `?` out; it is written where there is a query",
        () if text.contains('#') => "a query has no fragment; a literal `#` is `%23`",
        () if text.contains(is_odd) => {
            "percent-encode characters that are not allowed in a query, a space as `%20`"
        }
        () if stray => "a literal `%` is written `%25`",
        () => return,
    };
    problems
        .add(
            Code::BadRewrite,
            written.span,
            format!("{} cannot be a query", quote(text)),
        )
        .help(help);
}

/// Reports braces; returns true if there are any.
pub(super) fn refuse_braces(text: &str, span: Span, problems: &mut Problems) -> bool {
    let has_braces = text.contains(['{', '}']);
    if has_braces {
        problems
            .add(
                Code::BadRewrite,
                span,
                format!("{} has braces, and nothing is filled in here", quote(text)),
            )
            .help("a literal brace is written `%7B` or `%7D`");
    }
    has_braces
}
