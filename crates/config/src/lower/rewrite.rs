//! Rewrites of paths, for services and for redirects.

use waypost_plan::rewrite::{PathRewrite, Rewrite};
use waypost_plan::template::{PathTemplate, Replacement, TemplateError};
use waypost_route::regex::Regex;
use waypost_wire::path::{self, PathOptions};

use crate::diagnostic::Code;
use crate::document;
use crate::keys::At;
use crate::lower::pattern::{Pattern, report_regex};
use crate::lower::{Context, host};
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::values::{Replacing, Text};

/// Lowers the `rewrite` of a route.
pub(super) fn rewrite(
    written: &At<document::Rewrite>,
    patterns: &[Pattern],
    context: &mut Context<'_>,
) -> Rewrite {
    let given = &written.value;
    let path = path_rewrite(
        [given.prefix.as_deref(), given.path.as_deref()],
        given.regex.as_deref(),
        patterns,
        context,
    );
    let problems = &mut *context.problems;
    if let Some(host) = &given.host {
        host::check_authority(host, problems);
    }
    if given.given.keys().next().is_none() {
        problems
            .add(Code::MissingKey, written.key, "the rewrite rewrites nothing")
            .help("add `prefix`, `path`, `regex` or `host`, or leave it out");
    }
    Rewrite {
        path,
        host: given.host.as_ref().map(|host| (*host.value).into()),
    }
}

/// Lowers the one of `prefix`, `path` and `regex` that is given.
pub(super) fn path_rewrite(
    [prefix, path]: [Option<&At<Text>>; 2],
    regex: Option<&At<Replacing>>,
    patterns: &[Pattern],
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
    let options = context.path_options;
    let problems = &mut *context.problems;
    if let Some(prefix) = prefix {
        check_open(prefix, patterns, problems);
    }
    let prefix = prefix.and_then(|prefix| template(prefix, "/x", patterns, options, problems));
    let path = path.and_then(|path| template(path, "", patterns, options, problems));
    let regex = regex.and_then(|regex| replacement(regex, problems));
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
    options: PathOptions,
    problems: &mut Problems,
) -> Option<PathTemplate> {
    let text = &*written.value;
    let template = match PathTemplate::parse(text) {
        Ok(template) => template,
        Err(error) => {
            let help = match &error {
                TemplateError::NoSlash if text.contains("://") => {
                    Some("scheme and host have keys of their own".to_owned())
                }
                TemplateError::NoSlash => Some(format!("did you mean `/{text}`?")),
                TemplateError::Character('?') => Some("the query of the request stays as it is".to_owned()),
                _ => None,
            };
            problems
                .add(
                    Code::BadRewrite,
                    written.span,
                    format!("{} cannot be a path: {error}", quote(text)),
                )
                .help_if(help);
            return None;
        }
    };
    for name in template.names() {
        for pattern in patterns {
            if pattern.pattern.names().contains(&name) {
                continue;
            }
            let bound = pattern.pattern.names();
            let near = crate::suggest::nearest(name, bound);
            let label = if pattern.written {
                "not bound here"
            } else {
                "there is no `path` here"
            };
            problems
                .add(
                    Code::BadRewrite,
                    written.span,
                    format!(
                        "`{{{}}}` is not bound by the path of every alternative",
                        quote(name).trim_matches('`')
                    ),
                )
                .label(pattern.span, label)
                .help(match near {
                    Some(near) => format!("did you mean `{{{near}}}`?"),
                    None => "bind it in the pattern, as in `/users/{id}`".to_owned(),
                });
        }
    }
    // Parameters come from a normalised path, so only the text around them can be invalid.
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('{') {
        filled.push_str(before);
        filled.push('x');
        rest = from.split_once('}').map_or("", |(_, after)| after);
    }
    filled.push_str(rest);
    filled.push_str(suffix);
    let mut scratch = Vec::new();
    if let Err(error) = path::normalize(filled.as_bytes(), options, &mut scratch) {
        problems
            .add(
                Code::BadRewrite,
                written.span,
                format!("{} can never be a path: {error}", quote(text)),
            )
            .help("percent-encode characters that are not allowed in a path, a space as `%20`");
    }
    Some(template)
}

fn replacement(written: &At<Replacing>, problems: &mut Problems) -> Option<Replacement> {
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
            .help(format!("write {}", quote(text)));
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
        Ok(replacement) => Some(replacement),
        Err(error) => {
            problems
                .add(
                    Code::BadRewrite,
                    to.span,
                    format!("{} cannot be filled in: {error}", quote(&to.value)),
                )
                .help("groups are `$1`, `${1}` or `$name`; a literal `$` is `$$`");
            None
        }
    }
}
