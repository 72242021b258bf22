//! Listening sockets, one per worker on the same address.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

/// Length of the accept queue (the backlog); the kernel may lower it.
pub const BACKLOG: i32 = 4096;
/// Silence after which TCP asks for a sign of life.
pub const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Pause between two questions of that kind.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Questions without a reply after which the connection fails.
const KEEP_ALIVE_PROBES: u32 = 3;
/// Attempts to find a free port, as another process may take one between the probe and the bind.
const PORT_ATTEMPTS: usize = 16;

/// Opens `count` listening sockets on one address. Port 0 selects a free port, the same for all.
///
/// The sockets share the address with `SO_REUSEPORT`. To keep two gateways from sharing it by mistake, the address is
/// first bound exclusively, unless `is_own` is true: this process listens on it already.
///
/// # Errors
/// When the address is in use or not local.
pub fn listen(address: SocketAddr, count: usize, is_own: bool) -> io::Result<Vec<TcpListener>> {
    if is_own {
        return open(address, count);
    }
    let mut attempt = 0;
    loop {
        attempt += 1;
        let probe = bind(address, false)?;
        let bound = probe.local_addr()?.as_socket().unwrap_or(address);
        drop(probe);
        match open(bound, count) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && address.port() == 0
                    && attempt < PORT_ATTEMPTS => {}
            result => return result,
        }
    }
}

/// Opens `count` further listening sockets that share an address with sockets of this process, or of its predecessor.
///
/// # Errors
/// When the address belongs to sockets that do not share it.
pub fn join(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    open(address, count)
}

/// Returns true if further sockets can listen on the address of this one.
pub fn is_shared(socket: &TcpListener) -> bool {
    SockRef::from(socket).reuse_port().unwrap_or(false)
}

/// Returns true if a socket that is bound to all IPv6 addresses accepts IPv4 clients too.
pub fn accepts_ipv4(socket: &TcpListener) -> bool {
    SockRef::from(socket).only_v6().is_ok_and(|only| !only)
}

/// Brings a listening socket that another process opened into the form of those opened here.
///
/// # Errors
/// When it is not a listening socket.
pub fn adopt(socket: &TcpListener) -> io::Result<()> {
    let it = SockRef::from(socket);
    check_listening(&it)?;
    it.set_nonblocking(true)?;
    it.set_tcp_keepalive(&keep_alive())
}

/// The same for a unix socket.
///
/// # Errors
/// When it is not a listening socket.
pub(crate) fn adopt_unix(socket: &UnixListener) -> io::Result<()> {
    check_listening(&SockRef::from(socket))?;
    socket.set_nonblocking(true)
}

fn check_listening(socket: &SockRef<'_>) -> io::Result<()> {
    match socket.is_listener()? {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the socket does not listen",
        )),
    }
}

fn open(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let sockets: io::Result<Vec<Socket>> = (0..count).map(|_| bind(address, true)).collect();
    let sockets = sockets?;
    for socket in &sockets {
        socket.listen(BACKLOG)?;
    }
    Ok(sockets.into_iter().map(TcpListener::from).collect())
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]` accepts IPv4 clients too, as is usual on Linux.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // Connections inherit it, without a system call each.
    socket.set_tcp_keepalive(&keep_alive())?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Lets TCP find out that the peer of a quiet connection is gone. Clients' connections do so from the beginning.
pub(crate) fn watch(stream: &TcpStream) {
    // Fails only if the connection has failed, which is about to be seen.
    let _ = SockRef::from(stream).set_tcp_keepalive(&keep_alive());
}

fn keep_alive() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(KEEP_ALIVE)
        .with_interval(KEEP_ALIVE_INTERVAL)
        .with_retries(KEEP_ALIVE_PROBES)
}
