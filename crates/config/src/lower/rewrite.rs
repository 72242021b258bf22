//! Rewrites of paths, for services and for redirects.

use waypost_plan::rewrite::{PathRewrite, Reverse, Rewrite};
use waypost_plan::service::SentHost;
use waypost_plan::template::{Replacement, TemplateError};
use waypost_plan::value::{ValueName, ValueTemplate};
use waypost_route::regex::Regex;
use waypost_wire::path::{self, PathError, PathOptions};

use crate::diagnostic::Code;
use crate::document;
use crate::keys::At;
use crate::lower::pattern::{Pattern, has_only_slashes, report_regex};
use crate::lower::{Context, host, query, value};
use crate::place::Span;
use crate::problems::{Problems, quote, warn_of_variable};
use crate::suggest::correction::accepted;
use crate::suggest::variable::{self, Meaning, Place};
use crate::values::{Replacing, Text};

/// The reader of a new path.
#[derive(Clone, Copy)]
pub(super) enum Reader {
    /// A service, of a rewritten path.
    Service,
    /// A client, of the `Location` of a redirect.
    Client,
}

/// Lowers a `rewrite`; `patterns` are those of the route, if it is one that says it.
pub(super) fn rewrite(
    written: &At<&document::route::Rewrite>,
    patterns: &[Pattern],
    context: &mut Context<'_>,
) -> Rewrite {
    let given = written.value;
    let path = path_rewrite(
        [given.prefix.as_deref(), given.path.as_deref()],
        given.regex.as_deref(),
        patterns,
        Reader::Service,
        context,
    );
    let problems = &mut *context.problems;
    let query = query::of(given.query.as_deref(), patterns, problems);
    let host = given.host.as_ref();
    let host = host.and_then(|host| host::authority_template(host, patterns, problems));
    // A service with a `host` of its own sees another place, too.
    let mut services = context.builder.services().iter();
    let sends_others = services.any(|service| service.host != SentHost::Client);
    let problems = &mut *context.problems;
    if given.given.keys().all(|key| key == "reverse") && !(given.reverse.is_some() && sends_others) {
        problems
            .add(Code::MissingKey, written.key, "the rewrite rewrites nothing")
            .help("add `prefix`, `path`, `regex`, `host` or `query`, or leave it out");
    }
    let moves = given.given.keys().any(|key| matches!(key, "prefix" | "host"));
    if let Some(reverse) = &given.reverse
        && !moves
        && !sends_others
        && given.given.keys().count() > 1
    {
        problems
            .add(
                Code::ConflictingKeys,
                reverse.key,
                "`reverse` has no effect without `prefix` or `host`",
            )
            .help("leave it out: what `path` and `regex` do cannot be undone");
    }
    Rewrite {
        path,
        host,
        query,
        reverse: given
            .reverse
            .as_ref()
            .map_or(Reverse::On, |reverse| reverse.value),
    }
}

/// Lowers the one of `prefix`, `path` and `regex` that is given.
pub(super) fn path_rewrite(
    [prefix, path]: [Option<&At<Text>>; 2],
    regex: Option<&At<Replacing>>,
    patterns: &[Pattern],
    reader: Reader,
    context: &mut Context<'_>,
) -> PathRewrite {
    let given: Vec<(&str, Span)> = [
        prefix.map(|prefix| ("prefix", prefix.key)),
        path.map(|path| ("path", path.key)),
        regex.map(|regex| ("regex", regex.key)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let [(first, first_span), (second, second_span), ..] = &*given {
        context
            .problems
            .add(
                Code::ConflictingKeys,
                *second_span,
                format!("there is either `{first}` or `{second}`"),
            )
            .label(*first_span, "the other one")
            .help("keep one of them");
    }
    if let Some(prefix) = prefix {
        check_open(prefix, patterns, context.problems);
    }
    let prefix = prefix.and_then(|prefix| template(prefix, "/x", patterns, reader, context));
    let path = path.and_then(|path| template(path, "", patterns, reader, context));
    let regex = regex.and_then(|regex| replacement(regex, reader, context));
    None.or(prefix.map(|prefix| PathRewrite::Prefix(prefix.into())))
        .or(path.map(|path| PathRewrite::Path(path.into())))
        .or(regex.map(|regex| PathRewrite::Regex(regex.into())))
        .unwrap_or_default()
}

/// Reports closed patterns, which have no prefix to replace.
fn check_open(prefix: &At<Text>, patterns: &[Pattern], problems: &mut Problems) {
    for closed in patterns.iter().filter(|pattern| !pattern.pattern.is_open()) {
        problems
            .add(
                Code::BadRewrite,
                prefix.key,
                "`prefix` needs a path pattern that ends in `/*`, in every alternative",
            )
            .label(closed.span, "this one does not")
            .help("use `path`, or end the pattern in `/*`");
    }
}

fn template(
    written: &At<Text>,
    suffix: &str,
    patterns: &[Pattern],
    reader: Reader,
    context: &mut Context<'_>,
) -> Option<ValueTemplate> {
    let options = context.path_options;
    let problems = &mut *context.problems;
    let text = &*written.value;
    let errors = problems.errors();
    let template = match value::template(written, Place::Path, patterns, problems) {
        Ok(template) => template,
        Err(error) => {
            match rest_of_path(text) {
                Some(prefix) => {
                    problems
                        .add(
                            Code::BadRewrite,
                            written.span,
                            format!("{} cannot be a path: {error}", quote(text)),
                        )
                        .help(format!(
                            "write `prefix: {prefix}`: what the `/*` of the pattern covers stays behind it"
                        ));
                }
                None => value::report_brace(&error, "a path", Code::BadRewrite, written, problems),
            }
            return None;
        }
    };
    if problems.errors() > errors {
        return None;
    }
    let sample = sample(&template);
    let odd = odd_in(&template);
    let begins = sample.starts_with('/');
    let found = variable::find(text, Place::Path);
    let ours = found.and_then(|_| variable::replaced(text, Place::Path));
    let ours =
        ours.filter(|ours| ValueTemplate::parse(ours).is_ok_and(|ours| is_path(&ours, suffix, options)));
    if begins && odd.is_none() {
        match (check_filled(&sample, suffix, options), found) {
            (Ok(()), _) => warn_of_variable(text, written.span, Place::Path, problems),
            (Err(error), Some(found)) => {
                problems
                    .add(
                        Code::BadRewrite,
                        written.span,
                        format!("{} can never be a path: {error}", quote(text)),
                    )
                    .help(variable::hint_at(text, found, Place::Path, ours.as_deref()))
                    .propose_if(written.span, text, ours);
            }
            (Err(error), None) => report_refused(written, error, problems),
        }
        return Some(template);
    }
    let message = match (found, odd) {
        (Some(found), _) => format!(
            "{} is a variable of another gateway, and nothing is filled in",
            quote(found.text)
        ),
        (None, Some(odd)) if begins => {
            format!(
                "{} cannot be a path: `{odd}` is not allowed in a path",
                quote(text)
            )
        }
        (None, _) => format!("{} cannot be a path: a path begins with `/`", quote(text)),
    };
    let meant = || {
        let sample = accepted(format!("/{sample}"), |path| check_filled(path, suffix, options));
        let is_path = odd.is_none() && sample.is_some();
        accepted(format!("/{text}"), |_| if is_path { Ok(()) } else { Err(()) })
    };
    let help = match (found, odd) {
        (Some(found), _) => match variable::ours(found) {
            Some(ours) if !begins && found.meaning != Meaning::Target => {
                format!("a path begins with `/`; the same value here is `{ours}`")
            }
            _ => variable::hint(found, Place::Path),
        },
        (None, Some(odd)) if begins => ending_hint(odd, reader).to_owned(),
        (None, _) if text.contains("://") => {
            "scheme and host have keys of their own; a whole URL goes into `url`".to_owned()
        }
        (None, _) => match meant() {
            Some(path) => format!("did you mean `{path}`?"),
            None => "a path begins with `/`".to_owned(),
        },
    };
    problems
        .add(Code::BadRewrite, written.span, message)
        .help(help)
        .propose_if(written.span, text, ours);
    None
}

/// The text in front of a parameter of all segments to come, as in `/x/{**rest}`, which ends the path.
fn rest_of_path(text: &str) -> Option<&str> {
    let (prefix, rest) = text.split_once("/{*")?;
    let is_last = rest.find('}').is_some_and(|at| at + 1 == rest.len());
    let is_plain = !prefix.contains(['{', '*', '?']);
    (is_last && is_plain).then_some(if prefix.is_empty() { "/" } else { prefix })
}

/// A character that ends a path in the text around the values of a template.
fn odd_in(template: &ValueTemplate) -> Option<char> {
    let text = template.filled_with("");
    text.chars().find(|c| matches!(c, '?' | '#'))
}

/// Returns true if a template can be a path.
fn is_path(template: &ValueTemplate, suffix: &str, options: PathOptions) -> bool {
    let sample = sample(template);
    sample.starts_with('/') && odd_in(template).is_none() && check_filled(&sample, suffix, options).is_ok()
}

/// The template with something for each value.
fn sample(template: &ValueTemplate) -> String {
    template.sampled(|name| match name {
        ValueName::Path => "/x",
        _ => "x",
    })
}

/// Checks the text around the values of a template. They stay inside their segments, so only that can be invalid.
fn check_filled(sample: &str, suffix: &str, options: PathOptions) -> Result<(), PathError> {
    let filled = format!("{sample}{suffix}");
    path::normalize(filled.as_bytes(), options, &mut Vec::new()).map(|_| ())
}

/// Reports a path that is refused whatever the request is.
fn report_refused(written: &At<Text>, error: PathError, problems: &mut Problems) {
    let text = &*written.value;
    problems
        .add(
            Code::BadRewrite,
            written.span,
            format!("{} can never be a path: {error}", quote(text)),
        )
        .help(match error {
            PathError::NoSlash => "a path begins with `/`",
            PathError::Percent(_) => "a literal `%` is written `%25`",
            PathError::Encoded(_) if has_only_slashes(text) => {
                "a path has `%2F` only where a listener has `paths: { encoded_slash: keep }`"
            }
            PathError::Encoded(_) => "servers read `%5C` and `%00` in different ways; leave it out",
            PathError::Character(_) if text.contains('\\') => {
                "there are no escapes; the groups of a regex are `$1` or `$name`"
            }
            PathError::Character(_) => {
                "percent-encode characters that are not allowed in a path, a space as `%20`"
            }
            PathError::DotParameters => {
                "a path has `..;` only where a listener has `paths: { dot_segment_parameters: keep }`"
            }
            PathError::Climbs => "leave the `..` out, or put what it leads out of in front of it",
        });
}

/// Returns the hint at a character that ends a path.
fn ending_hint(odd: char, reader: Reader) -> &'static str {
    match (odd, reader) {
        ('?', Reader::Service) => {
            "the query of the request stays, behind the new path, unless `query` says otherwise; a `?` of the path itself is \
            `%3F`"
        }
        ('?', Reader::Client) => {
            "the query of the request stays, behind the new path, unless `query` says otherwise; a fixed URL with a query is \
            `url: URL`, and a `?` of the path itself is `%3F`"
        }
        (_, Reader::Service) => "services get no fragment; a `#` of the path itself is `%23`",
        (_, Reader::Client) => "clients keep their fragment; a `#` of the path itself is `%23`",
    }
}

fn replacement(written: &At<Replacing>, reader: Reader, context: &mut Context<'_>) -> Option<Replacement> {
    let options = context.path_options;
    let problems = &mut *context.problems;
    let Replacing { from, to } = &written.value;
    let text = from
        .value
        .strip_prefix('~')
        .filter(|_| from.value.starts_with("~^"));
    if let Some(text) = text {
        problems
            .add(
                Code::BadRegex,
                from.span,
                "the first text of `regex` is a regex without a `~`",
            )
            .help(
                match accepted(text.to_owned(), |text| Regex::new(text).map(drop)) {
                    Some(regex) => format!("write `{regex}`"),
                    None => "leave the `~` out".to_owned(),
                },
            );
        return None;
    }
    let regex = match Regex::new(&from.value) {
        Ok(regex) => regex,
        Err(error) => {
            report_regex(&error, from.span, problems);
            return None;
        }
    };
    match Replacement::parse(regex, &to.value) {
        Ok(replacement) => {
            match check_replacement(&from.value, &replacement, options) {
                Ok(()) => {}
                // Its text is that of a path; the place where the regex matches is what makes it climb.
                Err(PathError::Climbs) => {
                    problems
                        .add(
                            Code::BadRewrite,
                            to.span,
                            format!(
                                "{} at the start of a path climbs above `/`, so no request has a path",
                                quote(&to.value)
                            ),
                        )
                        .help("leave the `..` out, or put what it leads out of in front of it");
                }
                Err(error) => report_refused(to, error, problems),
            }
            Some(replacement)
        }
        Err(error) => {
            let (what, help) = match error {
                TemplateError::Character(odd) => ("a path", ending_hint(odd, reader)),
                _ => (
                    "filled in",
                    "groups are `$1`, `${1}` or `$name`; a literal `$` is `$$`",
                ),
            };
            problems
                .add(
                    Code::BadRewrite,
                    to.span,
                    format!("{} cannot be {what}: {error}", quote(&to.value)),
                )
                .help(help);
            None
        }
    }
}

/// Checks the text of a replacement. Groups come from a normalised path, and what stands around the match is unknown, so
/// only what holds for every request is an error.
fn check_replacement(from: &str, replacement: &Replacement, options: PathOptions) -> Result<(), PathError> {
    let filled = if from.contains('%') {
        // It takes encodings apart, so a `%` may get its digits from the request.
        replacement.filled_with("25") + "25"
    } else {
        replacement.filled_with("x")
    };
    path::encode_into(filled.as_bytes(), options, &mut Vec::new())?;
    // Its segments, with enough in front of them for any number of `..`.
    let mut scratch = Vec::new();
    if let Some((_, segments)) = filled.split_once('/') {
        let deep = "/x".repeat(segments.split('/').count());
        path::normalize(format!("{deep}/{segments}").as_bytes(), options, &mut scratch)?;
    }
    if let Some(beginning) = replacement.beginning() {
        // The last segment may go on.
        let whole = beginning.rfind('/').map_or(beginning, |end| &beginning[..=end]);
        path::normalize(whole.as_bytes(), options, &mut scratch)?;
    }
    Ok(())
}
