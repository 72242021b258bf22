//! Tests against servers of other people, which the README's user need not have.

use anyhow::Result;

use crate::command;

/// Runs them.
pub(crate) fn run() -> Result<()> {
    command::run(&mut command::cargo([
        "test",
        "--package",
        "waypost",
        "--features",
        "system-tests",
        "--test",
        "system",
    ]))
}
