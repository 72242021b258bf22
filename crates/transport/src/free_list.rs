//! A free list of boxed values.

use std::cell::{Cell, RefCell};

/// Maximum number of boxes in a list.
pub const KEPT_MAX: usize = 1024;
/// Maximum number of boxes freed per trim, as requests wait meanwhile.
const TRIMMED_MAX: usize = 32;

/// Unused boxes, reused last-in first-out: the box used last is the most likely to be in a CPU cache.
#[derive(Debug)]
pub struct FreeList<T> {
    kept: RefCell<Vec<Box<T>>>,
    /// The lowest `kept.len()` since the last [`FreeList::trim`]: `fewest <= kept.len()`.
    fewest: Cell<usize>,
}

impl<T> Default for FreeList<T> {
    fn default() -> Self {
        Self {
            kept: RefCell::default(),
            fewest: Cell::new(0),
        }
    }
}

impl<T: Default> FreeList<T> {
    /// Takes a box from the list, or allocates one.
    pub fn take(&self) -> Box<T> {
        let mut kept = self.kept.borrow_mut();
        let taken = kept.pop().unwrap_or_default();
        self.fewest.set(self.fewest.get().min(kept.len()));
        taken
    }

    /// Returns a box to the list. Frees it if the list is full.
    pub fn put(&self, free: Box<T>) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < KEPT_MAX {
            kept.push(free);
        }
    }

    /// Frees boxes that were not used since the last trim.
    pub fn trim(&self) {
        let mut kept = self.kept.borrow_mut();
        // The front holds the least recently used boxes.
        kept.drain(..self.fewest.get().min(TRIMMED_MAX));
        self.fewest.set(kept.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trim_frees_unused_boxes() {
        let list = FreeList::<u8>::default();
        let lent: Vec<_> = (0..5).map(|_| list.take()).collect();
        lent.into_iter().for_each(|one| list.put(one));
        list.trim();
        assert_eq!(list.kept.borrow().len(), 5, "all were in use since the last trim");
        let lent = [list.take(), list.take()];
        lent.into_iter().for_each(|one| list.put(one));
        list.trim();
        assert_eq!(list.kept.borrow().len(), 2);
        list.trim();
        assert_eq!(list.kept.borrow().len(), 0);
    }

    #[test]
    fn last_used_box_is_reused_first() {
        let list = FreeList::<u8>::default();
        list.put(Box::new(1));
        list.put(Box::new(2));
        assert_eq!((*list.take(), *list.take(), *list.take()), (2, 1, 0));
    }
}
