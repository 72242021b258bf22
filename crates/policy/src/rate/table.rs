//! The buckets of one place that says a rate, shared by all workers.
//!
//! They lie in shards, each behind a lock that is held for the look at a bucket, and for as many at once as a request has
//! limits: it counts at all of them or at none. A shard has pages, so that one that grows moves few buckets.
//!
//! Keys are not kept, but fingerprints of 64 bits, by SipHash-1-3 with a key of the table's own. With a million keys the
//! chance that a given one shares a bucket with another is 10⁶ / 2⁶⁴, less than 10⁻¹³, and that any two of them do, less
//! than 10⁻⁷; a client that does not know the key cannot bring it about.
//!
//! A bucket at rest is the same as none and leaves as others are used, or as workers tidy up. In a full table a new key takes
//! the place of the oldest bucket near its own, the one that would be at rest first, but never of one that is used up: who is
//! over a limit stays so, however many keys come. Where all buckets are used up, new keys share one bucket of the shard.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use waypost_plan::rate::{LIMITS_MAX, Rate};

use crate::rate::gcra::{Admission, Exact, Pace, Rest};
use crate::rate::page::Page;

/// Maximum keys of a table.
pub const KEYS_MAX: usize = 1_000_000;

/// Maximum bytes of a table.
pub const BYTES_MAX: usize = 64 << 20;

/// Shards of a table. A lock is held for less than a tenth of a microsecond, so that few are enough for many workers.
const SHARDS: usize = 16;

/// Pages of a shard with many keys.
const PAGES: usize = 64;

/// Slots of the only page of a shard at which it gets many.
const ONE_PAGE_MAX: usize = 512;

/// Uses of a shard between two sweeps, and the slots that one looks at.
const SWEEP: u32 = 64;

/// Pages that are tidied up at a time.
const TIDIED: usize = 8;

/// The buckets of one rate.
#[derive(Debug)]
pub struct Table {
    hasher: RandomState,
    paces: Box<[Pace]>,
    /// The gateways that have the limits together.
    gateways: AtomicU32,
    /// Made for the first request: most of many routes may never get one.
    shards: OnceLock<Box<[Shard]>>,
    keys: AtomicUsize,
    evicted: AtomicU64,
    /// Requests of keys that found no place.
    unplaced: AtomicU64,
    /// The page that is tidied up next.
    tidied: AtomicUsize,
}

/// A part of the buckets.
#[derive(Debug, Default)]
// Locks of two shards are in two cache lines.
#[repr(align(64))]
struct Shard(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    /// One, or [`PAGES`].
    pages: Vec<Page>,
    /// The buckets of keys that find no place, one for each limit.
    shared: Option<Box<[Exact; LIMITS_MAX]>>,
    uses: u32,
}

/// A request at the bucket of one limit.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Visit {
    /// The fingerprint of its key.
    pub(crate) fingerprint: u64,
    /// False if it passes anyway.
    pub(crate) is_enforced: bool,
    /// The nanoseconds to wait; `None` if the limit lets it pass.
    pub(crate) wait: Option<u64>,
    /// The rest of the bucket, once it is counted.
    pub(crate) rest: Rest,
}

/// Counts, or looks without counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// Live traffic: requests that pass are counted.
    Counts,
    /// Nothing changes.
    Looks,
}

impl Table {
    /// An empty table.
    pub(crate) fn of(rate: &Rate) -> Self {
        Self {
            hasher: RandomState::new(),
            paces: rate.limits().iter().map(Pace::of).collect(),
            gateways: AtomicU32::new(1),
            shards: OnceLock::new(),
            keys: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
            unplaced: AtomicU64::new(0),
            tidied: AtomicUsize::new(0),
        }
    }

    /// Divides the limits by so many gateways from now on. Buckets stay as they are.
    pub(crate) fn share_among(&self, gateways: u32) {
        self.gateways.store(gateways, Ordering::Relaxed);
    }

    /// The gateways that have the limits together.
    pub(crate) fn gateways(&self) -> u32 {
        self.gateways.load(Ordering::Relaxed)
    }

    /// The pace of a limit at this gateway.
    #[inline]
    fn pace(&self, limit: usize) -> Pace {
        let pace = self.paces[limit];
        match self.gateways() {
            0 | 1 => pace,
            gateways => pace.among(gateways),
        }
    }

    /// The paces of all limits at this gateway.
    fn paces(&self) -> Cow<'_, [Pace]> {
        match self.gateways() {
            0 | 1 => Cow::Borrowed(&self.paces),
            _ => (0..self.paces.len()).map(|limit| self.pace(limit)).collect(),
        }
    }

    /// Begins the fingerprint of a key.
    pub(crate) fn hasher(&self) -> impl Hasher + use<> {
        self.hasher.build_hasher()
    }

    /// The fingerprint that was hashed.
    pub(crate) fn fingerprint(hasher: &impl Hasher) -> u64 {
        // 0 is a free slot.
        hasher.finish().max(1)
    }

    /// The number of keys that are kept.
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Buckets that gave way to new keys.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Requests of keys that found no place, as all buckets were used up.
    pub fn unplaced(&self) -> u64 {
        self.unplaced.load(Ordering::Relaxed)
    }

    /// Returns true if there was a request.
    pub fn is_used(&self) -> bool {
        self.shards.get().is_some()
    }

    /// The bytes that it takes.
    pub fn bytes(&self) -> usize {
        let shards = self.shards.get().map_or(&[][..], |shards| shards);
        let all = shards.iter().map(|shard| {
            let shard = shard.lock();
            let slots: usize = shard.pages.iter().map(Page::bytes).sum();
            let shared = shard.shared.as_deref().map_or(0, size_of_val);
            size_of::<Shard>() + shared + shard.pages.capacity() * size_of::<Page>() + slots
        });
        size_of::<Self>() + all.sum::<usize>()
    }

    /// Takes a request past the limits, whose visits are in their order: it is counted at those that let it pass, unless one
    /// that is enforced does not. Returns true if it passes.
    pub(crate) fn visit(&self, visits: &mut [Visit], now: u64, counting: Counting) -> bool {
        let shards = match counting {
            Counting::Counts => Some(self.shards()),
            Counting::Looks => self.shards.get().map(|shards| &**shards),
        };
        match (shards, &mut *visits) {
            (Some(shards), [only]) => {
                let mut shard = shards[shard_of(only.fingerprint)].lock();
                self.visit_one(&mut shard, only, now, counting)
            }
            (shards, visits) => {
                self.visit_all(shards.map_or(&[][..], |shards| shards), visits, now, counting)
            }
        }
    }

    /// A request with one limit, as most have.
    #[inline]
    fn visit_one(&self, shard: &mut Pages, visit: &mut Visit, now: u64, counting: Counting) -> bool {
        let pace = &self.pace(0);
        let fingerprint = visit.fingerprint;
        if counting == Counting::Counts {
            self.sweep(shard, fingerprint, now);
        }
        if let Some(page) = shard.page(fingerprint)
            && let Some(at) = page.find(fingerprint)
        {
            let bucket = page.bucket(at);
            let after = visit.judge(pace, bucket, now);
            if let Some(after) = after
                && counting == Counting::Counts
            {
                page.set(at, after);
            }
            return visit.passes();
        }
        self.visit_new(shard, visit, 0, now, counting);
        visit.passes()
    }

    /// A key that has no bucket yet.
    #[inline(never)]
    fn visit_new(&self, shard: &mut Pages, visit: &mut Visit, limit: usize, now: u64, counting: Counting) {
        let pace = &self.pace(limit);
        if counting == Counting::Looks {
            let bucket = self.bucket_for_new(shard, visit.fingerprint, limit, now);
            visit.judge(pace, bucket, now);
            return;
        }
        if self.place(shard, visit.fingerprint, now) {
            let after = visit.judge(pace, Exact::default(), now);
            // A bucket at rest lets one pass.
            shard.insert(visit.fingerprint, limit, after.unwrap_or_default());
            return;
        }
        self.unplaced.fetch_add(1, Ordering::Relaxed);
        let bucket = &mut shard.shared.get_or_insert_default()[limit];
        *bucket = visit.judge(pace, *bucket, now).unwrap_or(*bucket);
    }

    /// The bucket that a new key would have: that of those without a place, if there is none.
    fn bucket_for_new(&self, shard: &mut Pages, fingerprint: u64, limit: usize, now: u64) -> Exact {
        let shared = shard
            .shared
            .as_ref()
            .map_or_else(Exact::default, |shared| shared[limit]);
        let is_placed = self.keys() < KEYS_MAX
            || shard
                .page(fingerprint)
                .is_some_and(|page| page.oldest(fingerprint, &self.paces(), now).is_some());
        if is_placed { Exact::default() } else { shared }
    }

    /// Makes room for a new key. Returns false if there is none.
    fn place(&self, shard: &mut Pages, fingerprint: u64, now: u64) -> bool {
        let page = shard.page_for_new(fingerprint);
        if page.is_full() {
            // Rather than to grow, if that helps for a while.
            let gone = page.sweep(page.slots(), now);
            self.keys.fetch_sub(gone, Ordering::Relaxed);
            if gone < page.slots() / 8 {
                page.grow();
            }
        }
        let more = |keys: usize| (keys < KEYS_MAX).then_some(keys + 1);
        if self
            .keys
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
        {
            return true;
        }
        let Some(oldest) = page.oldest(fingerprint, &self.paces(), now) else {
            return false;
        };
        page.remove(oldest);
        self.evicted.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// A request with several limits, or a look at a table that is empty.
    #[inline(never)]
    fn visit_all(&self, shards: &[Shard], visits: &mut [Visit], now: u64, counting: Counting) -> bool {
        let mut locked: [Option<MutexGuard<'_, Pages>>; SHARDS] = [const { None }; SHARDS];
        // In the order of their positions, so that no two requests wait for each other.
        let mut wanted: [bool; SHARDS] = [false; SHARDS];
        visits
            .iter()
            .for_each(|visit| wanted[shard_of(visit.fingerprint)] = true);
        for (at, shard) in shards.iter().enumerate() {
            if wanted[at] {
                locked[at] = Some(shard.lock());
            }
        }
        let mut nowhere = Pages::default();
        let mut found = [None; LIMITS_MAX];
        for ((limit, visit), found) in visits.iter_mut().enumerate().zip(&mut found) {
            let shard = locked[shard_of(visit.fingerprint)].as_deref_mut();
            let shard = shard.unwrap_or(&mut nowhere);
            let kept = shard.kept(visit.fingerprint);
            let bucket = kept.unwrap_or_else(|| self.bucket_for_new(shard, visit.fingerprint, limit, now));
            *found = Some(bucket);
            visit.judge(&self.pace(limit), bucket, now);
        }
        let passes = visits.iter().all(Visit::passes);
        for ((limit, visit), found) in visits.iter_mut().enumerate().zip(found) {
            let Some(shard) = locked[shard_of(visit.fingerprint)].as_deref_mut() else {
                continue;
            };
            if !passes {
                // Nothing was taken from it.
                visit.rest = self.pace(limit).rest(found.unwrap_or_default(), now);
                continue;
            }
            if counting == Counting::Looks || visit.wait.is_some() {
                continue;
            }
            let fingerprint = visit.fingerprint;
            self.sweep(shard, fingerprint, now);
            if let Some(page) = shard.page(fingerprint)
                && let Some(at) = page.find(fingerprint)
            {
                if let Some(after) = visit.judge(&self.pace(limit), page.bucket(at), now) {
                    page.set(at, after);
                }
                continue;
            }
            self.visit_new(shard, visit, limit, now, counting);
        }
        passes
    }

    /// Removes buckets at rest now and then, from the page that is in use.
    #[inline]
    fn sweep(&self, shard: &mut Pages, fingerprint: u64, now: u64) {
        shard.uses = shard.uses.wrapping_add(1);
        if shard.uses.is_multiple_of(SWEEP)
            && let Some(page) = shard.page(fingerprint)
        {
            let gone = page.sweep(SWEEP as usize, now);
            self.keys.fetch_sub(gone, Ordering::Relaxed);
        }
    }

    /// Removes the buckets at rest of a few pages, and returns memory. Called now and then, also where there are no requests.
    pub fn tidy(&self, now: u64) {
        let Some(shards) = self.shards.get() else {
            return;
        };
        for _ in 0..TIDIED {
            let turn = self.tidied.fetch_add(1, Ordering::Relaxed);
            let mut shard = shards[turn % SHARDS].lock();
            let pages = shard.pages.len();
            if pages > 0 {
                let page = &mut shard.pages[turn / SHARDS % pages];
                let gone = page.sweep(page.slots(), now);
                page.shrink();
                self.keys.fetch_sub(gone, Ordering::Relaxed);
            }
        }
    }

    fn shards(&self) -> &[Shard] {
        self.shards
            .get_or_init(|| (0..SHARDS).map(|_| Shard::default()).collect())
    }
}

impl Visit {
    /// Notes the judgement of a limit. Returns the bucket once the request is counted.
    #[inline]
    fn judge(&mut self, pace: &Pace, bucket: Exact, now: u64) -> Option<Exact> {
        match pace.admit(bucket, now) {
            Admission::Passes(after) => {
                self.wait = None;
                self.rest = pace.rest(after, now);
                Some(after)
            }
            Admission::Waits(wait) => {
                self.wait = Some(wait);
                self.rest = pace.rest(bucket, now);
                None
            }
        }
    }

    fn passes(&self) -> bool {
        self.wait.is_none() || !self.is_enforced
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Pages> {
        // Nothing panics under the lock; if it did, a bucket would be as it was.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    #[inline]
    fn page(&mut self, fingerprint: u64) -> Option<&mut Page> {
        let at = page_of(fingerprint, self.pages.len());
        self.pages.get_mut(at)
    }

    fn kept(&self, fingerprint: u64) -> Option<Exact> {
        let page = self.pages.get(page_of(fingerprint, self.pages.len()))?;
        Some(page.bucket(page.find(fingerprint)?))
    }

    /// The page that a new key belongs to.
    fn page_for_new(&mut self, fingerprint: u64) -> &mut Page {
        if self.pages.is_empty() {
            self.pages.push(Page::default());
        }
        if self.pages.len() == 1 && self.pages[0].slots() >= ONE_PAGE_MAX && self.pages[0].is_full() {
            let mut only = self.pages.swap_remove(0);
            self.pages.reserve_exact(PAGES);
            self.pages.resize_with(PAGES, Page::default);
            for (fingerprint, limit, bucket) in only.drain() {
                self.pages[page_of(fingerprint, PAGES)].insert(fingerprint, limit, bucket);
            }
        }
        let at = page_of(fingerprint, self.pages.len());
        &mut self.pages[at]
    }

    fn insert(&mut self, fingerprint: u64, limit: usize, bucket: Exact) {
        let page = self.page_for_new(fingerprint);
        // There are few limits.
        page.insert(fingerprint, limit as u8, bucket);
    }
}

/// The shard of a key.
#[inline]
fn shard_of(fingerprint: u64) -> usize {
    (fingerprint >> 60) as usize % SHARDS
}

/// The page of a key in a shard with so many. Slots are found by the bits at the other end.
#[inline]
fn page_of(fingerprint: u64, pages: usize) -> usize {
    match pages {
        PAGES => (fingerprint >> 54) as usize % PAGES,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::thread;
    use std::time::Duration;

    use proptest::prelude::*;
    use waypost_plan::rate::{RateKey, RateLimit, RateScope};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn limit(requests: u32, per: Duration, burst: u32) -> RateLimit {
        RateLimit {
            requests,
            per,
            burst,
            by: RateKey::ClientIp,
            report_only: false,
            headers: true,
        }
    }

    fn table(limits: &[RateLimit]) -> Table {
        Table::of(&Rate::new(0, RateScope::Route("r".into()), limits.to_vec()))
    }

    /// As many a day, so that none comes back.
    fn daily(requests: u32) -> RateLimit {
        limit(requests, Duration::from_secs(86_400), requests)
    }

    fn fingerprint(table: &Table, key: u64) -> u64 {
        let mut hasher = table.hasher();
        hasher.write_u64(key);
        Table::fingerprint(&hasher)
    }

    fn pass(table: &Table, keys: &[u64], now: u64) -> bool {
        let mut visits: Vec<Visit> = keys
            .iter()
            .enumerate()
            .map(|(at, key)| Visit {
                fingerprint: fingerprint(table, key << 3 | at as u64),
                is_enforced: true,
                ..Visit::default()
            })
            .collect();
        table.visit(&mut visits, now, Counting::Counts)
    }

    /// Requests of so many threads with these keys. Returns how many passed.
    fn pass_from_threads(table: &Table, keys: &(dyn Fn(u64) -> Vec<u64> + Sync), each: u64) -> u64 {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(move || (0..each).filter(|at| pass(table, &keys(*at), 7 * SECOND)).count())
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap() as u64)
                .sum()
        })
    }

    #[test]
    fn threads_pass_exactly_as_many_requests_as_the_limit() {
        let one = table(&[daily(10_000)]);
        assert_eq!(pass_from_threads(&one, &|_| vec![1], 10_000), 10_000);
        assert!(!pass(&one, &[1], 7 * SECOND));
        assert!(pass(&one, &[2], 7 * SECOND));
        // Every key has its own, also while tables grow.
        let many = table(&[daily(3)]);
        assert_eq!(pass_from_threads(&many, &|at| vec![at / 7], 7 * 2000), 3 * 2000);
        assert_eq!(many.keys(), 2000);
    }

    #[test]
    fn a_request_counts_at_all_limits_or_at_none() {
        let both = table(&[daily(1000), daily(3)]);
        // The second has 3 for each of 100 keys, the first 1000 in all.
        assert_eq!(pass_from_threads(&both, &|at| vec![1, at % 100], 2000), 300);
        // Those that were refused are not counted at the first: 700 are left.
        assert_eq!(
            pass_from_threads(&both, &|at| vec![1, 1000 + at % 1000], 1000),
            700
        );
    }

    #[test]
    fn reported_requests_pass_and_are_not_counted() {
        let table = table(&[daily(2)]);
        let mut visit = Visit {
            fingerprint: fingerprint(&table, 1),
            ..Visit::default()
        };
        let waits: Vec<bool> = (0..4)
            .map(|_| {
                assert!(table.visit(std::slice::from_mut(&mut visit), 0, Counting::Counts));
                visit.wait.is_some()
            })
            .collect();
        assert_eq!(waits, [false, false, true, true]);
    }

    #[test]
    fn looking_changes_nothing() {
        let table = table(&[daily(2)]);
        let look = || {
            let mut visit = Visit {
                fingerprint: fingerprint(&table, 8),
                is_enforced: true,
                ..Visit::default()
            };
            let passes = table.visit(std::slice::from_mut(&mut visit), 0, Counting::Looks);
            (passes, visit.rest.requests)
        };
        assert_eq!(look(), (true, 1));
        assert_eq!(look(), (true, 1));
        assert!(!table.is_used());
        assert!(pass(&table, &[1], 0));
        assert_eq!(look(), (true, 0));
        assert!(pass(&table, &[1], 0));
        assert_eq!((look(), look()), ((false, 0), (false, 0)));
        assert_eq!(table.keys(), 1);
    }

    #[test]
    fn a_million_keys_fit_and_a_flood_evicts_the_oldest() {
        let table = table(&[daily(2)]);
        // One key is over its limit, before all others.
        assert!(pass(&table, &[1], 1) && pass(&table, &[1], 1) && !pass(&table, &[1], 1));
        for key in 2..=KEYS_MAX as u64 {
            assert!(pass(&table, &[key], key));
        }
        assert_eq!((table.keys(), table.evicted()), (KEYS_MAX, 0));
        assert!(table.bytes() <= BYTES_MAX, "{} bytes", table.bytes());
        // A flood of new keys; each of them passes.
        let flood = 50_000;
        for key in 0..flood {
            assert!(pass(
                &table,
                &[2 * KEYS_MAX as u64 + key],
                2 * KEYS_MAX as u64 + key
            ));
        }
        assert_eq!((table.keys(), table.evicted()), (KEYS_MAX, flood));
        assert_eq!(table.unplaced(), 0);
        assert!(table.bytes() <= BYTES_MAX, "{} bytes", table.bytes());
        assert!(
            !pass(&table, &[1], 4 * KEYS_MAX as u64),
            "the one over its limit stays so"
        );
        // Nearly all that are gone are of the oldest quarter.
        let is_kept = |key: &u64| {
            let mut visit = Visit {
                fingerprint: fingerprint(&table, key << 3),
                is_enforced: true,
                ..Visit::default()
            };
            table.visit(
                std::slice::from_mut(&mut visit),
                4 * KEYS_MAX as u64,
                Counting::Looks,
            );
            visit.rest.requests == 0
        };
        let quarter = KEYS_MAX as u64 / 4;
        let old = (2..quarter).filter(|key| !is_kept(key)).count();
        assert!(old as u64 > flood * 9 / 10, "{old} of {flood} were old");
        // Once they are at rest, all leave.
        let later = 10 * 86_400 * SECOND;
        while table.keys() > 0 {
            table.tidy(later);
        }
        (0..SHARDS * PAGES).for_each(|_| table.tidy(later));
        assert!(table.bytes() < 100_000, "{} bytes", table.bytes());
    }

    #[test]
    fn keys_without_a_place_share_a_bucket() {
        // A key is over its limit by its first request.
        let table = table(&[daily(1)]);
        for key in 0..KEYS_MAX as u64 {
            assert!(pass(&table, &[key], 5));
        }
        let flood = 20_000;
        let passed = (0..flood)
            .filter(|key| pass(&table, &[KEYS_MAX as u64 + key], 5))
            .count();
        // One bucket in each shard.
        assert_eq!(passed, SHARDS);
        assert_eq!(
            (table.keys(), table.evicted(), table.unplaced()),
            (KEYS_MAX, 0, flood)
        );
        assert!(
            (0..1000).all(|key| !pass(&table, &[key], 5)),
            "all that were over their limit still are"
        );
        assert!(table.bytes() <= BYTES_MAX, "{} bytes", table.bytes());
        // A day later there is room again.
        assert!(pass(&table, &[9 * KEYS_MAX as u64], 2 * 86_400 * SECOND));
    }

    #[test]
    fn idle_keys_leave_while_others_come() {
        let table = table(&[limit(1, Duration::from_secs(1), 1)]);
        for key in 0..200_000_u64 {
            // A thousand a second.
            assert!(pass(&table, &[key], key * SECOND / 1000));
        }
        assert!(table.keys() < 20_000, "{} keys", table.keys());
        assert!(table.bytes() < 2 << 20, "{} bytes", table.bytes());
        // Hits of one key alone drive them out, too.
        let table = self::table(&[limit(100, Duration::from_secs(1), 1000)]);
        (0..1000).for_each(|key| assert!(pass(&table, &[key], 0)));
        (0..200_000_u64).for_each(|at| {
            pass(&table, &[5], SECOND * 60 + at);
        });
        assert!(table.keys() < 1000, "{} keys", table.keys());
    }

    #[test]
    fn a_table_without_requests_takes_no_memory() {
        assert!(table(&[daily(1)]).bytes() < 256);
        let used = table(&[daily(1)]);
        assert!(pass(&used, &[1], 0));
        assert!(used.bytes() < 4096, "{} bytes", used.bytes());
    }

    proptest! {
        #[test]
        fn a_table_is_a_map_of_buckets(
            steps in prop::collection::vec((0..30_u64, 0..3_u64, 0..SECOND / 2), 1..600),
        ) {
            let limits = [limit(3, Duration::from_secs(1), 2), limit(7, Duration::from_secs(2), 9)];
            let table = table(&limits);
            let paces = limits.each_ref().map(Pace::of);
            let mut map: HashMap<(usize, u64), Exact> = HashMap::new();
            let mut now = 0;
            for (one, other, wait) in steps {
                now += wait;
                let keys = [(0, one), (1, other)];
                let admitted = keys.map(|key| {
                    let bucket = map.get(&key).copied().unwrap_or_default();
                    match paces[key.0].admit(bucket, now) {
                        Admission::Passes(after) => Some(after),
                        Admission::Waits(_) => None,
                    }
                });
                let expected = admitted.iter().all(Option::is_some);
                prop_assert_eq!(pass(&table, &[one, other], now), expected);
                if expected {
                    for (key, after) in keys.into_iter().zip(admitted) {
                        map.insert(key, after.unwrap_or_default());
                    }
                }
            }
            let kept = map.values().filter(|bucket| !Pace::is_at_rest(**bucket, now)).count();
            prop_assert!(table.keys() >= kept);
        }
    }
}
