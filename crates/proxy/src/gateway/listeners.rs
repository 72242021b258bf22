//! Listeners of the gateway: bound for all workers, then open in each of them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use waypost_plan::listener::Listener;
use waypost_transport::sockets;

use crate::gateway::ApplyError;
use crate::gateway::inherited::{Inherited, Taken};
use crate::generation::ListenerId;
use crate::listen::accept::WorkerSocket;
use crate::worker::{Command, Handle};

/// The address of a newly opened listener; port 0 is replaced by the assigned port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListeningAt {
    /// The address.
    pub address: SocketAddr,
    /// `https` for a listener with TLS, else `http`.
    pub scheme: &'static str,
}

/// A listener whose sockets are bound, but not yet with the workers.
pub(super) struct BoundListener {
    id: ListenerId,
    listener: Arc<Listener>,
    address: SocketAddr,
    /// The sockets of each worker.
    sockets: Vec<Vec<TcpListener>>,
    is_managed: bool,
}

/// A listener that the workers accept on.
#[derive(Debug)]
pub(super) struct OpenListener {
    pub(super) id: ListenerId,
    pub(super) address: SocketAddr,
    /// True if its sockets are the service manager's.
    pub(super) is_managed: bool,
}

impl BoundListener {
    pub(super) fn listening_at(&self) -> ListeningAt {
        ListeningAt {
            address: self.address,
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
            is_managed: self.is_managed,
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
            let sockets = match taken {
                Some(Taken::Managed(sockets)) => shared_by_all(&sockets, workers).map_err(cannot)?,
                Some(Taken::Predecessor(sockets)) => dealt_out(sockets, workers).map_err(cannot)?,
                None => {
                    let port = listener.bind.address.port();
                    let is_own = leaving.contains(&port) || inherited.holds(port);
                    let sockets = sockets::listen(listener.bind.address, workers, is_own).map_err(cannot)?;
                    sockets.into_iter().map(|socket| vec![socket]).collect()
                }
            };
            let address = match sockets.iter().flatten().next() {
                Some(socket) => socket.local_addr().map_err(cannot)?,
                None => listener.bind.address,
            };
            Ok(BoundListener {
                id,
                listener: Arc::clone(listener),
                address,
                sockets,
                is_managed,
            })
        })
        .collect()
}

/// Every socket for every worker: the workers accept from one queue.
fn shared_by_all(sockets: &[TcpListener], workers: usize) -> io::Result<Vec<Vec<TcpListener>>> {
    let one = || sockets.iter().map(TcpListener::try_clone).collect();
    (0..workers).map(|_| one()).collect()
}

/// One socket for each worker. If there are more, workers accept on several, because each has a queue of its own with
/// clients in it; if there are less, further ones are opened.
fn dealt_out(mut sockets: Vec<TcpListener>, workers: usize) -> io::Result<Vec<Vec<TcpListener>>> {
    if let Some(missing) = workers.checked_sub(sockets.len()).filter(|missing| *missing > 0)
        && let Some(first) = sockets.first()
    {
        let more = match sockets::is_shared(first) {
            true => sockets::join(first.local_addr()?, missing),
            false => Err(io::ErrorKind::AddrInUse.into()),
        };
        match more {
            Ok(more) => sockets.extend(more),
            // Without the right to share the address, several workers accept from one queue.
            Err(_) => {
                let copies: io::Result<Vec<TcpListener>> = (0..missing)
                    .map(|index| sockets[index % sockets.len()].try_clone())
                    .collect();
                sockets.extend(copies?);
            }
        }
    }
    let mut dealt: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    for (index, socket) in sockets.into_iter().enumerate() {
        dealt[index % workers].push(socket);
    }
    Ok(dealt)
}
