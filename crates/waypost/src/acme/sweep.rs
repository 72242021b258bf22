//! The end of what is kept for certificates that no config wants any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;
use waypost_acme::client::RETRY_AFTER_MAX;

use super::common::Common;
use super::name::CertificateName;
use super::record::{OrdersRecord, PairRecord, certificate_of_orders, certificate_of_pair, pair_of};
use super::store::Store;
use crate::log;

/// The time between two looks, in seconds.
const BETWEEN: i64 = 24 * 60 * 60;

/// The names of the certificates that the config in force wants; `None` until there is one.
pub(super) type Wanted = Option<BTreeSet<CertificateName>>;

/// Deletes, again and again, what the config in force does not want and what is of no use for a later one.
pub(super) async fn run(common: Arc<Common>, mut wanted: watch::Receiver<Wanted>) {
    let mut is_allowed = common.is_allowed.clone();
    // The senders live as long as the orders.
    while is_allowed.wait_for(|allowed| *allowed).await.is_ok() {
        let now = common.clock.seconds();
        let present = wanted.borrow_and_update().clone();
        if let Some(present) = present {
            for name in sweep(&common.store, &present, now).await {
                log::info(format_args!(
                    "`{name}` is deleted: the config wants no such certificate, and it has ended"
                ));
            }
        }
        tokio::select! {
            () = common.clock.sleep_until(now.saturating_add(BETWEEN)) => {}
            changed = wanted.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// Deletes certificates that are not `wanted` and have ended, and the orders for them once no wait counts any more. A config that
/// comes back before finds its certificate. Returns the names of the certificates that were deleted.
async fn sweep(store: &Store, wanted: &BTreeSet<CertificateName>, now: i64) -> Vec<String> {
    let wanted: BTreeSet<String> = wanted.iter().map(ToString::to_string).collect();
    let names: BTreeSet<String> = store.names().await.into_iter().collect();
    let mut deleted = Vec::new();
    for name in &names {
        if certificate_of_pair(name).is_none_or(|name| wanted.contains(name)) {
            continue;
        }
        let Ok(Some(pair)) = store.read::<PairRecord>(name).await else {
            continue;
        };
        let has_ended = pair.identity().is_ok_and(|identity| identity.not_after() <= now);
        if has_ended && store.remove(name).await.is_ok() {
            deleted.push(name.clone());
        }
    }
    for name in &names {
        let Some(certificate) = certificate_of_orders(name).filter(|name| !wanted.contains(*name)) else {
            continue;
        };
        let pair = pair_of(certificate);
        if names.contains(&pair) && !deleted.contains(&pair) {
            continue;
        }
        let Ok(Some(orders)) = store.read::<OrdersRecord>(name).await else {
            continue;
        };
        let last = orders.last.map_or(i64::MIN, |last| last.as_second());
        let longest = i64::try_from(RETRY_AFTER_MAX.as_secs()).unwrap_or(i64::MAX);
        if last.saturating_add(longest) <= now {
            let _ = store.remove(name).await;
        }
    }
    deleted
}

#[cfg(test)]
mod tests {
    use super::*;

    use jiff::Timestamp;
    use waypost_plan::acme::Acme;

    const DAY: i64 = 24 * 60 * 60;

    fn acme(host: &str) -> Acme {
        Acme {
            email: None,
            directory: "https://ca.test/".into(),
            hosts: vec![host.into()],
            eab: None,
            ca: None,
        }
    }

    /// Keeps a certificate for a host that ends on the first day of a year, and an order for it of now.
    async fn keep(store: &Store, host: &str, year: i32) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        let acme = acme(host);
        let pair = PairRecord::new(&acme, certificate.pem(), key.serialize_pem());
        let name = CertificateName::of(&acme);
        store.save_issued(&name, &pair).await.unwrap();
        let mut orders = OrdersRecord::default();
        orders.begin(&acme.hosts, Timestamp::from_second(now()).unwrap());
        store.save_orders(&name, &orders).await.unwrap();
    }

    /// A time past the end of some.
    fn now() -> i64 {
        "2030-06-01T00:00:00Z".parse::<Timestamp>().unwrap().as_second()
    }

    async fn certificates_that_have_ended_and_are_not_wanted_are_deleted(store: &Store) {
        keep(store, "wanted.test", 2030).await;
        keep(store, "ended.test", 2030).await;
        keep(store, "valid.test", 2031).await;
        let name = |host: &str| CertificateName::of(&acme(host));
        let wanted = BTreeSet::from([name("wanted.test")]);
        let deleted = sweep(store, &wanted, now()).await;
        assert_eq!(deleted, [format!("{}.pair", name("ended.test"))]);
        let has = async |host: &str| {
            let record = store.certificate(&name(host)).await.unwrap();
            (record.pair.is_some(), record.orders.unwrap().last.is_some())
        };
        assert_eq!(has("wanted.test").await, (true, true));
        assert_eq!(has("valid.test").await, (true, true));
        // A wait that the authority asked for may not be over.
        assert_eq!(has("ended.test").await, (false, true));
        assert!(sweep(store, &wanted, now() + 8 * DAY).await.is_empty());
        assert_eq!(has("wanted.test").await, (true, true));
        assert_eq!(has("valid.test").await, (true, true));
        assert_eq!(has("ended.test").await, (false, false));
    }

    #[tokio::test]
    async fn state_directory_keeps_what_is_wanted_or_valid() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::on_disk(state.path(), Arc::default());
        certificates_that_have_ended_and_are_not_wanted_are_deleted(&store).await;
    }

    #[cfg(feature = "etcd")]
    #[tokio::test]
    async fn etcd_keeps_what_is_wanted_or_valid() {
        let (_bench, fleet) = crate::fleet::leading().await;
        let store = Store::in_fleet(fleet);
        certificates_that_have_ended_and_are_not_wanted_are_deleted(&store).await;
    }
}
