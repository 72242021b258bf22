//! Path patterns as other gateways write them.

use waypost_plan::path_pattern::{self, PatternError};
use waypost_route::path::PathPatternError;
use waypost_wire::path::PathOptions;

use crate::suggest::correction::{accepted, corrected};

/// The hint at what a refused pattern was probably meant to be; `None` if that is unknown.
pub(crate) fn hint(text: &str, error: &PathPatternError, options: PathOptions) -> Option<String> {
    let is_pattern = |text: &str| path_pattern::parse(text, options).map(drop);
    let meant = corrected(text, is_pattern, step);
    if let (PathPatternError::Star, Some((prefix, regex))) = (error, prefix_of_bytes(text)) {
        let regex = accepted(regex, is_pattern)?;
        return Some(match accepted(prefix, is_pattern) {
            Some(prefix) => format!("write `{prefix}`, or `{regex}` for a prefix of bytes"),
            None => format!("write `{regex}` for a prefix of bytes"),
        });
    }
    if let Some(meant) = meant {
        return Some(match error {
            PathPatternError::Colon(_) => format!("write `{meant}`; a literal `:` in front needs a regex"),
            _ => format!("write `{meant}`"),
        });
    }
    let regex = accepted(as_regex(text)?, is_pattern)?;
    Some(format!("for a part of a segment write a regex: `{regex}`"))
}

/// Mends one error of a pattern.
fn step(text: &str, error: &PatternError) -> Option<String> {
    let PatternError::Pattern(error) = error else {
        return None;
    };
    match error {
        PathPatternError::Colon(_) => Some(map_segments(text, |segment| {
            let name = segment.strip_prefix(':').filter(|name| !name.is_empty())?;
            Some(format!("{{{}}}", parameter(name)?))
        })),
        PathPatternError::Star => rest_of_path(text).or_else(|| inner_stars(text)),
        PathPatternError::ParameterName(name) => {
            if let Some(prefix) = rest_of_path(text) {
                return Some(prefix);
            }
            let whole = format!("{{{name}}}");
            let parameter = parameter(name)?;
            Some(map_segments(text, |segment| {
                (segment == whole).then(|| format!("{{{parameter}}}"))
            }))
        }
        _ => None,
    }
}

/// `/x/**`, `/x/{*rest}`, `/x/{**rest}`, `/x/{rest...}` and `/x/{rest:.*}` are `/x/*`.
fn rest_of_path(text: &str) -> Option<String> {
    let (front, last) = text.rsplit_once('/')?;
    let inner = last.strip_prefix('{').and_then(|last| last.strip_suffix('}'));
    let takes_rest = match inner {
        Some(inner) => inner.starts_with('*') || [":.*", ":.+", "..."].iter().any(|end| inner.ends_with(end)),
        None => last == "**",
    };
    takes_rest.then(|| format!("{front}/*"))
}

/// `/v1*` as a prefix of segments, and as a regex for a prefix of bytes.
fn prefix_of_bytes(text: &str) -> Option<(String, String)> {
    let front = text.strip_suffix('*')?;
    let is_plain = !front.ends_with('/') && !front.contains(['*', '{', '}', ':']);
    (is_plain && front.starts_with('/')).then(|| (format!("{front}/*"), format!("~^{}", literal(front))))
}

/// `/x/*/y` with a parameter for each `*` within.
fn inner_stars(text: &str) -> Option<String> {
    let stars = text.split('/').filter(|segment| *segment == "*").count();
    let is_open = text.ends_with("/*");
    if stars <= usize::from(is_open) {
        return None;
    }
    let mut number = 0;
    let front = text.strip_suffix("/*").unwrap_or(text);
    let mapped = map_segments(front, |segment| {
        (segment == "*").then(|| {
            number += 1;
            match number {
                1 => "{any}".to_owned(),
                _ => format!("{{any{number}}}"),
            }
        })
    });
    Some(if is_open { mapped + "/*" } else { mapped })
}

/// A pattern whose segments have stars, parameters or parameters with a regex as parts.
fn as_regex(text: &str) -> Option<String> {
    let mut regex = "~^".to_owned();
    let mut rest = Some(text).filter(|text| text.starts_with('/') && text.contains(['{', '*']))?;
    while let Some(at) = rest.find(['{', '*']) {
        regex.push_str(&literal(&rest[..at]));
        if let Some(after) = rest[at..].strip_prefix('*') {
            regex.push_str("[^/]*");
            rest = after;
            continue;
        }
        let (inner, after) = rest[at + 1..].split_once('}')?;
        let (name, own) = inner.split_once(':').unwrap_or((inner, "[^/]+"));
        regex.push_str(&format!("(?<{}>{own})", parameter(name)?));
        rest = after;
    }
    regex.push_str(&literal(rest));
    Some(regex + "$")
}

/// The parameter that a name stands for: `user-id` is `user_id`.
fn parameter(name: &str) -> Option<String> {
    let name = name.replace(['-', '.'], "_");
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    (begins && name.bytes().all(fits)).then_some(name)
}

fn map_segments(text: &str, mut map: impl FnMut(&str) -> Option<String>) -> String {
    let segments = text.split('/');
    let mapped = segments.map(|segment| map(segment).unwrap_or_else(|| segment.to_owned()));
    mapped.collect::<Vec<_>>().join("/")
}

/// `text` as a regex for that text alone.
fn literal(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(c) && !matches!(c, '&' | '-' | '~' | '#') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let Err(PatternError::Pattern(error)) = path_pattern::parse(text, PathOptions::default()) else {
            panic!("`{text}` should be refused by its syntax");
        };
        let found = hint(text, &error, PathOptions::default());
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn patterns_of_other_gateways_have_ours_as_hint() {
        let colon = "; a literal `:` in front needs a regex";
        check("/users/:id", Some(&format!("write `/users/{{id}}`{colon}")));
        check(
            "/:a/x/:user-id/**",
            Some(&format!("write `/{{a}}/x/{{user_id}}/*`{colon}")),
        );
        for rest in ["**", "{*rest}", "{**rest}", "{**}", "{rest...}", "{rest:.*}"] {
            check(&format!("/x/{rest}"), Some("write `/x/*`"));
        }
        check("/v1*", Some("write `/v1/*`, or `~^/v1` for a prefix of bytes"));
        check(
            "/v1.0*",
            Some("write `/v1.0/*`, or `~^/v1\\.0` for a prefix of bytes"),
        );
        check("/a/*/b", Some("write `/a/{any}/b`"));
        check("/*/*/b/*", Some("write `/{any}/{any2}/b/*`"));
        check("/a/{user-id}", Some("write `/a/{user_id}`"));
        let part = "for a part of a segment write a regex: ";
        check("/a/*.php", Some(&format!("{part}`~^/a/[^/]*\\.php$`")));
        check(
            "/f/{name}.json",
            Some(&format!("{part}`~^/f/(?<name>[^/]+)\\.json$`")),
        );
        check("/u/{id:[0-9]+}", Some(&format!("{part}`~^/u/(?<id>[0-9]+)$`")));
        check("/u/{1}", None);
        check("/{a}/{a}", None);
        check("/a//:b", None);
    }
}
