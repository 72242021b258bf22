//! The store, as far as the fleet knows it: keys with revisions, changes, and transactions as data.

use serde::{Deserialize, Serialize};

/// The most comparisons, and the most writes, of a transaction. etcd allows 128.
pub const OPERATIONS_MAX: usize = 128;

/// The most bytes of keys and values in a transaction. etcd allows requests of 1.5 MiB.
pub const TRANSACTION_BYTES_MAX: usize = 1280 << 10;

/// A revision of the whole store: every change makes a new one, and all changes of a transaction have the same. 0 is before
/// any change, and that of a key that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreRevision(pub i64);

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
    /// When it began to exist.
    pub created: StoreRevision,
    /// When it was changed last.
    pub modified: StoreRevision,
    /// True if it ends with a lease.
    pub is_leased: bool,
}

/// A change of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was written.
    Put(Entry),
    /// It was deleted, or its lease ended.
    Delete(Vec<u8>),
}

/// A condition of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// The key was changed last at this revision; 0 for a key that does not exist.
    Unchanged {
        /// The key.
        key: String,
        /// The revision.
        at: StoreRevision,
    },
    /// The key exists since this revision.
    Created {
        /// The key.
        key: String,
        /// The revision.
        at: StoreRevision,
    },
    /// No key that begins so was written after this revision. Deletions are not seen.
    NothingWritten {
        /// The beginning, which ends in a slash.
        folder: String,
        /// The revision.
        since: StoreRevision,
    },
}

/// A write of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Writes a value.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
    /// Deletes a key, if it is there.
    Delete {
        /// The key.
        key: String,
    },
}

/// Writes that happen at one revision, if all conditions hold, or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transaction {
    /// The conditions.
    pub compares: Vec<Compare>,
    /// The writes, of different keys.
    pub writes: Vec<Write>,
}

impl Compare {
    /// The key, or the beginning of keys.
    pub fn key(&self) -> &str {
        match self {
            Self::Unchanged { key, .. } | Self::Created { key, .. } => key,
            Self::NothingWritten { folder, .. } => folder,
        }
    }
}

impl Write {
    /// The key.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    /// The bytes of key and value.
    fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value } => key.len() + value.len(),
            Self::Delete { key } => key.len(),
        }
    }
}

impl Transaction {
    /// The bytes of its keys and values.
    pub fn bytes(&self) -> usize {
        let compares = self.compares.iter().map(|compare| compare.key().len());
        compares.chain(self.writes.iter().map(Write::bytes)).sum()
    }
}
