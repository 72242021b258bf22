//! Single-writer counters, readable by any thread without a lock or an atomic read-modify-write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A number written by one thread only.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A worker's counters of its connections to a service.
#[derive(Debug, Default)]
pub struct ServiceCounters {
    /// The name of the service.
    pub service: Arc<str>,
    /// True once the service is removed and the counters are no longer read.
    pub retired: AtomicBool,
    /// Connections opened.
    pub opened: Counter,
    /// Reuses of a connection.
    pub reused: Counter,
    /// Failed attempts to connect.
    pub failed: Counter,
    /// Idle connections at the moment (a gauge).
    pub idle: Counter,
}

impl Counter {
    /// Adds `by`.
    pub fn add(&self, by: u64) {
        // There is one writer, so a load and a store suffice.
        self.0
            .store(self.0.load(Ordering::Relaxed) + by, Ordering::Relaxed);
    }

    /// Sets the value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The current value.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
