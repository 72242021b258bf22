//! Messages for operators, on standard error.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::time::Duration;

use tokio::time::Instant;

/// Minimum interval between warnings that clients can bring about.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Writes a warning. Unlike `eprintln!` it does not panic when standard error is closed.
pub(crate) fn warn(message: &str) {
    let _ = writeln!(io::stderr(), "waypost: {message}");
}

/// Warnings that clients can bring about, of which one a minute is written.
#[derive(Debug, Default)]
pub(crate) struct RareWarnings {
    last: Cell<Option<Instant>>,
    /// Warnings since the last one that was written.
    left_out: Cell<usize>,
}

impl RareWarnings {
    /// Writes a warning, unless the last one was written less than a minute ago.
    pub(crate) fn warn(&self, message: impl FnOnce() -> String) {
        if let Some(message) = self.take(message) {
            warn(&message);
        }
    }

    fn take(&self, message: impl FnOnce() -> String) -> Option<String> {
        let is_due = self.last.get().is_none_or(|last| last.elapsed() >= WARN_INTERVAL);
        if !is_due {
            self.left_out.set(self.left_out.get() + 1);
            return None;
        }
        self.last.set(Some(Instant::now()));
        let message = message();
        Some(match self.left_out.replace(0) {
            0 => message,
            count => format!("{message}, and {count} times more since the last message"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_warning_a_minute_is_written_and_the_others_are_counted() {
        let warnings = RareWarnings::default();
        let take = || warnings.take(|| "it happened".to_owned());
        assert_eq!(take().as_deref(), Some("it happened"));
        assert_eq!((take(), take()), (None, None));
        tokio::time::advance(WARN_INTERVAL).await;
        let expected = "it happened, and 2 times more since the last message";
        assert_eq!(take().as_deref(), Some(expected));
        tokio::time::advance(WARN_INTERVAL).await;
        assert_eq!(take().as_deref(), Some("it happened"));
    }
}
