//! Checks of endpoints, on a thread of the control plane.
//!
//! A service whose config has checks is handed over once, and is checked until it is retired: a task for each endpoint
//! waits, takes one of [`CHECKS_MAX`] permits, asks, and records the result in the endpoint's
//! [`Health`](crate::health::Health).

mod grpc;
mod prober;

use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hashbrown::HashMap;
use tokio::sync::mpsc::{Sender, UnboundedReceiver};
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use waypost_plan::health::HealthCheck;

use crate::balance::scale;
use crate::checks::prober::Prober;
use crate::endpoint::Endpoint;
use crate::health::check::Thresholds;
use crate::local::Upstreams;
use crate::notice::Notice;
use crate::service::ServiceState;

/// Checks at a time, of all services together.
pub const CHECKS_MAX: usize = 64;
/// Checks begin at multiples of this time, or of a twentieth of their interval where that is shorter: the thread wakes once for
/// several of them, and so do the answers.
const SLOT: Duration = Duration::from_millis(10);
/// Bytes of the body of a response to a check that are read.
pub const RESPONSE_BYTES_MAX: usize = 64 << 10;

/// State that the tasks of the thread share.
struct Checker {
    upstreams: Upstreams,
    permits: Semaphore,
    notices: Sender<Notice>,
    /// The time from which slots are counted.
    began: Instant,
    /// Rolls the dice, uniform in `0..2^64`.
    roll: Box<dyn Fn() -> u64>,
}

/// A task that ends with this handle.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Checks the services that arrive in `inbox`, until it closes. `roll` returns random numbers.
pub async fn run(
    upstreams: Upstreams,
    mut inbox: UnboundedReceiver<Arc<ServiceState>>,
    notices: Sender<Notice>,
    roll: impl Fn() -> u64 + 'static,
) {
    let checker = Rc::new(Checker {
        upstreams,
        permits: Semaphore::new(CHECKS_MAX),
        notices,
        began: Instant::now(),
        roll: Box::new(roll),
    });
    while let Some(state) = inbox.recv().await {
        let changes = state.endpoint_changes();
        tokio::task::spawn_local(follow(Rc::clone(&checker), Arc::downgrade(&state), changes));
    }
}

/// Keeps a task for each endpoint of a service, until it is retired or gone.
async fn follow(checker: Rc<Checker>, state: Weak<ServiceState>, changes: Arc<Notify>) {
    // By the address of the endpoint's state, which is unique while its task owns it.
    let mut tasks: HashMap<usize, Task> = HashMap::new();
    while let Some(known) = state.upgrade().filter(|state| !state.is_retired()) {
        let endpoints = known.endpoints();
        let mut kept = HashMap::with_capacity(endpoints.len());
        for endpoint in endpoints.iter() {
            let key = Arc::as_ptr(endpoint).addr();
            let task = tasks.remove(&key).unwrap_or_else(|| {
                let watched = watch(Rc::clone(&checker), Weak::clone(&state), Arc::clone(endpoint));
                Task(tokio::task::spawn_local(watched).abort_handle())
            });
            kept.insert(key, task);
        }
        // Those of endpoints that are gone end here.
        tasks = kept;
        drop((known, endpoints));
        changes.notified().await;
    }
}

/// Checks an endpoint again and again, the first time at once.
async fn watch(checker: Rc<Checker>, state: Weak<ServiceState>, endpoint: Arc<Endpoint>) {
    let Some(service) = state.upgrade().map(|state| Arc::clone(state.service())) else {
        return;
    };
    let Some(check) = &service.health else {
        return;
    };
    let mut prober = Prober::new(&service, &endpoint, check);
    loop {
        {
            // Never closed.
            let Ok(_permit) = checker.permits.acquire().await else {
                return;
            };
            let Some(state) = state.upgrade() else {
                return;
            };
            if let Some(result) = prober.probe(&checker.upstreams, &state).await {
                checker.record(&state, &endpoint, check, result);
            }
        }
        let after = next(checker.began.elapsed(), check.interval, (checker.roll)());
        tokio::time::sleep_until(checker.began + after).await;
    }
}

impl Checker {
    /// Records the result of a check: a failure has its reason.
    fn record(
        &self,
        state: &ServiceState,
        endpoint: &Endpoint,
        check: &HealthCheck,
        result: Result<(), String>,
    ) {
        state.count_check(result.is_ok());
        let thresholds = Thresholds {
            unhealthy: check.unhealthy,
            healthy: check.healthy,
        };
        let service = Arc::clone(&state.service().name);
        let address = endpoint.address.clone();
        // A connection has succeeded, to the port of requests.
        if result.is_ok() && check.port.is_none() && state.report_connected(endpoint).is_some() {
            let (service, address) = (Arc::clone(&service), address.clone());
            let _ = self
                .notices
                .try_send(Notice::EndpointRecovered { service, address });
        }
        let reason = result.as_ref().err().cloned().unwrap_or_default();
        let Some(is_up) = endpoint.health.record_check(result, thresholds, Instant::now()) else {
            return;
        };
        state.touch();
        // Dropped if no one keeps up with them.
        let _ = self.notices.try_send(match is_up {
            true => Notice::EndpointUp { service, address },
            false => Notice::EndpointDown {
                service,
                address,
                reason,
            },
        });
    }
}

/// The time of the check after one that ended at `now`: the slot nearest to an interval, give or take a tenth.
fn next(now: Duration, interval: Duration, roll: u64) -> Duration {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let slot = nanos(SLOT.min(interval / 20)).max(1);
    // Half a slot is left to rounding.
    let range = nanos(interval / 10) - slot / 2;
    let varied = scale(roll, range.saturating_mul(2).saturating_add(1));
    let at = nanos(now + interval - Duration::from_nanos(range)).saturating_add(varied);
    Duration::from_nanos(at.saturating_add(slot / 2) / slot * slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(now_ms: u64, interval_ms: u64, roll: u64, expected_ms: u64) {
        let (now, interval) = (Duration::from_millis(now_ms), Duration::from_millis(interval_ms));
        let found = next(now, interval, roll);
        let expected = Duration::from_millis(expected_ms);
        assert!(
            found.abs_diff(expected) < Duration::from_micros(1),
            "{found:?} of {expected_ms}"
        );
    }

    #[test]
    fn interval_is_varied_by_a_tenth() {
        let half = u64::MAX / 2;
        for (roll, ms) in [(0, 910), (half, 1000), (u64::MAX, 1100)] {
            check(0, 1000, roll, ms);
            check(5_000_010, 1000, roll, 5_000_010 + ms);
        }
        check(0, 100, 0, 95);
        check(0, 100, u64::MAX, 110);
    }

    #[test]
    fn checks_that_end_at_different_times_begin_together() {
        let half = u64::MAX / 2;
        for ended in [98, 99, 100, 102] {
            check(ended, 1000, half, 1100);
            check(ended, 100, half, 200);
        }
        // Of short intervals, within a tenth.
        check(1234, 20, half, 1254);
        check(1234, 20, 0, 1253);
    }
}
