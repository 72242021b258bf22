//! Control of the data plane: start it, apply a generation, drain it.

mod checks;
pub(crate) mod descriptors;
pub mod inherited;
pub mod listeners;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use waypost_plan::listener::Listener;
use waypost_plan::settings::Settings;

use waypost_upstream::discovery::{self, Discovery};
use waypost_upstream::notice::Notice;
use waypost_upstream::panic_mode;
use waypost_upstream::service::ServiceState;

use crate::gateway::checks::Checks;
use crate::gateway::descriptors::descriptors;
use crate::gateway::inherited::{Inherited, InheritedSocket, Origin};
use crate::gateway::listeners::{BoundListener, ListeningAt, OpenListener, bind_all};
use crate::generation::{Generation, ListenerId};
use crate::local::Shared;
use crate::local::reclaim::Reclaimer;
use crate::observe::access_log::{self, Losses, Lost, Tail, Writer};
use crate::observe::failed::{self, FailedRequest};
use crate::observe::log;
use crate::observe::metrics::Metrics;
use crate::observe::metrics::ending::Ending;
use crate::verifier::Verifier;
use crate::worker::{self, Command, Handle};

/// Timeout for resolving endpoint names before a gateway starts without them.
const RESOLVE_AT_START_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout for resolving new endpoint names before a generation goes live without them.
const RESOLVE_TIMEOUT: Duration = Duration::from_millis(500);

/// Timeout for flushing the access log at exit; a destination that blocks must not keep the process alive.
const LOG_TIMEOUT: Duration = Duration::from_secs(1);

/// Time for one more request on an idle connection once another process accepts the clients. A client that sends one every
/// second never meets a connection that is being closed.
const LAST_REQUEST: Duration = Duration::from_secs(2);

/// Capacity of the notice channel; further notices are dropped.
const NOTICES_MAX: usize = 1024;

/// A running data plane.
pub struct Gateway {
    generations: Arc<ArcSwap<Generation>>,
    metrics: Arc<Metrics>,
    connections_open: Arc<AtomicUsize>,
    losses: Losses,
    tail: Tail,
    notices: Option<mpsc::Receiver<Notice>>,
    failed: Option<mpsc::Receiver<FailedRequest>>,
    notice_sender: mpsc::WeakSender<Notice>,
    workers: Vec<Handle>,
    listeners: Vec<OpenListener>,
    /// The listeners that accept no clients yet.
    bound: Vec<BoundListener>,
    inherited: Inherited,
    /// Runs the tasks of services.
    control: Runtime,
    discovery: Discovery,
    checks: Checks,
    log: Option<Writer>,
    reclaimer: Reclaimer,
}

/// A read-only view of a running data plane. It may outlive the [`Gateway`].
#[derive(Debug, Clone)]
pub struct View {
    generations: Arc<ArcSwap<Generation>>,
    metrics: Arc<Metrics>,
    connections_open: Arc<AtomicUsize>,
    workers: usize,
    losses: Losses,
    tail: Tail,
}

/// A generation whose listeners are open, and that is not served yet. Those that it adds close when it is dropped.
pub struct Opened {
    generation: Generation,
    bound: Vec<BoundListener>,
}

/// A plan that could not be activated. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An address cannot be bound.
    #[error("cannot listen on {bind}: {error}")]
    Listen {
        /// The address as written.
        bind: Box<str>,
        /// The error of the operating system.
        error: io::Error,
    },
    /// A worker, log-writer or reclaimer thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(io::Error),
}

/// The result of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections cut at the deadline.
    pub cut: usize,
    /// Lines that did not reach the access log.
    pub lost: Lost,
}

impl Gateway {
    /// Starts serving `generation`. The tasks of services run on `control`.
    ///
    /// Returns the listeners, in order of declaration, once clients are accepted.
    ///
    /// # Errors
    /// An address cannot be bound, or a thread cannot be started.
    pub async fn start(
        generation: Generation,
        control: Runtime,
    ) -> Result<(Self, Vec<ListeningAt>), ApplyError> {
        let mut gateway = Self::prepare(generation, control).await?;
        gateway.bind(Inherited::default())?;
        let listening = gateway.accept();
        Ok((gateway, listening))
    }

    /// Looks up names, and starts everything that serves `generation`, but for its listeners: see [`Gateway::bind`].
    ///
    /// # Errors
    /// A thread cannot be started.
    pub async fn prepare(generation: Generation, control: Runtime) -> Result<Self, ApplyError> {
        let settings = generation.plan().settings().clone();
        let count = worker_count(&settings);
        let (sender, notices) = mpsc::channel(NOTICES_MAX);
        let (failed_sender, failed) = mpsc::channel(failed::WAITING_MAX);
        let notice_sender = sender.downgrade();
        let discovery = Discovery::new(control.clone(), &settings.name_servers, notice_sender.clone());
        let descriptors = descriptors();
        let checks = Checks::new(notice_sender.clone(), descriptors.checks);
        start_tasks(&discovery, &checks, &generation);
        let unresolved = discovery::first_answers(generation.services(), RESOLVE_AT_START_TIMEOUT);
        warn_unresolved(&unresolved.await);
        make_ready(&generation, &control, &notice_sender);

        let generations = Arc::new(ArcSwap::from_pointee(generation));
        let (log, rings) =
            Writer::start(count, settings.access_log, log::warn).map_err(ApplyError::Thread)?;
        let reclaimer = Reclaimer::start().map_err(ApplyError::Thread)?;
        let shared = Shared {
            generations: Arc::clone(&generations),
            connections_max: descriptors.clients,
            idle_max: descriptors.idle.div_ceil(count),
            connections_open: Arc::new(AtomicUsize::new(0)),
            notices: sender,
            failed: failed_sender,
            reclaimer: reclaimer.clone(),
            expendables: Arc::default(),
            verifier: Arc::new(Verifier::new()),
        };
        let (metrics, recorders) = Metrics::new(count);
        let connections_open = Arc::clone(&shared.connections_open);
        let workers: io::Result<Vec<Handle>> = rings
            .into_iter()
            .zip(recorders)
            .enumerate()
            .map(|(index, (ring, recorder))| worker::start(index, shared.clone(), ring, recorder))
            .collect();
        Ok(Self {
            generations,
            metrics,
            connections_open,
            losses: log.losses(),
            tail: log.tail(),
            notices: Some(notices),
            failed: Some(failed),
            checks,
            notice_sender,
            workers: workers.map_err(ApplyError::Thread)?,
            listeners: Vec::new(),
            bound: Vec::new(),
            inherited: Inherited::default(),
            control,
            discovery,
            log: Some(log),
            reclaimer,
        })
    }

    /// Opens the sockets of all listeners, or takes those of `inherited` where there are any for a listener. No client is
    /// accepted until [`Gateway::accept`].
    ///
    /// # Errors
    /// An address cannot be bound.
    pub fn bind(&mut self, mut inherited: Inherited) -> Result<(), ApplyError> {
        let generation = self.generation();
        inherited.set_listeners(generation.plan().listeners().iter().map(Arc::as_ref));
        self.bound = bind_all(generation.listeners(), self.workers.len(), &[], &mut inherited)?;
        self.inherited = inherited;
        Ok(())
    }

    /// Accepts clients. Returns the listeners, in order of declaration.
    pub fn accept(&mut self) -> Vec<ListeningAt> {
        let bound = std::mem::take(&mut self.bound);
        self.inherited.close_rest();
        self.start_accepting(bound)
    }

    /// The sockets of the service manager that no listener takes: address and name.
    pub fn unmatched_sockets(&self) -> Vec<(String, Option<String>)> {
        let generation = self.generation();
        let listeners: Vec<&Listener> = generation.plan().listeners().iter().map(Arc::as_ref).collect();
        self.inherited.unmatched(&listeners)
    }

    /// Copies of all listening sockets, for a process that takes over from this one.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub async fn sockets(&self) -> io::Result<Vec<InheritedSocket>> {
        let generation = self.generation();
        // The service manager's are the same for every worker.
        let mut all = self.inherited.managed()?;
        for worker in &self.workers {
            let (reply, sockets) = oneshot::channel();
            let _ = worker.commands.send(Command::Sockets(reply));
            let sockets = sockets
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            for (id, socket) in sockets? {
                let is_managed = self.listeners.iter().any(|open| open.id == id && open.is_managed);
                let Some(listener) = generation.listener(id).filter(|_| !is_managed) else {
                    continue;
                };
                let origin = Origin::Predecessor {
                    bind: listener.bind.text.to_string(),
                    name: listener.name.as_deref().map(str::to_owned),
                };
                all.push(InheritedSocket { socket, origin });
            }
        }
        Ok(all)
    }

    /// Accepts no more clients, until [`Gateway::resume`]; they wait in the queues of the sockets. Connections are served on.
    pub async fn pause(&self) {
        let paused = self.ask_workers(Command::Pause);
        for worker in paused {
            let _ = worker.await;
        }
    }

    /// Lets connections end with their current response, since another process accepts the clients. On return, every
    /// response says so.
    pub async fn last_call(&self) {
        for worker in self.ask_workers(|done| Command::LastCall(LAST_REQUEST, done)) {
            let _ = worker.await;
        }
    }

    /// Accepts clients again.
    pub fn resume(&self) {
        for worker in &self.workers {
            let _ = worker.commands.send(Command::Resume);
        }
    }

    /// Asks every worker to take a turn. Returns a future that is true once all have done so.
    pub fn turn(&self) -> impl Future<Output = bool> + use<> {
        let turns = self.ask_workers(Command::Turn);
        async {
            for turn in turns {
                if turn.await.is_err() {
                    return false;
                }
            }
            true
        }
    }

    /// Sends a command to each worker. Returns the receivers of the replies.
    fn ask_workers(&self, command: impl Fn(oneshot::Sender<()>) -> Command) -> Vec<oneshot::Receiver<()>> {
        let workers = self.workers.iter();
        workers
            .map(|worker| {
                let (done, wait) = oneshot::channel();
                let _ = worker.commands.send(command(done));
                wait
            })
            .collect()
    }

    /// Opens the listeners that `generation` adds. Nothing of it is served until [`Gateway::serve`], before which no other
    /// may be opened.
    ///
    /// # Errors
    /// A new listener cannot be opened. Nothing has changed.
    pub fn open(&mut self, generation: Generation) -> Result<Opened, ApplyError> {
        let before = self.generations.load_full();
        let generation = generation.following(&before);
        let is_new = |id: ListenerId| before.listener(id).is_none();
        let added = generation.listeners().filter(|(id, _)| is_new(*id));
        // A listener that moves to another address of its port takes the port over from its old sockets.
        let leaving = self
            .listeners
            .iter()
            .filter(|open| generation.listener(open.id).is_none());
        let leaving: Vec<u16> = leaving.filter_map(OpenListener::port).collect();
        let listeners = generation.plan().listeners().iter();
        self.inherited.set_listeners(listeners.map(Arc::as_ref));
        let bound = bind_all(added, self.workers.len(), &leaving, &mut self.inherited)?;
        Ok(Opened { generation, bound })
    }

    /// Replaces the live generation. `ending` lists the metric series that end with the replaced one. In-flight
    /// requests keep their generation.
    ///
    /// Returns the listeners that were added.
    pub async fn serve(&mut self, opened: Opened, ending: &Ending) -> Vec<ListeningAt> {
        let Opened {
            mut generation,
            bound,
        } = opened;
        let before = self.generations.load_full();
        generation.update_kept_services();
        self.discovery
            .set_servers(&generation.plan().settings().name_servers);
        generation.inherit_health(|state| state.names().next().is_none());
        start_tasks(&self.discovery, &self.checks, &generation);
        // A name server that does not respond must not hold up the change.
        let unresolved = discovery::first_answers(generation.services(), RESOLVE_TIMEOUT);
        warn_unresolved(&unresolved.await);
        generation.inherit_health(|_| true);
        make_ready(&generation, &self.control, &self.notice_sender);

        let generation = Arc::new(generation);
        self.generations.store(Arc::clone(&generation));
        let kept: HashSet<*const ServiceState> = generation.services().iter().map(Arc::as_ptr).collect();
        for state in before.services() {
            if !kept.contains(&Arc::as_ptr(state)) {
                state.retire();
            }
        }
        let listening = self.start_accepting(bound);
        for open in self
            .listeners
            .extract_if(.., |open| generation.listener(open.id).is_none())
        {
            for worker in &self.workers {
                let _ = worker.commands.send(Command::Close(open.id));
            }
            if let Some(file) = open.file {
                file.remove();
            }
        }
        let settings = generation.plan().settings();
        if settings.access_log != before.plan().settings().access_log {
            self.reopen_log();
        }
        let changed = settings.workers != before.plan().settings().workers;
        if changed && worker_count(settings) != self.workers.len() {
            log::warn("a changed `workers` takes effect at the next start");
        }
        self.metrics.end(ending, &generation);
        self.reclaimer.reclaim_generation(before);
        listening
    }

    /// The generation that is served.
    pub fn generation(&self) -> Arc<Generation> {
        self.generations.load_full()
    }

    /// A read-only view of the data plane.
    pub fn view(&self) -> View {
        View {
            generations: Arc::clone(&self.generations),
            metrics: Arc::clone(&self.metrics),
            connections_open: Arc::clone(&self.connections_open),
            workers: self.workers.len(),
            losses: self.losses.clone(),
            tail: self.tail.clone(),
        }
    }

    /// The receiver of notices about endpoints; `None` if it was taken before.
    pub fn take_notices(&mut self) -> Option<mpsc::Receiver<Notice>> {
        self.notices.take()
    }

    /// The receiver of samples of failed requests; `None` if it was taken before.
    pub fn take_failed(&mut self) -> Option<mpsc::Receiver<FailedRequest>> {
        self.failed.take()
    }

    /// The sender of notices about endpoints, for calls outside the workers. It lasts as long as these.
    pub fn notice_sender(&self) -> mpsc::WeakSender<Notice> {
        self.notice_sender.clone()
    }

    /// The `bind` text and the local address of each open listener, in order of declaration.
    pub fn listening(&self) -> Vec<(String, String)> {
        let generation = self.generation();
        let open = generation.listeners().filter_map(|(id, listener)| {
            let open = self.listeners.iter().find(|open| open.id == id)?;
            Some((listener.bind.text.to_string(), open.address.to_string()))
        });
        open.collect()
    }

    /// Reopens the access log, as after a rotation.
    pub fn reopen_log(&self) {
        if let Some(log) = &self.log {
            log.redirect(self.generation().plan().settings().access_log.clone());
        }
    }

    /// Stops accepting, waits up to `grace` for requests to end, then cuts the remaining connections.
    pub async fn drain(self, grace: Duration) -> Drained {
        self.drain_idle(grace, None).await
    }

    /// The same once another process accepts the clients. A client whose connection is idle would not expect that it is
    /// closed, as this gateway seems to go on: for a moment, it may send one more request, whose response says so.
    pub async fn drain_behind(self, grace: Duration) -> Drained {
        self.drain_idle(grace, Some(LAST_REQUEST)).await
    }

    async fn drain_idle(mut self, grace: Duration, last_call: Option<Duration>) -> Drained {
        // Clients are refused from now on, unless another process has the sockets.
        drop(std::mem::take(&mut self.inherited));
        for open in self.listeners.drain(..) {
            match (open.file, last_call) {
                (Some(file), None) => file.remove(),
                (Some(file), Some(_)) => file.leave(),
                (None, _) => {}
            }
        }
        let waits = self.ask_workers(|done| Command::Drain { last_call, done });
        let all = async {
            for wait in waits {
                let _ = wait.await;
            }
        };
        let _ = timeout(grace, all).await;
        let mut cut = 0;
        for worker in self.workers.drain(..) {
            let (sender, connections) = oneshot::channel();
            let _ = worker.commands.send(Command::Stop(sender));
            cut += connections.await.unwrap_or(0);
            let _ = tokio::task::spawn_blocking(move || worker.thread.join()).await;
        }
        for state in self.generation().services() {
            state.retire();
        }
        let lost = match self.log.take() {
            Some(log) => tokio::task::spawn_blocking(move || log.finish(LOG_TIMEOUT)).await,
            None => Ok(Lost::default()),
        };
        Drained {
            cut,
            lost: lost.unwrap_or_default(),
        }
    }

    /// Hands the sockets of new listeners to the workers, which start to accept.
    fn start_accepting(&mut self, bound: Vec<BoundListener>) -> Vec<ListeningAt> {
        let mut listening = Vec::new();
        for listener in bound {
            listening.push(listener.listening_at());
            self.listeners.push(listener.start(&self.workers));
        }
        listening
    }
}

impl Opened {
    /// The generation.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }
}

impl View {
    /// The generation that is served.
    pub fn generation(&self) -> Arc<Generation> {
        self.generations.load_full()
    }

    /// The metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The number of open client connections.
    pub fn connections_open(&self) -> usize {
        self.connections_open.load(Ordering::Relaxed)
    }

    /// The number of workers.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Listens to the access log from now on, also while it is off.
    pub fn tail(&self) -> access_log::Listener {
        self.tail.listen()
    }

    /// The number of listeners to the access log.
    pub fn tail_listeners(&self) -> usize {
        self.tail.listeners()
    }

    /// Lines that did not reach the access log.
    pub fn log_lines_lost(&self) -> Lost {
        self.losses.so_far()
    }
}

/// Prepares services for requests, and follows their standing from now on.
fn make_ready(generation: &Generation, control: &Runtime, notices: &mpsc::WeakSender<Notice>) {
    for state in generation.services() {
        state.prepare();
        panic_mode::start(state, control, notices);
    }
}

/// Starts the tasks of new services. Those of unchanged services keep running; those of removed ones end when the services
/// are retired.
fn start_tasks(discovery: &Discovery, checks: &Checks, generation: &Generation) {
    for state in generation.services() {
        discovery.start(state);
        if let Err(error) = checks.begin(state) {
            let name = &state.service().name;
            log::warn(&format!("the endpoints of `{name}` are not checked: {error}"));
        }
    }
}

/// Warns about endpoint names that do not resolve.
fn warn_unresolved(unresolved: &[String]) {
    const SHOWN: usize = 10;
    for name in unresolved.iter().take(SHOWN) {
        log::warn(&format!(
            "the endpoint name `{name}` does not resolve; it is looked up again every few seconds"
        ));
    }
    if unresolved.len() > SHOWN {
        log::warn(&format!(
            "and {} more names do not resolve",
            unresolved.len() - SHOWN
        ));
    }
}

/// The configured number of workers; by default one per core.
fn worker_count(settings: &Settings) -> usize {
    let cores = || thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    settings.workers.map_or_else(cores, std::num::NonZeroUsize::get)
}
