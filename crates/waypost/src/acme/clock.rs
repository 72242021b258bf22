//! The time by which orders go: that of the system, or ahead of it where a test turns the clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::sleep;

/// The longest sleep between two looks at the time of day, which may be set anew and goes on while a machine is suspended.
const LOOK: Duration = Duration::from_secs(60);

/// A clock.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    /// The time by which it is ahead.
    ahead: watch::Receiver<SignedDuration>,
}

/// The hands of a clock.
#[derive(Debug)]
pub(super) struct Hands(watch::Sender<SignedDuration>);

impl Clock {
    /// A clock with the time of the system.
    pub(super) fn new() -> (Hands, Self) {
        let (hands, ahead) = watch::channel(SignedDuration::ZERO);
        (Hands(hands), Self { ahead })
    }

    pub(super) fn now(&self) -> Timestamp {
        let ahead = *self.ahead.borrow();
        Timestamp::now().checked_add(ahead).unwrap_or(Timestamp::MAX)
    }

    /// Seconds since 1970.
    pub(super) fn seconds(&self) -> i64 {
        self.now().as_second()
    }

    /// Waits until a time, in seconds since 1970.
    pub(super) async fn sleep_until(&self, at: i64) {
        let mut ahead = self.ahead.clone();
        loop {
            ahead.mark_unchanged();
            let now = self.now();
            if now.as_second() >= at {
                return;
            }
            let at = Timestamp::from_second(at).unwrap_or(Timestamp::MAX);
            let left = Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
            tokio::select! {
                () = sleep(left.min(LOOK)) => {}
                // The sender lives as long as the orders.
                Ok(()) = ahead.changed() => {}
            }
        }
    }
}

impl Hands {
    /// Sets the clock, if there is a time to set it to, then lets seconds pass.
    pub(super) fn turn(&self, seconds: u64, now: Option<Timestamp>) {
        let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        self.0.send_modify(|ahead| {
            let set = now.map_or(*ahead, |now| now.duration_since(Timestamp::now()));
            *ahead = set.saturating_add(seconds);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turned_clock_ends_a_wait() {
        let (hands, clock) = Clock::new();
        let at = clock.seconds() + 1_000_000;
        let waiting = clock.clone();
        let waiting = tokio::spawn(async move { waiting.sleep_until(at).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        hands.turn(1_000_001, None);
        waiting.await.unwrap();
        let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        hands.turn(60, Some(now));
        assert!(clock.now() >= now + SignedDuration::from_secs(60));
        clock.sleep_until(now.as_second()).await;
    }
}
