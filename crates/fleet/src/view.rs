//! A view: all that the store said at one of its revisions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{Config, Texts, digest};
use crate::key::{ConfigName, Folder, Key, Prefix};
use crate::plain::{plain, plain_bytes};
use crate::record::canary::CanaryRecord;
use crate::record::certificate::CertificateRecord;
use crate::record::dial::DialRecord;
use crate::record::drain::DrainRecord;
use crate::record::instance::InstanceRecord;
use crate::record::revision::{RevisionRecord, TextsRecord};
use crate::record::rollout::RolloutRecord;
use crate::record::{Record, WriteId};
use crate::store::{Compare, StoreRevision};
use crate::text::{Digest, Parts, TextError};

/// The highest number of a revision: JSON numbers are exact up to here, and no fleet gets this far.
pub const NUMBER_MAX: u64 = 1 << 53;

/// A value, with the revision of its last change.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept<T: ?Sized> {
    /// The value.
    pub value: Arc<T>,
    /// When it was changed last.
    pub modified: StoreRevision,
}

impl<T: ?Sized> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
            modified: self.modified,
        }
    }
}

/// Values of one kind. Views share those that did not change between them.
pub type Shelf<K, T> = Arc<BTreeMap<K, Kept<T>>>;

/// A service with one of its endpoints, as keys name them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointName {
    /// The service.
    pub service: String,
    /// The endpoint: host and port, as in the config.
    pub endpoint: String,
}

impl EndpointName {
    /// Its key.
    pub fn key(&self) -> Key {
        Key::Endpoint {
            service: self.service.clone(),
            endpoint: self.endpoint.clone(),
        }
    }
}

/// A key whose value is of no use, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The key, as the store has it, but for what a terminal would obey.
    pub key: String,
    /// The reason, likewise.
    pub why: String,
}

/// The most characters of a key, and of a reason, that are told.
const TOLD_CHARS_MAX: usize = 300;

impl Trouble {
    pub(crate) fn new(key: &[u8], why: &str) -> Self {
        Self {
            key: plain_bytes(key, TOLD_CHARS_MAX),
            why: plain(why, TOLD_CHARS_MAX),
        }
    }
}

/// The right of a leader to write: its key in the election, which has to exist since then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The key.
    pub key: String,
    /// When it began to exist.
    pub created: StoreRevision,
}

impl Fence {
    /// The condition that this is still so.
    pub fn compare(&self) -> Compare {
        Compare::Created {
            key: self.key.clone(),
            at: self.created,
        }
    }
}

/// The instance that leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// Its id.
    pub instance: Arc<str>,
    /// Its right to write.
    pub fence: Fence,
}

/// All that the store said at one of its revisions.
#[derive(Debug, Clone)]
pub struct View {
    /// The fleet's prefix.
    pub prefix: Prefix,
    /// The revision.
    pub at: StoreRevision,
    /// The last revision that changed rules: anything but instances and candidates, so that instances which report what they
    /// obey do not make each other report. After a reading of all keys, its revision.
    pub rules: StoreRevision,
    /// The config; `None` if there is none. While the store's is not complete, it is the last that was.
    pub config: Option<Arc<Config>>,
    /// The reason that [`config`](Self::config) is not what lies in the store.
    pub config_trouble: Option<Trouble>,
    /// The names of all texts in the store, with the revisions of their last changes.
    pub config_keys: Arc<BTreeMap<ConfigName, StoreRevision>>,
    /// The texts in the store that lie in parts.
    pub config_parts: Arc<BTreeMap<ConfigName, Parts>>,
    /// The names of texts that were deleted, with the revisions at which they were; the newest
    /// [`TEXTS_MAX`](crate::config::TEXTS_MAX) since all keys were read.
    pub config_gone: Arc<BTreeMap<ConfigName, StoreRevision>>,
    /// Live weights by route.
    pub dials: Shelf<Arc<str>, DialRecord>,
    /// Drained endpoints.
    pub drains: Shelf<EndpointName, DrainRecord>,
    /// Rollouts by route.
    pub rollouts: Shelf<Arc<str>, RolloutRecord>,
    /// Applied configs by number.
    pub revisions: Shelf<u64, RevisionRecord>,
    /// The instances that live, by id.
    pub instances: Shelf<Arc<str>, InstanceRecord>,
    /// The candidates of the election, with their instances; the first of them leads.
    pub candidates: Arc<BTreeMap<(StoreRevision, String), Arc<str>>>,
    /// The config that some instances try, or tried last.
    pub canary: Option<Kept<CanaryRecord>>,
    /// Its texts, while it is under way.
    pub canary_config: Option<Arc<Config>>,
    /// Sealed certificates by name.
    pub certificates: Shelf<Arc<str>, CertificateRecord>,
    /// Parts of large texts.
    pub parts: Shelf<(Digest, u32), [u8]>,
    /// When texts were swept last.
    pub swept: StoreRevision,
    /// Keys whose values are of no use, with the revisions of their last changes. Such a key counts as absent.
    pub damaged: Arc<BTreeMap<Key, (StoreRevision, Trouble)>>,
    /// Keys in folders of the fleet that are none of its keys; not all, if there are many.
    pub astray: Arc<BTreeMap<Vec<u8>, Trouble>>,
}

impl View {
    /// The view of an empty store.
    pub fn empty(prefix: Prefix) -> Self {
        Self {
            prefix,
            at: StoreRevision::default(),
            rules: StoreRevision::default(),
            config: None,
            config_trouble: None,
            config_keys: Arc::default(),
            config_parts: Arc::default(),
            config_gone: Arc::default(),
            dials: Arc::default(),
            drains: Arc::default(),
            rollouts: Arc::default(),
            revisions: Arc::default(),
            instances: Arc::default(),
            candidates: Arc::default(),
            canary: None,
            canary_config: None,
            certificates: Arc::default(),
            parts: Arc::default(),
            swept: StoreRevision::default(),
            damaged: Arc::default(),
            astray: Arc::default(),
        }
    }

    /// The instance that leads. It may not know yet, or not any more: what it writes is fenced.
    pub fn leader(&self) -> Option<Leader> {
        let ((created, key), instance) = self.candidates.first_key_value()?;
        Some(Leader {
            instance: instance.clone(),
            fence: Fence {
                key: key.clone(),
                created: *created,
            },
        })
    }

    /// The right to write of an instance that leads by a candidate's key; `None` if another one leads.
    pub fn fence_of(&self, instance: &str, key: &str) -> Option<Fence> {
        let leader = self.leader()?;
        (*leader.instance == *instance && leader.fence.key == key).then_some(leader.fence)
    }

    /// The config that an instance has to obey: that which it tries for the fleet, or that of all.
    pub fn config_of(&self, instance: &str) -> Option<&Arc<Config>> {
        let canary = self.canary.as_ref();
        let is_canary = canary.is_some_and(|canary| canary.value.is_tried_by(instance));
        match (&self.canary_config, is_canary) {
            (Some(config), true) => Some(config),
            _ => self.config.as_ref(),
        }
    }

    /// The texts that count together with those of `names`, as the same transaction changed them last: all of `names`, and others
    /// of the store or of `before`, which may be gone from it. Of one whose deletion was not seen, it may be so.
    pub fn changed_with(
        &self,
        names: &BTreeSet<ConfigName>,
        before: &BTreeSet<ConfigName>,
    ) -> BTreeSet<ConfigName> {
        let changed_at =
            |name: &ConfigName| self.config_keys.get(name).or_else(|| self.config_gone.get(name));
        let revisions: BTreeSet<StoreRevision> = names.iter().filter_map(changed_at).copied().collect();
        let all = self.config_keys.keys().chain(before);
        all.filter(|name| {
            let at = changed_at(name);
            names.contains(*name) || at.is_none_or(|at| revisions.contains(at)) && !names.is_empty()
        })
        .cloned()
        .collect()
    }

    /// The number of the config's revision: the newest one with its texts. `None` while none is made of it.
    pub fn revision(&self) -> Option<u64> {
        let digest = self.config.as_ref()?.digest;
        let mut newest_first = self.revisions.iter().rev();
        newest_first
            .find(|(_, revision)| revision.value.texts.digest == digest)
            .map(|(number, _)| *number)
    }

    /// The number of the next revision; `None` if there are no more numbers.
    pub fn next_revision(&self) -> Option<u64> {
        let good = self.revisions.last_key_value().map(|(number, _)| *number);
        let damaged = self.damaged.keys().filter_map(|key| match key {
            // A number beyond is not given.
            Key::Revision(number) if *number <= NUMBER_MAX => Some(*number),
            _ => None,
        });
        let next = damaged.chain(good).max().unwrap_or(0) + 1;
        (next <= NUMBER_MAX).then_some(next)
    }

    /// The texts that a record says or refers to.
    ///
    /// # Errors
    /// A part is missing or damaged, or the texts are not those of the record.
    pub fn texts(&self, record: &TextsRecord) -> Result<Texts, TextError> {
        let mut texts = Texts::new();
        let mut rest = record.text.as_bytes();
        for (name, length) in &record.files {
            let text: Arc<[u8]> = match record.parts.get(name) {
                Some(parts) => {
                    let text = parts.join(|number| {
                        let part = self.parts.get(&(parts.digest, number))?;
                        Some(&*part.value)
                    })?;
                    text.into_bytes().into()
                }
                None => {
                    let (text, after) = rest.split_at_checked(*length).ok_or(TextError::Damaged)?;
                    rest = after;
                    text.into()
                }
            };
            texts.insert(name.clone(), text);
        }
        if !rest.is_empty() || digest(&texts) != record.digest {
            return Err(TextError::Damaged);
        }
        Ok(texts)
    }

    /// When a key was changed last; 0 if it does not exist. Unknown, and 0, for keys of the election.
    pub fn modified(&self, key: &Key) -> StoreRevision {
        fn at<K, Q, T: ?Sized>(shelf: &BTreeMap<K, Kept<T>>, key: &Q) -> Option<StoreRevision>
        where
            K: Ord + std::borrow::Borrow<Q>,
            Q: Ord + ?Sized,
        {
            shelf.get(key).map(|kept| kept.modified)
        }
        let known = match key {
            Key::Config(name) => self.config_keys.get(name).copied(),
            Key::Text(digest, part) => self.parts.get(&(*digest, *part)).map(|kept| kept.modified),
            Key::Revision(number) => at(&self.revisions, number),
            Key::Dial(route) => at(&self.dials, &**route),
            Key::Endpoint { service, endpoint } => {
                let name = EndpointName {
                    service: service.clone(),
                    endpoint: endpoint.clone(),
                };
                at(&self.drains, &name)
            }
            Key::Rollout(route) => at(&self.rollouts, &**route),
            Key::Instance(id) => at(&self.instances, &**id),
            Key::Candidate(_) => None,
            Key::Canary => self.canary.as_ref().map(|canary| canary.modified),
            Key::Certificate(name) => at(&self.certificates, &**name),
            Key::Sweep => Some(self.swept),
        };
        known
            .or_else(|| self.damaged.get(key).map(|(modified, _)| *modified))
            .unwrap_or_default()
    }

    /// Returns true if a record is of this write, or says that it happened.
    pub fn has_written(&self, write: &WriteId) -> bool {
        fn any<K, T: Record>(shelf: &BTreeMap<K, Kept<T>>, write: &WriteId) -> bool {
            shelf.values().any(|kept| kept.value.write() == Some(write))
        }
        let canary = self.canary.as_ref();
        any(&self.revisions, write)
            || any(&self.drains, write)
            || any(&self.rollouts, write)
            || any(&self.certificates, write)
            || self.dials.values().any(|dial| dial.value.has(write))
            || canary.is_some_and(|canary| canary.value.id == *write || canary.value.write() == Some(write))
    }

    /// The condition that a key is as in this view.
    pub fn unchanged(&self, key: &Key) -> Compare {
        Compare::Unchanged {
            key: self.prefix.encode(key),
            at: self.modified(key),
        }
    }

    /// The condition that no key of a folder was written since this view.
    pub fn nothing_written(&self, folder: Folder) -> Compare {
        Compare::NothingWritten {
            folder: self.prefix.folder(folder),
            since: self.at,
        }
    }

    /// Keys whose values are of no use, and why.
    pub fn troubles(&self) -> impl Iterator<Item = &Trouble> {
        let damaged = self.damaged.values().map(|(_, trouble)| trouble);
        self.config_trouble
            .iter()
            .chain(damaged)
            .chain(self.astray.values())
    }
}
