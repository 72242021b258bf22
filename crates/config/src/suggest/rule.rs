//! Rules of Traefik, such as ``Host(`a.example`) && PathPrefix(`/x`)``, as conditions of a match.

/// Maximum length of a rule.
const CHARS_MAX: usize = 500;

/// Returns the conditions that a rule means, each a key with its values; `None` if they cannot be said in one match.
pub(crate) fn conditions(rule: &str) -> Option<Vec<(&'static str, Vec<String>)>> {
    if rule.len() > CHARS_MAX {
        return None;
    }
    let mut conditions = Vec::new();
    let mut rest = rule.trim();
    loop {
        let (matcher, after) = rest.split_once('(')?;
        let (arguments, after) = arguments(after)?;
        let (key, values) = condition(matcher.trim(), arguments)?;
        if conditions.iter().any(|(known, _)| *known == key) {
            return None;
        }
        conditions.push((key, values));
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(conditions);
        }
        rest = rest.strip_prefix("&&")?.trim_start();
    }
}

fn condition(matcher: &str, mut arguments: Vec<String>) -> Option<(&'static str, Vec<String>)> {
    let one = arguments.len() == 1;
    match matcher {
        "Host" => Some(("host", arguments)),
        "Method" => Some(("method", arguments)),
        "ClientIP" => Some(("client_ip", arguments)),
        "Path" if one => Some(("path", arguments)),
        "PathPrefix" if one => {
            let path = arguments.pop()?;
            Some(("path", vec![format!("{}/*", path.trim_end_matches('/'))]))
        }
        "PathRegexp" if one => {
            let regex = arguments.pop()?;
            Some(("path", vec![format!("~{regex}")]))
        }
        _ => None,
    }
}

/// Returns the quoted arguments up to `)`, and the text after it.
fn arguments(text: &str) -> Option<(Vec<String>, &str)> {
    let mut arguments = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let quote = rest.chars().next().filter(|c| matches!(c, '`' | '"' | '\''))?;
        let (argument, after) = rest[1..].split_once(quote)?;
        arguments.push(argument.to_owned());
        rest = after.trim_start();
        if let Some(after) = rest.strip_prefix(')') {
            return Some((arguments, after));
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_become_conditions_where_one_match_can_say_them() {
        let check = |rule: &str, expected: Option<&[(&str, &[&str])]>| {
            let found = conditions(rule);
            let found: Option<Vec<(&str, Vec<&str>)>> = found.as_ref().map(|found| {
                found
                    .iter()
                    .map(|(key, values)| (*key, values.iter().map(String::as_str).collect()))
                    .collect()
            });
            let expected: Option<Vec<(&str, Vec<&str>)>> =
                expected.map(|all| all.iter().map(|(key, values)| (*key, values.to_vec())).collect());
            assert_eq!(found, expected, "{rule}");
        };
        check("Host(`a.example`)", Some(&[("host", &["a.example"])]));
        check(
            "Host(`a.example`, `b.example`) && PathPrefix(`/x/`)",
            Some(&[("host", &["a.example", "b.example"]), ("path", &["/x/*"])]),
        );
        check("PathPrefix(`/`)", Some(&[("path", &["/*"])]));
        check(
            "Path(\"/x\")&&Method('GET')",
            Some(&[("path", &["/x"]), ("method", &["GET"])]),
        );
        check("PathRegexp(`^/v[0-9]+`)", Some(&[("path", &["~^/v[0-9]+"])]));
        for other in [
            "Host(`a`) || Host(`b`)",
            "!Host(`a`)",
            "Host(a)",
            "Host(`a`",
            "Headers(`a`, `b`)",
            "",
            "x",
        ] {
            check(other, None);
        }
    }
}
