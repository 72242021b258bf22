//! Errors, by what they mean to the caller.

use std::fmt;

use crate::key::KeyRange;
use crate::revision::{LeaseId, Revision};

/// A call that did not succeed.
///
/// The kinds differ in what is known about the store. Only after [`OutcomeUnknown`](Self::OutcomeUnknown) and
/// [`NoSpace`](Self::NoSpace) a write may have been carried out, and only after the former it may still be; after every
/// other kind it was not, and will not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No member could take the call before its deadline. Nothing was proposed.
    #[error("etcd is unavailable: {reason}")]
    Unavailable {
        /// The last reason why a member could not take it.
        reason: String,
    },
    /// A write was sent, and no answer came.
    #[error("etcd did not answer, so the outcome is unknown: {reason}")]
    OutcomeUnknown {
        /// Why there is no answer.
        reason: String,
    },
    /// The user lacks a permission.
    #[error("permission denied: {access} {}", key.escape_ascii())]
    PermissionDenied {
        /// The kind of access that is missing.
        access: Access,
        /// The key, or the first of a range; empty if it is not about keys.
        key: Vec<u8>,
    },
    /// The user or the password is wrong, or etcd wants a user and there is none.
    #[error("etcd does not accept the user: {reason}")]
    Unauthenticated {
        /// The words of etcd.
        reason: String,
    },
    /// The revision that was asked for is compacted.
    #[error("the revision is compacted{}", revision.map(|revision| format!(", the oldest is {revision}")).unwrap_or_default())]
    Compacted {
        /// The oldest revision that is there. Watches are told, reads are not.
        revision: Option<Revision>,
    },
    /// The revision that was asked for does not exist yet, where it is read.
    #[error("the revision does not exist yet")]
    FutureRevision,
    /// The store is another one, or was put back: revisions that were seen no longer mean the same.
    #[error("the store was replaced or put back")]
    StoreReplaced,
    /// A message or a transaction is too large.
    #[error("{0}")]
    TooLarge(TooLarge),
    /// etcd's disk quota is used up. etcd also says this of the write that uses it up, which it carries out.
    #[error("the quota of etcd's database is used up")]
    NoSpace,
    /// The lease does not exist, or exists no longer.
    #[error("there is no lease {lease}")]
    LeaseNotFound {
        /// The lease.
        lease: LeaseId,
    },
    /// The lease to be granted exists already.
    #[error("the lease {lease} exists already")]
    LeaseExists {
        /// The lease.
        lease: LeaseId,
    },
    /// The server sent something that is not etcd's protocol, in answer to a read or on a stream.
    #[error("the server does not speak as etcd does: {reason}")]
    Malformed {
        /// The fault in it.
        reason: String,
    },
    /// etcd refused the request for any other reason.
    #[error("etcd refuses it: {reason}")]
    Refused {
        /// The words of etcd.
        reason: String,
    },
}

/// A kind of access that a permission allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reading or watching keys.
    Read,
    /// Writing or deleting keys.
    Write,
    /// Administering etcd.
    Administer,
}

/// A limit that was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// The request is larger than this client sends.
    #[error("the request has {bytes} bytes, more than {max}")]
    Request {
        /// Its size.
        bytes: usize,
        /// The limit of this client.
        max: usize,
    },
    /// The request is larger than the server takes.
    #[error("the request is larger than etcd takes")]
    RequestAtServer,
    /// A transaction has more operations than the server takes.
    #[error("the transaction has more operations than etcd takes")]
    Operations,
    /// The response is larger than this client takes.
    #[error("the response has more than {max} bytes")]
    Response {
        /// The limit of this client.
        max: usize,
    },
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Administer => "administer",
        })
    }
}

impl Error {
    pub(crate) fn malformed(reason: impl Into<String>) -> Self {
        Self::Malformed {
            reason: reason.into(),
        }
    }

    pub(crate) fn denied((access, range): (Access, KeyRange)) -> Self {
        Self::PermissionDenied {
            access,
            key: range.start().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sentences() {
        for (error, expected) in [
            (
                Error::PermissionDenied {
                    access: Access::Write,
                    key: b"/waypost/\xff".to_vec(),
                },
                r"permission denied: write /waypost/\xff",
            ),
            (
                Error::Compacted {
                    revision: Some(Revision(7)),
                },
                "the revision is compacted, the oldest is 7",
            ),
            (Error::Compacted { revision: None }, "the revision is compacted"),
            (
                Error::TooLarge(TooLarge::Request { bytes: 9, max: 8 }),
                "the request has 9 bytes, more than 8",
            ),
            (
                Error::LeaseNotFound { lease: LeaseId(0x1f) },
                "there is no lease 1f",
            ),
        ] {
            assert_eq!(error.to_string(), expected);
        }
    }
}
