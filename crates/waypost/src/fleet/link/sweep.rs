//! Sweeping: the leader deletes old revisions, parts of texts that nothing refers to, and what has ended with a config.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use waypost_fleet::proposal::sweep::{Sweeper, ended};
use waypost_fleet::record::WriteId;
use waypost_fleet::view::Fence;

use super::Shared;
use super::propose::{id, txn};

/// The time between two looks.
const PAUSE: Duration = Duration::from_secs(10);

/// Sweeps while this instance leads, until the task is ended.
pub(super) async fn keep(shared: Arc<Shared>) {
    let began = Instant::now();
    let mut sweeper = Sweeper::default();
    let mut have_ended = shared.ended.subscribe();
    let mut look_at = began + PAUSE;
    loop {
        let is_look = tokio::select! {
            // The sender lives as long as `shared`.
            _ = have_ended.changed() => false,
            () = sleep_until(look_at) => true,
        };
        let Some((fence, write)) = shared.fence().zip(WriteId::new(&id())) else {
            if is_look {
                look_at = Instant::now() + PAUSE;
            }
            continue;
        };
        sweep_ended(&shared, &fence, &write).await;
        if !is_look {
            continue;
        }
        look_at = Instant::now() + PAUSE;
        if let Some(transaction) = sweeper.step(&shared.view(), &fence, began.elapsed(), &write) {
            // If it is refused, or etcd is away, the next look finds the same, or better.
            let _ = shared.client.txn(&txn(&transaction)).await;
        }
    }
}

/// Deletes what has ended. What fails is tried again at the next look, or has changed by then.
async fn sweep_ended(shared: &Shared, fence: &Fence, write: &WriteId) {
    let Some((view, state)) = shared.ended.borrow().clone() else {
        return;
    };
    for transaction in ended(&view, state, fence, write) {
        if shared.client.txn(&txn(&transaction)).await.is_err() {
            return;
        }
    }
}
