//! Waiting without taking the processor from etcd and the instances, of which many run at once.

use std::thread;
use std::time::{Duration, Instant};

/// Timeout of every wait: several leases. It fails a test; it never decides what a passing test does.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time between two looks.
const BREATH: Duration = Duration::from_millis(10);

/// Polls `look` until it returns a value.
pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_or_else(what, look, String::new)
}

/// Like [`wait_for`]; if the value never comes, the panic says what there is instead.
pub(crate) fn wait_or_else<T>(
    what: &str,
    mut look: impl FnMut() -> Option<T>,
    instead: impl Fn() -> String,
) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what} never comes; {}", instead());
        thread::park_timeout(BREATH);
    }
}
