//! Requests at a given rate, independent of response times (open loop).
//!
//! Latency counts from the time a request is due. The wait for a free connection is part of it, as it would be for a
//! user; closed-loop generators omit it ("coordinated omission").

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Result;
use waypost_bench::message;
use waypost_bench::poller::{Poller, unless_blocked};

use crate::client;
use crate::latencies::Latencies;

/// Timeout for responses after the last request.
const PATIENCE: Duration = Duration::from_secs(5);
/// Stride over the routes, so that successive requests are far apart in the table.
const STRIDE: usize = 7919;

/// Target and rate of a run.
pub(crate) struct Pace {
    pub(crate) address: SocketAddr,
    pub(crate) duration: Duration,
    pub(crate) connections: usize,
    /// Requests a second.
    pub(crate) rate: usize,
    pub(crate) routes: usize,
}

struct Connection {
    socket: TcpStream,
    received: Vec<u8>,
    filled: usize,
    /// Due time of the current request.
    due: Option<Instant>,
}

pub(crate) fn run(pace: &Pace) -> Result<()> {
    let mut poller = Poller::new()?;
    let mut connections = Vec::new();
    for at in 0..pace.connections {
        connections.push(Connection {
            socket: connect(pace.address, at as u64, &poller)?,
            received: vec![0; 16 << 10],
            filled: 0,
            due: None,
        });
    }
    let requests: Vec<Vec<u8>> = (0..pace.routes)
        .map(|route| client::request(route, "keep-alive"))
        .collect();

    let began = Instant::now();
    let interval = Duration::from_secs_f64(1.0 / pace.rate as f64);
    let total = (pace.duration.as_secs_f64() * pace.rate as f64) as u32;
    let mut sent = 0;
    let mut waiting: VecDeque<Instant> = VecDeque::new();
    let mut free: VecDeque<usize> = (0..connections.len()).collect();
    let mut latencies = Latencies::default();
    let mut failed = 0_u32;
    let mut ready: Vec<u64> = Vec::new();
    let mut turn = 0;
    while (latencies.len() as u32 + failed) < total && began.elapsed() < pace.duration + PATIENCE {
        let now = Instant::now();
        while sent < total && began + interval * sent <= now {
            waiting.push_back(began + interval * sent);
            sent += 1;
        }
        while !waiting.is_empty() && !free.is_empty() {
            let (Some(due), Some(at)) = (waiting.pop_front(), free.pop_front()) else {
                break;
            };
            turn = (turn + STRIDE) % requests.len();
            connections[at].due = Some(due);
            if connections[at].socket.write_all(&requests[turn]).is_err() {
                failed += 1;
            }
        }
        let next = began + interval * sent;
        let patience = if sent < total {
            next.saturating_duration_since(Instant::now())
        } else {
            Duration::from_millis(10)
        };
        ready.clear();
        ready.extend(poller.wait(Some(patience))?);
        for &number in &ready {
            let at = usize::try_from(number)?;
            let connection = &mut connections[at];
            match connection.read() {
                Ok(false) => {}
                Ok(true) => {
                    if let Some(due) = connection.due.take() {
                        latencies.add(due.elapsed());
                        free.push_back(at);
                    }
                }
                Err(_) => {
                    // Replaced by a new connection.
                    if connection.due.take().is_some() {
                        failed += 1;
                    }
                    connection.socket = connect(pace.address, number, &poller)?;
                    connection.filled = 0;
                    if !free.contains(&at) {
                        free.push_back(at);
                    }
                }
            }
        }
    }
    let unanswered = total - latencies.len() as u32 - failed;
    let answered = latencies.len();
    latencies.print(answered, began, (failed + unanswered) as usize, "");
    Ok(())
}

/// A non-blocking connection, registered with the poller under this number.
fn connect(address: SocketAddr, number: u64, poller: &Poller) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_nonblocking(true)?;
    poller.add(&socket, number)?;
    Ok(socket)
}

impl Connection {
    /// Reads available bytes; returns true once a response is complete.
    fn read(&mut self) -> io::Result<bool> {
        loop {
            match unless_blocked(self.socket.read(&mut self.received[self.filled..]))? {
                None => return Ok(false),
                Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(count) => self.filled += count,
            }
            let received = &self.received[..self.filled];
            if let Some(head) = message::head_len(received)
                && received.len() >= head + message::body_len(received)
            {
                let good = received.starts_with(b"HTTP/1.1 200");
                self.filled = 0;
                return if good {
                    Ok(true)
                } else {
                    Err(io::Error::other("the answer is another one than 200"))
                };
            }
        }
    }
}
