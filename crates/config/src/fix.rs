//! Suggestions that are certain, applied to the text. All else of it stays as it is: comments, order, layout.
//!
//! The result is parsed again, and differs from the given text in the suggested places alone; a suggestion for which
//! that does not hold is left out.

use std::collections::HashMap;
use std::ops::Range;

use crate::diagnostic::{Confidence, Diagnostic, Suggestion};
use crate::edit::{range, unquoted};
use crate::place::{Place, Span};
use crate::problems::Problems;
use crate::tree::{Entry, Node, Value};
use crate::yaml::Parsed;
use crate::{Kind, Source, load, yaml};

/// Maximum number of rounds: a mended mistake can reveal another one.
const ROUNDS_MAX: usize = 20;

/// Maximum number of suggestions applied to a file in one round.
const APPLIED_MAX: usize = 1000;

/// Maximum number of suggestions tried alone, where all of a file together change more than they should.
const ALONE_MAX: usize = 50;

/// Texts with the suggestions that were applied to them.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// The texts, in the order in which they were given.
    pub sources: Vec<Source>,
    /// The diagnostics whose suggestions were applied. Their places are those of the moment.
    pub applied: Vec<Diagnostic>,
}

/// Applies all suggestions that are certain.
pub fn fix(sources: &[Source], kind: Kind, env: &dyn Fn(&str) -> Option<String>) -> Fixed {
    let mut fixed = Fixed {
        sources: sources.to_vec(),
        applied: Vec::new(),
    };
    for _ in 0..ROUNDS_MAX {
        let found = match load(&fixed.sources, kind, env) {
            Ok(loaded) => loaded.warnings,
            Err(diagnostics) => diagnostics,
        };
        let mut applied = Vec::new();
        for source in &mut fixed.sources {
            let (text, of_file) = fix_file(source, &found, env);
            source.text = text.into();
            applied.extend(of_file);
        }
        if applied.is_empty() {
            break;
        }
        fixed.applied.extend(applied);
    }
    fixed
}

/// A replacement in the text of a file.
#[derive(Debug, Clone)]
struct Splice<'d> {
    bytes: Range<usize>,
    span: Span,
    suggestion: &'d Suggestion,
    diagnostic: &'d Diagnostic,
}

/// Applies what is certain of `found` to one file. Returns its text, and the applied ones.
fn fix_file(
    source: &Source,
    found: &[Diagnostic],
    env: &dyn Fn(&str) -> Option<String>,
) -> (Vec<u8>, Vec<Diagnostic>) {
    let splices = splices(source, found);
    let text = source.text.to_vec();
    if splices.is_empty() {
        return (text, Vec::new());
    }
    let Some((before, problems)) = parsed(source, env) else {
        return (text, Vec::new());
    };
    let holds = |splices: &[Splice<'_>]| {
        let candidate = Source {
            name: source.name.clone(),
            text: spliced(&text, splices).into(),
        };
        parsed(&candidate, env).is_some_and(|(after, problems_after)| {
            problems_after <= problems && differs_in(&before, &after, splices)
        })
    };
    let kept = if holds(&splices) {
        splices
    } else {
        let mut kept: Vec<Splice<'_>> = Vec::new();
        for splice in splices.into_iter().take(ALONE_MAX) {
            kept.push(splice);
            if !holds(&kept) {
                kept.pop();
            }
        }
        kept
    };
    let applied = kept.iter().map(|splice| splice.diagnostic.clone()).collect();
    (spliced(&text, &kept), applied)
}

/// The replacements in a file, in order, none of which overlap.
fn splices<'d>(source: &Source, found: &'d [Diagnostic]) -> Vec<Splice<'d>> {
    let mut splices: Vec<Splice<'d>> = Vec::new();
    for diagnostic in found {
        let Some(suggestion) = &diagnostic.suggestion else {
            continue;
        };
        if suggestion.confidence != Confidence::Certain || *suggestion.place.file != *source.name {
            continue;
        }
        if splices.len() >= APPLIED_MAX {
            break;
        }
        let span = span_of(&suggestion.place);
        let Some((start, end)) = range(&source.text, span) else {
            continue;
        };
        // A variable, an alias or an escape has another text here than the value.
        let (inner_start, inner_end) = unquoted(&source.text, (start, end));
        let is_written = source.text.get(inner_start..inner_end) == Some(suggestion.written.as_bytes());
        let is_new = source.text.get(start..end) != Some(suggestion.replacement.as_bytes());
        if is_written && is_new && !suggestion.replacement.contains(['\n', '\r']) {
            splices.push(Splice {
                bytes: start..end,
                span,
                suggestion,
                diagnostic,
            });
        }
    }
    splices.sort_by_key(|splice| splice.bytes.start);
    let mut end = 0;
    splices.retain(|splice| {
        let is_free = splice.bytes.start >= end;
        if is_free {
            end = splice.bytes.end;
        }
        is_free
    });
    splices
}

fn spliced(text: &[u8], splices: &[Splice<'_>]) -> Vec<u8> {
    let mut new = Vec::with_capacity(text.len() + 16 * splices.len());
    let mut from = 0;
    for splice in splices {
        new.extend_from_slice(&text[from..splice.bytes.start]);
        new.extend_from_slice(splice.suggestion.replacement.as_bytes());
        from = splice.bytes.end;
    }
    new.extend_from_slice(&text[from..]);
    new
}

/// The tree of a text, with the number of problems in it; `None` if it is not one mapping.
fn parsed(source: &Source, env: &dyn Fn(&str) -> Option<String>) -> Option<(Node, usize)> {
    let mut problems = Problems::new(vec![source.name.as_str().into()]);
    match yaml::parse(0, source, env, &mut problems) {
        Parsed::Mapping(root) => Some((root, problems.errors())),
        Parsed::Nothing | Parsed::Broken => None,
    }
}

/// Returns true if two trees differ in `splices` alone, each of which has changed one key or value as it says.
fn differs_in(before: &Node, after: &Node, splices: &[Splice<'_>]) -> bool {
    let mut comparison = Comparison {
        pending: splices
            .iter()
            .map(|splice| (splice.span, Some(splice.suggestion)))
            .collect(),
    };
    comparison.nodes(before, after) && comparison.pending.values().all(Option::is_none)
}

/// The comparison of two trees.
struct Comparison<'d> {
    /// The suggestions that were not met yet; `None` for those that were.
    pending: HashMap<Span, Option<&'d Suggestion>>,
}

impl Comparison<'_> {
    fn nodes(&mut self, before: &Node, after: &Node) -> bool {
        match (&before.value, &after.value) {
            // Keys that begin a mapping have the place of the mapping; suggestions are for keys and scalars.
            (Value::Scalar(_), _) if self.pending.contains_key(&before.span) => {
                self.meet(before.span).is_some_and(|suggestion| {
                    replaced(&suggestion.replacement).is_some_and(|wanted| same(&wanted, after))
                })
            }
            (Value::Scalar(_), _) => same(before, after),
            (Value::List(before), Value::List(after)) => {
                before.len() == after.len()
                    && before
                        .iter()
                        .zip(after.iter())
                        .all(|(before, after)| self.nodes(before, after))
            }
            (Value::Mapping(before), Value::Mapping(after)) => {
                before.len() == after.len()
                    && before
                        .iter()
                        .zip(after.iter())
                        .all(|(before, after)| self.entries(before, after))
            }
            _ => false,
        }
    }

    fn entries(&mut self, before: &Entry, after: &Entry) -> bool {
        let key = match self.pending.contains_key(&before.key_span) {
            true => match self.meet(before.key_span) {
                Some(suggestion) => suggestion.replacement == *after.key,
                None => false,
            },
            false => before.key == after.key,
        };
        key && self.nodes(&before.value, &after.value)
    }

    /// Returns the suggestion for a place when it is met for the first time. A second time, an alias shares the place.
    fn meet(&mut self, span: Span) -> Option<&Suggestion> {
        self.pending.get_mut(&span)?.take()
    }
}

/// The value that a replacement is by itself.
fn replaced(replacement: &str) -> Option<Node> {
    let source = Source {
        name: String::new(),
        text: format!("value: {replacement}\n").into_bytes().into(),
    };
    let (root, _) = parsed(&source, &|_| None)?;
    match root.value {
        Value::Mapping(entries) => match &*entries {
            [entry] => Some(entry.value.clone()),
            _ => None,
        },
        Value::Scalar(_) | Value::List(_) => None,
    }
}

/// Returns true if two values are the same, wherever they stand.
fn same(one: &Node, other: &Node) -> bool {
    match (&one.value, &other.value) {
        (Value::Scalar(one), Value::Scalar(other)) => {
            one.text == other.text && one.kind() == other.kind() && one.origin == other.origin
        }
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other.iter()).all(|(one, other)| same(one, other))
        }
        (Value::Mapping(one), Value::Mapping(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other.iter())
                    .all(|(one, other)| one.key == other.key && same(&one.value, &other.value))
        }
        _ => false,
    }
}

/// The span of a place in the file that is searched.
fn span_of(place: &Place) -> Span {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Span {
        file: 0,
        line: number(place.line),
        column: number(place.column),
        end_line: number(place.end_line),
        end_column: number(place.end_column),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# A gateway.\nlisteners: [{ bind: 127.0.0.1:0 }]   # loopback\n";

    fn fixed(text: &str) -> (String, usize) {
        let source = Source {
            name: "waypost.yaml".into(),
            text: text.as_bytes().into(),
        };
        let env = |name: &str| (name == "PATTERN").then(|| "/x/*".to_owned());
        let fixed = fix(&[source], Kind::File, &env);
        let text = String::from_utf8(fixed.sources[0].text.to_vec()).unwrap();
        (text, fixed.applied.len())
    }

    fn check(before: &str, after: &str, count: usize) {
        let [before, after] = [before, after].map(|rest| format!("{HEAD}{rest}"));
        assert_eq!(fixed(&before), (after.clone(), count));
        // What is fixed is not fixed again; line breaks and the mark stay.
        assert_eq!(fixed(&after), (after.clone(), 0));
        let [before, after] = [before, after].map(|text| format!("\u{feff}{}", text.replace('\n', "\r\n")));
        assert_eq!(fixed(&before), (after, count));
    }

    fn check_unchanged(text: &str) {
        check(text, text, 0);
    }

    #[test]
    fn misspelt_keys_are_renamed() {
        check(
            "servcies:\n  a:  # the first\n    endpoint: [ http://a ]\nroutes:\n- nmae: a   # Ä\n  to: a\n",
            "services:\n  a:  # the first\n    endpoints: [ http://a ]\nroutes:\n- name: a   # Ä\n  to: a\n",
            3,
        );
        check(
            "services: { a: { \"endponits\": [] } }\nroutes: [{ name: a, to: a }]\n",
            "services: { a: { endpoints: [] } }\nroutes: [{ name: a, to: a }]\n",
            1,
        );
    }

    #[test]
    fn texts_are_wrapped_in_the_shape_that_is_wanted() {
        check(
            "services:\n  a: http://a   # one\n  b: { endpoints: 'http://b' }\nroutes:\n- { name: a, match: /a/*, to: a }\n\
            - name: b\n  match: '/users/{id}'\n  to: b\n- { name: c, respond: 404 }\n- { name: d, match: [/d, /e], redirect: https }\n",
            "services:\n  a: { endpoints: [http://a] }   # one\n  b: { endpoints: [http://b] }\nroutes:\n\
            - { name: a, match: { path: /a/* }, to: a }\n- name: b\n  match: { path: \"/users/{id}\" }\n  to: b\n\
            - { name: c, respond: { status: 404 } }\n- { name: d, match: [{ path: /d }, { path: /e }], redirect: { scheme: https } }\n",
            8,
        );
    }

    #[test]
    fn values_that_can_mean_one_thing_only_are_written_so() {
        check(
            "admin: false\nservices: { a: { endpoints: [10.0.0.1:80, b], http2: yes } }\n\
            routes: [{ name: a, match: { method: get, path: '~* \\.php$' }, to: a }]\n",
            "admin: off\nservices: { a: { endpoints: [http://10.0.0.1:80, http://b], http2: true } }\n\
            routes: [{ name: a, match: { method: GET, path: '~(?i)\\.php$' }, to: a }]\n",
            6,
        );
    }

    #[test]
    fn what_could_mean_something_else_is_left_alone() {
        // Several keys are near, another gateway's word, or the key is there already.
        check_unchanged("services: { a: { endpoints: [] } }\nroutes: [{ name: a, proxy_pass: a }]\n");
        check_unchanged("services: { a: { endpoints: [] } }\nroutes: [{ name: a, nmae: b, to: a }]\n");
        check_unchanged("services: { a: { endpoints: [] } }\nroutes: [{ name: a, to: a, timeout: 5 }]\n");
        check_unchanged("services: { a: { endpoints: [] } }\nroutes: [{ name: a, to: b }]\n");
        // A variable, an escape, an alias, and a value of several lines.
        check_unchanged(
            "services: { a: { endpoints: [] } }\nroutes: [{ name: a, match: \"${PATTERN}\", to: a }]\n",
        );
        check_unchanged(
            "services: { a: { endpoints: [] } }\nroutes: [{ name: a, match: \"\\x2fx\", to: a }]\n",
        );
        check_unchanged(
            "services: { a: { endpoints: [] } }\nroutes:\n- { name: a, match: &m /x, to: a }\n- { name: b, match: *m, to: a }\n",
        );
        check_unchanged(
            "services: { a: { endpoints: [] } }\nroutes:\n- name: a\n  match: >-\n    /x\n  to: a\n",
        );
        // Not YAML at all.
        check_unchanged("services: [\n");
    }

    #[test]
    fn each_file_of_a_directory_is_fixed() {
        let source = |name: &str, text: &str| Source {
            name: name.into(),
            text: text.as_bytes().into(),
        };
        let sources = [
            source("b.yaml", "routes: [{ name: a, match: /a, to: a }] # b\n"),
            source(
                "a.yaml",
                "listeners: [{ bind: 127.0.0.1:0 }]\nservcies: { a: http://a }\n",
            ),
        ];
        let fixed = fix(&sources, Kind::Directory, &|_| None);
        let texts: Vec<&str> = fixed
            .sources
            .iter()
            .map(|source| str::from_utf8(&source.text).unwrap())
            .collect();
        assert_eq!(
            texts,
            [
                "routes: [{ name: a, match: { path: /a }, to: a }] # b\n",
                "listeners: [{ bind: 127.0.0.1:0 }]\nservices: { a: { endpoints: [http://a] } }\n",
            ]
        );
        assert_eq!(fixed.applied.len(), 3);
    }
}
