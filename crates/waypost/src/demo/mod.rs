//! `waypost demo`: a gateway in front of small built-in services, with a rollout to watch or clients of its own if asked for.

mod service;
mod traffic;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::net::TcpListener;
use waypost_admin::server::OpenError;
use waypost_plan::admin::Admin;
use waypost_proxy::gateway::ApplyError;

use self::service::Ways;
use crate::cli::Version;
use crate::origin::Origin;
use crate::{Outcome, log, output, run};

/// The preferred port of the gateway.
const GATEWAY_PORT: u16 = 8080;
/// The preferred port of the admin API, the default of the commands.
const ADMIN_PORT: u16 = Admin::PORT;
/// The preferred ports of the services.
const SERVICE_PORTS: [(&str, u16); 3] = [("orders", 9001), ("users-v1", 9002), ("users-v2", 9003)];

/// The template of the config, with placeholders for addresses.
const CONFIG: &str = include_str!("waypost.yaml");
/// The template of the config with a rollout.
const ROLLOUT_CONFIG: &str = include_str!("rollout.yaml");

/// The demo that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Show {
    /// Commands to try.
    Commands,
    /// A rollout of this version.
    Rollout(Version),
    /// Clients, and a new version that fails.
    Traffic,
}

impl Show {
    /// The config, with placeholders for addresses.
    fn config(self) -> String {
        match self {
            Self::Commands => CONFIG.to_owned(),
            Self::Rollout(_) => ROLLOUT_CONFIG.to_owned(),
            // More for the new version: there is something to see within a minute.
            Self::Traffic => CONFIG.replace("users-v1: 95, users-v2: 5", "users-v1: 80, users-v2: 20"),
        }
    }

    /// The ways of a service.
    fn ways_of(self, service: &str) -> Ways {
        let is_bad = matches!(self, Self::Rollout(Version::Bad) | Self::Traffic);
        Ways {
            fails: is_bad && service == "users-v2",
            takes_time: self == Self::Traffic,
        }
    }
}

/// Runs the demo until Ctrl-C.
pub(crate) fn demo(rollout: Option<Version>, traffic: bool) -> anyhow::Result<Outcome> {
    let show = match rollout {
        Some(version) => Show::Rollout(version),
        None if traffic => Show::Traffic,
        None => Show::Commands,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut config = show.config();
        for (name, port) in SERVICE_PORTS {
            if !config.contains(&format!("{{{name}}}")) {
                continue;
            }
            let (listener, address) = bind(port).await?;
            config = config.replace(&format!("{{{name}}}"), &address.to_string());
            tokio::spawn(service::serve(name, listener, show.ways_of(name)));
        }
        let path = directory()?.join("waypost.yaml");
        let (mut gateway, mut admin) = (GATEWAY_PORT, ADMIN_PORT);
        loop {
            let served = serve(&path, &config, gateway, admin, show).await;
            // A port in use is replaced by one of the system's choice.
            match served {
                Err(error) if admin != 0 && error.downcast_ref::<OpenError>().is_some() => admin = 0,
                Err(error) if gateway != 0 && error.downcast_ref::<ApplyError>().is_some() => gateway = 0,
                served => return served,
            }
        }
    })
}

/// Serves the demo on these ports.
async fn serve(path: &Path, config: &str, gateway: u16, admin: u16, show: Show) -> anyhow::Result<Outcome> {
    let config = config
        .replace("{gateway}", &format!("127.0.0.1:{gateway}"))
        .replace("{admin}", &format!("127.0.0.1:{admin}"));
    std::fs::write(path, config).with_context(|| format!("cannot write `{}`", path.display()))?;
    run::serve(
        &Origin::Path(path.to_owned()),
        run::Process::default(),
        |control| {
            let listening = control.listening();
            let gateway = listening
                .first()
                .map(|(_, address)| &**address)
                .unwrap_or_default();
            let address = control.admin_address().unwrap_or_default();
            output::print(&format!("Dashboard: {}/\n", address.trim_end_matches('/')))?;
            if let Show::Rollout(version) = show {
                let (gateway, address, path) = (gateway.to_owned(), address.to_owned(), path.to_owned());
                tokio::spawn(async move {
                    if let Err(error) = show_rollout(&gateway, &address, admin == 0, &path, version).await {
                        log::warn(format_args!("{error:#}"));
                    }
                });
                return Ok(());
            }
            let admin = match control.admin_address() {
                Some(address) if admin == 0 => format!(" --admin {address}"),
                // The default of the commands.
                _ => String::new(),
            };
            if show == Show::Traffic {
                traffic::begin(gateway, traffic::MIXED);
                output::print(&traffic_guide(&admin, path))?;
                return Ok(());
            }
            output::print(&guide(gateway, &admin, path, &how_to_call()))?;
            Ok(())
        },
    )
    .await
}

/// Starts the rollout and its traffic, and says how to watch it.
async fn show_rollout(
    gateway: &str,
    admin: &str,
    is_other_port: bool,
    path: &Path,
    version: Version,
) -> anyhow::Result<()> {
    traffic::begin(gateway, traffic::USERS);
    traffic::start_rollout(admin).await?;
    let admin = match is_other_port {
        true => format!(" --admin {admin}"),
        false => String::new(),
    };
    output::print(&rollout_guide(&admin, path, version))?;
    Ok(())
}

/// A socket on `port`, or on any free port if that is in use.
async fn bind(port: u16) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let usual = TcpListener::bind(("127.0.0.1", port)).await;
    let listener = match usual {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("cannot listen on 127.0.0.1")?,
    };
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// A directory for the config. It stays after the demo.
fn directory() -> anyhow::Result<PathBuf> {
    let directory = tempfile::Builder::new()
        .prefix("waypost-demo-")
        .tempdir()
        .context("cannot make a directory")?;
    Ok(directory.keep())
}

/// A line with the path of this binary, if it is not on the `PATH`.
fn how_to_call() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_found = std::env::split_paths(&path).any(|directory| {
        let name = format!("waypost{}", std::env::consts::EXE_SUFFIX);
        directory.join(name).is_file()
    });
    match std::env::current_exe() {
        Ok(binary) if !is_found => format!(
            "  (`waypost` is {}; `cargo install --path crates/waypost --profile dist --features jemalloc` puts it on your \
             PATH)\n",
            binary.display()
        ),
        _ => String::new(),
    }
}

fn guide(gateway: &str, admin: &str, config: &Path, how_to_call: &str) -> String {
    let config = config.display();
    format!(
        "
Waypost is in front of three services: orders, users-v1 and users-v2. Try, in another terminal:

  one address, several services
    $ curl http://{gateway}/orders/7
  a header picks the new version
    $ curl -H 'x-api-version: 2' http://{gateway}/users/7
  clients who use the old address are sent on
    $ curl -i http://{gateway}/shop/cart
{how_to_call}  half of the users to the new version, live; look at it; and back
    $ waypost dial users users-v2=50{admin}
    $ waypost stats users{admin}
    $ waypost dial users --reset{admin}
  why does a request go where it goes?
    $ waypost explain {config} GET http://{gateway}/users/7
  the config's own tests
    $ waypost test {config}

The config is {config}
Edit it, `users` say, and save: the change is in force at once. Ctrl-C ends the demo.
"
    )
}

fn traffic_guide(admin: &str, config: &Path) -> String {
    let how_to_call = how_to_call();
    let config = config.display();
    format!(
        "
Waypost is in front of three services, orders, users-v1 and users-v2, and gets 20 requests a second. One in five users
is sent to users-v2, a new version with a fault: it fails one in five requests. Find it on the dashboard, or in another
terminal, with `waypost top{admin}` as it happens:

  how are things, and which side of which split is not well?
    $ waypost top --once{admin}
  both versions side by side
    $ waypost top users --once{admin}
    $ waypost stats users{admin}
  all users back to the old version, at once; and undone
    $ waypost dial users users-v2=0{admin}
    $ waypost dial users --reset{admin}
{how_to_call}
The config is {config}
Edit it and save: the change is in force at once. Ctrl-C ends the demo.
"
    )
}

fn rollout_guide(admin: &str, config: &Path, version: Version) -> String {
    let how_to_call = how_to_call();
    let config = config.display();
    let fault = match version {
        Version::Good => "",
        Version::Bad => ", which fails one in five requests,",
    };
    format!(
        "
Waypost is in front of two versions of a service, users-v1 and users-v2, and gets 100 requests a second. A rollout of
users-v2{fault} has begun. Its steps are told here; watch it from another terminal:

  how does it stand, and what does the next step wait for?
    $ waypost rollout status users{admin}
  what has happened, and why?
    $ waypost rollout history users{admin}
  both versions side by side
    $ waypost stats users{admin}
{how_to_call}
Add `--watch` to see the status change. Once it has ended, `waypost rollout start users{admin}` begins another one.
The config is {config}
Ctrl-C ends the demo.
"
    )
}
