//! The programs of this workspace that other commands run.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::command;

/// The gateway, a service and a load, as most measurements want.
pub(crate) const THREE: [&str; 3] = ["waypost", "service", "load"];

/// Builds these programs as the gateway is shipped; all of them if none is named. Each is linked as one, which takes long.
pub(crate) fn build(programs: &[&str]) -> Result<()> {
    build_as(&["--profile", "dist", "--features", "waypost/jemalloc"], programs)
}

/// Builds them in half the time; they take a third more instructions.
pub(crate) fn build_release(programs: &[&str]) -> Result<()> {
    build_as(&["--release"], programs)
}

fn build_as(options: &[&str], programs: &[&str]) -> Result<()> {
    let mut build = command::cargo(["build"]);
    build.args(options);
    // The same packages whatever is built, so that they are built once.
    build.args(["--package", "waypost", "--package", "waypost-bench"]);
    for program in programs {
        build.args(["--bin", program]);
    }
    command::run(&mut build)
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
