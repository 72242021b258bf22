//! Runs all tests that need only cargo.

use std::env;

use anyhow::Result;

use crate::command;

/// The variable that seeds property tests.
const SEED: &str = "PROPTEST_RNG_SEED";

/// Runs the tests of the whole workspace; `arguments` go to `cargo test`.
///
/// Property tests get the same values each time, so that the result says something about the change, not about luck.
/// Another seed, or `cargo test`, looks further.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let arguments = arguments.iter().map(String::as_str);
    let mut tests = command::cargo(["test", "--workspace"].into_iter().chain(arguments));
    if env::var_os(SEED).is_none() {
        tests.env(SEED, "1");
    }
    command::run(&mut tests)
}
