//! Bounded sets whose oldest entry is evicted: the pending handshakes of a listener, and the requests that linger.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::Instant;

/// Entries, the oldest first.
///
/// At the limit, the oldest is evicted in favour of a new one, so that peers that never finish cannot lock others out.
#[derive(Debug, Default)]
pub(crate) struct Evictables {
    entries: RefCell<BTreeMap<u64, Entry>>,
    next: Cell<u64>,
}

#[derive(Debug)]
struct Entry {
    since: Instant,
    evicted: std::sync::Arc<Notify>,
}

/// An entry; removed when dropped.
#[derive(Debug)]
pub(crate) struct Evictable {
    all: Rc<Evictables>,
    number: u64,
    evicted: Pin<Box<OwnedNotified>>,
}

impl Evictables {
    /// Adds an entry, evicting the oldest ones while there are `max` or more.
    pub(crate) fn begin(self: &Rc<Self>, max: usize) -> Evictable {
        let mut entries = self.entries.borrow_mut();
        while entries.len() >= max
            && let Some((_, oldest)) = entries.pop_first()
        {
            oldest.evicted.notify_one();
        }
        let number = self.next.replace(self.next.get() + 1);
        let evicted = std::sync::Arc::<Notify>::default();
        let entry = Entry {
            since: Instant::now(),
            evicted: std::sync::Arc::clone(&evicted),
        };
        entries.insert(number, entry);
        Evictable {
            all: Rc::clone(self),
            number,
            evicted: Box::pin(evicted.notified_owned()),
        }
    }

    /// Evicts the oldest entry, to free its connection slot. Returns false if there is none older than `age`.
    pub(crate) fn make_room(&self, age: Duration) -> bool {
        let mut entries = self.entries.borrow_mut();
        let Some(oldest) = entries.first_entry() else {
            return false;
        };
        let is_old = oldest.get().since.elapsed() >= age;
        if is_old {
            oldest.remove().evicted.notify_one();
        }
        is_old
    }
}

impl Evictable {
    /// Completes when this entry is evicted.
    pub(crate) fn poll_evicted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.evicted.as_mut().poll(cx)
    }
}

impl Drop for Evictable {
    fn drop(&mut self) {
        self.all.entries.borrow_mut().remove(&self.number);
    }
}
