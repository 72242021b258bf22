//! Runs all tests that need only cargo.

use anyhow::Result;

use crate::command;

/// Runs the tests of the whole workspace; `arguments` go to `cargo test`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let arguments = arguments.iter().map(String::as_str);
    command::run(&mut command::cargo(
        ["test", "--workspace"].into_iter().chain(arguments),
    ))
}
