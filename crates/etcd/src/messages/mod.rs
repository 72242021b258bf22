//! Messages of etcd's interface, version 3, as `rpc.proto`, `kv.proto` and `auth.proto` of etcd number their fields.
//!
//! They are written by hand, so that building needs no protoc. Only fields that are used are there; prost skips others.

pub(crate) mod auth;
pub(crate) mod kv;
pub(crate) mod lease;
pub(crate) mod maintenance;
pub(crate) mod watch;

use crate::error::Error;

/// Comes with every response.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct ResponseHeader {
    #[prost(uint64, tag = "1")]
    pub(crate) cluster_id: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) member_id: u64,
    #[prost(int64, tag = "3")]
    pub(crate) revision: i64,
    #[prost(uint64, tag = "4")]
    pub(crate) raft_term: u64,
}

/// A response that says no more than that a request was carried out.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Done {
    #[prost(message, optional, tag = "1")]
    pub(crate) header: Option<ResponseHeader>,
}

/// A number that etcd counts up from 0.
pub(crate) fn counted(number: i64, of: &str) -> Result<i64, Error> {
    if number < 0 {
        return Err(Error::malformed(format!("{of} is {number}")));
    }
    Ok(number)
}
