//! Sockets that listen: one for each worker, sharing an address.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections wait to be accepted; the kernel may cap it further.
pub const BACKLOG: i32 = 4096;
/// How often a free port is asked for anew when somebody else takes it in between.
const PORT_ATTEMPTS: usize = 16;

/// Opens `count` listening sockets on one address, port 0 standing for any free port.
///
/// They share the address by `SO_REUSEPORT`. That would also let two gateways share it by mistake, so the
/// address is first taken alone, unless `is_own` says that this gateway has it already.
///
/// # Errors
/// When the address is taken, or is not this machine's.
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
        // `[::]` takes IPv4 clients too, as it does elsewhere.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
