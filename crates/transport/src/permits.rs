//! Counted permits: of one worker, and of all workers for open connections.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::OwnedSemaphorePermit;

/// A pool of permits: `taken <= max`.
#[derive(Debug)]
pub struct Permits {
    taken: Rc<Cell<usize>>,
    max: usize,
}

/// A permit, returned to its pool on drop.
#[derive(Debug)]
pub struct Permit(Rc<Cell<usize>>);

/// A permit for an open connection, where all workers together may have so many. Those that are idle are counted, as
/// they can be closed for another. It moves with its connection, from exchange to exchange, and is small for it.
#[derive(Debug)]
pub struct OpenPermit(Box<Open>);

#[derive(Debug)]
struct Open {
    permit: Option<OwnedSemaphorePermit>,
    idle: Arc<AtomicUsize>,
    is_idle: Cell<bool>,
}

impl Permits {
    /// Creates a pool of `max` permits.
    pub fn new(max: usize) -> Self {
        Self {
            taken: Rc::default(),
            max,
        }
    }

    /// Takes a permit, or returns `None` if all are taken.
    pub fn take(&self) -> Option<Permit> {
        let taken = self.taken.get();
        if taken >= self.max {
            return None;
        }
        self.taken.set(taken + 1);
        Some(Permit(Rc::clone(&self.taken)))
    }

    /// The number of permits taken.
    pub fn taken(&self) -> usize {
        self.taken.get()
    }
}

impl OpenPermit {
    /// A permit of a connection in use; `idle` counts the idle ones of its limit.
    pub fn new(permit: OwnedSemaphorePermit, idle: Arc<AtomicUsize>) -> Self {
        Self(Box::new(Open {
            permit: Some(permit),
            idle,
            is_idle: Cell::new(false),
        }))
    }

    /// Notes that the connection is idle, or in use.
    pub fn set_idle(&self, is_idle: bool) {
        self.0.set_idle(is_idle);
    }
}

impl Open {
    fn set_idle(&self, is_idle: bool) {
        // In one order with the count of those that wait for a connection: either the one that waits sees this one as idle,
        // or this one is seen to be wanted.
        match (self.is_idle.replace(is_idle), is_idle) {
            (false, true) => self.idle.fetch_add(1, Ordering::SeqCst),
            (true, false) => self.idle.fetch_sub(1, Ordering::SeqCst),
            (true, true) | (false, false) => 0,
        };
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Who no longer sees it as idle finds the permit given back.
        self.permit = None;
        self.set_idle(false);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    #[test]
    fn permits_are_bounded_and_returned_on_drop() {
        let permits = Permits::new(2);
        let first = permits.take();
        let second = permits.take();
        assert!(first.is_some() && second.is_some() && permits.take().is_none());
        drop(first);
        assert_eq!(permits.taken(), 1);
        assert!(permits.take().is_some());
    }

    #[test]
    fn idle_connections_are_counted_until_they_are_closed() {
        let (open, idle) = (Arc::new(Semaphore::new(2)), Arc::default());
        let permit = || {
            let permit = Arc::clone(&open).try_acquire_owned().ok()?;
            Some(OpenPermit::new(permit, Arc::clone(&idle)))
        };
        let (first, second) = (permit().unwrap(), permit().unwrap());
        first.set_idle(true);
        first.set_idle(true);
        second.set_idle(true);
        second.set_idle(false);
        assert_eq!(idle.load(Ordering::SeqCst), 1);
        assert!(permit().is_none());
        drop(first);
        assert_eq!((idle.load(Ordering::SeqCst), open.available_permits()), (0, 1));
    }
}
