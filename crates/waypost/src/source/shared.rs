//! Configs that a fleet shares: texts under its prefix in etcd.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use waypost_config::{Kind, Source};
use waypost_fleet::config::{self, Config, digest};
use waypost_fleet::key::{ConfigName, Key};
use waypost_fleet::record::WriteId;
use waypost_fleet::record::canary::CanaryRecord;
use waypost_fleet::view::View;

use super::disk::material;
use super::disk::stamp::Stamp;
use crate::fleet::Fleet;
use crate::state::pointer::Claim;
use crate::state::shared::shared_texts;
use crate::texts::{Texts, file_name};

/// The name of the text that a config begins with where it is sent as one file.
const FIRST: &str = "waypost.yaml";

/// A config of a fleet.
#[derive(Debug)]
pub(crate) struct Shared {
    fleet: Arc<Fleet>,
    /// The view that is obeyed.
    view: Arc<View>,
    /// The instance's own text, which is laid over the shared ones.
    local: Option<Source>,
    /// The directory that relative names of files count from.
    directory: PathBuf,
    /// The right to say where the state is, for as long as this process lives.
    #[expect(dead_code, reason = "it is held")]
    claim: Option<Claim>,
}

impl Shared {
    pub(crate) fn new(fleet: Arc<Fleet>, local: Option<Source>, directory: PathBuf) -> Self {
        Self {
            view: fleet.view(),
            fleet,
            local,
            directory,
            claim: None,
        }
    }

    /// The same, which holds a claim.
    pub(crate) fn holding(self, claim: Option<Claim>) -> Self {
        Self { claim, ..self }
    }

    pub(crate) fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// Reads from this view from now on.
    pub(super) fn obey(&mut self, view: Arc<View>) {
        self.view = view;
    }

    /// Returns true if this instance tries a config for the others.
    pub(crate) fn is_trying(&self) -> bool {
        self.trying().is_some()
    }

    /// The config that this instance tries for the others.
    pub(crate) fn trying(&self) -> Option<WriteId> {
        self.view.canary_config.as_ref()?;
        let canary = self.chosen_for()?;
        (!self.fleet.has_met(&canary.id)).then(|| canary.id.clone())
    }

    /// The config that this instance does not try: an earlier process of it was chosen.
    pub(crate) fn does_not_try(&self) -> Option<WriteId> {
        let canary = self.chosen_for()?;
        self.fleet.has_met(&canary.id).then(|| canary.id.clone())
    }

    /// The canary under way that this instance was chosen for.
    fn chosen_for(&self) -> Option<&CanaryRecord> {
        let canary = &*self.view.canary.as_ref()?.value;
        canary.is_tried_by(&self.fleet.id()).then_some(canary)
    }

    /// The texts of the canary under way.
    pub(crate) fn canary_texts(&self) -> Option<Texts> {
        let config = self.view.canary_config.as_ref()?;
        Some(self.named(&config.texts))
    }

    /// The number of the revision that has these texts, if it is the newest one.
    pub(crate) fn number_of(&self, texts: &Texts) -> Option<u64> {
        let (number, newest) = self.view.revisions.last_key_value()?;
        let is_same = newest.value.texts.digest == digest(&shared_texts(texts));
        is_same.then_some(*number)
    }

    /// The revisions, the newest first, with their texts.
    pub(crate) fn revisions(&self) -> impl Iterator<Item = (u64, Texts)> {
        let newest_first = self.view.revisions.iter().rev();
        newest_first.filter_map(|(number, kept)| {
            let texts = self.view.texts(&kept.value.texts).ok()?;
            Some((*number, self.named(&texts)))
        })
    }

    /// The config that this instance served before its start, unless there is a newer revision.
    pub(crate) fn last_served(&self) -> Option<(u64, Texts)> {
        let last = self.fleet.last_served()?;
        let newest = self.view.revisions.last_key_value();
        let is_newest = newest.is_none_or(|(newest, _)| *newest <= last.number);
        is_newest.then(|| (last.number, self.named(&last.texts)))
    }

    fn wanted(&self) -> Option<&Arc<Config>> {
        match self.is_trying() {
            true => self.view.canary_config.as_ref(),
            false => self.view.config.as_ref(),
        }
    }

    /// The texts that count together with those of `names`, as one transaction changed them. `before` are those that were good
    /// before.
    pub(super) fn changed_with<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        before: impl Iterator<Item = &'n str>,
    ) -> BTreeSet<String> {
        let known = |name: &str| ConfigName::new(file_name(name));
        let together = self.view.changed_with(
            &names.filter_map(known).collect(),
            &before.filter_map(known).collect(),
        );
        let full = |name| self.fleet.prefix().encode(&Key::Config(name));
        together.into_iter().map(full).collect()
    }

    pub(super) fn name(&self) -> String {
        format!("etcd: {}", self.fleet.prefix())
    }

    pub(super) fn directory(&self) -> PathBuf {
        self.directory.clone()
    }

    /// The texts of the config of all; none while the prefix is empty.
    pub(crate) fn of_all(&self) -> Texts {
        match &self.view.config {
            Some(config) => self.named(&config.texts),
            None => self.named(&config::Texts::new()),
        }
    }

    /// The texts that this instance is to obey; none while the prefix is empty.
    pub(crate) fn read(&self) -> Texts {
        match self.wanted() {
            Some(config) => self.named(&config.texts),
            None => self.named(&config::Texts::new()),
        }
    }

    /// Texts with their full names.
    fn named(&self, texts: &config::Texts) -> Texts {
        let sources = texts.iter().map(|(name, text)| Source {
            name: self.fleet.prefix().encode(&Key::Config(name.clone())),
            text: Arc::clone(text),
        });
        Texts {
            sources: sources.collect(),
            kind: Kind::Directory,
            local: self.local.clone(),
        }
    }

    pub(super) fn text_name(&self, file: &str) -> String {
        let file = if file.is_empty() { FIRST } else { file };
        format!("{}/config/{file}", self.fleet.prefix())
    }

    pub(super) fn locate(&self, name: &str) -> PathBuf {
        material::locate(&self.directory, name)
    }

    pub(super) fn read_material(&self, name: &str, bytes_max: u64) -> (Stamp, io::Result<Vec<u8>>) {
        material::read(&self.directory, name, bytes_max)
    }
}
