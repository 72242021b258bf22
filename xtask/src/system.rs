//! Tests against programs of other people, which the README's user need not have.

use std::process::Command;

use anyhow::Result;

use crate::command;

/// Where the Python programs are, apart from those of the machine.
const ENVIRONMENT: &str = "target/peers";

/// What is put there.
const PACKAGES: [&str; 2] = ["grpcio", "websockets"];

/// Runs them.
pub(crate) fn run() -> Result<()> {
    let environment = command::root().join(ENVIRONMENT);
    let python = environment.join("bin/python");
    if !python.exists() {
        command::run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    command::run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(PACKAGES),
    )?;
    command::run(&mut command::cargo([
        "test",
        "--package",
        "waypost",
        "--features",
        "system-tests",
        "--test",
        "system",
        "--test",
        "protocols",
    ]))
}
