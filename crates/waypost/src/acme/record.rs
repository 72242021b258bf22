//! Records that outlive a process: certificates with their keys, and the orders so far.

use std::fmt;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use waypost_acme::schedule::Attempts;
use waypost_acme::way::Way;
use waypost_plan::acme::Acme;
use waypost_tls::identity::{Identity, IdentityError};

use super::issued::IssuedPair;
use super::name::{AccountName, CertificateName};
use crate::checksummed::Damaged;

/// A certificate that was issued, as it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PairRecord {
    /// URL of the authority's directory.
    pub(crate) directory: Box<str>,
    pub(crate) hosts: Vec<Box<str>>,
    /// The chain, as PEM.
    pub(crate) chain: String,
    /// The key, as PEM.
    pub(crate) key: String,
}

/// The orders for a certificate so far, as they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct OrdersRecord {
    pub(crate) hosts: Vec<Box<str>>,
    /// The start of the last one.
    pub(crate) last: Option<Timestamp>,
    /// True as long as it has not ended. One that breaks off with its process never does, and is as one that failed.
    #[serde(default)]
    pub(crate) is_under_way: bool,
    /// The time of the next one, as far as it is known.
    #[serde(default)]
    pub(crate) next: Option<Timestamp>,
    /// The number that have failed since the last success.
    pub(crate) failures: u32,
    /// The time before which the authority wants to see no other.
    pub(crate) closed_until: Option<Timestamp>,
    /// The first of those that have failed.
    pub(crate) failing_since: Option<Timestamp>,
    /// The reason of the last one.
    pub(crate) error: Option<String>,
    /// True if the last one was not proven in TLS.
    #[serde(default)]
    pub(crate) failed_in_tls: bool,
}

/// A certificate, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    pub(crate) pair: Option<PairRecord>,
    /// The orders so far; `None` if what was kept of them is lost.
    pub(crate) orders: Option<OrdersRecord>,
    /// Records that are damaged and count as absent, in a sentence each.
    pub(crate) damaged: Vec<String>,
}

/// The records of a store, as they were read.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) pairs: Vec<PairRecord>,
    pub(crate) orders: Vec<OrdersRecord>,
    /// Files that cannot be read.
    pub(crate) damaged: Vec<Damaged>,
}

/// An error of a store, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct StoreError(pub(crate) String);

/// The reason that a record is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    /// Its content is not what was written, and never will be again.
    #[error("{0}")]
    Damaged(String),
    /// The store does not give it now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The endings of names: of certificates with their keys, orders, and accounts.
const PAIR: &str = ".pair";
const ORDERS: &str = ".orders";
const ACCOUNT: &str = ".account";

/// The name under which a certificate with its key is kept.
pub(super) fn pair_name(name: &CertificateName) -> String {
    format!("{name}{PAIR}")
}

/// The name of a certificate, if it is kept under this name.
pub(super) fn certificate_of_pair(name: &str) -> Option<&str> {
    name.strip_suffix(PAIR)
}

/// The name of a certificate, if the orders for it are kept under this name.
pub(super) fn certificate_of_orders(name: &str) -> Option<&str> {
    name.strip_suffix(ORDERS)
}

/// The name under which a certificate of this name is kept.
pub(super) fn pair_of(certificate: &str) -> String {
    format!("{certificate}{PAIR}")
}

/// The name under which the orders for a certificate are kept.
pub(super) fn orders_name(name: &CertificateName) -> String {
    format!("{name}{ORDERS}")
}

/// The name under which an account is kept.
pub(super) fn account_name(name: &AccountName) -> String {
    format!("{name}{ACCOUNT}")
}

/// Parses what is kept.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|_| "its content is not as it was written".to_owned())
}

/// A record that can be read.
pub(super) trait Whole: Sized {
    /// Reads what is kept.
    ///
    /// # Errors
    /// It is damaged, in one sentence.
    fn whole(body: &[u8]) -> Result<Self, String>;
}

impl Whole for PairRecord {
    fn whole(body: &[u8]) -> Result<Self, String> {
        let pair: Self = parse(body)?;
        pair.identity().map_err(|error| error.to_string())?;
        Ok(pair)
    }
}

impl Whole for OrdersRecord {
    fn whole(body: &[u8]) -> Result<Self, String> {
        parse(body)
    }
}

/// The text of an account.
impl Whole for String {
    fn whole(body: &[u8]) -> Result<Self, String> {
        parse(body)
    }
}

impl Stored {
    /// Returns true for a name under which something is kept.
    pub(crate) fn has(name: &str) -> bool {
        [PAIR, ORDERS, ACCOUNT]
            .iter()
            .any(|ending| name.ends_with(ending))
    }

    /// Takes over what is kept under a name.
    ///
    /// # Errors
    /// It is damaged, in one sentence.
    pub(crate) fn take(&mut self, name: &str, body: &[u8]) -> Result<(), String> {
        if name.ends_with(PAIR) {
            self.pairs.push(PairRecord::whole(body)?);
        } else if name.ends_with(ORDERS) {
            self.orders.push(OrdersRecord::whole(body)?);
        } else if name.ends_with(ACCOUNT) {
            String::whole(body)?;
        }
        Ok(())
    }
}

impl PairRecord {
    pub(crate) fn new(acme: &Acme, chain: String, key: String) -> Self {
        Self {
            directory: acme.directory.clone(),
            hosts: acme.hosts.clone(),
            chain,
            key,
        }
    }

    pub(crate) fn pair(&self) -> IssuedPair {
        IssuedPair {
            chain: self.chain.clone().into_bytes(),
            key: self.key.clone().into_bytes(),
        }
    }

    pub(crate) fn identity(&self) -> Result<Identity, IdentityError> {
        Identity::from_pem(self.chain.as_bytes(), self.key.as_bytes())
    }
}

// Keys stay out of logs.
impl fmt::Debug for PairRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairRecord")
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

impl OrdersRecord {
    pub(super) fn attempts(&self) -> Attempts {
        let seconds = |time: Option<Timestamp>| time.map(Timestamp::as_second);
        Attempts {
            last: seconds(self.last),
            failures: self.failures.saturating_add(self.is_under_way.into()),
            closed_until: seconds(self.closed_until),
        }
    }

    pub(super) fn failed_way(&self) -> Option<Way> {
        self.failed_in_tls.then_some(Way::TlsAlpn)
    }

    pub(super) fn begin(&mut self, hosts: &[Box<str>], now: Timestamp) {
        self.failures = self.attempts().failures;
        self.is_under_way = true;
        self.next = None;
        self.hosts = hosts.to_vec();
        self.last = Some(now);
    }

    /// Orders of which nothing is known any more: the last one may have begun just now, and failed.
    pub(super) fn lost(hosts: &[Box<str>], now: Timestamp) -> Self {
        let mut orders = Self::default();
        orders.begin(hosts, now);
        orders
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self {
            hosts: std::mem::take(&mut self.hosts),
            last: self.last,
            // The next order does not try it in vain.
            failed_in_tls: self.failed_in_tls,
            ..Self::default()
        };
    }

    pub(super) fn failed(&mut self, now: Timestamp, failed: &Failed) {
        self.is_under_way = false;
        let mut attempts = self.attempts();
        attempts.failed(now.as_second(), failed.retry_after);
        self.failures = attempts.failures;
        let time = |seconds| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        self.closed_until = attempts.closed_until.map(time);
        self.failing_since.get_or_insert(now);
        self.error = Some(failed.why.clone());
        if let Some(way) = failed.way {
            self.failed_in_tls = way == Way::TlsAlpn;
        }
    }
}

/// An order that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    /// The reason, in one sentence.
    pub(super) why: String,
    /// The wait that the authority asks for.
    pub(super) retry_after: Option<std::time::Duration>,
    /// The way that did not convince the authority.
    pub(super) way: Option<Way>,
    /// True if it was not made at all, and is only put off.
    pub(super) is_put_off: bool,
}

impl Failed {
    pub(super) fn new(why: impl fmt::Display) -> Self {
        Self {
            why: why.to_string(),
            retry_after: None,
            way: None,
            is_put_off: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn failures_are_kept_until_an_order_succeeds() {
        let time = |text: &str| -> Timestamp { text.parse().unwrap() };
        let first = time("2026-11-30T10:00:00Z");
        let mut orders = OrdersRecord::default();
        orders.begin(&["a.test".into()], first);
        let failed = Failed {
            why: "no".to_owned(),
            retry_after: Some(Duration::from_secs(3600)),
            way: Some(Way::TlsAlpn),
            is_put_off: false,
        };
        orders.failed(first, &failed);
        let second = time("2026-11-30T12:00:00Z");
        orders.begin(&["a.test".into()], second);
        orders.failed(second, &Failed::new("still no"));
        let text = serde_json::to_string(&orders).unwrap();
        let kept: OrdersRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(kept, orders);
        assert_eq!((kept.failures, kept.error.as_deref()), (2, Some("still no")));
        assert_eq!((kept.failing_since, kept.last), (Some(first), Some(second)));
        assert_eq!((kept.closed_until, kept.failed_way()), (None, Some(Way::TlsAlpn)));
        orders.succeeded();
        assert_eq!((orders.failures, orders.failing_since), (0, None));
        assert_eq!(orders.last, Some(second), "the minute counts all the same");
    }

    #[test]
    fn order_that_broke_off_is_as_one_that_failed() {
        let time = |text: &str| -> Timestamp { text.parse().unwrap() };
        let mut orders = OrdersRecord::default();
        orders.begin(&["a.test".into()], time("2026-11-30T10:00:00Z"));
        let text = serde_json::to_string(&orders).unwrap();
        let mut kept: OrdersRecord = serde_json::from_str(&text).unwrap();
        assert_eq!((kept.attempts().failures, kept.failures), (1, 0));
        kept.begin(&["a.test".into()], time("2026-11-30T10:02:00Z"));
        assert_eq!(kept.attempts().failures, 2);
        let mut failed = kept.clone();
        failed.failed(time("2026-11-30T10:02:10Z"), &Failed::new("no"));
        assert_eq!((failed.attempts().failures, failed.failures), (2, 2));
        kept.succeeded();
        assert_eq!(kept.attempts().failures, 0);
    }

    #[test]
    fn debug_output_has_no_key() {
        let record = PairRecord {
            directory: "d".into(),
            hosts: vec!["a.test".into()],
            chain: "chain".to_owned(),
            key: "s3cret".to_owned(),
        };
        let shown = format!("{record:?} {:?}", record.pair());
        assert!(shown.contains("a.test") && !shown.contains("s3cret"), "{shown}");
    }
}
