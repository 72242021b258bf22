//! A worker, as its tasks share it. Nothing here is shared with other workers, but for a few counters that are touched
//! once a connection.

pub(crate) mod buffers;
pub(crate) mod evictable;
pub(crate) mod expendable;
pub(crate) mod meter;
pub(crate) mod observation;
pub(crate) mod reclaim;
pub(crate) mod slots;
pub(crate) mod snapshot;
#[cfg(test)]
pub(crate) mod testing;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;
use waypost_plan::service::ServiceId;
use waypost_policy::request_id::Uuid;
use waypost_transport::clock::{Clock, Ticks};
use waypost_transport::date::DateClock;
use waypost_transport::free_list::FreeList;
use waypost_transport::permits::Permits;
use waypost_upstream::local::{LocalService, Upstreams};
use waypost_upstream::notice::Notice;

use crate::generation::{Generation, ListenerId};
use crate::local::buffers::RequestBuffers;
use crate::local::evictable::Evictables;
use crate::local::expendable::Expendables;
use crate::local::reclaim::Reclaimer;
use crate::local::slots::Slots;
use crate::local::snapshot::Snapshot;
use crate::observe::access_log::{LineRing, LineWriter, Record, Tail};
use crate::observe::failed::{FailedRequest, Sampler};
use crate::observe::metrics::{Recorder, RouteCounters, Side};
use crate::verifier::Verifier;

/// Mirrored requests that a worker has in flight.
pub(crate) const MIRRORED_MAX: usize = 128;

/// State shared by all workers.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) generations: Arc<ArcSwap<Generation>>,
    /// Client connections of all workers together, so that descriptors are left for services.
    pub(crate) connections_max: usize,
    /// Idle connections to services, for each worker.
    pub(crate) idle_max: usize,
    /// Open client connections of all workers together.
    pub(crate) connections_open: Arc<AtomicUsize>,
    /// Receives notices about endpoints.
    pub(crate) notices: mpsc::Sender<Notice>,
    /// Receives samples of failed requests.
    pub(crate) failed: mpsc::Sender<FailedRequest>,
    /// Frees replaced generations.
    pub(crate) reclaimer: Reclaimer,
    /// The client connections that go first.
    pub(crate) expendables: Arc<Expendables>,
    /// Verifies passwords.
    pub(crate) verifier: Arc<Verifier>,
}

/// A worker, as its tasks share it.
pub(crate) struct Worker {
    generations: RefCell<Cache<Arc<ArcSwap<Generation>>, Arc<Generation>>>,
    snapshot: RefCell<Rc<Snapshot>>,
    upstreams: Upstreams,
    requests: FreeList<RequestBuffers>,
    slots: Slots,
    expendables: Arc<Expendables>,
    verifier: Arc<Verifier>,
    lingering: Rc<Evictables>,
    draining: Cell<bool>,
    last_call: Cell<Option<Instant>>,
    /// The listeners to the log.
    tail: Tail,
    log: RefCell<LineRing>,
    lines: RefCell<LineWriter>,
    recorder: Recorder,
    failed: Sampler,
    mirrored: Permits,
    rng: RefCell<fastrand::Rng>,
    date: DateClock,
    /// The turns of tidying up the buckets of rate limits.
    tidied: Cell<usize>,
    connections_max: usize,
    connections_open: Arc<AtomicUsize>,
}

impl Worker {
    /// A worker whose waits are counted in `ticks`.
    pub(crate) fn new(shared: Shared, ticks: Ticks, log: LineRing, recorder: Recorder) -> Self {
        let generation = shared.generations.load_full();
        Self {
            generations: RefCell::new(Cache::new(shared.generations)),
            snapshot: RefCell::new(Rc::new(Snapshot::new(generation, shared.reclaimer))),
            upstreams: Upstreams::new(Clock::new(ticks), shared.idle_max, shared.notices),
            requests: FreeList::default(),
            slots: Slots::default(),
            expendables: shared.expendables,
            verifier: shared.verifier,
            lingering: Rc::default(),
            draining: Cell::new(false),
            last_call: Cell::new(None),
            tail: log.tail(),
            log: RefCell::new(log),
            lines: RefCell::default(),
            recorder,
            failed: Sampler::new(shared.failed),
            mirrored: Permits::new(MIRRORED_MAX),
            rng: RefCell::new(fastrand::Rng::new()),
            date: DateClock::default(),
            tidied: Cell::new(0),
            connections_max: shared.connections_max,
            connections_open: shared.connections_open,
        }
    }

    /// The live generation.
    pub(crate) fn snapshot(&self) -> Rc<Snapshot> {
        let mut cache = self.generations.borrow_mut();
        let live = cache.load();
        let mut snapshot = self.snapshot.borrow_mut();
        if !Arc::ptr_eq(live, &snapshot.generation) {
            let reclaimer = snapshot.reclaimer.clone();
            *snapshot = Rc::new(Snapshot::new(Arc::clone(live), reclaimer));
        }
        Rc::clone(&snapshot)
    }

    /// The worker's own side of a service.
    pub(crate) fn service(&self, snapshot: &Snapshot, id: ServiceId) -> Rc<LocalService> {
        let service = snapshot.services[id.index()].get_or_init(|| {
            let state = snapshot.generation.service(id);
            let cursor = self.rng.borrow_mut().usize(..);
            self.upstreams
                .service(state, cursor, || self.recorder.service(&state.service().name))
        });
        Rc::clone(service)
    }

    /// The worker's upstream state, across services.
    pub(crate) fn upstreams(&self) -> &Upstreams {
        &self.upstreams
    }

    /// The worker's clock, for deadlines and measurements.
    pub(crate) fn clock(&self) -> &Clock {
        self.upstreams.clock()
    }

    /// The worker's clock, for the `date` header.
    pub(crate) fn date(&self) -> &DateClock {
        &self.date
    }

    /// A roll of the dice, uniform in `0..2^64`.
    pub(crate) fn roll(&self) -> u64 {
        self.rng.borrow_mut().u64(..)
    }

    /// A new id for a request that came at `time`; now without one.
    pub(crate) fn new_id(&self, time: Option<Timestamp>) -> Uuid {
        let time = time.unwrap_or_else(Timestamp::now);
        let unix_ms = u64::try_from(time.as_millisecond()).unwrap_or_default();
        Uuid::v7(unix_ms, [self.roll(), self.roll()])
    }

    /// The worker's metrics.
    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The worker's samples of failed requests.
    pub(crate) fn failed(&self) -> &Sampler {
        &self.failed
    }

    /// Permits for mirrored requests.
    pub(crate) fn mirrored(&self) -> &Permits {
        &self.mirrored
    }

    /// The slots of client connections.
    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The client connections of all workers that go first when connections run short.
    pub(crate) fn expendables(&self) -> &Arc<Expendables> {
        &self.expendables
    }

    /// Verifies passwords, for all workers.
    pub(crate) fn verifier(&self) -> &Arc<Verifier> {
        &self.verifier
    }

    /// The requests whose rest is discarded.
    pub(crate) fn lingering(&self) -> &Rc<Evictables> {
        &self.lingering
    }

    /// Open client connections of all workers together, and how many there may be.
    pub(crate) fn connections(&self) -> (&Arc<AtomicUsize>, usize) {
        (&self.connections_open, self.connections_max)
    }

    /// The counters of a side of the route at `position`.
    pub(crate) fn counters(&self, snapshot: &Snapshot, position: usize, side: Side) -> Arc<RouteCounters> {
        self.with_counters(snapshot, position, side, Arc::clone)
    }

    /// Calls `count` with the counters of a side of the route at `position`.
    pub(crate) fn with_counters<T>(
        &self,
        snapshot: &Snapshot,
        position: usize,
        side: Side,
        count: impl FnOnce(&Arc<RouteCounters>) -> T,
    ) -> T {
        let meter = snapshot.meters.of(position);
        count(meter.side(&self.recorder, &snapshot.generation, position, side))
    }

    /// Begins to drain: connections end with their current response. Idle ones end at once, or may ask once more until
    /// `last_call`.
    pub(crate) fn drain(&self, last_call: Option<Instant>) {
        self.draining.set(true);
        self.last_call.set(last_call);
    }

    /// The time until which idle connections may ask once more while the worker drains.
    pub(crate) fn last_call(&self) -> Option<Instant> {
        self.last_call.get()
    }

    /// Returns true if connections of this listener end with their current response: the gateway drains, or the listener
    /// is gone.
    pub(crate) fn is_closing(&self, listener: ListenerId) -> bool {
        self.draining.get() || self.snapshot().listener(listener).is_none()
    }

    /// Borrows memory for a connection's requests.
    pub(crate) fn borrow_request(&self) -> Box<RequestBuffers> {
        self.requests.take()
    }

    /// Returns it for the next connection.
    pub(crate) fn return_request(&self, mut buffers: Box<RequestBuffers>) {
        if let Some(response) = buffers.response.take() {
            self.upstreams.return_response(response);
        }
        buffers.tidy();
        self.requests.put(buffers);
    }

    /// Returns true if there is a listener to the access log, which may be off.
    pub(crate) fn is_tailed(&self) -> bool {
        self.tail.is_on()
    }

    /// Hands a line to the access log.
    pub(crate) fn log(&self, record: &Record) {
        let mut lines = self.lines.borrow_mut();
        self.log.borrow_mut().push(lines.write(record));
    }

    /// Closes idle connections and frees unused memory.
    pub(crate) fn sweep(&self) {
        self.upstreams.sweep();
        self.requests.trim();
        // An idle worker drops a replaced generation too.
        let snapshot = self.snapshot();
        let turn = self.tidied.get();
        self.tidied.set(turn.wrapping_add(1));
        let generation = &snapshot.generation;
        let now = generation.nanos(self.clock().now());
        generation.compiled().limiters().tidy(turn, now);
    }
}
