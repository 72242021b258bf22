//! Accepting clients.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use waypost_plan::listener::Listener;

use crate::generation::ListenerId;
use crate::listen::admission::Admission;
use crate::listen::handshakes::Handshakes;
use crate::local::Worker;
use crate::observe::log::RareWarnings;

/// Pause after an accept error, such as a lack of descriptors, or at the connection limit.
const PAUSE: Duration = Duration::from_millis(50);

/// One worker's socket of a listener.
pub(crate) struct WorkerSocket {
    pub(crate) id: ListenerId,
    pub(crate) listener: Arc<Listener>,
    pub(crate) socket: std::net::TcpListener,
    /// Open connections of this listener, in all workers.
    pub(crate) open: Arc<AtomicUsize>,
}

/// An accepting listener in one worker.
pub(crate) struct Acceptor {
    listening: Rc<ListeningSocket>,
    task: JoinHandle<()>,
}

/// The listening socket, and what its connections are admitted with.
struct ListeningSocket {
    worker: Rc<Worker>,
    id: ListenerId,
    /// The listener as it was opened, for clients admitted after it was removed.
    listener: Rc<Listener>,
    socket: TcpListener,
    /// Open connections of the listener, in all workers.
    open: Arc<AtomicUsize>,
    handshakes: Rc<Handshakes>,
    /// Warnings of missing PROXY headers.
    warnings: Rc<RareWarnings>,
}

impl Acceptor {
    /// Starts a task that accepts clients.
    ///
    /// # Errors
    /// The runtime cannot register the socket.
    pub(crate) fn start(worker: &Rc<Worker>, bound: WorkerSocket) -> io::Result<Self> {
        let listening = Rc::new(ListeningSocket {
            worker: Rc::clone(worker),
            id: bound.id,
            listener: Rc::new((*bound.listener).clone()),
            socket: TcpListener::from_std(bound.socket)?,
            open: bound.open,
            handshakes: Rc::default(),
            warnings: Rc::default(),
        });
        let task = tokio::task::spawn_local(accept(Rc::clone(&listening)));
        Ok(Self { listening, task })
    }

    pub(crate) fn id(&self) -> ListenerId {
        self.listening.id
    }

    /// Stops accepting. Clients in the backlog, for which the handshake of TCP is complete, are admitted first.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
        // Ask the kernel: the runtime's view of the socket's readiness may be stale.
        while let Ok((socket, peer)) = SockRef::from(&self.listening.socket).accept() {
            let stream = socket
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(socket.into()));
            if let (Ok(stream), Some(peer)) = (stream, peer.as_socket()) {
                self.listening.admit(stream, peer);
            }
        }
    }
}

async fn accept(listening: Rc<ListeningSocket>) {
    let warnings = RareWarnings::default();
    loop {
        if let Some(limit) = listening.full() {
            if listening.handshakes.make_room() {
                // The evicted connection frees its slot when its task runs.
                tokio::task::yield_now().await;
                continue;
            }
            warnings.warn(|| format!("a listener pauses: it has as many clients as {limit}"));
            // Clients in the backlog are accepted when others disconnect.
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        match poll_fn(|cx| listening.socket.poll_accept(cx)).await {
            Ok((stream, peer)) => listening.admit(stream, peer),
            Err(error) if is_client_error(&error) => {}
            Err(error) => {
                warnings.warn(|| format!("a listener pauses: {error}"));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl ListeningSocket {
    /// The limit that keeps the listener from accepting, as the end of a sentence; `None` if it may accept.
    fn full(&self) -> Option<&'static str> {
        let snapshot = self.worker.snapshot();
        let listener = snapshot.listener(self.id).unwrap_or(&self.listener);
        if self.open.load(Ordering::Relaxed) >= listener.limits.connections {
            return Some("its limit of connections allows");
        }
        let (open, max) = self.worker.connections();
        (open.load(Ordering::Relaxed) >= max).then_some("this process's limit of open files allows")
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        // Nagle's algorithm could delay the end of a response until the client acknowledges what came before.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        self.worker.recorder().own().accepted.add(1);
        let counters = [Arc::clone(&self.open), Arc::clone(self.worker.connections().0)];
        let slot = self.worker.slots().take(counters);
        let admission = Admission {
            worker: Rc::clone(&self.worker),
            listener_id: self.id,
            listener: Rc::clone(&self.listener),
            handshakes: Rc::clone(&self.handshakes),
            warnings: Rc::clone(&self.warnings),
            slot,
        };
        admission.admit(stream, peer);
    }
}

/// Returns true if the error concerns one client rather than the socket.
fn is_client_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
