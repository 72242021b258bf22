//! The budget of a service's retries: a percentage of its requests over the last [`WINDOW`], and [`SPARE`] besides.
//!
//! Requests are counted by each worker in a ring of its own, as plain numbers by steps of time; they are added up when a
//! retry is asked for. Retries are counted in one ring for all workers. The steps are taken so that the budget never
//! allows more than it says, over any window: retries are counted over a little more than the window, requests over a
//! little less.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

/// Time for which requests and retries count.
pub const WINDOW: Duration = Duration::from_secs(10);
/// Retries in a window besides the percentage: 3 a second, which may be saved up.
pub const SPARE: u64 = 30;

/// The length of a step.
const STEP: Duration = Duration::from_millis(250);
/// Steps in a window.
const STEPS: u32 = (WINDOW.as_millis() / STEP.as_millis()) as u32;
/// Cells of a ring: the steps of a window, and the current one.
const CELLS: usize = STEPS as usize + 1;

/// The budget of a service, shared by all workers.
#[derive(Debug)]
pub struct Budget {
    began: Instant,
    /// Retries; allocated with the first one that is asked for.
    retries: OnceLock<Box<Ring>>,
    /// Requests, by worker.
    requests: ArcSwap<Vec<Arc<Ring>>>,
}

/// One worker's count of the requests to a service.
#[derive(Debug)]
pub struct RequestCount {
    ring: Arc<Ring>,
    began: Instant,
    /// The index of the current cell.
    cell: Cell<usize>,
    /// The end of its step.
    until: Cell<Instant>,
}

/// Counts by step. A cell has the number of its step in the upper half, the count in the lower; a step number of 0 means that
/// it was never used.
#[derive(Debug)]
struct Ring([AtomicU64; CELLS]);

impl Budget {
    /// A budget that begins now: nothing was spent.
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            retries: OnceLock::new(),
            requests: ArcSwap::default(),
        }
    }

    /// The count of one more worker. Those that are gone are forgotten: a call of the gateway's own has one for a moment.
    pub fn join(&self) -> RequestCount {
        let ring = Arc::<Ring>::default();
        self.requests.rcu(|known| {
            let live = known.iter().filter(|ring| Arc::strong_count(ring) > 1);
            live.chain([&ring]).cloned().collect::<Vec<_>>()
        });
        RequestCount {
            ring,
            began: self.began,
            cell: Cell::new(0),
            until: Cell::new(self.began),
        }
    }

    /// Takes one retry out of the budget, if it allows one for `percent` of the requests.
    pub fn take(&self, percent: u32, now: Instant) -> bool {
        let step = step_of(self.began, now);
        let retries = self.retries.get_or_init(Box::default);
        // Counted first: of two workers that ask at once, the later one sees both.
        let cell = retries.add(step);
        let asked = retries.sum(step.saturating_sub(STEPS));
        let requests = self.requests.load();
        let since = (step + 1).saturating_sub(STEPS);
        let requests: u64 = requests.iter().map(|ring| ring.sum(since)).sum();
        let allowed = requests.saturating_mul(u64::from(percent)) / 100 + SPARE;
        let is_allowed = asked <= allowed;
        if !is_allowed {
            retries.undo(cell);
        }
        is_allowed
    }
}

impl RequestCount {
    /// Counts a request.
    #[inline]
    pub fn add(&self, now: Instant) {
        if now >= self.until.get() {
            self.turn(now);
        }
        let cell = &self.ring.0[self.cell.get()];
        // There is one writer, so a load and a store suffice.
        cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Begins with the step of `now`.
    #[cold]
    fn turn(&self, now: Instant) {
        let step = step_of(self.began, now);
        let at = index(step);
        self.cell.set(at);
        self.until.set(self.began + STEP * step);
        self.ring.0[at].store(packed(step), Ordering::Relaxed);
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Ring {
    /// Adds one in `step`, from any thread. Returns the index of the cell that has it.
    fn add(&self, step: u32) -> usize {
        let at = index(step);
        let add = |cell: u64| match step_in(cell) < step {
            true => packed(step) + 1,
            // Another worker's clock may be ahead.
            false => cell + 1,
        };
        let _ = self.0[at].fetch_update(Ordering::SeqCst, Ordering::SeqCst, |cell| Some(add(cell)));
        at
    }

    /// Takes back what was added to the cell at `at`.
    fn undo(&self, at: usize) {
        let take = |cell: u64| (count_in(cell) > 0).then(|| cell - 1);
        let _ = self.0[at].fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
    }

    /// The counts of the steps from `first` on.
    fn sum(&self, first: u32) -> u64 {
        let cells = self.0.iter().map(|cell| cell.load(Ordering::SeqCst));
        cells.filter(|cell| step_in(*cell) >= first).map(count_in).sum()
    }
}

/// The number of the step of `now`, from 1.
fn step_of(began: Instant, now: Instant) -> u32 {
    let steps = now.saturating_duration_since(began).as_millis() / STEP.as_millis();
    u32::try_from(steps).unwrap_or(u32::MAX - 1) + 1
}

fn index(step: u32) -> usize {
    step as usize % CELLS
}

/// A cell of `step` without a count.
fn packed(step: u32) -> u64 {
    u64::from(step) << 32
}

fn step_in(cell: u64) -> u32 {
    (cell >> 32) as u32
}

fn count_in(cell: u64) -> u64 {
    cell & u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_that_are_gone_are_forgotten() {
        let budget = Budget::new(Instant::now());
        let worker = budget.join();
        for _ in 0..100 {
            drop(budget.join());
        }
        assert!(budget.requests.load().len() <= 2);
        drop(worker);
    }

    /// Requests and retries that were asked for: the milliseconds since the one before, and the worker of a request or
    /// the percentage of a retry.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        Requests(u64, usize, u64),
        Retry(u64, u32),
    }
    use Event::{Requests, Retry};

    /// The retries that are allowed.
    fn allowed(events: &[Event]) -> Vec<bool> {
        let mut now = Instant::now();
        let budget = Budget::new(now);
        let workers = [budget.join(), budget.join()];
        let mut allowed = Vec::new();
        for event in events {
            match *event {
                Requests(after, worker, count) => {
                    now += Duration::from_millis(after);
                    (0..count).for_each(|_| workers[worker].add(now));
                }
                Retry(after, percent) => {
                    now += Duration::from_millis(after);
                    allowed.push(budget.take(percent, now));
                }
            }
        }
        allowed
    }

    /// The same, with a list of all times.
    fn reference(events: &[Event]) -> Vec<bool> {
        let (mut now, mut allowed) = (0, Vec::new());
        let (mut requests, mut retries) = (Vec::new(), Vec::new());
        let step = |at: u64| at / 250;
        for event in events {
            match *event {
                Requests(after, _, count) => {
                    now += after;
                    (0..count).for_each(|_| requests.push(now));
                }
                Retry(after, percent) => {
                    now += after;
                    let spent = retries.iter().filter(|at| step(**at) + 40 >= step(now)).count();
                    let seen = requests.iter().filter(|at| step(**at) + 39 >= step(now)).count();
                    let is_allowed = spent < seen * percent as usize / 100 + 30;
                    if is_allowed {
                        retries.push(now);
                    }
                    allowed.push(is_allowed);
                }
            }
        }
        allowed
    }

    fn check(events: &[Event], expected: usize) {
        let allowed = allowed(events);
        let count = allowed.iter().filter(|is_allowed| **is_allowed).count();
        assert_eq!(count, expected, "{events:?}");
        assert_eq!(allowed, reference(events));
    }

    fn many(event: Event, times: usize) -> Vec<Event> {
        vec![event; times]
    }

    #[test]
    fn retries_are_a_share_of_the_requests_and_thirty_besides() {
        check(&many(Retry(0, 20), 100), 30);
        check(&[vec![Requests(0, 0, 100)], many(Retry(0, 20), 100)].concat(), 50);
        check(&[vec![Requests(0, 0, 100)], many(Retry(0, 0), 100)].concat(), 30);
        let two_workers = vec![Requests(0, 0, 50), Requests(300, 1, 50)];
        check(&[two_workers, many(Retry(0, 20), 100)].concat(), 50);
        // A dead service: one request, one retry.
        check(&[Requests(0, 0, 1), Retry(0, 100)].repeat(100), 100);
        check(&[Requests(0, 0, 1), Retry(0, 20)].repeat(100), 50);
        check(&[Requests(0, 0, 1), Retry(0, 0)].repeat(100), 30);
    }

    #[test]
    fn what_is_older_than_the_window_no_longer_counts() {
        let spent = many(Retry(0, 20), 40);
        // Retries count for a step longer than the window, requests for a step less.
        let again = |after: u64| [spent.clone(), vec![Retry(after, 20); 1], many(Retry(0, 20), 39)].concat();
        check(&again(10_249), 30);
        check(&again(10_250), 60);
        let requests = |after: u64| {
            [
                vec![Requests(0, 0, 100), Retry(after, 20)],
                many(Retry(0, 20), 99),
            ]
            .concat()
        };
        check(&requests(9_999), 50);
        check(&requests(10_000), 30);
        // Three a second, in the long run.
        let long = [Retry(100, 20)].repeat(1000);
        let count = allowed(&long).iter().filter(|is_allowed| **is_allowed).count();
        assert!((270..=330).contains(&count), "{count}");
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0..3000u64, 0..2usize, 0..60u64)
                .prop_map(|(after, worker, count)| Requests(after, worker, count)),
            (0..300u64, 0..=100u32).prop_map(|(after, percent)| Retry(after, percent)),
            (0..2u64, 0..=100u32).prop_map(|(after, percent)| Retry(after, percent)),
        ]
    }

    proptest! {
        #[test]
        fn rings_are_lists(events in prop::collection::vec(event(), 0..400)) {
            prop_assert_eq!(allowed(&events), reference(&events));
        }

        #[test]
        fn no_window_has_more_than_its_budget(
            events in prop::collection::vec(event(), 0..400),
            percent in 0..=100u32,
        ) {
            let events: Vec<Event> = events
                .into_iter()
                .map(|event| match event {
                    Retry(after, _) => Retry(after, percent),
                    requests => requests,
                })
                .collect();
            let mut allowed = allowed(&events).into_iter();
            let (mut now, mut requests, mut retries) = (0u64, Vec::new(), Vec::new());
            for event in &events {
                match *event {
                    Requests(after, _, count) => {
                        now += after;
                        requests.push((now, count));
                    }
                    Retry(after, _) => {
                        now += after;
                        if allowed.next() != Some(true) {
                            continue;
                        }
                        retries.push(now);
                        let within = |at: u64| at + 10_000 >= now;
                        let spent = retries.iter().filter(|at| within(**at)).count() as u64;
                        let seen: u64 =
                            requests.iter().filter(|(at, _)| within(*at)).map(|(_, count)| count).sum();
                        prop_assert!(spent <= seen * u64::from(percent) / 100 + 30);
                    }
                }
            }
        }
    }

    #[test]
    fn workers_that_ask_at_once_get_no_more() {
        let now = Instant::now();
        let budget = Budget::new(now);
        let taken: usize = std::thread::scope(|scope| {
            let ask = || (0..1000).filter(|_| budget.take(20, now)).count();
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        // What one worker takes back may keep another from its last one.
        assert!(taken <= 30 && taken > 0, "{taken}");
    }
}
