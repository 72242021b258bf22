//! Texts with values of a request in them.

use std::ops::Range;

use waypost_plan::value::parse::{self, BraceError, Braces, Resolved};
use waypost_plan::value::{ValueName, ValueTemplate};

use crate::diagnostic::Code;
use crate::keys::At;
use crate::lower::pattern::Pattern;
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::suggest::correction::plain;
use crate::suggest::nearest;
use crate::suggest::variable::{self, Place};
use crate::values::Text;

/// Lowers a text at `place`, in which the parameters of `patterns` may stand; of a text without a route of its own there are
/// no patterns, and names that are not on the list are parameters of the routes that use it. Reports names that have no value; braces without
/// a name, and variables of other gateways, are left to the caller.
pub(super) fn template(
    written: &At<Text>,
    place: Place,
    patterns: &[Pattern],
    problems: &mut Problems,
) -> Result<ValueTemplate, BraceError> {
    let text = &*written.value;
    let braces = match place {
        Place::RequestHeader | Place::ResponseHeader | Place::Body => Braces::Text,
        Place::Host | Place::Path | Place::Query | Place::Url => Braces::Strict,
    };
    parse::template(text, braces, variable::length_at, |name, range| {
        let span = written.span.within(text, range);
        resolve(name, span, written, braces, patterns, problems)
    })
}

/// Lowers a text in which braces may be text. Variables of other gateways are left to the caller.
pub(super) fn free_text(
    written: &At<Text>,
    place: Place,
    patterns: &[Pattern],
    problems: &mut Problems,
) -> ValueTemplate {
    // There are no errors of braces in it.
    template(written, place, patterns, problems).unwrap_or_default()
}

fn resolve(
    name: &str,
    span: Span,
    written: &At<Text>,
    braces: Braces,
    patterns: &[Pattern],
    problems: &mut Problems,
) -> Resolved {
    let bare = name.trim_matches(' ');
    let listed = ValueName::listed(bare);
    let binds = |pattern: &&Pattern| pattern.pattern.names().contains(&bare);
    let is_parameter = patterns.iter().any(|pattern| binds(&pattern));
    if bare.len() < name.len() {
        if listed.is_some() || is_parameter {
            problems
                .add(
                    Code::UnknownValue,
                    span,
                    format!("no value is named {}", quote(name)),
                )
                .help(format!("write `{{{bare}}}`, without blanks"));
        } else if braces == Braces::Strict {
            report_unknown(bare, span, written, patterns, problems);
        }
        return Resolved::Text;
    }
    if is_parameter {
        if let Some(unbound) = patterns.iter().find(|pattern| !binds(pattern)) {
            let label = if unbound.written {
                "not bound here"
            } else {
                "there is no `path` here"
            };
            problems
                .add(
                    Code::UnknownValue,
                    span,
                    format!("`{{{bare}}}` is not bound by the path of every alternative"),
                )
                .label(unbound.span, label)
                .help("bind it in each pattern, or make two routes of it");
        } else if listed.is_some()
            && let Some(pattern) = patterns.first()
        {
            problems
                .add(
                    Code::ShadowedValue,
                    span,
                    format!("`{{{bare}}}` is the parameter of the path here, not the value of that name"),
                )
                .label(pattern.span, "bound here")
                .help("give the parameter another name, unless it is meant");
        }
        return Resolved::Value(ValueName::Parameter(bare.into()));
    }
    match listed {
        Some(name) => Resolved::Value(name),
        None if patterns.is_empty() && may_be_parameter(bare) => {
            Resolved::Value(ValueName::Parameter(bare.into()))
        }
        None => {
            report_unknown(bare, span, written, patterns, problems);
            Resolved::Text
        }
    }
}

fn may_be_parameter(name: &str) -> bool {
    let begins = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let mut bytes = name.bytes();
    bytes.next().is_some_and(begins) && bytes.all(|byte| begins(byte) || byte.is_ascii_digit())
}

fn report_unknown(name: &str, span: Span, written: &At<Text>, patterns: &[Pattern], problems: &mut Problems) {
    let problem = problems.add(
        Code::UnknownValue,
        span,
        format!("no value is named {}", quote(name)),
    );
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // The last two are Caddy's: `{re.name.1}`, `{path.1}`.
    let is_group = name.starts_with("re.") || name.strip_prefix("path.").is_some_and(is_number);
    if is_number(name) || is_group {
        problem.help("name the group of the regex, as in `(?<x>…)`, and write `{x}`");
        return;
    }
    match meant(name, patterns) {
        Some(meant) => {
            let text = written
                .value
                .replace(&format!("{{{name}}}"), &format!("{{{meant}}}"));
            problem.help(format!("did you mean `{{{meant}}}`?")).propose(
                written.span,
                &written.value,
                plain(&text),
            );
        }
        None if !patterns.is_empty() && patterns.iter().all(|pattern| !pattern.written) => {
            problem.help(
                "a parameter is bound in the pattern of a route, as in `/users/{id}`, and there is none here; a literal brace is written twice, `{{` or `}}`",
            );
        }
        None => {
            problem.help(
                "a parameter is bound in the pattern, as in `/users/{id}`; a literal brace is written twice, `{{` or `}}`",
            );
        }
    }
}

/// The name that was probably meant.
fn meant(name: &str, patterns: &[Pattern]) -> Option<String> {
    let parameters = || patterns.iter().flat_map(|pattern| pattern.pattern.names());
    let lower = name.to_ascii_lowercase();
    if let Some(ours) = variable::ours_in_braces(&lower) {
        return Some(ours);
    }
    let listed: Vec<String> = ValueName::reference()
        .map(|(name, _)| name)
        .filter(|name| !name.ends_with(".NAME"))
        .collect();
    if let Some((family, rest)) = name.split_once('.') {
        let family = nearest(&family.to_ascii_lowercase(), ["header", "cookie", "query"]);
        if let Some(family) = family
            && !rest.is_empty()
        {
            return Some(format!("{family}.{rest}"));
        }
    }
    let all = parameters().chain(listed.iter().map(String::as_str));
    nearest(&lower, all.clone())
        .or_else(|| nearest(name, all))
        .map(str::to_owned)
}

/// Reports a brace that encloses no name, in a text that cannot be `noun`.
pub(super) fn report_brace(
    error: &BraceError,
    noun: &str,
    code: Code,
    written: &At<Text>,
    problems: &mut Problems,
) {
    let text = &*written.value;
    let span = written.span.within(text, error.range());
    problems
        .add(code, span, format!("{} cannot be {noun}: {error}", quote(text)))
        .help("a value stands in braces, as in `{host}` or `{header.x-tenant}`");
}

/// Returns `text` with its braces percent-encoded, as a URL has them.
pub(super) fn encoded_braces(text: &str) -> String {
    text.replace('{', "%7B").replace('}', "%7D")
}

impl Span {
    /// The place of some bytes of `text`, which is the scalar at this place; all of it where it is not written as it is.
    pub(super) fn within(self, text: &str, range: Range<usize>) -> Self {
        let width = (self.end_column as usize).saturating_sub(self.column as usize);
        let chars = text.chars().count();
        // Without escapes, quotes are all that is added.
        let quotes = match width.checked_sub(chars) {
            Some(0) => 0,
            Some(2) => 1,
            _ => return self,
        };
        if self.line != self.end_line {
            return self;
        }
        let column = |at: usize| {
            let before = text.get(..at).map_or(0, |before| before.chars().count());
            self.column + u32::try_from(before).unwrap_or_default() + quotes
        };
        Self {
            column: column(range.start),
            end_column: column(range.end),
            ..self
        }
    }
}
