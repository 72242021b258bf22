//! Keys of etcd, as a replica of the fleet takes them.

use waypost_etcd::kv::KeyValue;
use waypost_fleet::store::{Entry, StoreRevision};

/// A key with its value, as it is in etcd.
pub(crate) fn of(kv: KeyValue) -> Entry {
    Entry {
        key: kv.key,
        value: kv.value,
        created: StoreRevision(kv.create_revision.0),
        modified: StoreRevision(kv.mod_revision.0),
        is_leased: kv.lease.is_some(),
    }
}
