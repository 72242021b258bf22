//! The requests since the last look, by route and service, for the figures by the second.

use std::sync::{Arc, PoisonError};

use crate::observe::metrics::{Metrics, Part, RequestReading, RouteCounters};

/// The totals of a series at the last sweep.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SweptTotals {
    sum_us: u64,
    requests: u64,
    failed: u64,
    refused: u64,
}

/// The requests of a route to a service since the last sweep.
#[derive(Debug)]
pub struct Swept {
    /// The route; empty for requests without one.
    pub route: Arc<str>,
    /// The service; empty for requests that none was picked for.
    pub service: Arc<str>,
    /// Requests.
    pub requests: u64,
    /// Failed ones among them.
    pub failed: u64,
    /// Requests that a rule refused.
    pub refused: u64,
    /// The sum of their durations, in microseconds.
    pub sum_us: u64,
    /// True if the series had no requests before.
    pub is_first: bool,
    counters: Vec<Arc<RouteCounters>>,
}

impl Swept {
    /// Adds the durations of all requests so far to `sums`, by bucket.
    pub fn add_durations_to(&self, sums: &mut Vec<u64>) {
        for counters in &self.counters {
            counters.durations.add_to(Part::Whole as usize, sums);
        }
    }
}

/// The series that there are, and those of them that changed. Series are numbered as they come, and numbers are in order.
#[derive(Debug)]
pub struct Changed {
    series: Vec<u64>,
    changed: Vec<Numbered>,
}

/// The counters of a series, of all workers, with its number.
type Numbered = (u64, Vec<Arc<RouteCounters>>);

impl Changed {
    /// The numbers of all series.
    pub fn series(&self) -> &[u64] {
        &self.series
    }

    /// The requests so far of each series that changed: their statuses and durations. They are read one by one.
    pub fn readings(&self) -> impl Iterator<Item = (u64, RequestReading)> {
        self.changed.iter().filter_map(read_compared)
    }
}

/// The statuses and durations of a series.
fn read_compared((number, counters): &Numbered) -> Option<(u64, RequestReading)> {
    let first = counters.first()?;
    let mut reading = RequestReading {
        route: Arc::clone(&first.route),
        service: Arc::clone(&first.service),
        ..RequestReading::default()
    };
    counters
        .iter()
        .for_each(|counters| reading.add_compared(counters));
    Some((*number, reading))
}

impl Metrics {
    /// The series that sweeps found changed since the last call, or all.
    pub fn changed(&self, all: bool) -> Changed {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut numbers, mut changed) = (Vec::new(), Vec::new());
        for series in announced.requests.values_mut() {
            numbers.push(series.number);
            if std::mem::take(&mut series.is_changed) || all {
                changed.push((series.number, series.counters.clone()));
            }
        }
        drop(announced);
        numbers.sort_unstable();
        changed.sort_unstable_by_key(|(number, _)| *number);
        Changed {
            series: numbers,
            changed,
        }
    }

    /// The statuses and durations of the requests of a route by service, or of all routes, with the numbers of the series.
    pub fn read_series(&self, route: Option<&str>) -> Vec<(u64, RequestReading)> {
        let found: Vec<Numbered> = {
            let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
            announced.take_in();
            let first = (Arc::from(route.unwrap_or_default()), Arc::default());
            let series = announced.requests.range(first..);
            let series = series.take_while(|((name, _), _)| route.is_none_or(|route| **name == *route));
            series
                .map(|(_, series)| (series.number, series.counters.clone()))
                .collect()
        };
        found.iter().filter_map(read_compared).collect()
    }

    /// The series with requests since the last sweep, in order of their names. There is one sweeper.
    ///
    /// A series without new requests costs a look at one number of each worker.
    pub fn sweep(&self) -> Vec<Swept> {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        announced.take_in();
        let mut swept = Vec::new();
        for ((route, service), series) in &mut announced.requests {
            let sums = series.counters.iter();
            let sum_us = sums
                .map(|counters| counters.durations.sum_us(Part::Whole as usize))
                .sum();
            if sum_us == series.swept.sum_us {
                continue;
            }
            let mut now = SweptTotals {
                sum_us,
                ..SweptTotals::default()
            };
            for counters in &series.counters {
                now.refused += counters.refused.read();
                counters.statuses.visit(|status, count| {
                    now.requests += count;
                    now.failed += if status.has_failed() { count } else { 0 };
                });
            }
            series.is_changed = true;
            let before = std::mem::replace(&mut series.swept, now);
            swept.push(Swept {
                route: Arc::clone(route),
                service: Arc::clone(service),
                requests: now.requests.saturating_sub(before.requests),
                failed: now.failed.saturating_sub(before.failed),
                refused: now.refused.saturating_sub(before.refused),
                sum_us: now.sum_us.saturating_sub(before.sum_us),
                is_first: before.requests == 0,
                counters: series.counters.clone(),
            });
        }
        swept
    }

    /// The number of series with requests.
    pub fn series(&self) -> usize {
        let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        announced.requests.len()
    }
}
