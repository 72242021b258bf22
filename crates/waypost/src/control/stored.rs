//! Revisions and dials in the state directory, as the control uses them.

use waypost_admin::command;
use waypost_admin::report::DamagedFile;
use waypost_plan::Plan;
use waypost_plan::difference::Difference;

use super::Control;
use crate::checksummed::Damaged;
use crate::log;
use crate::state::dials::Dials;
use crate::state::revision::{Origin, Revision};
use crate::state::revisions;
use crate::state::shared::shared_texts;
use crate::state::{State, StoreError};
use crate::texts::Texts;
use crate::{check, load};

impl Control {
    /// Claims the state directory. If another gateway has written there until now, its dials and revisions are taken over.
    pub(super) async fn claim_state(&mut self) -> Result<(), StoreError> {
        let known = self.state.damaged.clone();
        let Some(unstored) = self.state.claim()? else {
            return Ok(());
        };
        let found = self.state.damaged.iter();
        found
            .filter(|damaged| !known.contains(damaged))
            .for_each(log_damaged);
        let generation = self.gateway.generation();
        self.state.dials.apply_to(&generation);
        // A rollout that cannot go on claims the state in turn, to end.
        Box::pin(self.restore_rollouts()).await;
        let active = generation.number();
        for (mut revision, texts) in unstored {
            let was = revision.number;
            // Another gateway on the same config has stored the same edits.
            let same = self.state.revisions.with_hash(&revision.hash);
            let number = match same {
                Some(number) => number,
                None if !self.state.revisions.is_given(was) => {
                    self.state.store_revision(&revision, &texts)?;
                    was
                }
                None => {
                    let next = self
                        .state
                        .revisions
                        .next(revision.origin, None, String::new(), &texts);
                    revision.number = next.number;
                    self.state.store_revision(&revision, &texts)?;
                    revision.number
                }
            };
            if was == active && number != was {
                log::info(format_args!(
                    "revision {was} is now revision {number}: the state has another revision {was}"
                ));
                generation.renumber(number);
            }
        }
        Ok(())
    }

    /// Stores the dials, if the state could be claimed.
    pub(super) async fn store_dials(
        &mut self,
        claimed: Result<(), StoreError>,
        dials: &Dials,
    ) -> Result<(), StoreError> {
        claimed?;
        self.state.store_dials(dials).await
    }

    /// Retries pending writes to the state directory.
    pub(super) async fn retry_state(&mut self) {
        let claimed = self.claim_state().await;
        let dials = self.state.dials.clone();
        let stored = self.store_dials(claimed, &dials).await;
        // The status comes before the log: a reader of the line may ask for it at once.
        self.report_state();
        if stored.is_ok() {
            log::info("the state can be written again");
        }
    }

    /// Stores the revision that a start serves, or keeps it in memory.
    pub(super) async fn store_first(&mut self, revision: &Revision) {
        let texts = self.active.clone();
        if !self.state.is_writable() {
            // The reason is logged already.
            self.state.revisions.remember(revision, &texts);
        } else if let Err(error) = self.state.store_revision(revision, &texts) {
            self.remember_in_memory(revision, &texts, &error);
        }
    }

    /// Keeps a revision that cannot be stored for as long as the process lives.
    pub(super) fn remember_in_memory(&mut self, revision: &Revision, texts: &Texts, error: &StoreError) {
        log::warn(format_args!(
            "{error}; revision {} is kept in memory only",
            revision.number
        ));
        self.state.revisions.remember(revision, texts);
    }

    /// The routes of dials that do not hold under the active config.
    pub(super) fn stale_dials(&self) -> Vec<String> {
        self.state
            .dials
            .clone()
            .drop_stale(self.gateway.generation().plan())
    }

    /// Drops the dials that do not hold under the active config, and returns their routes.
    pub(super) async fn drop_stale_dials(&mut self) -> Vec<String> {
        let mut dials = self.state.dials.clone();
        let stale = dials.drop_stale(self.gateway.generation().plan());
        if dials == self.state.dials {
            return stale;
        }
        if self.fleet().is_some() {
            // They do not hold, wherever they lie. The leader deletes them for all, unless the config has done so.
            self.sweep().await;
            return Vec::new();
        }
        for route in &stale {
            log::info(format_args!(
                "the dial of the route `{route}` is dropped: its split is not the one that was dialed"
            ));
        }
        if let Err(error) = self.state.store_dials(&dials).await {
            // They do not hold, although the file has them.
            log::warn(error);
            self.state.dials = dials;
        }
        stale
    }
}

/// The revision that a start serves: the latest one if the texts are the same, else a new one, which is not stored yet.
pub(super) fn first_revision(state: &State, texts: &Texts, plan: &Plan) -> Revision {
    let latest = state.revisions.latest();
    if let Some(latest) = latest
        && latest.hash == revisions::hash(texts)
    {
        return latest.clone();
    }
    let before = latest.and_then(|latest| {
        let texts = state.revisions.texts(latest.number).ok()?;
        load::load(&texts).ok()
    });
    let summary = match before {
        Some(before) => Difference::between(&before.plan, plan).to_string(),
        None => check::summary(plan),
    };
    let mut revision = state.revisions.next(Origin::File, None, summary, texts);
    let last = state.shared().and_then(|shared| shared.fleet.last_served());
    if let Some(last) = last.filter(|last| latest.is_none() && last.texts == shared_texts(texts)) {
        // The prefix was wiped, and with it the revisions.
        revision.number = last.number;
    }
    if texts.sources.is_empty() {
        // Nothing is served yet: see a fleet whose prefix is empty.
        revision.number = 0;
    }
    revision
}

/// Logs errors and damaged files of a state that was just opened.
pub(super) fn log_state(state: &State) {
    for trouble in state.troubles() {
        log::warn(trouble);
    }
    if !state.is_writable() {
        log::warn("until this is fixed, dials are refused, and revisions are kept in memory only");
    }
    state.damaged.iter().for_each(log_damaged);
}

pub(super) fn log_damaged(damaged: &Damaged) {
    let what = if damaged.now == damaged.file {
        "it is left where it is".to_owned()
    } else {
        format!("it is now `{}`", damaged.now.display())
    };
    log::warn(format_args!(
        "`{}` is damaged: {}; {what}",
        damaged.file.display(),
        damaged.why
    ));
}

pub(super) fn damaged_view(damaged: &Damaged) -> DamagedFile {
    DamagedFile {
        file: damaged.file.display().to_string(),
        now: damaged.now.display().to_string(),
        why: damaged.why.clone(),
    }
}

pub(super) fn revision_view(revision: &Revision) -> command::Revision {
    command::Revision {
        number: revision.number,
        time: revision.time,
        origin: revision.origin.as_str().to_owned(),
        hash: revision.hash.clone(),
        summary: revision.summary.clone(),
        by: revision.by.clone(),
    }
}
