//! Support for the tests: a gateway, services that record what they receive, raw clients.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};

pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod dns;
pub(crate) mod gateway;
pub(crate) mod http2;
pub(crate) mod message;
pub(crate) mod service;
#[cfg(feature = "tui")]
pub(crate) mod terminal;
pub(crate) mod tls;
pub(crate) mod tokens;
pub(crate) mod unix;

/// Timeout of every wait. It fails a test; it never decides what a passing test does. Longer than the gateway's own timeouts,
/// after which it tries again.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Creates a named pipe, which blocks a process that opens it.
pub(crate) fn make_fifo(path: &Path) {
    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, path, FileType::Fifo, mode, 0).expect("a pipe");
}

/// Polls `look` until it returns a value.
pub(crate) fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what} never comes");
        std::thread::yield_now();
    }
}
