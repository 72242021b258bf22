//! Single-writer counters, readable by any thread without a lock or an atomic read-modify-write.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use waypost_wire::response::fault::ResponseRule;

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
    /// Retries that the budget denied.
    pub denied: Counter,
    /// Idle connections at the moment (a gauge).
    pub idle: Counter,
    /// Requests refused as there were as many as the service may have.
    pub request_limit: Counter,
    /// Requests refused as there were as many connections as the service may have.
    pub connection_limit: Counter,
    /// Invalid responses.
    pub faults: FaultCounters,
}

/// One worker's counters of invalid responses, by rule. They are allocated with the first one.
#[derive(Debug, Default)]
pub struct FaultCounters(OnceLock<Box<[Counter]>>);

impl Counter {
    /// Adds `by`.
    #[inline]
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
    #[inline]
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl FaultCounters {
    /// Counts a response that broke `rule`.
    pub fn add(&self, rule: ResponseRule) {
        let counters = self
            .0
            .get_or_init(|| ResponseRule::ALL.iter().map(|_| Counter::default()).collect());
        counters[rule as usize].add(1);
    }

    /// The counts by rule; empty if there was none.
    pub fn read(&self) -> impl Iterator<Item = (ResponseRule, u64)> {
        let counters = self.0.get().into_iter().flatten();
        let counted = ResponseRule::ALL.iter().zip(counters);
        counted.map(|(rule, counter)| (*rule, counter.read()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_counted_by_rule() {
        let counters = FaultCounters::default();
        assert_eq!(counters.read().count(), 0);
        counters.add(ResponseRule::Http2);
        counters.add(ResponseRule::Http2);
        counters.add(ResponseRule::NotHttp);
        let counted: Vec<_> = counters.read().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(ResponseRule::NotHttp, 1), (ResponseRule::Http2, 2)]);
    }
}
