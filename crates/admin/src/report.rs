//! The state of the gateway, as the control plane reports it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The report that the control plane keeps up to date.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// The path of the config.
    pub config: PathBuf,
    /// True if the config is a directory.
    pub is_directory: bool,
    /// The last failed load, until one succeeds.
    pub failed: Option<FailedLoad>,
    /// The change that awaits confirmation.
    pub pending: Option<Pending>,
    /// True while another process is about to take over.
    pub upgrading: bool,
    /// The last upgrade of this process, which has failed.
    pub failed_upgrade: Option<FailedUpgrade>,
    /// The state directory.
    pub state: StateReport,
    /// Number of applied configs, including the first.
    pub applied: u64,
    /// Number of refused configs.
    pub refused: u64,
    /// Errors of files, such as certificates, whose last good version stays in use.
    pub stale_files: Vec<String>,
    /// Key sets that are fetched, by URL.
    pub key_sets: BTreeMap<String, KeySetReport>,
    /// Addresses of the listeners, by the text of their `bind`.
    pub listening: Vec<(String, String)>,
    /// Rollouts under way.
    pub rollouts: Vec<RolloutReport>,
    /// Ends of rollouts so far, by route and by state: `finished`, `rolled_back` or `aborted`.
    pub verdicts: BTreeMap<(String, &'static str), u64>,
    /// Notifications of rollouts so far, by result: `delivered`, `failed` or `dropped`.
    pub notifications: BTreeMap<&'static str, u64>,
}

/// A key set that is fetched, and verifies tokens.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct KeySetReport {
    /// The URL, without its query.
    pub url: String,
    /// The number of keys in use.
    pub keys: usize,
    /// The number of keys that are not used, as they cannot verify tokens here.
    pub skipped: usize,
    /// The time of the last fetch that succeeded.
    #[schemars(with = "Option<String>")]
    pub fetched: Option<Timestamp>,
    /// The error of the last fetch, if it failed. The last key set stays in use; while there has never been one, requests with
    /// tokens get 503.
    pub error: Option<String>,
    /// The number of fetches.
    pub fetches: u64,
    /// The number of fetches that failed.
    pub failures: u64,
}

/// A rollout under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutReport {
    /// The route.
    pub route: String,
    /// The service that is rolled out.
    pub canary: String,
    /// The number of the step, from 1; 0 before the first.
    pub step: usize,
    /// The number of steps.
    pub steps: usize,
    /// The share of the canary, 0 to 1.
    pub share: f64,
    /// The evidence that the canary is worse than tolerated.
    pub evidence: f64,
    /// True if it takes no steps until `resume`.
    pub paused: bool,
    /// The evidence in words, once it is more than chance often brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspicion: Option<String>,
}

impl KeySetReport {
    /// The state of a set whose last fetch failed, in a sentence.
    pub fn stale(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        Some(match self.fetched {
            Some(fetched) => format!(
                "the key set `{}` cannot be fetched: {error}; that of {fetched:.0} stays in use",
                self.url
            ),
            None => format!(
                "the key set `{}` cannot be fetched: {error}; its tokens cannot be verified",
                self.url
            ),
        })
    }
}

impl RolloutReport {
    /// The share of the canary in percent, without the noise of binary fractions.
    pub fn percent(&self) -> f64 {
        (self.share * 100_000.0).round() / 1000.0
    }
}

/// A refused config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedLoad {
    /// The time of the load.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// The reason, in one sentence.
    pub message: String,
    /// Diagnostics, as `waypost check --format json` prints them.
    pub diagnostics: Vec<serde_json::Value>,
}

/// An upgrade that failed, and changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedUpgrade {
    /// The time of the failure.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// The reason, in one sentence.
    pub message: String,
    /// The client that asked for it.
    pub by: String,
}

/// A change that awaits confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pending {
    /// The revision that is active until then.
    pub revision: u64,
    /// The time at which it is reverted.
    #[schemars(with = "String")]
    pub reverts_at: Timestamp,
    /// The revision whose text is restored then.
    pub reverts_to: u64,
    /// The client that applied it.
    pub by: String,
}

/// The directory of revisions and dials.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct StateReport {
    /// The directory.
    pub directory: String,
    /// True unless the last write failed.
    pub writable: bool,
    /// Errors of the state directory.
    pub troubles: Vec<String>,
    /// Damaged files that were set aside.
    pub damaged: Vec<DamagedFile>,
}

/// A state file whose content is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DamagedFile {
    /// Its path.
    pub file: String,
    /// The path it was moved to.
    pub now: String,
    /// The fault.
    pub why: String,
}
