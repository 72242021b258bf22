//! The place where accounts, certificates and orders are kept, and where challenges are answered.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use waypost_fleet::store::StoreRevision;
use waypost_proxy::challenges::{Challenge, Challenges};

use super::disk::{self, Disk};
use super::name::{AccountName, CertificateName};
use super::record::{
    OrdersRecord, PairRecord, Record, StoreError, Stored, Unread, Whole, account_name, orders_name, pair_name,
};
use super::sealed::{self, Sealed};
use crate::fleet::Fleet;

/// A store. Clones share it.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    /// The directory of the state.
    Disk(Arc<Disk>),
    /// The etcd of a fleet.
    Sealed(Arc<Sealed>),
}

/// Challenges that are answered, until this is dropped.
#[derive(Debug)]
pub(crate) enum Published {
    Disk(#[expect(dead_code, reason = "it withdraws them when it is dropped")] disk::Published),
    Sealed(#[expect(dead_code, reason = "it withdraws them when it is dropped")] sealed::Published),
}

impl Store {
    /// The store in the state directory `state`; `challenges` are those that listeners answer.
    pub(crate) fn on_disk(state: &Path, challenges: Arc<Challenges>) -> Self {
        Self::Disk(Arc::new(Disk::new(state, challenges)))
    }

    /// The store of a fleet.
    pub(crate) fn in_fleet(fleet: Arc<Fleet>) -> Self {
        Self::Sealed(Arc::new(Sealed::new(fleet)))
    }

    /// Reads all certificates. Damaged files are set aside if this process `owns` the state.
    pub(crate) async fn load(&self, owns: bool) -> Stored {
        match self {
            Self::Disk(disk) => disk.load(owns).await,
            Self::Sealed(sealed) => sealed.load(),
        }
    }

    /// The certificate of this name, as far as it is known. Damaged records are set aside, or written over in time.
    pub(crate) async fn certificate(&self, name: &CertificateName) -> Result<Record, StoreError> {
        let mut damaged = Vec::new();
        let pair: Option<Option<PairRecord>> = whole(self.read(&pair_name(name)).await, &mut damaged)?;
        let orders: Option<Option<OrdersRecord>> = whole(self.read(&orders_name(name)).await, &mut damaged)?;
        Ok(Record {
            pair: pair.flatten(),
            orders: orders.map(Option::unwrap_or_default),
            damaged,
        })
    }

    /// The text of an account.
    ///
    /// # Errors
    /// It is damaged, or the store does not give it.
    pub(crate) async fn account(&self, name: &AccountName) -> Result<Option<String>, Unread> {
        self.read(&account_name(name)).await
    }

    pub(crate) async fn save_account(&self, name: &AccountName, text: &str) -> Result<(), StoreError> {
        self.write(&account_name(name), &text).await
    }

    pub(crate) async fn save_issued(
        &self,
        name: &CertificateName,
        pair: &PairRecord,
    ) -> Result<(), StoreError> {
        self.write(&pair_name(name), pair).await
    }

    /// Keeps the orders so far, so that a restart does not forget the waits between them.
    pub(crate) async fn save_orders(
        &self,
        name: &CertificateName,
        orders: &OrdersRecord,
    ) -> Result<(), StoreError> {
        self.write(&orders_name(name), orders).await
    }

    /// The orders for a certificate as the leader of the fleet keeps them; `None` outside of a fleet.
    pub(super) fn orders_of_leader(&self, name: &CertificateName) -> Option<OrdersRecord> {
        match self {
            Self::Disk(_) => None,
            Self::Sealed(sealed) => OrdersRecord::whole(&sealed.read(&orders_name(name)).ok()??).ok(),
        }
    }

    /// The revision of the store since which this process leads the fleet; `None` if it does not. Outside of a fleet it always does.
    pub(crate) fn lead(&self) -> Option<StoreRevision> {
        match self {
            Self::Disk(_) => Some(StoreRevision::default()),
            Self::Sealed(sealed) => sealed.lead(),
        }
    }

    /// Has the challenges of an order answered. Returns once they are.
    pub(crate) async fn publish(
        &self,
        name: &CertificateName,
        challenges: Vec<Challenge>,
    ) -> Result<Published, StoreError> {
        match self {
            Self::Disk(disk) => Ok(Published::Disk(disk.publish(name, challenges))),
            Self::Sealed(sealed) => sealed.publish(name, challenges).await.map(Published::Sealed),
        }
    }

    /// The names under which something is kept. None if that cannot be read.
    pub(super) async fn names(&self) -> Vec<String> {
        match self {
            Self::Disk(disk) => disk.names().await,
            Self::Sealed(sealed) => sealed.names(),
        }
    }

    /// Deletes what is kept under a name.
    pub(super) async fn remove(&self, name: &str) -> Result<(), StoreError> {
        match self {
            Self::Disk(disk) => disk.remove(name).await,
            Self::Sealed(sealed) => sealed.remove(name).await,
        }
    }

    pub(super) async fn read<T: Whole>(&self, name: &str) -> Result<Option<T>, Unread> {
        let body = match self {
            Self::Disk(disk) => disk.read(name).await?,
            Self::Sealed(sealed) => sealed.read(name)?,
        };
        match body.map(|body| T::whole(&body)).transpose() {
            Ok(read) => Ok(read),
            Err(why) => Err(Unread::Damaged(match self {
                Self::Disk(disk) => disk.set_aside(name, why).await,
                Self::Sealed(_) => format!("`{name}`: {why}"),
            })),
        }
    }

    async fn write(&self, name: &str, value: &impl Serialize) -> Result<(), StoreError> {
        let body = serde_json::to_vec(value);
        let body = body.map_err(|error| StoreError(format!("`{name}` cannot be written: {error}")))?;
        match self {
            Self::Disk(disk) => disk.write(name, body).await,
            Self::Sealed(sealed) => sealed.write(name, body).await,
        }
    }
}

/// The record that was read; the reason that it never will be goes into `damaged`.
fn whole<T>(read: Result<T, Unread>, damaged: &mut Vec<String>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(Unread::Damaged(why)) => {
            damaged.push(why);
            Ok(None)
        }
        Err(Unread::Store(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use waypost_plan::acme::Acme;

    use super::super::name::{AccountName, CertificateName};

    fn acme() -> Acme {
        Acme {
            email: None,
            directory: "https://ca.test/".into(),
            hosts: vec!["a.test".into()],
            eab: None,
            ca: None,
        }
    }

    fn pair() -> PairRecord {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        PairRecord::new(&acme(), certificate.pem(), key.serialize_pem())
    }

    fn challenge(host: &str) -> Challenge {
        Challenge {
            host: host.into(),
            token: "t".into(),
            key_authorization: "t.k".into(),
        }
    }

    #[tokio::test]
    async fn whatever_is_saved_is_there_again_and_its_owner_s_alone() {
        let state = tempfile::tempdir().unwrap();
        let disk = || Store::on_disk(state.path(), Arc::default());
        let (name, account) = (CertificateName::of(&acme()), AccountName::of(&acme()));
        assert!(
            disk().load(true).await.damaged.is_empty(),
            "there is no directory yet"
        );
        assert!(disk().certificate(&name).await.unwrap().pair.is_none());
        assert_eq!(disk().account(&account).await, Ok(None));

        let pair = pair();
        let orders = OrdersRecord {
            failures: 3,
            ..OrdersRecord::default()
        };
        disk().save_issued(&name, &pair).await.unwrap();
        disk().save_orders(&name, &orders).await.unwrap();
        disk().save_account(&account, "{\"key\":1}").await.unwrap();
        let record = disk().certificate(&name).await.unwrap();
        assert_eq!(
            (record.pair.as_ref(), record.orders.as_ref()),
            (Some(&pair), Some(&orders))
        );
        assert_eq!(
            disk().account(&account).await.unwrap().as_deref(),
            Some("{\"key\":1}")
        );
        let stored = disk().load(true).await;
        assert_eq!((stored.pairs, stored.orders), (vec![pair], vec![orders]));
        assert!(stored.damaged.is_empty());
        for entry in fs::read_dir(state.path().join("certificates")).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[tokio::test]
    async fn damaged_files_are_set_aside_by_the_owner_of_the_state() {
        let state = tempfile::tempdir().unwrap();
        let disk = Store::on_disk(state.path(), Arc::default());
        let name = CertificateName::of(&acme());
        let mut other = pair();
        other.key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        disk.save_issued(&name, &other).await.unwrap();
        disk.save_orders(&name, &OrdersRecord::default()).await.unwrap();
        let orders = state.path().join(format!("certificates/{name}.orders"));
        fs::write(&orders, "waypost-state 1 nonsense\n").unwrap();
        let left = disk.load(false).await;
        assert!(left.damaged.iter().all(|damaged| damaged.now == damaged.file));
        let stored = disk.load(true).await;
        assert_eq!((stored.pairs.len(), stored.damaged.len()), (0, 2));
        assert!(
            stored
                .damaged
                .iter()
                .any(|damaged| damaged.file == orders && damaged.now != orders)
        );
        assert!(disk.certificate(&name).await.unwrap().pair.is_none());
        assert!(disk.load(true).await.damaged.is_empty());
    }

    #[tokio::test]
    async fn damaged_records_count_as_absent_and_are_named_once() {
        let state = tempfile::tempdir().unwrap();
        let disk = Store::on_disk(state.path(), Arc::default());
        let (name, account) = (CertificateName::of(&acme()), AccountName::of(&acme()));
        disk.save_issued(&name, &pair()).await.unwrap();
        disk.save_orders(&name, &OrdersRecord::default()).await.unwrap();
        disk.save_account(&account, "text").await.unwrap();
        let file = |name: String| state.path().join("certificates").join(name);
        // One is cut off, the others are whole and make no sense.
        fs::write(file(orders_name(&name)), "waypost-state 1 nonsense\n").unwrap();
        disk.write(&pair_name(&name), &"nonsense").await.unwrap();
        disk.write(&account_name(&account), &["nonsense"]).await.unwrap();
        let record = disk.certificate(&name).await.unwrap();
        assert_eq!((record.pair, record.orders), (None, None));
        let bad = |name: String| format!("`{}`", file(format!("{name}.bad")).display());
        assert_eq!(record.damaged.len(), 2);
        for (why, name) in record.damaged.iter().zip([pair_name(&name), orders_name(&name)]) {
            assert!(why.contains(&bad(name)), "{why}");
        }
        let damaged = disk.account(&account).await.unwrap_err();
        assert!(
            matches!(&damaged, Unread::Damaged(why) if why.contains(&bad(account_name(&account)))),
            "{damaged}"
        );
        let record = disk.certificate(&name).await.unwrap();
        assert_eq!(
            (record.orders, record.damaged),
            (Some(OrdersRecord::default()), vec![])
        );
        assert_eq!(disk.account(&account).await, Ok(None));
    }

    #[tokio::test]
    async fn challenges_are_answered_until_their_order_ends() {
        let challenges = Arc::<Challenges>::default();
        let state = tempfile::tempdir().unwrap();
        let disk = Store::on_disk(state.path(), Arc::clone(&challenges));
        let name = |host: &str| {
            CertificateName::of(&Acme {
                hosts: vec![host.into()],
                ..acme()
            })
        };
        let one = disk.publish(&name("a.test"), vec![challenge("a.test")]).await;
        let two = disk.publish(&name("b.test"), vec![challenge("b.test")]).await;
        assert!(challenges.in_tls("a.test").is_some() && challenges.in_tls("b.test").is_some());
        drop(one);
        assert!(challenges.in_tls("a.test").is_none() && challenges.in_tls("b.test").is_some());
        drop(two);
        assert!(!challenges.any());
    }
}
