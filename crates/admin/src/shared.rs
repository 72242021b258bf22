//! What the API and the owner of the gateway share.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::thread;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::mpsc;
use waypost_proxy::gateway::View;
use waypost_proxy::priority::{Priority, lower};
use waypost_upstream::notice::Notice;

use crate::command::Command;
use crate::events::{Events, What};
use crate::problem::Problem;
use crate::report::Report;
use crate::stats::History;

/// How many commands may wait.
const COMMANDS_WAITING: usize = 64;

/// What the API answers from, and where it sends what it cannot answer.
#[derive(Debug)]
pub struct Shared {
    /// The version of the gateway.
    pub version: &'static str,
    /// When it started.
    pub started: Timestamp,
    /// The same, for measuring.
    pub began: Instant,
    view: OnceLock<View>,
    draining: AtomicBool,
    report: RwLock<Report>,
    /// What happens.
    pub events: Events,
    commands: mpsc::Sender<Command>,
    history: Mutex<History>,
    resting: Mutex<BTreeSet<(Arc<str>, SocketAddr)>>,
}

impl Shared {
    /// For a gateway that starts now; the commands come out at the other end.
    pub fn new(version: &'static str, report: Report) -> (Arc<Self>, mpsc::Receiver<Command>) {
        let (commands, inbox) = mpsc::channel(COMMANDS_WAITING);
        let shared = Self {
            version,
            started: Timestamp::now(),
            began: Instant::now(),
            view: OnceLock::new(),
            draining: AtomicBool::new(false),
            report: RwLock::new(report),
            events: Events::default(),
            commands,
            history: Mutex::new(History::new(Instant::now())),
            resting: Mutex::default(),
        };
        (Arc::new(shared), inbox)
    }

    /// Says that the data plane runs.
    pub fn serves(&self, view: View) {
        // It starts once.
        let _ = self.view.set(view);
    }

    /// Says that the gateway is about to stop.
    pub fn drains(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the gateway is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The data plane.
    ///
    /// # Errors
    /// While it starts.
    pub fn view(&self) -> Result<&View, Problem> {
        self.view.get().ok_or_else(|| {
            Problem::new(
                axum::http::StatusCode::SERVICE_UNAVAILABLE,
                "the gateway is about to start",
            )
        })
    }

    /// What the owner says.
    pub fn report(&self) -> RwLockReadGuard<'_, Report> {
        self.report.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what the owner says.
    pub fn update(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.report.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Hands a command to the owner, and waits for what becomes of it.
    ///
    /// # Errors
    /// What the owner says, or that it is about to stop.
    pub async fn ask<T>(
        &self,
        command: impl FnOnce(crate::command::Reply<T>) -> Command,
    ) -> Result<T, Problem> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| Problem::stopping())?;
        answer.await.unwrap_or_else(|_| Err(Problem::stopping()))
    }

    /// The counts of the past.
    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether connections to an endpoint failed lately.
    pub fn rests(&self, service: &Arc<str>, address: SocketAddr) -> bool {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.contains(&(Arc::clone(service), address))
    }

    /// Takes in what the data plane tells, for as long as it does.
    pub async fn take_in(self: Arc<Self>, mut notices: mpsc::Receiver<Notice>) {
        while let Some(notice) = notices.recv().await {
            // Each worker finds out for itself; the first one to do so is news.
            let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
            let news = match notice {
                Notice::EndpointEjected { service, address } => {
                    let is_news = resting.insert((Arc::clone(&service), address));
                    is_news.then(|| What::EndpointLeft {
                        service: service.to_string(),
                        address: address.to_string(),
                    })
                }
                Notice::EndpointRecovered { service, address } => {
                    let is_news = resting.remove(&(Arc::clone(&service), address));
                    is_news.then(|| What::EndpointReturned {
                        service: service.to_string(),
                        address: address.to_string(),
                    })
                }
            };
            drop(resting);
            if let Some(what) = news {
                self.events.tell(what);
            }
        }
    }

    /// Notes the counts now and then, for as long as there is anybody to ask for them.
    ///
    /// To read those of 10,000 routes takes some tens of milliseconds, so it has a thread of its own, which gives way to
    /// requests.
    ///
    /// # Errors
    /// When there cannot be one more thread.
    pub fn keep_history(self: &Arc<Self>) -> io::Result<()> {
        let shared = Arc::downgrade(self);
        let thread = thread::Builder::new().name("history".to_owned());
        thread.spawn(move || {
            lower(Priority::Lowest);
            while let Some(interval) = shared.upgrade().map(|shared| shared.history().interval()) {
                thread::sleep(interval);
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                if let Ok(view) = shared.view() {
                    let now = Instant::now();
                    let reading = view.metrics().read();
                    shared.history().note(now, reading);
                }
            }
        })?;
        Ok(())
    }

    /// Forgets which endpoints of these services rest: they have gone, or begin anew.
    pub fn forget_services<'s>(&self, services: impl Iterator<Item = &'s Arc<str>>) {
        let gone: BTreeSet<&str> = services.map(|name| &**name).collect();
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.retain(|(service, _)| !gone.contains(&**service));
    }
}
