//! Writing and deleting keys.

use crate::error::Error;
use crate::key::KeyRange;
use crate::kv::{KeyValue, read_all, revision};
use crate::messages::counted;
use crate::messages::kv as message;
use crate::revision::{LeaseId, Revision};

/// A write of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The key.
    pub key: Vec<u8>,
    /// The new value.
    pub value: Vec<u8>,
    /// The lease to attach it to. Without one, the key is detached from the lease that it had.
    pub lease: Option<LeaseId>,
    /// Answers with the previous value.
    pub previous: bool,
}

impl Put {
    /// A write of `value` to `key`, without a lease.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            lease: None,
            previous: false,
        }
    }

    /// The same, attached to a lease.
    #[must_use]
    pub fn with_lease(mut self, lease: LeaseId) -> Self {
        self.lease = Some(lease);
        self
    }

    pub(crate) fn message(&self) -> message::PutRequest {
        message::PutRequest {
            key: self.key.clone(),
            value: self.value.clone(),
            lease: self.lease.map_or(0, |lease| lease.0),
            prev_kv: self.previous,
            ignore_value: false,
            ignore_lease: false,
        }
    }
}

/// A key that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutResponse {
    /// The revision of the write.
    pub revision: Revision,
    /// The previous value, if it was asked for and there was one.
    pub previous: Option<KeyValue>,
}

impl PutResponse {
    pub(crate) fn read(message: message::PutResponse) -> Result<Self, Error> {
        Ok(Self {
            revision: revision(message.header)?,
            previous: message.prev_kv.map(KeyValue::read).transpose()?,
        })
    }
}

/// A deletion of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// The keys.
    pub keys: KeyRange,
    /// Answers with the keys that were there.
    pub previous: bool,
}

impl Delete {
    /// A deletion of these keys.
    pub fn new(keys: KeyRange) -> Self {
        Self {
            keys,
            previous: false,
        }
    }

    pub(crate) fn message(&self) -> message::DeleteRangeRequest {
        message::DeleteRangeRequest {
            key: self.keys.start().to_vec(),
            range_end: self.keys.end().to_vec(),
            prev_kv: self.previous,
        }
    }
}

/// Keys that were deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteResponse {
    /// The revision of the store afterwards. It is the previous one if there was nothing to delete.
    pub revision: Revision,
    /// The number of keys that were there.
    pub deleted: u64,
    /// The keys that were there, if they were asked for.
    pub previous: Vec<KeyValue>,
}

impl DeleteResponse {
    pub(crate) fn read(message: message::DeleteRangeResponse) -> Result<Self, Error> {
        Ok(Self {
            revision: revision(message.header)?,
            deleted: counted(message.deleted, "a count of deleted keys")?.unsigned_abs(),
            previous: read_all(message.prev_kvs)?,
        })
    }
}
