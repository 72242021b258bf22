//! Tests against other programs, which users need not have.

use std::process::Command;

use anyhow::Result;

use crate::{command, npm};

/// Python environment for the tests, apart from the system's.
const ENVIRONMENT: &str = "target/peers";

/// Packages in that environment.
const PACKAGES: [&str; 2] = ["grpcio", "websockets"];

/// Folder of the identity providers, which are packages of npm.
const IDENTITY: &str = "crates/waypost/tests/peers/identity";

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
    npm::install(&command::root().join(IDENTITY))?;
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
        "--test",
        "identity",
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
