//! Printing to standard output, where a reader may leave early.

use std::io::{self, IsTerminal as _, Write as _};

use crate::Outcome;

/// Prints text as it is, colours left out where nobody would see them.
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

/// Whether diagnostics on standard output may be coloured. `NO_COLOR` is respected when printing.
pub(crate) fn stdout_has_colors() -> bool {
    io::stdout().is_terminal()
}

/// Whether diagnostics on standard error may be coloured.
pub(crate) fn stderr_has_colors() -> bool {
    io::stderr().is_terminal()
}

/// Whether the error is only that the reader has left, as `head` does.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// `1 route`, `2 routes`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// Prints on standard error; a closed one is no reason to stop serving.
pub(crate) fn eprint(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}
