//! Latencies of a run and their report.

use std::time::{Duration, Instant};

/// The latencies of a run.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Prints the run as a line of JSON, with further members `more`.
    pub(crate) fn print(mut self, requests: usize, began: Instant, errors: usize, more: &str) {
        self.0.sort_unstable();
        let at = |share: f64| {
            let place = (self.0.len() as f64 * share) as usize;
            let latency = self.0.get(place).or(self.0.last());
            latency.map_or(0, Duration::as_micros)
        };
        println!(
            "{{\"requests\":{requests},\"seconds\":{},\"errors\":{errors},\"p50_us\":{},\"p99_us\":{},\"p999_us\":{},\
             \"max_us\":{}{more}}}",
            began.elapsed().as_secs_f64(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0),
        );
    }
}
