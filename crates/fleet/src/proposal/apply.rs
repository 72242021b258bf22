//! Configs: for all, or for some instances first.
//!
//! The texts that changed, and the revision, are written in one transaction, which rests on every text of the config as it
//! is. What does not fit goes into parts before. A reader never sees half of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{TEXTS_MAX, Texts, digest};
use crate::key::{ConfigName, Folder, Key};
use crate::proposal::state::RESERVED;
use crate::proposal::{Advance, Apply, Note, Plan, PlanError, Try, Withdraw};
use crate::record::WriteId;
use crate::record::canary::{CanaryRecord, Stage};
use crate::record::revision::{Draft, RevisionRecord, TextsRecord};
use crate::store::{OPERATIONS_MAX, StoreRevision};
use crate::text::{PART_BYTES_MAX, Parts, Stored, TEXT_BYTES_MAX};

/// The most bytes of texts in the record of a revision.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// The most bytes of texts in the record of a canary: its leader writes it again and again.
const CANARY_BYTES_MAX: usize = 4 << 10;

/// The most bytes of texts in a transaction, but for those of its revision.
const WHOLE_BYTES_MAX: usize = PART_BYTES_MAX;

impl Plan<'_> {
    pub(super) fn apply(&mut self, apply: Apply) -> Result<(), PlanError> {
        check(&apply.texts)?;
        let canary = self.view.canary.as_ref();
        if canary.is_some_and(|canary| canary.value.is_under_way()) {
            return Err(PlanError::CanaryUnderWay);
        }
        self.rest_on(&Key::Canary);
        self.config(&apply.texts, apply.draft)?;
        self.state(apply.state)
    }

    pub(super) fn canary(&mut self, canary: Try) -> Result<(), PlanError> {
        check(&canary.texts)?;
        let known = self.view.canary.as_ref();
        if known.is_some_and(|known| known.value.is_under_way()) {
            return Err(PlanError::CanaryUnderWay);
        }
        if canary.chosen.is_empty() {
            return Err(PlanError::NobodyChosen);
        }
        self.rest_on_config();
        self.rest_on_splits(&canary.routes, &canary.leads);
        let texts = self.texts(&canary.texts, CANARY_BYTES_MAX)?;
        let record = CanaryRecord {
            id: self.write.clone(),
            draft: canary.draft,
            texts,
            base: self.view.config.as_ref().map(|config| config.digest),
            chosen: canary.chosen,
            routes: canary.routes,
            hold_ms: canary.hold_ms,
            age_ms: 0,
            stage: Stage::Taking,
            fence: StoreRevision::default(),
            write: Some(self.write.clone()),
        };
        self.record(&Key::Canary, &record)
    }

    /// Rests on nothing turning the splits of these routes: neither a dial nor a rollout, which may have begun at one of `leads`.
    fn rest_on_splits(&mut self, routes: &[String], leads: &[String]) {
        let keys = 2 * routes.len() + leads.len();
        if keys + self.view.config_keys.len() + RESERVED > OPERATIONS_MAX {
            for folder in [Folder::Dials, Folder::Rollouts] {
                self.compares.push(self.view.nothing_written(folder));
            }
            self.rests_on_weights = true;
            return;
        }
        for route in routes {
            self.rest_on(&Key::Dial(route.clone()));
        }
        for lead in routes.iter().chain(leads) {
            self.rest_on(&Key::Rollout(lead.clone()));
        }
    }

    pub(super) fn advance(&mut self, advance: Advance) -> Result<(), PlanError> {
        let known = self.under_way(&advance.record.id)?;
        let mut record = advance.record;
        if known.fence > advance.fence.created {
            return Err(PlanError::NotLeader);
        }
        self.rest_on_fence(&advance.fence);
        record.fence = advance.fence.created;
        record.write = Some(self.write.clone());
        if matches!(record.stage, Stage::Passed(_)) {
            let texts = self.view.texts(&record.texts).map_err(|_| PlanError::NoConfig)?;
            let number = self.config(&texts, record.draft.clone())?;
            record.stage = Stage::Passed(number);
            self.state(advance.state)?;
        }
        self.record(&Key::Canary, &record)
    }

    pub(super) fn withdraw(&mut self, withdraw: Withdraw) -> Result<(), PlanError> {
        let record = CanaryRecord {
            stage: Stage::TakenBack(withdraw.why),
            age_ms: 0,
            write: Some(self.write.clone()),
            ..self.under_way(&withdraw.id)?.clone()
        };
        self.record(&Key::Canary, &record)
    }

    /// The canary with this id, which has to be under way.
    fn under_way(&self, id: &WriteId) -> Result<&CanaryRecord, PlanError> {
        let known = self.view.canary.as_ref().map(|known| &*known.value);
        let known = known.filter(|known| known.is_under_way() && known.id == *id);
        known.ok_or(PlanError::NoCanary)
    }

    pub(super) fn note(&mut self, note: Note) -> Result<(), PlanError> {
        let config = self.view.config.as_ref();
        let config = config.filter(|_| self.view.config_trouble.is_none());
        let texts = config.ok_or(PlanError::NoConfig)?.texts.clone();
        self.rest_on_fence(&note.fence);
        self.rest_on_config();
        self.revision(&texts, note.draft)?;
        self.state(note.state)
    }

    /// Rests on all texts of the config, and on there being no others.
    pub(super) fn rest_on_config(&mut self) {
        let names: Vec<ConfigName> = self.view.config_keys.keys().cloned().collect();
        for name in names {
            self.rest_on(&Key::Config(name));
        }
        self.compares.push(self.view.nothing_written(Folder::Config));
        self.names = Some(self.view.config_keys.keys().cloned().collect());
    }

    /// Writes a config and its revision. Returns the number.
    fn config(&mut self, texts: &Texts, draft: Draft) -> Result<u64, PlanError> {
        self.rest_on_config();
        let known = self.view.config.as_ref();
        let known = known.filter(|_| self.view.config_trouble.is_none());
        let known = known.cloned();
        let gone: Vec<ConfigName> = self.view.config_keys.keys().cloned().collect();
        for name in gone.into_iter().filter(|name| !texts.contains_key(name)) {
            self.write(&Key::Config(name), None);
        }
        let changed = texts.iter().filter(|(name, text)| {
            let known = known.as_ref().and_then(|known| known.texts.get(name));
            known != Some(text)
        });
        let changed: Vec<(&ConfigName, &Arc<[u8]>)> = changed.collect();
        let parted = parted(&changed, WHOLE_BYTES_MAX);
        for (name, text) in changed {
            let value = match parted.contains(name) {
                true => self.parts(text)?.to_string().into_bytes(),
                false => text.to_vec(),
            };
            self.write(&Key::Config(name.clone()), Some(value));
        }
        self.revision(texts, draft)
    }

    /// Writes the next revision. Returns its number.
    fn revision(&mut self, texts: &Texts, draft: Draft) -> Result<u64, PlanError> {
        let number = self.view.next_revision().ok_or(PlanError::NoNumber)?;
        let record = RevisionRecord {
            draft,
            write: Some(self.write.clone()),
            texts: self.texts(texts, INLINE_BYTES_MAX)?,
        };
        self.record(&Key::Revision(number), &record)?;
        self.number = Some(number);
        Ok(number)
    }

    /// The texts as a record has them, with so many bytes in the record itself.
    fn texts(&mut self, texts: &Texts, inline_bytes_max: usize) -> Result<TextsRecord, PlanError> {
        let all: Vec<(&ConfigName, &Arc<[u8]>)> = texts.iter().collect();
        let parted = parted(&all, inline_bytes_max);
        let files = texts.iter().map(|(name, text)| (name.clone(), text.len()));
        let mut record = TextsRecord {
            digest: digest(texts),
            files: files.collect(),
            text: String::new(),
            parts: BTreeMap::new(),
        };
        for (name, text) in texts {
            if parted.contains(name) {
                record.parts.insert(name.clone(), self.parts(text)?);
            } else {
                let text = std::str::from_utf8(text);
                let text = text.map_err(|_| PlanError::Encoding(name.as_str().to_owned()))?;
                record.text.push_str(text);
            }
        }
        Ok(record)
    }

    /// Refers to a text in parts. Those that the store does not have are written before.
    fn parts(&mut self, text: &[u8]) -> Result<Parts, PlanError> {
        let (parts, pieces) = Parts::of(text).map_err(|_| PlanError::TextsTooLarge(text.len()))?;
        for (number, piece) in (0..).zip(pieces) {
            let known = self.view.parts.get(&(parts.digest, number));
            if known.is_none_or(|known| *known.value != *piece) {
                let key = self.prefix().encode(&Key::Text(parts.digest, number));
                self.parts.insert(key, piece.to_vec());
            }
        }
        // What is there may be swept at the same time.
        self.rest_on(&Key::Sweep);
        Ok(parts)
    }
}

/// The largest texts, which lie in parts as all together have more bytes than `whole_bytes_max`.
fn parted(texts: &[(&ConfigName, &Arc<[u8]>)], whole_bytes_max: usize) -> BTreeSet<ConfigName> {
    let mut by_size: Vec<_> = texts.to_vec();
    by_size.sort_by_key(|(_, text)| text.len());
    let mut whole = 0;
    let mut parted = BTreeSet::new();
    for (name, text) in by_size {
        whole += text.len();
        if whole > whole_bytes_max {
            parted.insert(name.clone());
        }
    }
    parted
}

/// Checks the texts of a config.
fn check(texts: &Texts) -> Result<(), PlanError> {
    if texts.is_empty() {
        return Err(PlanError::NoTexts);
    }
    if texts.len() > TEXTS_MAX {
        return Err(PlanError::TooManyTexts(texts.len()));
    }
    let bytes = texts.values().map(|text| text.len()).sum();
    if bytes > TEXT_BYTES_MAX {
        return Err(PlanError::TextsTooLarge(bytes));
    }
    for (name, text) in texts {
        match Stored::read(text) {
            Ok(Stored::Whole(_)) => {}
            Ok(Stored::Parts(_)) => return Err(PlanError::Mark(name.as_str().to_owned())),
            Err(_) if text.starts_with(b"@parts") => return Err(PlanError::Mark(name.as_str().to_owned())),
            Err(_) => return Err(PlanError::Encoding(name.as_str().to_owned())),
        }
    }
    Ok(())
}
