//! The TLS handshakes with clients that are under way.

use std::cell::Cell;
use std::rc::Rc;

/// How many there are.
#[derive(Debug, Default)]
pub(crate) struct Handshakes(Rc<Cell<usize>>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Handshake(Rc<Cell<usize>>);

impl Handshakes {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.get()
    }

    /// One more, until what is returned is dropped.
    pub(crate) fn begin(&self) -> Handshake {
        self.0.set(self.0.get() + 1);
        Handshake(Rc::clone(&self.0))
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
