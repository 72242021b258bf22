//! Past figures of the other instances: kept by the instance that leads and the one that would lead next, so that statistics have
//! those of instances that are lost, also of a leader.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use waypost_admin::state::AppState;

use super::{Shared, others};
use crate::log;

/// The time between two questions.
const PAUSE: Duration = Duration::from_secs(5);

/// The candidates that keep figures: the leader, and the next one.
const KEEPERS: usize = 2;

/// Keeps past figures, until the fleet or the gateway has ended.
pub(super) async fn keep(shared: Weak<Shared>, app: Weak<AppState>) {
    loop {
        if let (Some(shared), Some(app)) = (shared.upgrade(), app.upgrade())
            && shared.keeps_figures()
        {
            let answers = others::ask_for_series(&shared).await;
            let live = shared.view().instances.len();
            // Off the control runtime: many instances with many series take a while.
            let taken = spawn_blocking(move || {
                for (id, bytes) in answers {
                    let (now, time) = (Instant::now(), Timestamp::now());
                    let id: Arc<str> = id.into();
                    if !app.ledger().take(&id, &bytes, live, now, time) {
                        log::warn(format_args!("the figures of instance {id} make no sense"));
                    }
                }
            });
            // The next answers have what is missed here.
            let _ = taken.await;
        }
        sleep(PAUSE).await;
        if shared.strong_count() == 0 || app.strong_count() == 0 {
            return;
        }
    }
}

impl Shared {
    /// Returns true if this instance leads, or would lead next.
    fn keeps_figures(&self) -> bool {
        let view = self.view();
        let mut first = view.candidates.values().take(KEEPERS);
        first.any(|id| **id == *self.id())
    }
}
