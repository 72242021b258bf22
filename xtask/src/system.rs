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

/// The test programs.
const PROGRAMS: [&str; 5] = ["system", "protocols", "identity", "etcd", "acme"];

/// Tests of fleets at the same time, which wait for the end of leases for the most part.
const FLEETS: &str = "4";

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
    let mut tests = command::cargo(["test"]);
    tests.args(command::WORKSPACE);
    for program in PROGRAMS {
        tests.args(["--test", program]);
    }
    command::run(&mut tests)?;
    let mut fleets = command::cargo(["test"]);
    fleets.args(command::WORKSPACE).args(["--test", "fleet"]);
    command::run(fleets.args(["--", "--test-threads", FLEETS]))
}
