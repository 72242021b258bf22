//! Proposals: wishes, against a view, becomes transactions.
//!
//! A proposal is carried out as a whole, if all that it rests on is still as in the view, or not at all. Everything that
//! an instance changes in the store goes this way, but for its own key and its candidacy, which live with its lease.

mod apply;
mod state;
pub mod sweep;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::config::{TEXTS_MAX, Texts};
use crate::key::{ConfigName, Key, Prefix};
use crate::record::canary::CanaryRecord;
use crate::record::dial::DialRecord;
use crate::record::drain::DrainRecord;
use crate::record::revision::Draft;
use crate::record::{Record, RecordError, WriteId};
use crate::store::{Compare, OPERATIONS_MAX, StoreRevision, TRANSACTION_BYTES_MAX, Transaction, Write};
use crate::text::TEXT_BYTES_MAX;
use crate::view::{EndpointName, Fence, View};

/// Something that is wanted of the store.
#[derive(Debug, Clone, PartialEq)]
pub enum Intent {
    /// A config for all, with its revision.
    Apply(Apply),
    /// A config that some instances try first.
    Try(Try),
    /// Of the leader: the next stage of the config that is tried, or just its age.
    Advance(Box<Advance>),
    /// The end of the config that is tried. Anyone may want it, and it needs no leader.
    Withdraw(Withdraw),
    /// Of the leader: the revision of a config that was put into the store by other means.
    Note(Note),
    /// Dials, drains, rollouts and certificates.
    State(State),
}

/// A config for all.
#[derive(Debug, Clone, PartialEq)]
pub struct Apply {
    /// The texts.
    pub texts: Texts,
    /// The circumstances.
    pub draft: Draft,
    /// All that changes along, such as dials that do not hold any more.
    pub state: State,
}

/// A config that some instances try first.
#[derive(Debug, Clone, PartialEq)]
pub struct Try {
    /// The texts.
    pub texts: Texts,
    /// The circumstances.
    pub draft: Draft,
    /// The instances that try it, as [`choose`](crate::canary::choose) has chosen them.
    pub chosen: Vec<String>,
    /// The routes whose splits it changes. Nothing may turn them since.
    pub routes: Vec<String>,
    /// Other routes at which a rollout may be begun that turns one of these.
    pub leads: Vec<String>,
    /// The time in milliseconds that it has to be healthy at all of them.
    pub hold_ms: u64,
}

/// The next stage of the config that is tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Advance {
    /// The record from now on, but for its fence; a stage of `Passed` makes it the config of all, as the next revision.
    pub record: CanaryRecord,
    /// All that changes along.
    pub state: State,
    /// The right of the leader.
    pub fence: Fence,
}

/// The end of the config that is tried: all go back to the config of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdraw {
    /// The config that is tried.
    pub id: WriteId,
    /// The reason, in one sentence.
    pub why: String,
}

/// The revision of the config that lies in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// The circumstances.
    pub draft: Draft,
    /// All that changes along.
    pub state: State,
    /// The right of the leader.
    pub fence: Fence,
}

/// Dials, drains, rollouts and certificates from now on; `None` for what is deleted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// By route. A dial is put with `live: None`, rather than deleted, as long as its history is of use.
    pub dials: BTreeMap<String, Option<DialRecord>>,
    /// By endpoint.
    pub drains: BTreeMap<EndpointName, Option<DrainRecord>>,
    /// By route. They need a fence.
    pub rollouts: BTreeMap<String, Option<Value>>,
    /// By name, sealed, as base64. They need a fence.
    pub certificates: BTreeMap<String, Option<String>>,
    /// The right of the leader. Where it is given, nothing of this happens once another one leads.
    pub fence: Option<Fence>,
    /// True if nothing of this happens once the config is another one: a user has seen it.
    pub rests_on_config: bool,
    /// True if nothing of this happens once another config is tried: it may change the same splits.
    pub rests_on_canary: bool,
}

/// A wish as transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The id of the write.
    pub write: WriteId,
    /// The number of the revision that it makes.
    pub number: Option<u64>,
    /// Parts of texts. They are carried out first, one by one. What is not referred to afterwards is swept.
    pub parts: Vec<Transaction>,
    /// The transaction that makes it count.
    pub main: Transaction,
    /// The keys that it rests on, with their revisions.
    marks: Vec<(Key, StoreRevision)>,
    /// The names of all texts that it rests on; `None` if it does not rest on the config.
    names: Option<BTreeSet<ConfigName>>,
    /// True if it rests on no dial and no rollout being written.
    rests_on_weights: bool,
}

/// The outcome of a proposal, as far as a later view shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has happened.
    Done,
    /// It has not.
    NotDone,
    /// Others have changed the same keys since, so nothing shows it.
    Unclear,
}

/// Something that cannot be proposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is no text.
    #[error("a config has one text at least")]
    NoTexts,
    /// There are too many texts.
    #[error("a config has {TEXTS_MAX} texts at most in a fleet, not {0}")]
    TooManyTexts(usize),
    /// The texts are too large.
    #[error("the texts of a config have {TEXT_BYTES_MAX} bytes at most, not {0}")]
    TextsTooLarge(usize),
    /// A text is not UTF-8.
    #[error("`{0}` is not UTF-8")]
    Encoding(String),
    /// A text has no name that it can be stored under, or that of another one.
    #[error("`{0}` cannot be the name of a text of a fleet, or two texts have it")]
    Name(String),
    /// A text would be read as the place of one.
    #[error("`{0}` begins with `@parts`")]
    Mark(String),
    /// Too much changes at once.
    #[error("{0} changes at once are more than the {OPERATIONS_MAX} of a transaction")]
    TooManyChanges(usize),
    /// Too many rollouts begin, or change, with a config.
    #[error(
        "{0} rollouts begin or change with this config, which are more than fit a transaction with it: change the weights of \
         fewer routes at once"
    )]
    TooManyRollouts(usize),
    /// The records are too large.
    #[error("changes of {0} bytes at once are more than the {TRANSACTION_BYTES_MAX} of a transaction")]
    TooLarge(usize),
    /// Instances try another config.
    #[error("a canary is under way")]
    CanaryUnderWay,
    /// There is no config that is tried.
    #[error("no canary is under way")]
    NoCanary,
    /// No instance is to try it.
    #[error("a canary has one instance at least")]
    NobodyChosen,
    /// Only the leader may do this, and another one leads.
    #[error("another instance leads")]
    NotLeader,
    /// The store has no config, or one that is not complete.
    #[error("the store has no complete config")]
    NoConfig,
    /// All numbers are given.
    #[error("no number is left for a revision")]
    NoNumber,
    /// A record would not be read again.
    #[error("`{key}`: {error}")]
    Record {
        /// The key.
        key: String,
        /// The reason.
        error: RecordError,
    },
}

impl Intent {
    /// The transactions that carry this out, if the store is still as in `view`, as the write with this id.
    ///
    /// # Errors
    /// It makes no sense in this view, or is too large for the store.
    pub fn plan(self, view: &View, write: &WriteId) -> Result<Proposal, PlanError> {
        let mut draft = Plan {
            view,
            write,
            compares: Vec::new(),
            writes: Vec::new(),
            parts: BTreeMap::new(),
            marks: Vec::new(),
            names: None,
            rests_on_weights: false,
            number: None,
        };
        match self {
            Self::Apply(apply) => draft.apply(apply)?,
            Self::Try(canary) => draft.canary(canary)?,
            Self::Advance(advance) => draft.advance(*advance)?,
            Self::Withdraw(withdraw) => draft.withdraw(withdraw)?,
            Self::Note(note) => draft.note(note)?,
            Self::State(state) => draft.state(state)?,
        }
        draft.finish()
    }
}

impl Proposal {
    /// The outcome as a view shows it that is at least as new as the attempt.
    pub fn outcome(&self, view: &View) -> Outcome {
        if view.has_written(&self.write) {
            return Outcome::Done;
        }
        if let Some(number) = self.number {
            // Another one's, or not given. Old revisions are swept, and say nothing any more.
            let oldest = view.revisions.first_key_value();
            let is_swept = oldest.is_some_and(|(oldest, _)| number < *oldest);
            return if is_swept {
                Outcome::Unclear
            } else {
                Outcome::NotDone
            };
        }
        let mut writes = self.main.writes.iter();
        if writes.any(|write| self.is_untouched(write, view)) {
            return Outcome::NotDone;
        }
        if self.conflicts(view).is_empty() {
            // A drain may have been there and be taken back again.
            let is_drain = |(key, _): &(Key, StoreRevision)| matches!(key, Key::Endpoint { .. });
            return match self.marks.iter().any(is_drain) {
                true => Outcome::Unclear,
                false => Outcome::NotDone,
            };
        }
        // A deletion leaves no id. What is gone is as was wanted.
        let is_deleted = |write: &Write| match write {
            Write::Delete { key } => view
                .prefix
                .decode(key.as_bytes())
                .is_some_and(|key| view.modified(&key) == StoreRevision::default()),
            Write::Put { .. } => false,
        };
        match self.main.writes.iter().all(is_deleted) {
            true => Outcome::Done,
            false => Outcome::Unclear,
        }
    }

    /// Returns true if the key of a write is there as it was, so that it has not happened.
    fn is_untouched(&self, write: &Write, view: &View) -> bool {
        let key = view.prefix.decode(write.key().as_bytes());
        let mark = self.marks.iter().find(|(known, _)| Some(known) == key.as_ref());
        mark.is_some_and(|(key, at)| *at != StoreRevision::default() && view.modified(key) == *at)
    }

    /// The keys that it rests on and that are not as they were.
    pub fn conflicts(&self, view: &View) -> Vec<Key> {
        let changed = self.marks.iter().filter(|(key, at)| view.modified(key) != *at);
        let mut conflicts: Vec<Key> = changed.map(|(key, _)| key.clone()).collect();
        if let Some(names) = &self.names {
            let new = view.config_keys.keys().filter(|name| {
                let is_rested_on = self
                    .marks
                    .iter()
                    .any(|(key, _)| matches!(key, Key::Config(known) if known == *name));
                !names.contains(*name) && !is_rested_on
            });
            conflicts.extend(new.cloned().map(Key::Config));
        }
        conflicts
    }

    /// Returns true if nothing else stands against it than that texts were swept meanwhile, or that the config that is tried has
    /// come to another stage, since the view that it was planned against: then it may be planned again. A dial or a rollout that
    /// was written where it rests on there being none would be passed over by the next plan, which rests on the newer view.
    pub fn may_be_planned_again(&self, planned: &View, view: &View) -> bool {
        let tried = |view: &View| {
            let canary = view.canary.as_ref().map(|canary| &*canary.value);
            canary.map(|canary| (canary.id.clone(), canary.is_under_way()))
        };
        let is_the_same = tried(planned) == tried(view) && !self.writes(&Key::Canary, view);
        let conflicts = self.conflicts(view);
        let mut are_harmless = conflicts.iter().map(|key| match key {
            Key::Sweep => true,
            Key::Canary => is_the_same,
            _ => false,
        });
        let are_weights_written = self.rests_on_weights && weights_since(planned.at, view);
        !conflicts.is_empty() && !are_weights_written && are_harmless.all(|is_harmless| is_harmless)
    }

    fn writes(&self, key: &Key, view: &View) -> bool {
        let key = view.prefix.encode(key);
        self.main.writes.iter().any(|write| write.key() == key)
    }
}

/// Returns true if a dial or a rollout of a view was written after `at`.
fn weights_since(at: StoreRevision, view: &View) -> bool {
    let dials = view.dials.values().map(|dial| dial.modified);
    let rollouts = view.rollouts.values().map(|rollout| rollout.modified);
    dials.chain(rollouts).any(|modified| modified > at)
}

/// A proposal in the making.
struct Plan<'v> {
    view: &'v View,
    write: &'v WriteId,
    compares: Vec<Compare>,
    writes: Vec<Write>,
    /// Parts that the store does not have, by key.
    parts: BTreeMap<String, Vec<u8>>,
    marks: Vec<(Key, StoreRevision)>,
    names: Option<BTreeSet<ConfigName>>,
    rests_on_weights: bool,
    number: Option<u64>,
}

impl Plan<'_> {
    fn prefix(&self) -> &Prefix {
        &self.view.prefix
    }

    /// Rests on a key as it is in the view.
    fn rest_on(&mut self, key: &Key) {
        let compare = self.view.unchanged(key);
        if !self.compares.contains(&compare) {
            self.compares.push(compare);
            self.marks.push((key.clone(), self.view.modified(key)));
        }
    }

    /// Rests on the right of the leader.
    fn rest_on_fence(&mut self, fence: &Fence) {
        let compare = fence.compare();
        if !self.compares.contains(&compare) {
            self.compares.push(compare);
        }
    }

    /// Writes a key that is as in the view; `None` deletes it.
    fn write(&mut self, key: &Key, value: Option<Vec<u8>>) {
        self.rest_on(key);
        let key = self.prefix().encode(key);
        self.writes.push(match value {
            Some(value) => Write::Put { key, value },
            None => Write::Delete { key },
        });
    }

    /// Writes a record, which has to be one that is read again.
    fn record<T: Record>(&mut self, key: &Key, record: &T) -> Result<(), PlanError> {
        let value = record.to_value();
        T::read(&value).map_err(|error| PlanError::Record {
            key: self.prefix().encode(key),
            error,
        })?;
        self.write(key, Some(value));
        Ok(())
    }

    fn finish(self) -> Result<Proposal, PlanError> {
        let main = Transaction {
            compares: self.compares,
            writes: self.writes,
        };
        let operations = main.compares.len().max(main.writes.len());
        if operations > OPERATIONS_MAX {
            let is_rollout = |mark: &&(Key, StoreRevision)| matches!(mark.0, Key::Rollout(_));
            let rollouts = self.marks.iter().filter(is_rollout).count();
            return Err(match self.number {
                Some(_) if rollouts > 0 => PlanError::TooManyRollouts(rollouts),
                _ => PlanError::TooManyChanges(operations),
            });
        }
        if main.bytes() > TRANSACTION_BYTES_MAX {
            return Err(PlanError::TooLarge(main.bytes()));
        }
        let mut parts: Vec<Transaction> = Vec::new();
        for (key, value) in self.parts {
            let put = Transaction {
                compares: Vec::new(),
                writes: vec![Write::Put { key, value }],
            };
            match parts.last_mut() {
                Some(last)
                    if last.bytes() + put.bytes() <= TRANSACTION_BYTES_MAX
                        && last.writes.len() < OPERATIONS_MAX =>
                {
                    last.writes.extend(put.writes);
                }
                _ => parts.push(put),
            }
        }
        Ok(Proposal {
            write: self.write.clone(),
            number: self.number,
            parts,
            main,
            marks: self.marks,
            names: self.names,
            rests_on_weights: self.rests_on_weights,
        })
    }
}
