//! Leases: the use of a link by one exchange.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;
use waypost_plan::balance::Balance;
use waypost_plan::service::Endpoint;
use waypost_transport::link::Link;

use crate::address::Address;
use crate::connect::{self, ConnectError, ConnectOptions};
use crate::health::Outcome;
use crate::local::{LocalEndpoint, LocalService, Upstreams};
use crate::pool::idle::ReuseTrust;

/// Maximum endpoints tried per request.
pub const ATTEMPTS_MAX: usize = 8;

/// The use of a link to an endpoint by one exchange. Ending the lease reports the outcome; dropping it reports
/// [`Outcome::Abandoned`].
#[derive(Debug)]
pub struct Lease {
    /// The link.
    pub link: Link,
    /// True if the connection served a request before.
    pub reused: bool,
    service: Rc<LocalService>,
    endpoint: Rc<LocalEndpoint>,
    _in_flight: InFlight,
    outcome: Outcome,
}

/// Counts a request of its endpoint as in flight, until it is dropped, where the service balances by these.
#[derive(Debug)]
struct InFlight(Option<Rc<LocalEndpoint>>);

impl InFlight {
    fn begin(service: &LocalService, endpoint: &Rc<LocalEndpoint>) -> Self {
        let counts = service.declared().balance == Balance::LeastRequest;
        Self(counts.then(|| {
            endpoint.shared.in_flight.fetch_add(1, Ordering::Relaxed);
            Rc::clone(endpoint)
        }))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(endpoint) = &self.0 {
            endpoint.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Leases a link to an endpoint of `service`, trying up to [`ATTEMPTS_MAX`]. Adds the number of failed attempts to
/// `failed`.
///
/// # Errors
/// When no endpoint can be reached, with the last failure.
pub async fn acquire(
    upstreams: &Upstreams,
    service: &Rc<LocalService>,
    options: ConnectOptions,
    failed: &mut u32,
) -> Result<Lease, ConnectError> {
    let mut tried: Vec<Address> = Vec::new();
    let mut last = ConnectError::NoEndpoint;
    while tried.len() < ATTEMPTS_MAX {
        let now = upstreams.clock().coarse_now();
        let Some(endpoint) = service.pick(&tried, options.key, now) else {
            break;
        };
        // From now on, so that others see it while it connects.
        let in_flight = InFlight::begin(service, &endpoint);
        let connect_by = now + service.declared().timeouts.connect;
        let by = options
            .deadline
            .map_or(connect_by, |deadline| deadline.min(connect_by));
        match connect::link_to(upstreams, service, &endpoint, options, by).await {
            Ok((link, reused)) => {
                return Ok(Lease {
                    link,
                    reused,
                    service: Rc::clone(service),
                    endpoint,
                    _in_flight: in_flight,
                    outcome: Outcome::Abandoned,
                });
            }
            Err(ConnectError::TimedOut)
                if options
                    .deadline
                    .is_some_and(|deadline| deadline <= Instant::now()) =>
            {
                return Err(ConnectError::DeadlinePassed);
            }
            Err(error) if !error.is_endpoint_fault() => return Err(error),
            Err(error) => {
                last = error;
                service.report(&endpoint, Outcome::ConnectFailed);
                tried.push(endpoint.shared.address.clone());
                *failed += 1;
            }
        }
    }
    Err(last)
}

impl Lease {
    /// The service.
    pub fn service(&self) -> &Rc<LocalService> {
        &self.service
    }

    /// The endpoint's address.
    pub fn address(&self) -> &Address {
        &self.endpoint.shared.address
    }

    /// The endpoint's declared authority, for requests without a host.
    pub fn authority(&self) -> &str {
        &self.declared().authority
    }

    /// The endpoint as it is declared.
    pub fn declared(&self) -> &Endpoint {
        &self.service.declared().endpoints[self.endpoint.shared.declared]
    }

    /// Ends the exchange and closes the connection.
    pub fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// Ends the exchange and returns the connection to the pool if there is room. Both messages must be complete,
    /// without unread bytes.
    pub fn end_and_keep(mut self, outcome: Outcome, trust: ReuseTrust, upstreams: &Upstreams) {
        self.outcome = outcome;
        if self.service.keeps_connections()
            && let Link::Socket(socket) = std::mem::replace(&mut self.link, Link::Gone)
            && let Some(permit) = upstreams.idle_permit()
        {
            let idle_max = self.service.declared().pool.idle_max;
            let mut idle = self.endpoint.idle.borrow_mut();
            idle.put(socket, trust, upstreams.clock(), permit, idle_max);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.service.report(&self.endpoint, self.outcome);
    }
}
