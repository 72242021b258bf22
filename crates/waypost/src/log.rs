//! The operator log: one line for each event of a running gateway, on standard error.

use std::fmt::Display;

use waypost_config::diagnostic::Diagnostic;

use crate::output::{self, eprint};
use crate::texts::Texts;

/// The urgency of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// The course of things.
    Info,
    /// A failure or a refusal, prefixed by the name of the program.
    Warn,
}

/// Logs an event that needs no action.
pub(crate) fn info(message: impl Display) {
    write(Level::Info, &message);
}

/// Logs an event that may need action.
pub(crate) fn warn(message: impl Display) {
    write(Level::Warn, &message);
}

/// Logs diagnostics with excerpts of the texts.
pub(crate) fn diagnostics(diagnostics: &[Diagnostic], texts: &Texts) {
    eprint(&output::render(diagnostics, texts, output::stderr_has_colors()));
}

fn write(level: Level, message: &dyn Display) {
    eprint(&line(level, message));
}

fn line(level: Level, message: &dyn Display) -> String {
    match level {
        Level::Info => format!("{message}\n"),
        Level::Warn => format!("waypost: {message}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_warnings_name_the_program() {
        assert_eq!(line(Level::Info, &"ready"), "ready\n");
        assert_eq!(line(Level::Warn, &"it fails"), "waypost: it fails\n");
    }
}
