//! The programs of this workspace that other commands run.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::command;

/// Builds the gateway as it is shipped, and the programs that run beside it.
pub(crate) fn build() -> Result<()> {
    build_as("dist")
}

/// The same, in less time, for programs that take a tenth more of it.
pub(crate) fn build_release() -> Result<()> {
    build_as("release")
}

fn build_as(profile: &str) -> Result<()> {
    command::run(&mut command::cargo([
        "build",
        "--profile",
        profile,
        "--features",
        "waypost/jemalloc",
        "--package",
        "waypost",
        "--package",
        "waypost-bench",
    ]))
}

/// The path of one of them.
pub(crate) fn dist(name: &str) -> PathBuf {
    command::root().join("target/dist").join(name)
}

/// The path of one of those of [`build_release`].
pub(crate) fn release(name: &str) -> PathBuf {
    command::root().join("target/release").join(name)
}

/// A running program, killed on drop.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running service, killed on drop.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    _running: Running,
}

impl Service {
    /// Starts `command`, which prints its address.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut running = Running(started.context("a service does not start")?);
        let output = running.0.stdout.take().context("its output is piped")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        Ok(Self {
            address: line.trim().parse().context("a service names no address")?,
            _running: running,
        })
    }
}
