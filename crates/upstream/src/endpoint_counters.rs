//! Counters of an endpoint: each worker has its own, and a reader adds them up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::counters::Counter;
use crate::health::Outcome;
use crate::histogram::{Durations, Histograms};

/// One worker's counters of an endpoint.
#[derive(Debug, Default)]
pub struct EndpointCounters {
    /// Exchanges that have begun and not ended (a gauge).
    in_flight: Counter,
    /// Attempts that have ended, those to connect among them that failed.
    attempts: Counter,
    failures: Counter,
    durations: Histograms<1>,
}

/// All workers' counters of an endpoint.
#[derive(Debug, Default)]
pub struct EndpointMeter(Mutex<Meter>);

#[derive(Debug, Default)]
struct Meter {
    workers: Vec<Arc<EndpointCounters>>,
    /// The sum of those whose owners are gone.
    past: EndpointReading,
}

/// The counts of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndpointReading {
    /// Exchanges in flight.
    pub in_flight: u64,
    /// Attempts that have ended, those to connect among them that failed.
    pub requests: u64,
    /// Failed attempts: without a connection, broken off, timed out, or answered with a 5xx or a gRPC status that blames the
    /// endpoint.
    pub failures: u64,
    /// Durations of the exchanges that the endpoint answered or failed.
    pub durations: Durations,
}

impl EndpointCounters {
    /// Counts an exchange that begins.
    pub fn begin(&self) {
        self.in_flight.add(1);
    }

    /// Counts the end of an exchange. That of a tunnel has no duration: it says nothing about the endpoint.
    pub fn end(&self, outcome: Outcome, duration: Option<Duration>) {
        self.in_flight.set(self.in_flight.read().saturating_sub(1));
        self.attempts.add(1);
        if outcome == Outcome::Abandoned {
            return;
        }
        self.failures.add(u64::from(outcome.is_failure()));
        if let Some(duration) = duration {
            self.durations.record(0, duration);
        }
    }

    /// Counts a failed attempt to connect.
    pub fn fail_to_connect(&self) {
        self.attempts.add(1);
        self.failures.add(1);
    }

    /// Exchanges in flight.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.read()
    }
}

impl EndpointMeter {
    /// Adds the counters of a worker.
    pub(crate) fn join(&self) -> Arc<EndpointCounters> {
        let counters = Arc::<EndpointCounters>::default();
        self.lock().workers.push(Arc::clone(&counters));
        counters
    }

    /// Keeps the counts of a worker that does not use the endpoint any more.
    pub(crate) fn leave(&self, counters: &Arc<EndpointCounters>) {
        let mut meter = self.lock();
        meter.workers.retain(|known| !Arc::ptr_eq(known, counters));
        meter.past.add(counters);
        meter.past.in_flight = 0;
    }

    /// The counts so far.
    pub fn read(&self) -> EndpointReading {
        // A worker must not wait until they are added up.
        let (workers, mut reading) = {
            let meter = self.lock();
            (meter.workers.clone(), meter.past.clone())
        };
        workers.iter().for_each(|counters| reading.add(counters));
        reading
    }

    /// Locked when a worker begins to use an endpoint, and by readers.
    fn lock(&self) -> MutexGuard<'_, Meter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EndpointReading {
    fn add(&mut self, counters: &EndpointCounters) {
        self.in_flight += counters.in_flight.read();
        self.requests += counters.attempts.read();
        self.failures += counters.failures.read();
        self.durations.add(&counters.durations.read(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_workers_add_up_and_outlast_them() {
        let meter = EndpointMeter::default();
        let (one, other) = (meter.join(), meter.join());
        let ms = |ms| Some(Duration::from_millis(ms));
        for counters in [&one, &other] {
            counters.begin();
            counters.begin();
            counters.end(Outcome::Response(200), ms(5));
        }
        one.end(Outcome::Response(503), ms(5));
        other.fail_to_connect();
        let counts = |reading: &EndpointReading| (reading.in_flight, reading.requests, reading.failures);
        let reading = meter.read();
        assert_eq!(counts(&reading), (1, 4, 2));
        assert_eq!(reading.durations.count(), 3);
        other.end(Outcome::Abandoned, ms(5));
        meter.leave(&other);
        let reading = meter.read();
        assert_eq!(counts(&reading), (0, 5, 2));
        assert_eq!(reading.durations.count(), 3);
    }
}
