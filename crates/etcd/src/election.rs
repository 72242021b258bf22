//! Elections, as etcd's own clients hold them, so that `etcdctl elect` sees them.
//!
//! A candidate writes a key under the prefix, named after its lease. Among the keys that are there, the one that exists
//! longest is the leader's. What a leader writes is fenced by [`Candidacy::fence`]: it happens only while its key is there,
//! however late it arrives.

use crate::client::Client;
use crate::error::Error;
use crate::key::KeyRange;
use crate::kv::KeyValue;
use crate::kv::range::{Order, OrderBy, Range};
use crate::kv::txn::{Compare, Txn};
use crate::kv::write::{Delete, Put};
use crate::revision::{CreateRevision, LeaseId, Revision};
use crate::watch::{EventKind, Notice, Watch};

/// An election.
#[derive(Debug, Clone)]
pub struct Election {
    client: Client,
    prefix: Vec<u8>,
}

/// A candidate's place in an election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidacy {
    key: Vec<u8>,
    created: CreateRevision,
}

/// The place of a candidate in its election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is the leader.
    Leader,
    /// Another one is first.
    Behind {
        /// The key whose end is to be waited for.
        predecessor: Vec<u8>,
        /// When that was so.
        revision: Revision,
    },
    /// It is no candidate any more, as its lease has ended or its key was deleted.
    Out,
}

impl Election {
    /// The election under `NAME/`.
    pub fn new(client: Client, name: &str) -> Self {
        Self {
            client,
            prefix: format!("{name}/").into_bytes(),
        }
    }

    /// The keys of the candidates.
    pub fn keys(&self) -> KeyRange {
        KeyRange::prefix(&*self.prefix)
    }

    /// Enters a candidate with a lease. It may be entered again, say after an unknown outcome, and keeps its place.
    ///
    /// # Errors
    /// `LeaseNotFound` if the lease has ended; else as every call that writes.
    pub async fn enter(&self, lease: LeaseId, value: &[u8]) -> Result<Candidacy, Error> {
        let key = [&*self.prefix, lease.to_string().as_bytes()].concat();
        let txn = Txn::new()
            .when(Compare::absent(&*key))
            .then(Put::new(&*key, value).with_lease(lease))
            .or_else(Range::new(KeyRange::key(&*key)));
        let response = self.client.txn(&txn).await?;
        if response.succeeded {
            return Ok(Candidacy {
                key,
                created: CreateRevision(response.revision.0),
            });
        }
        let there = response
            .kvs(0)
            .first()
            .ok_or_else(|| Error::malformed("a key that is said to exist is not there"))?;
        let candidacy = Candidacy {
            created: there.create_revision,
            key,
        };
        if there.value != value {
            let key = &*candidacy.key;
            let txn = Txn::new()
                .when(candidacy.fence())
                .then(Put::new(key, value).with_lease(lease));
            if !self.client.txn(&txn).await?.succeeded {
                return Err(Error::LeaseNotFound { lease });
            }
        }
        Ok(candidacy)
    }

    /// The leader's key and value, if there is a leader.
    ///
    /// # Errors
    /// As every call.
    pub async fn leader(&self) -> Result<Option<KeyValue>, Error> {
        let range = Range {
            limit: Some(1),
            order: Some(Order {
                by: OrderBy::CreateRevision,
                descending: false,
            }),
            ..Range::new(self.keys())
        };
        Ok(self.client.range(&range).await?.kvs.into_iter().next())
    }

    /// The place of a candidate.
    ///
    /// # Errors
    /// As every call.
    pub async fn standing(&self, candidacy: &Candidacy) -> Result<Standing, Error> {
        // The last two that exist as long or longer: the candidate and its predecessor.
        let range = Range {
            limit: Some(2),
            keys_only: true,
            order: Some(Order {
                by: OrderBy::CreateRevision,
                descending: true,
            }),
            created_until: Some(candidacy.created),
            ..Range::new(self.keys())
        };
        let response = self.client.range(&range).await?;
        let mut keys = response.kvs.into_iter();
        let is_in = |own: &KeyValue| own.key == candidacy.key && own.create_revision == candidacy.created;
        Ok(match (keys.next(), keys.next()) {
            (Some(own), None) if is_in(&own) => Standing::Leader,
            (Some(own), Some(predecessor)) if is_in(&own) => Standing::Behind {
                predecessor: predecessor.key,
                revision: response.revision,
            },
            _ => Standing::Out,
        })
    }

    /// Waits until a candidate is the leader, or out.
    ///
    /// # Errors
    /// Those of reads and watches that waiting does not mend. While etcd is unavailable, it waits.
    pub async fn wait(&self, candidacy: &Candidacy) -> Result<Standing, Error> {
        loop {
            match self.standing(candidacy).await {
                Ok(Standing::Behind {
                    predecessor,
                    revision,
                }) => self.gone(predecessor, revision).await?,
                Err(Error::Unavailable { .. }) => {}
                other => return other,
            }
        }
    }

    /// Waits until a key is deleted.
    async fn gone(&self, key: Vec<u8>, since: Revision) -> Result<(), Error> {
        let mut watches = self.client.watches();
        watches.add(Watch::new(KeyRange::key(key), since.next()));
        while let Some(notice) = watches.next().await {
            match notice {
                Notice::Changes { events, .. }
                    if events.iter().any(|event| event.kind == EventKind::Delete) =>
                {
                    return Ok(());
                }
                // It is looked again.
                Notice::Ended {
                    error: Error::Compacted { .. } | Error::StoreReplaced,
                    ..
                } => return Ok(()),
                Notice::Ended { error, .. } => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes a candidate out of the election. Returns false if it was out already.
    ///
    /// # Errors
    /// As every call that writes.
    pub async fn resign(&self, candidacy: &Candidacy) -> Result<bool, Error> {
        let txn = Txn::new()
            .when(candidacy.fence())
            .then(Delete::new(KeyRange::key(&*candidacy.key)));
        Ok(self.client.txn(&txn).await?.succeeded)
    }
}

impl Candidacy {
    /// The candidate's key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The revision at which it was entered. It grows from leader to leader.
    pub fn created(&self) -> CreateRevision {
        self.created
    }

    /// Holds while the candidate is in the election. A leader's transactions compare it, so that nothing that a former leader
    /// wrote happens after another one was elected.
    pub fn fence(&self) -> Compare {
        Compare::created_at(&*self.key, self.created)
    }
}
