//! The pending handshakes of a listener in one worker: PROXY headers and TLS handshakes that are not complete.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Minimum age of a handshake that is evicted when the connection limit is reached.
const EVICTABLE_AGE: Duration = Duration::from_secs(1);

/// Pending handshakes, the oldest first.
///
/// At the limit, the oldest is evicted in favour of a new one, so that clients that never finish a handshake cannot
/// lock others out.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    pending: RefCell<BTreeMap<u64, Pending>>,
    next: Cell<u64>,
}

/// The entry of a pending handshake.
#[derive(Debug)]
struct Pending {
    since: Instant,
    evicted: Rc<Notify>,
}

/// A pending handshake; removed when dropped.
#[derive(Debug)]
pub(crate) struct Handshake {
    all: Rc<Handshakes>,
    number: u64,
    evicted: Rc<Notify>,
}

impl Handshakes {
    /// Registers a handshake, evicting the oldest ones while there are `max` or more.
    pub(crate) fn begin(self: &Rc<Self>, max: usize) -> Handshake {
        let mut pending = self.pending.borrow_mut();
        while pending.len() >= max
            && let Some((_, oldest)) = pending.pop_first()
        {
            oldest.evicted.notify_one();
        }
        let number = self.next.replace(self.next.get() + 1);
        let evicted = Rc::<Notify>::default();
        pending.insert(
            number,
            Pending {
                since: Instant::now(),
                evicted: Rc::clone(&evicted),
            },
        );
        Handshake {
            all: Rc::clone(self),
            number,
            evicted,
        }
    }

    /// Evicts the oldest handshake, to free its connection slot. Returns false if there is none older than
    /// [`EVICTABLE_AGE`].
    pub(crate) fn make_room(&self) -> bool {
        let mut pending = self.pending.borrow_mut();
        let Some(oldest) = pending.first_entry() else {
            return false;
        };
        let is_slow = oldest.get().since.elapsed() >= EVICTABLE_AGE;
        if is_slow {
            oldest.remove().evicted.notify_one();
        }
        is_slow
    }
}

impl Handshake {
    /// Completes when this handshake is evicted.
    pub(crate) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.all.pending.borrow_mut().remove(&self.number);
    }
}
