//! Syntax errors, with hints at common mistakes.

use granit_parser::{ErrorKind, ScanError};

use super::{number, report_depth};
use crate::diagnostic::Code;
use crate::place::Span;
use crate::problems::Problems;

/// Reports a syntax error in the parser's words, with a hint for common mistakes.
pub(super) fn report(file: u32, text: &str, error: &ScanError, problems: &mut Problems) {
    let mark = error.marker();
    let span = Span::char_at(file, number(mark.line()), number(mark.col() + 1));
    let lines = || text.split('\n');
    if let Some((line, column)) = indenting_tab(text, mark.line()) {
        problems
            .add(
                Code::TabIndentation,
                Span::char_at(file, number(line), number(column)),
                "a tab cannot indent in YAML",
            )
            .help("indent with spaces");
        return;
    }
    if *error.kind() == ErrorKind::RecursionLimitExceeded {
        report_depth(span, problems);
        return;
    }
    let line = lines().nth(mark.line().saturating_sub(1)).unwrap_or_default();
    let help = if line.contains("${") && line.contains(['{', '[']) {
        Some("inside `{…}` and `[…]` a value with `${NAME}` has to be quoted".to_owned())
    } else if let Some(value) = braced_value(line) {
        Some(format!(
            "inside `{{…}}` and `[…]` a value with braces has to be quoted: `\"{value}\"`"
        ))
    } else if *error.kind() == ErrorKind::UnknownAnchor
        || line.contains(": *")
        || line.trim_start().starts_with("- *")
    {
        Some("a value that begins with `*` has to be quoted, as in `\"*.example.com\"`".to_owned())
    } else {
        None
    };
    let (code, message) = match error.kind() {
        ErrorKind::UnknownAnchor => (Code::Alias, "no anchor before it has this name".to_owned()),
        _ => {
            let message = error.info();
            (
                Code::Syntax,
                format!("this is not YAML: {}", message.trim_end_matches('.')),
            )
        }
    };
    problems.add(code, span, message).help_if(help);
}

/// Returns an unquoted value such as `/users/{id}` after an opening bracket or brace.
fn braced_value(line: &str) -> Option<&str> {
    const CHARS_MAX: usize = 60;
    let ends = |c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}' | '"' | '\'');
    let opener = line.find(['{', '['])?;
    let mut from = opener + 1;
    while let Some(brace) = line[from..].find('{').map(|at| from + at) {
        let start = line[..brace]
            .char_indices()
            .rev()
            .find(|&(_, c)| ends(c))
            .map_or(0, |(at, c)| at + c.len_utf8());
        let name = line[brace + 1..].find(ends).map(|at| brace + 1 + at);
        let quoted = line[..start].ends_with(['"', '\'']);
        if let Some(end) = name
            && line[end..].starts_with('}')
            && end > brace + 1
            && start < brace
            && start > opener
            && !line[start..brace].ends_with(':')
            && !quoted
        {
            // The value includes further parameters and text, up to the bracket that closes the mapping.
            let mut end = end + 1;
            loop {
                let rest = &line[end..];
                let text = rest.find(ends).unwrap_or(rest.len());
                end += text;
                let parameter = line[end..]
                    .strip_prefix('{')
                    .and_then(|rest| rest.find(ends).filter(|&at| rest[at..].starts_with('}')));
                match parameter {
                    Some(length) => end += length + 2,
                    None => break,
                }
            }
            let value = &line[start..end];
            return (value.chars().count() <= CHARS_MAX).then_some(value);
        }
        from = brace + 1;
    }
    None
}

/// Returns the place of a tab in the indentation of the line of an error, or of the line before or after it: some
/// errors are reported at the start of the value that the tab ends.
fn indenting_tab(text: &str, error_line: usize) -> Option<(usize, usize)> {
    let first = error_line.saturating_sub(2);
    text.split('\n')
        .enumerate()
        .skip(first)
        .take(error_line + 1 - first)
        .find_map(|(at, line)| {
            let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
            let tab = line[..indentation].find('\t')?;
            Some((at + 1, tab + 1))
        })
}
