//! `waypost demo`: a gateway in front of three small built-in services.

mod service;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::net::TcpListener;
use waypost_admin::server::OpenError;
use waypost_plan::admin::Admin;
use waypost_proxy::gateway::ApplyError;

use crate::{Outcome, output, run};

/// The preferred port of the gateway.
const GATEWAY_PORT: u16 = 8080;
/// The preferred port of the admin API, the default of the commands.
const ADMIN_PORT: u16 = Admin::PORT;
/// The preferred ports of the services.
const SERVICE_PORTS: [(&str, u16); 3] = [("orders", 9001), ("users-v1", 9002), ("users-v2", 9003)];

/// The template of the config, with placeholders for addresses.
const CONFIG: &str = include_str!("waypost.yaml");

/// Runs the demo until Ctrl-C.
pub(crate) fn demo() -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut config = CONFIG.to_owned();
        for (name, port) in SERVICE_PORTS {
            let (listener, address) = bind(port).await?;
            config = config.replace(&format!("{{{name}}}"), &address.to_string());
            tokio::spawn(service::serve(name, listener));
        }
        let path = directory()?.join("waypost.yaml");
        let (mut gateway, mut admin) = (GATEWAY_PORT, ADMIN_PORT);
        loop {
            let served = serve(&path, &config, gateway, admin).await;
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
async fn serve(path: &Path, config: &str, gateway: u16, admin: u16) -> anyhow::Result<Outcome> {
    let config = config
        .replace("{gateway}", &format!("127.0.0.1:{gateway}"))
        .replace("{admin}", &format!("127.0.0.1:{admin}"));
    std::fs::write(path, config).with_context(|| format!("cannot write `{}`", path.display()))?;
    run::serve(path, |control| {
        let listening = control.listening();
        let gateway = listening
            .first()
            .map(|(_, address)| &**address)
            .unwrap_or_default();
        let admin = match control.admin_address() {
            Some(address) if admin == 0 => format!(" --admin {address}"),
            // The default of the commands.
            _ => String::new(),
        };
        output::print(&guide(gateway, &admin, path, &how_to_call()))?;
        Ok(())
    })
    .await
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
