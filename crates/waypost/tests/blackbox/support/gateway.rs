//! The gateway: the real binary, in a directory of its own.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::PATIENCE;
use super::client::Client;
use super::command::{Output, output};
use super::message::Message;
use super::service::Service;

/// A listener on a port of the system's choice, and one worker, so that there is one pool of connections.
pub(crate) const LISTENER: &str = "listeners: [{ bind: 127.0.0.1:0 }]\nworkers: 1\n";

/// A running gateway. It is killed when it goes out of scope.
pub(crate) struct Gateway {
    child: Child,
    lines: Arc<Lines>,
    stdout: Arc<Lines>,
    addresses: Vec<SocketAddr>,
    config: PathBuf,
    directory: Arc<TempDir>,
    environment: Vec<(String, String)>,
}

/// What a process has said so far.
#[derive(Default)]
pub(crate) struct Lines {
    said: Mutex<Said>,
    changed: Condvar,
}

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    /// Whether nothing more will come.
    ended: bool,
}

impl Lines {
    /// Collects the lines of a stream as they come.
    pub(crate) fn of(stream: impl std::io::Read + Send + 'static) -> Arc<Self> {
        let lines = Arc::<Self>::default();
        let collected = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                let line = String::from_utf8_lossy(&line).into_owned();
                collected.lock().lines.push(line);
                collected.changed.notify_all();
            }
            collected.lock().ended = true;
            collected.changed.notify_all();
        });
        lines
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a line for which `wanted` holds, among those that have come too.
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        let mut said = self.lock();
        loop {
            if let Some(line) = said.lines.iter().find(|line| wanted(line)) {
                return line.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                left > Duration::ZERO && !said.ended,
                "no line {what}; there is\n{}",
                said.lines.join("\n")
            );
            let waited = self.changed.wait_timeout(said, left);
            said = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// All lines so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// All lines, once nothing more can come.
    fn to_the_end(&self) -> Vec<String> {
        let mut said = self.lock();
        while !said.ended {
            said = self.changed.wait(said).unwrap_or_else(PoisonError::into_inner);
        }
        said.lines.clone()
    }
}

impl Gateway {
    /// Serves this config.
    pub(crate) fn with(config: impl AsRef<str>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("waypost.yaml");
        fs::write(&path, with_admin(config.as_ref())).expect("a written config");
        Self::run(directory, path, &[])
    }

    /// Serves this config, with these files beside it.
    pub(crate) fn beside(files: &[(&str, &str)], config: impl AsRef<str>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            fs::write(directory.path().join(name), text).expect("a written file");
        }
        let path = directory.path().join("waypost.yaml");
        fs::write(&path, with_admin(config.as_ref())).expect("a written config");
        Self::run(directory, path, &[])
    }

    /// Replaces a file beside the config, by renaming a new one into its place.
    pub(crate) fn place(&self, name: &str, text: &str) {
        let beside = self.directory().join(format!("{name}.new"));
        fs::write(&beside, text).expect("a written file");
        fs::rename(&beside, self.directory().join(name)).expect("a renamed file");
    }

    /// Sends every request to `service`.
    pub(crate) fn to(service: &Service) -> Self {
        Self::with(everything_to(service, LISTENER))
    }

    /// Serves the config at `path`, which may be outside of `directory`, where the process runs.
    pub(crate) fn run(directory: TempDir, path: PathBuf, environment: &[(String, String)]) -> Self {
        Self::start(Arc::new(directory), path, environment.to_vec())
    }

    /// Kills it without a warning, and starts it again where it was.
    pub(crate) fn restarted(mut self) -> Self {
        self.kill();
        let (path, environment) = (self.config.clone(), std::mem::take(&mut self.environment));
        Self::start(Arc::clone(&self.directory), path, environment)
    }

    /// Starts another one on the same config.
    pub(crate) fn again(&self) -> Self {
        Self::start(
            Arc::clone(&self.directory),
            self.config.clone(),
            self.environment.clone(),
        )
    }

    /// Starts another one on another config, in the same directory.
    pub(crate) fn on(&self, config: &Path) -> Self {
        Self::start(Arc::clone(&self.directory), config.to_owned(), Vec::new())
    }

    /// Kills it without a warning.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn start(directory: Arc<TempDir>, path: PathBuf, environment: Vec<(String, String)>) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_waypost"))
            .arg("run")
            .arg(&path)
            .current_dir(directory.path())
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a running gateway");
        let lines = Lines::of(child.stderr.take().expect("a pipe"));
        let stdout = Lines::of(child.stdout.take().expect("a pipe"));
        let mut gateway = Self {
            child,
            lines,
            stdout,
            addresses: Vec::new(),
            config: path,
            directory,
            environment,
        };
        gateway.wait_for("ready");
        gateway.addresses = gateway.said().iter().filter_map(|line| listening(line)).collect();
        gateway
    }

    /// Where its first listener is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where its listeners were when it started, in order of declaration.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// The answer to a plain GET on a connection of its own.
    pub(crate) fn get(&self, url: &str) -> Message {
        self.connect().get(url)
    }

    /// The answer to these bytes on a connection of their own.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Message {
        self.connect().ask(request)
    }

    /// Where its admin API is.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        let line = self
            .said()
            .into_iter()
            .rev()
            .find_map(|line| line.strip_prefix("admin on http://")?.parse().ok());
        line.expect("an admin address")
    }

    /// Asks its admin API; `fields` are whole lines with their line ends.
    pub(crate) fn admin(&self, method: &str, path: &str, fields: &str, body: &str) -> Message {
        let address = self.admin_address();
        let length = body.len();
        Client::connect(address).ask(format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        ))
    }

    /// Asks its admin API for JSON.
    pub(crate) fn admin_json(&self, path: &str) -> serde_json::Value {
        let answer = self.admin("GET", path, "", "");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.json()
    }

    /// Turns a dial.
    pub(crate) fn dial(&self, route: &str, weights: &serde_json::Value) -> Message {
        let path = format!("/api/v1/routes/{route}/split");
        self.admin(
            "PUT",
            &path,
            "Content-Type: application/json\r\n",
            &weights.to_string(),
        )
    }

    /// Runs a command that talks to it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let admin = format!("http://{}", self.admin_address());
        output(
            Command::new(env!("CARGO_BIN_EXE_waypost"))
                .args(arguments)
                .env("WAYPOST_ADMIN", admin)
                .env("USER", "tester")
                .current_dir(self.directory()),
        )
    }

    /// Waits for a line on standard error that begins with `start`.
    pub(crate) fn wait_for(&self, start: &str) -> String {
        self.lines
            .wait_for(&format!("that begins with `{start}`"), |line| {
                line.starts_with(start)
            })
    }

    /// Waits for a line on standard error that contains `part`.
    pub(crate) fn wait_for_part(&self, part: &str) -> String {
        self.lines
            .wait_for(&format!("with `{part}`"), |line| line.contains(part))
    }

    /// Waits for a line that names a place in the config and contains `part`.
    pub(crate) fn wait_for_place(&self, part: &str) -> String {
        let place = format!("{}:", self.config.display());
        let wanted = |line: &str| line.starts_with(&place) && line.contains(part);
        self.lines
            .wait_for(&format!("that begins with `{place}` and has `{part}`"), wanted)
    }

    /// Waits for a line on standard output that contains `part`.
    pub(crate) fn wait_for_stdout(&self, part: &str) -> String {
        self.stdout
            .wait_for(&format!("with `{part}`"), |line| line.contains(part))
    }

    /// The most memory that it has held at a time, in bytes.
    pub(crate) fn memory_max(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
        kib.expect("a size in KiB") << 10
    }

    /// Waits until this revision serves.
    pub(crate) fn wait_for_revision(&self, number: u32) {
        self.wait_for(&format!("revision {number} is in force"));
    }

    /// What it has said on standard error.
    pub(crate) fn said(&self) -> Vec<String> {
        self.lines.all()
    }

    /// The addresses of all listeners that were ever announced.
    pub(crate) fn announced(&self) -> Vec<SocketAddr> {
        self.said().iter().filter_map(|line| listening(line)).collect()
    }

    /// Its own directory.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes the config in place.
    pub(crate) fn rewrite(&self, config: impl AsRef<str>) {
        fs::write(&self.config, with_admin(config.as_ref())).expect("a written config");
    }

    /// Writes the config beside, and renames it into place.
    pub(crate) fn replace(&self, config: impl AsRef<str>) {
        let beside = self.directory.path().join("waypost.yaml.new");
        fs::write(&beside, with_admin(config.as_ref())).expect("a written config");
        fs::rename(&beside, &self.config).expect("a renamed config");
    }

    /// Where its config is.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.expect("the id of a process"), signal).expect("a living process");
    }

    /// Waits for it to end by itself; its last lines have come then too.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.lines.to_the_end();
        self.child.wait().expect("an ended process")
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a process").is_none()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the gateway said:\n{}", self.said().join("\n"));
        }
    }
}

/// The config with an admin address of its own, as the default one may be taken; behind the rest, so that places
/// stay what they are.
fn with_admin(config: &str) -> String {
    if config.contains("admin:") {
        return config.to_owned();
    }
    let end = if config.ends_with('\n') { "" } else { "\n" };
    format!("{config}{end}admin: {{ bind: 127.0.0.1:0 }}\n")
}

/// The address in a line that announces a listener.
fn listening(line: &str) -> Option<SocketAddr> {
    let url = line.strip_prefix("listening on ")?;
    url.split_once("://")?.1.parse().ok()
}

/// `services:` with an entry for each.
pub(crate) fn services<'s>(services: impl IntoIterator<Item = &'s Service>) -> String {
    let mut text = String::from("services:\n");
    for service in services {
        let _ = writeln!(
            text,
            "  {}: {{ endpoints: [\"{}\"] }}",
            service.name(),
            service.url()
        );
    }
    text
}

/// A config that sends every request to `service`; `top` is in front of it, a listener at least.
pub(crate) fn everything_to(service: &Service, top: &str) -> String {
    format!(
        "{top}{}routes:\n  - name: all\n    to: {}\n",
        services([service]),
        service.name()
    )
}
