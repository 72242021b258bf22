//! A timer per connection that is re-armed lazily.
//!
//! Nearly every deadline moves into the future with each request. Moving it costs nothing: the timer fires at the old
//! deadline, finds that it is early, and is re-armed.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until};

/// A movable deadline, polled by one task.
#[derive(Debug)]
pub struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// The time at which `sleep` fires.
    armed: Instant,
    /// True if the task's waker is registered with `sleep`.
    registered: bool,
    deadline: Instant,
}

impl Timer {
    /// Creates a timer that fires at `deadline`.
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

    /// Polls for the deadline. The task is woken at the deadline or earlier.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadline < self.armed {
            self.arm();
        }
        loop {
            if self.registered && !self.sleep.is_elapsed() {
                return Poll::Pending;
            }
            // Without cooperative budget, `Sleep::poll` returns `Pending` without registering the waker.
            let registers = coop::has_budget_remaining();
            if self.sleep.as_mut().poll(cx).is_pending() {
                self.registered = registers;
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
