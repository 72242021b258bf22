//! Accounts and certificates of a fleet: sealed in its etcd, where the leader writes them and all instances read them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use waypost_proxy::challenges::Challenge;

use super::name::CertificateName;
use super::record::{StoreError, Stored, parse};
use crate::fleet::{Fleet, Secret};
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
}

/// Challenges that all instances answer, until this is dropped.
#[derive(Debug)]
pub(crate) struct Published {
    name: String,
    fleet: Arc<Fleet>,
}

/// The things that an instance takes over of what the leader has ordered.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) challenges: Vec<Challenge>,
    /// Secrets that are not as they were written, in a sentence each.
    pub(crate) troubles: Vec<String>,
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
        Self { fleet }
    }

    /// Reads all certificates. Those that cannot be read are told of with the fleet.
    pub(super) fn load(&self) -> Stored {
        let present = self.fleet.view();
        let mut secrets = BTreeMap::new();
        // A prefix that was wiped takes no certificate away. What is there comes before what the state directory had.
        for view in self.fleet.last_view().into_iter().chain([&present]) {
            secrets.extend(self.fleet.open(view).secrets);
        }
        stored(&secrets, &mut Taken::default())
    }

    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let secret = self.fleet.secret(name).map_err(StoreError)?;
        Ok(secret.map(|Secret(body)| body))
    }

    pub(super) async fn write(&self, name: &str, body: Vec<u8>) -> Result<(), StoreError> {
        let secrets = [(name.to_owned(), Some(Secret(body)))].into();
        let written = self.fleet.put_secrets(secrets).await;
        written
            .map(drop)
            .map_err(|error| StoreError(format!("`{name}` cannot be written: {error}")))
    }

    /// Has the challenges answered by all instances. Those of a former leader's orders are withdrawn.
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
        let former = self.fleet.of_former_leaders(CHALLENGES);
        let mut secrets: BTreeMap<String, Option<Secret>> =
            former.into_iter().map(|name| (name, None)).collect();
        secrets.insert(name.clone(), Some(Secret(body)));
        let published = Published {
            name,
            fleet: Arc::clone(&self.fleet),
        };
        let at = self.fleet.put_secrets(secrets).await;
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
        let (name, fleet) = (std::mem::take(&mut self.name), Arc::clone(&self.fleet));
        tokio::spawn(async move {
            // Another leader withdraws them itself.
            while fleet.is_leader() {
                let secrets = [(name.clone(), None)].into();
                if fleet.put_secrets(secrets).await.is_ok() {
                    return;
                }
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
                taken
                    .challenges
                    .extend(records.into_iter().map(|record| Challenge {
                        host: record.host,
                        token: record.token,
                        key_authorization: record.key_authorization,
                    }));
            }),
            false if Stored::has(name) => stored.take(name, body),
            false => Ok(()),
        };
        if let Err(why) = done {
            taken
                .troubles
                .push(format!("`{name}` under `certificates/`: {why}"));
        }
    }
    stored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_taken_over_and_what_makes_no_sense_is_named() {
        let mut taken = Taken::default();
        let challenge = r#"[{"host":"a.test","token":"t","key_authorization":"t.k"}]"#;
        let secret = |text: &str| Secret(text.as_bytes().to_vec());
        let secrets = [
            ("a.challenges".to_owned(), secret(challenge)),
            ("b.challenges".to_owned(), secret("[]")),
            ("c.challenges".to_owned(), secret("{")),
            ("d.pair".to_owned(), secret("{}")),
            ("e.account".to_owned(), secret("\"text\"")),
            ("f.newer".to_owned(), secret("?")),
        ];
        let stored = stored(&secrets.into(), &mut taken);
        assert!(stored.pairs.is_empty() && stored.orders.is_empty());
        assert_eq!(
            taken.challenges,
            [Challenge {
                host: "a.test".into(),
                token: "t".into(),
                key_authorization: "t.k".into(),
            }]
        );
        let named: Vec<bool> = ["c.challenges", "d.pair"]
            .iter()
            .zip(&taken.troubles)
            .map(|(name, told)| told.starts_with(&format!("`{name}` under `certificates/`: ")))
            .collect();
        assert_eq!((named, taken.troubles.len()), (vec![true, true], 2));
    }
}
