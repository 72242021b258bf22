//! The accounts by which this process orders. The certificates of an account share what its authority says of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use waypost_acme::client::RETRY_AFTER_MAX;

use super::name::AccountName;

/// The longest wait that the refusal of one certificate's order is for the others of its account. It may be about the hosts of that
/// one alone, which an authority does not say in a way that can be relied on.
pub(crate) const OTHERS_MAX: Duration = Duration::from_secs(60 * 60);

/// All accounts.
#[derive(Debug, Default)]
pub(super) struct Accounts(Mutex<BTreeMap<AccountName, Arc<Gate>>>);

/// The way to the orders of one account.
#[derive(Debug)]
pub(super) struct Gate {
    /// Held while the account is opened, so that it is created once.
    pub(super) opening: tokio::sync::Mutex<()>,
    /// The time before which the authority wants to see no order, in seconds since 1970.
    closed_until: AtomicI64,
}

impl Accounts {
    pub(super) fn gate(&self, name: &AccountName) -> Arc<Gate> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(gates.entry(name.clone()).or_default())
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            opening: tokio::sync::Mutex::default(),
            closed_until: AtomicI64::new(i64::MIN),
        }
    }
}

impl Gate {
    /// Notes that the authority wants to see no order of this account for so long.
    pub(super) fn close(&self, now: i64, wait: Duration) {
        let wait = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
        self.closed_until
            .fetch_max(now.saturating_add(wait), Ordering::Relaxed);
    }

    /// The time from which orders are allowed, if that is to come.
    pub(super) fn closed_until(&self, now: i64) -> Option<i64> {
        let until = self.closed_until.load(Ordering::Relaxed);
        let longest = i64::try_from(RETRY_AFTER_MAX.as_secs()).unwrap_or(i64::MAX);
        // A time that is further ahead is of a clock that was set back.
        (now < until && until <= now.saturating_add(longest)).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_is_closed_as_long_as_the_longest_wait() {
        let gate = Gate::default();
        assert_eq!(gate.closed_until(0), None);
        gate.close(1000, Duration::from_secs(100));
        gate.close(1010, Duration::from_secs(10));
        assert_eq!(gate.closed_until(1010), Some(1100));
        assert_eq!(gate.closed_until(1100), None);
        gate.close(10_000_000, RETRY_AFTER_MAX);
        assert!(gate.closed_until(10_000_000).is_some());
        assert_eq!(
            gate.closed_until(9_000_000),
            None,
            "a clock that was set back stops nothing"
        );
    }
}
