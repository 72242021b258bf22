//! Leases: the use of a link by one exchange.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;
use waypost_plan::balance::Balance;
use waypost_plan::service::Endpoint;
use waypost_transport::h2::stream_count::StreamUse;
use waypost_transport::link::Link;
use waypost_transport::permits::OpenPermit;

use crate::address::Address;
use crate::connect::{self, ConnectError, ConnectOptions, Connected};
use crate::health::Outcome;
use crate::limits::{RequestLimit, RequestPermit, ServiceLimits, Wait};
use crate::local::{LocalEndpoint, LocalService, Upstreams};
use crate::pool::idle::{IdleConnection, ReuseTrust};
use crate::retry::tried::Tried;

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
    /// The permits that it takes of the service's limits; given back once the link is closed.
    pub taken: Taken,
    service: Rc<LocalService>,
    endpoint: Rc<LocalEndpoint>,
    _in_flight: InFlight,
    outcome: Outcome,
    /// The begin of the exchange; `None` if its duration says nothing about the endpoint.
    began: Option<Instant>,
}

/// The things that an exchange takes of the limits of its service. A tunnel holds them as long as it lives.
#[derive(Debug, Default)]
pub struct Taken {
    /// The permit of its request.
    request: Option<RequestPermit>,
    /// The permit of its connection.
    open: Option<OpenPermit>,
    /// Its part in a connection with a permit of its own.
    stream: Option<StreamUse>,
}

/// An endpoint that is picked for an attempt. The attempt counts as in flight there, so that others see it while it
/// connects.
#[derive(Debug)]
pub struct Picked {
    endpoint: Rc<LocalEndpoint>,
    in_flight: InFlight,
}

impl Picked {
    /// Picks the endpoint of the next attempt, if there is one.
    fn next(
        upstreams: &Upstreams,
        service: &LocalService,
        options: &ConnectOptions,
        tried: &Tried,
    ) -> Option<Self> {
        let endpoint = service.pick(tried.avoided(), options.key, upstreams.clock().coarse_now())?;
        let in_flight = InFlight::begin(service, &endpoint);
        Some(Self { endpoint, in_flight })
    }
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

/// Leases a link to the endpoint whose turn it is over a connection that is there and free, without waiting. This is the
/// way of nearly all requests.
///
/// # Errors
/// When there is none, or the service is limited: [`acquire`] goes on with the endpoint that is picked, if there is one.
pub fn acquire_pooled(
    upstreams: &Upstreams,
    service: &Rc<LocalService>,
    options: &ConnectOptions,
    tried: &Tried,
) -> Result<Lease, Option<Picked>> {
    if service.state().limits().is_some() {
        return Err(None);
    }
    let picked = Picked::next(upstreams, service, options, tried).ok_or(None)?;
    match connect::pooled(upstreams, service, &picked.endpoint, options) {
        Some(connected) => Ok(Lease::begin(service, picked, connected, None)),
        None => Err(Some(picked)),
    }
}

/// Leases a link to an endpoint of `service` that is not `tried`, while there is one, trying up to [`ATTEMPTS_MAX`]. Those
/// that cannot be reached are excluded from then on. It begins with the endpoint that is `picked`, if any.
///
/// `held` is the permit of the same request from an earlier attempt. Without one, and with as many requests in flight as
/// the service may have, the request waits for its turn. A connection that is passed through is no request.
///
/// # Errors
/// When no endpoint can be reached, with the last failure.
pub async fn acquire(
    upstreams: &Upstreams,
    service: &Rc<LocalService>,
    options: &ConnectOptions,
    mut picked: Option<Picked>,
    held: Option<RequestPermit>,
    tried: &mut Tried,
) -> Result<Lease, ConnectError> {
    let mut wait = Wait::new(service.state().limits(), options.may_wait, options.deadline);
    let request = match wait.limits().and_then(ServiceLimits::request_limit) {
        Some(limit) if held.is_none() && !options.raw => match limit.try_take() {
            Some(permit) => Some(permit),
            None => Some(Box::pin(next_request(service, options, limit, &mut wait)).await?),
        },
        _ => held,
    };
    let mut last = ConnectError::NoEndpoint;
    let mut failed = 0;
    while failed < ATTEMPTS_MAX {
        let next = picked.take();
        let Some(picked) = next.or_else(|| Picked::next(upstreams, service, options, tried)) else {
            match tried.relent() {
                true => continue,
                false => break,
            }
        };
        let endpoint = &picked.endpoint;
        match connect::link_to(upstreams, service, endpoint, options, &mut wait).await {
            Ok(connected) => return Ok(Lease::begin(service, picked, connected, request)),
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
                service.report(endpoint, Outcome::ConnectFailed);
                tried.exclude(&endpoint.shared.address);
                tried.failed += 1;
                failed += 1;
            }
        }
    }
    Err(last)
}

/// Waits for the permit of a request.
async fn next_request(
    service: &LocalService,
    options: &ConnectOptions,
    limit: &RequestLimit,
    wait: &mut Wait<'_>,
) -> Result<RequestPermit, ConnectError> {
    let permit = wait.wait_for(0, limit.take()).await;
    permit.map_err(|refusal| connect::refused(service, options, refusal, ConnectError::RequestLimit))
}

impl Lease {
    /// A lease of a link that is there now.
    #[inline]
    fn begin(
        service: &Rc<LocalService>,
        picked: Picked,
        connected: Connected,
        request: Option<RequestPermit>,
    ) -> Self {
        let Picked { endpoint, in_flight } = picked;
        let Connected { link, reused, open } = connected;
        endpoint.counters().begin();
        let stream = match &link {
            Link::ClientStream(stream) if service.connection_limit().is_some() => {
                Some(stream.connection_use())
            }
            _ => None,
        };
        Self {
            link,
            reused,
            taken: Taken {
                request,
                open,
                stream,
            },
            service: Rc::clone(service),
            endpoint,
            _in_flight: in_flight,
            outcome: Outcome::Abandoned,
            began: Some(service.clock().coarse_now()),
        }
    }

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

    /// The endpoint as it is declared, or as a SRV record names it.
    pub fn declared(&self) -> &Endpoint {
        self.endpoint.shared.declaration(self.service.declared())
    }

    /// Takes the permit of the request, for its next attempt.
    pub fn take_request(&mut self) -> Option<RequestPermit> {
        self.taken.request.take()
    }

    /// Ends the exchange and closes the connection.
    pub fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// Ends a tunnel and closes the connection. A tunnel lasts as long as its client likes.
    pub fn end_tunnel(mut self, outcome: Outcome) {
        self.outcome = outcome;
        self.began = None;
    }

    /// Ends the exchange and returns the connection to the pool if there is room. Both messages must be complete,
    /// without unread bytes.
    pub fn end_and_keep(mut self, outcome: Outcome, trust: ReuseTrust, upstreams: &Upstreams) {
        self.outcome = outcome;
        if self.service.keeps_connections()
            && let Link::Socket(socket) = std::mem::replace(&mut self.link, Link::Gone)
        {
            let connection = IdleConnection::new(socket, trust, upstreams.clock(), self.taken.open.take());
            self.service.keep(&self.endpoint, connection, upstreams);
        }
    }
}

impl Taken {
    /// Notes that the service has done its part, before the client can know it. A client that asks for more is not refused
    /// for what it has got: its request is over, and the connection about to be idle.
    pub fn ends_soon(&mut self) {
        self.request = None;
        if let Some(open) = &self.open {
            open.set_idle(true);
        }
        if let Some(stream) = &self.stream {
            stream.ends_soon();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let clock = self.service.clock();
        let duration = self.began.map(|began| clock.coarse_now() - began);
        self.endpoint.counters().end(self.outcome, duration);
        self.service.report(&self.endpoint, self.outcome);
        if self.taken.stream.take().is_some() {
            // The stream's place on its connection is free first.
            self.link = Link::Gone;
            self.service.pass_streams(&self.endpoint);
        }
    }
}
