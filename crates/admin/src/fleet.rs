//! The fleet that a gateway belongs to, as this instance sees it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::canary::CanaryView;

/// The fleet, as an instance sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetView {
    /// True if etcd is there, everything in it makes sense, and all instances obey it and are healthy.
    pub ok: bool,
    /// The prefix of the fleet's keys.
    pub prefix: String,
    /// The members of etcd.
    pub endpoints: Vec<String>,
    /// True if etcd answers. Otherwise everything else is what it said last.
    pub available: bool,
    /// The time since when etcd does not answer.
    #[schemars(with = "Option<String>")]
    pub away_since: Option<Timestamp>,
    /// The reason that etcd does not answer.
    pub why: Option<String>,
    /// True if etcd has not been read since the start, and what the state directory kept from last time is served.
    pub cached: bool,
    /// The revision of etcd's store up to which changes are known.
    pub store_revision: i64,
    /// The last revision of it that changed rules: anything but instances and their election.
    #[serde(default)]
    pub rules: i64,
    /// The active revision of the fleet; absent while there is none of the present config.
    pub revision: Option<u64>,
    /// The id of this instance.
    pub instance: String,
    /// The id of the instance that leads.
    pub leader: Option<String>,
    /// Instances that live, by id.
    pub instances: Vec<InstanceView>,
    /// The config that some instances try, or tried last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryView>,
    /// Things that etcd forbids, and keys in it that make no sense, in a sentence each.
    pub troubles: Vec<String>,
    /// Instances that others cannot ask, and the remedy, in a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// An instance that lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceView {
    /// Its id.
    pub id: String,
    /// `ok`; `error` if it cannot obey something; `unhealthy` if requests do not fare well with what it tries; or `lagging` if it does not obey yet what is there for more
    /// than two seconds.
    pub state: InstanceState,
    /// True if it leads.
    pub leader: bool,
    /// The address of its admin API, if others can reach it.
    pub admin: Option<String>,
    /// Its version.
    pub version: String,
    /// The start time of its process.
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// The revision in force; absent if it is none of the fleet's.
    pub revision: Option<u64>,
    /// The time since when that is in force.
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// The revision of etcd's store up to which it obeys everything.
    pub obeys: i64,
    /// True if it tries a config for the fleet.
    pub canary: bool,
    /// True if it serves well, and has obeyed all that it knows of.
    pub healthy: bool,
    /// The reason for which requests do not fare well with the config that it tries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unhealthy: Option<String>,
    /// Things that it could not obey, with the reasons.
    pub errors: Vec<InstanceError>,
}

/// Something that an instance could not obey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceError {
    /// The revision, if it is of one.
    pub revision: Option<u64>,
    /// The reason.
    pub why: String,
}

/// The state of an instance in a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// It obeys everything.
    Ok,
    /// It does not obey everything yet.
    Lagging,
    /// Requests do not fare well with the config that it tries.
    Unhealthy,
    /// It cannot obey something.
    Error,
}

impl InstanceState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Lagging => "lagging",
            Self::Unhealthy => "unhealthy",
            Self::Error => "error",
        }
    }
}

/// The fleet in the status of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetStatus {
    /// The prefix of the fleet's keys.
    pub prefix: String,
    /// The id of this instance.
    pub instance: String,
    /// The id of the instance that leads.
    pub leader: Option<String>,
    /// The number of instances that live.
    pub instances: usize,
    /// True if etcd answers.
    pub available: bool,
    /// The time since when etcd does not answer.
    #[schemars(with = "Option<String>")]
    pub away_since: Option<Timestamp>,
    /// The reason that etcd does not answer.
    pub why: Option<String>,
    /// True if what the state directory kept from last time is served.
    pub cached: bool,
    /// The revision of etcd's store up to which changes are known.
    pub store_revision: i64,
    /// The config that some instances try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryView>,
    /// Things that etcd forbids, keys in it that make no sense, and things that this instance could not obey, in a sentence each.
    pub troubles: Vec<String>,
    /// Instances that others cannot ask, and the remedy, in a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl FleetView {
    /// The config that some instances try.
    pub fn canary_under_way(&self) -> Option<&CanaryView> {
        self.canary.as_ref().filter(|canary| canary.stage.is_under_way())
    }

    /// The fleet in the status of this instance.
    pub fn status(&self) -> FleetStatus {
        let own = self
            .instances
            .iter()
            .find(|instance| instance.id == self.instance);
        let errors = own.into_iter().flat_map(|own| &own.errors);
        let errors = errors.map(|error| match error.revision {
            Some(revision) => format!("revision {revision}: {}", error.why),
            None => error.why.clone(),
        });
        FleetStatus {
            prefix: self.prefix.clone(),
            instance: self.instance.clone(),
            leader: self.leader.clone(),
            instances: self.instances.len(),
            available: self.available,
            away_since: self.away_since,
            why: self.why.clone(),
            cached: self.cached,
            store_revision: self.store_revision,
            canary: self.canary_under_way().cloned(),
            troubles: self.troubles.iter().cloned().chain(errors).collect(),
            hints: self.hints.clone(),
        }
    }
}

impl FleetStatus {
    /// The absence of etcd in a sentence.
    pub fn away(&self) -> Option<String> {
        if self.available {
            return None;
        }
        let since = self.away_since.map(|since| format!(" since {since:.0}"));
        let why = self.why.as_ref().map(|why| format!(": {why}"));
        let served = match (self.cached, self.store_revision) {
            (true, _) => "what was kept from last time is served",
            // It was never read.
            (false, 0) => "nothing is known of what it has",
            (false, _) => "what it said last is served",
        };
        Some(format!(
            "etcd is away{}{}; {served}, and changes are refused",
            since.unwrap_or_default(),
            why.unwrap_or_default()
        ))
    }
}

/// A question for the figures of other instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The path at the leader, for the figures of all. Without one, each other instance is asked for its own.
    pub of_all: Option<String>,
    /// The path at each other instance, for its own.
    pub own: String,
    /// True if the leader was asked, which is this instance: it asks each other one.
    pub is_passed_on: bool,
    /// The time that an instance gets to answer.
    pub patience: Duration,
    /// The time that all of them get together.
    pub patience_in_all: Duration,
    /// Bytes of the answer of an instance, at most.
    pub bytes_max: usize,
}

/// Answers of other instances as they come, by id; `None` of one that did not answer.
pub type EachAnswer = mpsc::Receiver<(String, Option<Bytes>)>;

/// Figures of other instances.
#[derive(Debug)]
pub enum Others {
    /// The answer of the leader, which has asked all, this one among them.
    OfAll(Bytes),
    /// The answer of each other one.
    OfEach {
        /// The answers.
        answers: EachAnswer,
        /// True if this instance leads. Otherwise no leader has answered.
        leads: bool,
    },
}

/// Figures of other instances, once the leader or any has answered.
pub type Answers = Pin<Box<dyn Future<Output = Others> + Send>>;

/// Figures of other instances, the leader's read.
#[derive(Debug)]
pub(crate) enum Answered<T> {
    OfAll(T),
    OfEach { answers: EachAnswer, leads: bool },
}

/// Looks at the fleet, and asks its other instances.
pub(crate) struct Reader {
    id: Box<dyn Fn() -> Arc<str> + Send + Sync>,
    leads: Box<dyn Fn() -> bool + Send + Sync>,
    look: Box<dyn Fn() -> FleetView + Send + Sync>,
    ask: Box<dyn Fn(Question) -> Answers + Send + Sync>,
}

impl Reader {
    pub(crate) fn new(
        id: impl Fn() -> Arc<str> + Send + Sync + 'static,
        leads: impl Fn() -> bool + Send + Sync + 'static,
        look: impl Fn() -> FleetView + Send + Sync + 'static,
        ask: impl Fn(Question) -> Answers + Send + Sync + 'static,
    ) -> Self {
        Self {
            id: Box::new(id),
            leads: Box::new(leads),
            look: Box::new(look),
            ask: Box::new(ask),
        }
    }

    /// The id that this instance has now.
    pub(crate) fn id(&self) -> Arc<str> {
        (self.id)()
    }

    /// Returns true if this instance leads, and its lease is not over by its own clock.
    pub(crate) fn leads(&self) -> bool {
        (self.leads)()
    }

    pub(crate) fn look(&self) -> FleetView {
        (self.look)()
    }

    /// Asks the leader, whose answer `read` reads. Without one that makes sense, each other instance is asked.
    pub(crate) async fn ask<T>(&self, question: Question, read: impl Fn(&[u8]) -> Option<T>) -> Answered<T> {
        let of_each = Question {
            of_all: None,
            ..question.clone()
        };
        for question in [question, of_each] {
            match (self.ask)(question).await {
                Others::OfEach { answers, leads } => return Answered::OfEach { answers, leads },
                Others::OfAll(bytes) => {
                    if let Some(read) = read(&bytes) {
                        return Answered::OfAll(read);
                    }
                }
            }
        }
        // Each was asked, and a leader answered: there is no answer of each.
        Answered::OfEach {
            answers: mpsc::channel(1).1,
            leads: false,
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}
