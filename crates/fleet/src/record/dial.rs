//! `dials/ROUTE`: the live weights of a split.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::{Record, RecordError, Weights, WriteId, at_most, ensure, name};

/// The number of turns that are kept.
pub const TURNS_KEPT: usize = 20;

/// The most turns that are read; another version may keep more.
const TURNS_MAX: usize = 1000;

/// The most arms of a split in a record.
const ARMS_MAX: usize = 10_000;

/// The live weights of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialRecord {
    /// The weights that the config declared at the turn. The dial holds as long as these stay the same.
    pub declared: Weights,
    /// The live weights, of the same services; `None` for the declared ones. Such a dial is kept for its history.
    #[serde(default)]
    pub live: Option<Weights>,
    /// The user that turned it.
    pub by: String,
    /// When it was turned.
    pub time: Timestamp,
    /// The write that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<WriteId>,
    /// Its turns; the latest is the last.
    #[serde(default)]
    pub turns: Vec<TurnRecord>,
}

/// A turn of a dial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnRecord {
    /// When it was.
    pub time: Timestamp,
    /// The weights before.
    pub before: Weights,
    /// The weights from then on.
    pub after: Weights,
    /// The user.
    pub by: String,
    /// The write that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<WriteId>,
}

impl DialRecord {
    /// Marks the record, and its latest turn unless that is an older write's, and drops the oldest turns.
    pub(crate) fn stamp(&mut self, write: &WriteId) {
        let more = self.turns.len().saturating_sub(TURNS_KEPT);
        self.turns.drain(..more);
        if let Some(turn) = self.turns.last_mut() {
            turn.write.get_or_insert_with(|| write.clone());
        }
        self.write = Some(write.clone());
    }

    /// Returns true if the write is this record's, or one of its turns'.
    pub(crate) fn has(&self, write: &WriteId) -> bool {
        let turns = self.turns.iter().map(|turn| &turn.write);
        turns
            .chain([&self.write])
            .any(|known| known.as_ref() == Some(write))
    }
}

impl Record for DialRecord {
    fn check(&self) -> Result<(), RecordError> {
        name(&self.by, "by")?;
        weights(&self.declared, "declared")?;
        if let Some(live) = &self.live {
            weights(live, "live")?;
            let services = |weights: &Weights| -> Vec<String> {
                weights.iter().map(|(service, _)| service.clone()).collect()
            };
            ensure(
                services(live) == services(&self.declared),
                "live",
                "its services are not those of `declared`",
            )?;
            ensure(
                live.iter().any(|(_, weight)| *weight > 0),
                "live",
                "all weights are 0",
            )?;
        }
        at_most(&self.turns, TURNS_MAX, "turns")?;
        self.turns.iter().try_for_each(|turn| {
            name(&turn.by, "turns")?;
            weights(&turn.before, "turns")?;
            weights(&turn.after, "turns")
        })
    }

    fn write(&self) -> Option<&WriteId> {
        self.write.as_ref()
    }
}

fn weights(weights: &Weights, field: &'static str) -> Result<(), RecordError> {
    at_most(weights, ARMS_MAX, field)?;
    weights.iter().try_for_each(|(service, _)| name(service, field))
}
