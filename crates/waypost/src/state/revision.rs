//! A revision: a config that was applied, without its texts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A config that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revision {
    pub(crate) number: u64,
    pub(crate) time: Timestamp,
    pub(crate) origin: Origin,
    pub(crate) hash: String,
    pub(crate) summary: String,
    /// The user that requested it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    pub(in crate::state) is_directory: bool,
    /// Names and lengths of the texts.
    pub(in crate::state) files: Vec<(String, usize)>,
}

/// The origin of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// A start, or a change of the source.
    File,
    /// The admin API.
    Api,
    /// A rollback.
    Rollback,
    /// The end of a wait for confirmation.
    Revert,
    /// The end of a rollout.
    Rollout,
    /// A change of a fleet's config in etcd that no instance has made.
    Etcd,
}

impl Origin {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Api => "api",
            Self::Rollback => "rollback",
            Self::Revert => "revert",
            Self::Rollout => "rollout",
            Self::Etcd => "etcd",
        }
    }
}
