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
use tokio::time::Instant;
use waypost_plan::listener::Listener;

use crate::generation::ListenerId;
use crate::listen::admission::Admission;
use crate::listen::handshakes::Handshakes;
use crate::local::Worker;
use crate::observe::log;

/// How long accepting pauses when there are no descriptors, or too many connections.
const PAUSE: Duration = Duration::from_millis(50);

/// How long trouble lasts before it is said again.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// A socket to accept clients on.
pub(crate) struct Listening {
    pub(crate) id: ListenerId,
    pub(crate) listener: Arc<Listener>,
    pub(crate) socket: std::net::TcpListener,
    /// Open connections of this listener, in all workers.
    pub(crate) open: Arc<AtomicUsize>,
}

/// A listener in one worker, while it accepts.
pub(crate) struct Acceptor {
    listening: Rc<ListeningSocket>,
    task: JoinHandle<()>,
}

/// Where clients of a listener come in.
struct ListeningSocket {
    worker: Rc<Worker>,
    id: ListenerId,
    /// The listener as it was opened, for clients who are let in after it is gone.
    listener: Rc<Listener>,
    socket: TcpListener,
    /// How many connections of the listener are open, in all workers.
    open: Arc<AtomicUsize>,
    handshakes: Rc<Handshakes>,
}

impl Acceptor {
    pub(crate) fn start(worker: &Rc<Worker>, opened: Listening) -> io::Result<Self> {
        let listening = Rc::new(ListeningSocket {
            worker: Rc::clone(worker),
            id: opened.id,
            listener: Rc::new((*opened.listener).clone()),
            socket: TcpListener::from_std(opened.socket)?,
            open: opened.open,
            handshakes: Rc::default(),
        });
        let task = tokio::task::spawn_local(accept(Rc::clone(&listening)));
        Ok(Self { listening, task })
    }

    pub(crate) fn id(&self) -> ListenerId {
        self.listening.id
    }

    /// Stops accepting. Clients who are connected already, as far as they know, are taken in first.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
        // The kernel is asked itself: what the runtime knows of the socket may be old.
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
    // Trouble that lasts is said now and then, not each time.
    let mut said: Option<Instant> = None;
    let mut say = |message: &str| {
        if said.is_none_or(|at| at.elapsed() > SAY_AGAIN) {
            log::warn(message);
            said = Some(Instant::now());
        }
    };
    loop {
        if let Some(limit) = listening.full() {
            if listening.handshakes.make_room() {
                // Its seat is free once its task has run.
                tokio::task::yield_now().await;
                continue;
            }
            say(&format!("a listener pauses: it has as many clients as {limit}"));
            // Whoever waits in the backlog is served when somebody leaves.
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        match poll_fn(|cx| listening.socket.poll_accept(cx)).await {
            Ok((stream, peer)) => listening.admit(stream, peer),
            Err(error) if is_about_one_client(&error) => {}
            Err(error) => {
                say(&format!("a listener pauses: {error}"));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl ListeningSocket {
    /// What keeps further clients out.
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
        // Without it, the last part of an answer could wait for the client's acknowledgement.
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
            slot,
        };
        admission.admit(stream, peer);
    }
}

/// Whether the error says something of one client, and nothing of the socket.
fn is_about_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
