//! Counted permits, bounding a worker's use of a resource.

use std::cell::Cell;
use std::rc::Rc;

/// A pool of permits: `taken <= max`.
#[derive(Debug)]
pub struct Permits {
    taken: Rc<Cell<usize>>,
    max: usize,
}

/// A permit, returned to its pool on drop.
#[derive(Debug)]
pub struct Permit(Rc<Cell<usize>>);

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

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
