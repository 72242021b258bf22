//! The worker's side of the metrics: looks up the counters of a request and increments them.

use std::cell::{OnceCell, RefCell};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use waypost_plan::auth::WayKind;
use waypost_plan::route::Action;
use waypost_plan::service::ServiceId;

use crate::generation::Generation;
use crate::observe::metrics::auth::AuthCounters;
use crate::observe::metrics::watch::{WatchCounts, Watches};
use crate::observe::metrics::{
    Gone, Mirrored, NewCounters, Part, RouteAndService, RouteCounters, WorkerCounters,
};
use waypost_policy::auth::AuthResult;
use waypost_policy::failure::{Failure, REASONS, Refuser};
use waypost_policy::status::RequestStatus;
use waypost_upstream::counters::ServiceCounters;

/// A worker's counters.
#[derive(Debug)]
pub(crate) struct Recorder {
    announce: Sender<NewCounters>,
    gone: Receiver<Gone>,
    own: Arc<WorkerCounters>,
    requests: RefCell<HashMap<RouteAndService, Arc<RouteCounters>>>,
    /// The counters of requests that do not tell how good their arm is.
    apart: RefCell<HashMap<RouteAndService, Arc<RouteCounters>>>,
    services: RefCell<HashMap<Arc<str>, Arc<ServiceCounters>>>,
    auth: RefCell<HashMap<Arc<str>, Arc<AuthCounters>>>,
    none: Arc<str>,
    /// The counters of requests without a route, which are never retired.
    without_route: OnceCell<Arc<RouteCounters>>,
    watches: Arc<Watches>,
}

/// The meters of all routes of a generation, by position.
///
/// With many routes, little of what a request needs is in a core's cache, so the path to its counters is short.
#[derive(Debug, Default)]
pub(crate) struct RouteMeters(Box<[OnceCell<Chunk>]>);

/// The meters of neighbouring routes, allocated together when one of them is first needed.
type Chunk = Box<[RouteMeter; CHUNK]>;

/// Maximum retired counters that are removed before the worker yields to requests.
const REMOVED_AT_ONCE: usize = 256;

/// Routes in a chunk.
const CHUNK: usize = 64;

/// The counters of one route, each looked up on first use. It lives as long as its generation.
#[derive(Debug, Default)]
pub(crate) struct RouteMeter {
    /// The counters of the first arm, the only one of nearly every route.
    first_arm: OnceCell<Arc<RouteCounters>>,
    /// The counters of the further arms, then the mirror's, then those of requests without an arm, then those of each arm
    /// that do not tell how good it is.
    others: OnceCell<Box<[OnceCell<Arc<RouteCounters>>]>>,
}

/// Selects the counters of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// An arm, by position.
    Arm(usize),
    /// The mirror.
    Mirror,
    /// No service.
    Gateway,
    /// An arm, by position, for a request that does not tell how good the arm is: it chose it by `force`, the gateway
    /// refused it by itself, or it is counted as late already.
    Apart(usize),
}

impl Recorder {
    pub(super) fn new(announce: Sender<NewCounters>, gone: Receiver<Gone>, watches: Arc<Watches>) -> Self {
        Self {
            announce,
            gone,
            own: Arc::default(),
            requests: RefCell::default(),
            apart: RefCell::default(),
            services: RefCell::default(),
            auth: RefCell::default(),
            none: "".into(),
            without_route: OnceCell::new(),
            watches,
        }
    }

    pub(super) fn worker_counters(&self) -> Arc<WorkerCounters> {
        Arc::clone(&self.own)
    }

    /// The counters of the worker as a whole.
    pub(crate) fn own(&self) -> &WorkerCounters {
        &self.own
    }

    /// Counts an error response of the gateway.
    pub(crate) fn count_failure(&self, failure: Failure) {
        self.count_reason(failure.reason());
    }

    /// Counts a preflight that is answered with no permission.
    pub(crate) fn count_denied_preflight(&self) {
        self.count_reason(Refuser::Cors.as_str());
    }

    /// Counts a refusal for this reason, one of [`REASONS`].
    fn count_reason(&self, reason: &'static str) {
        let at = REASONS.iter().position(|known| *known == reason);
        debug_assert!(
            at.is_some(),
            "`{reason}` is missing from `REASONS`, so it is not counted"
        );
        if let Some(at) = at {
            self.own.failures[at].add(1);
        }
    }

    /// Counts an authentication of a request of `route`.
    pub(crate) fn count_auth(&self, route: &Arc<str>, way: Option<WayKind>, result: AuthResult) {
        let mut auth = self.auth.borrow_mut();
        if let Some(counters) = auth.get(route).filter(|counters| !counters.is_retired()) {
            counters.count(way, result);
            return;
        }
        let counters = Arc::new(AuthCounters::of(route));
        counters.count(way, result);
        // Fails only if the gateway was dropped.
        let _ = self.announce.send(NewCounters::Auth(Arc::clone(&counters)));
        auth.insert(Arc::clone(route), counters);
    }

    /// The counters of the connections to a service.
    pub(crate) fn service(&self, name: &Arc<str>) -> Arc<ServiceCounters> {
        let mut services = self.services.borrow_mut();
        if let Some(counters) = services.get(name)
            && !counters.retired.load(Ordering::Relaxed)
        {
            return Arc::clone(counters);
        }
        let counters = Arc::new(ServiceCounters {
            service: Arc::clone(name),
            ..ServiceCounters::default()
        });
        // Fails only if the gateway was dropped.
        let _ = self.announce.send(NewCounters::Service(Arc::clone(&counters)));
        services.insert(Arc::clone(name), Arc::clone(&counters));
        counters
    }

    /// The counters of requests without a route.
    pub(crate) fn without_route(&self) -> &Arc<RouteCounters> {
        self.without_route
            .get_or_init(|| self.request(&self.none, &self.none, false, u64::MAX))
    }

    /// Drops some retired counters. Returns true if there may be more.
    ///
    /// A key may have new counters by now: a route that is removed and added again starts from zero.
    pub(crate) fn forget_retired(&self) -> bool {
        let mut requests = self.requests.borrow_mut();
        let mut apart = self.apart.borrow_mut();
        let mut services = self.services.borrow_mut();
        let mut auth = self.auth.borrow_mut();
        let mut removed = 0;
        for gone in self.gone.try_iter().take(REMOVED_AT_ONCE) {
            match gone {
                Gone::Request(key) => {
                    for counters in [&mut *requests, &mut *apart] {
                        if let Entry::Occupied(known) = counters.entry(key.clone())
                            && known.get().retired.load(Ordering::Relaxed)
                        {
                            known.remove();
                        }
                    }
                }
                Gone::Auth(route) => {
                    if let Entry::Occupied(known) = auth.entry(route)
                        && known.get().is_retired()
                    {
                        known.remove();
                    }
                }
                Gone::Service(name) => {
                    if let Entry::Occupied(known) = services.entry(name)
                        && known.get().retired.load(Ordering::Relaxed)
                    {
                        known.remove();
                    }
                }
            }
            removed += 1;
        }
        removed == REMOVED_AT_ONCE
    }

    /// The counters of a route and service, for a request that holds the generation with this serial.
    fn request(
        &self,
        route: &Arc<str>,
        service: &Arc<str>,
        is_apart: bool,
        serial: u64,
    ) -> Arc<RouteCounters> {
        let all = if is_apart { &self.apart } else { &self.requests };
        let mut requests = all.borrow_mut();
        let key = (Arc::clone(route), Arc::clone(service));
        if let Some(counters) = requests.get(&key)
            && !counters.retired.load(Ordering::Relaxed)
        {
            return Arc::clone(counters);
        }
        let counters = Arc::new(RouteCounters {
            route: Arc::clone(route),
            service: Arc::clone(service),
            is_apart,
            ..RouteCounters::default()
        });
        if let Some(watch) = self.watches.known(&key).filter(|_| !is_apart) {
            counters.watched.get_or_init(|| Box::new(WatchCounts::new(watch)));
        }
        let _ = self
            .announce
            .send(NewCounters::Request(Arc::clone(&counters), serial));
        requests.insert(key, Arc::clone(&counters));
        counters
    }
}

impl RouteMeters {
    /// Meters for a generation with this many routes.
    pub(crate) fn new(routes: usize) -> Self {
        Self((0..routes.div_ceil(CHUNK)).map(|_| OnceCell::new()).collect())
    }

    /// The meter of the route at `position`.
    pub(crate) fn of(&self, position: usize) -> &RouteMeter {
        let chunk =
            self.0[position / CHUNK].get_or_init(|| Box::new(std::array::from_fn(|_| RouteMeter::default())));
        &chunk[position % CHUNK]
    }
}

impl RouteMeter {
    /// Touches the counters of the first arm, so that they are in the cache when the request is counted.
    ///
    /// With many routes both the route and its counters are cache misses, which the core overlaps if they are requested
    /// together.
    pub(crate) fn prefetch(&self) {
        if let Some(counters) = self.first_arm.get() {
            black_box((counters.statuses.is_empty(), counters.durations.is_empty()));
        }
    }

    /// The counters of a side of the route at `position` in `generation`.
    pub(crate) fn side(
        &self,
        recorder: &Recorder,
        generation: &Generation,
        position: usize,
        side: Side,
    ) -> &Arc<RouteCounters> {
        let cell = match side {
            Side::Arm(0) => &self.first_arm,
            _ => self.other(generation, position, side),
        };
        cell.get_or_init(|| {
            let plan = generation.plan();
            let route = &plan.routes()[position];
            let service = |id: ServiceId| &plan.service(id).name;
            let service = match (&route.action, side) {
                (Action::Forward(forward), Side::Arm(arm) | Side::Apart(arm)) => service(forward.arms[arm]),
                (Action::Forward(forward), Side::Mirror) => forward
                    .split_policies
                    .mirror
                    .as_ref()
                    .map_or(&recorder.none, |mirror| service(mirror.to)),
                _ => &recorder.none,
            };
            let is_apart = matches!(side, Side::Apart(_));
            recorder.request(&route.matching.name, service, is_apart, generation.serial())
        })
    }

    /// The cell for the counters of a side other than the first arm.
    fn other(&self, generation: &Generation, position: usize, side: Side) -> &OnceCell<Arc<RouteCounters>> {
        let forward = generation.plan().routes()[position].forward();
        let arms = forward.map_or(1, |forward| forward.arms.len().max(1));
        let others = self.others.get_or_init(|| {
            let has_force = forward.is_some_and(|forward| forward.split_policies.force.is_some());
            let apart = if has_force || arms > 1 { arms } else { 0 };
            (0..arms + 1 + apart).map(|_| OnceCell::new()).collect()
        });
        let at = match side {
            Side::Arm(arm) => arm - 1,
            Side::Mirror => arms - 1,
            Side::Gateway => arms,
            Side::Apart(arm) => arms + 1 + arm,
        };
        &others[at]
    }
}

impl RouteCounters {
    /// Counts a response before its last byte is sent. `upstream` is the service's part of the duration.
    pub(crate) fn count(&self, status: RequestStatus, duration: Duration, upstream: Option<Duration>) {
        self.statuses.add(status);
        self.durations.record(Part::Whole as usize, duration);
        if let Some(upstream) = upstream {
            self.durations.record(Part::Service as usize, upstream);
        }
    }

    /// The counters for a rollout, if one asks for more than the metrics have.
    pub(crate) fn watched(&self) -> Option<&WatchCounts> {
        self.watched.get().map(|watched| &**watched)
    }

    pub(crate) fn count_retries(&self, times: u32) {
        self.retries.add(u64::from(times));
    }

    pub(crate) fn count_refused(&self) {
        self.refused.add(1);
    }

    pub(crate) fn count_limited(&self) {
        self.limited.add(1);
    }

    pub(crate) fn count_mirrored(&self, outcome: Mirrored) {
        self.mirrored[outcome as usize].add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::Metrics;
    use crate::observe::metrics::arm::{ArmReader, ArmReading};
    use crate::observe::metrics::ending::Ending;
    use crate::observe::metrics::testing::plan;
    use crate::observe::metrics::watch::Wanted;
    use waypost_plan::failures::FailureRule;

    #[test]
    fn each_side_of_a_route_has_its_own_counters() {
        use Side::{Arm, Gateway, Mirror};
        let check = |leads_to: &[&str], expected: &[(Side, &str)]| {
            let generation = Generation::compile(plan(&[("r", leads_to)])).unwrap();
            let (_, recorders) = Metrics::new(1);
            let meters = RouteMeters::new(1);
            for (side, service) in expected {
                let counters = meters.of(0).side(&recorders[0], &generation, 0, *side);
                assert_eq!(&*counters.service, *service, "{side:?} of {leads_to:?}");
            }
        };
        let all = [
            (Arm(0), "a"),
            (Arm(1), "b"),
            (Arm(2), "c"),
            (Mirror, "d"),
            (Gateway, ""),
        ];
        check(&["a", "b", "c", "~d"], &all);
        check(&["a", "~d"], &[(Arm(0), "a"), (Mirror, "d"), (Gateway, "")]);
        check(&["a"], &[(Arm(0), "a"), (Mirror, ""), (Gateway, "")]);
        check(&[], &[(Gateway, "")]);
    }

    #[test]
    fn counters_of_all_workers_are_summed() {
        let (metrics, recorders) = Metrics::new(2);
        let (route, service): (Arc<str>, Arc<str>) = ("r".into(), "s".into());
        for (recorder, times) in recorders.iter().zip([1, 2]) {
            for _ in 0..times {
                let ms = Duration::from_millis(3);
                recorder
                    .request(&route, &service, false, 0)
                    .count(RequestStatus::http(200), ms, Some(ms));
            }
            recorder.request(&route, &service, false, 0).count(
                RequestStatus::http(502),
                Duration::ZERO,
                None,
            );
            recorder.service(&service).opened.add(5);
            recorder.count_failure(Failure::NoRoute);
        }
        let reading = metrics.read();
        let [requests] = &reading.requests[..] else {
            panic!("{reading:?}")
        };
        assert_eq!((&*requests.route, &*requests.service), ("r", "s"));
        assert_eq!(
            requests.statuses,
            [(RequestStatus::http(200), 3), (RequestStatus::http(502), 2)]
        );
        assert_eq!((requests.duration.count(), requests.upstream.count()), (5, 3));
        assert_eq!(reading.services[0].opened, 10);
        assert_eq!(reading.failures, [("no_route", 2)]);
    }

    #[test]
    fn requests_apart_are_counted_but_not_compared() {
        let (metrics, recorders) = Metrics::new(1);
        let (route, service): (Arc<str>, Arc<str>) = ("r".into(), "s".into());
        let count = |is_apart| {
            let counters = recorders[0].request(&route, &service, is_apart, 0);
            counters.count(RequestStatus::http(200), Duration::ZERO, None);
        };
        let compared = |service| {
            let mut reading = ArmReading::default();
            ArmReader::new("r", service).read(&metrics, &mut reading);
            reading.statuses
        };
        count(false);
        count(true);
        count(true);
        assert_eq!(metrics.read().requests[0].count(), 3);
        assert_eq!(compared("s"), [(RequestStatus::http(200), 1)]);
        assert_eq!(compared("other"), []);
    }

    #[test]
    fn readers_of_arms_find_counters_old_and_new() {
        let (metrics, recorders) = Metrics::new(2);
        let (route, service): (Arc<str>, Arc<str>) = ("r".into(), "s".into());
        let asked = Wanted {
            failures: FailureRule::default(),
            groups: Some([Some(0), None, None]),
        };
        let count = |worker: usize, group| {
            let counters = recorders[worker].request(&route, &service, false, 0);
            let us = Some(Duration::from_micros(2));
            counters.count(RequestStatus::http(503), Duration::ZERO, us);
            if let Some(watched) = counters.watched() {
                watched.count(group, RequestStatus::http(503), us);
            }
        };
        let (mut reader, mut reading) = (ArmReader::new("r", "s"), ArmReading::default());
        let mut counts = |asked: Option<&Wanted>| {
            reader.ask(&metrics, asked);
            reader.read(&metrics, &mut reading);
            let groups = reading.groups.as_ref();
            (
                reading.statuses.iter().map(|(_, count)| count).sum::<u64>(),
                reading.latencies.iter().sum::<u64>(),
                groups.map(|groups| {
                    [2, 7].map(|at| groups[at].finished + groups[at].failed + groups[at].slow[0])
                }),
            )
        };
        count(0, 2);
        assert_eq!(counts(None), (1, 1, None));
        assert_eq!(counts(Some(&asked)), (1, 1, Some([0, 0])));
        count(0, 2);
        // These counters are new, and watched from the beginning.
        count(1, 7);
        assert_eq!(counts(Some(&asked)), (3, 3, Some([3, 3])));
        assert_eq!(counts(None), (3, 3, None));
        count(1, 7);
        assert_eq!(counts(Some(&asked)), (4, 4, Some([3, 3])));
    }

    #[test]
    fn sweep_has_the_requests_since_the_last_one() {
        let (metrics, recorders) = Metrics::new(2);
        let (route, service): (Arc<str>, Arc<str>) = ("r".into(), "s".into());
        let count = |worker: usize, status| {
            let counters = recorders[worker].request(&route, &service, false, 0);
            counters.count(RequestStatus::http(status), Duration::from_micros(5), None);
        };
        let sweep = || {
            let swept = metrics.sweep();
            let one = swept.first().map(|swept| {
                let mut buckets = Vec::new();
                swept.add_durations_to(&mut buckets);
                let durations = buckets.iter().sum::<u64>();
                (
                    swept.requests,
                    swept.failed,
                    swept.sum_us,
                    swept.is_first,
                    durations,
                )
            });
            (swept.len(), one)
        };
        assert_eq!(sweep(), (0, None));
        count(0, 200);
        count(1, 503);
        assert_eq!(sweep(), (1, Some((2, 1, 10, true, 2))));
        assert_eq!(sweep(), (0, None));
        count(1, 200);
        assert_eq!(sweep(), (1, Some((1, 0, 5, false, 3))));
        let generation = Generation::compile(plan(&[])).unwrap();
        let series = vec![(Arc::clone(&route), Arc::clone(&service))];
        metrics.end(&Ending { series }, &generation);
        count(1, 200);
        assert_eq!(sweep(), (1, Some((1, 0, 5, true, 1))), "of new counters");
    }

    #[test]
    fn changed_series_are_told_once_and_by_number() {
        let (metrics, recorders) = Metrics::new(2);
        let (b, a, service): (Arc<str>, Arc<str>, Arc<str>) = ("b".into(), "a".into(), "s".into());
        let count = |worker: usize, route| {
            let counters = recorders[worker].request(route, &service, false, 0);
            counters.count(RequestStatus::http(200), Duration::from_micros(5), None);
        };
        let changed = |all| {
            metrics.sweep();
            let changed = metrics.changed(all);
            let readings = changed.readings();
            let readings: Vec<_> = readings
                .map(|(number, reading)| (number, reading.route.to_string(), reading.count()))
                .collect();
            (changed.series().to_vec(), readings)
        };
        assert_eq!(changed(false), (vec![], vec![]));
        count(0, &b);
        count(1, &a);
        count(1, &b);
        let both = vec![(1, "b".to_owned(), 2), (2, "a".to_owned(), 1)];
        assert_eq!(changed(false), (vec![1, 2], both.clone()));
        assert_eq!(changed(false), (vec![1, 2], vec![]));
        assert_eq!(changed(true), (vec![1, 2], both));
        let of_a = metrics.read_series(Some("a"));
        assert_eq!(of_a.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2]);
        assert_eq!(metrics.read_series(None).len(), 2);
        let generation = Generation::compile(plan(&[])).unwrap();
        let series = vec![(Arc::clone(&a), Arc::clone(&service))];
        metrics.end(&Ending { series }, &generation);
        count(0, &a);
        assert_eq!(changed(false), (vec![1, 3], vec![(3, "a".to_owned(), 1)]));
    }

    #[test]
    fn series_of_a_removed_route_end_and_restart_from_zero() {
        let (metrics, recorders) = Metrics::new(1);
        let (route, service): (Arc<str>, Arc<str>) = ("r".into(), "s".into());
        let count = || {
            metrics
                .read()
                .requests
                .iter()
                .map(|requests| requests.count())
                .sum::<u64>()
        };
        let request = |serial| {
            let counters = recorders[0].request(&route, &service, false, serial);
            counters.count(RequestStatus::http(200), Duration::ZERO, None);
        };
        let first = Generation::compile(plan(&[])).unwrap();
        let second = Generation::compile(plan(&[])).unwrap().following(&first);
        let third = Generation::compile(plan(&[])).unwrap().following(&second);
        request(first.serial());
        recorders[0]
            .without_route()
            .count(RequestStatus::http(404), Duration::ZERO, None);
        assert_eq!(count(), 2);
        let ending = Ending {
            series: vec![(Arc::clone(&route), Arc::clone(&service))],
        };
        metrics.end(&ending, &second);
        assert_eq!(count(), 1, "requests without a route stay");
        // A request that was in flight.
        request(first.serial());
        assert_eq!(count(), 2);
        metrics.end(&Ending::default(), &third);
        assert_eq!(count(), 1);
        recorders[0].forget_retired();
        assert_eq!(recorders[0].requests.borrow().len(), 1);
    }
}
