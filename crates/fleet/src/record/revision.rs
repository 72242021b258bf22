//! `revisions/N`: a config that was applied.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::key::ConfigName;
use crate::record::{Record, RecordError, WriteId, at_most, clean_sentence, ensure, name};
use crate::text::{Digest, Parts, TEXT_BYTES_MAX};

/// The most texts of a revision.
const TEXTS_MAX: usize = 10_000;

/// The time, origin and reason of a revision: all that its texts do not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// When it was applied.
    pub time: Timestamp,
    /// The origin, such as `api`.
    pub origin: String,
    /// The hash of its texts, as the gateway shows it.
    pub hash: String,
    /// The difference to the one before in words.
    #[serde(default)]
    pub summary: String,
    /// The user that applied it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A config that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionRecord {
    /// The circumstances.
    #[serde(flatten)]
    pub draft: Draft,
    /// The write that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<WriteId>,
    /// Its texts.
    #[serde(flatten)]
    pub texts: TextsRecord,
}

/// The texts of a config in a record: small ones one behind the other in the record itself, others in parts, which records
/// share where a text did not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextsRecord {
    /// The digest of names and texts.
    pub digest: Digest,
    /// Names and lengths.
    pub files: BTreeMap<ConfigName, usize>,
    /// The texts that do not lie in parts, in the order of their names.
    #[serde(default)]
    pub text: String,
    /// The places of the others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<ConfigName, Parts>,
}

impl Draft {
    pub(crate) fn check(&self) -> Result<(), RecordError> {
        name(&self.origin, "origin")?;
        name(&self.hash, "hash")?;
        self.by.as_ref().map_or(Ok(()), |by| name(by, "by"))
    }

    pub(crate) fn clean(&mut self) {
        clean_sentence(&mut self.summary);
    }
}

impl TextsRecord {
    pub(crate) fn check(&self) -> Result<(), RecordError> {
        let names: Vec<&ConfigName> = self.files.keys().collect();
        at_most(&names, TEXTS_MAX, "files")?;
        let bytes = self.bytes();
        ensure(
            bytes.is_some_and(|bytes| bytes <= TEXT_BYTES_MAX),
            "files",
            "the texts are too large",
        )?;
        let is_known = |name| self.files.contains_key(name);
        ensure(
            self.parts.keys().all(is_known),
            "parts",
            "a name is not in `files`",
        )?;
        let inside = self
            .files
            .iter()
            .filter(|(name, _)| !self.parts.contains_key(name));
        ensure(
            inside.map(|(_, length)| length).sum::<usize>() == self.text.len(),
            "text",
            "its length is not that of the texts in it",
        )
    }

    /// The bytes of all texts; `None` if they are too many to be counted.
    pub fn bytes(&self) -> Option<usize> {
        self.files
            .values()
            .try_fold(0_usize, |sum, length| sum.checked_add(*length))
    }
}

impl Record for RevisionRecord {
    fn check(&self) -> Result<(), RecordError> {
        self.draft.check()?;
        self.texts.check()
    }

    fn clean(&mut self) {
        self.draft.clean();
    }

    fn write(&self) -> Option<&WriteId> {
        self.write.as_ref()
    }
}
