//! `canary`: a config that some instances try before all take it.

use serde::{Deserialize, Serialize};

use crate::record::revision::{Draft, TextsRecord};
use crate::record::{Record, RecordError, WriteId, at_most, clean_sentence, ensure, name};
use crate::store::StoreRevision;
use crate::text::Digest;

/// The most instances that are chosen by name.
const CHOSEN_MAX: usize = 10_000;

/// The most routes that are named.
const ROUTES_MAX: usize = 100_000;

/// The longest hold in milliseconds: a week.
pub const HOLD_MS_MAX: u64 = 7 * 24 * 3600 * 1000;

/// A config that some instances try first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryRecord {
    /// Its id: that of the write that began it.
    pub id: WriteId,
    /// The circumstances, which are those of the revision that it becomes.
    pub draft: Draft,
    /// Its texts.
    pub texts: TextsRecord,
    /// The digest of the config that was in force when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
    /// The instances that try it. The first is the one that was asked.
    pub chosen: Vec<String>,
    /// The routes whose splits it changes, which are not dialed meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// The time in milliseconds that it has to be healthy at all of them.
    pub hold_ms: u64,
    /// The time in milliseconds in the present stage.
    #[serde(default)]
    pub age_ms: u64,
    /// The stage.
    pub stage: Stage,
    /// When the leader that wrote it last became a candidate; 0 before a leader did.
    #[serde(default)]
    pub fence: StoreRevision,
    /// The write that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<WriteId>,
}

/// The stage of a canary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The chosen instances take it.
    Taking,
    /// All of them have it, and are healthy.
    Holding,
    /// It is the config of all, as this revision.
    Passed(u64),
    /// It was taken back.
    TakenBack(String),
}

impl CanaryRecord {
    /// True if instances try it.
    pub fn is_under_way(&self) -> bool {
        matches!(self.stage, Stage::Taking | Stage::Holding)
    }

    /// Returns true if an instance tries it.
    pub fn is_tried_by(&self, instance: &str) -> bool {
        self.is_under_way() && self.chosen.iter().any(|chosen| chosen == instance)
    }
}

impl Record for CanaryRecord {
    fn check(&self) -> Result<(), RecordError> {
        self.draft.check()?;
        self.texts.check()?;
        at_most(&self.routes, ROUTES_MAX, "routes")?;
        self.routes.iter().try_for_each(|route| name(route, "routes"))?;
        ensure(!self.chosen.is_empty(), "chosen", "it is empty")?;
        at_most(&self.chosen, CHOSEN_MAX, "chosen")?;
        self.chosen
            .iter()
            .try_for_each(|instance| name(instance, "chosen"))?;
        ensure(self.hold_ms <= HOLD_MS_MAX, "hold_ms", "it is more than a week")
    }

    fn clean(&mut self) {
        self.draft.clean();
        if let Stage::TakenBack(why) = &mut self.stage {
            clean_sentence(why);
        }
    }

    fn write(&self) -> Option<&WriteId> {
        self.write.as_ref()
    }
}
