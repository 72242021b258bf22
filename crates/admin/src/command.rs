//! What the API asks of whoever owns the gateway.
//!
//! Commands are carried out one after the other, in the order in which they come, together with reloads: nobody
//! sees half of two changes.

use std::time::Duration;

use axum::body::Bytes;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::problem::Problem;

/// Where the answer to a command goes.
pub type Reply<T> = oneshot::Sender<Result<T, Problem>>;

/// Something to be done.
#[derive(Debug)]
pub enum Command {
    /// Turn the dial of a route.
    Dial {
        /// The route.
        route: String,
        /// Weights by service; one that is not named gets 0. `None` is back to what the config declares.
        weights: Option<Vec<(String, u64)>>,
        /// Who asks.
        by: String,
        /// The answer.
        reply: Reply<Dialed>,
    },
    /// The dial of a route, and how it came to be.
    DialOf {
        /// The route.
        route: String,
        /// The answer.
        reply: Reply<DialHistory>,
    },
    /// Read the config that is in force.
    ReadConfig {
        /// The answer.
        reply: Reply<ConfigTexts>,
    },
    /// Replace the config.
    Apply {
        /// By what, and how.
        change: Change,
        /// The answer.
        reply: Reply<Applied>,
    },
    /// Keep a config that waits to be confirmed.
    Confirm {
        /// Who asks.
        by: String,
        /// The answer.
        reply: Reply<Applied>,
    },
    /// List the revisions.
    Revisions {
        /// The answer, the newest first.
        reply: Reply<Vec<Revision>>,
    },
    /// Read a revision.
    Revision {
        /// Which.
        number: u64,
        /// The answer.
        reply: Reply<RevisionTexts>,
    },
    /// Apply a revision again.
    Rollback {
        /// Which.
        number: u64,
        /// Who asks.
        by: String,
        /// The answer.
        reply: Reply<Applied>,
    },
}

/// A change of the config.
#[derive(Debug)]
pub struct Change {
    /// What is replaced.
    pub what: Replaced,
    /// The hashes of what the client believes to replace; `*` is anything.
    pub if_match: Vec<String>,
    /// Whether it is only tried.
    pub dry_run: bool,
    /// How long it is in force without being confirmed; `None` for good.
    pub confirm: Option<Duration>,
    /// Who asks.
    pub by: String,
}

/// What a change replaces.
#[derive(Debug)]
pub enum Replaced {
    /// The text of a config that is one file.
    Text(Vec<u8>),
    /// One file, by name.
    File(String, Vec<u8>),
    /// All files of a config that is a directory, by name.
    Files(Vec<(String, Vec<u8>)>),
}

/// A config as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigTexts {
    /// Identifies the whole.
    pub hash: String,
    /// The revision.
    pub revision: u64,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// The files.
    pub files: Vec<ConfigFile>,
}

/// One file of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// The name, without directories.
    pub name: String,
    /// Identifies its text.
    pub hash: String,
    /// The text, byte for byte; shared by all who read it.
    pub text: Bytes,
}

/// One arm of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArmView {
    /// The service.
    pub service: String,
    /// The weight that the config declares.
    pub declared: u64,
    /// The weight that is live.
    pub live: u64,
}

/// A dial that was turned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dialed {
    /// The route.
    pub name: String,
    /// The weights as they were, by service.
    pub before: Vec<Weight>,
    /// The weights as they are.
    pub arms: Vec<ArmView>,
    /// Who turned it.
    pub by: String,
}

/// The weight of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Weight {
    /// The service.
    pub service: String,
    /// Its weight.
    pub weight: u64,
}

/// The dial of a route, and how it came to be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DialHistory {
    /// The turns that are remembered, the latest first.
    pub turns: Vec<Turn>,
}

/// One turn of a dial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Turn {
    /// When.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// The weights before.
    pub before: Vec<Weight>,
    /// The weights after.
    pub after: Vec<Weight>,
    /// Who turned it.
    pub by: String,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Applied {
    /// The revision that is in force now; of a dry run, the one that stays in force.
    pub revision: u64,
    /// Identifies the text of it, as the `ETag` does.
    pub hash: String,
    /// Whether anything changed.
    pub changed: bool,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// What changes, in one line.
    pub summary: String,
    /// Dials that no longer hold, as the splits that they belong to were changed.
    pub dials_dropped: Vec<String>,
    /// Warnings of the config, as `waypost check --format json` prints them.
    pub warnings: Vec<serde_json::Value>,
    /// When the change is taken back unless it is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub reverts_at: Option<Timestamp>,
}

/// A config that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revision {
    /// Its number.
    pub number: u64,
    /// When it was applied.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// How: `file`, `api`, `rollback` or `revert`.
    pub origin: String,
    /// Identifies its text.
    pub hash: String,
    /// What changed, in one line.
    pub summary: String,
    /// Who asked for it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A revision with its texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionTexts {
    /// What is known of it.
    #[serde(flatten)]
    pub revision: Revision,
    /// Its files.
    pub files: Vec<RevisionFile>,
}

/// A file of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionFile {
    /// The name, without directories.
    pub name: String,
    /// The text.
    pub text: String,
}
