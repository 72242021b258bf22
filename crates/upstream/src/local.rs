//! A worker's local state of all services: endpoints, pools and response buffers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;
use waypost_plan::service::Service;
use waypost_transport::clock::Clock;
use waypost_transport::free_list::FreeList;
use waypost_transport::permits::{Permit, Permits};
use waypost_transport::relay::splice::Pipes;
use waypost_wire::response::fault::ResponseRule;

use crate::address::Address;
use crate::balance::{self, Candidate};
use crate::counters::ServiceCounters;
use crate::endpoint::Endpoint;
use crate::health::{HealthChange, Outcome};
use crate::notice::Notice;
use crate::pool::idle::IdleConnections;
use crate::pool::shared::SharedConnections;
use crate::response_buffers::ResponseBuffers;
use crate::service::{Endpoints, ServiceState};

/// A worker's local state of all services.
#[derive(Debug)]
pub struct Upstreams {
    /// Keyed by the address of the service's state, which is unique while its entry owns it.
    services: RefCell<HashMap<usize, Rc<LocalService>>>,
    /// Bounds the worker's idle connections, to leave descriptors for clients.
    idle: Permits,
    pipes: Rc<Pipes>,
    clock: Clock,
    responses: FreeList<ResponseBuffers>,
    notices: Sender<Notice>,
}

/// A worker's local state of a service. Only `state` is shared with other workers.
#[derive(Debug)]
pub struct LocalService {
    state: Arc<ServiceState>,
    endpoints: RefCell<LocalEndpoints>,
    counters: Arc<ServiceCounters>,
    notices: Sender<Notice>,
    /// The round-robin position of the next pick.
    cursor: Cell<usize>,
}

/// The current endpoints and the worker's local state of each: `shared.len() == local.len()`.
#[derive(Debug)]
struct LocalEndpoints {
    shared: Endpoints,
    local: Vec<Rc<LocalEndpoint>>,
}

/// A worker's local state of an endpoint.
#[derive(Debug)]
pub struct LocalEndpoint {
    /// The state shared by all workers.
    pub shared: Arc<Endpoint>,
    /// Idle HTTP/1 connections.
    pub idle: RefCell<IdleConnections>,
    /// HTTP/2 connections.
    pub connections: RefCell<SharedConnections>,
}

impl Upstreams {
    /// Creates the state of a worker that keeps up to `idle_max` idle connections and sends changes of health to
    /// `notices`.
    pub fn new(clock: Clock, idle_max: usize, notices: Sender<Notice>) -> Self {
        Self {
            services: RefCell::default(),
            idle: Permits::new(idle_max),
            pipes: Rc::default(),
            clock,
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
            Rc::new(LocalService::new(Arc::clone(state), cursor, counters(), notices))
        });
        Rc::clone(service)
    }

    /// The worker's clock.
    pub fn clock(&self) -> &Clock {
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
            service.each_endpoint(|endpoint| {
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
    ) -> Self {
        let shared = state.endpoints();
        let local = shared.iter().map(LocalEndpoint::new).collect();
        Self {
            state,
            endpoints: RefCell::new(LocalEndpoints { shared, local }),
            counters,
            notices,
            cursor: Cell::new(cursor),
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

    /// Returns true if connections can be reused. A connection that began with a PROXY header belongs to one client.
    pub fn keeps_connections(&self) -> bool {
        self.declared().proxy_protocol.is_none()
    }

    /// Returns true if an endpoint is not ejected.
    pub fn is_available(&self, now: Instant) -> bool {
        self.with_endpoints(|endpoints| {
            let mut shared = endpoints.shared.iter();
            shared.any(|endpoint| !endpoint.health.is_ejected(now))
        })
    }

    /// Picks the endpoint for the next attempt, excluding the addresses in `tried`.
    pub fn pick(&self, tried: &[Address], now: Instant) -> Option<Rc<LocalEndpoint>> {
        let cursor = self.cursor.get();
        self.cursor.set(cursor.wrapping_add(1));
        self.with_endpoints(|endpoints| {
            let candidate = |at: usize| {
                let endpoint = &endpoints.shared[at];
                Candidate {
                    is_tried: tried.contains(&endpoint.address),
                    is_ejected: endpoint.health.is_ejected(now),
                }
            };
            let at = balance::round_robin(endpoints.shared.len(), cursor, candidate)?;
            Some(Rc::clone(&endpoints.local[at]))
        })
    }

    /// Reports the outcome of an exchange with `endpoint`, or of an attempt to connect.
    pub fn report(&self, endpoint: &LocalEndpoint, outcome: Outcome) {
        if outcome == Outcome::ConnectFailed {
            endpoint.idle.borrow_mut().clear();
            self.counters.failed.add(1);
        }
        self.notify(endpoint, endpoint.shared.health.report(outcome, Instant::now));
    }

    /// Counts a response that broke `rule`. Returns true if it is to be reported to the operator.
    pub fn count_fault(&self, rule: ResponseRule) -> bool {
        self.counters.faults.add(rule);
        self.state.faults().is_due(rule, Instant::now())
    }

    /// Reports a new connection to `endpoint`.
    pub fn report_connected(&self, endpoint: &LocalEndpoint) {
        self.counters.opened.add(1);
        self.notify(endpoint, endpoint.shared.health.report_connected());
    }

    /// Sends a notice of `change`, if any.
    fn notify(&self, endpoint: &LocalEndpoint, change: Option<HealthChange>) {
        let Some(change) = change else {
            return;
        };
        self.state.touch();
        let service = Arc::clone(&self.declared().name);
        let address = endpoint.shared.address.clone();
        // Notices are dropped when the channel is full, as a worker must not wait.
        let _ = self.notices.try_send(match change {
            HealthChange::Ejected => Notice::EndpointEjected { service, address },
            HealthChange::Recovered => Notice::EndpointRecovered { service, address },
        });
    }

    fn sweep(&self, clock: &Clock) {
        let (now, tick) = (clock.now(), clock.tick());
        let idle_timeout = self.declared().pool.idle_timeout;
        let mut idle = 0;
        self.each_endpoint(|endpoint| {
            let mut sockets = endpoint.idle.borrow_mut();
            let mut connections = endpoint.connections.borrow_mut();
            sockets.sweep(now, tick, idle_timeout);
            connections.sweep(now, idle_timeout);
            idle += sockets.len() + connections.idle();
        });
        self.counters.idle.set(idle as u64);
    }

    fn each_endpoint(&self, visit: impl FnMut(&LocalEndpoint)) {
        self.with_endpoints(|endpoints| endpoints.local.iter().map(|endpoint| &**endpoint).for_each(visit));
    }

    /// Calls `f` with the current endpoints, after applying changes from discovery.
    fn with_endpoints<T>(&self, f: impl FnOnce(&LocalEndpoints) -> T) -> T {
        let mut endpoints = self.endpoints.borrow_mut();
        if let Some(shared) = self.state.endpoints_if_changed(&endpoints.shared) {
            let keep = |endpoint: &Arc<Endpoint>| {
                let mut known = endpoints.local.iter();
                let known = known.find(|known| Arc::ptr_eq(&known.shared, endpoint));
                known.map_or_else(|| LocalEndpoint::new(endpoint), Rc::clone)
            };
            let local = shared.iter().map(keep).collect();
            *endpoints = LocalEndpoints { shared, local };
        }
        f(&endpoints)
    }
}

impl LocalEndpoint {
    fn new(shared: &Arc<Endpoint>) -> Rc<Self> {
        Rc::new(Self {
            shared: Arc::clone(shared),
            idle: RefCell::default(),
            connections: RefCell::default(),
        })
    }
}
