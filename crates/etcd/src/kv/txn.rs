//! Transactions: comparisons, and what is done as a whole if they hold or do not.

use crate::error::Error;
use crate::key::KeyRange;
use crate::kv::range::{Range, RangeResponse};
use crate::kv::write::{Delete, DeleteResponse, Put, PutResponse};
use crate::kv::{KeyValue, revision};
use crate::messages::kv as message;
use crate::messages::kv::compare::TargetUnion;
use crate::messages::kv::request_op::Request;
use crate::messages::kv::response_op::Response;
use crate::revision::{CreateRevision, LeaseId, ModRevision, Revision, Version};

/// A transaction. All of it happens at one revision, or nothing of it.
///
/// ```
/// use waypost_etcd::kv::txn::{Compare, Txn};
/// use waypost_etcd::kv::write::Put;
///
/// // Written only if the key does not exist yet.
/// let txn = Txn::new()
///     .when(Compare::absent("/lock"))
///     .then(Put::new("/lock", "mine"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Txn {
    /// The comparisons.
    pub compares: Vec<Compare>,
    /// Done if all of them hold.
    pub success: Vec<Op>,
    /// Done if one does not.
    pub failure: Vec<Op>,
}

/// An operation in a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A read, which sees what earlier operations of the transaction wrote.
    Range(Range),
    /// A write.
    Put(Put),
    /// A deletion.
    Delete(Delete),
    /// A transaction in the transaction.
    Txn(Txn),
}

macro_rules! op_from {
    ($($kind:ident),*) => {
        $(impl From<$kind> for Op {
            fn from(op: $kind) -> Self {
                Self::$kind(op)
            }
        })*
    };
}

op_from!(Range, Put, Delete, Txn);

/// A comparison of a property of a key, or of every key of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    /// The keys. A single key that does not exist has revisions, version and lease 0, and no value.
    pub keys: KeyRange,
    /// The relation that must hold between property and operand.
    pub relation: Relation,
    /// The property, with the operand.
    pub operand: Operand,
}

/// A relation between the property of a key and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Equal.
    Equal,
    /// Greater than the operand.
    Greater,
    /// Less than the operand.
    Less,
    /// Different.
    NotEqual,
}

/// A property of a key, with the value that it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// When it was changed last.
    ModRevision(ModRevision),
    /// When it began to exist.
    CreateRevision(CreateRevision),
    /// The number of times it was written.
    Version(Version),
    /// Its value. This never holds for a key that does not exist.
    Value(Vec<u8>),
    /// Its lease.
    Lease(Option<LeaseId>),
}

impl Compare {
    /// `key` does not exist.
    pub fn absent(key: impl Into<Vec<u8>>) -> Self {
        Self::created_at(key, CreateRevision(0))
    }

    /// `key` was changed last at `revision`; 0 for a key that does not exist.
    pub fn unchanged(key: impl Into<Vec<u8>>, revision: ModRevision) -> Self {
        Self::equal(key, Operand::ModRevision(revision))
    }

    /// `key` exists since `revision`.
    pub fn created_at(key: impl Into<Vec<u8>>, revision: CreateRevision) -> Self {
        Self::equal(key, Operand::CreateRevision(revision))
    }

    /// A property of `key` is this.
    pub fn equal(key: impl Into<Vec<u8>>, operand: Operand) -> Self {
        Self {
            keys: KeyRange::key(key),
            relation: Relation::Equal,
            operand,
        }
    }

    fn message(&self) -> message::Compare {
        let result = match self.relation {
            Relation::Equal => message::CompareResult::Equal,
            Relation::Greater => message::CompareResult::Greater,
            Relation::Less => message::CompareResult::Less,
            Relation::NotEqual => message::CompareResult::NotEqual,
        };
        let (target, operand) = match &self.operand {
            Operand::ModRevision(revision) => {
                (message::CompareTarget::Mod, TargetUnion::ModRevision(revision.0))
            }
            Operand::CreateRevision(revision) => (
                message::CompareTarget::Create,
                TargetUnion::CreateRevision(revision.0),
            ),
            Operand::Version(version) => (message::CompareTarget::Version, TargetUnion::Version(version.0)),
            Operand::Value(value) => (message::CompareTarget::Value, TargetUnion::Value(value.clone())),
            Operand::Lease(lease) => (
                message::CompareTarget::Lease,
                TargetUnion::Lease(lease.map_or(0, |lease| lease.0)),
            ),
        };
        message::Compare {
            result: result.into(),
            target: target.into(),
            key: self.keys.start().to_vec(),
            range_end: self.keys.end().to_vec(),
            target_union: Some(operand),
        }
    }
}

impl Txn {
    /// A transaction that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more comparison.
    #[must_use]
    pub fn when(mut self, compare: Compare) -> Self {
        self.compares.push(compare);
        self
    }

    /// With one more operation for when all comparisons hold.
    #[must_use]
    pub fn then(mut self, op: impl Into<Op>) -> Self {
        self.success.push(op.into());
        self
    }

    /// With one more operation for when a comparison does not hold.
    #[must_use]
    pub fn or_else(mut self, op: impl Into<Op>) -> Self {
        self.failure.push(op.into());
        self
    }

    pub(crate) fn message(&self) -> message::TxnRequest {
        message::TxnRequest {
            compare: self.compares.iter().map(Compare::message).collect(),
            success: self.success.iter().map(Op::message).collect(),
            failure: self.failure.iter().map(Op::message).collect(),
        }
    }
}

impl Op {
    fn message(&self) -> message::RequestOp {
        message::RequestOp {
            request: Some(match self {
                Self::Range(range) => Request::Range(range.message()),
                Self::Put(put) => Request::Put(put.message()),
                Self::Delete(delete) => Request::DeleteRange(delete.message()),
                Self::Txn(txn) => Request::Txn(txn.message()),
            }),
        }
    }
}

/// A transaction that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnResponse {
    /// The revision of the store afterwards; that of the changes, if there were any.
    pub revision: Revision,
    /// All comparisons held.
    pub succeeded: bool,
    /// The results of the operations, in their order.
    pub results: Vec<OpResult>,
}

/// The result of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpResult {
    /// Of a read.
    Range(RangeResponse),
    /// Of a write.
    Put(PutResponse),
    /// Of a deletion.
    Delete(DeleteResponse),
    /// Of a transaction.
    Txn(TxnResponse),
}

impl TxnResponse {
    /// The keys that the operation number `index` read; none if it is no read.
    pub fn kvs(&self, index: usize) -> &[KeyValue] {
        match self.results.get(index) {
            Some(OpResult::Range(range)) => &range.kvs,
            _ => &[],
        }
    }

    /// Reads the response to `txn`. Results of another kind or number than its operations are refused.
    pub(crate) fn read(message: message::TxnResponse, txn: &Txn) -> Result<Self, Error> {
        let revision = revision(message.header)?;
        let ops = if message.succeeded {
            &txn.success
        } else {
            &txn.failure
        };
        if ops.len() != message.responses.len() {
            return Err(Error::malformed(format!(
                "a transaction of {} operations has {} results",
                ops.len(),
                message.responses.len()
            )));
        }
        let results = ops.iter().zip(message.responses).map(|(op, result)| {
            Ok(match (op, result.response) {
                (Op::Range(_), Some(Response::Range(mut result))) => {
                    result.header = message.header;
                    OpResult::Range(RangeResponse::read(result)?)
                }
                (Op::Put(_), Some(Response::Put(mut result))) => {
                    result.header = message.header;
                    OpResult::Put(PutResponse::read(result)?)
                }
                (Op::Delete(_), Some(Response::DeleteRange(mut result))) => {
                    result.header = message.header;
                    OpResult::Delete(DeleteResponse::read(result)?)
                }
                (Op::Txn(txn), Some(Response::Txn(mut result))) => {
                    result.header = message.header;
                    OpResult::Txn(Self::read(result, txn)?)
                }
                _ => {
                    return Err(Error::malformed(
                        "a result of a transaction is of another kind than the operation",
                    ));
                }
            })
        });
        Ok(Self {
            revision,
            succeeded: message.succeeded,
            results: results.collect::<Result<_, Error>>()?,
        })
    }
}
