//! Memory that is used again, by whoever needs it next.

use std::cell::{Cell, RefCell};

/// How many of a kind are kept at most.
pub(crate) const KEPT_MAX: usize = 1024;
/// How many are let go at a time: requests wait meanwhile.
const TRIMMED_MAX: usize = 32;

/// Things that nobody uses just now. Those used last are used next, as they are the most likely to be in a cache.
#[derive(Debug)]
pub(super) struct Spares<T> {
    kept: RefCell<Vec<Box<T>>>,
    /// How many were here all the time since [`Spares::trim`]: fewest <= kept.len().
    fewest: Cell<usize>,
}

impl<T> Default for Spares<T> {
    fn default() -> Self {
        Self {
            kept: RefCell::default(),
            fewest: Cell::new(0),
        }
    }
}

impl<T: Default> Spares<T> {
    /// One of them, or a new one.
    pub(super) fn take(&self) -> Box<T> {
        let mut kept = self.kept.borrow_mut();
        let taken = kept.pop().unwrap_or_default();
        self.fewest.set(self.fewest.get().min(kept.len()));
        taken
    }

    /// Keeps one for whoever is next.
    pub(super) fn put(&self, spare: Box<T>) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < KEPT_MAX {
            kept.push(spare);
        }
    }

    /// Lets go of what nobody has needed since the last time.
    pub(super) fn trim(&self) {
        let mut kept = self.kept.borrow_mut();
        // At the front are those used longest ago.
        kept.drain(..self.fewest.get().min(TRIMMED_MAX));
        self.fewest.set(kept.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_needed_in_the_meantime_is_let_go() {
        let spares = Spares::<u8>::default();
        let lent: Vec<_> = (0..5).map(|_| spares.take()).collect();
        lent.into_iter().for_each(|one| spares.put(one));
        spares.trim();
        assert_eq!(spares.kept.borrow().len(), 5, "all were needed a moment ago");
        let lent = [spares.take(), spares.take()];
        lent.into_iter().for_each(|one| spares.put(one));
        spares.trim();
        assert_eq!(spares.kept.borrow().len(), 2);
        spares.trim();
        assert_eq!(spares.kept.borrow().len(), 0);
    }

    #[test]
    fn what_was_used_last_is_used_next() {
        let spares = Spares::<u8>::default();
        spares.put(Box::new(1));
        spares.put(Box::new(2));
        assert_eq!((*spares.take(), *spares.take(), *spares.take()), (2, 1, 0));
    }
}
