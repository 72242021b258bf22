//! Reading and writing keys.

pub mod range;
pub mod txn;
pub mod write;

use crate::error::Error;
use crate::messages::{ResponseHeader, counted, kv as message};
use crate::revision::{CreateRevision, LeaseId, ModRevision, Revision, Version};

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Vec<u8>,
    /// The value; empty where only keys were asked for.
    pub value: Vec<u8>,
    /// When it began to exist.
    pub create_revision: CreateRevision,
    /// When it was changed last.
    pub mod_revision: ModRevision,
    /// The number of times it was written since it exists.
    pub version: Version,
    /// The lease that it is attached to.
    pub lease: Option<LeaseId>,
}

impl KeyValue {
    pub(crate) fn read(message: message::KeyValue) -> Result<Self, Error> {
        Ok(Self {
            key: message.key,
            value: message.value,
            create_revision: CreateRevision(counted(message.create_revision, "a create revision")?),
            mod_revision: ModRevision(counted(message.mod_revision, "a mod revision")?),
            version: Version(counted(message.version, "a version")?),
            lease: lease(message.lease),
        })
    }
}

fn read_all(messages: Vec<message::KeyValue>) -> Result<Vec<KeyValue>, Error> {
    messages.into_iter().map(KeyValue::read).collect()
}

/// A lease as messages have it: 0 is none.
pub(crate) fn lease(id: i64) -> Option<LeaseId> {
    (id != 0).then_some(LeaseId(id))
}

/// The revision in a header, which every response has.
pub(crate) fn revision(header: Option<ResponseHeader>) -> Result<Revision, Error> {
    let header = header.ok_or_else(|| Error::malformed("a response has no header"))?;
    counted(header.revision, "a revision").map(Revision)
}
