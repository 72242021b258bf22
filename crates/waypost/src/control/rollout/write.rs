//! Rollouts that succeeded, put into the config.

use waypost_admin::problem::Problem;
use waypost_config::edit::{self, RouteWeights};

use crate::control::Control;
use crate::control::reload::Because;
use crate::control::rollout::live_weights;
use crate::log;
use crate::state::revision::Origin;
use crate::state::rollouts::StoredRollout;
use crate::state::weights::declared;
use crate::texts::Texts;

impl Control {
    /// Puts the weights of the rollouts that succeeded, and are to be written, into the config.
    pub(in crate::control) async fn write_finished(&mut self) {
        for lead in self.unwritten() {
            if self.may_try(&lead) {
                let _ = self.write_rollout(&lead).await;
            }
        }
    }

    /// The rollouts whose ends are to be written.
    pub(super) fn unwritten(&self) -> Vec<String> {
        // The config may be another gateway's, or one that is tried.
        if !self.is_in_charge() || self.canary_under_way().is_some() {
            return Vec::new();
        }
        let rollouts = self.state.dials.rollouts.iter();
        let unwritten = rollouts.filter(|(_, rollout)| rollout.is_unwritten && rollout.end.is_some());
        unwritten.map(|(lead, _)| lead.clone()).collect()
    }

    /// Puts the weights of a rollout that succeeded into the config, as a revision, and notes it.
    ///
    /// # Errors
    /// If the config cannot be written; its weights then stay as a dial.
    pub(super) async fn write_rollout(&mut self, lead: &str) -> Result<(), Problem> {
        let by = match self.state.dials.rollouts.get(lead).and_then(StoredRollout::last) {
            Some(last) => last.by.clone(),
            None => return Ok(()),
        };
        let written = self.write_weights(lead, &by).await;
        if let Some(stored) = self.state.dials.rollouts.get_mut(lead) {
            stored.is_unwritten = false;
        }
        let noted = match &written {
            Ok(true) => {
                let summary = format!("the weights are in the config, revision {}", self.number());
                self.note_rollout(lead, "written", &summary, &by).await
            }
            Ok(false) => {
                self.note_rollout(lead, "written", "the config has these weights already", &by)
                    .await
            }
            Err(problem) => {
                let summary = format!("the weights stay a dial, for {}", problem.detail);
                self.note_rollout(lead, "not_written", &summary, &by).await
            }
        };
        match noted {
            Ok(()) => drop(self.rollouts.waits.remove(lead)),
            Err(problem) => {
                if self.put_off(&[lead.to_owned()], &problem.detail) {
                    log::warn(&problem.detail);
                }
            }
        }
        written.map(drop)
    }

    /// Returns false if there is nothing to write.
    async fn write_weights(&mut self, lead: &str, by: &str) -> Result<bool, Problem> {
        // An edit on disk comes first, so that it is not overwritten unseen.
        self.reload(Because::Changed).await;
        if self.pending.is_some() {
            return Err(Problem::conflict("a change of the config waits to be confirmed"));
        }
        if !self.version.is_of(&self.active) {
            return Err(Problem::conflict("the config on disk is not the active one"));
        }
        let generation = self.gateway.generation();
        let Some(stored) = self.state.dials.rollouts.get(lead) else {
            return Ok(false);
        };
        let mut wanted = Vec::new();
        for route in &stored.routes {
            let Some(position) = generation.compiled().position(&route.route) else {
                return Err(Problem::conflict(format!(
                    "the route `{}` was removed",
                    route.route
                )));
            };
            let weights = live_weights(&generation, position);
            if declared(generation.plan(), position).as_ref() != Some(&weights) {
                wanted.push(RouteWeights {
                    route: route.route.clone(),
                    weights,
                });
            }
        }
        if wanted.is_empty() {
            return Ok(false);
        }
        let env = |name: &str| std::env::var(name).ok();
        let Texts { sources, kind, local } = &self.active;
        let sources = edit::set_weights(sources, *kind, local.as_ref(), &env, &wanted)
            .map_err(|error| Problem::conflict(error.to_string()))?;
        let texts = Texts {
            sources,
            ..self.active.clone()
        };
        let candidate = self.checked(&texts).await?;
        self.apply_texts(texts, candidate, Origin::Rollout, by.to_owned(), None)
            .await?;
        Ok(true)
    }
}
