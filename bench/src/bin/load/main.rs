//! Loads that other generators lack: requests at a fixed rate (open loop), handshakes, and idle connections. Prints one
//! line of JSON.

mod client;
mod handshakes;
mod idle;
mod latencies;
mod paced;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

const USAGE: &str = "\
usage: load paced ADDRESS SECONDS CONNECTIONS RATE ROUTES
       load handshakes ADDRESS SECONDS CONNECTIONS CA full|resumed
       load idle ADDRESS CONNECTIONS [CA]";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *words {
        ["paced", address, seconds, connections, rate, routes] => paced::run(&paced::Pace {
            address: socket_address(address)?,
            duration: seconds_of(seconds)?,
            connections: number(connections)?,
            rate: number(rate)?,
            routes: number(routes)?,
        }),
        ["handshakes", address, seconds, connections, ca, kind] => {
            let resumes = match kind {
                "full" => false,
                "resumed" => true,
                _ => bail!("{USAGE}"),
            };
            handshakes::run(
                socket_address(address)?,
                seconds_of(seconds)?,
                number(connections)?,
                ca,
                resumes,
            )
        }
        ["idle", address, connections] => idle::run(socket_address(address)?, number(connections)?, None),
        ["idle", address, connections, ca] => {
            idle::run(socket_address(address)?, number(connections)?, Some(ca))
        }
        _ => bail!("{USAGE}"),
    }
}

fn socket_address(text: &str) -> Result<SocketAddr> {
    text.parse()
        .with_context(|| format!("`{text}` is no address and port"))
}

fn number(text: &str) -> Result<usize> {
    text.parse().with_context(|| format!("`{text}` is no number"))
}

fn seconds_of(text: &str) -> Result<Duration> {
    let seconds = text
        .parse()
        .with_context(|| format!("`{text}` is no number of seconds"))?;
    Ok(Duration::from_secs_f64(seconds))
}
