//! Limits of a service over all workers: requests in flight, open connections, and the requests that wait for either.
//!
//! Permits come from semaphores, which hand them out in the order in which they were asked for, on whatever worker. A
//! connection holds its permit until its socket is closed, also while it is idle in the pool of a worker. A request that
//! finds none is therefore *wanted* for: workers close idle connections rather than keep them while a request waits, and
//! those that are idle already are closed when one begins to.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use waypost_plan::service::Capacity;
use waypost_transport::permits::OpenPermit;

/// The limits of a service and what is in use of them.
#[derive(Debug)]
pub struct ServiceLimits {
    requests: Option<RequestLimit>,
    connections: Option<ConnectionLimit>,
    /// Requests that wait.
    waiting: AtomicUsize,
    waiting_max: usize,
    wait: Duration,
}

/// The limit of requests in flight.
#[derive(Debug)]
pub struct RequestLimit(Pool);

/// The limit of open connections.
#[derive(Debug)]
pub struct ConnectionLimit {
    open: Pool,
    /// Open connections that no exchange uses.
    idle: Arc<AtomicUsize>,
    /// Requests that wait for a connection.
    wanted: AtomicUsize,
    /// Wakes the workers to close idle connections.
    reclaim: watch::Sender<()>,
}

/// Permits: `max` in all.
#[derive(Debug)]
struct Pool {
    max: usize,
    free: Arc<Semaphore>,
}

/// The permit of a request in flight.
#[derive(Debug)]
pub struct RequestPermit(
    #[expect(dead_code, reason = "it is held, and given back on drop")] OwnedSemaphorePermit,
);

/// A limit and what is in use of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// In use now.
    pub used: usize,
    /// The limit.
    pub max: usize,
}

/// The reason that a request does not get what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many wait, or it has waited long enough.
    Limit,
    /// Its own deadline passed.
    DeadlinePassed,
}

/// The waiting of one request: at most once in the queue, and for one time in all.
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    limits: Option<&'a ServiceLimits>,
    /// False for what is given up rather than waits.
    may_wait: bool,
    /// The request's own deadline.
    deadline: Option<Instant>,
    /// The end of the wait, once it began.
    until: Option<Instant>,
    place: Option<Place<'a>>,
}

/// A place in the queue.
#[derive(Debug)]
struct Place<'a>(&'a ServiceLimits);

/// The demand of a request that waits for a connection.
#[derive(Debug)]
pub(crate) struct Demand<'a>(&'a ConnectionLimit);

impl ServiceLimits {
    /// The limits of a service with this capacity; `None` if it has none.
    pub(crate) fn new(capacity: &Capacity) -> Option<Box<Self>> {
        if capacity.requests.is_none() && capacity.connections.is_none() {
            return None;
        }
        Some(Box::new(Self {
            requests: capacity.requests.map(|max| RequestLimit(Pool::new(max))),
            connections: capacity.connections.map(|max| ConnectionLimit {
                open: Pool::new(max),
                idle: Arc::default(),
                wanted: AtomicUsize::new(0),
                reclaim: watch::Sender::new(()),
            }),
            waiting: AtomicUsize::new(0),
            waiting_max: capacity.waiting,
            wait: capacity.wait,
        }))
    }

    /// Requests in flight, if they are limited.
    pub fn requests(&self) -> Option<Usage> {
        self.requests.as_ref().map(|limit| limit.0.usage())
    }

    /// Open connections, if they are limited.
    pub fn connections(&self) -> Option<Usage> {
        self.connections.as_ref().map(|limit| limit.open.usage())
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn request_limit(&self) -> Option<&RequestLimit> {
        self.requests.as_ref()
    }

    pub(crate) fn connection_limit(&self) -> Option<&ConnectionLimit> {
        self.connections.as_ref()
    }
}

impl RequestLimit {
    /// Takes a permit that is free now.
    pub(crate) fn try_take(&self) -> Option<RequestPermit> {
        self.0.try_take().map(RequestPermit)
    }

    /// Takes the next permit, in turn.
    pub(crate) async fn take(&self) -> RequestPermit {
        RequestPermit(self.0.take().await)
    }
}

impl ConnectionLimit {
    /// Takes a permit that is free now.
    pub(crate) fn try_take(&self) -> Option<OpenPermit> {
        self.open.try_take().map(|permit| self.permit(permit))
    }

    /// Takes the next permit, in turn.
    pub(crate) async fn take(&self) -> OpenPermit {
        self.permit(self.open.take().await)
    }

    fn permit(&self, permit: OwnedSemaphorePermit) -> OpenPermit {
        OpenPermit::new(permit, Arc::clone(&self.idle))
    }

    /// Open connections that no exchange uses.
    pub(crate) fn idle(&self) -> usize {
        self.idle.load(Ordering::SeqCst)
    }

    /// Requests that wait for a connection.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted.load(Ordering::SeqCst)
    }

    /// Demands a connection: workers that have idle ones close them.
    pub(crate) fn demand(&self) -> Demand<'_> {
        self.wanted.fetch_add(1, Ordering::SeqCst);
        if self.idle() > 0 {
            self.reclaim.send_replace(());
        }
        Demand(self)
    }

    /// Changes when a worker is to close idle connections.
    pub(crate) fn reclaims(&self) -> watch::Receiver<()> {
        self.reclaim.subscribe()
    }
}

impl Pool {
    fn new(max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self {
            max,
            free: Arc::new(Semaphore::new(max)),
        }
    }

    fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    async fn take(&self) -> OwnedSemaphorePermit {
        match Arc::clone(&self.free).acquire_owned().await {
            Ok(permit) => permit,
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    fn usage(&self) -> Usage {
        Usage {
            used: self.max - self.free.available_permits(),
            max: self.max,
        }
    }
}

impl<'a> Wait<'a> {
    /// A request that does not wait yet, with its own deadline.
    pub(crate) fn new(limits: Option<&'a ServiceLimits>, may_wait: bool, deadline: Option<Instant>) -> Self {
        Self {
            limits,
            may_wait,
            deadline,
            until: None,
            place: None,
        }
    }

    /// The limits.
    pub(crate) fn limits(&self) -> Option<&'a ServiceLimits> {
        self.limits
    }

    /// Returns true if the request waits where it must, rather than being given up.
    pub(crate) fn may_wait(&self) -> bool {
        self.may_wait
    }

    /// Waits for `permit` in a place of the queue, of which there are `spare` more than configured.
    pub(crate) async fn wait_for<T>(
        &mut self,
        spare: usize,
        permit: impl Future<Output = T>,
    ) -> Result<T, Refusal> {
        let until = self.enter(spare)?;
        timeout_at(until, permit).await.map_err(|_| {
            let is_late = self.deadline.is_some_and(|deadline| deadline <= until);
            match is_late {
                true => Refusal::DeadlinePassed,
                false => Refusal::Limit,
            }
        })
    }

    /// Leaves the queue.
    pub(crate) fn leave(&mut self) {
        self.place = None;
    }

    /// Takes a place in the queue, unless it has one. Returns the end of the wait.
    fn enter(&mut self, spare: usize) -> Result<Instant, Refusal> {
        let limits = self.limits.filter(|_| self.may_wait).ok_or(Refusal::Limit)?;
        if self.place.is_none() {
            let max = limits.waiting_max.saturating_add(spare);
            let entered = limits
                .waiting
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                    (waiting < max).then(|| waiting + 1)
                });
            entered.map_err(|_| Refusal::Limit)?;
            self.place = Some(Place(limits));
        }
        let until = *self.until.get_or_insert_with(|| {
            let until = Instant::now() + limits.wait;
            self.deadline.map_or(until, |deadline| deadline.min(until))
        });
        Ok(until)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Demand<'_> {
    fn drop(&mut self) {
        self.0.wanted.fetch_sub(1, Ordering::SeqCst);
    }
}
