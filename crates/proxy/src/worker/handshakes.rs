//! The TLS handshakes with the clients of a listener that are under way, in one worker.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::Notify;

/// Those that are under way, the oldest first.
///
/// When there are as many as there may be, the oldest makes room for a new one: whoever opens connections only to leave
/// them at that closes the door to nobody else.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    waiting: RefCell<BTreeMap<u64, Rc<Notify>>>,
    next: Cell<u64>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Handshake {
    all: Rc<Handshakes>,
    number: u64,
    make_room: Rc<Notify>,
}

impl Handshakes {
    /// One more, where there may be `max` of them.
    pub(crate) fn begin(self: &Rc<Self>, max: usize) -> Handshake {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= max
            && let Some((_, oldest)) = waiting.pop_first()
        {
            oldest.notify_one();
        }
        let number = self.next.replace(self.next.get() + 1);
        let make_room = Rc::<Notify>::default();
        waiting.insert(number, Rc::clone(&make_room));
        Handshake {
            all: Rc::clone(self),
            number,
            make_room,
        }
    }
}

impl Handshake {
    /// Returns once it has to give way.
    pub(crate) async fn is_to_make_room(&self) {
        self.make_room.notified().await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.all.waiting.borrow_mut().remove(&self.number);
    }
}
