//! The thread that checks endpoints. It starts with the first service that has checks.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;
use waypost_transport::clock::Clock;
use waypost_upstream::checks;
use waypost_upstream::local::Upstreams;
use waypost_upstream::notice::Notice;
use waypost_upstream::service::ServiceState;

use crate::priority::{Priority, lower};
use crate::thread;

/// The checks of all services.
#[derive(Debug)]
pub(super) struct Checks {
    /// The thread's inbox, once it is started.
    inbox: OnceLock<mpsc::UnboundedSender<Arc<ServiceState>>>,
    notices: mpsc::WeakSender<Notice>,
    /// Connections to keep between checks at most.
    kept_max: usize,
}

impl Checks {
    /// No checks yet. Changes of health are sent to `notices`, and so many connections are kept between checks at most.
    pub(super) fn new(notices: mpsc::WeakSender<Notice>, kept_max: usize) -> Self {
        Self {
            inbox: OnceLock::new(),
            notices,
            kept_max,
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
                let started = start(self.notices.clone(), self.kept_max)?;
                self.inbox.get_or_init(|| started)
            }
        };
        let sent = inbox.send(Arc::clone(state));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Starts the thread. It ends with its inbox.
fn start(
    notices: mpsc::WeakSender<Notice>,
    kept_max: usize,
) -> io::Result<mpsc::UnboundedSender<Arc<ServiceState>>> {
    let (services, inbox) = mpsc::unbounded_channel();
    // Requests of clients must not wait for it.
    let prepare = || lower(Priority::Low);
    thread::start("checks".to_owned(), prepare, move |ticks| {
        // Without workers, no one hears of endpoints.
        let notices = notices.upgrade().unwrap_or_else(|| mpsc::channel(1).0);
        let upstreams = Upstreams::new(Clock::new(ticks), kept_max, notices.clone());
        let rng = RefCell::new(fastrand::Rng::new());
        checks::run(upstreams, inbox, notices, move || rng.borrow_mut().u64(..))
    })?;
    Ok(services)
}
