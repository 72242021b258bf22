//! The time by which rollouts go: that of the system, or of a clock that tests turn.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::control::Control;

/// The greatest number of seconds that pass at once, so that no other command waits for long.
const SECONDS_MAX: u64 = 3600;
/// The time for which the test clock stands still for the answers of hooks.
const HOOK_PATIENCE: Duration = Duration::from_secs(1);

impl Control {
    /// The time of day.
    pub(super) fn wall_time(&self) -> Timestamp {
        self.rollouts.test_time.unwrap_or_else(Timestamp::now)
    }

    /// Sets the test clock, if there is a time to set it to, then lets seconds of it pass. It stands still while a hook is
    /// asked, but not for long.
    pub(in crate::control) async fn turn_test_clock(&mut self, seconds: u64, now: Option<Timestamp>) {
        if let Some(now) = now {
            self.rollouts.test_time = Some(now);
            for active in self.rollouts.active.values_mut() {
                active.ramp.set_time(now);
                active.standing = active.ramp.standing();
            }
        }
        let patience = Instant::now() + HOOK_PATIENCE;
        for second in 0..seconds.min(SECONDS_MAX) {
            let next = self.wall_time().checked_add(Duration::from_secs(1));
            self.rollouts.test_time = next.ok().or(self.rollouts.test_time);
            // One that does not answer is waited for once.
            let others = self.others_of_now(second > 0).await;
            self.judge_rollouts(&others).await;
            self.wait_for_hooks(patience).await;
            self.write_finished().await;
        }
    }
}
