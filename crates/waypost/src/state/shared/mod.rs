//! The state of a gateway in a fleet: what the view says that it obeys, and nothing else. Changes are proposed against that
//! view, so that what another instance did meanwhile is never overwritten unseen.

pub(crate) mod canary;
mod portions;
pub(crate) mod records;

use std::sync::Arc;

use waypost_fleet::config;
use waypost_fleet::key::ConfigName;
use waypost_fleet::proposal::{self, Apply, Intent, Note};
use waypost_fleet::record::revision::Draft;
use waypost_fleet::view::View;

use crate::fleet::{Availability, Fleet, ProposeError, Proposed};
use crate::state::dials::Dials;
use crate::texts::{Texts, file_name};

/// The state that a fleet shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) fleet: Arc<Fleet>,
    /// The view that this instance obeys.
    obeyed: Arc<View>,
}

impl Shared {
    pub(super) fn new(fleet: Arc<Fleet>) -> Self {
        let obeyed = fleet.view();
        Self { fleet, obeyed }
    }

    /// The view that this instance obeys.
    pub(crate) fn obeyed(&self) -> &Arc<View> {
        &self.obeyed
    }

    pub(super) fn obey(&mut self, view: Arc<View>) {
        self.obeyed = view;
    }

    /// Returns true if dials, drains and rollouts are the very same in a newer view.
    pub(super) fn has_dials_of(&self, newer: &View) -> bool {
        Arc::ptr_eq(&self.obeyed.dials, &newer.dials)
            && Arc::ptr_eq(&self.obeyed.drains, &newer.drains)
            && Arc::ptr_eq(&self.obeyed.rollouts, &newer.rollouts)
    }

    /// Returns true if the prefix has neither a config nor anything that goes with one: it is new, or was wiped.
    pub(super) fn is_wiped(&self) -> bool {
        let view = &self.obeyed;
        view.config_keys.is_empty()
            && view.dials.is_empty()
            && view.drains.is_empty()
            && view.rollouts.is_empty()
    }

    /// Returns true if etcd can be asked.
    pub(super) fn is_available(&self) -> bool {
        self.fleet.availability() == Availability::Available
    }

    /// Returns an error while etcd is away.
    pub(super) fn expect_available(&self) -> Result<(), ProposeError> {
        match self.fleet.availability() {
            Availability::Available => Ok(()),
            Availability::Away { why, .. } => Err(ProposeError::Away(why)),
        }
    }

    /// Stores dials, drains and rollouts.
    pub(super) async fn store(&mut self, dials: &Dials) -> Result<(), ProposeError> {
        let changes = self.changes(dials);
        if changes == proposal::State::default() {
            return Ok(());
        }
        for changes in portions::of(changes) {
            let wanted = self.fenced(changes);
            let intent = Intent::State(wanted.clone());
            let proposed = self.fleet.propose(&self.obeyed, intent).await?;
            self.take(&wanted, &proposed.view);
        }
        Ok(())
    }

    /// Stores a config for all, with what changes along. Returns the number of its revision.
    pub(super) async fn apply(
        &mut self,
        texts: config::Texts,
        draft: Draft,
        dials: &Dials,
    ) -> Result<u64, ProposeError> {
        let state = self.fenced(self.changes(dials));
        let apply = Apply {
            texts: texts.clone(),
            draft,
            state: state.clone(),
        };
        let proposed = self.fleet.propose(&self.obeyed, Intent::Apply(apply)).await?;
        self.take(&state, &proposed.view);
        let is_newest = |view: &View| {
            let config = view.config.as_ref();
            config.is_some_and(|config| config.texts == texts)
        };
        // Another one may have been applied since, which is not obeyed yet.
        if is_newest(&proposed.view) {
            self.take_config(&proposed.view);
        }
        Ok(self.number(&proposed))
    }

    /// Stores a revision of the config that was put into etcd by other means. Returns its number.
    pub(super) async fn note(&mut self, draft: Draft, dials: &Dials) -> Result<u64, ProposeError> {
        let Some(fence) = self.fleet.fence() else {
            return Err(ProposeError::Away("another instance leads".to_owned()));
        };
        let state = self.fenced(self.changes(dials));
        let note = Note {
            draft,
            state: state.clone(),
            fence,
        };
        let proposed = self.fleet.propose(&self.obeyed, Intent::Note(note)).await?;
        self.take(&state, &proposed.view);
        Arc::make_mut(&mut self.obeyed).revisions = proposed.view.revisions.clone();
        Ok(self.number(&proposed))
    }

    /// The number of the revision that a proposal with a config has made.
    fn number(&self, proposed: &Proposed) -> u64 {
        let newest = self.obeyed.revisions.last_key_value();
        proposed
            .number
            .or(newest.map(|(number, _)| *number))
            .unwrap_or_default()
    }

    fn changes(&self, dials: &Dials) -> proposal::State {
        records::changes(&self.obeyed, dials)
    }

    /// The changes as the leader makes them. A rollout that comes with a config, at an instance that does not lead, is begun in
    /// the leader's name: it goes on with it as soon as it sees it.
    fn fenced(&self, changes: proposal::State) -> proposal::State {
        let leader = || self.obeyed.leader().map(|leader| leader.fence);
        let fence = match changes.rollouts.is_empty() && changes.certificates.is_empty() {
            true => None,
            false => self.fleet.fence().or_else(leader),
        };
        proposal::State { fence, ..changes }
    }

    /// Obeys what this instance has changed, and nothing else of a newer view.
    fn take(&mut self, changed: &proposal::State, newer: &View) {
        let obeyed = Arc::make_mut(&mut self.obeyed);
        for route in changed.dials.keys() {
            take(&mut obeyed.dials, &newer.dials, &**route);
        }
        for name in changed.drains.keys() {
            take(&mut obeyed.drains, &newer.drains, name);
        }
        for lead in changed.rollouts.keys() {
            take(&mut obeyed.rollouts, &newer.rollouts, &**lead);
        }
    }

    /// Obeys the config of a newer view.
    fn take_config(&mut self, newer: &View) {
        let obeyed = Arc::make_mut(&mut self.obeyed);
        obeyed.at = newer.at;
        obeyed.config = newer.config.clone();
        obeyed.config_trouble = newer.config_trouble.clone();
        obeyed.config_keys = newer.config_keys.clone();
        obeyed.config_gone = newer.config_gone.clone();
        obeyed.revisions = newer.revisions.clone();
        obeyed.canary = newer.canary.clone();
        obeyed.canary_config = newer.canary_config.clone();
        obeyed.parts = newer.parts.clone();
        obeyed.swept = newer.swept;
    }
}

/// The texts as a fleet has them. A name that it cannot have is left out: the admin API has refused it before.
pub(crate) fn shared_texts(texts: &Texts) -> config::Texts {
    let sources = texts.sources.iter();
    sources
        .filter_map(|source| {
            Some((
                ConfigName::new(file_name(&source.name))?,
                Arc::clone(&source.text),
            ))
        })
        .collect()
}

/// Takes one value over.
fn take<K, Q, T: ?Sized>(
    obeyed: &mut waypost_fleet::view::Shelf<K, T>,
    newer: &waypost_fleet::view::Shelf<K, T>,
    key: &Q,
) where
    K: Ord + Clone + std::borrow::Borrow<Q>,
    Q: Ord + ?Sized,
{
    let obeyed = Arc::make_mut(obeyed);
    match newer.get_key_value(key) {
        Some((key, kept)) => {
            obeyed.insert(key.clone(), kept.clone());
        }
        None => {
            obeyed.remove(key);
        }
    }
}
