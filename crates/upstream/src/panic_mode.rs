//! Panic mode of services, as the control plane notices it: once for all workers, and without traffic.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::WeakSender;
use tokio::time::{Instant, sleep, sleep_until};

use crate::balance::standing::Tier;
use crate::notice::Notice;
use crate::service::ServiceState;

/// The shortest time between two looks at a service whose endpoints change all the time.
const PAUSE: Duration = Duration::from_millis(20);

/// Starts the task on `control` that follows the standing of a service, unless it runs already or the service has no panic
/// mode. It runs until the service is retired.
pub fn start(state: &Arc<ServiceState>, control: &Handle, notices: &WeakSender<Notice>) {
    if state.service().panic > 0 {
        state.follow_by(|| {
            let following = follow(Arc::downgrade(state), notices.clone());
            control.spawn(following).abort_handle()
        });
    }
}

/// Reports when the service enters and leaves panic mode, as long as it exists.
async fn follow(state: Weak<ServiceState>, notices: WeakSender<Notice>) {
    let Some(changes) = state.upgrade().map(|state| Arc::clone(state.changes())) else {
        return;
    };
    while let Some(state) = state.upgrade() {
        let now = Instant::now();
        if let Some(notice) = look(&state, now)
            && let Some(notices) = notices.upgrade()
        {
            // Dropped when the channel is full, as other notices are.
            let _ = notices.try_send(notice);
        }
        let changes_at = state.changes_at(now);
        drop(state);
        sleep(PAUSE).await;
        match changes_at {
            Some(at) => tokio::select! {
                () = changes.notified() => {}
                () = sleep_until(at) => {}
            },
            None => changes.notified().await,
        }
    }
}

/// Updates the mode of a service. Returns the notice of its change, if it has changed.
fn look(state: &ServiceState, now: Instant) -> Option<Notice> {
    let standing = state.standing(now);
    let is_panic = standing.tier == Tier::Panic;
    (state.set_panic(is_panic) != is_panic).then(|| {
        let service = Arc::clone(&state.service().name);
        let (available, endpoints) = (standing.available, standing.primaries);
        if is_panic {
            Notice::PanicEntered {
                service,
                available,
                endpoints,
            }
        } else {
            Notice::PanicLeft {
                service,
                available,
                endpoints,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;
    use waypost_plan::service::{Endpoint, EndpointHost, EndpointScheme, Service};

    use crate::health::{EJECTION, Outcome};

    fn service(count: u8) -> Arc<ServiceState> {
        let endpoint = |at: u8| {
            let host = EndpointHost::Address([10, 0, 0, at].into());
            Endpoint::new(format!("10.0.0.{at}").into(), host, 80, EndpointScheme::Http)
        };
        let service = Service::new("s".into(), (0..count).map(endpoint).collect());
        Arc::new(ServiceState::new(Arc::new(service)))
    }

    fn eject(state: &ServiceState, at: usize) {
        let health = &state.endpoints()[at].health;
        health.report(Outcome::ConnectFailed, Instant::now);
        state.touch();
    }

    #[tokio::test(start_paused = true)]
    async fn panic_is_reported_once_and_ends_by_itself() {
        let state = service(3);
        let (sender, mut notices) = mpsc::channel(8);
        start(&state, &Handle::current(), &sender.downgrade());
        start(&state, &Handle::current(), &sender.downgrade());
        let began = Instant::now();
        eject(&state, 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
        assert!(!state.is_panic(), "two of three are available");
        eject(&state, 1);
        let entered = Notice::PanicEntered {
            service: "s".into(),
            available: 1,
            endpoints: 3,
        };
        assert_eq!(notices.recv().await, Some(entered));
        assert!(state.is_panic());
        eject(&state, 2);
        // No request comes meanwhile.
        let left = notices.recv().await;
        assert!(
            matches!(left, Some(Notice::PanicLeft { endpoints: 3, .. })),
            "{left:?}"
        );
        assert!(!state.is_panic());
        assert!(began.elapsed() >= EJECTION);
        state.retire();
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_without_panic_mode_has_no_task() {
        let mut service = Service::new("s".into(), Vec::new());
        service.panic = 0;
        let state = Arc::new(ServiceState::new(Arc::new(service)));
        let (sender, _notices) = mpsc::channel(8);
        let before = Handle::current().metrics().num_alive_tasks();
        start(&state, &Handle::current(), &sender.downgrade());
        assert_eq!(Handle::current().metrics().num_alive_tasks(), before);
    }
}
