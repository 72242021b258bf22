//! What the clients of a listener have to say before it is known what they want: headers of the PROXY protocol and TLS
//! handshakes that are under way, in one worker.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a handshake may take at least, before it has to give way to clients for whom there is no seat.
const UNHURRIED: Duration = Duration::from_secs(1);

/// Those that are under way, the oldest first.
///
/// When there are as many as there may be, the oldest makes room for a new one: whoever opens connections only to leave
/// them at that closes the door to nobody else.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    waiting: RefCell<BTreeMap<u64, Waiting>>,
    next: Cell<u64>,
}

/// What is known of one of them here.
#[derive(Debug)]
struct Waiting {
    since: Instant,
    make_room: Rc<Notify>,
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
        while waiting.len() >= max
            && let Some((_, oldest)) = waiting.pop_first()
        {
            oldest.make_room.notify_one();
        }
        let number = self.next.replace(self.next.get() + 1);
        let make_room = Rc::<Notify>::default();
        waiting.insert(
            number,
            Waiting {
                since: Instant::now(),
                make_room: Rc::clone(&make_room),
            },
        );
        Handshake {
            all: Rc::clone(self),
            number,
            make_room,
        }
    }

    /// Has the oldest give up its seat; `false` when all of them have just begun.
    pub(crate) fn make_room(&self) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let Some(oldest) = waiting.first_entry() else {
            return false;
        };
        let is_slow = oldest.get().since.elapsed() >= UNHURRIED;
        if is_slow {
            oldest.remove().make_room.notify_one();
        }
        is_slow
    }
}

impl Handshake {
    /// Returns once it has to give way.
    pub(crate) async fn evicted(&self) {
        self.make_room.notified().await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.all.waiting.borrow_mut().remove(&self.number);
    }
}
