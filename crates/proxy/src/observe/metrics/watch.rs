//! Counts that a rollout asks of an arm beyond its metrics: by group of clients, and of requests that are late.
//!
//! The control says what it asks in a [`Watch`], one for each arm, which all workers read; a worker counts in a [`WatchCounts`]
//! of its own. Arms that no rollout asks about have neither.

use std::array;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hashbrown::HashMap;
use waypost_plan::failures::FailureRule;
use waypost_policy::status::{RequestStatus, StatusKind};
use waypost_upstream::counters::Counter;
use waypost_upstream::histogram::exceeding_us;

use crate::observe::metrics::RouteAndService;

/// The number of groups that clients are in, by the low bits of the roll that picks their arm.
pub const GROUPS: usize = 16;
/// The number of bounds over which requests of a group count as slow.
pub const BOUNDS: usize = 3;

/// The counts that are asked of an arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The requests that count as failed.
    pub failures: FailureRule,
    /// Counts by group are asked for; requests are slow over these buckets of the latency histogram.
    pub groups: Option<[Option<usize>; BOUNDS]>,
}

/// The counts that are asked of one arm at present, published to all workers.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    published: ArcSwapOption<Published>,
    /// The number of [`Watching`]s.
    watching: AtomicUsize,
}

#[derive(Debug)]
struct Published {
    asked: Wanted,
    /// The least durations that are slow, in microseconds.
    slow_us: [u64; BOUNDS],
}

/// The right to ask something of an arm. When the last one ends, nothing is asked any more.
#[derive(Debug)]
pub(super) struct Watching(Arc<Watch>);

/// The watches of all arms that rollouts have asked about.
#[derive(Debug, Default)]
pub(crate) struct Watches(Mutex<HashMap<RouteAndService, Arc<Watch>>>);

/// One worker's counts of a watched arm.
#[derive(Debug)]
pub(crate) struct WatchCounts {
    watch: Arc<Watch>,
    /// Requests that were counted as failed before they had ended.
    late: Counter,
    /// Allocated with the first count.
    groups: OnceLock<Box<[GroupCounters; GROUPS]>>,
}

/// The counts of one group. A group has a cache line of its own.
#[derive(Debug, Default)]
#[repr(C, align(64))]
struct GroupCounters {
    finished: Counter,
    failed: Counter,
    client_errors: Counter,
    abandoned: Counter,
    slow: [Counter; BOUNDS],
}

/// A snapshot of the counts of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupReading {
    /// Requests.
    pub finished: u64,
    /// Failed ones among them.
    pub failed: u64,
    /// Ones that their clients are to blame for.
    pub client_errors: u64,
    /// Ones that their clients left.
    pub abandoned: u64,
    /// Ones over each of the bounds of [`Wanted::groups`].
    pub slow: [u64; BOUNDS],
}

impl GroupReading {
    /// The requests since an earlier reading.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            finished: self.finished.saturating_sub(earlier.finished),
            failed: self.failed.saturating_sub(earlier.failed),
            client_errors: self.client_errors.saturating_sub(earlier.client_errors),
            abandoned: self.abandoned.saturating_sub(earlier.abandoned),
            slow: array::from_fn(|at| self.slow[at].saturating_sub(earlier.slow[at])),
        }
    }

    /// Adds the requests of another reading.
    pub fn add(&mut self, more: &Self) {
        self.finished = self.finished.saturating_add(more.finished);
        self.failed = self.failed.saturating_add(more.failed);
        self.client_errors = self.client_errors.saturating_add(more.client_errors);
        self.abandoned = self.abandoned.saturating_add(more.abandoned);
        for (sum, more) in self.slow.iter_mut().zip(more.slow) {
            *sum = sum.saturating_add(more);
        }
    }
}

impl Watch {
    /// Asks for `asked` from now on.
    fn publish(&self, asked: &Wanted) {
        let bounds = asked.groups.unwrap_or_default();
        self.published.store(Some(Arc::new(Published {
            asked: asked.clone(),
            slow_us: bounds.map(|bucket| bucket.map_or(u64::MAX, exceeding_us)),
        })));
    }
}

impl Watching {
    pub(super) fn new(watch: Arc<Watch>) -> Self {
        watch.watching.fetch_add(1, Ordering::Relaxed);
        Self(watch)
    }

    pub(super) fn is_of(&self, watch: &Arc<Watch>) -> bool {
        Arc::ptr_eq(&self.0, watch)
    }

    /// Asks for `asked`, unless that is asked already.
    pub(super) fn ask(&self, asked: &Wanted) {
        let published = self.0.published.load();
        if published
            .as_ref()
            .is_none_or(|published| published.asked != *asked)
        {
            self.0.publish(asked);
        }
    }

    pub(super) fn watch(&self) -> &Arc<Watch> {
        &self.0
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if self.0.watching.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.published.store(None);
        }
    }
}

impl Watches {
    /// The watch of an arm, which may be new.
    pub(super) fn of(&self, arm: &RouteAndService) -> Arc<Watch> {
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(watches.entry_ref(arm).or_default())
    }

    /// The watch of an arm for a worker, which waits for no one: if the watches are locked, its reader catches up on it.
    pub(super) fn known(&self, arm: &RouteAndService) -> Option<Arc<Watch>> {
        let watches = match self.0.try_lock() {
            Ok(watches) => watches,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        watches.get(arm).map(Arc::clone)
    }

    /// Forgets an arm that is gone.
    pub(super) fn forget(&self, arm: &RouteAndService) {
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.remove(arm);
    }
}

impl WatchCounts {
    pub(super) fn new(watch: Arc<Watch>) -> Self {
        Self {
            watch,
            late: Counter::default(),
            groups: OnceLock::new(),
        }
    }

    /// The time after which a request without a response counts as failed.
    pub(crate) fn late_after(&self) -> Option<Duration> {
        self.watch.published.load().as_ref()?.asked.failures.late
    }

    /// Counts a request that has ended. Must only be called by the worker that counts here.
    pub(crate) fn count(&self, group: u8, status: RequestStatus, upstream: Option<Duration>) {
        let published = self.watch.published.load();
        let Some(published) = published
            .as_ref()
            .filter(|published| published.asked.groups.is_some())
        else {
            return;
        };
        let counters = self.group(group);
        counters.finished.add(1);
        match status.kind(&published.asked.failures) {
            StatusKind::Fine => {}
            StatusKind::Failed => counters.failed.add(1),
            StatusKind::ClientError => counters.client_errors.add(1),
            StatusKind::Abandoned => counters.abandoned.add(1),
        }
        let Some(upstream) = upstream else { return };
        let us = u64::try_from(upstream.as_micros()).unwrap_or(u64::MAX);
        for (slow, slow_us) in counters.slow.iter().zip(published.slow_us) {
            if us >= slow_us {
                slow.add(1);
            }
        }
    }

    /// Counts a request as failed that has not ended. Must only be called by the worker that counts here.
    pub(crate) fn count_late(&self, group: u8) {
        self.late.add(1);
        let published = self.watch.published.load();
        if published
            .as_ref()
            .is_some_and(|published| published.asked.groups.is_some())
        {
            let counters = self.group(group);
            counters.finished.add(1);
            counters.failed.add(1);
        }
    }

    fn group(&self, group: u8) -> &GroupCounters {
        let groups = self
            .groups
            .get_or_init(|| Box::new(array::from_fn(|_| GroupCounters::default())));
        &groups[usize::from(group) % GROUPS]
    }

    /// Requests that were counted as failed before they had ended.
    pub(super) fn late(&self) -> u64 {
        self.late.read()
    }

    /// Adds the counts by group to `sums`.
    pub(super) fn add_groups_to(&self, sums: &mut [GroupReading; GROUPS]) {
        let Some(groups) = self.groups.get() else { return };
        for (sum, counters) in sums.iter_mut().zip(&**groups) {
            sum.finished += counters.finished.read();
            sum.failed += counters.failed.read();
            sum.client_errors += counters.client_errors.read();
            sum.abandoned += counters.abandoned.read();
            for (sum, slow) in sum.slow.iter_mut().zip(&counters.slow) {
                *sum += slow.read();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Wanted {
        Wanted {
            failures: FailureRule::default(),
            // Buckets are below 1.1 ms, 2 ms, and unknown.
            groups: Some([Some(96), Some(105), None]),
        }
    }

    fn read(watched: &WatchCounts) -> [GroupReading; GROUPS] {
        let mut sums = [GroupReading::default(); GROUPS];
        watched.add_groups_to(&mut sums);
        sums
    }

    #[test]
    fn groups_are_counted_while_they_are_asked_for() {
        let watch = Arc::<Watch>::default();
        let watched = WatchCounts::new(Arc::clone(&watch));
        let ms = |ms| Some(Duration::from_millis(ms));
        watched.count(3, RequestStatus::http(200), ms(1));
        assert_eq!(read(&watched), [GroupReading::default(); GROUPS]);
        let watching = Watching::new(Arc::clone(&watch));
        watching.ask(&asked());
        watched.count(3, RequestStatus::http(200), ms(1));
        watched.count(3, RequestStatus::http(503), ms(2));
        watched.count(3, RequestStatus::http(404), Some(Duration::from_micros(1100)));
        watched.count(15, RequestStatus::default(), None);
        let mut expected = [GroupReading::default(); GROUPS];
        expected[3] = GroupReading {
            finished: 3,
            failed: 1,
            client_errors: 1,
            slow: [2, 1, 0],
            ..GroupReading::default()
        };
        expected[15] = GroupReading {
            finished: 1,
            abandoned: 1,
            ..GroupReading::default()
        };
        assert_eq!(read(&watched), expected);
        // Another one takes over before the first one ends.
        let other = Watching::new(watch);
        drop(watching);
        watched.count(0, RequestStatus::http(200), None);
        drop(other);
        watched.count(0, RequestStatus::http(200), None);
        assert_eq!(read(&watched)[0].finished, 1);
    }

    #[test]
    fn late_requests_are_failed_ones() {
        let watch = Arc::<Watch>::default();
        let watched = WatchCounts::new(Arc::clone(&watch));
        assert_eq!(watched.late_after(), None);
        let watching = Watching::new(watch);
        let mut asked = asked();
        asked.failures.late = Some(Duration::from_secs(10));
        watching.ask(&asked);
        assert_eq!(watched.late_after(), Some(Duration::from_secs(10)));
        watched.count_late(1);
        assert_eq!(watched.late(), 1);
        let group = read(&watched)[1];
        assert_eq!((group.finished, group.failed), (1, 1));
        asked.groups = None;
        watching.ask(&asked);
        watched.count_late(1);
        watched.count(1, RequestStatus::http(200), None);
        assert_eq!((watched.late(), read(&watched)[1].finished), (2, 1));
    }
}
