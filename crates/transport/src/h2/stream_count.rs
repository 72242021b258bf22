//! The streams of a connection to a service, counted.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use tokio::time::Instant;
use waypost_wire::tls_alert::TlsAlert;

use crate::permits::{OpenPermit, Permit};

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
    /// The streams with a request, and true for those whose response has been received to its end.
    ends: RefCell<Vec<(u32, bool)>>,
    _permit: Option<Permit>,
    /// Told whether a stream is open; gone with the connection.
    open: Option<Weak<OpenPermit>>,
}

/// The slot of one stream, given back when it ends.
#[derive(Debug)]
pub(super) struct StreamSlot {
    streams: Rc<StreamCount>,
    /// The stream's identifier, once its request is sent.
    id: Option<u32>,
}

impl StreamCount {
    /// For a new connection, which holds `permit`, and as long as it is open `open`.
    pub(super) fn new(permit: Option<Permit>, open: Option<Weak<OpenPermit>>) -> Self {
        Self {
            active: Cell::new(0),
            opened: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            is_closed: Cell::new(false),
            alert: Cell::new(None),
            ends: RefCell::default(),
            _permit: permit,
            open,
        }
    }

    /// Tells that the connection has become idle, or is in use again.
    fn set_idle(&self, is_idle: bool) {
        if let Some(open) = self.open.as_ref().and_then(Weak::upgrade) {
            open.set_idle(is_idle);
        }
    }

    /// Takes a slot, of at most `max`; also returns true if there were others before.
    pub(super) fn open(self: &Rc<Self>, max: usize) -> Option<(StreamSlot, bool)> {
        if self.is_closed.get() || self.active.get() >= max {
            return None;
        }
        self.active.set(self.active.get() + 1);
        self.set_idle(false);
        let reused = self.opened.replace(self.opened.get() + 1) > 0;
        let slot = StreamSlot {
            streams: Rc::clone(self),
            id: None,
        };
        Some((slot, reused))
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

    /// Notes that the last frame of a stream has been received.
    pub(super) fn note_end(&self, id: u32) {
        if let Some((_, has_ended)) = self.ends.borrow_mut().iter_mut().find(|stream| stream.0 == id) {
            *has_ended = true;
        }
    }

    /// Forgets the ends of all streams, as frames may be lost.
    pub(super) fn forget_ends(&self) {
        self.ends.borrow_mut().clear();
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

/// The use of a connection by one stream.
#[derive(Debug)]
pub struct StreamUse(Rc<StreamCount>);

impl StreamUse {
    /// Notes that the stream is about to end: without others, its connection counts as idle.
    pub fn ends_soon(&self) {
        if self.0.active.get() == 1 {
            self.0.set_idle(true);
        }
    }
}

impl StreamSlot {
    /// The stream's use of its connection.
    pub(super) fn connection_use(&self) -> StreamUse {
        StreamUse(Rc::clone(&self.streams))
    }

    /// The TLS alert that ended the connection.
    pub(super) fn alert(&self) -> Option<TlsAlert> {
        self.streams.alert()
    }

    /// Lets no further stream begin on the connection, as the service goes away.
    pub(super) fn close_connection(&self) {
        self.streams.close();
    }

    /// Names the stream, as its request is sent.
    pub(super) fn begin(&mut self, id: u32) {
        self.id = Some(id);
        self.streams.ends.borrow_mut().push((id, false));
    }

    /// Returns true if the last frame of the stream has been received.
    pub(super) fn has_ended(&self) -> bool {
        let ends = self.streams.ends.borrow();
        ends.iter()
            .any(|(id, has_ended)| self.id == Some(*id) && *has_ended)
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.streams.active.set(self.streams.active.get() - 1);
        self.streams.idle_since.set(Instant::now());
        if self.streams.is_idle() {
            self.streams.set_idle(true);
        }
        let mut ends = self.streams.ends.borrow_mut();
        if let Some(at) = ends.iter().position(|stream| self.id == Some(stream.0)) {
            ends.swap_remove(at);
        }
    }
}
