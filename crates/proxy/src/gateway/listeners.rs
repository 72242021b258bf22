//! Listeners of the gateway: bound for all workers, then open in each of them.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use waypost_plan::listener::{BindAddress, Listener};
use waypost_transport::listening::{ListeningAddress, ListeningSocket};
use waypost_transport::socket_file::{self, SocketFile};
use waypost_transport::sockets;

use crate::gateway::ApplyError;
use crate::gateway::inherited::{Inherited, Taken};
use crate::generation::ListenerId;
use crate::listen::accept::WorkerSocket;
use crate::worker::{Command, Handle};

/// Permissions of the file of a unix socket: owner and group may connect.
const SOCKET_MODE: u32 = 0o660;

/// The address of a newly opened listener; port 0 is replaced by the assigned port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListeningAt {
    address: ListeningAddress,
    /// `https` for a listener with TLS, else `http`.
    scheme: &'static str,
}

impl ListeningAt {
    /// The address over TCP; `None` for a unix socket.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self.address {
            ListeningAddress::Tcp(address) => Some(address),
            ListeningAddress::Unix(_) => None,
        }
    }
}

impl fmt::Display for ListeningAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            ListeningAddress::Tcp(address) => write!(f, "{}://{address}", self.scheme),
            path @ ListeningAddress::Unix(_) => write!(f, "{path}"),
        }
    }
}

/// A listener whose sockets are bound, but not yet with the workers.
pub(super) struct BoundListener {
    id: ListenerId,
    listener: Arc<Listener>,
    address: ListeningAddress,
    /// The file of a unix socket, unless it is the service manager's.
    file: Option<SocketFile>,
    /// The sockets of each worker.
    sockets: Vec<Vec<ListeningSocket>>,
    is_managed: bool,
}

/// A listener that the workers accept on.
#[derive(Debug)]
pub(super) struct OpenListener {
    pub(super) id: ListenerId,
    pub(super) address: ListeningAddress,
    /// The file of a unix socket, unless it is the service manager's.
    pub(super) file: Option<SocketFile>,
    /// True if its sockets are the service manager's.
    pub(super) is_managed: bool,
}

impl BoundListener {
    pub(super) fn listening_at(&self) -> ListeningAt {
        ListeningAt {
            address: self.address.clone(),
            scheme: self.listener.scheme(),
        }
    }

    /// Hands its sockets to `workers`, which start to accept.
    pub(super) fn start(self, workers: &[Handle]) -> OpenListener {
        let open = Arc::new(AtomicUsize::new(0));
        for (worker, sockets) in workers.iter().zip(self.sockets) {
            for socket in sockets {
                let socket = WorkerSocket {
                    id: self.id,
                    listener: Arc::clone(&self.listener),
                    socket,
                    open: Arc::clone(&open),
                };
                let _ = worker.commands.send(Command::Listen(socket));
            }
        }
        OpenListener {
            id: self.id,
            address: self.address,
            file: self.file,
            is_managed: self.is_managed,
        }
    }
}

impl OpenListener {
    /// The port that it listens on, over TCP.
    pub(super) fn port(&self) -> Option<u16> {
        match self.address {
            ListeningAddress::Tcp(address) => Some(address.port()),
            ListeningAddress::Unix(_) => None,
        }
    }
}

/// Opens sockets for each of `workers` at each listener's address, or takes those of `inherited`. Ports in `leaving` are
/// still held by this process's own listeners and may be shared with them.
///
/// # Errors
/// An address cannot be bound.
pub(super) fn bind_all<'a>(
    listeners: impl Iterator<Item = (ListenerId, &'a Arc<Listener>)>,
    workers: usize,
    leaving: &[u16],
    inherited: &mut Inherited,
) -> Result<Vec<BoundListener>, ApplyError> {
    listeners
        .map(|(id, listener)| {
            let cannot = |error| ApplyError::Listen {
                bind: listener.bind.text.clone(),
                error,
            };
            let taken = inherited.take(listener).map_err(cannot)?;
            let is_managed = matches!(taken, Some(Taken::Managed(_)));
            let path = listener.bind.address.path().map(Path::new);
            let file = path.filter(|_| !is_managed);
            let (sockets, file) = match (taken, &listener.bind.address) {
                (Some(Taken::Managed(sockets)), _) => {
                    (shared_by_all(&sockets, workers).map_err(cannot)?, None)
                }
                (Some(Taken::Predecessor(mut sockets)), BindAddress::Unix(_)) => {
                    // All are copies of one.
                    sockets.truncate(1);
                    let sockets = shared_by_all(&sockets, workers).map_err(cannot)?;
                    (sockets, file.map(SocketFile::inherited))
                }
                (Some(Taken::Predecessor(sockets)), BindAddress::Tcp(_)) => {
                    (dealt_out(sockets, workers).map_err(cannot)?, None)
                }
                (None, BindAddress::Unix(path)) => {
                    let socket = socket_file::listen(Path::new(&**path), SOCKET_MODE).map_err(cannot)?;
                    let file = file.map(SocketFile::own);
                    let sockets = shared_by_all(&[ListeningSocket::Unix(socket)], workers);
                    (sockets.map_err(cannot)?, file)
                }
                (None, BindAddress::Tcp(address)) => {
                    let port = address.port();
                    let is_own = leaving.contains(&port) || inherited.holds(port);
                    let sockets = sockets::listen(*address, workers, is_own).map_err(cannot)?;
                    let sockets = sockets
                        .into_iter()
                        .map(|socket| vec![ListeningSocket::Tcp(socket)]);
                    (sockets.collect(), None)
                }
            };
            let address = match (sockets.iter().flatten().next(), &listener.bind.address) {
                (Some(socket), BindAddress::Tcp(_)) => socket.address().map_err(cannot)?,
                (None, BindAddress::Tcp(address)) => ListeningAddress::Tcp(*address),
                (_, BindAddress::Unix(path)) => ListeningAddress::Unix(PathBuf::from(&**path)),
            };
            Ok(BoundListener {
                id,
                listener: Arc::clone(listener),
                address,
                file,
                sockets,
                is_managed,
            })
        })
        .collect()
}

/// Every socket for every worker: the workers accept from one queue.
fn shared_by_all(sockets: &[ListeningSocket], workers: usize) -> io::Result<Vec<Vec<ListeningSocket>>> {
    let one = || sockets.iter().map(ListeningSocket::try_clone).collect();
    (0..workers).map(|_| one()).collect()
}

/// One socket for each worker. If there are more, workers accept on several, because each has a queue of its own with
/// clients in it; if there are less, further ones are opened.
fn dealt_out(mut sockets: Vec<ListeningSocket>, workers: usize) -> io::Result<Vec<Vec<ListeningSocket>>> {
    if let Some(missing) = workers.checked_sub(sockets.len()).filter(|missing| *missing > 0)
        && let Some(ListeningSocket::Tcp(first)) = sockets.first()
    {
        let more = match sockets::is_shared(first) {
            true => sockets::join(first.local_addr()?, missing),
            false => Err(io::ErrorKind::AddrInUse.into()),
        };
        match more {
            Ok(more) => sockets.extend(more.into_iter().map(ListeningSocket::Tcp)),
            // Without the right to share the address, several workers accept from one queue.
            Err(_) => {
                let copies: io::Result<Vec<ListeningSocket>> = (0..missing)
                    .map(|index| sockets[index % sockets.len()].try_clone())
                    .collect();
                sockets.extend(copies?);
            }
        }
    }
    let mut dealt: Vec<Vec<ListeningSocket>> = (0..workers).map(|_| Vec::new()).collect();
    for (index, socket) in sockets.into_iter().enumerate() {
        dealt[index % workers].push(socket);
    }
    Ok(dealt)
}
