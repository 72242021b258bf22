//! Short connections: handshake, one request, close.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, thread};

use anyhow::{Context as _, Result};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, Stream};

use crate::client;
use crate::latencies::Latencies;

/// Results of one client.
#[derive(Default)]
struct Seen {
    full: usize,
    resumed: usize,
    failed: usize,
    latencies: Latencies,
}

pub(crate) fn run(
    address: SocketAddr,
    duration: Duration,
    connections: usize,
    ca: &str,
    resumes: bool,
) -> Result<()> {
    // Each client has one connection at a time, and its own sessions.
    let configs: Vec<_> = (0..connections)
        .map(|_| client::tls(ca, resumes))
        .collect::<Result<_>>()?;
    let began = Instant::now();
    let until = began + duration;
    let threads: Vec<_> = configs
        .into_iter()
        .map(|config| {
            thread::spawn(move || {
                let mut seen = Seen::default();
                while Instant::now() < until {
                    let asked = Instant::now();
                    match connect(address, &config) {
                        Ok(HandshakeKind::Resumed) => seen.resumed += 1,
                        Ok(_) => seen.full += 1,
                        Err(_) => seen.failed += 1,
                    }
                    seen.latencies.add(asked.elapsed());
                }
                seen
            })
        })
        .collect();
    let mut all = Seen::default();
    for thread in threads {
        let seen = thread.join().ok().context("a client panicked")?;
        all.full += seen.full;
        all.resumed += seen.resumed;
        all.failed += seen.failed;
        all.latencies.extend(seen.latencies);
    }
    let resumed = format!(",\"resumed\":{}", all.resumed);
    all.latencies
        .print(all.full + all.resumed, began, all.failed, &resumed);
    Ok(())
}

fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<HandshakeKind> {
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    client::exchange(Stream::new(&mut tls, &mut socket), "close")?;
    tls.send_close_notify();
    let _ = tls.write_tls(&mut socket);
    tls.handshake_kind()
        .ok_or_else(|| io::Error::other("the handshake is not done"))
}
