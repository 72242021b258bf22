//! The time by which rollouts go: that of the system, or of a clock that tests turn.

use std::time::Duration;

use jiff::Timestamp;

use crate::control::Control;

/// The greatest number of seconds that pass at once, so that no other command waits for long.
const SECONDS_MAX: u64 = 3600;

impl Control {
    /// The time of day.
    pub(super) fn wall_time(&self) -> Timestamp {
        self.rollouts.test_time.unwrap_or_else(Timestamp::now)
    }

    /// Sets the test clock, if there is a time to set it to, then lets seconds of it pass.
    pub(in crate::control) fn turn_test_clock(&mut self, seconds: u64, now: Option<Timestamp>) {
        if let Some(now) = now {
            self.rollouts.test_time = Some(now);
            for active in self.rollouts.active.values_mut() {
                active.ramp.set_time(now);
                active.standing = active.ramp.standing();
            }
        }
        for _ in 0..seconds.min(SECONDS_MAX) {
            let next = self.wall_time().checked_add(Duration::from_secs(1));
            self.rollouts.test_time = next.ok().or(self.rollouts.test_time);
            self.judge_rollouts();
        }
    }
}
