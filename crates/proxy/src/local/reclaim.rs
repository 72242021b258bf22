//! Letting go of what was replaced, on a thread that nobody waits for.
//!
//! To free the table of 100,000 routes takes milliseconds. A worker that did it would keep its requests waiting.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::generation::Generation;
use crate::observe::metrics::RouteMeters;
use crate::priority::{Priority, lower};

/// How often it is looked whether a replaced generation is still in use.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Where to send what was replaced. The thread behind it ends with the last of these.
#[derive(Debug, Clone)]
pub(crate) struct Reclaimer(Sender<Replaced>);

#[derive(Debug)]
enum Replaced {
    Generation(Arc<Generation>),
    /// What a worker counted the requests of a generation by.
    Meters(RouteMeters),
}

impl Reclaimer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there cannot be one more.
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, inbox) = mpsc::channel();
        thread::Builder::new().name("reclaim".to_owned()).spawn(move || {
            lower(Priority::Lowest);
            reclaim(&inbox);
        })?;
        Ok(Self(sender))
    }

    /// Lets go of a generation once no request holds it any more.
    pub(crate) fn generation(&self, generation: Arc<Generation>) {
        // The thread lasts as long as this.
        let _ = self.0.send(Replaced::Generation(generation));
    }

    /// Lets go of a worker's meters.
    pub(crate) fn meters(&self, meters: RouteMeters) {
        let _ = self.0.send(Replaced::Meters(meters));
    }
}

fn reclaim(inbox: &Receiver<Replaced>) {
    let mut in_use: Vec<Arc<Generation>> = Vec::new();
    loop {
        let replaced = if in_use.is_empty() {
            inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            inbox.recv_timeout(LOOK_AGAIN)
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
