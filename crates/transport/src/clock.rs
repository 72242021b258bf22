//! A worker's clock: exact times for measurements, cheap ones for deadlines.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;

/// Uses of one reading before the clock is read again, for a worker that never waits.
const USES_MAX: u32 = 16;

/// Counts how often a worker has waited for its sockets. After a tick, the runtime knows of everything that had arrived
/// by then.
#[derive(Debug, Clone, Default)]
pub struct Ticks(Arc<AtomicU32>);

impl Ticks {
    /// Counts one more, when the worker resumes.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of ticks so far; it wraps around.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A worker's own time. Reading the system's clock costs as much as parsing two header lines, and a request sets many
/// deadlines.
#[derive(Debug)]
pub struct Clock {
    ticks: Ticks,
    /// The tick and the time of the last reading, and its uses since.
    seen: Cell<u32>,
    now: Cell<Instant>,
    uses: Cell<u32>,
}

impl Clock {
    /// A clock of the worker that counts `ticks`.
    pub fn new(ticks: Ticks) -> Self {
        Self {
            seen: Cell::new(ticks.count()),
            ticks,
            now: Cell::new(Instant::now()),
            uses: Cell::new(0),
        }
    }

    /// The worker's current tick.
    pub fn tick(&self) -> u32 {
        self.ticks.count()
    }

    /// The exact time, for measurements.
    pub fn now(&self) -> Instant {
        let now = Instant::now();
        self.now.set(now);
        self.seen.set(self.ticks.count());
        self.uses.set(0);
        now
    }

    /// The time of the last reading within this tick: precise enough for deadlines.
    pub fn about_now(&self) -> Instant {
        let uses = self.uses.get();
        if self.seen.get() != self.ticks.count() || uses == USES_MAX {
            return self.now();
        }
        self.uses.set(uses + 1);
        self.now.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_read_again_after_a_tick_and_after_many_uses() {
        let ticks = Ticks::default();
        let clock = Clock::new(ticks.clone());
        let began = clock.now();
        while Instant::now() == began {}
        assert_eq!(clock.about_now(), began);
        ticks.add();
        let later = clock.about_now();
        assert!(later > began);
        while Instant::now() == later {}
        let times: Vec<Instant> = (0..=USES_MAX).map(|_| clock.about_now()).collect();
        assert_eq!(times[0], later);
        assert!(times.last() > times.first());
    }
}
