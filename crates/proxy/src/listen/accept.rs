//! Accepting clients.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use waypost_plan::listener::Listener;
use waypost_transport::listening::{Accepted, AcceptingSocket, ListeningSocket};
use waypost_transport::socket::Stream;

use crate::generation::ListenerId;
use crate::listen::admission::Admission;
use crate::local::Worker;
use crate::local::evictable::Evictables;
use crate::local::expendable::Claim;
use crate::observe::log::RareWarnings;

/// Pause after an accept error, such as a lack of descriptors, or at the connection limit.
const PAUSE: Duration = Duration::from_millis(50);

/// Minimum age of a handshake that is evicted when the connection limit is reached.
const HANDSHAKE_AGE: Duration = Duration::from_secs(1);

/// One worker's socket of a listener.
pub(crate) struct WorkerSocket {
    pub(crate) id: ListenerId,
    pub(crate) listener: Arc<Listener>,
    pub(crate) socket: ListeningSocket,
    /// Open connections of this listener, in all workers.
    pub(crate) open: Arc<AtomicUsize>,
}

/// An accepting listener in one worker.
pub(crate) struct Acceptor {
    listening: Rc<Accepting>,
    /// Accepts clients; `None` while that is paused.
    task: Option<JoinHandle<()>>,
}

/// A limit of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    /// The listener's.
    Listener,
    /// The process's, from its open files.
    Process,
}

/// The listening socket, and what its connections are admitted with.
struct Accepting {
    worker: Rc<Worker>,
    id: ListenerId,
    /// The listener as it was opened, for clients admitted after it was removed.
    listener: Rc<Listener>,
    socket: AcceptingSocket,
    /// Open connections of the listener, in all workers.
    open: Arc<AtomicUsize>,
    handshakes: Rc<Evictables>,
    /// The client that waits for room.
    held: Cell<Option<Accepted>>,
    /// Warnings of missing PROXY headers.
    warnings: Rc<RareWarnings>,
}

impl Acceptor {
    /// Starts a task that accepts clients.
    ///
    /// # Errors
    /// The runtime cannot register the socket.
    pub(crate) fn start(worker: &Rc<Worker>, bound: WorkerSocket) -> io::Result<Self> {
        let listening = Rc::new(Accepting {
            worker: Rc::clone(worker),
            id: bound.id,
            listener: Rc::new((*bound.listener).clone()),
            socket: AcceptingSocket::new(bound.socket)?,
            open: bound.open,
            handshakes: Rc::default(),
            held: Cell::default(),
            warnings: Rc::default(),
        });
        let mut acceptor = Self {
            listening,
            task: None,
        };
        acceptor.resume();
        Ok(acceptor)
    }

    pub(crate) fn id(&self) -> ListenerId {
        self.listening.id
    }

    /// A copy of the socket.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(crate) fn socket(&self) -> io::Result<ListeningSocket> {
        self.listening.socket.socket()
    }

    /// Stops accepting. Clients for which the handshake of TCP is complete wait in the queue of the socket, for
    /// [`Acceptor::resume`] or for another process that has the socket too.
    pub(crate) async fn pause(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
            self.listening.admit_held();
        }
    }

    /// Accepts again after a pause.
    pub(crate) fn resume(&mut self) {
        let listening = &self.listening;
        self.task
            .get_or_insert_with(|| tokio::task::spawn_local(accept(Rc::clone(listening))));
    }

    /// Stops accepting. Clients for which the handshake of TCP is complete are admitted first, unless that was paused:
    /// then they are another process's.
    pub(crate) async fn stop(mut self) {
        if self.task.is_none() {
            return;
        }
        self.pause().await;
        while let Ok(accepted) = self.listening.socket.accept_waiting() {
            self.listening.admit(accepted);
        }
    }
}

async fn accept(listening: Rc<Accepting>) {
    let warnings = RareWarnings::default();
    loop {
        match poll_fn(|cx| listening.socket.poll_accept(cx)).await {
            Ok(client) => {
                listening.held.set(Some(client));
                listening.wait_for_room(&warnings).await;
                listening.admit_held();
            }
            Err(error) if is_client_error(&error) => {}
            Err(error) => {
                warnings.warn(|| format!("a listener pauses: {error}"));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Limit {
    /// The limit as the end of a sentence.
    fn as_str(self) -> &'static str {
        match self {
            Self::Listener => "its limit of connections allows",
            Self::Process => "this process's limit of open files allows",
        }
    }
}

impl Accepting {
    /// Waits until there is room for one more client. Connections that can go first make it.
    async fn wait_for_room(&self, warnings: &RareWarnings) {
        while let Some(limit) = self.full() {
            if self.handshakes.make_room(HANDSHAKE_AGE) {
                // The evicted connection frees its slot when its task runs.
                tokio::task::yield_now().await;
                continue;
            }
            let of = (limit == Limit::Listener).then_some(self.id);
            if let Some(displaced) = self.worker.expendables().make_room(of) {
                let _ = timeout(PAUSE, displaced.closed()).await;
                continue;
            }
            let limit = limit.as_str();
            warnings.warn(|| format!("a listener pauses: it has as many clients as {limit}"));
            // Clients in the backlog are accepted when others disconnect.
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn admit_held(&self) {
        if let Some(accepted) = self.held.take() {
            self.admit(accepted);
        }
    }

    /// The limit that keeps the listener from accepting; `None` if it may accept.
    fn full(&self) -> Option<Limit> {
        let snapshot = self.worker.snapshot();
        let listener = snapshot.listener(self.id).unwrap_or(&self.listener);
        if self.open.load(Ordering::Relaxed) >= listener.limits.connections {
            return Some(Limit::Listener);
        }
        let (open, max) = self.worker.connections();
        (open.load(Ordering::Relaxed) >= max).then_some(Limit::Process)
    }

    fn admit(&self, accepted: Accepted) {
        // Nagle's algorithm could delay the end of a response until the client acknowledges what came before.
        if let Stream::Tcp(stream) = &accepted.stream
            && stream.set_nodelay(true).is_err()
        {
            return;
        }
        self.worker.recorder().own().accepted.add(1);
        let counters = [Arc::clone(&self.open), Arc::clone(self.worker.connections().0)];
        let claim = Claim::new(self.worker.expendables(), self.id);
        let slot = self.worker.slots().take(counters, claim);
        let admission = Admission {
            worker: Rc::clone(&self.worker),
            listener_id: self.id,
            listener: Rc::clone(&self.listener),
            handshakes: Rc::clone(&self.handshakes),
            warnings: Rc::clone(&self.warnings),
            slot,
        };
        admission.admit(accepted);
    }
}

/// Returns true if the error concerns one client rather than the socket.
fn is_client_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
