//! The streams of a connection to a service, counted.

use std::cell::Cell;
use std::rc::Rc;

use tokio::time::Instant;
use waypost_wire::tls_alert::TlsAlert;

use crate::permits::Permit;

/// Counts the streams of a connection.
#[derive(Debug)]
pub(super) struct StreamCount {
    /// Open streams.
    active: Cell<usize>,
    /// Streams opened in all.
    opened: Cell<u64>,
    /// When the last stream ended, or the connection began.
    idle_since: Cell<Instant>,
    is_closed: Cell<bool>,
    /// The TLS alert that ended the connection.
    alert: Cell<Option<TlsAlert>>,
    _permit: Option<Permit>,
}

/// The slot of one stream, given back when it ends.
#[derive(Debug)]
pub(super) struct StreamSlot(Rc<StreamCount>);

impl StreamCount {
    /// For a new connection, which holds `permit`.
    pub(super) fn new(permit: Option<Permit>) -> Self {
        Self {
            active: Cell::new(0),
            opened: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            is_closed: Cell::new(false),
            alert: Cell::new(None),
            _permit: permit,
        }
    }

    /// Takes a slot, of at most `max`; also returns true if there were others before.
    pub(super) fn open(self: &Rc<Self>, max: usize) -> Option<(StreamSlot, bool)> {
        if self.is_closed.get() || self.active.get() >= max {
            return None;
        }
        self.active.set(self.active.get() + 1);
        let reused = self.opened.replace(self.opened.get() + 1) > 0;
        Some((StreamSlot(Rc::clone(self)), reused))
    }

    /// Lets no further stream begin.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
    }

    /// Notes the TLS alert that ended the connection.
    pub(super) fn note_alert(&self, alert: TlsAlert) {
        self.alert.set(Some(alert));
    }

    pub(super) fn alert(&self) -> Option<TlsAlert> {
        self.alert.get()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.active.get() == 0
    }

    pub(super) fn idle_since(&self) -> Instant {
        self.idle_since.get()
    }
}

impl StreamSlot {
    /// The TLS alert that ended the connection.
    pub(super) fn alert(&self) -> Option<TlsAlert> {
        self.0.alert()
    }

    /// Lets no further stream begin on the connection, as the service goes away.
    pub(super) fn close_connection(&self) {
        self.0.close();
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
        self.0.idle_since.set(Instant::now());
    }
}
