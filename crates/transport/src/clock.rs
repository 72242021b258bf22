//! A worker's clock: exact times for measurements, cached ones for deadlines.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;

/// Maximum uses of a cached time within a tick, for workers that never wait.
const USES_MAX: u32 = 16;

/// Counts a worker's polls for I/O events. After a tick, the runtime knows of all input that arrived before it.
#[derive(Debug, Clone, Default)]
pub struct Ticks(Arc<AtomicU32>);

impl Ticks {
    /// Increments the count; called when the worker resumes.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of ticks so far, wrapping around on overflow.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A worker's clock. Reading the system clock costs as much as parsing two header lines, and each request sets many
/// deadlines.
#[derive(Debug)]
pub struct Clock {
    ticks: Ticks,
    /// The tick of the last reading.
    seen: Cell<u32>,
    /// The time of the last reading.
    now: Cell<Instant>,
    /// Uses of the last reading since.
    uses: Cell<u32>,
}

impl Clock {
    /// Creates a clock for the worker that counts `ticks`.
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

    /// The time, cached within a tick: precise enough for deadlines.
    pub fn coarse_now(&self) -> Instant {
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
    fn cached_time_expires_after_a_tick_and_after_many_uses() {
        let ticks = Ticks::default();
        let clock = Clock::new(ticks.clone());
        let began = clock.now();
        while Instant::now() == began {}
        assert_eq!(clock.coarse_now(), began);
        ticks.add();
        let later = clock.coarse_now();
        assert!(later > began);
        while Instant::now() == later {}
        let times: Vec<Instant> = (0..=USES_MAX).map(|_| clock.coarse_now()).collect();
        assert_eq!(times[0], later);
        assert!(times.last() > times.first());
    }
}
