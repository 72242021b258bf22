//! A worker's local state of all services: endpoints, pools and response buffers.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use tokio::time::Instant;
use waypost_plan::service::{Service, UpstreamProtocol};
use waypost_transport::clock::Clock;
use waypost_transport::free_list::FreeList;
use waypost_transport::h2::client_stream::ClientStream;
use waypost_transport::permits::{Permit, Permits};
use waypost_transport::relay::splice::Pipes;
use waypost_wire::response::fault::ResponseRule;

use crate::address::Address;
use crate::balance::slow_start;
use crate::balance::view::{Member, View, Wanted};
use crate::balance::weights::ONE;
use crate::counters::ServiceCounters;
use crate::endpoint::Endpoint;
use crate::endpoint_counters::EndpointCounters;
use crate::health::{HealthChange, Outcome};
use crate::limits::ConnectionLimit;
use crate::notice::Notice;
use crate::pool::handover::Handover;
use crate::pool::idle::{IdleConnection, IdleConnections};
use crate::pool::shared::SharedConnections;
use crate::response_buffers::ResponseBuffers;
use crate::retry::budget::RequestCount;
use crate::service::{Endpoints, Hashed, ServiceState};

/// Connections of which a worker hands all but one to its own requests, while requests of other workers wait.
const HANDED_MAX: u32 = 4;

/// A worker's local state of all services.
#[derive(Debug)]
pub struct Upstreams {
    /// Keyed by the address of the service's state, which is unique while its entry owns it.
    services: RefCell<HashMap<usize, Rc<LocalService>>>,
    /// Bounds the worker's idle connections, to leave descriptors for clients.
    idle: Permits,
    pipes: Rc<Pipes>,
    clock: Rc<Clock>,
    responses: FreeList<ResponseBuffers>,
    notices: Sender<Notice>,
}

/// A worker's local state of a service. Only `state` is shared with other workers.
#[derive(Debug)]
pub struct LocalService {
    state: Arc<ServiceState>,
    endpoints: RefCell<LocalEndpoints>,
    counters: Arc<ServiceCounters>,
    /// Requests, of which the budget of retries is a share.
    requests: RequestCount,
    notices: Sender<Notice>,
    clock: Rc<Clock>,
    /// Requests of this worker that wait for a connection.
    demands: Cell<usize>,
    /// Connections handed to them in a row while requests of other workers waited.
    handed: Cell<u32>,
}

/// The endpoints of a service, as they were at a version of its state, and the worker's local state of each:
/// `shared.len() == local.len()`.
#[derive(Debug)]
struct LocalEndpoints {
    /// The version.
    version: u64,
    /// The time from which the view is out of date at the same version.
    until: Option<Instant>,
    shared: Endpoints,
    /// The tables of `shared`, where the service balances by hash.
    hashed: Option<Arc<Hashed>>,
    local: Vec<Rc<LocalEndpoint>>,
    view: View,
}

/// A worker's local state of an endpoint.
#[derive(Debug)]
pub struct LocalEndpoint {
    /// The state shared by all workers.
    pub shared: Arc<Endpoint>,
    /// The protocol of requests, as far as it is declared. Beside the connections, as with many endpoints each line of
    /// memory that a request needs of one is far away.
    pub(crate) protocol: UpstreamProtocol,
    /// Idle HTTP/1 connections.
    pub idle: RefCell<IdleConnections>,
    /// HTTP/2 connections.
    pub connections: RefCell<SharedConnections>,
    /// Requests that wait for a connection, as the service has as many as it may have.
    pub(crate) connection_turns: Handover<IdleConnection>,
    /// Requests that wait for a stream or a connection for one.
    pub(crate) stream_turns: Handover<Box<ClientStream>>,
    /// The worker's counters, once it has used the endpoint.
    counters: OnceCell<Arc<EndpointCounters>>,
}

impl Upstreams {
    /// Creates the state of a worker that keeps up to `idle_max` idle connections and sends changes of health to
    /// `notices`.
    pub fn new(clock: Clock, idle_max: usize, notices: Sender<Notice>) -> Self {
        Self {
            services: RefCell::default(),
            idle: Permits::new(idle_max),
            pipes: Rc::default(),
            clock: Rc::new(clock),
            responses: FreeList::default(),
            notices,
        }
    }

    /// The local state of a service. It is created on first use, with counters from `counters` and round robin starting
    /// at `cursor`.
    pub fn service(
        &self,
        state: &Arc<ServiceState>,
        cursor: usize,
        counters: impl FnOnce() -> Arc<ServiceCounters>,
    ) -> Rc<LocalService> {
        let mut services = self.services.borrow_mut();
        let service = services.entry(Arc::as_ptr(state).addr()).or_insert_with(|| {
            let notices = self.notices.clone();
            let clock = Rc::clone(&self.clock);
            let service = LocalService::new(Arc::clone(state), cursor, counters(), notices, clock);
            let service = Rc::new(service);
            if let Some(limit) = service.connection_limit() {
                let reclaiming = reclaim(Rc::downgrade(&service), limit.reclaims());
                tokio::task::spawn_local(reclaiming);
            }
            service
        });
        Rc::clone(service)
    }

    /// The worker's clock.
    pub fn clock(&self) -> &Rc<Clock> {
        &self.clock
    }

    /// The worker's pipes for splicing large bodies.
    pub fn pipes(&self) -> &Rc<Pipes> {
        &self.pipes
    }

    /// Borrows response buffers.
    pub fn borrow_response(&self) -> Box<ResponseBuffers> {
        let mut response = self.responses.take();
        response.begin();
        response
    }

    /// Returns borrowed response buffers.
    pub fn return_response(&self, mut response: Box<ResponseBuffers>) {
        response.tidy();
        self.responses.put(response);
    }

    /// Takes a permit for an idle connection.
    pub fn idle_permit(&self) -> Option<Permit> {
        self.idle.take()
    }

    /// Closes all idle connections and pipes to free descriptors. Returns true if there were any.
    pub fn close_idle(&self) -> bool {
        let any = self.pipes.close_idle() | (self.idle.taken() > 0);
        for service in self.services.borrow().values() {
            service.each_endpoint(self.clock.coarse_now(), |endpoint| {
                endpoint.idle.borrow_mut().clear();
                endpoint.connections.borrow_mut().close_idle();
            });
        }
        any
    }

    /// Closes connections that exceeded their idle timeout, drops retired services, and trims free buffers.
    pub fn sweep(&self) {
        let mut services = self.services.borrow_mut();
        services.retain(|_, service| !service.state().is_retired());
        for service in services.values() {
            service.sweep(&self.clock);
        }
        self.responses.trim();
    }
}

impl LocalService {
    /// Creates the local state of a service, with round robin starting at `cursor`.
    pub fn new(
        state: Arc<ServiceState>,
        cursor: usize,
        counters: Arc<ServiceCounters>,
        notices: Sender<Notice>,
        clock: Rc<Clock>,
    ) -> Self {
        let endpoints = LocalEndpoints::new(&state, cursor, Instant::now());
        Self {
            requests: state.retries().join(),
            state,
            endpoints: RefCell::new(endpoints),
            counters,
            notices,
            clock,
            demands: Cell::default(),
            handed: Cell::default(),
        }
    }

    /// The state shared by all workers.
    pub fn state(&self) -> &Arc<ServiceState> {
        &self.state
    }

    /// The service as declared in the config.
    pub fn declared(&self) -> &Arc<Service> {
        self.state.service()
    }

    /// The worker's counters.
    pub fn counters(&self) -> &ServiceCounters {
        &self.counters
    }

    /// The worker's clock.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns true if connections can be reused. A connection that began with a PROXY header belongs to one client.
    pub fn keeps_connections(&self) -> bool {
        self.declared().proxy_protocol.is_none()
    }

    /// Returns true if an endpoint that can take requests is available.
    pub fn is_available(&self, now: Instant) -> bool {
        self.with_endpoints(now, |endpoints| endpoints.view.has_available())
    }

    /// Returns true if an endpoint other than the `avoided` ones is available.
    pub fn has_other(&self, avoided: &[Address], now: Instant) -> bool {
        self.with_endpoints(now, |endpoints| {
            let mut shared = endpoints.shared.iter();
            shared.any(|endpoint| {
                endpoint.weight() > 0
                    && endpoint.health.is_available(now)
                    && !avoided.contains(&endpoint.address)
            })
        })
    }

    /// Counts a request. Its retries are not counted.
    pub fn count_request(&self, now: Instant) {
        self.requests.add(now);
    }

    /// Takes a retry out of the budget of `percent` of the service's requests. Returns false, and counts it, if the budget
    /// denies it.
    pub fn take_retry(&self, percent: u32) -> bool {
        let is_allowed = self.state.retries().take(percent, Instant::now());
        if !is_allowed {
            self.counters.denied.add(1);
        }
        is_allowed
    }

    /// Picks the endpoint for the next attempt, excluding the addresses in `tried`. `key` is the hash of the request's value,
    /// where the service balances by it ([`balance::hash::key`](crate::balance::hash::key)).
    pub fn pick(&self, tried: &[Address], key: Option<u64>, now: Instant) -> Option<Rc<LocalEndpoint>> {
        self.with_endpoints(now, |endpoints| {
            let LocalEndpoints {
                shared,
                hashed,
                local,
                view,
                ..
            } = endpoints;
            let is_tried = |at: usize| tried.contains(&shared[at].address);
            let wanted = Wanted {
                balance: &self.declared().balance,
                tables: hashed.as_ref().map(|hashed| hashed.tables()),
                key,
                in_flight: &|at| shared[at].in_flight.load(Ordering::Relaxed),
                is_tried: if tried.is_empty() { None } else { Some(&is_tried) },
            };
            let at = view.pick(&wanted)?;
            Some(Rc::clone(&local[at]))
        })
    }

    /// The limit of connections, if there is one.
    pub(crate) fn connection_limit(&self) -> Option<&ConnectionLimit> {
        self.state.limits()?.connection_limit()
    }

    /// Keeps a connection to `endpoint` between two exchanges, if there is room. Where connections are limited, one that
    /// is waited for comes first.
    pub(crate) fn keep(&self, endpoint: &LocalEndpoint, connection: IdleConnection, upstreams: &Upstreams) {
        let mut connection = connection;
        let limit = self.connection_limit();
        if let Some(limit) = limit
            && connection.is_settled()
            && self.may_hand_over(limit)
        {
            match endpoint.connection_turns.give(connection) {
                Ok(()) => return,
                Err(returned) => connection = returned,
            }
        }
        let Some(permit) = upstreams.idle_permit() else {
            return;
        };
        let idle_max = self.declared().pool.idle_max;
        endpoint.idle.borrow_mut().put(connection, permit, idle_max);
        if let Some(limit) = limit {
            self.yield_to_demand(limit);
        }
    }

    /// Passes a stream of `endpoint` on to a request that waits for one, now that one has ended or a connection has come.
    pub(crate) fn pass_streams(&self, endpoint: &LocalEndpoint) {
        let Some(limit) = self.connection_limit() else {
            return;
        };
        while !endpoint.stream_turns.is_empty() {
            let stream = endpoint.connections.borrow().stream();
            let Some((stream, _)) = stream else { break };
            if endpoint.stream_turns.give(stream).is_err() {
                break;
            }
        }
        self.yield_to_demand(limit);
    }

    /// Closes an idle connection if a request waits for one.
    fn yield_to_demand(&self, limit: &ConnectionLimit) {
        if limit.wanted() > 0 {
            self.close_one_idle();
        }
    }

    /// Returns true if a connection may go to a request of this worker: out of turn only so often, while those of other
    /// workers wait too.
    fn may_hand_over(&self, limit: &ConnectionLimit) -> bool {
        if limit.wanted() <= self.demands.get() {
            return true;
        }
        let handed = self.handed.get();
        self.handed.set((handed + 1) % HANDED_MAX);
        handed + 1 < HANDED_MAX
    }

    /// Closes an idle connection to any endpoint. Returns false if there is none.
    pub(crate) fn close_one_idle(&self) -> bool {
        let endpoints = self.endpoints.borrow();
        endpoints.local.iter().any(|endpoint| {
            endpoint.idle.borrow_mut().close_one() || endpoint.connections.borrow_mut().close_one()
        })
    }

    /// Counts requests of this worker that wait for a connection.
    pub(crate) fn demands(&self) -> &Cell<usize> {
        &self.demands
    }

    /// Reports the outcome of an exchange with `endpoint`, or of an attempt to connect.
    pub fn report(&self, endpoint: &LocalEndpoint, outcome: Outcome) {
        if outcome == Outcome::ConnectFailed {
            endpoint.idle.borrow_mut().clear();
            self.counters.failed.add(1);
            endpoint.counters().fail_to_connect();
        }
        let health = &endpoint.shared.health;
        let was_available = outcome == Outcome::ConnectFailed && health.is_available(Instant::now());
        let change = self.state.report(&endpoint.shared, outcome, Instant::now);
        if was_available && !health.is_available(Instant::now()) {
            // Also where it was ejected before, has not recovered since, and fails again, which is no change to report.
            self.state.touch();
        }
        self.notify(endpoint, change);
    }

    /// Counts a response that broke `rule`. Returns true if it is to be reported to the operator.
    pub fn count_fault(&self, rule: ResponseRule) -> bool {
        self.counters.faults.add(rule);
        self.state.faults().is_due(rule, Instant::now())
    }

    /// Reports a new connection to `endpoint`.
    pub fn report_connected(&self, endpoint: &LocalEndpoint) {
        self.counters.opened.add(1);
        self.notify(endpoint, self.state.report_connected(&endpoint.shared));
    }

    /// Sends a notice of `change`, if any.
    fn notify(&self, endpoint: &LocalEndpoint, change: Option<HealthChange>) {
        let Some(change) = change else {
            return;
        };
        let service = Arc::clone(&self.declared().name);
        let address = endpoint.shared.address.clone();
        // Notices are dropped when the channel is full, as a worker must not wait.
        let _ = self.notices.try_send(match change {
            HealthChange::Ejected { cause, duration } => Notice::EndpointEjected {
                service,
                address,
                cause,
                duration,
            },
            HealthChange::Recovered => Notice::EndpointRecovered { service, address },
        });
    }

    fn sweep(&self, clock: &Clock) {
        let (now, tick) = (clock.now(), clock.tick());
        let idle_timeout = self.declared().pool.idle_timeout;
        let mut idle = 0;
        let is_panic = self.state.is_panic();
        self.each_endpoint(now, |endpoint| {
            let mut sockets = endpoint.idle.borrow_mut();
            let mut connections = endpoint.connections.borrow_mut();
            // One that is down gets no requests, and its connections may be to a server that is gone.
            let idle_timeout = match endpoint.shared.health.fails_checks() && !is_panic {
                true => Duration::ZERO,
                false => idle_timeout,
            };
            sockets.sweep(now, tick, idle_timeout);
            connections.sweep(now, idle_timeout);
            idle += sockets.len() + connections.idle();
        });
        self.counters.idle.set(idle as u64);
    }

    fn each_endpoint(&self, now: Instant, visit: impl FnMut(&LocalEndpoint)) {
        self.with_endpoints(now, |endpoints| {
            endpoints.local.iter().map(|endpoint| &**endpoint).for_each(visit);
        });
    }

    /// Calls `f` with the current endpoints.
    fn with_endpoints<T>(&self, now: Instant, f: impl FnOnce(&mut LocalEndpoints) -> T) -> T {
        let mut endpoints = self.endpoints.borrow_mut();
        if endpoints.version != self.state.version() || endpoints.until.is_some_and(|until| until <= now) {
            endpoints.update(&self.state, now);
        }
        f(&mut endpoints)
    }
}

impl LocalEndpoints {
    fn new(state: &ServiceState, cursor: usize, now: Instant) -> Self {
        let mut endpoints = Self {
            version: 0,
            until: None,
            shared: Endpoints::default(),
            hashed: None,
            local: Vec::new(),
            view: View::new(cursor),
        };
        endpoints.update(state, now);
        endpoints
    }

    /// Applies what has changed since the last time.
    #[cold]
    fn update(&mut self, state: &ServiceState, now: Instant) {
        // Before everything else is read, so that a change in between is seen the next time.
        self.version = state.version();
        self.hashed = state.hashed();
        let shared = match &self.hashed {
            Some(hashed) => Arc::clone(&hashed.endpoints),
            None => state.endpoints(),
        };
        let service = state.service();
        self.until = None;
        let mut changes_at = |at: Instant| self.until = Some(self.until.map_or(at, |until| until.min(at)));
        let members: Vec<Member> = shared
            .iter()
            .map(|endpoint| {
                let health = &endpoint.health;
                health.changes_at(now).map(&mut changes_at);
                let is_available = health.is_available(now);
                let mut part = ONE;
                if is_available
                    && let Some(slow_start) = service.slow_start
                    && let Some(since) = health.available_since()
                {
                    // This worker's clock may be a little behind the one that told since when.
                    part = slow_start::part(now.saturating_duration_since(since), slow_start);
                    if part < ONE {
                        changes_at(now + slow_start::step(slow_start));
                    }
                }
                Member {
                    candidate: endpoint.candidate(is_available),
                    part,
                }
            })
            .collect();
        if Arc::ptr_eq(&shared, &self.shared) {
            self.view.update(&members, service.panic, Some);
            return;
        }
        let before: HashMap<*const Endpoint, usize> = self.shared.iter().map(Arc::as_ptr).zip(0..).collect();
        let was = |at: usize| before.get(&Arc::as_ptr(&shared[at])).copied();
        self.view.update(&members, service.panic, was);
        let local = (0..shared.len()).map(|at| match was(at) {
            Some(was) => Rc::clone(&self.local[was]),
            None => LocalEndpoint::new(&shared[at], service),
        });
        self.local = local.collect();
        self.shared = shared;
    }
}

impl LocalEndpoint {
    fn new(shared: &Arc<Endpoint>, service: &Service) -> Rc<Self> {
        Rc::new(Self {
            protocol: service.upstream_protocol(shared.declaration(service)),
            shared: Arc::clone(shared),
            idle: RefCell::default(),
            connections: RefCell::default(),
            connection_turns: Handover::default(),
            stream_turns: Handover::default(),
            counters: OnceCell::new(),
        })
    }

    /// The worker's counters.
    pub fn counters(&self) -> &EndpointCounters {
        self.counters.get_or_init(|| self.shared.meter.join())
    }
}

impl Drop for LocalEndpoint {
    fn drop(&mut self) {
        if let Some(counters) = self.counters.get() {
            self.shared.meter.leave(counters);
        }
    }
}

/// Closes idle connections of a worker to a service when requests of others wait for one.
async fn reclaim(service: Weak<LocalService>, mut reclaims: watch::Receiver<()>) {
    while reclaims.changed().await.is_ok() {
        let Some(service) = service.upgrade() else {
            return;
        };
        let wanted = service.connection_limit().map_or(0, ConnectionLimit::wanted);
        let _ = (0..wanted).all(|_| service.close_one_idle());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    use waypost_plan::balance::Balance;
    use waypost_plan::service::{Endpoint as Declared, EndpointHost, EndpointScheme};

    #[test]
    fn slow_start_begins_where_the_clock_of_the_worker_is_behind() {
        let endpoint = |port: u16| {
            let host = EndpointHost::Address(Ipv4Addr::LOCALHOST.into());
            Declared::new(
                format!("127.0.0.1:{port}").into(),
                host,
                port,
                EndpointScheme::Http,
            )
        };
        let mut service = Service::new("s".into(), vec![endpoint(1), endpoint(2)]);
        service.slow_start = Some(Duration::from_secs(24 * 3600));
        let state = ServiceState::new(Arc::new(service));
        let now = Instant::now() + Duration::from_secs(1);
        let health = &state.endpoints()[1].health;
        health.set_drained(true, now);
        health.set_drained(false, now + Duration::from_millis(20));
        let mut endpoints = LocalEndpoints::new(&state, 0, now + Duration::from_millis(10));
        let wanted = Wanted {
            balance: &Balance::RoundRobin,
            tables: None,
            key: None,
            in_flight: &|_| 0,
            is_tried: None,
        };
        let picked = (0..22).filter(|_| endpoints.view.pick(&wanted) == Some(1));
        assert_eq!(picked.count(), 2);
    }
}
