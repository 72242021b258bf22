//! What the tests are written with: a gateway, services that record what reaches them, and raw clients.

use std::time::{Duration, Instant};

pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod gateway;
pub(crate) mod http2;
pub(crate) mod message;
pub(crate) mod service;
pub(crate) mod tls;

/// How long anything is waited for before the test fails. It never decides what a passing test does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Looks again and again until something is there.
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
