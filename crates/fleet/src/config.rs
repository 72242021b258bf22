//! A config as the store has it: texts by name, as in a directory.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::key::ConfigName;
use crate::store::StoreRevision;
use crate::text::Digest;

/// The most texts that a config has in a fleet, as all of them are compared in one transaction.
pub const TEXTS_MAX: usize = 100;

/// The texts of a config, by name.
pub type Texts = BTreeMap<ConfigName, Arc<[u8]>>;

/// A config that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The texts.
    pub texts: Texts,
    /// The digest of names and texts.
    pub digest: Digest,
    /// When a text of it was changed last. Deletions are not seen in it.
    pub modified: StoreRevision,
}

/// The digest of names and texts.
pub fn digest(texts: &Texts) -> Digest {
    let mut lines = String::new();
    for (name, text) in texts {
        let name = name.as_str();
        // Names have no line feeds.
        lines.push_str(&format!("{} {name}\n", Digest::of(text)));
    }
    Digest::of(lines.as_bytes())
}
