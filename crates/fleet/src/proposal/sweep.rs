//! Sweeping: old revisions, parts of texts that nothing refers to, and what has ended with a config are deleted by the leader.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::key::{Folder, Key};
use crate::proposal::{Intent, State};
use crate::record::WriteId;
use crate::store::{Compare, OPERATIONS_MAX, Transaction, Write};
use crate::text::{Digest, TEXT_BYTES_MAX};
use crate::view::{Fence, View};

/// The number of revisions that are kept.
pub const REVISIONS_KEPT: usize = 100;

/// The bytes of revisions that are kept, counting each text once; the newest ones are kept in any case. Every instance has
/// them in memory, and etcd in its 2 GiB.
pub const REVISION_BYTES_KEPT: usize = 8 * TEXT_BYTES_MAX;

/// The number of revisions that are kept however large they are.
const NEWEST_KEPT: usize = 3;

/// The time for which parts lie without anything that refers to them: an instance may be about to.
const UNREFERRED: Duration = Duration::from_secs(120);

/// The most deletions in one transaction.
const DELETIONS_MAX: usize = OPERATIONS_MAX / 2;

/// The most dials, and the most drained endpoints, in one transaction: the records of dials have their history.
const ENDED_MAX: usize = 16;

/// Observations of texts that nothing refers to.
#[derive(Debug, Default)]
pub struct Sweeper {
    /// When each was seen first.
    unreferred: BTreeMap<Digest, Duration>,
}

impl Sweeper {
    /// The next deletions, if there are any. `now` is the time since any fixed point.
    pub fn step(
        &mut self,
        view: &View,
        fence: &Fence,
        now: Duration,
        write: &WriteId,
    ) -> Option<Transaction> {
        let revisions = old_revisions(view);
        if !revisions.is_empty() {
            let keys = revisions.into_iter().take(DELETIONS_MAX).map(Key::Revision);
            return Some(deletion(view, fence, keys));
        }
        let referred = referred(view);
        let lying: BTreeSet<Digest> = view.parts.keys().map(|(digest, _)| *digest).collect();
        self.unreferred
            .retain(|digest, _| lying.contains(digest) && !referred.contains(digest));
        for digest in lying.difference(&referred) {
            self.unreferred.entry(*digest).or_insert(now);
        }
        let due = self
            .unreferred
            .iter()
            .filter(|(_, since)| now.saturating_sub(**since) >= UNREFERRED);
        let due: BTreeSet<Digest> = due.map(|(digest, _)| *digest).collect();
        let keys = view
            .parts
            .keys()
            .filter(|(digest, _)| due.contains(digest))
            .take(DELETIONS_MAX)
            .map(|(digest, part)| Key::Text(*digest, *part));
        let keys: Vec<Key> = keys.collect();
        if keys.is_empty() {
            return None;
        }
        let mut transaction = deletion(view, fence, keys.into_iter());
        // Nothing may refer to them since, and who is about to has to notice.
        transaction.compares.extend([
            view.nothing_written(Folder::Config),
            view.nothing_written(Folder::Revisions),
            view.unchanged(&Key::Canary),
        ]);
        transaction.writes.push(Write::Put {
            key: view.prefix.encode(&Key::Sweep),
            value: write.as_str().into(),
        });
        Some(transaction)
    }
}

/// Writes what has ended with a config: dials of splits that it does not have, drained endpoints that it does not name. No
/// instance obeys them any more, so it does not matter when it happens, nor if all at once. What is not as in `view` by then
/// is another one's, and stays.
pub fn ended(view: &View, ended: State, fence: &Fence, write: &WriteId) -> Vec<Transaction> {
    let (mut dials, mut drains) = (ended.dials.into_iter(), ended.drains.into_iter());
    let portions = std::iter::from_fn(|| {
        let portion = State {
            dials: dials.by_ref().take(ENDED_MAX).collect(),
            drains: drains.by_ref().take(ENDED_MAX).collect(),
            fence: Some(fence.clone()),
            ..State::default()
        };
        (!portion.dials.is_empty() || !portion.drains.is_empty()).then_some(portion)
    });
    let proposals = portions.filter_map(|portion| Intent::State(portion).plan(view, write).ok());
    proposals.map(|proposal| proposal.main).collect()
}

/// The revisions beyond those that are kept, the oldest first.
fn old_revisions(view: &View) -> Vec<u64> {
    let mut seen = BTreeSet::new();
    let mut bytes = 0;
    let mut old = Vec::new();
    for (position, (number, revision)) in view.revisions.iter().rev().enumerate() {
        let texts = &revision.value.texts;
        bytes += texts.text.len();
        for (name, parts) in &texts.parts {
            if seen.insert(parts.digest) {
                bytes += texts.files.get(name).copied().unwrap_or(0);
            }
        }
        let is_large = bytes > REVISION_BYTES_KEPT && position >= NEWEST_KEPT;
        if position >= REVISIONS_KEPT || is_large {
            old.push(*number);
        }
    }
    old.reverse();
    old
}

/// The texts in parts that something refers to.
fn referred(view: &View) -> BTreeSet<Digest> {
    let revisions = view.revisions.values().map(|kept| &kept.value.texts);
    let canary = view.canary.as_ref().map(|canary| &canary.value.texts);
    let of_records = revisions
        .chain(canary)
        .flat_map(|texts| texts.parts.values().copied());
    let of_config = view.config_parts.values().copied();
    of_records.chain(of_config).map(|parts| parts.digest).collect()
}

/// Deletes keys that are as in the view, while the leader leads.
fn deletion(view: &View, fence: &Fence, keys: impl Iterator<Item = Key>) -> Transaction {
    let mut transaction = Transaction {
        compares: vec![fence.compare()],
        writes: Vec::new(),
    };
    for key in keys {
        transaction.compares.push(Compare::Unchanged {
            key: view.prefix.encode(&key),
            at: view.modified(&key),
        });
        transaction.writes.push(Write::Delete {
            key: view.prefix.encode(&key),
        });
    }
    transaction
}
