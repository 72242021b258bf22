//! Certificates that the leader has ordered for all instances: sealed in etcd, and opened here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use waypost_fleet::key::Key;
use waypost_fleet::proposal::{Intent, State};
use waypost_fleet::record::WriteId;
use waypost_fleet::record::certificate::CertificateRecord;
use waypost_fleet::store::StoreRevision;
use waypost_fleet::view::View;

use super::propose::{id, propose};
use super::{Fleet, Shared, lock};
use crate::fleet::seal::OpenError;
use crate::fleet::{Opened, Ordered, ProposeError, Secret, Unopened};

/// The deadline of a write.
const WRITE: Duration = Duration::from_secs(10);

const NO_SEAL: &str = "this instance has no `certificates_key`";

/// The number of attempts of a write, where this instance itself was first with something else.
const ATTEMPTS: usize = 3;

impl Fleet {
    /// Returns true if this instance has the key that seals certificates.
    pub(crate) fn has_seal(&self) -> bool {
        self.shared.seal.is_some()
    }

    /// The things that a view has under `certificates/` and that are not `known`, as far as they can be opened here.
    pub(crate) fn open(&self, view: &View, known: &Ordered) -> Opened {
        let mut opened = Opened::default();
        let Some(seal) = &self.shared.seal else {
            return opened;
        };
        let new = view.certificates.iter();
        for (name, kept) in new.filter(|(name, kept)| known.get(*name) != Some(*kept)) {
            let key = view.prefix.encode(&Key::Certificate(name.to_string()));
            match seal.open(&key, &kept.value.sealed) {
                Ok(secret) => drop(opened.secrets.insert(name.to_string(), Secret(secret))),
                Err(error) => drop(
                    opened
                        .troubles
                        .insert(name.to_string(), format!("`{key}`: {error}")),
                ),
            }
        }
        let mut unopened = lock(&self.shared.unopened);
        unopened
            .retain(|name, _| view.certificates.contains_key(&**name) && !opened.secrets.contains_key(name));
        unopened.extend(opened.troubles.clone());
        opened
    }

    /// The secret under a name in the newest view.
    ///
    /// # Errors
    /// It cannot be opened here.
    pub(crate) fn secret(&self, name: &str) -> Result<Option<Secret>, Unopened> {
        let seal = self.shared.seal.as_ref();
        let seal = seal.ok_or_else(|| Unopened::Key(NO_SEAL.to_owned()))?;
        let view = self.view();
        let Some(kept) = view.certificates.get(name) else {
            return Ok(None);
        };
        let open = |name: &str, record: &CertificateRecord| {
            let key = view.prefix.encode(&Key::Certificate(name.to_owned()));
            let opened = seal.open(&key, &record.sealed);
            opened.map_err(|error| (error, format!("`{key}`: {error}")))
        };
        match open(name, &kept.value) {
            Ok(secret) => Ok(Some(Secret(secret))),
            Err((OpenError::Key, why)) => {
                let mut all = view.certificates.iter();
                // The key is the right one if it opens anything.
                Err(match all.any(|(name, kept)| open(name, &kept.value).is_ok()) {
                    true => Unopened::Damaged(why),
                    false => Unopened::Key(why),
                })
            }
            Err((OpenError::Version, why)) => Err(Unopened::Key(why)),
        }
    }

    /// Writes secrets as the leader, sealed; `None` deletes one. Returns the revision from which on they count.
    ///
    /// # Errors
    /// Another instance leads, this one has no key, or etcd does not take them.
    pub(crate) async fn put_secrets(
        &self,
        secrets: BTreeMap<String, Option<Secret>>,
    ) -> Result<StoreRevision, ProposeError> {
        let shared = Arc::clone(&self.shared);
        // It goes on if the caller gives up, so that no outcome remains unknown without being told.
        let put = tokio::spawn(async move { put(&shared, &secrets).await });
        put.await
            .unwrap_or_else(|_| Err(ProposeError::Away("this instance is stopping".to_owned())))
    }

    /// Waits until all instances that live have said that they obey a revision. Returns false if some do not for so long.
    pub(crate) async fn obeyed_by_all(&self, revision: StoreRevision, patience: Duration) -> bool {
        let mut pictures = self.shared.picture.subscribe();
        let obeyed = pictures.wait_for(|picture| {
            let mut instances = picture.view.instances.values();
            picture.view.at >= revision && instances.all(|instance| instance.value.obeys >= revision)
        });
        matches!(timeout(patience, obeyed).await, Ok(Ok(_)))
    }
}

async fn put(
    shared: &Arc<Shared>,
    secrets: &BTreeMap<String, Option<Secret>>,
) -> Result<StoreRevision, ProposeError> {
    let Some(seal) = &shared.seal else {
        return Err(ProposeError::Refused(NO_SEAL.to_owned()));
    };
    let until = Instant::now() + WRITE;
    let mut view = shared.view();
    for attempt in 1.. {
        let Some(fence) = shared.fence() else {
            return Err(ProposeError::NoLeader(
                ": this instance does not lead any more".to_owned(),
            ));
        };
        let no_random = || ProposeError::Refused("there are no random bytes".to_owned());
        let mut certificates = BTreeMap::new();
        for (name, secret) in secrets {
            let key = shared.prefix.encode(&Key::Certificate(name.clone()));
            let sealed = match secret {
                Some(Secret(secret)) => Some(seal.seal(&key, secret).ok_or_else(no_random)?),
                None if view.certificates.contains_key(&**name) => None,
                None => continue,
            };
            certificates.insert(name.clone(), sealed);
        }
        if certificates.is_empty() {
            return Ok(view.rules);
        }
        let names: Vec<String> = certificates.keys().cloned().collect();
        let intent = Intent::State(State {
            certificates,
            fence: Some(fence),
            ..State::default()
        });
        let write = WriteId::new(&id()).ok_or_else(no_random)?;
        match propose(shared, view, &intent, &write, until).await {
            Ok(proposed) => {
                let at = |name: &String| {
                    let key = Key::Certificate(name.clone());
                    proposed.view.modified(&key)
                };
                // What is deleted counts with the view that does not have it.
                return Ok(match names.iter().map(at).max() {
                    Some(at) if at > StoreRevision::default() => at,
                    _ => proposed.view.rules,
                });
            }
            Err(ProposeError::Conflict(newer)) if attempt < ATTEMPTS => view = newer,
            Err(error) => return Err(error),
        }
    }
    Err(ProposeError::Refused(
        "it is written again and again by others".to_owned(),
    ))
}
