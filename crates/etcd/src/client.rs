//! The client.

use std::time::Duration;

use crate::channel::Channel;
use crate::error::Error;
use crate::key::KeyRange;
use crate::kv::range::{Range, RangeResponse};
use crate::kv::txn::{Txn, TxnResponse};
use crate::kv::write::{Delete, DeleteResponse, Put, PutResponse};
use crate::kv::{KeyValue, revision};
use crate::messages::counted;
use crate::messages::kv::CompactionRequest;
use crate::messages::maintenance::{StatusRequest, StatusResponse};
use crate::method::Call;
use crate::options::Options;
use crate::revision::Revision;
use crate::watch::Watches;

/// A client of an etcd cluster. It connects when it is first used; clones share connection and token.
///
/// It has to be used inside a tokio runtime with time and I/O.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) channel: Channel,
}

/// A member, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The version of etcd.
    pub version: String,
    /// The revision of its store, which may be behind.
    pub revision: Revision,
    /// The cluster.
    pub cluster: u64,
    /// The member.
    pub member: u64,
    /// The leader, if it knows one.
    pub leader: Option<u64>,
    /// The term of the leader.
    pub raft_term: u64,
    /// Bytes of the database on disk.
    pub database_bytes: u64,
    /// Alarms that are on, such as that the quota of the database is used up.
    pub alarms: Vec<String>,
}

impl Client {
    /// A client with these options. Nothing is sent yet.
    ///
    /// ```
    /// use waypost_etcd::client::Client;
    /// use waypost_etcd::options::Options;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::new(Options::new(vec!["10.0.0.1:2379".parse()?, "10.0.0.2:2379".parse()?]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(options: Options) -> Self {
        Self {
            channel: Channel::new(options),
        }
    }

    /// The same client with another deadline for its calls.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self {
            channel: self.channel.with_deadline(deadline),
        }
    }

    /// Reads keys.
    ///
    /// # Errors
    /// The revision that is asked for is compacted or does not exist yet; else as every call.
    pub async fn range(&self, range: &Range) -> Result<RangeResponse, Error> {
        RangeResponse::read(self.channel.call(&range.message()).await?)
    }

    /// Reads one key.
    ///
    /// # Errors
    /// As every call.
    pub async fn get(&self, key: impl Into<Vec<u8>>) -> Result<Option<KeyValue>, Error> {
        let response = self.range(&Range::new(KeyRange::key(key))).await?;
        Ok(response.kvs.into_iter().next())
    }

    /// Reads all keys of a range as they are at one revision, `page` of them at a time, so that no response is too large.
    ///
    /// # Errors
    /// `Compacted` if the revision is compacted while pages are read: then it has to be read again from the beginning.
    pub async fn range_in_pages(&self, keys: &KeyRange, page: u32) -> Result<RangeResponse, Error> {
        let mut range = Range {
            limit: Some(page.max(1)),
            ..Range::new(keys.clone())
        };
        let mut all = self.range(&range).await?;
        let mut has_more = all.more;
        while has_more {
            let last = all
                .kvs
                .last()
                .ok_or_else(|| Error::malformed("a page has more keys behind it, but none itself"))?;
            range.keys = keys.after(&last.key);
            range.revision = Some(all.revision);
            let next = self.range(&range).await?;
            // Else pages could go on forever.
            if next
                .kvs
                .first()
                .is_none_or(|first| !range.keys.contains(&first.key))
            {
                return Err(Error::malformed("a page does not go on behind the previous one"));
            }
            has_more = next.more;
            all.kvs.extend(next.kvs);
        }
        all.more = false;
        Ok(all)
    }

    /// Writes a key.
    ///
    /// # Errors
    /// As every call that writes.
    pub async fn put(&self, put: &Put) -> Result<PutResponse, Error> {
        written(PutResponse::read(self.channel.call(&put.message()).await?))
    }

    /// Deletes keys.
    ///
    /// # Errors
    /// As every call that writes.
    pub async fn delete(&self, delete: &Delete) -> Result<DeleteResponse, Error> {
        written(DeleteResponse::read(self.channel.call(&delete.message()).await?))
    }

    /// Carries out a transaction.
    ///
    /// # Errors
    /// As every call that writes. That comparisons do not hold is not an error.
    pub async fn txn(&self, txn: &Txn) -> Result<TxnResponse, Error> {
        let message = txn.message();
        let response = TxnResponse::read(self.channel.call(&message).await?, txn);
        if message.is_write() {
            written(response)
        } else {
            response
        }
    }

    /// Forgets what the store was before `revision`. With auth, etcd lets every user do it.
    ///
    /// # Errors
    /// It is compacted already, or the revision does not exist yet; else as every call that writes.
    pub async fn compact(&self, revision: Revision) -> Result<(), Error> {
        let request = CompactionRequest {
            revision: revision.0,
            physical: false,
        };
        self.channel.call(&request).await?;
        Ok(())
    }

    /// Asks the member in use about itself.
    ///
    /// # Errors
    /// As every call.
    pub async fn status(&self) -> Result<Status, Error> {
        Status::read(self.channel.call(&StatusRequest {}).await?)
    }

    /// Watches, all on one stream.
    pub fn watches(&self) -> Watches {
        Watches::new(self.channel.clone())
    }
}

/// The answer to a write. One that cannot be used says nothing about the store.
pub(crate) fn written<T>(response: Result<T, Error>) -> Result<T, Error> {
    response.map_err(|error| Error::OutcomeUnknown {
        reason: error.to_string(),
    })
}

impl Status {
    fn read(message: StatusResponse) -> Result<Self, Error> {
        let header = message.header.unwrap_or_default();
        Ok(Self {
            version: message.version,
            revision: revision(message.header)?,
            cluster: header.cluster_id,
            member: header.member_id,
            leader: (message.leader != 0).then_some(message.leader),
            raft_term: message.raft_term,
            database_bytes: counted(message.db_size, "the size of the database")?.unsigned_abs(),
            alarms: message.errors,
        })
    }
}
