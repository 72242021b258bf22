//! A gateway under comparison.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use minijinja::{Environment, context};
use rustix::process::{Pid, Signal};

use crate::bench::layout::{Extra, Kind, Layout};
use crate::bench::machine::{GATEWAY_CORE, Machine, pinned, token_key};
use crate::bench::process::{self, Usage};
use crate::command;

/// Timeout until a gateway accepts: some take long to load many routes.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Limit of open files, if the machine allows it.
const FILES: u32 = 20_000;

/// File of a Waypost that names its process.
pub(crate) const PID_FILE: &str = "waypost.pid";

/// A prepared configuration: names of files, and paths of their texts.
pub(crate) struct Configuration(Vec<(String, PathBuf)>);

/// A program that relays requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    Waypost,
    Floor,
    Nginx,
    Haproxy,
    Envoy,
    Traefik,
}

impl Peer {
    pub(crate) const ALL: [Self; 6] = [
        Self::Waypost,
        Self::Floor,
        Self::Nginx,
        Self::Haproxy,
        Self::Envoy,
        Self::Traefik,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Waypost => "waypost",
            Self::Floor => "floor",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Traefik => "traefik",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|peer| peer.name() == name);
        found.with_context(|| {
            let names: Vec<&str> = Self::ALL.into_iter().map(Self::name).collect();
            format!("`{name}` is no peer; there are {}", names.join(", "))
        })
    }

    /// Templates of its configuration, by file name.
    fn templates(self, layout: &Layout) -> Vec<String> {
        match self {
            Self::Waypost => vec!["waypost.yaml".to_owned()],
            Self::Floor => Vec::new(),
            Self::Nginx => vec!["nginx.conf".to_owned()],
            Self::Haproxy => vec![
                "haproxy.cfg".to_owned(),
                format!("haproxy.{}.map", layout.kind.name()),
            ],
            Self::Envoy => vec!["envoy.yaml".to_owned(), "envoy-routes.yaml".to_owned()],
            Self::Traefik => vec!["traefik.yaml".to_owned(), "traefik-routes.yaml".to_owned()],
        }
    }
}

/// A gateway with its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contender {
    pub(crate) peer: Peer,
    pub(crate) layout: Layout,
    /// A label, if one peer is compared in two setups.
    pub(crate) label: &'static str,
}

impl Contender {
    /// A peer under its own name.
    pub(crate) fn new(peer: Peer, layout: Layout) -> Self {
        Self {
            peer,
            layout,
            label: peer.name(),
        }
    }
}

/// A running gateway, stopped on drop.
pub(crate) struct Running {
    pub(crate) contender: Contender,
    pub(crate) address: SocketAddr,
    /// Time until it accepted.
    pub(crate) start_time: Duration,
    child: Child,
    folder: PathBuf,
    machine: RunInfo,
}

/// Values for the templates besides the layout.
#[derive(Debug, Clone)]
struct RunInfo {
    service: SocketAddr,
    certificate: PathBuf,
    key: PathBuf,
    nginx_http2_directive: bool,
}

impl Running {
    /// Starts it, and waits until it accepts.
    pub(crate) fn start(machine: &Machine, contender: Contender) -> Result<Self> {
        // The kernel's choice of a port, released for the gateway.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = machine
            .folder
            .join(format!("{}-{}", contender.label, address.port()));
        fs::create_dir_all(&folder)?;
        let info = RunInfo {
            service: if contender.layout.grpc {
                machine.call_service.address
            } else {
                machine.service.address
            },
            certificate: machine.certificate.clone(),
            key: machine.key.clone(),
            nginx_http2_directive: machine.nginx_http2_directive(),
        };
        for template in contender.peer.templates(&contender.layout) {
            let text = render(&template, &contender.layout, &info, address, &folder)?;
            fs::write(folder.join(&template), text)?;
        }
        if contender.peer == Peer::Haproxy && contender.layout.tls {
            let both = [fs::read(&info.certificate)?, fs::read(&info.key)?].concat();
            fs::write(folder.join("haproxy.pem"), both)?;
        }
        let output = File::create(folder.join("output.log"))?;
        let started = Instant::now();
        let mut words = vec!["prlimit".to_owned(), format!("--nofile={FILES}")];
        words.extend(machine.command_of(contender, address, info.service, &folder));
        let child = pinned(GATEWAY_CORE, &words)
            .current_dir(&folder)
            .env("GOMAXPROCS", "1")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("could not start {}", words.join(" ")))?;
        let mut running = Self {
            contender,
            address,
            start_time: Duration::ZERO,
            child,
            folder,
            machine: info,
        };
        running.wait_until_it_accepts(started)?;
        running.start_time = started.elapsed();
        Ok(running)
    }

    fn wait_until_it_accepts(&mut self, started: Instant) -> Result<()> {
        let label = self.contender.label;
        while !self.answers() {
            let log = self.folder.join("output.log");
            if let Some(status) = self.child.try_wait()? {
                let output = fs::read_to_string(&log).unwrap_or_default();
                let last: Vec<&str> = output.lines().rev().take(5).collect();
                bail!("{label} ended with {status}: {}", last.join("; "));
            }
            ensure!(
                started.elapsed() < PATIENCE,
                "{label} does not accept; see {}",
                log.display()
            );
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Returns true once it serves. Traefik accepts before it has read its routes, so a route is requested in clear
    /// text.
    fn answers(&self) -> bool {
        let Ok(mut socket) = TcpStream::connect(self.address) else {
            return false;
        };
        if self.contender.peer != Peer::Traefik || self.contender.layout.tls || self.contender.layout.http2 {
            return true;
        }
        let path = match self.contender.layout.kind {
            Kind::Prefix => "/s0/",
            // Other layouts have few routes, which load at once.
            Kind::Hosts | Kind::Headers | Kind::Regex => return true,
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n");
        let mut answer = Vec::new();
        let asked = socket.write_all(request.as_bytes());
        asked.and_then(|()| socket.read_to_end(&mut answer)).is_ok() && answer.starts_with(b"HTTP/1.1 200")
    }

    /// Its process: the one that was started, or its latest successor.
    pub(crate) fn id(&self) -> Result<Pid> {
        let file = self.folder.join(PID_FILE);
        let id = match fs::read_to_string(file) {
            Ok(text) => text.trim().parse()?,
            Err(_) => i32::try_from(self.child.id())?,
        };
        Pid::from_raw(id).context("0 is no process")
    }

    /// Its resource usage, including children.
    pub(crate) fn usage(&self) -> Result<Usage> {
        process::usage(self.id()?.as_raw_nonzero().get().unsigned_abs())
    }

    /// Its folder, with its configuration.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Prepares a configuration for another layout.
    pub(crate) fn configuration(&self, layout: &Layout) -> Result<Configuration> {
        let folder = self.folder.join(format!("of-{}", layout.size));
        fs::create_dir_all(&folder)?;
        let files = self.contender.peer.templates(layout).into_iter().map(|template| {
            let text = render(&template, layout, &self.machine, self.address, &self.folder)?;
            let file = folder.join(&template);
            fs::write(&file, text)?;
            Ok((template, file))
        });
        Ok(Configuration(files.collect::<Result<_>>()?))
    }

    /// Replaces its configuration, each file atomically.
    pub(crate) fn rewrite(&self, configuration: &Configuration) -> Result<()> {
        let next = self.folder.join("next");
        for (name, file) in &configuration.0 {
            // Writing that much would take CPU time; a hard link takes none.
            fs::hard_link(file, &next)?;
            fs::rename(&next, self.folder.join(name))?;
            // A rename onto the same inode leaves the link.
            if next.exists() {
                fs::remove_file(&next)?;
            }
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Killing a master would orphan its workers.
        let own = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let latest = self.id().ok().filter(|latest| Some(*latest) != own);
        for id in own.into_iter().chain(latest) {
            let _ = rustix::process::kill_process(id, Signal::TERM);
        }
        let told = Instant::now();
        while told.elapsed() < Duration::from_secs(3) {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            thread::sleep(LOOK_AGAIN);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A configuration for `layout`.
fn render(
    template: &str,
    layout: &Layout,
    info: &RunInfo,
    address: SocketAddr,
    folder: &Path,
) -> Result<String> {
    let path = command::root().join("bench/peers").join(format!("{template}.j2"));
    let text = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    let mut environment = Environment::new();
    environment.add_template("it", &text)?;
    let access_log = layout.access_log.then(|| folder.join("access.log"));
    let context = context! {
        port => address.port(),
        service => info.service.to_string(),
        endpoints => layout.endpoints(info.service),
        extra => layout.extra,
        dir => folder,
        peers => command::root().join("bench/peers"),
        token_key => token_key(),
        tls => layout.tls,
        cert_file => info.certificate,
        key_file => info.key,
        http2 => layout.http2,
        grpc => layout.grpc,
        nginx_http2_directive => info.nginx_http2_directive,
        access_log,
        edits => layout.extra == Extra::Edits,
        sticky => layout.extra == Extra::Sticky,
        // Every peer forwards the path that it matched.
        normalize => true,
        mirror => layout.extra == Extra::Mirror,
        kind => layout.kind,
        routes => layout.all_routes(),
        hosts => layout.host_groups(),
    };
    environment
        .get_template("it")?
        .render(context)
        .with_context(|| format!("{}", path.display()))
}
