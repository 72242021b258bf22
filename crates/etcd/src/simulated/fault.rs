//! Faults that a test orders.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use super::refusal::Refusal;

/// The calls that a fault waits for. It happens to the first of them, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// A call that reads or writes keys, leases or users.
    Any,
    /// A call that reads.
    Read,
    /// A call that writes.
    Write,
    /// A user who asks for a token.
    Authenticate,
    /// A stream of watches that is opened.
    Watch,
    /// A lease that is renewed.
    KeepAlive,
    /// A client that looks if a member is there.
    Status,
}

/// Something that happens to a call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The connection breaks before the call is looked at.
    Break,
    /// The call is carried out, and the connection breaks before the answer.
    DropAnswer,
    /// The call is refused, and not carried out.
    Refuse(Refusal),
    /// The call is carried out, and answered with these bytes.
    Answer(Vec<u8>),
    /// The call waits before it is carried out.
    HoldBefore(Hold),
    /// The call is carried out, and its answer waits.
    HoldAnswer(Hold),
}

/// A place where a call waits until the test lets it go on.
#[derive(Debug, Clone)]
pub struct Hold {
    stage: Arc<watch::Sender<Stage>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Empty,
    Waiting,
    Released,
}

impl Hold {
    /// A place where no call waits yet.
    pub fn new() -> Self {
        Self {
            stage: Arc::new(watch::Sender::new(Stage::Empty)),
        }
    }

    /// Waits until a call waits here.
    pub async fn arrived(&self) {
        self.reached(Stage::Waiting).await;
    }

    /// Lets the call go on.
    pub fn release(&self) {
        self.stage.send_replace(Stage::Released);
    }

    pub(super) async fn wait(&self) {
        self.stage.send_if_modified(|stage| {
            let is_empty = *stage == Stage::Empty;
            if is_empty {
                *stage = Stage::Waiting;
            }
            is_empty
        });
        self.reached(Stage::Released).await;
    }

    async fn reached(&self, wanted: Stage) {
        // It fails if the sender is gone, and this is the sender.
        let _ = self.stage.subscribe().wait_for(|stage| *stage >= wanted).await;
    }
}

impl Default for Hold {
    fn default() -> Self {
        Self::new()
    }
}

/// Faults in the order in which they were ordered.
#[derive(Debug, Default)]
pub(super) struct Faults {
    waiting: VecDeque<(On, Fault)>,
    /// For each stream of watches to come, after how many responses it breaks.
    watches: VecDeque<usize>,
}

impl Faults {
    pub(super) fn order(&mut self, on: On, fault: Fault) {
        self.waiting.push_back((on, fault));
    }

    pub(super) fn break_watch_after(&mut self, responses: usize) {
        self.watches.push_back(responses);
    }

    pub(super) fn next_watch(&mut self) -> Option<usize> {
        self.watches.pop_front()
    }

    pub(super) fn pending(&self) -> usize {
        self.waiting.len() + self.watches.len()
    }

    /// The fault that happens to this call.
    pub(super) fn take(&mut self, call: On) -> Option<Fault> {
        let fits = |on: On| on == call || on == On::Any && matches!(call, On::Read | On::Write);
        let place = self.waiting.iter().position(|(on, _)| fits(*on))?;
        self.waiting.remove(place).map(|(_, fault)| fault)
    }
}
