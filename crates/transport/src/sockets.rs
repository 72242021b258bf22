//! Listening sockets, one per worker on the same address.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Length of the accept queue (the backlog); the kernel may lower it.
pub const BACKLOG: i32 = 4096;
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
    socket.bind(&address.into())?;
    Ok(socket)
}
