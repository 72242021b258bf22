//! The arms of routes, as rollouts read them once a second.

use std::array;
use std::iter;
use std::sync::{Arc, PoisonError};

use waypost_policy::status::RequestStatus;

use crate::observe::metrics::watch::{GROUPS, GroupReading, Wanted, WatchCounts, Watching};
use crate::observe::metrics::{Metrics, Part, RouteAndService, RouteCounters};

/// A reader of one arm: of the requests that tell how good it is. It remembers where their counters are.
#[derive(Debug)]
pub struct ArmReader {
    arm: RouteAndService,
    /// The changes of all counters that it has seen.
    seen: u64,
    counters: Vec<Arc<RouteCounters>>,
    watching: Option<Watching>,
    /// The counts that were asked for last.
    wanted: Option<Wanted>,
    /// The last readings of what takes long to read, and the totals at which nothing of it has changed.
    latencies: Vec<u64>,
    latencies_at: Option<u64>,
    groups: Box<[GroupReading; GROUPS]>,
    groups_at: Option<u64>,
}

/// A snapshot of the requests of an arm that tell how good it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArmReading {
    /// Requests by status.
    pub statuses: Vec<(RequestStatus, u64)>,
    /// The service's part of the duration, by bucket, up to the last decade that has any.
    pub latencies: Vec<u64>,
    /// Requests that failed because no response had begun in time; they are not in `statuses`.
    pub late: u64,
    /// Further attempts at the service.
    pub retries: u64,
    /// By group of clients, if that was asked for.
    pub groups: Option<Box<[GroupReading; GROUPS]>>,
}

impl ArmReading {
    /// The requests between an earlier reading and this one; `None` if the counters were begun anew in between, or if only one
    /// of the readings has groups.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        let count = |reading: &Self| {
            let counts = reading.statuses.iter().map(|(_, count)| *count);
            counts.fold(0_u64, u64::saturating_add)
        };
        count(self).checked_sub(count(earlier))?;
        let mut statuses = Vec::with_capacity(self.statuses.len());
        for (status, now) in &self.statuses {
            let before = earlier.statuses.iter().find(|(known, _)| known == status);
            let more = now.checked_sub(before.map_or(0, |(_, before)| *before))?;
            if more > 0 {
                statuses.push((*status, more));
            }
        }
        let before = earlier.latencies.iter().chain(iter::repeat(&0));
        let latencies = self.latencies.iter().zip(before);
        let groups = match (&self.groups, &earlier.groups) {
            (Some(now), Some(before)) => Some(Box::new(array::from_fn(|at| now[at].since(&before[at])))),
            (None, None) => None,
            _ => return None,
        };
        Some(Self {
            statuses,
            latencies: latencies
                .map(|(now, before)| now.saturating_sub(*before))
                .collect(),
            late: self.late.checked_sub(earlier.late)?,
            retries: self.retries.saturating_sub(earlier.retries),
            groups,
        })
    }

    /// Adds the requests of another reading.
    pub fn add(&mut self, more: &Self) {
        for (status, count) in &more.statuses {
            match self.statuses.iter_mut().find(|(known, _)| known == status) {
                Some((_, sum)) => *sum = sum.saturating_add(*count),
                None => self.statuses.push((*status, *count)),
            }
        }
        if self.latencies.len() < more.latencies.len() {
            self.latencies.resize(more.latencies.len(), 0);
        }
        for (sum, count) in self.latencies.iter_mut().zip(&more.latencies) {
            *sum = sum.saturating_add(*count);
        }
        self.late = self.late.saturating_add(more.late);
        self.retries = self.retries.saturating_add(more.retries);
        if let Some(more) = &more.groups {
            let groups = self.groups.get_or_insert_default();
            groups
                .iter_mut()
                .zip(&**more)
                .for_each(|(sum, more)| sum.add(more));
        }
    }

    /// The requests that have ended, or are late.
    pub fn requests(&self) -> u64 {
        let counts = self.statuses.iter().map(|(_, count)| *count);
        counts.fold(self.late, u64::saturating_add)
    }
}

impl ArmReader {
    /// A reader of the requests of a route to a service.
    pub fn new(route: &str, service: &str) -> Self {
        Self {
            arm: (route.into(), service.into()),
            seen: u64::MAX,
            counters: Vec::new(),
            watching: None,
            wanted: None,
            latencies: Vec::new(),
            latencies_at: None,
            groups: Box::default(),
            groups_at: None,
        }
    }

    /// Returns true if this is the arm that it reads.
    pub fn is_of(&self, route: &str, service: &str) -> bool {
        *self.arm.0 == *route && *self.arm.1 == *service
    }

    /// Asks for more than the metrics have, or no longer.
    pub fn ask(&mut self, metrics: &Metrics, asked: Option<&Wanted>) {
        let Some(asked) = asked else {
            (self.watching, self.wanted) = (None, None);
            return;
        };
        let watching = self.watching.get_or_insert_with(|| {
            // All counters are looked at again.
            self.seen = u64::MAX;
            Watching::new(metrics.watches.of(&self.arm))
        });
        if self.wanted.as_ref() != Some(asked) {
            watching.ask(asked);
            self.wanted = Some(asked.clone());
        }
    }

    /// Reads the counters into `reading`.
    pub fn read(&mut self, metrics: &Metrics, reading: &mut ArmReading) {
        self.find(metrics);
        reading.statuses.clear();
        (reading.late, reading.retries) = (0, 0);
        let mut total = 0;
        for counters in &self.counters {
            counters.statuses.visit(|status, count| {
                total += count;
                let known = reading.statuses.iter_mut().find(|(known, _)| *known == status);
                match known {
                    Some((_, sum)) => *sum += count,
                    None => reading.statuses.push((status, count)),
                }
            });
            reading.retries += counters.retries.read();
            if let Some(watched) = counters.watched.get() {
                reading.late += watched.late();
            }
        }
        self.read_latencies();
        reading.latencies.clone_from(&self.latencies);
        let has_groups = self.wanted.as_ref().is_some_and(|wanted| wanted.groups.is_some());
        if has_groups {
            self.read_groups(total + reading.late);
            let groups = reading.groups.get_or_insert_default();
            **groups = *self.groups;
        } else {
            reading.groups = None;
        }
    }

    fn read_latencies(&mut self) {
        let sums = self
            .counters
            .iter()
            .map(|counters| counters.durations.sum_us(Part::Service as usize));
        let sum: u64 = sums.sum();
        if self.latencies_at.replace(sum) == Some(sum) {
            return;
        }
        self.latencies.fill(0);
        for counters in &self.counters {
            counters
                .durations
                .add_to(Part::Service as usize, &mut self.latencies);
        }
    }

    /// Reads the counts by group, unless `total` is what it was. A request that is being counted at this moment is read
    /// with the next one.
    fn read_groups(&mut self, total: u64) {
        if self.groups_at.replace(total) == Some(total) {
            return;
        }
        *self.groups = [GroupReading::default(); GROUPS];
        for watched in self.counters.iter().filter_map(|counters| counters.watched.get()) {
            watched.add_groups_to(&mut self.groups);
        }
    }

    /// Looks for the counters again if there are other ones now.
    fn find(&mut self, metrics: &Metrics) {
        let mut announced = metrics.announced.lock().unwrap_or_else(PoisonError::into_inner);
        announced.take_in();
        if announced.changes == self.seen {
            return;
        }
        let is_first = std::mem::replace(&mut self.seen, announced.changes) == u64::MAX;
        let series = announced.requests.get(&self.arm);
        let counters = series.into_iter().flat_map(|series| &series.counters);
        let compared = || counters.clone().filter(|counters| !counters.is_apart);
        let known = compared().zip(&self.counters);
        let is_same = known.clone().all(|(one, other)| Arc::ptr_eq(one, other));
        if !is_first && is_same && compared().count() == self.counters.len() {
            return;
        }
        self.counters.clear();
        self.counters.extend(compared().map(Arc::clone));
        drop(announced);
        (self.latencies_at, self.groups_at) = (None, None);
        let Some(watching) = &mut self.watching else {
            return;
        };
        let watch = metrics.watches.of(&self.arm);
        if !watching.is_of(&watch) {
            // The arm was gone for a while. What is asked is said anew with the next reading.
            *watching = Watching::new(watch);
            self.wanted = None;
        }
        for counters in &self.counters {
            counters
                .watched
                .get_or_init(|| Box::new(WatchCounts::new(Arc::clone(watching.watch()))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(statuses: &[(u16, u64)], latencies: &[u64]) -> ArmReading {
        let statuses = statuses.iter();
        ArmReading {
            statuses: statuses
                .map(|(status, count)| (RequestStatus::http(*status), *count))
                .collect(),
            latencies: latencies.to_vec(),
            ..ArmReading::default()
        }
    }

    fn with_group(mut reading: ArmReading, finished: u64) -> ArmReading {
        let groups = reading.groups.get_or_insert_default();
        groups[5].finished = finished;
        groups[5].slow[2] = finished / 2;
        reading
    }

    #[test]
    fn differences_are_what_was_counted_in_between() {
        let before = reading(&[(200, 5), (404, 1)], &[3, 3]);
        let now = reading(&[(200, 9), (404, 1), (503, 2)], &[3, 5, 4]);
        assert_eq!(
            now.since(&before),
            Some(reading(&[(200, 4), (503, 2)], &[0, 2, 4]))
        );
        assert_eq!(now.since(&ArmReading::default()), Some(now.clone()));
        assert_eq!(before.since(&now), None, "counters that fell began anew");
        let other = reading(&[(200, 90)], &[]);
        assert_eq!(other.since(&before).unwrap().requests(), 85);
        assert_eq!(reading(&[(200, 4), (404, 90)], &[]).since(&before), None);
        let grouped = with_group(now.clone(), 10);
        assert_eq!(grouped.since(&before), None);
        assert_eq!(now.since(&with_group(before.clone(), 0)), None);
        let groups = grouped.since(&with_group(before, 4)).unwrap().groups.unwrap();
        assert_eq!((groups[5].finished, groups[5].slow[2]), (6, 3));
    }

    #[test]
    fn readings_add_up() {
        let mut sum = ArmReading::default();
        sum.add(&with_group(reading(&[(200, 5)], &[1, 2]), 3));
        sum.add(&ArmReading {
            late: 4,
            retries: 7,
            ..with_group(reading(&[(503, 1), (200, u64::MAX)], &[0, 0, 1]), 4)
        });
        let expected = ArmReading {
            late: 4,
            retries: 7,
            ..with_group(reading(&[(200, u64::MAX), (503, 1)], &[1, 2, 1]), 7)
        };
        assert_eq!(sum.statuses, expected.statuses);
        assert_eq!(
            (&sum.latencies, sum.late, sum.retries),
            (&expected.latencies, 4, 7)
        );
        assert_eq!(sum.groups.as_ref().unwrap()[5].finished, 7);
        assert_eq!(sum.requests(), u64::MAX);
    }
}
