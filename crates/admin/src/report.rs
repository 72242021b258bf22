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
    /// Certificates that authorities issue, by an id that stays.
    pub orders: BTreeMap<String, OrderReport>,
    /// Orders of certificates so far that have succeeded.
    pub orders_issued: u64,
    /// Orders of certificates so far that have failed.
    pub orders_failed: u64,
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

/// A certificate that an authority issues to the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderReport {
    /// The hosts that it is for.
    pub hosts: Vec<String>,
    /// URL of the authority's directory.
    pub directory: String,
    /// The state of its orders.
    pub state: OrderState,
    /// The end of the certificate in force, if one was issued.
    #[schemars(with = "Option<String>")]
    pub valid_until: Option<Timestamp>,
    /// The time since when orders fail.
    #[schemars(with = "Option<String>")]
    pub failing_since: Option<Timestamp>,
    /// The number of orders that have failed since then.
    pub failures: u32,
    /// The reason of the last one, in one sentence.
    pub error: Option<String>,
    /// The time of the next order.
    #[schemars(with = "Option<String>")]
    pub next: Option<Timestamp>,
}

/// The state of a certificate's orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// No order is due yet, or another instance orders.
    Waiting,
    /// An order is under way.
    Ordering,
    /// The certificate in force is valid, and renewed in time.
    Valid,
    /// The last order failed.
    Failing,
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

impl OrderReport {
    /// The state of orders that fail, in a sentence.
    pub fn failing(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        let hosts = self.hosts.join(", ");
        let since = match self.failing_since {
            Some(since) => format!(" since {since:.0}"),
            None => String::new(),
        };
        let meanwhile = match self.valid_until {
            Some(until) => format!("the present one is valid until {until:.0}"),
            None => "there is none yet".to_owned(),
        };
        let next = match self.next {
            Some(next) => format!("; the next order is at {next:.0}"),
            None => String::new(),
        };
        Some(format!(
            "orders of a certificate for {hosts} fail{since}: {error}; {meanwhile}{next}"
        ))
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
