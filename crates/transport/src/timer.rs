//! One timer per connection, re-armed only when it has to be.
//!
//! A deadline that moves into the future, as nearly every one does with each request, costs nothing: the
//! timer fires at the old one, sees that it is early, and is armed anew.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline that can be moved. It belongs to one task.
#[derive(Debug)]
pub struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// When `sleep` fires.
    armed: Instant,
    /// Whether the task is known to `sleep`, which then wakes it.
    registered: bool,
    deadline: Instant,
}

impl Timer {
    /// A timer that fires at `deadline`.
    pub fn new(deadline: Instant) -> Self {
        Self {
            sleep: Box::pin(sleep_until(deadline)),
            armed: deadline,
            registered: false,
            deadline,
        }
    }

    /// Moves the deadline.
    pub fn set(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Whether the deadline has passed; if not, the task is woken then, or earlier.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadline < self.armed {
            self.arm();
        }
        loop {
            if self.registered && !self.sleep.is_elapsed() {
                return Poll::Pending;
            }
            // A task that has used up its turn is sent away before the timer has looked at it.
            let looked_at = coop::has_budget_remaining();
            if self.sleep.as_mut().poll(cx).is_pending() {
                self.registered = looked_at;
                return Poll::Pending;
            }
            if Instant::now() >= self.deadline {
                return Poll::Ready(());
            }
            self.arm();
        }
    }

    fn arm(&mut self) {
        self.sleep.as_mut().reset(self.deadline);
        self.armed = self.deadline;
        self.registered = false;
    }
}
