//! Bringing a config into force: whatever it comes from, all of it, or nothing.

use jiff::Timestamp;
use waypost_admin::events::EventKind;
use waypost_admin::server::OpenError;
use waypost_plan::difference::Difference;
use waypost_proxy::gateway::{ApplyError, Listened};
use waypost_proxy::generation::Generation;
use waypost_proxy::observe::metrics::ending::Ending;

use super::Control;
use super::address::{AdminChange, say_admin};
use super::disk::{CommitError, Committed, Prepared, say_kept};
use crate::check;
use crate::config::Texts;
use crate::load::Checked;
use crate::output::eprint;
use crate::state::StoreError;
use crate::state::revisions::{self, Origin};

/// Why a config could not be brought into force. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForceError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the config on disk cannot be replaced: {0}")]
    Disk(CommitError),
    #[error(transparent)]
    Admin(#[from] OpenError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Where a config that comes into force comes from.
#[derive(Debug, Clone)]
pub(super) struct Provenance {
    pub(super) origin: Origin,
    by: Option<String>,
    unstorable: Unstorable,
    /// When it is taken back.
    pub(super) reverts_at: Option<Timestamp>,
}

/// What becomes of a config whose revision cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unstorable {
    /// It is refused.
    Refused,
    /// It comes into force all the same, and its revision is kept in memory: what is on disk is the user's will.
    Remembered,
}

impl Provenance {
    /// The disk.
    pub(super) fn disk(origin: Origin) -> Self {
        Self {
            origin,
            by: None,
            unstorable: Unstorable::Remembered,
            reverts_at: None,
        }
    }

    /// Somebody who asks.
    pub(super) fn asked(origin: Origin, by: String, reverts_at: Option<Timestamp>) -> Self {
        Self {
            origin,
            by: Some(by),
            unstorable: Unstorable::Refused,
            reverts_at,
        }
    }
}

/// A config that may take the place of the one in force.
#[derive(Debug)]
pub(super) struct Successor {
    pub(super) checked: Checked,
    pub(super) changes: Changes,
}

/// What changes from one config to the next. With many routes it takes milliseconds to find that.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) difference: Difference,
    ending: Ending,
}

impl Changes {
    pub(super) fn between(before: &Generation, after: &Generation) -> Self {
        let difference = Difference::between(before.plan(), after.plan());
        let ending = Ending::between(before.plan(), after.plan(), &difference);
        Self { difference, ending }
    }
}

/// A config that has come into force.
#[derive(Debug)]
pub(super) struct InForce {
    pub(super) summary: String,
    pub(super) dials_dropped: Vec<String>,
}

impl Control {
    /// Puts a config in the place of the one in force, as a revision, and on disk if it is `prepared`. Errors leave
    /// everything as it was.
    pub(super) async fn bring_into_force(
        &mut self,
        texts: &Texts,
        successor: Successor,
        provenance: &Provenance,
        prepared: Option<Prepared>,
    ) -> Result<InForce, ForceError> {
        let Successor { checked, changes } = successor;
        let before = self.gateway.generation();
        let summary = changes.difference.to_string();
        let settings = checked.generation.plan().settings().clone();
        let admin = self.prepare_admin(settings.admin.as_ref())?;

        // A text that is in force already is no new revision, unless somebody asks for one.
        let is_same = revisions::hash(texts) == revisions::hash(&self.in_force);
        let adds = !is_same || provenance.origin != Origin::File;
        let mut number = before.number();
        if adds {
            self.state.revisions.keep(settings.state.keep.get());
            // Whoever wrote the state until now may have given the number.
            let claimed = self.claim_state();
            let by = provenance.by.clone();
            let revision = self
                .state
                .revisions
                .next(provenance.origin, by, summary.clone(), texts);
            number = revision.number;
            let stored = claimed.and_then(|()| self.state.store_revision(&revision, texts));
            match stored {
                Err(error) if provenance.unstorable == Unstorable::Remembered => {
                    eprint(&format!(
                        "waypost: {error}; revision {number} is kept in memory only\n"
                    ));
                    self.state.revisions.remember(&revision, texts);
                }
                stored => stored?,
            }
        }
        let committed = match prepared.map(Prepared::commit).transpose() {
            Ok(committed) => committed,
            Err(error) => {
                self.take_back(number, adds);
                return Err(ForceError::Disk(error));
            }
        };
        let generation = checked.generation.numbered(number);
        self.state.dials.apply_to(&generation);
        let listened = match self.gateway.apply(generation, &changes.ending).await {
            Ok(listened) => listened,
            Err(error) => {
                self.take_back(number, adds);
                if let Some(Err(undone)) = committed.map(Committed::undo) {
                    eprint(&format!(
                        "waypost: the config on disk cannot be put back: {undone}\n"
                    ));
                }
                return Err(error.into());
            }
        };

        if let Some(committed) = committed {
            say_kept(&committed.kept);
            committed.finish();
        }
        self.announce(&listened);
        match admin {
            AdminChange::None => {}
            AdminChange::Access(access) => {
                if let Some(server) = &self.server {
                    server.set_access(access);
                }
            }
            AdminChange::Server(server, no_server) => {
                if let Some(old) = std::mem::replace(&mut self.server, server) {
                    old.close().await;
                }
                say_admin(self.server.as_ref(), no_server.as_ref());
            }
        }
        if settings.state.path != before.plan().settings().state.path {
            eprint("waypost: a changed `state` takes effect at the next start\n");
        }
        self.in_force = texts.clone();
        self.secrets.watch(checked.watch);
        self.report_secrets();
        self.served = None;
        self.state.revisions.prune();
        let dials_dropped = if provenance.reverts_at.is_some() {
            // They hold again when it is taken back.
            self.stale_dials()
        } else {
            self.drop_stale_dials()
        };
        self.shared
            .update_report(|report| report.applied += u64::from(adds));
        // Whoever is told that it is in force may ask for the status at once.
        self.note_mended();
        self.report_state();
        if adds {
            self.shared.events.publish(EventKind::Applied {
                revision: number,
                origin: provenance.origin.as_str().to_owned(),
                summary: summary.clone(),
                by: provenance.by.clone(),
                reverts_at: provenance.reverts_at,
            });
        }
        eprint(&format!(
            "revision {number} is in force: {}\n",
            check::summary(self.gateway.generation().plan())
        ));
        Ok(InForce {
            summary,
            dials_dropped,
        })
    }

    /// Forgets a revision that did not come into force.
    fn take_back(&mut self, number: u64, was_added: bool) {
        if was_added {
            self.state.revisions.take_back(number);
        }
    }

    pub(super) fn announce(&self, listened: &[Listened]) {
        for listener in listened {
            let scheme = listener.scheme;
            eprint(&format!("listening on {scheme}://{}\n", listener.address));
        }
        let listening = self.listening();
        self.shared.update_report(|report| report.listening = listening);
    }
}
