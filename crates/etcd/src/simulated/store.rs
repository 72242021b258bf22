//! Keys with all their revisions, as etcd keeps them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::refusal::Refusal;
use crate::key::KeyRange;
use crate::messages::ResponseHeader;
use crate::messages::kv::compare::TargetUnion;
use crate::messages::kv::request_op::Request;
use crate::messages::kv::response_op::Response;
use crate::messages::kv::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest,
    PutResponse, RangeRequest, RangeResponse, RequestOp, ResponseOp, SortOrder, SortTarget, TxnRequest,
    TxnResponse,
};
use crate::messages::watch::{Event, EventType};

/// The revision of an empty store.
const FIRST: i64 = 1;

/// Operations that each part of a transaction may have.
const OPS_MAX: usize = 128;

/// A store.
#[derive(Debug, Clone)]
pub(super) struct Store {
    revision: i64,
    compacted: i64,
    /// Each key with what it was since each of its changes; `None` is deleted. In the order of revisions, not empty.
    keys: BTreeMap<Vec<u8>, Vec<(i64, Option<KeyValue>)>>,
    /// All changes that are not compacted, in order.
    history: Vec<Change>,
}

/// A change of a key.
#[derive(Debug, Clone)]
struct Change {
    revision: i64,
    event: Event,
}

/// Leases that exist.
pub(super) type Leases = BTreeSet<i64>;

impl Store {
    pub(super) fn new() -> Self {
        Self {
            revision: FIRST,
            compacted: 0,
            keys: BTreeMap::new(),
            history: Vec::new(),
        }
    }

    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    pub(super) fn compacted(&self) -> i64 {
        self.compacted
    }

    /// The store as it was at an older revision, as if it was put back from a copy.
    pub(super) fn at(&self, revision: i64) -> Self {
        let mut old = self.clone();
        old.revision = revision.clamp(FIRST, self.revision);
        old.history.retain(|change| change.revision <= revision);
        old.keys.retain(|_, versions| {
            versions.retain(|(at, _)| *at <= revision);
            !versions.is_empty()
        });
        old
    }

    /// The store after so many writes of keys that no test looks at.
    pub(super) fn after_writes(mut self, writes: i64) -> Self {
        self.revision += writes;
        self
    }

    fn header(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader {
            revision: self.revision,
            ..ResponseHeader::default()
        })
    }

    /// Checks what etcd checks before it looks at the store.
    pub(super) fn check_range(request: &RangeRequest) -> Result<(), Refusal> {
        if request.key.is_empty() {
            return Err(Refusal::EmptyKey);
        }
        Ok(())
    }

    pub(super) fn check_put(request: &PutRequest) -> Result<(), Refusal> {
        if request.key.is_empty() {
            return Err(Refusal::EmptyKey);
        }
        if request.ignore_value && !request.value.is_empty() {
            return Err(Refusal::ValueProvided);
        }
        if request.ignore_lease && request.lease != 0 {
            return Err(Refusal::LeaseProvided);
        }
        Ok(())
    }

    pub(super) fn check_delete(request: &DeleteRangeRequest) -> Result<(), Refusal> {
        if request.key.is_empty() {
            return Err(Refusal::EmptyKey);
        }
        Ok(())
    }

    pub(super) fn check_txn(request: &TxnRequest) -> Result<(), Refusal> {
        let lengths = [
            request.compare.len(),
            request.success.len(),
            request.failure.len(),
        ];
        if lengths.iter().any(|length| *length > OPS_MAX) {
            return Err(Refusal::TooManyOps);
        }
        if request.compare.iter().any(|compare| compare.key.is_empty()) {
            return Err(Refusal::EmptyKey);
        }
        for op in request.success.iter().chain(&request.failure) {
            match &op.request {
                Some(Request::Range(request)) => Self::check_range(request)?,
                Some(Request::Put(request)) => Self::check_put(request)?,
                Some(Request::DeleteRange(request)) => Self::check_delete(request)?,
                Some(Request::Txn(request)) => Self::check_txn(request)?,
                None => return Err(Refusal::KeyNotFound),
            }
        }
        for branch in [&request.success, &request.failure] {
            check_duplicates(branch)?;
        }
        Ok(())
    }

    pub(super) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        let revision = match request.revision {
            revision if revision <= 0 => i64::MAX,
            revision if revision > self.revision => return Err(Refusal::FutureRevision),
            revision if revision < self.compacted => return Err(Refusal::Compacted),
            revision => revision,
        };
        let keys = KeyRange::between(&*request.key, &*request.range_end);
        let mut kvs: Vec<&KeyValue> = self
            .in_range(&keys)
            .filter_map(|(_, versions)| at(versions, revision))
            .collect();
        let count = i64::try_from(kvs.len()).unwrap_or(i64::MAX);
        if request.max_create_revision > 0 {
            kvs.retain(|kv| kv.create_revision <= request.max_create_revision);
        }
        sort(&mut kvs, request.sort_order(), request.sort_target());
        let limit = match usize::try_from(request.limit) {
            Ok(limit) if limit > 0 => limit,
            _ => usize::MAX,
        };
        let more = kvs.len() > limit;
        kvs.truncate(limit);
        let kvs = kvs.into_iter().map(|kv| KeyValue {
            value: if request.keys_only {
                Vec::new()
            } else {
                kv.value.clone()
            },
            ..kv.clone()
        });
        Ok(RangeResponse {
            header: self.header(),
            more: more && !request.count_only,
            kvs: if request.count_only {
                Vec::new()
            } else {
                kvs.collect()
            },
            count,
        })
    }

    fn in_range<'a>(
        &'a self,
        keys: &'a KeyRange,
    ) -> impl Iterator<Item = (&'a Vec<u8>, &'a Vec<(i64, Option<KeyValue>)>)> {
        self.keys
            .range(keys.start().to_vec()..)
            .take_while(|(key, _)| keys.contains(key))
    }

    /// A key as it is.
    pub(super) fn get(&self, key: &[u8]) -> Option<&KeyValue> {
        at(self.keys.get(key)?, i64::MAX)
    }

    /// Keys that are attached to a lease.
    pub(super) fn attached(&self, lease: i64) -> Vec<Vec<u8>> {
        let current = self.keys.values().filter_map(|versions| at(versions, i64::MAX));
        current
            .filter(|kv| kv.lease == lease)
            .map(|kv| kv.key.clone())
            .collect()
    }

    pub(super) fn put(&mut self, request: &PutRequest, leases: &Leases) -> Result<PutResponse, Refusal> {
        self.check_apply_put(request, leases)?;
        let response = self.write_put(request, self.revision + 1);
        self.revision += 1;
        Ok(PutResponse {
            header: self.header(),
            ..response
        })
    }

    fn check_apply_put(&self, request: &PutRequest, leases: &Leases) -> Result<(), Refusal> {
        if (request.ignore_value || request.ignore_lease) && self.get(&request.key).is_none() {
            return Err(Refusal::KeyNotFound);
        }
        if request.lease != 0 && !leases.contains(&request.lease) {
            return Err(Refusal::LeaseNotFound);
        }
        Ok(())
    }

    fn write_put(&mut self, request: &PutRequest, revision: i64) -> PutResponse {
        let previous = self.get(&request.key).cloned();
        let kv = KeyValue {
            key: request.key.clone(),
            create_revision: previous.as_ref().map_or(revision, |kv| kv.create_revision),
            mod_revision: revision,
            version: previous.as_ref().map_or(0, |kv| kv.version) + 1,
            value: match &previous {
                Some(previous) if request.ignore_value => previous.value.clone(),
                _ => request.value.clone(),
            },
            lease: match &previous {
                Some(previous) if request.ignore_lease => previous.lease,
                _ => request.lease,
            },
        };
        self.keys
            .entry(kv.key.clone())
            .or_default()
            .push((revision, Some(kv.clone())));
        self.history.push(Change {
            revision,
            event: Event {
                kind: EventType::Put.into(),
                kv: Some(kv),
                prev_kv: previous.clone(),
            },
        });
        PutResponse {
            header: self.header(),
            prev_kv: previous.filter(|_| request.prev_kv),
        }
    }

    pub(super) fn delete(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let response = self.write_delete(request, self.revision + 1);
        if response.deleted > 0 {
            self.revision += 1;
        }
        DeleteRangeResponse {
            header: self.header(),
            ..response
        }
    }

    /// Deletes keys at one revision, such as those of a lease that ends. Returns false if none of them was there.
    pub(super) fn delete_keys(&mut self, keys: Vec<Vec<u8>>) -> bool {
        let revision = self.revision + 1;
        let mut deleted = 0;
        for key in keys {
            let request = DeleteRangeRequest {
                key,
                ..DeleteRangeRequest::default()
            };
            deleted += self.write_delete(&request, revision).deleted;
        }
        if deleted > 0 {
            self.revision = revision;
        }
        deleted > 0
    }

    fn write_delete(&mut self, request: &DeleteRangeRequest, revision: i64) -> DeleteRangeResponse {
        let keys = KeyRange::between(&*request.key, &*request.range_end);
        let previous: Vec<KeyValue> = self
            .in_range(&keys)
            .filter_map(|(_, versions)| at(versions, i64::MAX))
            .cloned()
            .collect();
        for kv in &previous {
            if let Some(versions) = self.keys.get_mut(&kv.key) {
                versions.push((revision, None));
            }
            self.history.push(Change {
                revision,
                event: Event {
                    kind: EventType::Delete.into(),
                    kv: Some(KeyValue {
                        key: kv.key.clone(),
                        mod_revision: revision,
                        ..KeyValue::default()
                    }),
                    prev_kv: Some(kv.clone()),
                },
            });
        }
        DeleteRangeResponse {
            header: self.header(),
            deleted: i64::try_from(previous.len()).unwrap_or(i64::MAX),
            prev_kvs: if request.prev_kv { previous } else { Vec::new() },
        }
    }

    /// Carries out a transaction, or refuses it as a whole.
    pub(super) fn txn(&mut self, request: &TxnRequest, leases: &Leases) -> Result<TxnResponse, Refusal> {
        let mut path = Vec::new();
        self.path(request, &mut path);
        self.check_apply(request, &mut path.iter().copied(), leases)?;
        let revision = self.revision + 1;
        let changes = self.history.len();
        let mut response = self.apply(request, &mut path.into_iter(), revision)?;
        if self.history.len() > changes {
            self.revision = revision;
        }
        response.header = self.header();
        Ok(response)
    }

    /// Which way each transaction goes, the inner ones behind the outer ones. etcd decides before it writes.
    fn path(&self, request: &TxnRequest, path: &mut Vec<bool>) {
        let holds = request.compare.iter().all(|compare| self.holds(compare));
        path.push(holds);
        for op in branch(request, holds) {
            if let Some(Request::Txn(request)) = &op.request {
                self.path(request, path);
            }
        }
    }

    fn holds(&self, compare: &Compare) -> bool {
        let keys = KeyRange::between(&*compare.key, &*compare.range_end);
        let kvs: Vec<&KeyValue> = self
            .in_range(&keys)
            .filter_map(|(_, versions)| at(versions, i64::MAX))
            .collect();
        if kvs.is_empty() {
            return compare.target() != CompareTarget::Value && agrees(compare, &KeyValue::default());
        }
        kvs.into_iter().all(|kv| agrees(compare, kv))
    }

    fn check_apply(
        &self,
        request: &TxnRequest,
        path: &mut impl Iterator<Item = bool>,
        leases: &Leases,
    ) -> Result<(), Refusal> {
        let holds = path.next().unwrap_or_default();
        for op in branch(request, holds) {
            match &op.request {
                Some(Request::Range(request)) if request.revision > self.revision => {
                    return Err(Refusal::FutureRevision);
                }
                Some(Request::Range(request))
                    if request.revision > 0 && request.revision < self.compacted =>
                {
                    return Err(Refusal::Compacted);
                }
                Some(Request::Put(request)) => self.check_apply_put(request, leases)?,
                Some(Request::Txn(request)) => self.check_apply(request, path, leases)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn apply(
        &mut self,
        request: &TxnRequest,
        path: &mut impl Iterator<Item = bool>,
        revision: i64,
    ) -> Result<TxnResponse, Refusal> {
        let succeeded = path.next().unwrap_or_default();
        let mut responses = Vec::new();
        for op in branch(request, succeeded) {
            let response = match &op.request {
                Some(Request::Range(request)) => Response::Range(self.range(request)?),
                Some(Request::Put(request)) => Response::Put(self.write_put(request, revision)),
                Some(Request::DeleteRange(request)) => {
                    Response::DeleteRange(self.write_delete(request, revision))
                }
                Some(Request::Txn(request)) => Response::Txn(self.apply(request, path, revision)?),
                None => continue,
            };
            responses.push(ResponseOp {
                response: Some(response),
            });
        }
        Ok(TxnResponse {
            header: self.header(),
            succeeded,
            responses,
        })
    }

    pub(super) fn compact(&mut self, revision: i64) -> Result<(), Refusal> {
        if revision <= self.compacted {
            return Err(Refusal::Compacted);
        }
        if revision > self.revision {
            return Err(Refusal::FutureRevision);
        }
        self.compacted = revision;
        // At the revision itself, a key is kept as it is, and a deleted one is not.
        self.history.retain(|change| {
            change.revision > revision || change.revision == revision && change.event.kind() == EventType::Put
        });
        self.keys.retain(|_, versions| {
            let kept = versions
                .iter()
                .rposition(|(at, _)| *at <= revision)
                .unwrap_or_default();
            versions.drain(..kept);
            if versions
                .first()
                .is_some_and(|(at, kv)| *at <= revision && kv.is_none())
            {
                versions.remove(0);
            }
            !versions.is_empty()
        });
        Ok(())
    }

    /// Changes of `keys` from a revision on.
    pub(super) fn changes(&self, keys: &KeyRange, from: i64, previous: bool) -> Vec<Event> {
        let begin = self.history.partition_point(|change| change.revision < from);
        let changes = self.history.get(begin..).unwrap_or_default().iter();
        changes
            .filter(|change| {
                let kv = change.event.kv.as_ref();
                kv.is_some_and(|kv| keys.contains(&kv.key))
            })
            .map(|change| {
                let mut event = change.event.clone();
                if !previous || change.revision - 1 < self.compacted {
                    event.prev_kv = None;
                }
                event
            })
            .collect()
    }
}

/// The operations of one way through a transaction.
fn branch(request: &TxnRequest, succeeds: bool) -> &[RequestOp] {
    if succeeds {
        &request.success
    } else {
        &request.failure
    }
}

/// A key as it was at a revision.
fn at(versions: &[(i64, Option<KeyValue>)], revision: i64) -> Option<&KeyValue> {
    let (_, kv) = versions.iter().rev().find(|(at, _)| *at <= revision)?;
    kv.as_ref()
}

fn sort(kvs: &mut [&KeyValue], order: SortOrder, target: SortTarget) {
    // Without an order, keys come by name; with a target alone, etcd sorts upwards.
    let compare = |a: &KeyValue, b: &KeyValue| match target {
        SortTarget::Key => a.key.cmp(&b.key),
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => a.value.cmp(&b.value),
    };
    match order {
        SortOrder::None | SortOrder::Ascend => kvs.sort_by(|a, b| compare(a, b)),
        SortOrder::Descend => kvs.sort_by(|a, b| compare(b, a)),
    }
}

fn agrees(compare: &Compare, kv: &KeyValue) -> bool {
    let operand = compare.target_union.as_ref();
    let order: Ordering = match compare.target() {
        CompareTarget::Version => kv.version.cmp(&match operand {
            Some(TargetUnion::Version(value)) => *value,
            _ => 0,
        }),
        CompareTarget::Create => kv.create_revision.cmp(&match operand {
            Some(TargetUnion::CreateRevision(value)) => *value,
            _ => 0,
        }),
        CompareTarget::Mod => kv.mod_revision.cmp(&match operand {
            Some(TargetUnion::ModRevision(value)) => *value,
            _ => 0,
        }),
        CompareTarget::Lease => kv.lease.cmp(&match operand {
            Some(TargetUnion::Lease(value)) => *value,
            _ => 0,
        }),
        CompareTarget::Value => match operand {
            Some(TargetUnion::Value(value)) => kv.value.cmp(value),
            _ => kv.value.as_slice().cmp(&[]),
        },
    };
    match compare.result() {
        CompareResult::Equal => order.is_eq(),
        CompareResult::NotEqual => order.is_ne(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
    }
}

/// Writes and deletions of a branch, with those of transactions in it.
#[derive(Default)]
struct Touched {
    puts: BTreeSet<Vec<u8>>,
    deletes: Vec<KeyRange>,
}

/// A key may be written once in a transaction, and not be deleted in it too.
fn check_duplicates(ops: &[RequestOp]) -> Result<Touched, Refusal> {
    let mut touched = Touched::default();
    for op in ops {
        match &op.request {
            Some(Request::Put(request)) => {
                touched.put(&request.key)?;
            }
            Some(Request::DeleteRange(request)) => {
                touched
                    .deletes
                    .push(KeyRange::between(&*request.key, &*request.range_end));
            }
            Some(Request::Txn(request)) => {
                // Only one of the two happens, so they may touch the same.
                let success = check_duplicates(&request.success)?;
                let failure = check_duplicates(&request.failure)?;
                let mut both = success.puts;
                both.extend(failure.puts);
                for key in both {
                    touched.put(&key)?;
                }
                touched.deletes.extend(success.deletes);
                touched.deletes.extend(failure.deletes);
            }
            _ => {}
        }
    }
    let is_deleted = |key: &Vec<u8>| touched.deletes.iter().any(|keys| keys.contains(key));
    if touched.puts.iter().any(is_deleted) {
        return Err(Refusal::DuplicateKey);
    }
    Ok(touched)
}

impl Touched {
    fn put(&mut self, key: &[u8]) -> Result<(), Refusal> {
        if !self.puts.insert(key.to_vec()) {
            return Err(Refusal::DuplicateKey);
        }
        Ok(())
    }
}
