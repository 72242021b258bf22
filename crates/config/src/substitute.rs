//! Substitution of `${NAME}` and `${NAME:-default}` from the environment.

use std::borrow::Cow;

use crate::tree::Origin;

/// A variable without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoValue<'t> {
    /// The variable of this name is unset and has no default.
    Unset(&'t str),
    /// The variable of this name is empty and has no default. Empty is rarely meant, and opens what a value closes.
    Empty(&'t str),
}

/// Replaces the variables in `text`. The error is the first one without a value.
///
/// A name is `[A-Za-z_][A-Za-z0-9_]*`. The default ends at the first `}` and, as in a shell, also applies if the
/// variable is empty. `$${` is a literal `${`; any other `$` is literal, including `${1}`.
pub(crate) fn substitute<'t>(
    text: &'t str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Cow<'t, str>, Origin), NoValue<'t>> {
    if !text.contains("${") {
        return Ok((Cow::Borrowed(text), Origin::Written));
    }
    let mut filled = String::with_capacity(text.len());
    let mut origin = Origin::Written;
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            filled.push_str(&rest[..at]);
            filled.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        filled.push_str(&rest[..at]);
        let inside = &rest[at + 2..];
        match variable(inside) {
            Some((name, default, after)) => {
                if filled.is_empty() {
                    origin = Origin::Variable;
                } else if origin == Origin::Written {
                    origin = Origin::Mixed;
                }
                match (env(name), default) {
                    (Some(value), _) if !value.is_empty() => filled.push_str(&value),
                    (_, Some(default)) => filled.push_str(default),
                    (Some(_), None) => return Err(NoValue::Empty(name)),
                    (None, None) => return Err(NoValue::Unset(name)),
                }
                rest = after;
            }
            None => {
                filled.push_str("${");
                rest = inside;
            }
        }
    }
    filled.push_str(rest);
    Ok((Cow::Owned(filled), origin))
}

/// Returns name, default and the text after the `}`; `None` if this is not a variable.
fn variable(inside: &str) -> Option<(&str, Option<&str>, &str)> {
    let length = inside
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count();
    let (name, after) = inside.split_at(length);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Some(after) = after.strip_prefix('}') {
        return Some((name, None, after));
    }
    let (default, after) = after.strip_prefix(":-")?.split_once('}')?;
    Some((name, Some(default), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("a.example".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}".to_owned()),
            _ => None,
        }
    }

    fn check(text: &str, expected: Result<&str, NoValue<'_>>) {
        let found = substitute(text, &environment);
        assert_eq!(
            found.map(|(filled, _)| filled).as_deref(),
            expected.as_deref(),
            "{text}"
        );
    }

    #[test]
    fn variables_defaults_and_literals() {
        check("no variable", Ok("no variable"));
        check("http://${HOST}:80", Ok("http://a.example:80"));
        check("${HOST}${HOST}", Ok("a.examplea.example"));
        check("${EMPTY:-x}", Ok("x"));
        check("${EMPTY:-}", Ok(""));
        check("${UNSET:-x}", Ok("x"));
        check("${UNSET:-}", Ok(""));
        check("${UNSET:-a:-b}", Ok("a:-b"));
        check("$${HOST}", Ok("${HOST}"));
        check("$$${HOST}", Ok("$${HOST}"));
        check(
            "$HOST $1 ${1} ${} ${HOST ${a-b} $",
            Ok("$HOST $1 ${1} ${} ${HOST ${a-b} $"),
        );
        check("${NESTED}", Ok("${HOST}"));
    }

    #[test]
    fn variables_without_a_value_are_errors() {
        check("a${UNSET}", Err(NoValue::Unset("UNSET")));
        check("${EMPTY}", Err(NoValue::Empty("EMPTY")));
        check("${HOST}${EMPTY}", Err(NoValue::Empty("EMPTY")));
    }

    #[test]
    fn origin_is_known() {
        for (text, expected) in [
            ("a", Origin::Written),
            ("$${HOST}", Origin::Written),
            ("${HOST}", Origin::Variable),
            ("${UNSET:-}${HOST}", Origin::Variable),
            ("${HOST}a", Origin::Variable),
            ("${UNSET:-~}a", Origin::Variable),
            ("~${HOST}", Origin::Mixed),
            ("a${HOST}${UNSET:-}", Origin::Mixed),
        ] {
            let origin = substitute(text, &environment).map(|(_, origin)| origin);
            assert_eq!(origin, Ok(expected), "{text}");
        }
    }
}
