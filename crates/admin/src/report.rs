//! How the gateway is doing, as whoever owns it says.

use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the owner of the gateway keeps up to date.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The config.
    pub config: PathBuf,
    /// Whether the config is a directory.
    pub is_directory: bool,
    /// The last load that failed, until one succeeds.
    pub failed: Option<FailedLoad>,
    /// The change that waits to be confirmed.
    pub pending: Option<Pending>,
    /// Where the state is kept.
    pub state: StateReport,
    /// Configs that came into force, the first one included.
    pub applied: u64,
    /// Configs that were refused.
    pub refused: u64,
    /// What is wrong with files, such as certificates, whose last good version is in use.
    pub stale_files: Vec<String>,
    /// Where the listeners are, by the text of their `bind`.
    pub listening: Vec<(String, String)>,
}

/// A config that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedLoad {
    /// When.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// Why, in a sentence.
    pub message: String,
    /// What is wrong with it, as `waypost check --format json` prints it.
    pub diagnostics: Vec<serde_json::Value>,
}

/// A change that waits to be confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pending {
    /// The revision that is in force for now.
    pub revision: u64,
    /// When it is taken back.
    #[schemars(with = "String")]
    pub reverts_at: Timestamp,
    /// The revision whose text comes back then.
    pub reverts_to: u64,
    /// Who applied it.
    pub by: String,
}

/// Where revisions and dials are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct StateReport {
    /// The directory.
    pub directory: String,
    /// Whether changes can be stored, as far as is known.
    pub writable: bool,
    /// What went wrong.
    pub troubles: Vec<String>,
    /// Files that were found damaged, and were set aside.
    pub damaged: Vec<DamagedFile>,
}

/// A file of the state that was not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DamagedFile {
    /// Where it was.
    pub file: String,
    /// Where it is now.
    pub now: String,
    /// What is wrong with it.
    pub why: String,
}
