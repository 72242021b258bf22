//! Unix sockets in front of services, and ports in front of unix sockets.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A unix socket whose connections a service gets. It is gone once dropped.
pub(crate) struct UnixSocket {
    path: PathBuf,
    _directory: TempDir,
}

impl UnixSocket {
    /// A socket in front of the service at this address.
    pub(crate) fn to(service: SocketAddr) -> Self {
        let socket = Self::missing();
        socket.open(service);
        socket
    }

    /// The path of a socket that does not exist yet.
    pub(crate) fn missing() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self {
            path: directory.path().join("s.sock"),
            _directory: directory,
        }
    }

    /// Opens the socket in front of the service at this address.
    pub(crate) fn open(&self, service: SocketAddr) {
        let listener = UnixListener::bind(&self.path).expect("a socket");
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(service)) = (client, TcpStream::connect(service)) else {
                    return;
                };
                let _ = service.set_nodelay(true);
                let back = (
                    service.try_clone().expect("a descriptor"),
                    client.try_clone().expect("a descriptor"),
                );
                std::thread::spawn(move || to_service(client, service));
                std::thread::spawn(move || to_client(back.0, back.1));
            }
        });
    }

    /// Removes the socket: further connections are refused, those that are open stay.
    pub(crate) fn remove(&self) {
        std::fs::remove_file(&self.path).expect("a socket");
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The endpoint, as a config names it.
    pub(crate) fn endpoint(&self) -> String {
        format!("unix:{}", self.path.display())
    }
}

/// A port whose connections go to the unix socket at `path`, so that every client can be one of it.
pub(crate) fn front(path: &Path) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    let path = path.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(client) = client else { return };
            let Ok(gateway) = UnixStream::connect(&path) else {
                continue;
            };
            let _ = client.set_nodelay(true);
            let back = (
                gateway.try_clone().expect("a descriptor"),
                client.try_clone().expect("a descriptor"),
            );
            std::thread::spawn(move || to_gateway(client, gateway));
            std::thread::spawn(move || to_front(back.0, back.1));
        }
    });
    address
}

fn to_gateway(mut client: TcpStream, mut gateway: UnixStream) {
    let _ = io::copy(&mut client, &mut gateway);
    let _ = gateway.shutdown(Shutdown::Write);
}

fn to_front(mut gateway: UnixStream, mut client: TcpStream) {
    let _ = io::copy(&mut gateway, &mut client);
    let _ = client.shutdown(Shutdown::Both);
}

fn to_service(mut client: UnixStream, mut service: TcpStream) {
    let _ = io::copy(&mut client, &mut service);
    let _ = service.shutdown(Shutdown::Write);
}

fn to_client(mut service: TcpStream, mut client: UnixStream) {
    let _ = io::copy(&mut service, &mut client);
    let _ = client.shutdown(Shutdown::Both);
}
