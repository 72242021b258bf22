//! Runs all tests that need only cargo.

use std::collections::BTreeSet;
use std::env;
use std::num::NonZero;
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::command;

/// The variable that seeds property tests.
const SEED: &str = "PROPTEST_RNG_SEED";

/// The variable with the number of tests that run at once.
const THREADS: &str = "RUST_TEST_THREADS";

/// The least number of tests that run at once, on however few cores: tests of the binary mostly wait for it.
const THREADS_MIN: usize = 8;

/// The option that leads to options for test programs.
const END: &str = "--";

/// Options of `cargo test` that say which programs run.
const CHOICES: [&str; 9] = [
    "--lib",
    "--bin",
    "--bins",
    "--test",
    "--tests",
    "--example",
    "--examples",
    "--all-targets",
    "--doc",
];

/// Runs the tests of the whole workspace; `arguments` go to `cargo test`.
///
/// Property tests get the same values each time, so that the result says something about the change, not about luck.
/// Another seed, or `cargo test`, looks further.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if chooses(arguments) {
        return command::run(&mut tests(&[], arguments));
    }
    let metadata = command::output(&mut command::cargo([
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
    ]))?;
    let metadata =
        serde_json::from_str(&metadata).context("`cargo metadata` printed something else than JSON")?;
    let mut choice = vec!["--lib", "--bins"];
    let programs = programs(&metadata);
    for program in &programs {
        choice.extend(["--test", program]);
    }
    command::run(&mut tests(&choice, arguments))?;
    command::run(&mut tests(&["--doc"], arguments))
}

/// `cargo test` with these programs.
fn tests(choice: &[&str], arguments: &[String]) -> Command {
    let mut tests = command::cargo(["test"]);
    tests.args(command::WORKSPACE).args(choice).args(arguments);
    if env::var_os(SEED).is_none() {
        tests.env(SEED, "1");
    }
    if env::var_os(THREADS).is_none() {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        tests.env(THREADS, cores.max(THREADS_MIN).to_string());
    }
    tests
}

/// Returns true if `arguments` say which test programs run.
fn chooses(arguments: &[String]) -> bool {
    let own = arguments.iter().take_while(|argument| **argument != END);
    own.map(|argument| argument.split('=').next().unwrap_or_default())
        .any(|option| CHOICES.contains(&option))
}

/// The names of the test programs that need only cargo: no feature is asked for.
fn programs(metadata: &Value) -> BTreeSet<&str> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let tests = targets.filter(|target| {
        let is_test = target["kind"]
            .as_array()
            .is_some_and(|kinds| kinds.contains(&"test".into()));
        is_test && target.get("required-features").is_none()
    });
    tests.filter_map(|target| target["name"].as_str()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn programs_that_need_other_programs_are_left_out() {
        let metadata = json!({ "packages": [
            { "targets": [
                { "kind": ["lib"], "name": "a" },
                { "kind": ["test"], "name": "blackbox" },
                { "kind": ["test"], "name": "system", "required-features": ["system-tests"] },
            ] },
            { "targets": [{ "kind": ["test"], "name": "suite" }] },
        ] });
        assert_eq!(Vec::from_iter(programs(&metadata)), ["blackbox", "suite"]);
    }

    #[test]
    fn arguments_choose_programs_or_tests() {
        for (arguments, expected) in [
            (&[][..], false),
            (&["routes::"], false),
            (&["--test", "blackbox"], true),
            (&["--test=blackbox"], true),
            (&["--doc"], true),
            (&["--no-fail-fast", "--", "--test-threads", "1"], false),
            (&["--", "--test"], false),
        ] {
            let arguments: Vec<String> = arguments.iter().map(|&argument| argument.into()).collect();
            assert_eq!(chooses(&arguments), expected, "{arguments:?}");
        }
    }
}
