//! Refusals of etcd, in its words.

use tonic::{Code, Status};

/// A refusal of etcd, with the code and the message of `rpctypes` of etcd 3.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is what its message says")]
pub enum Refusal {
    EmptyKey,
    KeyNotFound,
    ValueProvided,
    LeaseProvided,
    TooManyOps,
    DuplicateKey,
    Compacted,
    FutureRevision,
    NoSpace,
    LeaseNotFound,
    LeaseExists,
    LeaseTtlTooLarge,
    RequestTooLarge,
    TooManyRequests,
    RootUserMissing,
    RootRoleMissing,
    UserExists,
    UserEmpty,
    UserNotFound,
    RoleExists,
    RoleEmpty,
    RoleNotFound,
    AuthFailed,
    PermissionDenied,
    AuthNotEnabled,
    InvalidToken,
    AuthOldRevision,
    NoLeader,
    LeaderChanged,
    Stopped,
    Timeout,
    TimeoutLeaderFailed,
    TimeoutConnectionLost,
}

impl Refusal {
    /// Code and message.
    fn parts(self) -> (Code, &'static str) {
        match self {
            Self::EmptyKey => (Code::InvalidArgument, "etcdserver: key is not provided"),
            Self::KeyNotFound => (Code::InvalidArgument, "etcdserver: key not found"),
            Self::ValueProvided => (Code::InvalidArgument, "etcdserver: value is provided"),
            Self::LeaseProvided => (Code::InvalidArgument, "etcdserver: lease is provided"),
            Self::TooManyOps => (
                Code::InvalidArgument,
                "etcdserver: too many operations in txn request",
            ),
            Self::DuplicateKey => (
                Code::InvalidArgument,
                "etcdserver: duplicate key given in txn request",
            ),
            Self::Compacted => (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
            ),
            Self::FutureRevision => (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision is a future revision",
            ),
            Self::NoSpace => (
                Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
            ),
            Self::LeaseNotFound => (Code::NotFound, "etcdserver: requested lease not found"),
            Self::LeaseExists => (Code::FailedPrecondition, "etcdserver: lease already exists"),
            Self::LeaseTtlTooLarge => (Code::OutOfRange, "etcdserver: too large lease TTL"),
            Self::RequestTooLarge => (Code::InvalidArgument, "etcdserver: request is too large"),
            Self::TooManyRequests => (Code::ResourceExhausted, "etcdserver: too many requests"),
            Self::RootUserMissing => (Code::FailedPrecondition, "etcdserver: root user does not exist"),
            Self::RootRoleMissing => (
                Code::FailedPrecondition,
                "etcdserver: root user does not have root role",
            ),
            Self::UserExists => (Code::FailedPrecondition, "etcdserver: user name already exists"),
            Self::UserEmpty => (Code::InvalidArgument, "etcdserver: user name is empty"),
            Self::UserNotFound => (Code::FailedPrecondition, "etcdserver: user name not found"),
            Self::RoleExists => (Code::FailedPrecondition, "etcdserver: role name already exists"),
            Self::RoleEmpty => (Code::InvalidArgument, "etcdserver: role name is empty"),
            Self::RoleNotFound => (Code::FailedPrecondition, "etcdserver: role name not found"),
            Self::AuthFailed => (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
            ),
            Self::PermissionDenied => (Code::PermissionDenied, "etcdserver: permission denied"),
            Self::AuthNotEnabled => (
                Code::FailedPrecondition,
                "etcdserver: authentication is not enabled",
            ),
            Self::InvalidToken => (Code::Unauthenticated, "etcdserver: invalid auth token"),
            Self::AuthOldRevision => (Code::InvalidArgument, "etcdserver: revision of auth store is old"),
            Self::NoLeader => (Code::Unavailable, "etcdserver: no leader"),
            Self::LeaderChanged => (Code::Unavailable, "etcdserver: leader changed"),
            Self::Stopped => (Code::Unavailable, "etcdserver: server stopped"),
            Self::Timeout => (Code::Unavailable, "etcdserver: request timed out"),
            Self::TimeoutLeaderFailed => (
                Code::Unavailable,
                "etcdserver: request timed out, possibly due to previous leader failure",
            ),
            Self::TimeoutConnectionLost => (
                Code::Unavailable,
                "etcdserver: request timed out, possibly due to connection lost",
            ),
        }
    }

    /// As etcd prints it where there is no status, such as in the reason why a watch ends.
    pub(super) fn text(self) -> String {
        let (code, message) = self.parts();
        format!("rpc error: code = {code:?} desc = {message}")
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let (code, message) = refusal.parts();
        Self::new(code, message)
    }
}
