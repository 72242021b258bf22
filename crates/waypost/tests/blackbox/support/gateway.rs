//! The gateway under test: the built binary in a temporary directory.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::PATIENCE;
use super::client::Client;
use super::command::{Output, output, waypost_in};
use super::config::Config;
use super::message::Message;
use super::service::Service;
use super::tls::Pair;
use super::wait_for;

/// A running gateway, killed on drop.
pub(crate) struct Gateway {
    child: Child,
    lines: Arc<Lines>,
    stdout: Arc<Lines>,
    addresses: Vec<SocketAddr>,
    config: PathBuf,
    directory: Arc<TempDir>,
    environment: Vec<(String, String)>,
    admin: Admin,
    /// The token for its admin API.
    token: Option<&'static str>,
}

/// A command that starts a gateway, and the surroundings that it starts in.
struct Launch {
    command: Command,
    stdout: Stdio,
    environment: Vec<(String, String)>,
    admin: Admin,
}

/// Source of the admin address in a gateway's configs.
#[derive(Debug, Clone, Copy)]
enum Admin {
    /// Every config gets an `admin` key on a free port, as the default port may be taken.
    Added,
    /// Configs are written verbatim and have their own `admin` key.
    OwnKey,
}

impl Admin {
    /// Returns the text to write for `config`. The key goes last to keep line numbers.
    fn complete(self, config: &str) -> String {
        match self {
            Self::OwnKey => config.to_owned(),
            Self::Added => {
                let end = if config.ends_with('\n') { "" } else { "\n" };
                format!("{config}{end}admin: {{ bind: 127.0.0.1:0 }}\n")
            }
        }
    }
}

/// Lines that a process has printed.
#[derive(Default)]
pub(crate) struct Lines {
    said: Mutex<Said>,
    changed: Condvar,
}

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    /// True at the end of the stream.
    ended: bool,
}

impl Lines {
    /// Collects lines on a thread of its own.
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

    /// Waits for a line that satisfies `wanted`; earlier lines count.
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

    /// Returns the lines so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// Waits for the end of the stream and returns all lines.
    fn to_the_end(&self) -> Vec<String> {
        let mut said = self.lock();
        while !said.ended {
            said = self.changed.wait(said).unwrap_or_else(PoisonError::into_inner);
        }
        said.lines.clone()
    }
}

impl Gateway {
    /// Starts a gateway on this config plus an admin API on a free port.
    pub(crate) fn with(config: impl AsRef<str>) -> Self {
        Self::beside(&[], config)
    }

    /// Like [`with`](Self::with); rollouts go by a clock that only [`pass`](Self::pass) turns.
    pub(crate) fn with_test_clock(config: impl AsRef<str>) -> Self {
        let clock = ("WAYPOST_TEST_CLOCK".to_owned(), "1".to_owned());
        Self::place_and_start(&[], config.as_ref(), vec![clock], Admin::Added)
    }

    /// Lets seconds of the test clock pass.
    pub(crate) fn pass(&self, seconds: u64) {
        let passed = self.admin("POST", &format!("/api/v1/clock?seconds={seconds}"), "", "");
        assert_eq!(passed.status(), 200, "{}", passed.text());
    }

    /// Sets the test clock.
    pub(crate) fn set_clock(&self, now: &str) {
        let set = self.admin("POST", &format!("/api/v1/clock?now={now}"), "", "");
        assert_eq!(set.status(), 200, "{}", set.text());
    }

    /// Like [`with`](Self::with), with further files in the config's directory.
    pub(crate) fn beside(files: &[(&str, &str)], config: impl AsRef<str>) -> Self {
        Self::place_and_start(files, config.as_ref(), Vec::new(), Admin::Added)
    }

    /// Starts a gateway on this config verbatim; it has its own `admin` key.
    pub(crate) fn verbatim(config: impl AsRef<str>) -> Self {
        Self::place_and_start(&[], config.as_ref(), Vec::new(), Admin::OwnKey)
    }

    /// Like [`verbatim`](Self::verbatim), with further files in the config's directory.
    pub(crate) fn verbatim_beside(files: &[(&str, &str)], config: impl AsRef<str>) -> Self {
        Self::place_and_start(files, config.as_ref(), Vec::new(), Admin::OwnKey)
    }

    /// Starts a gateway that forwards everything to `service`.
    pub(crate) fn to(service: &Service) -> Self {
        Self::with(Config::new().all_to(service))
    }

    /// Starts a gateway that forwards everything from a TLS listener to `service`. Certificates are stored as
    /// `1.crt`, `1.key`, `2.crt`, and so on.
    pub(crate) fn with_certificates(pairs: &[&Pair], service: &Service) -> Self {
        let tls = format!("tls: {{ {} }}", certificates(pairs.len()));
        Self::under_tls(pairs, &[], Config::listening(&[&tls]).all_to(service))
    }

    /// Starts a gateway on this config, with certificates stored as `1.crt`, `1.key`, `2.crt`, and so on, and further
    /// files.
    pub(crate) fn under_tls(pairs: &[&Pair], files: &[(&str, &str)], config: impl AsRef<str>) -> Self {
        let names: Vec<[String; 2]> = (1..=pairs.len())
            .map(|number| [format!("{number}.crt"), format!("{number}.key")])
            .collect();
        let mut all = files.to_vec();
        for (pair, [cert, key]) in pairs.iter().zip(&names) {
            all.extend([(&**cert, &*pair.cert), (&**key, &*pair.key)]);
        }
        Self::beside(&all, config)
    }

    /// Starts a gateway on this config, plus an admin API on a free port, from a binary that can be replaced:
    /// `DIRECTORY/waypost`, at first a link to the built one.
    pub(crate) fn replaceable(config: impl AsRef<str>, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("waypost.yaml");
        fs::write(&path, Admin::Added.complete(config.as_ref())).expect("a written config");
        let program = directory.path().join("waypost");
        symlink(env!("CARGO_BIN_EXE_waypost"), &program).expect("a link");
        let mut command = Command::new(program);
        command.arg("run").args(arguments).arg(&path);
        let launch = Launch {
            command,
            stdout: Stdio::piped(),
            environment: Vec::new(),
            admin: Admin::Added,
        };
        Self::launch(launch, Arc::new(directory), path)
    }

    /// Starts a gateway by this command, whose standard output is a pipe unless it is given here, on the config at `path`,
    /// which stays verbatim.
    pub(crate) fn by(command: Command, stdout: Option<Stdio>, directory: TempDir, path: PathBuf) -> Self {
        let launch = Launch {
            command,
            stdout: stdout.unwrap_or_else(Stdio::piped),
            environment: Vec::new(),
            admin: Admin::OwnKey,
        };
        Self::launch(launch, Arc::new(directory), path)
    }

    /// Replaces a file in the config's directory atomically.
    pub(crate) fn place(&self, name: &str, text: &str) {
        let beside = self.directory().join(format!("{name}.new"));
        fs::write(&beside, text).expect("a written file");
        fs::rename(&beside, self.directory().join(name)).expect("a renamed file");
    }

    /// Starts a gateway on the config at `path`, in the working directory `directory`. Configs stay verbatim.
    pub(crate) fn run(directory: TempDir, path: PathBuf, environment: &[(String, String)]) -> Self {
        Self::start(Arc::new(directory), path, environment.to_vec(), Admin::OwnKey)
    }

    fn place_and_start(
        files: &[(&str, &str)],
        config: &str,
        environment: Vec<(String, String)>,
        admin: Admin,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            fs::write(directory.path().join(name), text).expect("a written file");
        }
        let path = directory.path().join("waypost.yaml");
        fs::write(&path, admin.complete(config)).expect("a written config");
        Self::start(Arc::new(directory), path, environment, admin)
    }

    /// Sends SIGKILL and starts the gateway again on the same config and state.
    pub(crate) fn restarted(mut self) -> Self {
        self.kill();
        let (path, environment) = (self.config.clone(), std::mem::take(&mut self.environment));
        Self::start(Arc::clone(&self.directory), path, environment, self.admin)
    }

    /// Starts a second gateway on the same config.
    pub(crate) fn again(&self) -> Self {
        self.again_in(&self.environment)
    }

    /// Starts a second gateway on the same config, with this environment.
    pub(crate) fn again_in(&self, environment: &[(String, String)]) -> Self {
        Self::start(
            Arc::clone(&self.directory),
            self.config.clone(),
            environment.to_vec(),
            self.admin,
        )
    }

    /// Starts a second gateway on another config in the same directory.
    pub(crate) fn on(&self, config: &Path) -> Self {
        Self::start(
            Arc::clone(&self.directory),
            config.to_owned(),
            Vec::new(),
            Admin::OwnKey,
        )
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn start(
        directory: Arc<TempDir>,
        path: PathBuf,
        environment: Vec<(String, String)>,
        admin: Admin,
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
        command.arg("run").arg(&path).stdin(Stdio::null());
        let launch = Launch {
            command,
            stdout: Stdio::piped(),
            environment,
            admin,
        };
        Self::launch(launch, directory, path)
    }

    fn launch(launch: Launch, directory: Arc<TempDir>, path: PathBuf) -> Self {
        let Launch {
            mut command,
            stdout,
            environment,
            admin,
        } = launch;
        let mut child = command
            .current_dir(directory.path())
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::piped())
            .stdout(stdout)
            .spawn()
            .expect("a running gateway");
        // The command has copies of the sockets that it passes on.
        drop(command);
        let lines = Lines::of(child.stderr.take().expect("a pipe"));
        let stdout = child.stdout.take().map(Lines::of).unwrap_or_default();
        let mut gateway = Self {
            child,
            lines,
            stdout,
            addresses: Vec::new(),
            config: path,
            directory,
            environment,
            admin,
            token: None,
        };
        gateway.wait_for("ready");
        gateway.addresses = gateway.said().iter().filter_map(|line| listening(line)).collect();
        gateway
    }

    /// Uses this token for its admin API from now on.
    pub(crate) fn with_token(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }

    /// Address of the first listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Addresses of the listeners at start, in order of declaration.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// Sends a GET on a new connection.
    pub(crate) fn get(&self, url: &str) -> Message {
        self.connect().get(url)
    }

    /// Body of the response to `GET http://a/`.
    pub(crate) fn body(&self) -> String {
        self.get("http://a/").text()
    }

    /// Sends these bytes on a new connection.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Message {
        self.connect().ask(request)
    }

    /// Current address of the admin API.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        let line = self
            .said()
            .into_iter()
            .rev()
            .find_map(|line| line.strip_prefix("admin on http://")?.parse().ok());
        line.expect("an admin address")
    }

    /// Sends a request to the admin API; each line in `fields` ends in CRLF.
    pub(crate) fn admin(&self, method: &str, path: &str, fields: &str, body: &str) -> Message {
        let address = self.admin_address();
        let token = self
            .token
            .map(|token| format!("Authorization: Bearer {token}\r\n"));
        let (token, length) = (token.unwrap_or_default(), body.len());
        Client::connect(address).ask(format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{token}{fields}Content-Length: {length}\r\n\r\n{body}"
        ))
    }

    /// Gets JSON from the admin API.
    pub(crate) fn admin_json(&self, path: &str) -> serde_json::Value {
        let response = self.admin("GET", path, "", "");
        assert_eq!(response.status(), 200, "{}", response.text());
        response.json()
    }

    /// Gets the metrics in the Prometheus text format.
    pub(crate) fn metrics(&self) -> String {
        self.admin("GET", "/metrics", "", "").text()
    }

    /// Explains a GET with the live generation.
    pub(crate) fn explain(&self, url: &str) -> serde_json::Value {
        self.explain_question(&serde_json::json!({ "request": format!("GET {url}") }))
    }

    /// Explains a question, as the admin API takes it, with the live generation.
    pub(crate) fn explain_question(&self, question: &serde_json::Value) -> serde_json::Value {
        let fields = "Content-Type: application/json\r\n";
        let answer = self.admin("POST", "/api/v1/explain", fields, &question.to_string());
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.json()
    }

    /// Explains a GET with the command, which reads the config.
    pub(crate) fn explain_offline(&self, url: &str) -> serde_json::Value {
        let config = self.config.to_str().expect("a path in UTF-8");
        let asked = ["explain", config, "GET", url, "--format", "json"];
        waypost_in(self.directory(), &asked).expect(0).json()
    }

    /// Sets the live weights of a route.
    pub(crate) fn dial(&self, route: &str, weights: &serde_json::Value) -> Message {
        let path = format!("/api/v1/routes/{route}/split");
        self.admin(
            "PUT",
            &path,
            "Content-Type: application/json\r\n",
            &weights.to_string(),
        )
    }

    /// Runs a `waypost` command against this gateway.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let admin = format!("http://{}", self.admin_address());
        output(
            Command::new(env!("CARGO_BIN_EXE_waypost"))
                .args(arguments)
                .env("WAYPOST_ADMIN", admin)
                .envs(self.token.map(|token| ("WAYPOST_TOKEN", token)))
                .env("USER", "tester")
                .current_dir(self.directory()),
        )
    }

    /// Waits for a line on standard error that starts with `start`.
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

    /// Waits for a line on standard error that starts with a place in the config and contains `part`.
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

    /// Peak resident memory, in bytes.
    pub(crate) fn memory_max(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
        kib.expect("a size in KiB") << 10
    }

    /// Waits until this revision is in force.
    pub(crate) fn wait_for_revision(&self, number: u32) {
        self.wait_for(&format!("revision {number} is in force"));
    }

    /// Returns the lines on standard error so far.
    pub(crate) fn said(&self) -> Vec<String> {
        self.lines.all()
    }

    /// Addresses of all listeners announced so far, including closed ones.
    pub(crate) fn announced(&self) -> Vec<SocketAddr> {
        self.said().iter().filter_map(|line| listening(line)).collect()
    }

    /// The working directory.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes the config in place. It is not empty in between, as that may be taken for the new one.
    pub(crate) fn rewrite(&self, config: impl AsRef<str>) {
        let text = self.admin.complete(config.as_ref());
        let mut options = fs::File::options();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.config);
        let file = file.expect("a config");
        file.write_all_at(text.as_bytes(), 0).expect("a written config");
        file.set_len(text.len() as u64).expect("a whole config");
    }

    /// Replaces the config atomically.
    pub(crate) fn replace(&self, config: impl AsRef<str>) {
        let beside = self.directory.path().join("waypost.yaml.new");
        fs::write(&beside, self.admin.complete(config.as_ref())).expect("a written config");
        fs::rename(&beside, &self.config).expect("a renamed config");
    }

    /// Path of the config.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.expect("the id of a process"), signal).expect("a living process");
        if signal == Signal::STOP {
            // Its threads go on until each has heard of it.
            wait_for("a process that stands still", || {
                stands_still(self.child.id()).then_some(())
            });
        }
    }

    /// Waits for the exit, and for the last lines.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.lines.to_the_end();
        self.child.wait().expect("an ended process")
    }

    /// The id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the exit of the first process, while one that has taken over may go on.
    pub(crate) fn wait_for_exit(&mut self) -> ExitStatus {
        self.child.wait().expect("an ended process")
    }

    /// The processes that have taken over, in order.
    pub(crate) fn takeovers(&self) -> Vec<u32> {
        let said = self.said();
        let ids = said.iter().filter_map(|line| {
            let (id, rest) = line.strip_prefix("process ")?.split_once(',')?;
            rest.ends_with("has taken over").then(|| id.parse().ok())?
        });
        ids.collect()
    }

    /// Returns true while the process runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a process").is_none()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for id in self.takeovers() {
            if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
                let _ = kill_process(id, Signal::KILL);
            }
        }
        if std::thread::panicking() {
            eprintln!("the gateway said:\n{}", self.said().join("\n"));
        }
    }
}

/// The `certificates` key of a listener, for `1.crt`, `1.key`, `2.crt`, and so on.
pub(crate) fn certificates(count: usize) -> String {
    let pairs: Vec<String> = (1..=count)
        .map(|number| format!("{{ cert: {number}.crt, key: {number}.key }}"))
        .collect();
    format!("certificates: [{}]", pairs.join(", "))
}

/// Parses the address in a listener's announcement.
fn listening(line: &str) -> Option<SocketAddr> {
    let url = line.strip_prefix("listening on ")?;
    url.split_once("://")?.1.parse().ok()
}

/// Returns true if no thread of a process runs any more.
fn stands_still(process: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("a living process");
    let mut stats = threads
        .flatten()
        .map(|thread| fs::read_to_string(thread.path().join("stat")));
    // The state follows the name, which is in parentheses.
    stats.all(|stat| {
        stat.is_ok_and(|stat| {
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('T'))
        })
    })
}
