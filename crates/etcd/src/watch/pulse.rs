//! Signs of life of a stream. A member that stands still keeps its connections open.

use std::time::Duration;

use tokio::time::Instant;

/// When something was heard on a stream, and whether an answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pulse {
    interval: Duration,
    due: Instant,
    is_asked: bool,
}

/// The reaction to silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    /// Ask for a sign of life.
    Ask,
    /// It was asked for, and did not come.
    Dead,
}

impl Pulse {
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            due: now + interval,
            is_asked: false,
        }
    }

    /// The end of the patience.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Something came.
    pub(super) fn heard(&mut self, now: Instant) {
        *self = Self::new(self.interval, now);
    }

    /// Nothing came until [`due`](Self::due).
    pub(super) fn silent(&mut self, now: Instant) -> Beat {
        if self.is_asked {
            return Beat::Dead;
        }
        self.is_asked = true;
        self.due = now + self.interval;
        Beat::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_member_is_asked_once_before_it_counts_as_dead() {
        let interval = Duration::from_secs(2);
        let start = Instant::now();
        let mut pulse = Pulse::new(interval, start);
        assert_eq!(pulse.silent(start + interval), Beat::Ask);
        assert_eq!(pulse.due(), start + interval * 2);
        pulse.heard(start + interval);
        assert_eq!(pulse.silent(start + interval * 2), Beat::Ask);
        assert_eq!(pulse.silent(start + interval * 3), Beat::Dead);
    }
}
