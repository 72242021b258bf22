//! Rewrites of the query.

use std::collections::HashMap;

use waypost_plan::query::{Parameter, QueryEdits, QueryRewrite};
use waypost_plan::value::ValueTemplate;

use crate::collections::Named;
use crate::diagnostic::Code;
use crate::document;
use crate::either::TextOr;
use crate::keys::At;
use crate::lower::pattern::Pattern;
use crate::lower::value;
use crate::place::Span;
use crate::problems::{Problems, quote, warn_of_variable};
use crate::suggest::variable::{self, Place};
use crate::values::Text;

/// Lowers the `query` of a rewrite or redirect.
pub(super) fn of(
    written: Option<&At<TextOr<document::route::QueryEdits>>>,
    patterns: &[Pattern],
    problems: &mut Problems,
) -> QueryRewrite {
    match written.map(|written| (written, &written.value)) {
        None => QueryRewrite::Keep,
        Some((_, TextOr::Text(text))) => {
            QueryRewrite::Replace(text_template(text, patterns, problems).unwrap_or_default())
        }
        Some((written, TextOr::Mapping(given))) => {
            QueryRewrite::Edit(Box::new(edits(given, written.key, patterns, problems)))
        }
    }
}

fn edits(
    given: &document::route::QueryEdits,
    key: Span,
    patterns: &[Pattern],
    problems: &mut Problems,
) -> QueryEdits {
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
            let template = match value::template(value, Place::Query, patterns, problems) {
                Ok(template) => template,
                Err(error) => {
                    value::report_brace(
                        &error,
                        "the value of a parameter",
                        Code::BadRewrite,
                        value,
                        problems,
                    );
                    ValueTemplate::default()
                }
            };
            warn_of_variable(&value.value, value.span, Place::Query, problems);
            Parameter::new(name, &template)
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

/// Lowers a text that replaces a query; its braces are encoded.
fn text_template(written: &At<Text>, patterns: &[Pattern], problems: &mut Problems) -> Option<ValueTemplate> {
    let text = &*written.value;
    let errors = problems.errors();
    let template = match value::template(written, Place::Query, patterns, problems) {
        Ok(template) => template,
        Err(error) => {
            value::report_brace(&error, "a query", Code::BadRewrite, written, problems);
            return None;
        }
    };
    if problems.errors() > errors {
        return None;
    }
    let template = template.map_text(value::encoded_braces);
    let Some(fault) = fault_of(text, &template) else {
        warn_of_variable(text, written.span, Place::Query, problems);
        return Some(template);
    };
    let found = variable::find(text, Place::Query);
    let meant = found.and_then(|_| variable::replaced(text, Place::Query));
    let meant = meant.filter(|meant| {
        let template = ValueTemplate::parse(meant).map(|meant| meant.map_text(value::encoded_braces));
        template.is_ok_and(|template| fault_of(meant, &template).is_none())
    });
    let hint = found.map(|found| variable::hint_at(text, found, Place::Query, meant.as_deref()));
    problems
        .add(
            Code::BadRewrite,
            written.span,
            format!("{} cannot be a query", quote(text)),
        )
        .help(hint.unwrap_or_else(|| fault.to_owned()))
        .propose_if(written.span, text, meant);
    None
}

/// A hint at what is wrong with a `text` that replaces a query, and its template; `None` if nothing is.
fn fault_of(text: &str, template: &ValueTemplate) -> Option<&'static str> {
    let sample = template.filled_with("x");
    let bytes = sample.as_bytes();
    let stray = bytes.iter().enumerate().any(|(at, &byte)| {
        let digits = bytes.get(at + 1..at + 3);
        byte == b'%' && !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let is_odd = |c: char| !c.is_ascii_graphic() || "\"#<>\\^`|".contains(c);
    match () {
        () if text.starts_with('?') => Some("leave the `?` out; it is written where there is a query"),
        () if sample.contains('#') => Some("a query has no fragment; a literal `#` is `%23`"),
        () if sample.contains(is_odd) => {
            Some("percent-encode characters that are not allowed in a query, a space as `%20`")
        }
        () if stray => Some("a literal `%` is written `%25`"),
        () => None,
    }
}

/// Reports braces in the name of a parameter.
fn refuse_braces(text: &str, span: Span, problems: &mut Problems) {
    if text.contains(['{', '}']) {
        problems
            .add(
                Code::BadRewrite,
                span,
                format!("{} has braces, and nothing is filled in here", quote(text)),
            )
            .help("a literal brace is written `%7B` or `%7D`");
    }
}
