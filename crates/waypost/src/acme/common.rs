//! The things that the tasks of all certificates share.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, watch};
use waypost_admin::state::AppState;
use waypost_plan::acme::Acme;

use super::accounts::Accounts;
use super::clock::Clock;
use super::issued::Issued;
use super::pace::Pace;
use super::store::Store;

/// The things that all tasks share.
pub(super) struct Common {
    pub(super) store: Store,
    pub(super) issued: Issued,
    pub(super) shared: Arc<AppState>,
    pub(super) clock: Clock,
    /// True while this process is the one that orders.
    pub(super) is_allowed: watch::Receiver<bool>,
    /// True if a listener answers in clear text.
    pub(super) has_clear_listener: AtomicBool,
    pub(super) pace: Mutex<Pace>,
    /// Notified when an order has ended.
    pub(super) ended: Notify,
    /// The orders that may be under way.
    pub(super) slots: Semaphore,
    pub(super) accounts: Accounts,
}

impl Common {
    pub(super) fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hosts of an order under way, which another order for one of them waits for until this is dropped.
pub(super) struct Busy {
    pub(super) acme: Arc<Acme>,
    pub(super) common: Arc<Common>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.common.pace().end(&self.acme.hosts);
        self.common.ended.notify_waiters();
    }
}
