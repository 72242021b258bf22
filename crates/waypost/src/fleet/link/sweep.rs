//! Sweeping: the leader deletes old revisions, and parts of texts that nothing refers to.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use waypost_fleet::proposal::sweep::Sweeper;
use waypost_fleet::record::WriteId;

use super::Shared;
use super::propose::{id, txn};

/// The time between two looks.
const PAUSE: Duration = Duration::from_secs(10);

/// Sweeps while this instance leads, until the task is ended.
pub(super) async fn keep(shared: Arc<Shared>) {
    let began = Instant::now();
    let mut sweeper = Sweeper::default();
    loop {
        sleep(PAUSE).await;
        let Some((fence, write)) = shared.fence().zip(WriteId::new(&id())) else {
            continue;
        };
        if let Some(transaction) = sweeper.step(&shared.view(), &fence, began.elapsed(), &write) {
            // If it is refused, or etcd is away, the next look finds the same, or better.
            let _ = shared.client.txn(&txn(&transaction)).await;
        }
    }
}
