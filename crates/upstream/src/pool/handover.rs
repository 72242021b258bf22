//! Requests of a worker that wait for a connection to an endpoint, and get one from an exchange that ends.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tokio::sync::oneshot;

/// The requests that wait, in the order in which they began to.
#[derive(Debug)]
pub struct Handover<T> {
    waiting: RefCell<VecDeque<(u64, oneshot::Sender<T>)>>,
    next: Cell<u64>,
}

/// The place of one that waits.
#[derive(Debug)]
pub struct Turn<'a, T> {
    handover: &'a Handover<T>,
    number: u64,
    receiver: oneshot::Receiver<T>,
}

impl<T> Default for Handover<T> {
    fn default() -> Self {
        Self {
            waiting: RefCell::default(),
            next: Cell::default(),
        }
    }
}

impl<T> Handover<T> {
    /// Takes the last place.
    pub fn enter(&self) -> Turn<'_, T> {
        let (sender, receiver) = oneshot::channel();
        let number = self.next.replace(self.next.get() + 1);
        self.waiting.borrow_mut().push_back((number, sender));
        Turn {
            handover: self,
            number,
            receiver,
        }
    }

    /// Returns true if no request waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    /// Gives `what` to the first that waits.
    ///
    /// # Errors
    /// None waits; `what` is returned.
    pub fn give(&self, mut what: T) -> Result<(), T> {
        loop {
            let Some((_, first)) = self.waiting.borrow_mut().pop_front() else {
                return Err(what);
            };
            match first.send(what) {
                Ok(()) => return Ok(()),
                Err(returned) => what = returned,
            }
        }
    }
}

impl<T> Turn<'_, T> {
    /// Waits for what is given. Never resolves if the place is gone.
    pub async fn given(&mut self) -> T {
        match (&mut self.receiver).await {
            Ok(what) => what,
            Err(_) => std::future::pending().await,
        }
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let mut waiting = self.handover.waiting.borrow_mut();
        // Those that leave are mostly at the front: they have waited for longest.
        if let Some(at) = waiting.iter().position(|(number, _)| *number == self.number) {
            waiting.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn first_that_still_waits_is_given_to() {
        let handover = Handover::default();
        assert_eq!(handover.give(0), Err(0));
        let (gone, mut second, mut third) = (handover.enter(), handover.enter(), handover.enter());
        drop(gone);
        assert_eq!((handover.give(1), handover.give(2)), (Ok(()), Ok(())));
        assert_eq!((third.given().await, second.given().await), (2, 1));
        assert!(handover.is_empty());
        drop(second);
        let mut fourth = handover.enter();
        assert_eq!(handover.give(3), Ok(()));
        assert_eq!(fourth.given().await, 3);
    }
}
