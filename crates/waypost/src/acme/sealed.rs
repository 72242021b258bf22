//! Accounts and certificates of a fleet: sealed in its etcd, where the leader writes them and all instances read them.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::sleep;
use waypost_fleet::store::StoreRevision;
use waypost_fleet::view::Shelf;
use waypost_proxy::challenges::Challenge;

use super::name::CertificateName;
use super::record::{StoreError, Stored, Unread, parse};
use super::taken::Taken;
use crate::fleet::{Fleet, Secret, Unopened};
use crate::log;

/// The ending of the names of challenges.
const CHALLENGES: &str = ".challenges";

/// The wait for all instances to answer challenges: among very many, each says so within half a minute.
const ANSWERED: Duration = Duration::from_secs(30);

/// The wait before challenges that could not be withdrawn are tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// The store of a fleet.
#[derive(Debug)]
pub(crate) struct Sealed {
    fleet: Arc<Fleet>,
    under_way: Arc<Mutex<UnderWay>>,
}

/// The orders of this process whose challenges are answered, by the name of these; dead ones have ended. The lock is held while
/// challenges are written, so that the end of one order does not withdraw those of the next one.
type UnderWay = BTreeMap<String, Weak<()>>;

/// Challenges that all instances answer, until this is dropped.
#[derive(Debug)]
pub(crate) struct Published {
    name: String,
    /// Alive in [`UnderWay`] as long as this is.
    order: Arc<()>,
    fleet: Arc<Fleet>,
    under_way: Arc<Mutex<UnderWay>>,
}

/// A challenge, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct ChallengeRecord {
    host: Box<str>,
    token: Box<str>,
    key_authorization: Box<str>,
}

impl Sealed {
    pub(crate) fn new(fleet: Arc<Fleet>) -> Self {
        Self {
            fleet,
            under_way: Arc::default(),
        }
    }

    /// The revision since which this instance leads.
    pub(super) fn lead(&self) -> Option<StoreRevision> {
        Some(self.fleet.fence()?.created)
    }

    /// Reads all certificates. Those that cannot be read are told of with the fleet.
    pub(super) fn load(&self) -> Stored {
        let present = self.fleet.view();
        let (mut secrets, mut known) = (BTreeMap::new(), Shelf::default());
        // A prefix that was wiped takes no certificate away. What is there comes before what the state directory had.
        for view in self.fleet.last_view().into_iter().chain([&present]) {
            secrets.extend(self.fleet.open(view, &known).secrets);
            known = Arc::clone(&view.certificates);
        }
        stored(&secrets, &mut Taken::default())
    }

    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Unread> {
        match self.fleet.secret(name) {
            Ok(secret) => Ok(secret.map(|Secret(body)| body)),
            Err(Unopened::Damaged(why)) => Err(Unread::Damaged(why)),
            Err(Unopened::Key(why)) => Err(StoreError(why).into()),
        }
    }

    pub(super) async fn write(&self, name: &str, body: Vec<u8>) -> Result<(), StoreError> {
        let secrets = [(name.to_owned(), Some(Secret(body)))].into();
        let written = self.fleet.put_secrets(secrets).await;
        written
            .map(drop)
            .map_err(|error| StoreError(format!("`{name}` cannot be written: {error}")))
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let removed = self.fleet.put_secrets([(name.to_owned(), None)].into()).await;
        removed
            .map(drop)
            .map_err(|error| StoreError(format!("`{name}` cannot be deleted: {error}")))
    }

    pub(super) fn names(&self) -> Vec<String> {
        let view = self.fleet.view();
        view.certificates.keys().map(ToString::to_string).collect()
    }

    /// Has the challenges answered by all instances. Those of orders that are under way no more, such as a former leader's, are
    /// withdrawn.
    pub(super) async fn publish(
        &self,
        name: &CertificateName,
        challenges: Vec<Challenge>,
    ) -> Result<Published, StoreError> {
        let records = challenges.into_iter().map(|challenge| ChallengeRecord {
            host: challenge.host,
            token: challenge.token,
            key_authorization: challenge.key_authorization,
        });
        let records: Vec<ChallengeRecord> = records.collect();
        let cannot = |why: String| StoreError(format!("the challenges cannot be published: {why}"));
        let body = serde_json::to_vec(&records).map_err(|error| cannot(error.to_string()))?;
        let name = format!("{name}{CHALLENGES}");
        let mut under_way = self.under_way.lock().await;
        let published = Published {
            name: name.clone(),
            order: Arc::new(()),
            fleet: Arc::clone(&self.fleet),
            under_way: Arc::clone(&self.under_way),
        };
        under_way.insert(name.clone(), Arc::downgrade(&published.order));
        let is_under_way = |name: &str| under_way.get(name).is_some_and(|order| order.strong_count() > 0);
        let view = self.fleet.view();
        let stored = view.certificates.keys().filter(|name| name.ends_with(CHALLENGES));
        let left_over = stored.filter(|name| !is_under_way(name));
        let mut secrets: BTreeMap<String, Option<Secret>> =
            left_over.map(|name| (name.to_string(), None)).collect();
        secrets.insert(name, Some(Secret(body)));
        let at = self.fleet.put_secrets(secrets).await;
        drop(under_way);
        let at = at.map_err(|error| cannot(error.to_string()))?;
        if !self.fleet.obeyed_by_all(at, ANSWERED).await {
            // The authority may still ask one that does.
            log::warn("not all instances of the fleet have said that they answer the challenges of an order");
        }
        Ok(published)
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        let (name, order) = (std::mem::take(&mut self.name), Arc::downgrade(&self.order));
        let (fleet, under_way) = (Arc::clone(&self.fleet), Arc::clone(&self.under_way));
        tokio::spawn(async move {
            loop {
                let mut under_way = under_way.lock().await;
                if !under_way.get(&name).is_some_and(|latest| latest.ptr_eq(&order)) {
                    // They were replaced.
                    return;
                }
                // Another leader withdraws them itself.
                if !fleet.is_leader() || fleet.put_secrets([(name.clone(), None)].into()).await.is_ok() {
                    under_way.remove(&name);
                    return;
                }
                drop(under_way);
                sleep(AGAIN).await;
            }
        });
    }
}

/// Certificates and orders among secrets by name, and into `taken` the rest of what instances need.
pub(super) fn stored(secrets: &BTreeMap<String, Secret>, taken: &mut Taken) -> Stored {
    let mut stored = Stored::default();
    for (name, Secret(body)) in secrets {
        let done = match name.ends_with(CHALLENGES) {
            true => parse::<Vec<ChallengeRecord>>(body).map(|records| {
                let challenges = records.into_iter().map(|record| Challenge {
                    host: record.host,
                    token: record.token,
                    key_authorization: record.key_authorization,
                });
                taken.challenges.insert(name.clone(), challenges.collect());
            }),
            false if Stored::has(name) => stored.take(name, body),
            false => Ok(()),
        };
        if let Err(why) = done {
            let trouble = format!("`{name}` under `certificates/`: {why}");
            taken.troubles.insert(name.clone(), trouble);
        }
    }
    stored
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "etcd")]
    use waypost_plan::acme::Acme;

    use super::*;
    #[cfg(feature = "etcd")]
    use crate::fleet::leading;

    #[cfg(feature = "etcd")]
    fn name(host: &str) -> CertificateName {
        CertificateName::of(&Acme {
            email: None,
            directory: "https://ca.test/".into(),
            hosts: vec![host.into()],
            eab: None,
            ca: None,
        })
    }

    fn challenge(host: &str) -> Vec<Challenge> {
        vec![Challenge {
            host: host.into(),
            token: "t".into(),
            key_authorization: "t.k".into(),
        }]
    }

    /// The names of all challenges that instances answer.
    #[cfg(feature = "etcd")]
    fn answered(fleet: &Fleet) -> Vec<String> {
        let view = fleet.view();
        view.certificates.keys().map(ToString::to_string).collect()
    }

    #[cfg(feature = "etcd")]
    #[tokio::test]
    async fn challenges_of_orders_under_way_are_answered_and_no_others() {
        let (_bench, fleet) = leading().await;
        let sealed = Sealed::new(Arc::clone(&fleet));
        let left_over = [("left-over.challenges".to_owned(), Some(Secret(b"[]".to_vec())))];
        fleet.put_secrets(left_over.into()).await.unwrap();
        let (a, b) = (name("a.test"), name("b.test"));
        let [in_a, in_b] = [&a, &b].map(|name| format!("{name}{CHALLENGES}"));
        let one = sealed.publish(&a, challenge("a.test")).await.unwrap();
        assert_eq!(answered(&fleet), std::slice::from_ref(&in_a));

        // The end of an order leaves those of the next one of its name, and of other ones.
        let two = sealed.publish(&a, challenge("a.test")).await.unwrap();
        let other = sealed.publish(&b, challenge("b.test")).await.unwrap();
        drop(one);
        tokio::task::yield_now().await;
        drop(sealed.under_way.lock().await);
        let mut both = [in_a, in_b.clone()];
        both.sort();
        assert_eq!(answered(&fleet), both);
        drop(two);
        tokio::task::yield_now().await;
        drop(sealed.under_way.lock().await);
        assert_eq!(answered(&fleet), [in_b]);
        drop(other);
    }

    #[test]
    fn challenges_are_taken_over_and_what_makes_no_sense_is_named() {
        let mut taken = Taken::default();
        let text = r#"[{"host":"a.test","token":"t","key_authorization":"t.k"}]"#;
        let secret = |text: &str| Secret(text.as_bytes().to_vec());
        let secrets = [
            ("a.challenges".to_owned(), secret(text)),
            ("b.challenges".to_owned(), secret("[]")),
            ("c.challenges".to_owned(), secret("{")),
            ("d.pair".to_owned(), secret("{}")),
            ("e.account".to_owned(), secret("\"text\"")),
            ("f.newer".to_owned(), secret("?")),
        ];
        let stored = stored(&secrets.into(), &mut taken);
        assert!(stored.pairs.is_empty() && stored.orders.is_empty());
        assert_eq!(taken.challenges["a.challenges"], challenge("a.test"));
        assert_eq!(taken.challenges["b.challenges"], []);
        let named: Vec<bool> = ["c.challenges", "d.pair"]
            .iter()
            .zip(&taken.troubles)
            .map(|(name, (known, told))| {
                known == name && told.starts_with(&format!("`{name}` under `certificates/`: "))
            })
            .collect();
        assert_eq!((named, taken.troubles.len()), (vec![true, true], 2));
        taken.retain(|name| name.starts_with('a'));
        assert!(taken.challenges.len() == 1 && taken.told().is_empty());
    }
}
