//! Corrections: values that were probably meant, for hints.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Maximum number of mistakes in one value.
const STEPS_MAX: usize = 4;

/// Maximum length of a correction; a longer one would not fit into a line.
const CHARS_MAX: usize = 200;

/// Corrects `text` step by step, until `check` accepts it. Each step mends one error.
///
/// `None` if an error cannot be mended, or if the result cannot be shown as it is. So a hint never shows a value that would
/// be refused in turn.
pub(crate) fn corrected<E>(
    text: &str,
    check: impl Fn(&str) -> Result<(), E>,
    step: impl Fn(&str, &E) -> Option<String>,
) -> Option<String> {
    let mut text = text.to_owned();
    for _ in 0..=STEPS_MAX {
        match check(&text) {
            Ok(()) => return is_showable(&text).then_some(text),
            Err(error) => text = step(&text, &error)?,
        }
    }
    None
}

/// Returns `candidate` if `check` accepts it, and it can be shown as it is.
pub(crate) fn accepted<E>(candidate: String, check: impl Fn(&str) -> Result<(), E>) -> Option<String> {
    (is_showable(&candidate) && check(&candidate).is_ok()).then_some(candidate)
}

/// Returns true if a hint can show `text` in backticks without changing it.
pub(crate) fn is_showable(text: &str) -> bool {
    text.chars().take(CHARS_MAX + 1).count() <= CHARS_MAX
        && !text.contains(|c: char| c.is_control() || c == '`')
}

/// Returns the address to bind to that was probably meant. `any` stands for a missing address, `port` for a missing port.
pub(crate) fn address(text: &str, any: &str, port: u16) -> Option<String> {
    corrected(
        text,
        |text| text.parse::<SocketAddr>().map(drop),
        |text, _| {
            if let Some((_, rest)) = text.split_once("://") {
                return Some(before_path(rest).to_owned());
            }
            if let Ok(IpAddr::V4(address)) = text.parse() {
                return Some(format!("{address}:{port}"));
            }
            if let Ok(address) = text.trim_matches(['[', ']']).parse::<Ipv6Addr>() {
                return Some(format!("[{address}]:{port}"));
            }
            if let Ok(port) = text.trim_start_matches(['*', ':']).parse::<u16>() {
                return Some(format!("{any}:{port}"));
            }
            match text.split_once(':') {
                Some(("localhost", port)) => Some(format!("127.0.0.1:{port}")),
                None if text == "localhost" => Some(format!("127.0.0.1:{port}")),
                _ => None,
            }
        },
    )
}

/// Returns `text` as YAML reads it in a mapping or a list: in quotes if it would be something else without them.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/' | b':' | b'*');
    if !text.is_empty()
        && text.bytes().all(is_plain)
        && !text.starts_with(['-', '*', ':'])
        && !text.ends_with(':')
    {
        return Cow::Borrowed(text);
    }
    // Single quotes leave backslashes alone.
    if text.contains(['\\', '"']) && !text.contains(|c: char| c == '\'' || c.is_control()) {
        return Cow::Owned(format!("'{text}'"));
    }
    Cow::Owned(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// Returns the authority at the beginning of `rest`, which stands behind a scheme.
pub(crate) fn before_path(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_corrected_or_not_shown() {
        for (text, expected) in [
            ("http://0.0.0.0:80", Some("0.0.0.0:80")),
            ("http://localhost:80/", Some("127.0.0.1:80")),
            ("https://[::1]", Some("[::1]:8080")),
            ("0.0.0.0", Some("0.0.0.0:8080")),
            ("::", Some("[::]:8080")),
            ("[::1]", Some("[::1]:8080")),
            ("8081", Some("0.0.0.0:8081")),
            ("*:8081", Some("0.0.0.0:8081")),
            ("localhost", Some("127.0.0.1:8080")),
            ("localhost:http", None),
            ("http://example.com:80", None),
            ("http://", None),
            ("0.0.0.0:99999", None),
            ("", None),
        ] {
            assert_eq!(address(text, "0.0.0.0", 8080).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn corrections_that_cannot_be_shown_are_left_out() {
        let check = |text: &str| if text.starts_with('/') { Ok(()) } else { Err(()) };
        let step = |text: &str, (): &()| Some(format!("/{text}"));
        assert_eq!(corrected("a", check, step).as_deref(), Some("/a"));
        assert_eq!(corrected("a\n", check, step), None);
        assert_eq!(corrected(&"a".repeat(300), check, step), None);
        assert_eq!(corrected("a", |_| Err(()), step), None);
    }
}
