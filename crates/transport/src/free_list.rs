//! Memory that is kept for reuse.

use std::cell::{Cell, RefCell};

/// Boxes that a list keeps at most.
pub const KEPT_MAX: usize = 1024;
/// Boxes that one trim frees at most: requests wait meanwhile.
const TRIMMED_MAX: usize = 32;

/// Boxes that are not in use. The one used last is reused first: it is the most likely to be in a cache.
#[derive(Debug)]
pub struct FreeList<T> {
    kept: RefCell<Vec<Box<T>>>,
    /// Boxes that were free all the time since the last [`FreeList::trim`]: `fewest <= kept.len()`.
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
    /// Takes a box, or allocates one.
    pub fn take(&self) -> Box<T> {
        let mut kept = self.kept.borrow_mut();
        let taken = kept.pop().unwrap_or_default();
        self.fewest.set(self.fewest.get().min(kept.len()));
        taken
    }

    /// Returns a box.
    pub fn put(&self, free: Box<T>) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < KEPT_MAX {
            kept.push(free);
        }
    }

    /// Frees boxes that were not needed since the last time.
    pub fn trim(&self) {
        let mut kept = self.kept.borrow_mut();
        // The front was used longest ago.
        kept.drain(..self.fewest.get().min(TRIMMED_MAX));
        self.fewest.set(kept.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_that_were_not_needed_are_freed() {
        let list = FreeList::<u8>::default();
        let lent: Vec<_> = (0..5).map(|_| list.take()).collect();
        lent.into_iter().for_each(|one| list.put(one));
        list.trim();
        assert_eq!(list.kept.borrow().len(), 5, "all were needed a moment ago");
        let lent = [list.take(), list.take()];
        lent.into_iter().for_each(|one| list.put(one));
        list.trim();
        assert_eq!(list.kept.borrow().len(), 2);
        list.trim();
        assert_eq!(list.kept.borrow().len(), 0);
    }

    #[test]
    fn the_box_used_last_is_reused_first() {
        let list = FreeList::<u8>::default();
        list.put(Box::new(1));
        list.put(Box::new(2));
        assert_eq!((*list.take(), *list.take(), *list.take()), (2, 1, 0));
    }
}
