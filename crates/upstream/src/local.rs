//! One worker's own side of all services: their endpoints with their pools, and the memory for responses.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
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

use crate::balance::{self, Candidate};
use crate::counters::ServiceCounters;
use crate::endpoint::Endpoint;
use crate::health::{HealthChange, Outcome};
use crate::notice::Notice;
use crate::pool::idle::IdleConnections;
use crate::pool::shared::SharedConnections;
use crate::response_buffers::ResponseBuffers;
use crate::service::{Endpoints, ServiceState};

/// What a worker keeps for all services together.
#[derive(Debug)]
pub struct Upstreams {
    /// By the address of their state, which cannot be another's while it is held here.
    services: RefCell<HashMap<usize, Rc<LocalService>>>,
    /// Idle connections that the worker may keep in all, so that descriptors are left for clients.
    idle: Permits,
    pipes: Rc<Pipes>,
    clock: Clock,
    responses: FreeList<ResponseBuffers>,
    notices: Sender<Notice>,
}

/// A service as one worker knows it. Nothing of it is shared with other workers but `state`.
#[derive(Debug)]
pub struct LocalService {
    state: Arc<ServiceState>,
    endpoints: RefCell<LocalEndpoints>,
    counters: Arc<ServiceCounters>,
    notices: Sender<Notice>,
    /// Where round robin goes on.
    cursor: Cell<usize>,
}

/// The endpoints that a worker knows, and its own side of each: `shared.len() == local.len()`.
#[derive(Debug)]
struct LocalEndpoints {
    shared: Endpoints,
    local: Vec<Rc<LocalEndpoint>>,
}

/// One worker's own side of an endpoint.
#[derive(Debug)]
pub struct LocalEndpoint {
    /// The side that all workers share.
    pub shared: Arc<Endpoint>,
    /// Idle connections of HTTP/1.
    pub idle: RefCell<IdleConnections>,
    /// Connections of HTTP/2.
    pub connections: RefCell<SharedConnections>,
}

impl Upstreams {
    /// For a worker that keeps up to `idle_max` idle connections and tells `notices` of endpoints that come and go.
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

    /// The worker's own side of a service. The first time, it is made with the counters that `counters` returns, and its
    /// round robin begins at `cursor`.
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

    /// Pipes for large bodies.
    pub fn pipes(&self) -> &Rc<Pipes> {
        &self.pipes
    }

    /// Borrows memory for a response.
    pub fn borrow_response(&self) -> Box<ResponseBuffers> {
        let mut response = self.responses.take();
        response.begin();
        response
    }

    /// Returns it for the next one.
    pub fn return_response(&self, mut response: Box<ResponseBuffers>) {
        response.tidy();
        self.responses.put(response);
    }

    /// A permit to keep one more connection between its exchanges.
    pub fn idle_permit(&self) -> Option<Permit> {
        self.idle.take()
    }

    /// Closes all idle connections and pipes, as descriptors are short. Returns true if there were any.
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

    /// Closes what is idle for too long, and forgets retired services.
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
    /// A service whose round robin begins at `cursor`.
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

    /// The state that all workers share.
    pub fn state(&self) -> &Arc<ServiceState> {
        &self.state
    }

    /// The service as it is declared.
    pub fn declared(&self) -> &Arc<Service> {
        self.state.service()
    }

    /// The worker's counters.
    pub fn counters(&self) -> &ServiceCounters {
        &self.counters
    }

    /// Returns true if a connection may serve other clients after this one. One that began with a PROXY header may not.
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

    /// The endpoint for the next attempt, other than those that were `tried`.
    pub fn pick(&self, tried: &[SocketAddr], now: Instant) -> Option<Rc<LocalEndpoint>> {
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

    /// Reports the outcome of an exchange with `endpoint`, or of the attempt at one.
    pub fn report(&self, endpoint: &LocalEndpoint, outcome: Outcome) {
        if outcome == Outcome::ConnectFailed {
            endpoint.idle.borrow_mut().clear();
            self.counters.failed.add(1);
            self.tell(endpoint, endpoint.shared.health.report(outcome, Instant::now()));
        } else if let Outcome::Response(_) = outcome {
            self.tell(endpoint, endpoint.shared.health.reached());
        }
    }

    /// Reports that a connection to `endpoint` was made.
    pub fn report_connected(&self, endpoint: &LocalEndpoint) {
        self.counters.opened.add(1);
        self.tell(endpoint, endpoint.shared.health.reached());
    }

    fn tell(&self, endpoint: &LocalEndpoint, change: Option<HealthChange>) {
        let Some(change) = change else {
            return;
        };
        let service = Arc::clone(&self.declared().name);
        let address = endpoint.shared.address;
        // A worker does not wait for listeners: what they do not take in time, they miss.
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

    /// Looks at the endpoints, after taking over the addresses that names resolve to now.
    fn with_endpoints<T>(&self, look: impl FnOnce(&LocalEndpoints) -> T) -> T {
        let mut endpoints = self.endpoints.borrow_mut();
        if let Some(shared) = self.state.endpoints_unless(&endpoints.shared) {
            let keep = |endpoint: &Arc<Endpoint>| {
                let mut known = endpoints.local.iter();
                let known = known.find(|known| Arc::ptr_eq(&known.shared, endpoint));
                known.map_or_else(|| LocalEndpoint::new(endpoint), Rc::clone)
            };
            let local = shared.iter().map(keep).collect();
            *endpoints = LocalEndpoints { shared, local };
        }
        look(&endpoints)
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
