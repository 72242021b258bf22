//! Activating a config: all of it takes effect, or nothing changes.

use jiff::Timestamp;
use waypost_admin::events::EventKind;
use waypost_admin::server::OpenError;
use waypost_plan::Plan;
use waypost_plan::difference::Difference;
use waypost_proxy::gateway::listeners::ListeningAt;
use waypost_proxy::gateway::{ApplyError, Opened};
use waypost_proxy::generation::Generation;
use waypost_proxy::observe::metrics::ending::Ending;

use super::Control;
use crate::check;
use crate::load::Checked;
use crate::log;
use crate::source::disk::write::{CommitError, Prepared};
use crate::state::StoreError;
use crate::state::revision::Origin;
use crate::state::revisions;
use crate::state::shared::canary::Tried;
use crate::texts::Texts;

/// An error of activating a config. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub(super) enum ActivateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the config on disk cannot be replaced: {0}")]
    Disk(CommitError),
    #[error(transparent)]
    Admin(#[from] OpenError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// The circumstances of an activation.
#[derive(Debug, Clone)]
pub(super) struct Activation {
    pub(super) origin: Origin,
    pub(super) by: Option<String>,
    if_unstorable: IfUnstorable,
    /// The time of the revert, unless the config is confirmed.
    pub(super) reverts_at: Option<Timestamp>,
    /// The instances of the fleet that try it before all take it.
    pub(super) tried: Option<Tried>,
}

/// The treatment of a config whose revision cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfUnstorable {
    /// The config is refused.
    Refuse,
    /// The config is activated, and its revision kept in memory: the source has it already.
    Remember,
}

impl Activation {
    /// Of a config that the source has.
    pub(super) fn of_source(origin: Origin) -> Self {
        Self {
            origin,
            by: None,
            if_unstorable: IfUnstorable::Remember,
            reverts_at: None,
            tried: None,
        }
    }

    /// Of a config that `by` sent or named.
    pub(super) fn requested(origin: Origin, by: String, reverts_at: Option<Timestamp>) -> Self {
        Self {
            origin,
            by: Some(by),
            if_unstorable: IfUnstorable::Refuse,
            reverts_at,
            tried: None,
        }
    }

    /// Of a config that `by` sent, for some instances to try it first.
    pub(super) fn trial(by: String, tried: Tried) -> Self {
        Self {
            tried: Some(tried),
            ..Self::requested(Origin::Api, by, None)
        }
    }
}

/// A config that may be activated.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) checked: Checked,
    pub(super) changes: Changes,
}

/// The changes from one config to the next. With many routes it takes milliseconds to find them.
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

/// A config that is about to be written.
struct Writing<'a> {
    texts: &'a Texts,
    summary: &'a str,
    activation: &'a Activation,
    /// The change of the source, if it is to have these texts.
    prepared: Option<Prepared>,
}

/// The revision of a config that is being activated.
#[derive(Debug)]
pub(super) struct Numbered {
    pub(super) number: u64,
    /// False if the active revision has the same text, and keeps its number.
    pub(super) is_new: bool,
    /// The routes of dials that were dropped with it.
    pub(super) dials_dropped: Vec<String>,
}

/// The result of an activation.
#[derive(Debug)]
pub(super) struct Activated {
    pub(super) summary: String,
    pub(super) dials_dropped: Vec<String>,
}

impl Control {
    /// Replaces the active config, as a revision, and in the source too if it is `prepared` there.
    ///
    /// First it is made certain that it can be obeyed here, then it is written, then it is in force. Each step up to the
    /// write undoes the earlier ones when it fails; the steps behind it cannot fail.
    pub(super) async fn activate(
        &mut self,
        texts: &Texts,
        candidate: Candidate,
        activation: &Activation,
        prepared: Option<Prepared>,
    ) -> Result<Activated, ActivateError> {
        let Candidate { mut checked, changes } = candidate;
        let before = self.gateway.generation();
        let settings = checked.generation.plan().settings().clone();
        let summary = changes.difference.to_string();

        let admin = self.reserve_admin(settings.admin.as_ref())?;
        let fetched = self.key_sets.of(checked.generation.plan(), &self.shared);
        checked.generation.set_fetched_keys(fetched);
        let writing = Writing {
            texts,
            summary: &summary,
            activation,
            prepared,
        };
        let (opened, revision) = match self.open_and_write(checked.generation, writing).await {
            Ok(written) => written,
            Err(error) => {
                // Those of the generation that does not go live.
                self.key_sets.retain(before.plan(), &self.shared);
                return Err(error);
            }
        };
        opened.generation().renumber(revision.number);
        self.apply_dials(opened.generation(), texts);
        let listened = self.gateway.serve(opened, &changes.ending).await;
        self.key_sets
            .retain(self.gateway.generation().plan(), &self.shared);

        self.announce(&listened);
        self.switch_admin(admin).await;
        if settings.state.path != before.plan().settings().state.path {
            log::warn("a changed `state` takes effect at the next start");
        }
        self.active = texts.clone();
        self.active_view = None;
        self.since = Timestamp::now();
        self.certificates.watch(checked.watch);
        self.report_certificates();
        self.follow_orders();
        self.state.revisions.prune();
        let mut dials_dropped = revision.dials_dropped.clone();
        dials_dropped.extend(self.settle_dials(activation).await);
        self.settle_rollouts().await;
        self.report_activation(&revision, &summary, activation);
        Ok(Activated {
            summary,
            dials_dropped,
        })
    }

    /// Opens the listeners of a config, then writes it.
    async fn open_and_write(
        &mut self,
        generation: Generation,
        writing: Writing<'_>,
    ) -> Result<(Opened, Numbered), ActivateError> {
        let opened = self.gateway.open(generation)?;
        let revision = self.write(opened.generation(), writing).await?;
        Ok((opened, revision))
    }

    /// Writes a config that is about to be in force: its revision, the changes of weights that it holds back, and its texts in
    /// the source.
    async fn write(
        &mut self,
        generation: &Generation,
        writing: Writing<'_>,
    ) -> Result<Numbered, ActivateError> {
        let activation = writing.activation;
        if self.fleet().is_some() {
            let (texts, summary) = (writing.texts, writing.summary);
            let written = self.write_shared(generation, texts, summary, activation).await;
            return Ok(written?);
        }
        let revision = self.store(generation.plan(), &writing).await?;
        let remember = activation.if_unstorable == IfUnstorable::Remember;
        let before = self.gateway.generation();
        let held_back = self
            .hold_back_changes(&before, generation, activation.by.as_deref(), remember)
            .await;
        let dials = match held_back {
            Ok(dials) => dials,
            Err(error) => {
                self.take_back(&revision);
                return Err(error.into());
            }
        };
        match writing.prepared.map(Prepared::commit).transpose() {
            Ok(committed) => {
                if let Some(committed) = committed {
                    committed.finish();
                }
                Ok(revision)
            }
            Err(error) => {
                self.take_back(&revision);
                self.take_back_changes(dials).await;
                Err(ActivateError::Disk(error))
            }
        }
    }

    /// Stores the revision of a config. A text that is active already is no new revision, unless it was requested.
    async fn store(&mut self, plan: &Plan, writing: &Writing<'_>) -> Result<Numbered, StoreError> {
        let Writing {
            texts,
            summary,
            activation,
            ..
        } = *writing;
        let is_same = revisions::hash(texts) == revisions::hash(&self.active);
        if is_same && activation.origin == Origin::File {
            return Ok(Numbered {
                number: self.number(),
                is_new: false,
                dials_dropped: Vec::new(),
            });
        }
        self.state.revisions.keep(plan.settings().state.keep.get());
        // Another gateway that has written the state until now may have given the next number.
        let claimed = self.claim_state().await;
        let (by, summary) = (activation.by.clone(), summary.to_owned());
        let revision = self.state.revisions.next(activation.origin, by, summary, texts);
        let stored = match claimed {
            Ok(()) => self.state.store_revision(&revision, texts),
            Err(error) => Err(error),
        };
        match stored {
            Err(error) if activation.if_unstorable == IfUnstorable::Remember => {
                self.remember_in_memory(&revision, texts, &error);
            }
            stored => stored?,
        }
        Ok(Numbered {
            number: revision.number,
            is_new: true,
            dials_dropped: Vec::new(),
        })
    }

    /// Removes a revision that was not activated.
    fn take_back(&mut self, revision: &Numbered) {
        if revision.is_new {
            self.state.revisions.take_back(revision.number);
        }
    }

    /// Logs and reports where clients are accepted.
    pub(super) fn announce(&self, listened: &[ListeningAt]) {
        for listener in listened {
            log::info(format_args!("listening on {listener}"));
        }
        let listening = self.listening();
        self.shared.update_report(|report| report.listening = listening);
    }

    /// Drops the dials of splits that have changed, and returns their routes. If the config may be reverted, they are kept,
    /// because they hold again then.
    async fn settle_dials(&mut self, activation: &Activation) -> Vec<String> {
        if self.tries().is_some() {
            // They hold again if it is taken back, and are dropped with its revision if it is not.
            Vec::new()
        } else if activation.reverts_at.is_some() {
            self.stale_dials()
        } else {
            self.drop_stale_dials().await
        }
    }

    /// Reports the activation in status, events and log.
    fn report_activation(&mut self, revision: &Numbered, summary: &str, activation: &Activation) {
        let Numbered { number, is_new, .. } = *revision;
        // Another instance may have applied it.
        let made = self
            .state
            .revisions
            .get(number)
            .filter(|_| activation.origin == Origin::Etcd);
        let (origin, by) = match made {
            Some(made) => (made.origin, made.by.clone()),
            None => (activation.origin, activation.by.clone()),
        };
        self.shared
            .update_report(|report| report.applied += u64::from(is_new));
        // The status comes first: a reader of the event or the log may ask for it at once.
        self.clear_refusal();
        self.report_state();
        if is_new {
            self.shared.events.publish(EventKind::Applied {
                revision: number,
                origin: origin.as_str().to_owned(),
                summary: summary.to_owned(),
                by,
                reverts_at: activation.reverts_at,
            });
        }
        self.supervisor.status(&self.in_one_line());
        let serves = check::summary(self.gateway.generation().plan());
        match self.tries() {
            None => log::info(format_args!("revision {number} is in force: {serves}")),
            Some(id) => log::info(format_args!("canary {id} is tried here: {serves}")),
        }
    }
}
