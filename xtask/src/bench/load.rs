//! Load generators and their results.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::bench::contender::Running;
use crate::bench::layout::{Kind, Layout};
use crate::bench::machine::{LOAD_CORE, Machine, pinned};
use crate::command;
use crate::programs::dist;

/// A load: the generator and its requests.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// wrk: sequential HTTP/1.1 requests on each connection.
    Http1 {
        connections: usize,
        /// Length of a response body; 1 KiB by default.
        answer: Option<u64>,
        /// Length of the posted body; 0 for a GET.
        body: usize,
        /// A further header line; `%d` becomes a random number, `%a` one of 100,000 addresses, and `@FILE` at its end a line
        /// of the file.
        header: Option<&'static str>,
    },
    /// h2load: concurrent HTTP/2 streams on each connection.
    Http2 { connections: usize, streams: usize },
    /// h2load: HTTP/1.1 over TLS with one cipher for all.
    Http1Tls { connections: usize },
    /// h2load: gRPC calls.
    Calls { connections: usize, streams: usize },
    /// Short connections: handshake, one request, close.
    Handshakes { connections: usize, resumed: bool },
    /// Requests at this rate, in requests per second (open loop).
    Paced { connections: usize, rate: usize },
}

impl Load {
    /// Requests for 1 KiB over a number of connections.
    pub(crate) const fn http1(connections: usize) -> Self {
        Self::Http1 {
            connections,
            answer: None,
            body: 0,
            header: None,
        }
    }
}

/// Results of a load.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    /// Requests that failed or had a status other than 200.
    pub(crate) errors: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    #[serde(default)]
    pub(crate) p999_us: u64,
    /// Only from the loads of this workspace.
    #[serde(default)]
    pub(crate) max_us: u64,
    /// Connections that resumed a session.
    pub(crate) resumed: Option<u64>,
}

/// Number of routes that h2load requests.
const PATHS: usize = 100;
/// An uncompressed message of 50 bytes with its prefix.
const CALL: [u8; 55] = {
    let mut call = [b'x'; 55];
    (call[0], call[1], call[2], call[3], call[4]) = (0, 0, 0, 0, 50);
    call
};

impl Load {
    /// Runs the load for `seconds`.
    pub(crate) fn run(&self, machine: &Machine, running: &Running, seconds: f64) -> Result<Seen> {
        let (address, layout) = (running.address, running.contender.layout);
        let seen = match *self {
            Self::Http1 {
                connections,
                answer,
                body,
                header,
            } => {
                let scheme = if layout.tls { "https" } else { "http" };
                let query = answer.map_or_else(|| "-".to_owned(), |bytes| format!("?bytes={bytes}"));
                let script = command::root().join("bench/load/requests.lua");
                let mut wrk = pinned(LOAD_CORE, ["wrk", "-t1", "--timeout", "20s", "--latency"]);
                wrk.current_dir(command::root())
                    .arg(format!("-c{connections}"))
                    .arg(format!("-d{}s", seconds.ceil()))
                    .arg("-s")
                    .arg(script)
                    .arg(format!("{scheme}://{address}/"))
                    .args(["--", layout.kind.name(), &layout.size.to_string(), &query])
                    .args([&body.to_string(), header.unwrap_or("-")]);
                last_line(&mut wrk)?
            }
            Self::Http2 { connections, streams } | Self::Calls { connections, streams } => {
                h2load(machine, address, layout, connections, streams, seconds)?
            }
            Self::Http1Tls { connections } => h2load(machine, address, layout, connections, 1, seconds)?,
            Self::Handshakes { connections, resumed } => {
                let mut load = own("handshakes", address);
                load.args([&seconds.to_string(), &connections.to_string()])
                    .arg(&machine.certificate)
                    .arg(if resumed { "resumed" } else { "full" });
                let seen = last_line(&mut load)?;
                // The first connection of each client has nothing to resume.
                let resumes = seen.resumed.unwrap_or(0);
                let as_wanted = if resumed {
                    resumes * 10 >= seen.requests * 9
                } else {
                    resumes == 0
                };
                ensure!(
                    as_wanted,
                    "{resumes} of {} handshakes were resumed",
                    seen.requests
                );
                seen
            }
            Self::Paced { connections, rate } => {
                let mut load = own("paced", address);
                load.args([seconds.to_string(), connections.to_string(), rate.to_string()])
                    .arg(layout.size.to_string());
                last_line(&mut load)?
            }
        };
        let label = running.contender.label;
        ensure!(
            seen.errors == 0,
            "{} of {} requests to {label} failed",
            seen.errors,
            seen.requests + seen.errors
        );
        ensure!(seen.requests > 0, "{label} answered nothing");
        Ok(seen)
    }
}

/// The load of this workspace.
pub(crate) fn own(kind: &str, address: SocketAddr) -> Command {
    let mut load = pinned(LOAD_CORE, [dist("load")]);
    load.arg(kind).arg(address.to_string());
    load
}

/// Parses the last line of a program's output.
fn last_line(command: &mut Command) -> Result<Seen> {
    let output = command::output(command)?;
    let line = output.lines().last().unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("the load printed `{line}`"))
}

fn h2load(
    machine: &Machine,
    address: SocketAddr,
    layout: Layout,
    connections: usize,
    streams: usize,
    seconds: f64,
) -> Result<Seen> {
    let log = machine.folder.join("h2load.log");
    if log.exists() {
        fs::remove_file(&log)?;
    }
    let scheme = if layout.tls { "https" } else { "http" };
    let mut load = pinned(LOAD_CORE, ["h2load", "-t1"]);
    load.arg(format!("-c{connections}"))
        .arg(format!("-m{streams}"))
        .arg(format!("-D{}s", seconds.ceil()))
        .arg(format!("--log-file={}", log.display()));
    if layout.grpc {
        let message = machine.folder.join("call");
        fs::write(&message, CALL)?;
        load.args(["-H", "content-type: application/grpc", "-H", "te: trailers"])
            .arg("-d")
            .arg(message)
            .arg(format!("{scheme}://{address}/s0/Call"));
    } else {
        ensure!(layout.kind == Kind::Prefix, "h2load asks by prefix");
        if layout.tls {
            load.arg("--tls13-ciphers=TLS_AES_128_GCM_SHA256");
        }
        if !layout.http2 {
            load.arg("--h1");
        }
        for (name, value) in [
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101"),
            ("accept", "application/json, text/plain, */*"),
            ("accept-language", "en-GB,en;q=0.5"),
            ("accept-encoding", "gzip, deflate"),
            ("x-request-id", "0a1b2c3d4e5f6071"),
        ] {
            load.args(["-H", &format!("{name}: {value}")]);
        }
        for route in 0..layout.size.min(PATHS) {
            load.arg(format!("{scheme}://{address}/s{route}/items/7"));
        }
    }
    let output = command::output(&mut load)?;
    seen_by_h2load(&output, &fs::read_to_string(&log)?, seconds)
}

/// h2load prints its counts as text, and logs per request: start, status, microseconds.
fn seen_by_h2load(output: &str, log: &str, seconds: f64) -> Result<Seen> {
    let counts = output.lines().find_map(|line| line.strip_prefix("requests: "));
    let counts: BTreeMap<&str, u64> = counts
        .context("h2load counts no requests")?
        .split(", ")
        .filter_map(|count| {
            let (number, name) = count.split_once(' ')?;
            Some((name, number.parse().ok()?))
        })
        .collect();
    let statuses = output
        .lines()
        .find_map(|line| line.strip_prefix("status codes: "));
    let good = statuses.and_then(|line| line.split(' ').next()?.parse().ok());
    let done = counts.get("done").copied().unwrap_or(0);
    let mut latencies: Vec<u64> = log
        .lines()
        .filter_map(|line| line.split('\t').nth(2)?.parse().ok())
        .collect();
    latencies.sort_unstable();
    let at = |share: f64| {
        let place = (latencies.len() as f64 * share) as usize;
        latencies.get(place).or(latencies.last()).copied().unwrap_or(0)
    };
    Ok(Seen {
        requests: done,
        seconds,
        // Requests in flight at the end are no failures; a status other than 2xx is.
        errors: counts.get("failed").copied().unwrap_or(0) + done.saturating_sub(good.unwrap_or(0)),
        p50_us: at(0.5),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: at(1.0),
        resumed: None,
    })
}
