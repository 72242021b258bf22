//! Connections that go first when connections run short: those that linger behind their responses, the oldest first,
//! then those whose clients send a body, the slowest first.
//!
//! A connection is expendable while all of its requests are. All workers share the set, because the one that runs short
//! may have none of them. It is touched only for clients that have kept the gateway waiting, or that linger.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::generation::ListenerId;

/// The expendable connections of all workers.
#[derive(Debug)]
pub(crate) struct Expendables {
    /// The origin of [`Pace::since`].
    began: Instant,
    sets: Mutex<Sets>,
}

#[derive(Debug, Default)]
struct Sets {
    next: u64,
    /// The oldest first.
    lingering: BTreeMap<u64, Arc<Entry>>,
    sending: BTreeMap<u64, Arc<Entry>>,
}

/// An expendable connection.
#[derive(Debug)]
struct Entry {
    listener: ListenerId,
    lingers: bool,
    pace: Pace,
    is_displaced: AtomicBool,
    /// Wakes a task of the connection.
    waker: Waker,
    closed: Notify,
}

/// The pace of a connection's uploads.
#[derive(Debug, Default)]
struct Pace {
    bytes: AtomicU64,
    /// Milliseconds that the gateway waited for them, up to `since`.
    waited: AtomicU64,
    /// The beginning of the current wait, in milliseconds.
    since: AtomicU64,
}

/// A connection that has to go.
#[derive(Debug)]
pub(crate) struct Displaced(Arc<Entry>);

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Claim {
    all: Arc<Expendables>,
    listener: ListenerId,
    /// The number of requests in progress.
    open: Cell<usize>,
    /// The expendable ones among them.
    requests: RefCell<Vec<Request>>,
    /// The entry, by its number, while all requests are expendable.
    entry: RefCell<Option<(u64, Arc<Entry>)>>,
    /// The entry by which the connection was displaced.
    displaced: RefCell<Option<Arc<Entry>>>,
}

/// An expendable request.
#[derive(Debug)]
struct Request {
    number: u64,
    lingers: bool,
    bytes: u64,
    waited: Duration,
    since: Instant,
    waker: Waker,
}

/// The place of an expendable request; given up when dropped.
#[derive(Debug)]
pub(crate) struct Expendable {
    claim: Rc<Claim>,
    number: u64,
}

impl Default for Expendables {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            sets: Mutex::default(),
        }
    }
}

impl Expendables {
    fn lock(&self) -> MutexGuard<'_, Sets> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds from the origin to `time`.
    fn millis(&self, time: Instant) -> u64 {
        let since = time.saturating_duration_since(self.began);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Displaces a connection, of this listener if there is one.
    pub(crate) fn make_room(&self, listener: Option<ListenerId>) -> Option<Displaced> {
        let now = self.millis(Instant::now());
        let mut sets = self.lock();
        let fits = |entry: &Entry| listener.is_none_or(|listener| listener == entry.listener);
        let oldest = sets.lingering.iter().find(|(_, entry)| fits(entry));
        let entry = if let Some((&number, _)) = oldest {
            sets.lingering.remove(&number)?
        } else {
            let sending = sets.sending.iter().filter(|(_, entry)| fits(entry));
            let slowest = sending.max_by(|(_, a), (_, b)| a.pace.slowness(&b.pace, now));
            let number = *slowest?.0;
            sets.sending.remove(&number)?
        };
        drop(sets);
        entry.is_displaced.store(true, Ordering::Release);
        entry.waker.wake_by_ref();
        Some(Displaced(entry))
    }
}

impl Sets {
    fn of(&mut self, lingers: bool) -> &mut BTreeMap<u64, Arc<Entry>> {
        if lingers {
            &mut self.lingering
        } else {
            &mut self.sending
        }
    }
}

impl Pace {
    /// Compares the time waited for each byte, at `now`.
    fn slowness(&self, other: &Self, now: u64) -> std::cmp::Ordering {
        let waited = |pace: &Self| {
            let current = now.saturating_sub(pace.since.load(Ordering::Relaxed));
            u128::from(pace.waited.load(Ordering::Relaxed)) + u128::from(current)
        };
        let bytes = |pace: &Self| u128::from(pace.bytes.load(Ordering::Relaxed)) + 1;
        (waited(self) * bytes(other)).cmp(&(waited(other) * bytes(self)))
    }
}

impl Displaced {
    /// Completes when the connection is closed.
    pub(crate) async fn closed(&self) {
        self.0.closed.notified().await;
    }
}

impl Claim {
    /// The state of a new connection, of HTTP/1: it has one request at a time.
    pub(crate) fn new(all: &Arc<Expendables>, listener: ListenerId) -> Rc<Self> {
        Rc::new(Self {
            all: Arc::clone(all),
            listener,
            open: Cell::new(1),
            requests: RefCell::default(),
            entry: RefCell::default(),
            displaced: RefCell::default(),
        })
    }

    /// Sets the number of requests in progress.
    pub(crate) fn set_open(&self, open: usize) {
        self.open.set(open);
        if !self.requests.borrow().is_empty() {
            self.update();
        }
    }

    /// Adds a request of the task with this waker. It `lingers` if it has its response; otherwise its body is waited for.
    pub(crate) fn add(self: &Rc<Self>, waker: &Waker, lingers: bool) -> Expendable {
        let number = {
            let mut sets = self.all.lock();
            sets.next += 1;
            sets.next
        };
        self.requests.borrow_mut().push(Request {
            number,
            lingers,
            bytes: 0,
            waited: Duration::ZERO,
            since: Instant::now(),
            waker: waker.clone(),
        });
        self.update();
        Expendable {
            claim: Rc::clone(self),
            number,
        }
    }

    /// Returns true if the connection has to go.
    pub(crate) fn is_displaced(&self) -> bool {
        if self.displaced.borrow().is_some() {
            return true;
        }
        let entry = self.entry.borrow();
        let Some((_, entry)) = entry
            .as_ref()
            .filter(|(_, entry)| entry.is_displaced.load(Ordering::Acquire))
        else {
            return false;
        };
        *self.displaced.borrow_mut() = Some(Arc::clone(entry));
        for request in &*self.requests.borrow() {
            request.waker.wake_by_ref();
        }
        true
    }

    /// Reports that the connection is closed, and counts no more.
    pub(crate) fn close(&self) {
        self.set_open(0);
        if self.is_displaced()
            && let Some(entry) = &*self.displaced.borrow()
        {
            entry.closed.notify_one();
        }
    }

    /// Adds the connection to the set, or takes it out.
    fn update(&self) {
        if self.is_displaced() {
            return;
        }
        let requests = self.requests.borrow();
        let last = requests.last().filter(|_| requests.len() == self.open.get());
        let lingers = requests.iter().all(|request| request.lingers);
        let mut entry = self.entry.borrow_mut();
        if let Some((number, present)) =
            entry.take_if(|(_, entry)| last.is_none() || entry.lingers != lingers)
        {
            let removed = self.all.lock().of(present.lingers).remove(&number);
            if removed.is_none() {
                // It was displaced in this very moment.
                *entry = Some((number, present));
                return;
            }
        }
        if let (None, Some(last)) = (&*entry, last) {
            let added = Arc::new(Entry {
                listener: self.listener,
                lingers,
                pace: Pace::default(),
                is_displaced: AtomicBool::new(false),
                waker: last.waker.clone(),
                closed: Notify::new(),
            });
            let mut sets = self.all.lock();
            sets.next += 1;
            let number = sets.next;
            sets.of(lingers).insert(number, Arc::clone(&added));
            *entry = Some((number, added));
        }
        if let Some((_, entry)) = &*entry {
            // The requests of a connection count together.
            let bytes = requests.iter().map(|request| request.bytes).sum();
            let slowest = requests.iter().max_by_key(|request| request.waited);
            let pace = &entry.pace;
            pace.bytes.store(bytes, Ordering::Relaxed);
            if let Some(Request { waited, since, .. }) = slowest {
                let waited = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                pace.waited.store(waited, Ordering::Relaxed);
                pace.since.store(self.all.millis(*since), Ordering::Relaxed);
            }
        }
    }
}

impl Expendable {
    /// Notes the pace of the upload: its bytes, the time waited for them, and since when it is waited for the next.
    pub(crate) fn note(&self, bytes: u64, waited: Duration, since: Instant) {
        let mut requests = self.claim.requests.borrow_mut();
        let Some(request) = requests.iter_mut().find(|request| request.number == self.number) else {
            return;
        };
        if (request.bytes, request.since) != (bytes, since) {
            (request.bytes, request.waited, request.since) = (bytes, waited, since);
            drop(requests);
            self.claim.update();
        }
    }

    /// Returns true if the connection has to go. Its task is woken then.
    pub(crate) fn is_displaced(&self) -> bool {
        self.claim.is_displaced()
    }
}

impl Drop for Expendable {
    fn drop(&mut self) {
        let mut requests = self.claim.requests.borrow_mut();
        requests.retain(|request| request.number != self.number);
        drop(requests);
        self.claim.update();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn claims<const N: usize>() -> (Arc<Expendables>, [Rc<Claim>; N]) {
        let all = Arc::default();
        let claims = std::array::from_fn(|listener| Claim::new(&all, ListenerId(listener as u32)));
        (all, claims)
    }

    fn add(claim: &Rc<Claim>, lingers: bool) -> Expendable {
        claim.add(Waker::noop(), lingers)
    }

    #[test]
    fn lingering_connections_go_first_then_the_slowest() {
        let (all, [fast, slow, old, new]) = claims();
        let since = Instant::now();
        let fast_upload = add(&fast, false);
        fast_upload.note(1 << 20, SECOND, since);
        let slow_upload = add(&slow, false);
        slow_upload.note(20, 20 * SECOND, since);
        let (_old_lingers, _new_lingers) = (add(&old, true), add(&new, true));
        for (place, claim) in [&old, &new, &slow, &fast].into_iter().enumerate() {
            assert!(!claim.is_displaced());
            assert!(all.make_room(None).is_some());
            assert!(claim.is_displaced(), "{place}");
        }
        assert!(all.make_room(None).is_none());
    }

    #[test]
    fn only_connections_of_the_listener_are_displaced() {
        let (all, [first, second]) = claims();
        let (_a, _b) = (add(&first, true), add(&second, false));
        assert!(all.make_room(Some(ListenerId(1))).is_some());
        assert!(second.is_displaced() && !first.is_displaced());
        assert!(all.make_room(Some(ListenerId(1))).is_none());
    }

    #[test]
    fn a_connection_is_expendable_while_all_its_requests_are() {
        let (all, [claim]) = claims();
        claim.set_open(2);
        let first = add(&claim, false);
        assert!(all.make_room(None).is_none());
        let second = add(&claim, true);
        claim.set_open(3);
        assert!(all.make_room(None).is_none());
        claim.set_open(2);
        drop(second);
        assert!(all.make_room(None).is_none());
        let _second = add(&claim, false);
        assert!(all.make_room(None).is_some());
        assert!(first.is_displaced());
        drop(first);
        assert!(claim.is_displaced(), "it stays displaced");
    }

    #[tokio::test]
    async fn the_end_of_a_displaced_connection_is_reported() {
        let (all, [claim]) = claims();
        let lingering = add(&claim, true);
        let displaced = all.make_room(None).unwrap();
        drop(lingering);
        claim.close();
        displaced.closed().await;
    }
}
