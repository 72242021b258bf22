//! Listeners of the gateway: bound for all workers, then open in each of them.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use waypost_plan::listener::Listener;
use waypost_transport::sockets;

use crate::gateway::ApplyError;
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
    /// One for each worker.
    sockets: Vec<TcpListener>,
}

/// A listener that the workers accept on.
#[derive(Debug)]
pub(super) struct OpenListener {
    pub(super) id: ListenerId,
    pub(super) address: SocketAddr,
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
        for (worker, socket) in workers.iter().zip(self.sockets) {
            let socket = WorkerSocket {
                id: self.id,
                listener: Arc::clone(&self.listener),
                socket,
                open: Arc::clone(&open),
            };
            let _ = worker.commands.send(Command::Listen(socket));
        }
        OpenListener {
            id: self.id,
            address: self.address,
        }
    }
}

/// Binds a socket for each of `workers` to each listener's address. Ports in `leaving` are still held by this process's own
/// listeners and may be shared with them.
///
/// # Errors
/// An address cannot be bound.
pub(super) fn bind_all<'a>(
    listeners: impl Iterator<Item = (ListenerId, &'a Arc<Listener>)>,
    workers: usize,
    leaving: &[u16],
) -> Result<Vec<BoundListener>, ApplyError> {
    listeners
        .map(|(id, listener)| {
            let cannot = |error| ApplyError::Listen {
                bind: listener.bind.text.clone(),
                error,
            };
            let is_own = leaving.contains(&listener.bind.address.port());
            let sockets = sockets::listen(listener.bind.address, workers, is_own).map_err(cannot)?;
            let address = match sockets.first() {
                Some(socket) => socket.local_addr().map_err(cannot)?,
                None => listener.bind.address,
            };
            Ok(BoundListener {
                id,
                listener: Arc::clone(listener),
                address,
                sockets,
            })
        })
        .collect()
}
