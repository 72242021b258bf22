//! Counters that one thread writes and any may read: no lock, and no atomic read-modify-write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A number that only its own thread changes.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// One worker's counters of the connections to one service.
#[derive(Debug, Default)]
pub struct ServiceCounters {
    /// The service.
    pub service: Arc<str>,
    /// True once the service is gone, and the counters are not read any more.
    pub retired: AtomicBool,
    /// Connections opened.
    pub opened: Counter,
    /// Times that an idle connection was reused.
    pub reused: Counter,
    /// Failed attempts to connect.
    pub failed: Counter,
    /// Connections that are idle now.
    pub idle: Counter,
}

impl Counter {
    /// Adds to the number.
    pub fn add(&self, by: u64) {
        // The only writer, so nothing comes in between.
        self.0
            .store(self.0.load(Ordering::Relaxed) + by, Ordering::Relaxed);
    }

    /// Replaces the number.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The number.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
