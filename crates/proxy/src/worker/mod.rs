//! Workers: one thread each, with a runtime, sockets, pools and counters of its own.

mod accept;
pub(crate) mod handshakes;
mod seats;
pub(crate) mod spares;
mod workspace;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use hashbrown::HashMap;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use waypost_plan::AccessLog;
use waypost_plan::listener::Listener;
use waypost_plan::service::ServiceId;

use crate::access_log::{LineRing, LineWriter, Record};
use crate::clock::{Clock, HttpClock, Turns};
use crate::exchange::splice::Pipes;
use crate::gateway::Notice;
use crate::generation::{Generation, ListenerId};
use crate::link::Link;
use crate::metrics::{Meters, Recorder, RequestCells, Side};
use crate::mirror::Mirrors;
use crate::pool::{IdleBudget, IdlePlace, Trust, WorkerService};
use crate::priority::come_first;
use crate::reclaim::Reclaimer;
pub(crate) use crate::worker::seats::Seat;
use crate::worker::seats::Seats;
use crate::worker::spares::Spares;
pub(crate) use crate::worker::workspace::{Reply, Workspace};

/// How often idle connections to services are looked through.
const SWEEP: Duration = Duration::from_secs(1);
/// What a worker is told.
pub(crate) enum Command {
    /// Accept clients.
    Listen(Listening),
    /// Stop accepting on a listener, and close what is idle there.
    Close(ListenerId),
    /// Stop accepting, close what is idle, and say on `done` when nothing is left.
    Drain {
        /// Told when the last connection has ended.
        done: oneshot::Sender<()>,
    },
    /// End now; says how many connections were cut.
    Stop(oneshot::Sender<usize>),
}

/// A socket to accept clients on.
pub(crate) struct Listening {
    pub(crate) id: ListenerId,
    pub(crate) listener: Arc<Listener>,
    pub(crate) socket: TcpListener,
    /// How many connections of this listener are open, in all workers.
    pub(crate) open: Arc<AtomicUsize>,
}

/// What the control knows of a worker.
pub(crate) struct Handle {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) thread: JoinHandle<()>,
}

/// A worker, as its tasks share it.
pub(crate) struct Worker {
    generations: RefCell<Cache<Arc<ArcSwap<Generation>>, Arc<Generation>>>,
    snapshot: RefCell<Rc<Snapshot>>,
    services: RefCell<HashMap<usize, Rc<WorkerService>>>,
    workspaces: Spares<Workspace>,
    replies: Spares<Reply>,
    seats: Seats,
    draining: Cell<bool>,
    log: RefCell<LineRing>,
    lines: RefCell<LineWriter>,
    recorder: Recorder,
    notices: mpsc::Sender<Notice>,
    mirrors: Mirrors,
    pipes: Rc<Pipes>,
    rng: RefCell<fastrand::Rng>,
    clock: Clock,
    http_clock: HttpClock,
    idle: IdleBudget,
    /// Connections that all workers may have at a time, so that descriptors are left for services.
    connections_max: usize,
    /// How many there are in all workers.
    connections_open: Arc<AtomicUsize>,
}

/// A generation as one request holds it, with the worker's own side of its services.
pub(crate) struct Snapshot {
    pub(crate) generation: Arc<Generation>,
    services: Vec<std::cell::OnceCell<Rc<WorkerService>>>,
    /// The worker's own copies: to count references to one that all workers share would cost every request.
    listeners: Vec<(ListenerId, Rc<Listener>)>,
    pub(crate) logs: bool,
    /// What the requests of each route are counted by.
    pub(crate) meters: Meters,
    /// Who lets go of them.
    reclaimer: Reclaimer,
}

/// What all workers start with.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) generations: Arc<ArcSwap<Generation>>,
    pub(crate) connections_max: usize,
    /// Idle connections to services, for each worker.
    pub(crate) idle_max: usize,
    pub(crate) connections_open: Arc<AtomicUsize>,
    /// Where to tell what happens.
    pub(crate) notices: mpsc::Sender<Notice>,
    /// Who lets go of what was replaced.
    pub(crate) reclaimer: Reclaimer,
}

/// Starts a worker on a thread of its own.
pub(crate) fn start(index: usize, shared: Shared, log: LineRing, recorder: Recorder) -> io::Result<Handle> {
    let (commands, inbox) = mpsc::unbounded_channel();
    let (started, outcome) = std::sync::mpsc::channel();
    let thread = thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            come_first();
            // A local runtime is built on the thread that drives it.
            let turns = Turns::default();
            let counted = turns.clone();
            match Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .on_thread_unpark(move || counted.add())
                .build_local(LocalOptions::default())
            {
                Ok(runtime) => {
                    let _ = started.send(Ok(()));
                    runtime.block_on(run(shared, turns, log, recorder, inbox));
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        })?;
    outcome
        .recv()
        .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
    Ok(Handle { commands, thread })
}

async fn run(
    shared: Shared,
    turns: Turns,
    log: LineRing,
    recorder: Recorder,
    mut inbox: mpsc::UnboundedReceiver<Command>,
) {
    let generation = shared.generations.load_full();
    let worker = Rc::new(Worker {
        generations: RefCell::new(Cache::new(shared.generations)),
        snapshot: RefCell::new(Rc::new(Snapshot::new(generation, shared.reclaimer))),
        services: RefCell::default(),
        workspaces: Spares::default(),
        replies: Spares::default(),
        seats: Seats::default(),
        draining: Cell::new(false),
        log: RefCell::new(log),
        lines: RefCell::default(),
        recorder,
        notices: shared.notices,
        mirrors: Mirrors::default(),
        pipes: Rc::default(),
        rng: RefCell::new(fastrand::Rng::new()),
        clock: Clock::new(turns),
        http_clock: HttpClock::default(),
        idle: IdleBudget::new(shared.idle_max),
        connections_max: shared.connections_max,
        connections_open: shared.connections_open,
    });
    tokio::task::spawn_local(sweep(Rc::clone(&worker)));
    let mut acceptors: Vec<accept::Acceptor> = Vec::new();
    while let Some(command) = inbox.recv().await {
        match command {
            Command::Listen(listening) => match accept::Acceptor::start(&worker, listening) {
                Ok(acceptor) => acceptors.push(acceptor),
                Err(error) => complain(&format!("a listener could not be started: {error}")),
            },
            Command::Close(id) => {
                for acceptor in acceptors.extract_if(.., |acceptor| acceptor.id() == id) {
                    acceptor.stop().await;
                }
                worker.seats.wake_all();
            }
            Command::Drain { done } => {
                worker.draining.set(true);
                for acceptor in acceptors.drain(..) {
                    acceptor.stop().await;
                }
                worker.seats.wake_all();
                let worker = Rc::clone(&worker);
                tokio::task::spawn_local(async move {
                    worker.seats.emptied().await;
                    let _ = done.send(());
                });
            }
            Command::Stop(cut) => {
                let _ = cut.send(worker.seats.len());
                return;
            }
        }
    }
}

/// Closes idle connections to services in time, and forgets services that no generation has any more.
async fn sweep(worker: Rc<Worker>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        {
            let mut services = worker.services.borrow_mut();
            services.retain(|_, service| !service.state().is_retired());
            for service in services.values() {
                service.sweep(worker.clock());
            }
        }
        worker.workspaces.trim();
        worker.replies.trim();
        // An idle gateway lets go of a replaced generation too.
        let _ = worker.snapshot();
        while worker.recorder.forget_retired() {
            tokio::task::yield_now().await;
        }
    }
}

/// Says on standard error what an operator should know.
pub(crate) fn complain(message: &str) {
    use std::io::Write as _;
    // Nobody has to read it: `eprintln!` would panic then.
    let _ = writeln!(io::stderr(), "waypost: {message}");
}

impl Worker {
    /// The generation that is live now.
    pub(crate) fn snapshot(&self) -> Rc<Snapshot> {
        let mut cache = self.generations.borrow_mut();
        let live = cache.load();
        let mut snapshot = self.snapshot.borrow_mut();
        if !Arc::ptr_eq(live, &snapshot.generation) {
            let reclaimer = snapshot.reclaimer.clone();
            *snapshot = Rc::new(Snapshot::new(Arc::clone(live), reclaimer));
        }
        Rc::clone(&snapshot)
    }

    /// The worker's own side of a service.
    pub(crate) fn service(&self, snapshot: &Snapshot, id: ServiceId) -> Rc<WorkerService> {
        let service = snapshot.services[id.index()].get_or_init(|| {
            let state = snapshot.generation.service(id);
            // While the map holds the state, no other one can have its address.
            let key = Arc::as_ptr(state).addr();
            let mut services = self.services.borrow_mut();
            let turn = self.rng.borrow_mut().usize(..);
            let service = services.entry(key).or_insert_with(|| {
                let cells = self.recorder.service(&state.service().name);
                Rc::new(WorkerService::new(
                    Arc::clone(state),
                    turn,
                    cells,
                    self.notices.clone(),
                ))
            });
            Rc::clone(service)
        });
        Rc::clone(service)
    }

    /// Keeps a connection to a service that has finished exactly, if there is room for it.
    pub(crate) fn keep_idle(&self, service: &WorkerService, address: SocketAddr, link: Link, trust: Trust) {
        if let Link::Socket(socket) = link
            && let Some(place) = self.idle.place()
        {
            service.put(address, socket, trust, &self.clock, place);
        }
    }

    /// A place for a connection that is kept between its exchanges, if there is room for one more.
    pub(crate) fn idle_place(&self) -> Option<IdlePlace> {
        self.idle.place()
    }

    /// Closes all idle connections to services and pipes, as descriptors are short; whether there were any.
    pub(crate) fn close_idle(&self) -> bool {
        let any = self.pipes.close_idle() | self.idle.is_used();
        for service in self.services.borrow().values() {
            service.close_idle();
        }
        any
    }

    /// A roll of the dice, uniform in `0..2^64`.
    pub(crate) fn roll(&self) -> u64 {
        self.rng.borrow_mut().u64(..)
    }

    /// What the worker counts by.
    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// What large bodies pass through.
    pub(crate) fn pipes(&self) -> &Rc<Pipes> {
        &self.pipes
    }

    /// The copies of requests that are under way.
    pub(crate) fn mirrors(&self) -> &Mirrors {
        &self.mirrors
    }

    /// The cells of a side of the route at `position`.
    pub(crate) fn cells(&self, snapshot: &Snapshot, position: usize, side: Side) -> Arc<RequestCells> {
        self.with_cells(snapshot, position, side, Arc::clone)
    }

    /// Counts in the cells of a side of the route at `position`.
    pub(crate) fn with_cells<T>(
        &self,
        snapshot: &Snapshot,
        position: usize,
        side: Side,
        count: impl FnOnce(&Arc<RequestCells>) -> T,
    ) -> T {
        let meters = snapshot.meters.of(position);
        count(meters.side(&self.recorder, &snapshot.generation, position, side))
    }

    /// The time, for deadlines and measures.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The time of day, as HTTP writes it.
    pub(crate) fn http_clock(&self) -> &HttpClock {
        &self.http_clock
    }

    /// Whether the gateway is about to stop.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether connections of this listener end with their present answer: the gateway is about to stop, or
    /// the listener is gone.
    pub(crate) fn is_closing(&self, listener: ListenerId) -> bool {
        self.is_draining() || self.snapshot().listener(listener).is_none()
    }

    /// Memory for one connection's requests.
    pub(crate) fn borrow_workspace(&self) -> Box<Workspace> {
        self.workspaces.take()
    }

    /// Takes memory back for the next connection.
    pub(crate) fn return_workspace(&self, mut workspace: Box<Workspace>) {
        if let Some(reply) = workspace.reply.take() {
            self.return_reply(reply);
        }
        workspace.tidy();
        self.workspaces.put(workspace);
    }

    /// Memory for an answer.
    pub(crate) fn borrow_reply(&self) -> Box<Reply> {
        let mut reply = self.replies.take();
        reply.begin();
        reply
    }

    /// Takes it back for the next answer.
    pub(crate) fn return_reply(&self, mut reply: Box<Reply>) {
        reply.tidy();
        self.replies.put(reply);
    }

    /// Hands a line over to the access log.
    pub(crate) fn log(&self, record: &Record) {
        let mut lines = self.lines.borrow_mut();
        self.log.borrow_mut().push(lines.write(record));
    }
}

impl Snapshot {
    fn new(generation: Arc<Generation>, reclaimer: Reclaimer) -> Self {
        let services = generation
            .services()
            .iter()
            .map(|_| std::cell::OnceCell::new())
            .collect();
        let listeners = generation
            .listeners()
            .map(|(id, listener)| (id, Rc::new((**listener).clone())))
            .collect();
        let logs = generation.plan().settings().access_log != AccessLog::Off;
        Self {
            meters: Meters::new(generation.plan().routes().len()),
            generation,
            services,
            listeners,
            logs,
            reclaimer,
        }
    }

    /// The listener with this id, if there still is one.
    pub(crate) fn listener(&self, id: ListenerId) -> Option<&Rc<Listener>> {
        self.listeners
            .iter()
            .find_map(|(other, listener)| (*other == id).then_some(listener))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.reclaimer.meters(std::mem::take(&mut self.meters));
    }
}
