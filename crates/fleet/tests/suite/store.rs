//! A store in memory: transactions as etcd carries them out, and its changes by revision.

use std::collections::BTreeMap;

use waypost_fleet::key::Folder;
use waypost_fleet::store::{Change, Compare, Entry, StoreRevision, Transaction, Write};

use crate::promises::prefix;

/// A store in memory.
#[derive(Debug, Default)]
pub(crate) struct Store {
    keys: BTreeMap<Vec<u8>, Entry>,
    at: i64,
    /// The changes of each revision from 1 on.
    log: Vec<Vec<Change>>,
}

impl Store {
    /// The present revision.
    pub(crate) fn at(&self) -> StoreRevision {
        StoreRevision(self.at)
    }

    /// All keys.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.keys.values().cloned().collect()
    }

    /// The keys that begin so.
    pub(crate) fn folder<'s>(&'s self, folder: &'s str) -> impl Iterator<Item = &'s Entry> {
        let from = self.keys.range(folder.as_bytes().to_vec()..);
        from.map(|(_, entry)| entry)
            .take_while(move |entry| entry.key.starts_with(folder.as_bytes()))
    }

    /// The changes of a revision.
    pub(crate) fn changes(&self, at: StoreRevision) -> &[Change] {
        &self.log[usize::try_from(at.0 - 1).unwrap()]
    }

    /// Carries a transaction out, if its conditions hold.
    pub(crate) fn commit(&mut self, transaction: &Transaction) -> bool {
        let holds = transaction.compares.iter().all(|compare| self.holds(compare));
        if holds {
            self.write(&transaction.writes);
        }
        holds
    }

    /// Writes at one revision.
    pub(crate) fn write(&mut self, writes: &[Write]) {
        let at = StoreRevision(self.at + 1);
        let mut changes = Vec::new();
        for write in writes {
            match write {
                Write::Put { key, value } => {
                    let key = key.as_bytes().to_vec();
                    let created = self.keys.get(&key).map_or(at, |known| known.created);
                    let entry = Entry {
                        key: key.clone(),
                        value: value.clone(),
                        created,
                        modified: at,
                        is_leased: [Folder::Instances, Folder::Leader]
                            .iter()
                            .any(|folder| key.starts_with(prefix().folder(*folder).as_bytes())),
                    };
                    self.keys.insert(key, entry.clone());
                    changes.push(Change::Put(entry));
                }
                Write::Delete { key } => {
                    if let Some((key, _)) = self.keys.remove_entry(key.as_bytes()) {
                        changes.push(Change::Delete(key));
                    }
                }
            }
        }
        // As etcd has it, a transaction that changes nothing makes no revision.
        if !changes.is_empty() {
            self.at = at.0;
            self.log.push(changes);
        }
    }

    pub(crate) fn put(&mut self, key: &str, value: impl Into<Vec<u8>>) {
        self.write(&[Write::Put {
            key: key.to_owned(),
            value: value.into(),
        }]);
    }

    pub(crate) fn delete(&mut self, key: &str) {
        self.write(&[Write::Delete { key: key.to_owned() }]);
    }

    fn holds(&self, compare: &Compare) -> bool {
        let find = |key: &str| self.keys.get(key.as_bytes());
        match compare {
            Compare::Unchanged { key, at } => {
                find(key).map_or(StoreRevision(0), |entry| entry.modified) == *at
            }
            Compare::Created { key, at } => find(key).map_or(StoreRevision(0), |entry| entry.created) == *at,
            Compare::NothingWritten { folder, since } => {
                self.folder(folder).all(|entry| entry.modified <= *since)
            }
        }
    }
}
