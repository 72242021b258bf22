//! The reclaimer: a thread that frees replaced generations.
//!
//! Freeing the table of 100,000 routes takes milliseconds, which would delay the requests of a worker.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::generation::Generation;
use crate::observe::metrics::RouteMeters;
use crate::priority::{Priority, lower};

/// Interval at which replaced generations are checked for remaining users.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// A handle of the reclaimer thread, which ends when the last handle is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Reclaimer(Sender<Replaced>);

#[derive(Debug)]
enum Replaced {
    Generation(Arc<Generation>),
    /// A worker's meters of a generation.
    Meters(RouteMeters),
}

impl Reclaimer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, inbox) = mpsc::channel();
        thread::Builder::new().name("reclaim".to_owned()).spawn(move || {
            lower(Priority::Lowest);
            reclaim(&inbox);
        })?;
        Ok(Self(sender))
    }

    /// Frees a generation when no request holds it any more.
    pub(crate) fn reclaim_generation(&self, generation: Arc<Generation>) {
        // The thread lives as long as this handle.
        let _ = self.0.send(Replaced::Generation(generation));
    }

    /// Frees a worker's meters.
    pub(crate) fn reclaim_meters(&self, meters: RouteMeters) {
        let _ = self.0.send(Replaced::Meters(meters));
    }
}

fn reclaim(inbox: &Receiver<Replaced>) {
    let mut in_use: Vec<Arc<Generation>> = Vec::new();
    loop {
        let replaced = if in_use.is_empty() {
            inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            inbox.recv_timeout(CHECK_INTERVAL)
        };
        match replaced {
            Ok(Replaced::Generation(generation)) => in_use.push(generation),
            Ok(Replaced::Meters(meters)) => drop(meters),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        in_use.retain(|generation| Arc::strong_count(generation) > 1);
    }
}
