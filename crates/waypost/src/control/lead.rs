//! Leading a fleet: the leader makes revisions of configs that were put into etcd by other means, and turns rollouts.
//!
//! Rollouts it turns only while the config that it has to obey is in force here. One that keeps another config, because it
//! cannot obey that of all, would end rollouts and drop dials of routes that it does not know; it holds them, and leaves the
//! lead to an instance that obeys, if there is one. A config that it tries for the others leaves the splits of rollouts as they
//! are.

use waypost_admin::problem::Problem;

use super::Control;
use crate::log;
use crate::source::shared::Shared;
use crate::state::dials::Dials;
use crate::state::revision::{Origin, Revision};
use crate::state::shared::Retold;
use crate::texts::Texts;

/// The most dials of rollouts under way that are stored at once. The others follow with the view that has these.
const CARRIED_OVER_MAX: usize = 50;

impl Control {
    /// Returns true if this gateway decides about rollouts: it has its state to itself, or leads its fleet and has the config
    /// in force that it has to obey.
    pub(super) fn is_in_charge(&self) -> bool {
        self.state.is_claimed() && self.is_wanted(&self.active)
    }

    /// Refuses what is about rollouts, if this instance leads and holds them.
    pub(super) fn expect_charge(&self) -> Result<(), Problem> {
        match self.state.is_claimed() && !self.is_in_charge() {
            true => Err(Problem::conflict(
                "nothing is done: this instance leads the fleet, and the config of all is not in force at it, so rollouts \
                 hold; `waypost fleet` says why",
            )),
            false => Ok(()),
        }
    }

    /// Begins or ends to lead, or goes on with it.
    ///
    /// `retold` are rollouts that are not as this instance has written or seen them last: etcd is right about them.
    pub(super) async fn take_lead(&mut self, is_other: bool, retold: &[Retold]) {
        let (leads, is_in_charge) = (self.state.is_claimed(), self.is_in_charge());
        let Some(part) = &mut self.part else { return };
        let led = std::mem::replace(&mut part.leads, leads);
        let was_in_charge = std::mem::replace(&mut part.is_in_charge, is_in_charge);
        if led != leads {
            log::info(match leads {
                true => "this instance leads the fleet",
                false => "this instance leads the fleet no longer",
            });
        }
        if leads && !is_in_charge && (was_in_charge || !led) {
            log::warn(
                "rollouts hold: this instance leads the fleet, and the config of all is not in force at it",
            );
        }
        if was_in_charge != is_in_charge {
            if leads {
                // What was counted so far, for who goes on with them.
                self.store_evidence().await;
            }
            self.restore_rollouts().await;
            self.sweep().await;
        } else if is_in_charge && is_other {
            self.retake_rollouts(retold).await;
            self.settle_rollouts().await;
            self.sweep().await;
        }
        if leads {
            self.note_active().await;
        }
        self.report_rollouts();
    }

    /// Makes a revision of the config in force, if it was put into etcd and has none.
    async fn note_active(&mut self) {
        let newest = self.state.revisions.latest();
        if newest.is_some_and(|newest| newest.number == self.number()) {
            return;
        }
        let texts = self.active.clone();
        let summary = crate::check::summary(self.gateway.generation().plan());
        self.note_put(&texts, summary).await;
        self.take_number();
    }

    /// Makes a revision of a good config that was put into etcd, if this instance leads. It counts for the others also where
    /// this one cannot obey it.
    pub(super) async fn note_put(&mut self, texts: &Texts, summary: String) {
        let is_noted = |shared: &Shared| shared.number_of(texts).is_some();
        if !self.state.is_claimed()
            || texts.sources.is_empty()
            || !self.is_of_all(texts)
            || self.source.shared().is_none_or(is_noted)
        {
            return;
        }
        let revision = self.state.revisions.next(Origin::Etcd, None, summary, texts);
        let dials = self.state.dials.clone();
        self.note(&revision, &dials).await;
    }

    /// Makes a revision of the config that is in etcd. Returns its number; `None` if it is refused, or was a moment ago.
    pub(super) async fn note(&mut self, revision: &Revision, dials: &Dials) -> Option<u64> {
        let part = self.part.as_ref()?;
        if !part.note_again.is_due(part.began.elapsed()) {
            return None;
        }
        let noted = self.state.note(revision, dials).await;
        let part = self.part.as_mut()?;
        match noted {
            Ok(number) => {
                part.note_again.done();
                self.read_own();
                Some(number)
            }
            Err(error) => {
                if part.note_again.refused(part.began.elapsed(), &error.reason()) {
                    log::warn(format_args!("no revision is made of the config in etcd: {error}"));
                }
                None
            }
        }
    }

    /// Has deleted what has ended with the config in force, if that is for this instance to say. Dials of rollouts under way go on
    /// in the words of that config, where it came without them.
    pub(super) async fn sweep(&mut self) {
        // Drains may be of endpoints that a canary has.
        if !self.is_in_charge() || !self.is_of_all(&self.active) || self.canary_under_way().is_some() {
            return;
        }
        let generation = self.gateway.generation();
        let mut dials = self.state.dials.clone();
        if dials.carry_over(generation.plan(), CARRIED_OVER_MAX)
            && let Err(error) = self.state.store_dials(&dials).await
        {
            log::warn(error);
        }
        if let Some(shared) = self.state.shared() {
            shared.sweep(&self.state.dials, generation.plan());
        }
    }
}
