//! Reading keys.

use crate::error::Error;
use crate::key::KeyRange;
use crate::kv::{KeyValue, read_all, revision};
use crate::messages::counted;
use crate::messages::kv as message;
use crate::revision::{CreateRevision, Revision};

/// A read of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The keys.
    pub keys: KeyRange,
    /// At most so many.
    pub limit: Option<u32>,
    /// As the store was at this revision, instead of as it is.
    pub revision: Option<Revision>,
    /// From the member's own memory, which may be behind. Otherwise the answer has everything that was acknowledged before
    /// the question, and there is none without a majority.
    pub serializable: bool,
    /// Leaves the values out.
    pub keys_only: bool,
    /// Leaves keys and values out.
    pub count_only: bool,
    /// The order; by key if nothing is said.
    pub order: Option<Order>,
    /// Only keys that exist since this revision or longer.
    pub created_until: Option<CreateRevision>,
}

/// An order of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Compared property.
    pub by: OrderBy,
    /// The largest first.
    pub descending: bool,
}

/// A property that keys can be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderBy {
    /// The key itself.
    Key,
    /// The number of times it was written.
    Version,
    /// When it began to exist.
    CreateRevision,
    /// When it was changed last.
    ModRevision,
    /// The value.
    Value,
}

impl Range {
    /// A read of these keys, as they are now.
    pub fn new(keys: KeyRange) -> Self {
        Self {
            keys,
            limit: None,
            revision: None,
            serializable: false,
            keys_only: false,
            count_only: false,
            order: None,
            created_until: None,
        }
    }

    pub(crate) fn message(&self) -> message::RangeRequest {
        let (order, target) = match self.order {
            None => (message::SortOrder::None, message::SortTarget::Key),
            Some(Order { by, descending }) => (
                if descending {
                    message::SortOrder::Descend
                } else {
                    message::SortOrder::Ascend
                },
                match by {
                    OrderBy::Key => message::SortTarget::Key,
                    OrderBy::Version => message::SortTarget::Version,
                    OrderBy::CreateRevision => message::SortTarget::Create,
                    OrderBy::ModRevision => message::SortTarget::Mod,
                    OrderBy::Value => message::SortTarget::Value,
                },
            ),
        };
        message::RangeRequest {
            key: self.keys.start().to_vec(),
            range_end: self.keys.end().to_vec(),
            limit: self.limit.map_or(0, i64::from),
            revision: self.revision.map_or(0, |revision| revision.0),
            sort_order: order.into(),
            sort_target: target.into(),
            serializable: self.serializable,
            keys_only: self.keys_only,
            count_only: self.count_only,
            max_create_revision: self.created_until.map_or(0, |revision| revision.0),
        }
    }
}

/// Keys that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeResponse {
    /// The revision of the store when it was read. This is not the revision that was read, if one was asked for.
    pub revision: Revision,
    /// Keys with values.
    pub kvs: Vec<KeyValue>,
    /// There are more than the limit.
    pub more: bool,
    /// The number of keys in the range, without the limit.
    pub count: u64,
}

impl RangeResponse {
    pub(crate) fn read(message: message::RangeResponse) -> Result<Self, Error> {
        Ok(Self {
            revision: revision(message.header)?,
            kvs: read_all(message.kvs)?,
            more: message.more,
            count: counted(message.count, "a count of keys")?.unsigned_abs(),
        })
    }
}
