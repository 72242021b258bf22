//! The connection slots of a worker, which count its client connections and wake them all.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};

use tokio::sync::Notify;

use crate::local::expendable::Claim;

/// A worker's connection slots.
#[derive(Default)]
pub(crate) struct Slots {
    inner: Rc<Inner>,
}

#[derive(Default)]
struct Inner {
    wakers: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
    taken: Cell<usize>,
    emptied: Notify,
}

/// The slot of one connection, freed on drop.
pub(crate) struct ConnectionSlot {
    inner: Rc<Inner>,
    index: usize,
    /// Further counters of open connections that include this one.
    counters: [Arc<AtomicUsize>; 2],
    claim: Rc<Claim>,
}

impl Slots {
    /// Takes a slot for a new connection, which also counts in `counters`.
    pub(crate) fn take(&self, counters: [Arc<AtomicUsize>; 2], claim: Rc<Claim>) -> ConnectionSlot {
        let mut wakers = self.inner.wakers.borrow_mut();
        let index = self.inner.free.borrow_mut().pop().unwrap_or_else(|| {
            wakers.push(None);
            wakers.len() - 1
        });
        self.inner.taken.set(self.inner.taken.get() + 1);
        for counter in &counters {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        ConnectionSlot {
            inner: Rc::clone(&self.inner),
            index,
            counters,
            claim,
        }
    }

    /// The number of connections.
    pub(crate) fn len(&self) -> usize {
        self.inner.taken.get()
    }

    /// Wakes every connection's task, so that it checks whether to close.
    pub(crate) fn wake_all(&self) {
        let wakers: Vec<Waker> = self.inner.wakers.borrow().iter().flatten().cloned().collect();
        for waker in wakers {
            waker.wake();
        }
    }

    /// Completes when there is no connection.
    pub(crate) async fn wait_until_empty(&self) {
        while self.len() > 0 {
            self.inner.emptied.notified().await;
        }
    }
}

impl ConnectionSlot {
    /// The connection's claim to stay when connections run short.
    pub(crate) fn claim(&self) -> &Rc<Claim> {
        &self.claim
    }

    /// Stores the current task's waker for [`Slots::wake_all`]. It stays valid for the life of the task.
    pub(crate) async fn register(&self) {
        poll_fn(|cx| {
            self.inner.wakers.borrow_mut()[self.index] = Some(cx.waker().clone());
            Poll::Ready(())
        })
        .await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.inner.wakers.borrow_mut()[self.index] = None;
        self.inner.free.borrow_mut().push(self.index);
        self.inner.taken.set(self.inner.taken.get() - 1);
        for counter in &self.counters {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
        self.claim.close();
        if self.inner.taken.get() == 0 {
            self.inner.emptied.notify_one();
        }
    }
}
