//! Commands of the API to the control plane.
//!
//! Commands and reloads are executed one at a time, in order of arrival, so changes never interleave.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use axum::body::Bytes;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use waypost_policy::explain::{Explanation, Question};

use crate::canary::CanaryView;
use crate::problem::Problem;
use crate::rollout::{RolloutAction, RolloutChange, RolloutView, StartRollout};

/// Receives the result of a command.
pub type ReplySender<T> = oneshot::Sender<Result<T, Problem>>;

/// A command to the control plane.
#[derive(Debug)]
pub enum Command {
    /// Change the live weights of a route.
    Dial {
        /// The route.
        route: String,
        /// Weights by service, 0 for services left out; `None` restores the declared weights.
        weights: Option<Vec<(String, u64)>>,
        /// True to abort a rollout of the route first.
        force: bool,
        /// Acceptable versions of the split, see [`split_version`]; `*` is any, and so is `None`.
        versions: Option<Vec<String>>,
        /// The client.
        by: String,
        /// Receives the result.
        reply: ReplySender<Dialed>,
    },
    /// Change the live weights of all routes of a deal, or of none.
    DialDeal {
        /// The deal.
        deal: String,
        /// Weights by service, as any of the routes names it, 0 for services left out; `None` restores the declared
        /// weights.
        weights: Option<Vec<(String, u64)>>,
        /// The client.
        by: String,
        /// Receives the result.
        reply: ReplySender<DealDialed>,
    },
    /// Start a rollout.
    StartRollout {
        /// The route.
        route: String,
        /// The rollout.
        start: StartRollout,
        /// Acceptable versions of the route's last rollout, see [`RolloutView::version`]; `*` is any, and so is `None`.
        versions: Option<Vec<String>>,
        /// The client.
        by: String,
        /// Receives the result.
        reply: ReplySender<RolloutView>,
    },
    /// Act on a rollout.
    RolloutAct {
        /// The route.
        route: String,
        /// The action.
        action: RolloutAction,
        /// True to put the weights into the config, for [`RolloutAction::Finish`] only.
        write: bool,
        /// Acceptable versions of the rollout, see [`RolloutView::version`]; `*` is any, and so is `None`.
        versions: Option<Vec<String>>,
        /// The client.
        by: String,
        /// Receives the result.
        reply: ReplySender<RolloutView>,
    },
    /// Read the rollout of a route.
    RolloutOf {
        /// The route.
        route: String,
        /// Receives the result.
        reply: ReplySender<RolloutView>,
    },
    /// Read the last rollout of each route.
    Rollouts {
        /// Receives the result.
        reply: ReplySender<Vec<RolloutView>>,
    },
    /// Read the changes of a route's rollouts.
    RolloutHistory {
        /// The route.
        route: String,
        /// Receives the result, latest first.
        reply: ReplySender<Vec<RolloutChange>>,
    },
    /// Set the test clock, then let seconds of it pass: see [`AppState::test_clock`](crate::state::AppState::test_clock).
    Advance {
        /// The number of seconds.
        seconds: u64,
        /// The time that it is before they pass, if it is set.
        now: Option<Timestamp>,
        /// Receives a word when they have passed.
        reply: ReplySender<()>,
    },
    /// Read the history of a route's dial.
    DialOf {
        /// The route.
        route: String,
        /// Receives the result.
        reply: ReplySender<DialHistory>,
    },
    /// Drain an endpoint, or take it back.
    Drain {
        /// The service.
        service: String,
        /// The endpoint: its URL, host and port, or one of its addresses.
        endpoint: String,
        /// True to drain it.
        drained: bool,
        /// The client.
        by: String,
        /// Receives the result.
        reply: ReplySender<Drained>,
    },
    /// Read the active config.
    ReadConfig {
        /// Receives the result.
        reply: ReplySender<ConfigTexts>,
    },
    /// Replace the config.
    Apply {
        /// The change.
        change: Change,
        /// Receives the result.
        reply: ReplySender<Applied>,
    },
    /// Explain a request by a config that is not applied.
    ExplainDraft {
        /// The config.
        draft: Replaced,
        /// The request.
        question: Question,
        /// Receives the result.
        reply: ReplySender<Explanation>,
    },
    /// Read a command line of curl.
    ReadCurl {
        /// The command line.
        line: String,
        /// Receives the request that curl would send.
        reply: ReplySender<RequestView>,
    },
    /// Revert the pending change now.
    Revert {
        /// Acceptable hashes of the pending config; `*` is any, and so is `None`.
        if_match: Option<Vec<String>>,
        /// The client.
        by: String,
        /// Receives the result.
        reply: ReplySender<Applied>,
    },
    /// Confirm the pending change.
    Confirm {
        /// Acceptable hashes of the pending config; `*` is any, and so is `None`.
        if_match: Option<Vec<String>>,
        /// The client.
        by: String,
        /// Receives the result.
        reply: ReplySender<Applied>,
    },
    /// Start the binary that is at the gateway's path now, and hand everything over to it.
    Upgrade {
        /// The client.
        by: String,
        /// Receives the result.
        reply: ReplySender<Upgraded>,
    },
    /// List the revisions.
    Revisions {
        /// Receives the revisions, newest first.
        reply: ReplySender<Vec<Revision>>,
    },
    /// Read a revision.
    Revision {
        /// The number of the revision.
        number: u64,
        /// Receives the result.
        reply: ReplySender<RevisionTexts>,
    },
    /// Take the config back that instances of the fleet try.
    WithdrawCanary {
        /// Acceptable ids of it; `*` is any, and so is `None`.
        ids: Option<Vec<String>>,
        /// The client.
        by: String,
        /// Receives the result.
        reply: ReplySender<CanaryView>,
    },
    /// Apply a revision again.
    Rollback {
        /// The number of the revision.
        number: u64,
        /// Acceptable hashes of the active config; `*` is any, and so is `None`.
        if_match: Option<Vec<String>>,
        /// The client.
        by: String,
        /// Receives the result.
        reply: ReplySender<Applied>,
    },
}

impl Command {
    /// Refuses a command that would change something stored; any other is returned.
    pub fn refuse_change(self, problem: Problem) -> Option<Self> {
        match self {
            Self::Dial { reply, .. } => drop(reply.send(Err(problem))),
            Self::DialDeal { reply, .. } => drop(reply.send(Err(problem))),
            Self::Drain { reply, .. } => drop(reply.send(Err(problem))),
            Self::StartRollout { reply, .. } | Self::RolloutAct { reply, .. } => {
                drop(reply.send(Err(problem)));
            }
            Self::Advance { reply, .. } => drop(reply.send(Err(problem))),
            Self::WithdrawCanary { reply, .. } => drop(reply.send(Err(problem))),
            Self::Apply { reply, .. }
            | Self::Confirm { reply, .. }
            | Self::Revert { reply, .. }
            | Self::Rollback { reply, .. } => drop(reply.send(Err(problem))),
            other @ (Self::RolloutOf { .. }
            | Self::Rollouts { .. }
            | Self::RolloutHistory { .. }
            | Self::DialOf { .. }
            | Self::ReadConfig { .. }
            | Self::ExplainDraft { .. }
            | Self::ReadCurl { .. }
            | Self::Upgrade { .. }
            | Self::Revisions { .. }
            | Self::Revision { .. }) => return Some(other),
        }
        None
    }
}

/// A change to the config.
#[derive(Debug)]
pub struct Change {
    /// The new text, and the part of the config that it replaces.
    pub what: Replaced,
    /// Acceptable hashes of the text to be replaced; `*` matches any.
    pub if_match: Vec<String>,
    /// True to validate the change without applying it.
    pub dry_run: bool,
    /// Time until the change is reverted unless confirmed; `None` if it needs no confirmation.
    pub confirm: Option<Duration>,
    /// The instances of the fleet that try it before all take it; `None` if all take it at once.
    pub canary: Option<Trial>,
    /// The client.
    pub by: String,
}

/// The way in which some instances of a fleet try a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Their number, or their share: `2`, `25%`.
    pub instances: String,
    /// The time that it has to be healthy at all of them.
    pub hold: Duration,
}

/// The part of a config that a change replaces.
#[derive(Debug)]
pub enum Replaced {
    /// The text of a config that is one file.
    Text(Vec<u8>),
    /// One file, by name.
    File(String, Vec<u8>),
    /// All files of a config that is a directory, by name.
    Files(Vec<(String, Vec<u8>)>),
}

/// The active config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigTexts {
    /// Hash of all files.
    pub hash: String,
    /// The revision.
    pub revision: u64,
    /// True if the config is a directory.
    pub is_directory: bool,
    /// The files.
    pub files: Vec<ConfigFile>,
}

/// One file of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// The name, without directories.
    pub name: String,
    /// Hash of the text.
    pub hash: String,
    /// The text, byte for byte; shared by all readers.
    pub text: Bytes,
}

/// One arm of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArmView {
    /// The service.
    pub service: String,
    /// The declared weight.
    pub declared: u64,
    /// The live weight.
    pub live: u64,
}

/// A dial after a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dialed {
    /// The route.
    pub name: String,
    /// The previous weights, by service.
    pub before: Vec<Weight>,
    /// The arms with their new weights.
    pub arms: Vec<ArmView>,
    /// The client that turned it.
    pub by: String,
}

/// The version of a split: it is another one whenever its services or their weights are, and the same across restarts.
pub fn split_version(arms: &[ArmView]) -> String {
    let mut hasher = DefaultHasher::new();
    for arm in arms {
        (&arm.service, arm.declared, arm.live).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

/// An endpoint that was drained or taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drained {
    /// The service.
    pub service: String,
    /// Host and port of the endpoint as in the config, or one of its addresses.
    pub endpoint: String,
    /// True if it is drained.
    pub drained: bool,
    /// True if it was not so before.
    pub changed: bool,
    /// The client that changed it.
    pub by: String,
}

/// The dials of a deal after a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DealDialed {
    /// The deal.
    pub name: String,
    /// Its routes.
    pub routes: Vec<Dialed>,
    /// The client that turned them.
    pub by: String,
}

/// The weight of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Weight {
    /// The service.
    pub service: String,
    /// The weight.
    pub weight: u64,
}

/// The history of a route's dial.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DialHistory {
    /// The stored turns, latest first.
    pub turns: Vec<Turn>,
}

/// One turn of a dial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Turn {
    /// The time of the turn.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// The weights before.
    pub before: Vec<Weight>,
    /// The weights after.
    pub after: Vec<Weight>,
    /// The client that turned it.
    pub by: String,
}

/// The result of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Applied {
    /// The active revision; after a dry run, the one that stays active.
    pub revision: u64,
    /// Hash of the config, as in its `ETag`.
    pub hash: String,
    /// True if anything changed.
    pub changed: bool,
    /// True for a dry run.
    pub dry_run: bool,
    /// Summary of the changes, in one line.
    pub summary: String,
    /// Dials that were dropped because their splits changed.
    pub dials_dropped: Vec<String>,
    /// Warnings of the config, as `waypost check --format json` prints them.
    pub warnings: Vec<serde_json::Value>,
    /// The time at which the change is reverted unless confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub reverts_at: Option<Timestamp>,
    /// The canary that was begun with it. The active revision stays that of all until it has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryView>,
    /// Of a dry run: the tests of the config. Failed ones refuse it, so there are none here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestCounts>,
    /// Of a dry run: requests that get another answer than by the active config, some of them if there are many. The
    /// requests that are compared are those of the tests of both configs, and one for each alternative of the routes that
    /// differ; of every route, if listeners or the order of routes do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves: Option<Vec<Move>>,
    /// Of a dry run: the number of these requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves_total: Option<usize>,
}

/// Tests of a config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestCounts {
    /// Tests that pass.
    pub passed: usize,
    /// Tests that fail.
    pub failed: usize,
}

/// A request that gets another answer by another config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Move {
    /// Method and URL, and what else it takes: the arguments of `waypost explain`.
    pub request: String,
    /// The answer of the active config.
    pub before: Answer,
    /// The answer of the other one.
    pub after: Answer,
}

/// The answer of a config to a request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// `forward`, `redirect`, `respond`, `not_found`, `refused` or `unavailable`.
    pub outcome: String,
    /// The route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The services that may get it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// The status of a response of the gateway itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The target of a redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The path that a service sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestView {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// The headers, as pairs.
    pub headers: Vec<(String, String)>,
}

/// A finished upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Upgraded {
    /// The process that has taken over.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// The process before, which drains now.
    pub pid_before: u32,
    /// Its version.
    pub version_before: String,
}

/// An applied config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revision {
    /// The number.
    pub number: u64,
    /// The time at which it was applied.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// The origin: `file`, `api`, `rollback` or `revert`.
    pub origin: String,
    /// Hash of the text.
    pub hash: String,
    /// Summary of the changes, in one line.
    pub summary: String,
    /// The client that applied it, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A revision with its texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionTexts {
    /// The revision.
    #[serde(flatten)]
    pub revision: Revision,
    /// The files.
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
