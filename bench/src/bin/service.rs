//! A service that responds at once: `service [PORT [ADDRESS]…]` prints its address and runs until it is killed.
//!
//! It listens on 127.0.0.1, or on these addresses of the loopback network, as if it were so many servers.
//! A response body has 1 KiB, or the length in the request's `bytes=`. Request bodies are read and dropped.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use memchr::memmem;
use waypost_bench::message;
use waypost_bench::poller::{Poller, unless_blocked};

/// Default length of a response body.
const USUAL_BYTES: usize = 1024;
/// Read size, in bytes.
const READ_BYTES: usize = 64 << 10;
/// Write size, in bytes.
const WRITE_BYTES: usize = 256 << 10;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().map_or(Ok(0), |port| port.parse())?;
    let first = arguments
        .next()
        .map_or(Ok(Ipv4Addr::LOCALHOST), |first| first.parse())?;
    let first = TcpListener::bind((first, port))?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for other in arguments {
        listeners.push(TcpListener::bind((other.parse::<Ipv4Addr>()?, address.port()))?);
    }
    println!("{address}");
    let zeros: Arc<[u8]> = vec![b'x'; WRITE_BYTES].into();
    let mut poller = Poller::new()?;
    for (number, listener) in listeners.iter().enumerate() {
        listener.set_nonblocking(true)?;
        poller.add(listener, number as u64)?;
    }
    // Numbers of connections follow those of the listeners.
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut ready: Vec<u64> = Vec::new();
    loop {
        ready.clear();
        ready.extend(poller.wait(None)?);
        for &number in &ready {
            let number = usize::try_from(number)?;
            if let Some(listener) = listeners.get(number) {
                while let Ok((socket, _)) = listener.accept() {
                    socket.set_nonblocking(true)?;
                    socket.set_nodelay(true)?;
                    let free = connections.iter().position(Option::is_none);
                    let at = free.unwrap_or(connections.len());
                    poller.add(&socket, (listeners.len() + at) as u64)?;
                    if at == connections.len() {
                        connections.push(None);
                    }
                    connections[at] = Some(Connection::new(socket, Arc::clone(&zeros)));
                }
                continue;
            }
            let place = &mut connections[number - listeners.len()];
            if let Some(connection) = place
                && !connection.serve().unwrap_or(false)
            {
                *place = None;
            }
        }
    }
}

/// A client connection.
struct Connection {
    socket: TcpStream,
    received: Vec<u8>,
    filled: usize,
    /// Bytes of the request's body still to be read, and the length of its response body.
    body_left: usize,
    asked: usize,
    /// The head being written, and the bytes of its body still to be written.
    head: Vec<u8>,
    answer_left: usize,
    body: Arc<[u8]>,
}

impl Connection {
    fn new(socket: TcpStream, body: Arc<[u8]>) -> Self {
        Self {
            socket,
            received: vec![0; READ_BYTES],
            filled: 0,
            body_left: 0,
            asked: 0,
            head: Vec::new(),
            answer_left: 0,
            body,
        }
    }

    /// Reads and writes until the socket would block; returns false if the connection is closed.
    fn serve(&mut self) -> io::Result<bool> {
        loop {
            if !self.write()? {
                return Ok(true);
            }
            if self.take_request() {
                continue;
            }
            let space = &mut self.received[self.filled..];
            let size = space.len();
            match unless_blocked(self.socket.read(space))? {
                None => return Ok(true),
                Some(0) => return Ok(false),
                Some(count) => {
                    self.filled += count;
                    // A short read has emptied the socket.
                    if count < size && !self.take_request() {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Consumes received bytes; starts a response once a request is complete.
    fn take_request(&mut self) -> bool {
        if self.body_left > 0 {
            let count = self.body_left.min(self.filled);
            self.consume(count);
            self.body_left -= count;
            if self.body_left == 0 {
                self.begin_answer_body();
                return true;
            }
            return false;
        }
        let Some(len) = message::head_len(&self.received[..self.filled]) else {
            return false;
        };
        let head = &self.received[..len];
        let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
        let asked = memmem::find(line, b"bytes=").map(|at| message::number(&line[at + 6..]));
        self.asked = asked.unwrap_or(USUAL_BYTES);
        self.body_left = message::body_len(head);
        self.consume(len);
        let body_here = self.body_left.min(self.filled);
        self.consume(body_here);
        self.body_left -= body_here;
        if self.body_left == 0 {
            self.begin_answer_body();
            return true;
        }
        false
    }

    fn begin_answer_body(&mut self) {
        self.head.clear();
        let _ = write!(
            self.head,
            "HTTP/1.1 200 OK\r\nServer: service\r\nDate: Sat, 28 Nov 2026 00:00:00 GMT\r\n\
             Content-Type: application/octet-stream\r\nContent-Length: {}\r\nETag: \"65f-1\"\r\n\r\n",
            self.asked
        );
        let with_head = self.asked.min(WRITE_BYTES);
        self.head.extend_from_slice(&self.body[..with_head]);
        self.answer_left = self.asked - with_head;
    }

    fn consume(&mut self, count: usize) {
        self.received.copy_within(count..self.filled, 0);
        self.filled -= count;
    }

    /// Writes pending bytes; returns true once there are none.
    fn write(&mut self) -> io::Result<bool> {
        while !self.head.is_empty() || self.answer_left > 0 {
            if self.head.is_empty() {
                let next = self.answer_left.min(WRITE_BYTES);
                let Some(count) = unless_blocked(self.socket.write(&self.body[..next]))? else {
                    return Ok(false);
                };
                self.answer_left -= count;
            } else {
                let Some(count) = unless_blocked(self.socket.write(&self.head))? else {
                    return Ok(false);
                };
                self.head.drain(..count);
            }
        }
        Ok(true)
    }
}
