//! A running demo.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::gateway::Lines;

/// Held while a demo starts. All of them try the same ports, and two that find one free at the same moment share it.
static STARTING: Mutex<()> = Mutex::new(());

/// Keeps other demos from starting.
pub(crate) fn starting() -> MutexGuard<'static, ()> {
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A demo, which ends with this value.
pub(crate) struct Demo {
    child: Child,
    pub(crate) gateway: String,
    pub(crate) admin: String,
    /// Standard output.
    pub(crate) said: Arc<Lines>,
    /// Standard error.
    pub(crate) told: Arc<Lines>,
}

impl Demo {
    /// Starts a demo and waits until it is ready.
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let _one = starting();
        let mut child = Command::new(env!("CARGO_BIN_EXE_waypost"))
            .arg("demo")
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Lines::of(child.stdout.take().unwrap());
        let told = Lines::of(child.stderr.take().unwrap());
        told.wait_for("that it is ready", |line| line == "ready");
        let address = |start: &str| {
            let lines = told.all();
            let line = lines.iter().find_map(|line| line.strip_prefix(start));
            line.unwrap_or_else(|| panic!("`{start}` in {lines:?}"))
                .to_owned()
        };
        Self {
            gateway: address("listening on http://"),
            admin: address("admin on http://"),
            child,
            said,
            told,
        }
    }

    /// Waits for the end of the guide, and returns the commands in it.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.said
            .wait_for("that ends the guide", |line| line.contains("Ctrl-C"));
        let lines = self.said.all();
        let commands = lines
            .iter()
            .filter_map(|line| line.trim_start().strip_prefix("$ "));
        commands.map(str::to_owned).collect()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let lines = self.said.all();
        let config = lines.iter().find_map(|line| line.strip_prefix("The config is "));
        if let Some(directory) = config.and_then(|config| Path::new(config).parent()) {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}
