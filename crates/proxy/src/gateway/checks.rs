//! The thread that checks endpoints. It starts with the first service that has checks.

use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use waypost_transport::clock::{Clock, Ticks};
use waypost_upstream::checks;
use waypost_upstream::local::Upstreams;
use waypost_upstream::notice::Notice;
use waypost_upstream::service::ServiceState;

use crate::priority::{Priority, lower};

/// The checks of all services.
#[derive(Debug)]
pub(super) struct Checks {
    /// The thread's inbox, once it is started.
    inbox: OnceLock<mpsc::UnboundedSender<Arc<ServiceState>>>,
    notices: mpsc::WeakSender<Notice>,
}

impl Checks {
    /// No checks yet. Changes of health are sent to `notices`.
    pub(super) fn new(notices: mpsc::WeakSender<Notice>) -> Self {
        Self {
            inbox: OnceLock::new(),
            notices,
        }
    }

    /// Begins the checks of a service, if it has any and they have not begun. They end when it is retired.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn begin(&self, state: &Arc<ServiceState>) -> io::Result<()> {
        if !state.begin_checks() {
            return Ok(());
        }
        let inbox = match self.inbox.get() {
            Some(inbox) => inbox,
            None => {
                let started = start(self.notices.clone())?;
                self.inbox.get_or_init(|| started)
            }
        };
        let sent = inbox.send(Arc::clone(state));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Starts the thread. It ends with its inbox.
fn start(notices: mpsc::WeakSender<Notice>) -> io::Result<mpsc::UnboundedSender<Arc<ServiceState>>> {
    let (services, inbox) = mpsc::unbounded_channel();
    let (started, outcome) = std::sync::mpsc::channel();
    thread::Builder::new().name("checks".to_owned()).spawn(move || {
        // Requests of clients must not wait for it.
        lower(Priority::Low);
        // A local runtime is built on the thread that drives it.
        let ticks = Ticks::default();
        let counted = ticks.clone();
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .on_thread_unpark(move || counted.add())
            .build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => {
                let _ = started.send(Ok(()));
                // Without workers, no one hears of endpoints.
                let notices = notices.upgrade().unwrap_or_else(|| mpsc::channel(1).0);
                // The checks themselves keep their connections.
                let upstreams = Upstreams::new(Clock::new(ticks), 0, notices.clone());
                let rng = std::cell::RefCell::new(fastrand::Rng::new());
                let roll = move || rng.borrow_mut().u64(..);
                runtime.block_on(checks::run(upstreams, inbox, notices, roll));
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    })?;
    let outcome = outcome.recv();
    outcome.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
    Ok(services)
}
