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

use crate::client::admission::Admission;
use crate::generation::ListenerId;
use crate::worker::handshakes::Handshakes;
use crate::worker::{Listening, Worker, complain};

/// How long accepting pauses when there are no descriptors, or too many connections.
const PAUSE: Duration = Duration::from_millis(50);

/// How long trouble lasts before it is said again.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// A listener in one worker, while it accepts.
pub(super) struct Acceptor {
    door: Rc<Door>,
    task: JoinHandle<()>,
}

/// Where clients of a listener come in.
struct Door {
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
    pub(super) fn start(worker: &Rc<Worker>, listening: Listening) -> io::Result<Self> {
        let door = Rc::new(Door {
            worker: Rc::clone(worker),
            id: listening.id,
            listener: Rc::new((*listening.listener).clone()),
            socket: TcpListener::from_std(listening.socket)?,
            open: listening.open,
            handshakes: Rc::default(),
        });
        let task = tokio::task::spawn_local(accept(Rc::clone(&door)));
        Ok(Self { door, task })
    }

    pub(super) fn id(&self) -> ListenerId {
        self.door.id
    }

    /// Stops accepting. Clients who are connected already, as far as they know, are taken in first.
    pub(super) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
        // The kernel is asked itself: what the runtime knows of the socket may be old.
        while let Ok((socket, peer)) = SockRef::from(&self.door.socket).accept() {
            let stream = socket
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(socket.into()));
            if let (Ok(stream), Some(peer)) = (stream, peer.as_socket()) {
                self.door.admit(stream, peer);
            }
        }
    }
}

async fn accept(door: Rc<Door>) {
    // Trouble that lasts is said now and then, not each time.
    let mut said: Option<Instant> = None;
    let mut say = |message: &str| {
        if said.is_none_or(|at| at.elapsed() > SAY_AGAIN) {
            complain(message);
            said = Some(Instant::now());
        }
    };
    loop {
        if let Some(limit) = door.full() {
            if door.handshakes.make_room() {
                // Its seat is free once its task has run.
                tokio::task::yield_now().await;
                continue;
            }
            say(&format!("a listener pauses: it has as many clients as {limit}"));
            // Whoever waits in the backlog is served when somebody leaves.
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        match poll_fn(|cx| door.socket.poll_accept(cx)).await {
            Ok((stream, peer)) => door.admit(stream, peer),
            Err(error) if is_about_one_client(&error) => {}
            Err(error) => {
                say(&format!("a listener pauses: {error}"));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Door {
    /// What keeps further clients out.
    fn full(&self) -> Option<&'static str> {
        let snapshot = self.worker.snapshot();
        let listener = snapshot.listener(self.id).unwrap_or(&self.listener);
        if self.open.load(Ordering::Relaxed) >= listener.limits.connections {
            return Some("its limit of connections allows");
        }
        let all = self.worker.connections_open.load(Ordering::Relaxed);
        (all >= self.worker.connections_max).then_some("this process's limit of open files allows")
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        // Without it, the last part of an answer could wait for the client's acknowledgement.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        self.worker.recorder().own().accepted.add(1);
        let counters = [Arc::clone(&self.open), Arc::clone(&self.worker.connections_open)];
        let seat = self.worker.seats.take(counters);
        let admission = Admission {
            worker: Rc::clone(&self.worker),
            listener_id: self.id,
            listener: Rc::clone(&self.listener),
            handshakes: Rc::clone(&self.handshakes),
            seat,
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
