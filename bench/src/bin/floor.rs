//! The floor: a minimal relay. `floor PORT SERVICE ROUTES` runs until it is killed.
//!
//! One thread and epoll. It parses heads, routes by the first path segment (`/s0` to `/sN`), drops hop-by-hop fields,
//! adds forwarding fields, and keeps connections on both sides. It has no limits, timeouts, normal forms, validation or
//! metrics. Bodies have a `content-length`.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::Context as _;
use waypost_bench::message;
use waypost_bench::poller::{Poller, unless_blocked};

const READ_BYTES: usize = 16 << 10;
const FIELDS_MAX: usize = 100;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = move || arguments.next().context("usage: floor PORT SERVICE ROUTES");
    let port: u16 = argument()?.parse()?;
    let service: SocketAddr = argument()?.parse()?;
    let routes: usize = argument()?.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    let mut floor = Floor {
        poller: Poller::new()?,
        // Each route maps to the address of its service.
        routes: (0..routes).map(|at| (format!("s{at}"), service)).collect(),
        connections: vec![None],
        free: Vec::new(),
        idle: Vec::new(),
        buffer: vec![0; READ_BYTES],
        out: Vec::new(),
    };
    floor.poller.add(&listener, 0)?;
    println!("{}", listener.local_addr()?);
    let mut ready: Vec<u64> = Vec::new();
    loop {
        ready.clear();
        ready.extend(floor.poller.wait(None)?);
        for &number in &ready {
            if number == 0 {
                while let Ok((socket, _)) = listener.accept() {
                    floor.insert(socket)?;
                }
            } else {
                let at = usize::try_from(number)?;
                if floor.serve(at).is_err() {
                    floor.close(at);
                }
            }
        }
    }
}

struct Floor {
    poller: Poller,
    routes: HashMap<String, SocketAddr>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Idle connections to the service.
    idle: Vec<usize>,
    buffer: Vec<u8>,
    out: Vec<u8>,
}

/// A connection from a client or to the service.
struct Connection {
    socket: TcpStream,
    address: [u8; 15],
    address_len: usize,
    /// The other connection of the current exchange.
    other: Option<usize>,
    is_service: bool,
    /// An incomplete head.
    partial: Vec<u8>,
    /// Bytes of the current body still to be read here.
    body_left: usize,
    /// Bytes that could not be written yet.
    unwritten: Vec<u8>,
}

impl Floor {
    fn insert(&mut self, socket: TcpStream) -> io::Result<usize> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let at = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        self.poller.add(&socket, at as u64)?;
        let mut address = [0; 15];
        let ip = socket.peer_addr()?.ip().to_string();
        let address_len = ip.len().min(15);
        address[..address_len].copy_from_slice(&ip.as_bytes()[..address_len]);
        self.connections[at] = Some(Connection {
            socket,
            address,
            address_len,
            other: None,
            is_service: false,
            partial: Vec::new(),
            body_left: 0,
            unwritten: Vec::new(),
        });
        Ok(at)
    }

    fn close(&mut self, at: usize) {
        let Some(connection) = self.connections[at].take() else {
            return;
        };
        self.idle.retain(|&idle| idle != at);
        self.free.push(at);
        if let Some(other) = connection.other {
            self.close(other);
        }
    }

    /// Reads and relays until the socket would block.
    fn serve(&mut self, at: usize) -> io::Result<()> {
        loop {
            let Some(connection) = &mut self.connections[at] else {
                return Ok(());
            };
            let waited = !connection.unwritten.is_empty();
            if !connection.flush()? {
                return Ok(());
            }
            let other = connection.other;
            if waited && let Some(other) = other {
                // The other side was not read while this one was not writable.
                self.serve(other)?;
                continue;
            }
            if let Some(other) = other.and_then(|other| self.connections[other].as_mut())
                && !other.flush()?
            {
                return Ok(());
            }
            let Some(connection) = &mut self.connections[at] else {
                return Ok(());
            };
            let kept = connection.partial.len();
            self.buffer[..kept].copy_from_slice(&connection.partial);
            connection.partial.clear();
            let Some(count) = unless_blocked(connection.socket.read(&mut self.buffer[kept..]))? else {
                connection.partial.extend_from_slice(&self.buffer[..kept]);
                return Ok(());
            };
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let filled = kept + count;
            let drained = filled < self.buffer.len();
            self.pass(at, filled)?;
            // A short read has emptied the socket.
            if drained {
                return Ok(());
            }
        }
    }

    /// Relays the first `filled` bytes of the buffer, read from the connection `at`.
    fn pass(&mut self, at: usize, filled: usize) -> io::Result<()> {
        let Some(connection) = &mut self.connections[at] else {
            return Ok(());
        };
        self.out.clear();
        let begins = connection.body_left == 0;
        let mut used = 0;
        if begins {
            let bytes = &self.buffer[..filled];
            let is_service = connection.is_service;
            let written = if is_service {
                write_answer(bytes, &mut self.out)
            } else {
                let address = &connection.address[..connection.address_len];
                write_request(bytes, address, &self.routes, &mut self.out)
            }?;
            let Some((head_len, body_len, service)) = written else {
                connection.partial.extend_from_slice(bytes);
                return Ok(());
            };
            used = head_len;
            connection.body_left = body_len;
            if !is_service && connection.other.is_none() {
                let service = service.ok_or(io::ErrorKind::NotFound)?;
                let other = self.lease(service)?;
                self.connect(at, other);
            }
        }
        let Some(connection) = &mut self.connections[at] else {
            return Ok(());
        };
        let body = connection.body_left.min(filled - used);
        connection.body_left -= body;
        let is_complete = connection.body_left == 0;
        let (is_service, other) = (connection.is_service, connection.other);
        let Some(other_at) = other else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        self.out.extend_from_slice(&self.buffer[used..used + body]);
        if let Some(other) = &mut self.connections[other_at] {
            other.write(&self.out)?;
        }
        if is_complete && is_service {
            for at in [at, other_at] {
                if let Some(connection) = &mut self.connections[at] {
                    connection.other = None;
                }
            }
            self.idle.push(at);
        }
        Ok(())
    }

    /// Takes or opens a connection to the service.
    fn lease(&mut self, service: SocketAddr) -> io::Result<usize> {
        if let Some(at) = self.idle.pop() {
            return Ok(at);
        }
        let at = self.insert(TcpStream::connect(service)?)?;
        if let Some(connection) = &mut self.connections[at] {
            connection.is_service = true;
        }
        Ok(at)
    }

    fn connect(&mut self, one: usize, other: usize) {
        for (at, to) in [(one, other), (other, one)] {
            if let Some(connection) = &mut self.connections[at] {
                connection.other = Some(to);
            }
        }
    }
}

impl Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while self.unwritten.is_empty() && written < bytes.len() {
            match unless_blocked(self.socket.write(&bytes[written..]))? {
                Some(count) => written += count,
                None => break,
            }
        }
        self.unwritten.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    /// Writes pending bytes; returns true once there are none.
    fn flush(&mut self) -> io::Result<bool> {
        while !self.unwritten.is_empty() {
            let Some(count) = unless_blocked(self.socket.write(&self.unwritten))? else {
                return Ok(false);
            };
            self.unwritten.drain(..count);
        }
        Ok(true)
    }
}

/// Length of a head, length of its body, and the service of its route.
type Written = Option<(usize, usize, Option<SocketAddr>)>;

fn write_request(
    bytes: &[u8],
    client: &[u8],
    routes: &HashMap<String, SocketAddr>,
    out: &mut Vec<u8>,
) -> io::Result<Written> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(len)) = head.parse(bytes) else {
        return Ok(None);
    };
    let path = head.path.unwrap_or("/");
    let segment = path[1..].split('/').next().unwrap_or_default();
    let service = routes.get(segment).copied();
    for word in [head.method.unwrap_or("GET"), " ", path, " HTTP/1.1\r\n"] {
        out.extend_from_slice(word.as_bytes());
    }
    let body_len = write_fields(head.headers, out);
    out.extend_from_slice(b"x-forwarded-for: ");
    out.extend_from_slice(client);
    out.extend_from_slice(b"\r\nx-forwarded-proto: http\r\n\r\n");
    Ok(Some((len, body_len, service)))
}

fn write_answer(bytes: &[u8], out: &mut Vec<u8>) -> io::Result<Written> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(len)) = head.parse(bytes) else {
        return Ok(None);
    };
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    out.extend_from_slice(line);
    out.push(b'\n');
    let body_len = write_fields(head.headers, out);
    out.extend_from_slice(b"\r\n");
    Ok(Some((len, body_len, None)))
}

/// Writes the end-to-end fields; returns the announced length of the body.
fn write_fields(fields: &[httparse::Header<'_>], out: &mut Vec<u8>) -> usize {
    let mut body_len = 0;
    for field in fields {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            body_len = message::number(field.value);
        }
        if !["connection", "keep-alive", "upgrade", "te"].into_iter().any(is) {
            for part in [field.name.as_bytes(), b": ", field.value, b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
    }
    body_len
}
