//! Workers: one thread each, with a runtime, sockets, pools and counters of its own.

use std::io;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use waypost_transport::clock::Ticks;
use waypost_transport::listening::ListeningSocket;

use crate::generation::ListenerId;
use crate::listen::accept::{Acceptor, WorkerSocket};
use crate::local::{Shared, Worker};
use crate::observe::access_log::LineRing;
use crate::observe::log;
use crate::observe::metrics::Recorder;
use crate::priority::prioritize;
use crate::thread;

/// Interval between sweeps of idle connections and memory.
const SWEEP: Duration = Duration::from_secs(1);

/// A command to a worker.
pub(crate) enum Command {
    /// Accept clients.
    Listen(WorkerSocket),
    /// Stop accepting on a listener, and close its idle connections.
    Close(ListenerId),
    /// Copy the listening sockets.
    Sockets(oneshot::Sender<io::Result<Vec<(ListenerId, ListeningSocket)>>>),
    /// Stop accepting, but keep the sockets. The sender is notified when no client is accepted any more.
    Pause(oneshot::Sender<()>),
    /// Accept again.
    Resume,
    /// Reply, which shows that the worker turns.
    Turn(oneshot::Sender<()>),
    /// Let connections end with their current response; idle ones may ask once more for this time.
    LastCall(Duration, oneshot::Sender<()>),
    /// Stop accepting, and close idle connections.
    Drain {
        /// The time for which idle connections may ask once more; `None` closes them at once.
        last_call: Option<Duration>,
        /// Notified when the last connection has ended.
        done: oneshot::Sender<()>,
    },
    /// Stop now. The sender gets the number of connections that are cut.
    Stop(oneshot::Sender<usize>),
}

/// The control's handle of a worker.
pub(crate) struct Handle {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) thread: JoinHandle<()>,
}

/// Starts a worker on a thread of its own.
pub(crate) fn start(index: usize, shared: Shared, log: LineRing, recorder: Recorder) -> io::Result<Handle> {
    let (commands, inbox) = mpsc::unbounded_channel();
    let run = move |ticks| run(shared, ticks, log, recorder, inbox);
    let thread = thread::start(format!("worker-{index}"), prioritize, run)?;
    Ok(Handle { commands, thread })
}

async fn run(
    shared: Shared,
    ticks: Ticks,
    log: LineRing,
    recorder: Recorder,
    mut inbox: mpsc::UnboundedReceiver<Command>,
) {
    let worker = Rc::new(Worker::new(shared, ticks, log, recorder));
    tokio::task::spawn_local(sweep(Rc::clone(&worker)));
    let mut acceptors: Vec<Acceptor> = Vec::new();
    while let Some(command) = inbox.recv().await {
        match command {
            Command::Listen(socket) => match Acceptor::start(&worker, socket) {
                Ok(acceptor) => acceptors.push(acceptor),
                Err(error) => log::warn(&format!("a listener could not be started: {error}")),
            },
            Command::Close(id) => {
                for acceptor in acceptors.extract_if(.., |acceptor| acceptor.id() == id) {
                    acceptor.stop().await;
                }
                worker.slots().wake_all();
            }
            Command::Sockets(reply) => {
                let sockets = acceptors
                    .iter()
                    .map(|acceptor| Ok((acceptor.id(), acceptor.socket()?)));
                let _ = reply.send(sockets.collect());
            }
            Command::Pause(done) => {
                for acceptor in &mut acceptors {
                    acceptor.pause().await;
                }
                let _ = done.send(());
            }
            Command::Resume => acceptors.iter_mut().for_each(Acceptor::resume),
            Command::Turn(done) => drop(done.send(())),
            Command::LastCall(limit, done) => {
                worker.drain(Some(Instant::now() + limit));
                worker.slots().wake_all();
                let _ = done.send(());
            }
            Command::Drain { last_call, done } => {
                worker.drain(last_call.map(|limit| Instant::now() + limit));
                for acceptor in acceptors.drain(..) {
                    acceptor.stop().await;
                }
                worker.slots().wake_all();
                let worker = Rc::clone(&worker);
                tokio::task::spawn_local(async move {
                    worker.slots().wait_until_empty().await;
                    let _ = done.send(());
                });
            }
            Command::Stop(cut) => {
                let _ = cut.send(worker.slots().len());
                return;
            }
        }
    }
}

/// Closes idle connections and frees unused memory, periodically.
async fn sweep(worker: Rc<Worker>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        worker.sweep();
        while worker.recorder().forget_retired() {
            tokio::task::yield_now().await;
        }
    }
}
