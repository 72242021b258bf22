//! Upgrades: the longest gap between two responses to a keep-alive client.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::bench::contender::{Contender, Peer, Running};
use crate::bench::layout::Layout;
use crate::bench::machine::Machine;
use crate::bench::options::Options;
use crate::bench::report::{Section, spread};
use crate::bench::special::{LOOK_AGAIN, PATIENCE};
use crate::bench::statistics::Spread;

const GAP_MAX: Duration = Duration::from_millis(50);
/// Time between two upgrades, in which the client sees the gateway at rest.
const EVERY: Duration = Duration::from_millis(500);
/// Upgrades of a round.
const UPGRADES: usize = 4;

pub(crate) fn run(machine: &Machine, options: &Options) -> Result<Section> {
    let running = Running::start(machine, Contender::new(Peer::Waypost, Layout::PLAIN))?;
    let mut gaps = Vec::new();
    let mut requests = 0;
    for round in 0..options.rounds() {
        let done = AtomicBool::new(false);
        let seen = thread::scope(|scope| {
            let asking = scope.spawn(|| ask(running.address, &done));
            let upgraded = (0..UPGRADES).try_for_each(|_| {
                thread::sleep(EVERY);
                upgrade(&running)
            });
            thread::sleep(EVERY);
            done.store(true, Ordering::Relaxed);
            let seen = asking
                .join()
                .unwrap_or_else(|_| anyhow::bail!("the client panicked"));
            upgraded.and(seen)
        })?;
        eprintln!("   round {}: {:.1} ms", round + 1, seen.gap.as_secs_f64() * 1e3);
        gaps.push(seen.gap.as_secs_f64() * 1e3);
        requests += seen.requests;
    }
    let gap = Spread::of(gaps);
    let most = GAP_MAX.as_secs_f64() * 1e3;
    let missed = (gap.max > most).then(|| format!("a gap of {:.1} ms instead of {most:.0} ms", gap.max));
    let row = vec![
        (options.rounds() * UPGRADES).to_string(),
        requests.to_string(),
        "0".to_owned(),
        spread(gap, 1),
    ];
    let header = ["upgrades", "requests", "failed", "longest gap, ms"];
    Ok(Section::table(&header, vec![row], missed.into_iter().collect()))
}

/// Upgrades the gateway, and waits for its successor.
fn upgrade(running: &Running) -> Result<()> {
    let before = running.id()?;
    rustix::process::kill_process(before, Signal::USR2)?;
    let began = Instant::now();
    while running.id()? == before {
        ensure!(began.elapsed() < PATIENCE, "the gateway is not replaced");
        thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// Results of the client.
struct Seen {
    requests: u64,
    gap: Duration,
}

/// Sends requests one after the other on a connection that is kept, until `done`. As any client does, it opens a new one
/// where the gateway has said or shown that the old one is closed.
fn ask(address: SocketAddr, done: &AtomicBool) -> Result<Seen> {
    let mut connection: Option<TcpStream> = None;
    let mut seen = Seen {
        requests: 0,
        gap: Duration::ZERO,
    };
    let mut last = Instant::now();
    while !done.load(Ordering::Relaxed) {
        let (mut socket, is_kept) = match connection.take() {
            Some(socket) => (socket, true),
            None => (TcpStream::connect(address)?, false),
        };
        let closes = match exchange(&mut socket) {
            Ok(closes) => closes,
            // An idle connection that was closed before the request arrived.
            Err(error) if is_kept && is_closed(&error) => continue,
            Err(error) => return Err(error).context("a request failed during an upgrade"),
        };
        seen.requests += 1;
        seen.gap = seen.gap.max(last.elapsed());
        last = Instant::now();
        connection = (!closes).then_some(socket);
    }
    ensure!(seen.requests > 0, "the gateway answered nothing");
    Ok(seen)
}

/// Sends a request and reads its response. Returns true if the gateway closes the connection. Nothing but a connection
/// that ends before the first byte is `UnexpectedEof` or `ConnectionReset`.
fn exchange(socket: &mut TcpStream) -> io::Result<bool> {
    socket.write_all(b"GET /s0/items/7 HTTP/1.1\r\nHost: api.example.com\r\n\r\n")?;
    let (mut received, mut buffer) = (Vec::new(), [0; 8192]);
    loop {
        let count = match socket.read(&mut buffer) {
            Ok(0) if received.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if received.is_empty() => return Err(error),
            Ok(0) | Err(_) => return Err(io::Error::other("the response is cut")),
            Ok(count) => count,
        };
        received.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&received);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        if !head.starts_with("http/1.1 200 ") {
            return Err(io::Error::other(format!("the gateway responded with `{head}`")));
        }
        let value = |name: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let length = value("content-length").and_then(|length| length.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Ok(value("connection") == Some("close"));
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}
