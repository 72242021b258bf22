//! Printing to standard output and standard error.

use std::io::{self, IsTerminal as _, Write as _};

use diffy::{DiffOptions, PatchFormatter};
use waypost_config::diagnostic::Diagnostic;

use crate::Outcome;
use crate::texts::Texts;

/// Prints text on standard output, without colours if it is not a terminal.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Prints one JSON document.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<Outcome> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    print(&text)?;
    Ok(Outcome::Good)
}

/// Returns true if standard output is a terminal. `NO_COLOR` is respected when printing.
pub(crate) fn stdout_has_colors() -> bool {
    io::stdout().is_terminal()
}

/// Returns true if standard error is a terminal.
pub(crate) fn stderr_has_colors() -> bool {
    io::stderr().is_terminal()
}

/// Returns true if the reader has closed the pipe, as `head` does.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// The text without characters that a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    let is_safe = |char: char| {
        !char.is_control()
            && !matches!(char, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        match is_safe(char) {
            true => plain.push(char),
            false => plain.extend(char.escape_unicode()),
        }
    }
    plain
}

/// A number with its noun: `1 route`, `2 routes`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// Renders diagnostics with excerpts of the texts.
pub(crate) fn render(diagnostics: &[Diagnostic], texts: &Texts, color: bool) -> String {
    waypost_config::render::render(diagnostics, &texts.all(), color)
}

/// Prints text on standard error. Errors are ignored: a gateway serves on without it.
pub(crate) fn eprint(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// A unified diff of two named texts, with three lines of context.
pub(crate) fn unified_diff((from, before): (String, &str), (to, after): (String, &str)) -> String {
    let mut options = DiffOptions::new();
    options.set_original_filename(from).set_modified_filename(to);
    let patch = options.create_patch(before, after);
    let formatter = PatchFormatter::new().suppress_blank_empty(false);
    formatter.fmt_patch(&patch).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, after: &str, expected: &str) {
        let diff = unified_diff(
            ("a.yaml (revision 1)".to_owned(), before),
            ("a.yaml (revision 2)".to_owned(), after),
        );
        let expected = format!("--- a.yaml (revision 1)\n+++ a.yaml (revision 2)\n{expected}");
        assert_eq!(diff, expected);
    }

    #[test]
    fn changes_have_three_lines_of_context() {
        check(
            "1\n2\n\n4\n5\n6\n7\n8\n9\n",
            "1\n2\n\n4\n5!\n6\n7\n8\n9\n",
            "@@ -2,7 +2,7 @@\n 2\n \n 4\n-5\n+5!\n 6\n 7\n 8\n",
        );
    }

    #[test]
    fn new_removed_and_unterminated_files_are_told_apart() {
        check("", "1\n2\n", "@@ -0,0 +1,2 @@\n+1\n+2\n");
        check("1\n2\n", "", "@@ -1,2 +0,0 @@\n-1\n-2\n");
        check("1", "1\n", "@@ -1 +1 @@\n-1\n\\ No newline at end of file\n+1\n");
    }
}
