//! What the control stores, and what it finds stored.

use waypost_admin::command;
use waypost_admin::report::DamagedFile;
use waypost_plan::Plan;
use waypost_plan::difference::Difference;

use super::Control;
use crate::config::Texts;
use crate::output::eprint;
use crate::state::revisions::{self, Origin, Revision};
use crate::state::sealed::Damaged;
use crate::state::{State, StoreError};
use crate::{check, load};

impl Control {
    /// Makes sure that this gateway may store things. When another one did so until now, what that one stored holds.
    pub(super) fn claim_state(&mut self) -> Result<(), StoreError> {
        let Some(unstored) = self.state.claim()? else {
            return Ok(());
        };
        let generation = self.gateway.generation();
        self.state.dials.apply_to(&generation);
        let in_force = generation.number();
        for (mut revision, texts) in unstored {
            let was = revision.number;
            // Another gateway on the same config has seen the same edits.
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
            if was == in_force && number != was {
                eprint(&format!(
                    "revision {was} is revision {number} from now on: the state has another {was}\n"
                ));
                generation.renumber(number);
            }
        }
        Ok(())
    }

    /// Tries once more to store what is to be stored, so that all is well again when the disk is.
    pub(super) fn mend_state(&mut self) {
        let mended = self.claim_state().and_then(|()| {
            let dials = self.state.dials.clone();
            self.state.store_dials(&dials)
        });
        // Who reads the line may ask for the status at once.
        self.report_state();
        if mended.is_ok() {
            eprint("the state can be written again\n");
        }
    }

    /// Stores the revision that a start serves, as far as that is possible.
    pub(super) fn store_first(&mut self, revision: &Revision) {
        let texts = self.in_force.clone();
        if !self.state.is_writable() {
            // Why not is said already.
            self.state.revisions.remember(revision, &texts);
        } else if let Err(error) = self.state.store_revision(revision, &texts) {
            eprint(&format!(
                "waypost: {error}; revision {} is kept in memory only\n",
                revision.number
            ));
            self.state.revisions.remember(revision, &texts);
        }
    }

    /// The dials that do not hold under the config in force.
    pub(super) fn stale_dials(&self) -> Vec<String> {
        self.state
            .dials
            .clone()
            .drop_stale(self.gateway.generation().plan())
    }

    /// Lets go of them.
    pub(super) fn drop_stale_dials(&mut self) -> Vec<String> {
        let mut dials = self.state.dials.clone();
        let stale = dials.drop_stale(self.gateway.generation().plan());
        if stale.is_empty() {
            return stale;
        }
        for route in &stale {
            eprint(&format!(
                "the dial of the route `{route}` is dropped: its split is not the one that was dialed\n"
            ));
        }
        if let Err(error) = self.state.store_dials(&dials) {
            // They do not hold, whatever the file says.
            eprint(&format!("waypost: {error}\n"));
            self.state.dials = dials;
        }
        stale
    }
}

/// The revision that a start serves: the latest one if the text is the same, else a new one, which is not stored yet.
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
    state.revisions.next(Origin::File, None, summary, texts)
}

pub(super) fn say_what_was_found(state: &State) {
    for trouble in state.troubles() {
        eprint(&format!("waypost: {trouble}\n"));
    }
    if !state.is_writable() {
        eprint("waypost: until that is mended, dials are refused, and revisions are kept in memory only\n");
    }
    state.damaged.iter().for_each(say_damaged);
}

pub(super) fn say_damaged(damaged: &Damaged) {
    let what = if damaged.now == damaged.file {
        "it is left where it is".to_owned()
    } else {
        format!("it is now `{}`", damaged.now.display())
    };
    eprint(&format!(
        "waypost: `{}` is damaged: {}; {what}\n",
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
