//! State shared by the API and the control plane.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;
use waypost_proxy::gateway::View;
use waypost_proxy::observe::failed::FailedRequest;
use waypost_proxy::priority::{Priority, lower};
use waypost_upstream::notice::Notice;

use crate::command::Command;
use crate::counts::CountsReaders;
use crate::events::{EventKind, Events};
use crate::failures::Failures;
use crate::fleet::{Answered, Answers, FleetView, Question, Reader};
use crate::history::History;
use crate::history::ledger::Ledger;
use crate::problem::Problem;
use crate::reasons::gathered::OfFleet;
use crate::reasons::{Held, Reason};
use crate::report::Report;
use crate::search::index::Indexed;
use crate::timeline::Timeline;
use crate::timeline::lately::Lately;
use crate::timeline::rounds::Rounds;
use crate::timeline::shared::Shared;

/// Maximum number of waiting commands.
const COMMANDS_WAITING: usize = 64;

/// The state behind the API: a view of the data plane, reports of the control plane, and the queue of commands.
#[derive(Debug)]
pub struct AppState {
    /// The version of the gateway.
    pub version: &'static str,
    /// The start time.
    pub started: Timestamp,
    /// The start time on the monotonic clock.
    pub began: Instant,
    view: OnceLock<View>,
    draining: AtomicBool,
    report: RwLock<Report>,
    fleet: OnceLock<Reader>,
    /// True if rollouts go by a clock that only `POST /api/v1/clock` turns. For tests of configs and of the
    /// gateway itself, with `WAYPOST_TEST_CLOCK=1` in the environment.
    pub test_clock: bool,
    /// Events for subscribers.
    pub events: Events,
    commands: mpsc::Sender<Command>,
    history: Mutex<History>,
    ledger: Mutex<Ledger>,
    timeline: Mutex<Timeline>,
    /// Questions to the fleet for such figures.
    pub(crate) rounds: Rounds,
    /// Questions for the figures of routes, by their path.
    pub(crate) rounds_lately: Shared<String, Lately>,
    /// Questions for the health of the fleet.
    pub(crate) rounds_of_health: Shared<(), OfFleet>,
    failures: Mutex<Failures>,
    /// The arms that the leader of the fleet asks for.
    pub(crate) asked: CountsReaders,
    /// The routes as they are searched.
    pub(crate) routes_indexed: Indexed,
    /// Reasons for which the gateway is not quite well.
    pub(crate) reasons_held: Held,
}

impl AppState {
    /// The state of a gateway that starts now, and the receiver of its commands.
    pub fn new(version: &'static str, report: Report) -> (Arc<Self>, mpsc::Receiver<Command>) {
        let (commands, inbox) = mpsc::channel(COMMANDS_WAITING);
        let state = Self {
            version,
            started: Timestamp::now(),
            began: Instant::now(),
            view: OnceLock::new(),
            draining: AtomicBool::new(false),
            report: RwLock::new(report),
            fleet: OnceLock::new(),
            test_clock: std::env::var_os("WAYPOST_TEST_CLOCK").is_some_and(|value| value == "1"),
            events: Events::default(),
            commands,
            history: Mutex::new(History::new(Instant::now())),
            ledger: Mutex::default(),
            timeline: Mutex::default(),
            rounds: Rounds::default(),
            rounds_lately: Shared::default(),
            rounds_of_health: Shared::default(),
            failures: Mutex::default(),
            asked: CountsReaders::default(),
            routes_indexed: Indexed::default(),
            reasons_held: Held::default(),
        };
        (Arc::new(state), inbox)
    }

    /// Sets the view of the data plane once it runs.
    pub fn set_view(&self, view: View) {
        // The data plane starts once.
        let _ = self.view.set(view);
    }

    /// Marks the gateway as stopping.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Returns true if the gateway is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The view of the data plane.
    ///
    /// # Errors
    /// 503 while the data plane starts.
    pub fn view(&self) -> Result<&View, Problem> {
        self.view.get().ok_or_else(|| {
            Problem::new(
                axum::http::StatusCode::SERVICE_UNAVAILABLE,
                "the gateway is starting",
            )
        })
    }

    /// The report of the control plane.
    pub fn report(&self) -> RwLockReadGuard<'_, Report> {
        self.report.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Updates the report of the control plane.
    pub fn update_report(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.report.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Sets the id in the fleet that the gateway belongs to, whether it leads, how to look at that, and how to ask its other
    /// instances for their figures.
    pub fn set_fleet(
        &self,
        id: impl Fn() -> Arc<str> + Send + Sync + 'static,
        leads: impl Fn() -> bool + Send + Sync + 'static,
        look: impl Fn() -> FleetView + Send + Sync + 'static,
        ask: impl Fn(Question) -> Answers + Send + Sync + 'static,
    ) {
        // A gateway belongs to one fleet.
        let _ = self.fleet.set(Reader::new(id, leads, look, ask));
        self.timeline().keep_durations();
    }

    /// Asks the other instances of the fleet for their figures, and reads those of the leader; `None` outside of a fleet.
    pub(crate) async fn ask_others<T>(
        &self,
        question: Question,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Option<Answered<T>> {
        Some(self.fleet.get()?.ask(question, read).await)
    }

    /// The id of this gateway in its fleet, if it belongs to one.
    pub(crate) fn instance(&self) -> Option<Arc<str>> {
        self.fleet.get().map(Reader::id)
    }

    /// Returns true if this gateway leads its fleet.
    pub(crate) fn leads(&self) -> bool {
        self.fleet.get().is_some_and(Reader::leads)
    }

    /// The fleet that the gateway belongs to, if it does.
    pub fn fleet(&self) -> Option<FleetView> {
        self.fleet.get().map(Reader::look)
    }

    /// The reasons for which requests fail, by kind and name: services without endpoints, and routes half of whose requests of the
    /// last minute failed.
    pub fn failing(&self) -> Vec<Reason> {
        let Ok(view) = self.view() else {
            return Vec::new();
        };
        let mut reasons = self.reasons_held.of(&view.generation(), || self.timeline());
        reasons.retain(Reason::is_failing);
        reasons
    }

    /// Sends a command to the control plane and waits for its result.
    ///
    /// # Errors
    /// The problem that the control plane reports, or 503 if it is stopping.
    pub async fn execute<T>(
        &self,
        command: impl FnOnce(crate::command::ReplySender<T>) -> Command,
    ) -> Result<T, Problem> {
        let (reply, result) = tokio::sync::oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| Problem::stopping())?;
        result.await.unwrap_or_else(|_| Err(Problem::stopping()))
    }

    /// Past readings of the counters.
    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Past figures of the other instances of the fleet.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The figures of the last day.
    pub(crate) fn timeline(&self) -> MutexGuard<'_, Timeline> {
        self.timeline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Samples of failed requests.
    pub(crate) fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps samples of failed requests, until the data plane stops.
    pub async fn follow_failed(self: Arc<Self>, mut failed: mpsc::Receiver<FailedRequest>) {
        while let Some(failed) = failed.recv().await {
            self.failures().add(failed);
        }
    }

    /// Hands the notices of the data plane to `log`, and publishes them as events, until it stops.
    pub async fn follow_notices(self: Arc<Self>, mut notices: mpsc::Receiver<Notice>, log: fn(&Notice)) {
        while let Some(notice) = notices.recv().await {
            log(&notice);
            self.events.publish(match notice {
                Notice::EndpointEjected {
                    service,
                    address,
                    cause,
                    duration,
                } => EventKind::EndpointEjected {
                    service: service.to_string(),
                    address: address.to_string(),
                    reason: cause.to_string(),
                    seconds: duration.as_secs_f64(),
                },
                Notice::EndpointRecovered { service, address } => EventKind::EndpointRecovered {
                    service: service.to_string(),
                    address: address.to_string(),
                },
                Notice::PanicEntered {
                    service,
                    available,
                    endpoints,
                } => EventKind::PanicEntered {
                    service: service.to_string(),
                    available,
                    endpoints,
                },
                Notice::PanicLeft {
                    service,
                    available,
                    endpoints,
                } => EventKind::PanicLeft {
                    service: service.to_string(),
                    available,
                    endpoints,
                },
                Notice::EndpointDown {
                    service,
                    address,
                    reason,
                } => EventKind::EndpointDown {
                    service: service.to_string(),
                    address: address.to_string(),
                    reason: format!("check failed: {reason}"),
                },
                Notice::EndpointUp { service, address } => EventKind::EndpointUp {
                    service: service.to_string(),
                    address: address.to_string(),
                },
                Notice::AddressesChanged {
                    service,
                    name,
                    added,
                    removed,
                } => EventKind::AddressesChanged {
                    service: service.to_string(),
                    name: name.to_string(),
                    added: added.iter().map(ToString::to_string).collect(),
                    removed: removed.iter().map(ToString::to_string).collect(),
                },
            });
        }
    }

    /// Records the figures of every second at its end, and every few seconds the history, for the lifetime of this state.
    ///
    /// Reading the counters of 10,000 routes takes tens of milliseconds, so it runs on a thread of its own at the lowest
    /// priority.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn record_timeline(self: &Arc<Self>) -> io::Result<()> {
        let state = Arc::downgrade(self);
        let thread = thread::Builder::new().name("timeline".to_owned());
        thread.spawn(move || {
            lower(Priority::Lowest);
            let mut interval = Timeline::interval(0);
            loop {
                let millis = Timestamp::now().subsec_millisecond().unsigned_abs();
                let begun = Duration::from_millis(millis.into());
                thread::sleep(interval.saturating_sub(begun));
                let Some(state) = state.upgrade() else {
                    return;
                };
                state.routes_indexed.tidy();
                state.asked.tidy(Instant::now());
                if let Ok(view) = state.view() {
                    let swept = view.metrics().sweep();
                    interval = Timeline::interval(view.metrics().series());
                    // The second that has just ended.
                    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or(1) - 1;
                    state.timeline().record(now, &swept);
                    drop(swept);
                    state.record_history(view);
                }
            }
        })?;
        Ok(())
    }

    /// Records the history, if it is time.
    fn record_history(&self, view: &View) {
        let now = Instant::now();
        if self.history().is_due(now) {
            let changed = view.metrics().changed(self.history().wants_all());
            self.history().record(now, changed.series(), changed.readings());
        }
    }
}
