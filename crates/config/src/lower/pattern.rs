//! Path patterns and regexes.

use waypost_plan::path_pattern::{self, PatternError};
use waypost_route::path::{PathPattern, PathPatternError};
use waypost_route::regex::RegexError;
use waypost_wire::path::PathError;

use crate::diagnostic::Code;
use crate::keys::At;
use crate::lower::Context;
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::suggest;
use crate::suggest::correction::{accepted, plain};
use crate::suggest::location::{self, Location};
use crate::tree::Origin;
use crate::values::OriginText;

/// The hint at a value with a `!` in front.
pub(super) const NOTHING_NEGATED: &str =
    "nothing is negated by `!`: what is to be left out takes a route of its own, without it";

/// The path pattern of a `match`, with the place where it is or could be written.
pub(super) struct Pattern {
    pub(super) pattern: PathPattern,
    pub(super) span: Span,
    /// False for the default, `/*`.
    pub(super) written: bool,
}

impl Pattern {
    /// The pattern of what is said without a route: every path.
    pub(super) fn everything() -> Self {
        Self {
            pattern: PathPattern::any(),
            span: Span::default(),
            written: false,
        }
    }
}

/// Lowers a path pattern.
pub(super) fn pattern(written: &At<OriginText>, context: &mut Context<'_>) -> Option<PathPattern> {
    let text = &*written.value.text;
    if written.value.origin == Origin::Variable && text.starts_with('~') {
        context
            .problems
            .add(
                Code::BadPath,
                written.span,
                "a variable cannot make a path pattern a regex",
            )
            .help("write the `~` in front of the variable: `~${NAME}`");
        return None;
    }
    let options = context.path_options;
    let meant = |text: String| accepted(text, |text| path_pattern::parse(text, options).map(drop));
    let location = location::of(text).and_then(|location| {
        let pattern = meant(location.pattern.clone())?;
        Some((location, pattern))
    });
    let parsed = path_pattern::parse(text, options);
    if let Some((location, pattern)) = location {
        return report_location(written, &location, &pattern, parsed.ok(), context.problems);
    }
    let error = match parsed {
        Ok(pattern) => return Some(pattern),
        Err(error) => error,
    };
    let problems = &mut *context.problems;
    match error {
        PatternError::Pattern(PathPatternError::Regex(error)) => {
            report_regex(&error, written.span, problems);
        }
        PatternError::Pattern(error) => {
            let help = match &error {
                PathPatternError::NoSlash if text.contains("://") => {
                    Some("a path has neither scheme nor host; the host goes into `host`".to_owned())
                }
                PathPatternError::NoSlash if text.starts_with('^') => Some(match meant(format!("~{text}")) {
                    Some(regex) => format!("for a regex write `{regex}`"),
                    None => "a regex begins with `~`".to_owned(),
                }),
                PathPatternError::NoSlash if text.starts_with('!') => Some(NOTHING_NEGATED.to_owned()),
                PathPatternError::NoSlash if text == "*" => {
                    Some("write `/*`, or leave `path` out, to take every path".to_owned())
                }
                PathPatternError::NoSlash => Some(match meant(format!("/{text}")) {
                    Some(path) => format!("did you mean `{path}`?"),
                    None => "a path begins with `/`".to_owned(),
                }),
                PathPatternError::Character('?') => Some("query parameters go into `query`".to_owned()),
                PathPatternError::Star
                | PathPatternError::Colon(_)
                | PathPatternError::ParameterName(_)
                | PathPatternError::PartialParameter => {
                    suggest::path::hint(text, &error, options).or_else(|| {
                        let is_star = matches!(error, PathPatternError::Star);
                        is_star.then(|| "for anything more than a prefix use a regex: `~^/…$`".to_owned())
                    })
                }
                PathPatternError::EmptySegment => {
                    Some("requests' `//` are merged before they are matched".to_owned())
                }
                PathPatternError::DotSegment(_) => {
                    Some("requests' dot segments are resolved before they are matched".to_owned())
                }
                PathPatternError::ParameterTwice(_) => {
                    Some("give each parameter a name of its own".to_owned())
                }
                _ => None,
            };
            let problem = problems
                .add(
                    Code::BadPath,
                    written.span,
                    format!("{} is not a path pattern: {error}", quote(text)),
                )
                .help_if(help);
            if let PathPatternError::NoSlash = error
                && let Some(replacement) = meant(format!("~{text}"))
                    .filter(|_| text.starts_with('^'))
                    .or_else(|| meant(format!("/{text}")))
            {
                problem.propose(written.span, text, plain(&replacement));
            }
        }
        PatternError::Refused(error) => {
            let (what, help) = match error {
                PathError::Encoded(_) if has_only_slashes(text) => (
                    "an encoded `/`",
                    "requests with `%2F` are refused unless a listener has `paths: { encoded_slash: keep }`",
                ),
                PathError::Encoded(_) => (
                    "an encoded `\\` or NUL",
                    "requests with `%5C` or `%00` are refused",
                ),
                PathError::DotParameters => (
                    "a `.` or `..` segment with parameters",
                    "requests with `..;` are refused unless a listener has `paths: { dot_segment_parameters: keep }`",
                ),
                PathError::Percent(_) => ("a `%` without two hex digits", "a literal `%` is written `%25`"),
                _ => (
                    "a character that paths do not have",
                    "write it percent-encoded, a space as `%20`",
                ),
            };
            problems
                .add(
                    Code::BadPath,
                    written.span,
                    format!("{} is not a path pattern: it has {what}", quote(text)),
                )
                .help(help);
        }
    }
    None
}

/// Reports a pattern with a modifier of nginx. `parsed` is what it means here, if it is valid.
fn report_location(
    written: &At<OriginText>,
    location: &Location,
    meant: &str,
    parsed: Option<PathPattern>,
    problems: &mut Problems,
) -> Option<PathPattern> {
    let text = &*written.value.text;
    let problem = match parsed {
        // A regex with a blank in front, which no path has.
        Some(_) => problems.add(
            Code::ForeignValue,
            written.span,
            format!("{} takes no path, as no path has a blank", quote(text)),
        ),
        None => problems.add(
            Code::BadPath,
            written.span,
            format!(
                "{} is not a path pattern: `{}` is a modifier of nginx",
                quote(text),
                location.modifier.trim()
            ),
        ),
    };
    let problem = problem.help(format!("write `{meant}`"));
    match location.is_same {
        true => problem.mend(written.span, text, plain(meant)),
        false => problem.propose(written.span, text, plain(meant)),
    };
    parsed
}

pub(super) fn has_only_slashes(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.contains("%2f") && !lower.contains("%5c") && !lower.contains("%00")
}

/// Reports a regex that does not compile.
pub(super) fn report_regex(error: &RegexError, span: Span, problems: &mut Problems) {
    let (message, help) = match error {
        RegexError::Syntax { reason, offset } => (
            match offset {
                Some(offset) => format!(
                    "the regex does not compile: {reason}, at byte {} of it",
                    offset + 1
                ),
                None => format!("the regex does not compile: {reason}"),
            },
            if reason.contains("look-around") || reason.contains("backreference") {
                "leave it out; use several alternatives, or `false` for what must be absent"
            } else {
                "a literal special character has a `\\` in front of it; in double quotes, two"
            },
        ),
        RegexError::TooLarge => (
            error.to_string(),
            "lower the counted repetitions, or use `(?-u)` where only ASCII is meant",
        ),
    };
    problems.add(Code::BadRegex, span, message).help(help);
}
