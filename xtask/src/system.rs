//! Tests against other programs, which users need not have.

use std::process::Command;

use anyhow::Result;

use crate::command;

/// Python environment for the tests, apart from the system's.
const ENVIRONMENT: &str = "target/peers";

/// Packages in that environment.
const PACKAGES: [&str; 2] = ["grpcio", "websockets"];

/// Runs the tests.
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
    ]))?;
    command::run(&mut command::cargo([
        "test",
        "--package",
        "waypost-etcd",
        "--features",
        "system-tests",
        "--test",
        "etcd",
    ]))
}
