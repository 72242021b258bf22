//! The gateway's side: requests on their way through several attempts, by the parts of the gateway that decide about them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, advance};
use waypost_route::split::Split;
use waypost_transport::clock::{Clock, Ticks};
use waypost_upstream::balance::next_roll;
use waypost_upstream::health::Outcome;
use waypost_upstream::lease::ATTEMPTS_MAX;
use waypost_upstream::local::{LocalEndpoint, LocalService};
use waypost_upstream::retry::backoff;
use waypost_upstream::retry::budget::{SPARE, WINDOW};
use waypost_upstream::retry::tried::Tried;

use crate::world::{Answer, CALM, World, below};

/// Workers, each with its own view of every service.
const WORKERS: usize = 2;
/// Mean time between two requests.
const PAUSE_MS: u64 = 20;
/// Time between two lookups of all names.
const LOOKUP_MS: u64 = 9000;
/// Time between two checks of an endpoint.
const CHECKED_EVERY: Duration = Duration::from_millis(500);
/// Time between two drains by hand.
const DRAINED_EVERY: Duration = Duration::from_millis(3500);
/// Retries of a request at most.
const RETRIES: u32 = 2;
/// Retries of a service, in percent of its requests.
pub(crate) const BUDGET: u32 = 20;

/// Counts of a history.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) requests: usize,
    /// Requests that an endpoint got, each attempt counted.
    pub(crate) attempts: usize,
    pub(crate) connects_failed: usize,
    /// Requests that got an answer without an error.
    pub(crate) served: usize,
    /// Requests for which no endpoint could be reached.
    pub(crate) unreachable: usize,
    /// Requests that an endpoint failed.
    pub(crate) failed: usize,
    pub(crate) retries: usize,
    /// Retries that the budget denied.
    pub(crate) denied: usize,
    /// Requests that a retry served.
    pub(crate) rescued: usize,
    pub(crate) by_arm: Vec<usize>,
    /// Requests of the calm at the end, and the attempts that they took.
    pub(crate) late: usize,
    pub(crate) late_attempts: usize,
}

/// A request in progress.
#[derive(Debug)]
struct Request {
    arm: usize,
    worker: usize,
    key: u64,
    is_idempotent: bool,
    is_late: bool,
    tried: Tried,
    /// Retries so far.
    retries: u32,
    /// Endpoints that got it.
    received: usize,
    /// The endpoint that has it now.
    at: Option<Rc<LocalEndpoint>>,
}

/// Things that happen at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Lookup,
    Checks,
    Drain,
    /// The answer to a request, by its number.
    Answered(usize, Result),
    /// The next attempt of a request.
    Retry(usize),
}

/// The outcome of an attempt that reached its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Result {
    Reset,
    TimedOut,
    Status(u16),
}

/// The times of the requests and of the retries of a service, as far as they are in the window of the budget.
#[derive(Debug, Default)]
struct Window {
    requests: VecDeque<Instant>,
    retries: VecDeque<Instant>,
}

impl Window {
    /// Notes a retry. Returns true if there are no more of them than the budget has.
    fn allows_retry(&mut self) -> bool {
        let now = Instant::now();
        self.retries.push_back(now);
        for times in [&mut self.requests, &mut self.retries] {
            while times.front().is_some_and(|at| *at + WINDOW < now) {
                times.pop_front();
            }
        }
        self.retries.len() as u64 <= self.requests.len() as u64 * u64::from(BUDGET) / 100 + SPARE
    }
}

/// The gateway.
pub(crate) struct Gateway {
    /// By arm and worker.
    services: Vec<Vec<LocalService>>,
    split: Split,
    weights: &'static [u64],
    requests: Vec<Option<Request>>,
    /// By arm.
    windows: Vec<Window>,
    events: BinaryHeap<Reverse<(Instant, usize, Event)>>,
    /// Numbers events, which keeps their order at one time.
    serial: usize,
    rolls: u64,
    totals: Totals,
}

impl Gateway {
    pub(crate) fn new(world: &World, seed: u64) -> Self {
        let (notices, _) = mpsc::channel(1);
        let clock = Rc::new(Clock::new(Ticks::default()));
        let services = world.arms.iter().map(|arm| {
            let worker = |worker| {
                let (state, clock) = (Arc::clone(&arm.state), Rc::clone(&clock));
                LocalService::new(state, worker, Arc::default(), notices.clone(), clock)
            };
            (0..WORKERS).map(worker).collect()
        });
        let totals = Totals {
            by_arm: vec![0; world.arms.len()],
            ..Totals::default()
        };
        Self {
            services: services.collect(),
            split: Split::new(world.shape.arms),
            weights: world.shape.arms,
            requests: Vec::new(),
            windows: world.arms.iter().map(|_| Window::default()).collect(),
            events: BinaryHeap::new(),
            serial: 0,
            rolls: seed,
            totals,
        }
    }

    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Runs a history, until the last of its requests has ended.
    pub(crate) async fn run(&mut self, world: &mut World, length: Duration) {
        let end = world.began + length;
        self.schedule(Duration::ZERO, Event::Arrival);
        if world.shape.leaves_dns {
            self.schedule(Duration::from_millis(LOOKUP_MS), Event::Lookup);
        }
        if world.shape.checks {
            self.schedule(Duration::ZERO, Event::Checks);
        }
        if world.shape.drains {
            self.schedule(DRAINED_EVERY, Event::Drain);
        }
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            advance(at.saturating_duration_since(Instant::now())).await;
            let is_over = at >= end;
            match event {
                Event::Arrival if !is_over => {
                    self.arrive(world);
                    let pause = Duration::from_millis(below(&mut self.rolls, 2 * PAUSE_MS));
                    self.schedule(pause, Event::Arrival);
                }
                Event::Lookup if !is_over => {
                    world.look_up();
                    self.schedule(Duration::from_millis(LOOKUP_MS), Event::Lookup);
                }
                Event::Checks if !is_over => {
                    world.check_all();
                    self.schedule(CHECKED_EVERY, Event::Checks);
                }
                Event::Drain if !is_over => {
                    world.turn_drain();
                    self.schedule(DRAINED_EVERY, Event::Drain);
                }
                Event::Arrival | Event::Lookup | Event::Checks | Event::Drain => {}
                Event::Answered(number, result) => self.answered(world, number, result),
                Event::Retry(number) => self.attempt(world, number),
            }
        }
        assert!(self.requests.iter().all(Option::is_none), "every request ends");
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.serial += 1;
        let at = Instant::now() + after;
        self.events.push(Reverse((at, self.serial, event)));
    }

    /// A request comes to a worker, and goes to the arm that its roll falls on.
    fn arrive(&mut self, world: &mut World) {
        let roll = next_roll(&mut self.rolls);
        let arm = self.split.pick(roll).unwrap();
        assert_eq!(arm, self.arm_of(roll), "{roll}");
        self.totals.requests += 1;
        self.totals.by_arm[arm] += 1;
        let is_late = world.began.elapsed() > CALM * 3 / 2;
        self.totals.late += usize::from(is_late);
        let request = Request {
            arm,
            worker: below(&mut self.rolls, WORKERS as u64) as usize,
            key: next_roll(&mut self.rolls),
            is_idempotent: below(&mut self.rolls, 3) > 0,
            is_late,
            tried: Tried::default(),
            retries: 0,
            received: 0,
            at: None,
        };
        self.services[arm][request.worker].count_request(Instant::now());
        self.windows[arm].requests.push_back(Instant::now());
        self.requests.push(Some(request));
        self.attempt(world, self.requests.len() - 1);
    }

    /// The arm that owns a roll: those whose running sum of weights is below it are not.
    fn arm_of(&self, roll: u64) -> usize {
        let sum: u64 = self.weights.iter().sum();
        let mut running = 0;
        let ends = self.weights.iter().map(|weight| {
            running += weight;
            (u128::from(running) << 64) / u128::from(sum)
        });
        ends.take_while(|end| *end <= u128::from(roll)).count()
    }

    /// Makes an attempt: connections that fail go on to the next endpoint.
    fn attempt(&mut self, world: &mut World, number: usize) {
        let mut request = self.requests[number].take().unwrap();
        let service = &self.services[request.arm][request.worker];
        let mut failed = 0;
        while failed < ATTEMPTS_MAX {
            let now = Instant::now();
            let tried = &mut request.tried;
            let Some(endpoint) = service.pick(tried.avoided(), Some(request.key), now) else {
                match tried.relent() {
                    true => continue,
                    false => break,
                }
            };
            world.check_pick(&world.arms[request.arm], &endpoint.shared, tried.avoided());
            let address = endpoint.shared.address.clone();
            let (answer, time) = world.ask(&address);
            let result = match answer {
                Answer::Refused => {
                    service.report(&endpoint, Outcome::ConnectFailed);
                    world.check_ejections(request.arm);
                    self.totals.connects_failed += 1;
                    tried.exclude(&address);
                    failed += 1;
                    continue;
                }
                Answer::Reset => Result::Reset,
                Answer::TimedOut => Result::TimedOut,
                Answer::Status(status) => Result::Status(status),
            };
            service.report_connected(&endpoint);
            request.received += 1;
            assert!(
                request.is_idempotent || request.received == 1,
                "{}: sent twice: {request:?}",
                world.name
            );
            self.totals.attempts += 1;
            self.totals.late_attempts += usize::from(request.is_late);
            request.at = Some(endpoint);
            self.requests[number] = Some(request);
            self.schedule(time, Event::Answered(number, result));
            return;
        }
        // It fails only when there is no other endpoint that would have taken it.
        let endpoints = world.arms[request.arm].state.endpoints();
        let missed = endpoints.iter().find(|endpoint| {
            endpoint.weight() > 0
                && !endpoint.health.is_drained()
                && endpoint.health.is_available(Instant::now())
                && !request.tried.avoided().contains(&endpoint.address)
        });
        if failed < ATTEMPTS_MAX {
            assert!(missed.is_none(), "{}: {missed:?} was not tried", world.name);
        }
        let reachable = endpoints
            .iter()
            .filter(|endpoint| endpoint.weight() > 0 && !endpoint.backup && world.accepts(&endpoint.address));
        // With other reasons to be out than a connection that fails, one may be out that could be reached.
        let shape = &world.shape;
        let finds_all = shape.panic > 0 && !shape.ejects && !shape.checks && !shape.drains;
        assert!(
            !finds_all || failed == ATTEMPTS_MAX || reachable.count() == 0,
            "{}: an endpoint could be reached",
            world.name
        );
        match request.received {
            0 => self.totals.unreachable += 1,
            _ => self.totals.failed += 1,
        }
    }

    /// An attempt has ended: it is followed by another, or the request is over.
    fn answered(&mut self, world: &World, number: usize, result: Result) {
        let mut request = self.requests[number].take().unwrap();
        let service = &self.services[request.arm][request.worker];
        let endpoint = request.at.take().unwrap();
        let outcome = match result {
            Result::Reset => Outcome::Reset,
            Result::TimedOut => Outcome::Timeout,
            Result::Status(status) => Outcome::Response(status),
        };
        service.report(&endpoint, outcome);
        world.check_ejections(request.arm);
        if result == Result::Status(200) {
            self.totals.served += 1;
            self.totals.rescued += usize::from(request.retries > 0);
            return;
        }
        if !request.is_idempotent || request.retries == RETRIES {
            self.totals.failed += 1;
            return;
        }
        request.tried.note(&endpoint.shared.address);
        if !service.has_other(request.tried.avoided(), Instant::now()) {
            request.tried.relent();
        }
        if !service.take_retry(BUDGET) {
            self.totals.denied += 1;
            self.totals.failed += 1;
            return;
        }
        let is_allowed = self.windows[request.arm].allows_retry();
        assert!(is_allowed, "{}: more retries than the budget has", world.name);
        let roll = next_roll(&mut self.rolls);
        let wait = backoff::wait(Duration::from_millis(25), request.retries, roll);
        request.retries += 1;
        self.totals.retries += 1;
        self.requests[number] = Some(request);
        self.schedule(wait, Event::Retry(number));
    }
}
