//! A canary: a config that some instances of a fleet try before all take it, or none does.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A config that some instances try, or tried last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CanaryView {
    /// Its id.
    pub id: String,
    /// `taking` while instances take it; `holding` while all of them have it and are healthy; `passed` once it is the config of
    /// all; `taken_back` if it was taken back.
    pub stage: CanaryStage,
    /// The instances that try it; the first is the one that was asked.
    pub instances: Vec<CanaryInstance>,
    /// The time in milliseconds that it has to be healthy at all of them.
    pub hold_ms: u64,
    /// The time at which it was begun.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// The client that began it, if known.
    pub by: Option<String>,
    /// Summary of the changes, in one line.
    pub summary: String,
    /// The revision that it has become.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The reason that it was taken back, with what each of its instances says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// An instance that was chosen to try a config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CanaryInstance {
    /// Its id.
    pub id: String,
    /// `waiting` until it says that it has it; `healthy`; `failed`; or `gone` if it does not live any more. Absent once there is a
    /// verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<CanaryState>,
    /// The reason for which it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The stage of a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CanaryStage {
    /// Instances take it.
    Taking,
    /// All of them have it, and are healthy.
    Holding,
    /// It is the config of all.
    Passed,
    /// It was taken back.
    TakenBack,
}

/// The state of an instance with a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CanaryState {
    /// It has not said yet that it has it.
    Waiting,
    /// It has it, and is healthy.
    Healthy,
    /// It cannot obey it, or requests do not fare well with it.
    Failed,
    /// It does not live any more.
    Gone,
}

impl CanaryStage {
    /// True if instances try it.
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Taking | Self::Holding)
    }
}

impl CanaryView {
    /// The ids of its instances, in one line.
    pub fn instances(&self) -> String {
        let ids: Vec<&str> = self.instances.iter().map(|instance| &*instance.id).collect();
        ids.join(", ")
    }

    /// The number of its instances that have it and are healthy.
    pub fn healthy(&self) -> usize {
        let states = self.instances.iter().map(|instance| instance.state);
        states
            .filter(|state| *state == Some(CanaryState::Healthy))
            .count()
    }
}
