//! Messages for operators, on standard error.

use std::io::{self, Write as _};

/// Writes a warning. Unlike `eprintln!` it does not panic when standard error is closed.
pub(crate) fn warn(message: &str) {
    let _ = writeln!(io::stderr(), "waypost: {message}");
}
