//! Substitution of `${NAME}` and `${NAME:-default}` from the environment.

use std::borrow::Cow;

/// Replaces the variables in `text`. The error is the name of the first one that is unset and has no default.
///
/// A name is `[A-Za-z_][A-Za-z0-9_]*`. The default ends at the first `}` and, as in a shell, also applies if the
/// variable is empty. `$${` is a literal `${`; any other `$` is literal, including `${1}`.
pub(crate) fn substitute<'t>(
    text: &'t str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Cow<'t, str>, &'t str> {
    if !text.contains("${") {
        return Ok(Cow::Borrowed(text));
    }
    let mut filled = String::with_capacity(text.len());
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
                let value = env(name);
                match (value, default) {
                    (Some(value), None) => filled.push_str(&value),
                    (Some(value), Some(_)) if !value.is_empty() => filled.push_str(&value),
                    (_, Some(default)) => filled.push_str(default),
                    (None, None) => return Err(name),
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
    Ok(Cow::Owned(filled))
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

    fn check(text: &str, expected: Result<&str, &str>) {
        let env = |name: &str| match name {
            "HOST" => Some("a.example".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}".to_owned()),
            _ => None,
        };
        assert_eq!(substitute(text, &env).as_deref(), expected.as_deref(), "{text}");
    }

    #[test]
    fn variables_defaults_and_literals() {
        check("no variable", Ok("no variable"));
        check("http://${HOST}:80", Ok("http://a.example:80"));
        check("${HOST}${HOST}", Ok("a.examplea.example"));
        check("${EMPTY}", Ok(""));
        check("${EMPTY:-x}", Ok("x"));
        check("${UNSET:-x}", Ok("x"));
        check("${UNSET:-}", Ok(""));
        check("${UNSET:-a:-b}", Ok("a:-b"));
        check("a${UNSET}", Err("UNSET"));
        check("$${HOST}", Ok("${HOST}"));
        check("$$${HOST}", Ok("$${HOST}"));
        check(
            "$HOST $1 ${1} ${} ${HOST ${a-b} $",
            Ok("$HOST $1 ${1} ${} ${HOST ${a-b} $"),
        );
        check("${NESTED}", Ok("${HOST}"));
    }
}
