//! The control of the data plane: starting it, changing its plan, draining it.

pub(crate) mod descriptors;

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
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

use waypost_transport::sockets;
use waypost_upstream::discovery;
use waypost_upstream::notice::Notice;
use waypost_upstream::service::ServiceState;

use crate::gateway::descriptors::descriptors;
use crate::generation::{Generation, ListenerId};
use crate::listen::accept::Listening;
use crate::local::Shared;
use crate::local::reclaim::Reclaimer;
use crate::observe::access_log::{Losses, Lost, Writer};
use crate::observe::log;
use crate::observe::metrics::Metrics;
use crate::observe::metrics::ending::Ending;
use crate::worker::{self, Command, Handle};

/// How long a change waits for the names in it.
const RESOLVE_PATIENCE: Duration = Duration::from_millis(500);

/// How long the last lines of the access log may take; a destination that blocks must not keep the gateway.
const LOG_PATIENCE: Duration = Duration::from_secs(1);

/// How many notices wait to be taken; what goes beyond is not told.
const NOTICES_WAITING: usize = 1024;

/// A running data plane.
pub struct Gateway {
    generations: Arc<ArcSwap<Generation>>,
    metrics: Arc<Metrics>,
    connections_open: Arc<AtomicUsize>,
    losses: Losses,
    notices: Option<mpsc::Receiver<Notice>>,
    workers: Vec<Handle>,
    listeners: Vec<Open>,
    control: Runtime,
    log: Option<Writer>,
    reclaimer: Reclaimer,
}

/// A look at a running data plane, for whoever only wants to know.
#[derive(Debug, Clone)]
pub struct View {
    generations: Arc<ArcSwap<Generation>>,
    metrics: Arc<Metrics>,
    connections_open: Arc<AtomicUsize>,
    workers: usize,
    losses: Losses,
}

/// A listener that is open.
#[derive(Debug)]
struct Open {
    id: ListenerId,
    address: SocketAddr,
}

/// Why a plan could not be taken into service. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An address cannot be listened on.
    #[error("cannot listen on {bind}: {error}")]
    Listen {
        /// The address as written.
        bind: Box<str>,
        /// Why.
        error: io::Error,
    },
    /// A worker, the log's writer, or who lets go of what was replaced cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(io::Error),
}

/// A listener that has been opened, and where: port 0 has become a real one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listened {
    /// The address.
    pub address: SocketAddr,
    /// `https` where clients speak TLS, else `http`.
    pub scheme: &'static str,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut as the time was up.
    pub cut: usize,
    /// Lines that never reached the access log.
    pub lost: Lost,
}

impl Gateway {
    /// Starts serving `generation`. The control's work runs on `control`.
    ///
    /// Returns once clients are accepted, with the listeners in order of declaration.
    ///
    /// # Errors
    /// When an address cannot be listened on, or no thread can be started.
    pub async fn start(
        generation: Generation,
        control: Runtime,
    ) -> Result<(Self, Vec<Listened>), ApplyError> {
        let settings = generation.plan().settings().clone();
        let count = workers_wanted(&settings);
        let opened = open_all(generation.listeners(), count, &[])?;
        warn_of_names(&discovery::resolve(generation.services()).await);

        let generations = Arc::new(ArcSwap::from_pointee(generation));
        let (log, rings) =
            Writer::start(count, settings.access_log, log::warn).map_err(ApplyError::Thread)?;
        let (sender, notices) = mpsc::channel(NOTICES_WAITING);
        let descriptors = descriptors();
        let reclaimer = Reclaimer::start().map_err(ApplyError::Thread)?;
        let shared = Shared {
            generations: Arc::clone(&generations),
            connections_max: descriptors.clients,
            idle_max: descriptors.idle.div_ceil(count),
            connections_open: Arc::new(AtomicUsize::new(0)),
            notices: sender,
            reclaimer: reclaimer.clone(),
        };
        let (metrics, recorders) = Metrics::new(count);
        let connections_open = Arc::clone(&shared.connections_open);
        let workers: io::Result<Vec<Handle>> = rings
            .into_iter()
            .zip(recorders)
            .enumerate()
            .map(|(index, (ring, recorder))| worker::start(index, shared.clone(), ring, recorder))
            .collect();
        let mut gateway = Self {
            generations,
            metrics,
            connections_open,
            losses: log.losses(),
            notices: Some(notices),
            workers: workers.map_err(ApplyError::Thread)?,
            listeners: Vec::new(),
            control,
            log: Some(log),
            reclaimer,
        };
        let listened = gateway.accept_on(opened);
        gateway.start_tasks(&gateway.generation());
        Ok((gateway, listened))
    }

    /// Puts `generation` in the place of the one that is served; `ending` is what ends with that. Requests under way keep theirs.
    ///
    /// Returns the listeners that were added.
    ///
    /// # Errors
    /// When a listener that is new cannot be opened. Nothing has changed then.
    pub async fn apply(
        &mut self,
        generation: Generation,
        ending: &Ending,
    ) -> Result<Vec<Listened>, ApplyError> {
        let before = self.generations.load_full();
        let generation = generation.following(&before);
        let is_new = |id: ListenerId| before.listener(id).is_none();
        let added = generation.listeners().filter(|(id, _)| is_new(*id));
        // A listener that moves to another address of its port takes the port over from itself.
        let leaving = self
            .listeners
            .iter()
            .filter(|open| generation.listener(open.id).is_none());
        let leaving: Vec<u16> = leaving.map(|open| open.address.port()).collect();
        let opened = open_all(added, self.workers.len(), &leaving)?;
        let unresolved: Vec<Arc<ServiceState>> = generation
            .services()
            .iter()
            .filter(|state| !state.has_endpoints())
            .cloned()
            .collect();
        // A resolver that does not answer must not keep the change from coming into force.
        let resolved = timeout(RESOLVE_PATIENCE, discovery::resolve(&unresolved)).await;
        warn_of_names(&resolved.unwrap_or_default());

        let generation = Arc::new(generation);
        self.generations.store(Arc::clone(&generation));
        let kept: HashSet<*const ServiceState> = generation.services().iter().map(Arc::as_ptr).collect();
        for state in before.services() {
            if !kept.contains(&Arc::as_ptr(state)) {
                state.retire();
            }
        }
        let listened = self.accept_on(opened);
        for open in self
            .listeners
            .extract_if(.., |open| generation.listener(open.id).is_none())
        {
            for worker in &self.workers {
                let _ = worker.commands.send(Command::Close(open.id));
            }
        }
        let settings = generation.plan().settings();
        if settings.access_log != before.plan().settings().access_log {
            self.reopen_log();
        }
        let changed = settings.workers != before.plan().settings().workers;
        if changed && workers_wanted(settings) != self.workers.len() {
            log::warn("a changed `workers` takes effect at the next start");
        }
        self.start_tasks(&generation);
        self.metrics.end(ending, &generation);
        self.reclaimer.generation(before);
        Ok(listened)
    }

    /// The generation that is served.
    pub fn generation(&self) -> Arc<Generation> {
        self.generations.load_full()
    }

    /// A look at it, which lasts beyond it.
    pub fn view(&self) -> View {
        View {
            generations: Arc::clone(&self.generations),
            metrics: Arc::clone(&self.metrics),
            connections_open: Arc::clone(&self.connections_open),
            workers: self.workers.len(),
            losses: self.losses.clone(),
        }
    }

    /// What happens in the data plane from now on. Whoever asks first gets it.
    pub fn take_notices(&mut self) -> Option<mpsc::Receiver<Notice>> {
        self.notices.take()
    }

    /// Where the listeners are, by the text of their `bind`, in order of declaration.
    pub fn listening(&self) -> Vec<(String, String)> {
        let generation = self.generation();
        let open = generation.listeners().filter_map(|(id, listener)| {
            let open = self.listeners.iter().find(|open| open.id == id)?;
            Some((listener.bind.text.to_string(), open.address.to_string()))
        });
        open.collect()
    }

    /// Opens the access log anew, so that a rotated file is let go of.
    pub fn reopen_log(&self) {
        if let Some(log) = &self.log {
            log.redirect(self.generation().plan().settings().access_log.clone());
        }
    }

    /// Stops accepting, lets requests end for up to `patience`, then cuts what is left.
    pub async fn drain(mut self, patience: Duration) -> Drained {
        let mut waits = Vec::new();
        for worker in &self.workers {
            let (done, wait) = oneshot::channel();
            let _ = worker.commands.send(Command::Drain { done });
            waits.push(wait);
        }
        let all = async {
            for wait in waits {
                let _ = wait.await;
            }
        };
        let _ = timeout(patience, all).await;
        let mut cut = 0;
        for worker in self.workers.drain(..) {
            let (answer, left) = oneshot::channel();
            let _ = worker.commands.send(Command::Stop(answer));
            cut += left.await.unwrap_or(0);
            let _ = tokio::task::spawn_blocking(move || worker.thread.join()).await;
        }
        for state in self.generation().services() {
            state.retire();
        }
        let lost = match self.log.take() {
            Some(log) => tokio::task::spawn_blocking(move || log.finish(LOG_PATIENCE)).await,
            None => Ok(Lost::default()),
        };
        Drained {
            cut,
            lost: lost.unwrap_or_default(),
        }
    }

    fn accept_on(&mut self, opened: Vec<Opened>) -> Vec<Listened> {
        let mut listened = Vec::new();
        for Opened {
            id,
            listener,
            address,
            sockets,
        } in opened
        {
            let open = Arc::new(AtomicUsize::new(0));
            for (worker, socket) in self.workers.iter().zip(sockets) {
                let listening = Listening {
                    id,
                    listener: Arc::clone(&listener),
                    socket,
                    open: Arc::clone(&open),
                };
                let _ = worker.commands.send(Command::Listen(listening));
            }
            self.listeners.push(Open { id, address });
            let scheme = listener.scheme();
            listened.push(Listened { address, scheme });
        }
        listened
    }

    /// Starts the tasks of services that are new. Those of unchanged services run on; those that are gone were ended when
    /// they were retired.
    fn start_tasks(&self, generation: &Generation) {
        for state in generation.services() {
            discovery::start(state, &self.control);
        }
    }
}

impl View {
    /// The generation that is served.
    pub fn generation(&self) -> Arc<Generation> {
        self.generations.load_full()
    }

    /// What the data plane counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How many clients are connected.
    pub fn connections_open(&self) -> usize {
        self.connections_open.load(Ordering::Relaxed)
    }

    /// How many workers serve them.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Lines that have not reached the access log.
    pub fn log_lines_lost(&self) -> Lost {
        self.losses.so_far()
    }
}

/// Says which names of endpoints have no address; they are asked for again and again.
fn warn_of_names(unresolved: &[String]) {
    const SHOWN: usize = 10;
    for name in unresolved.iter().take(SHOWN) {
        log::warn(&format!(
            "the endpoint name `{name}` does not resolve; it is looked up again every second"
        ));
    }
    if unresolved.len() > SHOWN {
        log::warn(&format!(
            "and {} more names do not resolve",
            unresolved.len() - SHOWN
        ));
    }
}

/// How many workers the settings ask for.
fn workers_wanted(settings: &Settings) -> usize {
    let cores = || thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    settings.workers.map_or_else(cores, std::num::NonZeroUsize::get)
}

struct Opened {
    id: ListenerId,
    listener: Arc<Listener>,
    address: SocketAddr,
    sockets: Vec<std::net::TcpListener>,
}

fn open_all<'a>(
    listeners: impl Iterator<Item = (ListenerId, &'a Arc<Listener>)>,
    workers: usize,
    leaving: &[u16],
) -> Result<Vec<Opened>, ApplyError> {
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
            Ok(Opened {
                id,
                listener: Arc::clone(listener),
                address,
                sockets,
            })
        })
        .collect()
}
