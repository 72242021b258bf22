//! Methods of etcd's services.

use prost::Message;

use crate::error::Access;
use crate::key::KeyRange;
use crate::kv::lease as lease_id;
use crate::messages::kv::request_op::Request;
use crate::messages::{Done, auth, kv, lease, maintenance};
use crate::revision::LeaseId;

/// A request with one response.
pub(crate) trait Call: Message {
    /// The response.
    type Response: Message + Default;

    /// The path of its method.
    const PATH: &'static str;

    /// Returns true if it can change the store, so that it matters if it was carried out.
    fn is_write(&self) -> bool;

    /// Returns true if a member without a leader shall refuse it at once. Reads of a member's own memory need none.
    fn wants_leader(&self) -> bool {
        true
    }

    /// The permissions that it needs.
    fn accesses(&self) -> Vec<(Access, KeyRange)> {
        Vec::new()
    }

    /// The first lease that it names.
    fn lease(&self) -> Option<LeaseId> {
        None
    }
}

/// The path of the stream of watches.
pub(crate) const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// The path of the stream that renews leases.
pub(crate) const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";

impl Call for kv::RangeRequest {
    type Response = kv::RangeResponse;
    const PATH: &'static str = "/etcdserverpb.KV/Range";

    fn is_write(&self) -> bool {
        false
    }

    fn wants_leader(&self) -> bool {
        !self.serializable
    }

    fn accesses(&self) -> Vec<(Access, KeyRange)> {
        vec![(Access::Read, range(&self.key, &self.range_end))]
    }
}

impl Call for kv::PutRequest {
    type Response = kv::PutResponse;
    const PATH: &'static str = "/etcdserverpb.KV/Put";

    fn is_write(&self) -> bool {
        true
    }

    fn accesses(&self) -> Vec<(Access, KeyRange)> {
        let key = KeyRange::key(&*self.key);
        let mut accesses = vec![(Access::Write, key.clone())];
        if self.prev_kv {
            accesses.push((Access::Read, key));
        }
        accesses
    }

    fn lease(&self) -> Option<LeaseId> {
        lease_id(self.lease)
    }
}

impl Call for kv::DeleteRangeRequest {
    type Response = kv::DeleteRangeResponse;
    const PATH: &'static str = "/etcdserverpb.KV/DeleteRange";

    fn is_write(&self) -> bool {
        true
    }

    fn accesses(&self) -> Vec<(Access, KeyRange)> {
        let keys = range(&self.key, &self.range_end);
        let mut accesses = vec![(Access::Write, keys.clone())];
        if self.prev_kv {
            accesses.push((Access::Read, keys));
        }
        accesses
    }
}

impl Call for kv::TxnRequest {
    type Response = kv::TxnResponse;
    const PATH: &'static str = "/etcdserverpb.KV/Txn";

    fn is_write(&self) -> bool {
        let mut ops = self.success.iter().chain(&self.failure);
        ops.any(|op| match &op.request {
            Some(Request::Range(_)) | None => false,
            Some(Request::Put(_) | Request::DeleteRange(_)) => true,
            Some(Request::Txn(txn)) => txn.is_write(),
        })
    }

    fn accesses(&self) -> Vec<(Access, KeyRange)> {
        let compares = self
            .compare
            .iter()
            .map(|compare| (Access::Read, range(&compare.key, &compare.range_end)));
        let ops = self.success.iter().chain(&self.failure);
        let ops = ops.flat_map(|op| match &op.request {
            Some(Request::Range(op)) => op.accesses(),
            Some(Request::Put(op)) => op.accesses(),
            Some(Request::DeleteRange(op)) => op.accesses(),
            Some(Request::Txn(op)) => op.accesses(),
            None => Vec::new(),
        });
        compares.chain(ops).collect()
    }

    fn lease(&self) -> Option<LeaseId> {
        let mut ops = self.success.iter().chain(&self.failure);
        ops.find_map(|op| match &op.request {
            Some(Request::Put(op)) => op.lease(),
            Some(Request::Txn(op)) => op.lease(),
            _ => None,
        })
    }
}

fn range(start: &[u8], end: &[u8]) -> KeyRange {
    KeyRange::between(start, end)
}

/// Methods of leases.
macro_rules! lease_calls {
    ($($request:ty, $response:ty, $path:literal, $is_write:literal;)*) => {
        $(impl Call for $request {
            type Response = $response;
            const PATH: &'static str = concat!("/etcdserverpb.Lease/", $path);

            fn is_write(&self) -> bool {
                $is_write
            }

            fn lease(&self) -> Option<LeaseId> {
                lease_id(self.id)
            }
        })*
    };
}

lease_calls! {
    lease::LeaseGrantRequest, lease::LeaseGrantResponse, "LeaseGrant", true;
    lease::LeaseRevokeRequest, Done, "LeaseRevoke", true;
    lease::LeaseTimeToLiveRequest, lease::LeaseTimeToLiveResponse, "LeaseTimeToLive", false;
}

impl Call for maintenance::StatusRequest {
    type Response = maintenance::StatusResponse;
    const PATH: &'static str = "/etcdserverpb.Maintenance/Status";

    fn is_write(&self) -> bool {
        false
    }

    fn wants_leader(&self) -> bool {
        false
    }
}

/// Methods without keys and leases.
macro_rules! calls {
    ($($request:ty, $response:ty, $path:literal, $is_write:literal;)*) => {
        $(impl Call for $request {
            type Response = $response;
            const PATH: &'static str = concat!("/etcdserverpb.", $path);

            fn is_write(&self) -> bool {
                $is_write
            }
        })*
    };
}

// Authenticating is proposed too, but changes no key: it may happen any number of times.
calls! {
    kv::CompactionRequest, Done, "KV/Compact", true;
    auth::AuthEnableRequest, Done, "Auth/AuthEnable", true;
    auth::AuthDisableRequest, Done, "Auth/AuthDisable", true;
    auth::AuthenticateRequest, auth::AuthenticateResponse, "Auth/Authenticate", false;
    auth::AuthUserAddRequest, Done, "Auth/UserAdd", true;
    auth::AuthUserGetRequest, auth::AuthUserGetResponse, "Auth/UserGet", false;
    auth::AuthUserGrantRoleRequest, Done, "Auth/UserGrantRole", true;
    auth::AuthRoleAddRequest, Done, "Auth/RoleAdd", true;
    auth::AuthRoleGetRequest, auth::AuthRoleGetResponse, "Auth/RoleGet", false;
    auth::AuthRoleGrantPermissionRequest, Done, "Auth/RoleGrantPermission", true;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::range::Range;
    use crate::kv::txn::{Compare, Txn};
    use crate::kv::write::{Delete, Put};

    fn check(txn: &Txn, is_write: bool, expected: &str) {
        let request = txn.message();
        let accesses: Vec<String> = request
            .accesses()
            .iter()
            .map(|(access, keys)| format!("{access} {}", keys.start().escape_ascii()))
            .collect();
        assert_eq!((request.is_write(), &*accesses.join(", ")), (is_write, expected));
    }

    #[test]
    fn a_transaction_is_a_write_if_either_way_through_it_can_write() {
        let read = Range::new(KeyRange::key("r"));
        let put = Put {
            previous: true,
            ..Put::new("p", "")
        };
        check(&Txn::new(), false, "");
        check(
            &Txn::new().when(Compare::absent("c")).then(read.clone()),
            false,
            "read c, read r",
        );
        check(&Txn::new().or_else(put), true, "write p, read p");
        check(
            &Txn::new().then(Txn::new().or_else(Delete::new(KeyRange::key("d")))),
            true,
            "write d",
        );
        check(&Txn::new().then(Txn::new().then(read)), false, "read r");
    }
}
