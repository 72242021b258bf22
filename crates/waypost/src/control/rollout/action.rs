//! Actions of operators on a rollout under way.

use std::sync::Arc;

use waypost_admin::problem::Problem;
use waypost_admin::rollout::{RolloutAction, RolloutView};
use waypost_plan::rollout::RolloutPlan;
use waypost_proxy::generation::Generation;
use waypost_rollout::judge::Judge;
use waypost_rollout::ramp::Stop;
use waypost_rollout::ramp::plan::Percent;

use crate::control::Control;
use crate::control::rollout::hook::Gate;
use crate::control::rollout::settle::still_there;
use crate::control::rollout::turn::Target;
use crate::control::rollout::{Active, judge_of};
use crate::state::rollouts::EndState;
use crate::state::weights::{declared, share_of, weights_at};

impl Control {
    /// Acts on a rollout.
    pub(in crate::control) async fn act_on_rollout(
        &mut self,
        route: &str,
        action: RolloutAction,
        by: &str,
    ) -> Result<RolloutView, Problem> {
        self.expect_charge()?;
        // An unknown route, or one that never had a rollout, is not found.
        self.rollout_of(route)?;
        let lead = self.rollouts.lead_of(route).unwrap_or(route).to_owned();
        let claimed = self.claim_state().await;
        claimed.map_err(|error| error.problem("nothing is done"))?;
        let before = self.rollouts.active.get(&lead).map(|active| active.ramp.clone());
        let done = self.perform(&lead, action, by).await;
        if done.is_err()
            && let (Some(active), Some(before)) = (self.rollouts.active.get_mut(&lead), before)
        {
            active.ramp = before;
            active.standing = active.ramp.standing();
        }
        done?;
        // Whatever a hook said was about the rollout before.
        if let Some(active) = self.rollouts.active.get_mut(&lead) {
            active.gate = Gate::default();
        }
        self.report_rollouts();
        self.rollout_of(route)
    }

    /// Does an action on a rollout. Of one that fails, the ramp may be done already.
    async fn perform(&mut self, route: &str, action: RolloutAction, by: &str) -> Result<(), Problem> {
        let generation = self.gateway.generation();
        let Some(active) = self.rollouts.active.get_mut(route) else {
            return Err(Problem::conflict(format!(
                "no rollout of the route `{route}` is under way"
            )));
        };
        match action {
            RolloutAction::Pause => {
                if active.ramp.is_stopped_by(Stop::Paused) {
                    return Err(Problem::conflict("the rollout is paused already"));
                }
                active.ramp.halt(Stop::Paused);
                self.note_rollout(route, "paused", "the operator paused it; the judge goes on", by)
                    .await
            }
            RolloutAction::Resume => {
                if active.ramp.stops().next().is_none() {
                    return Err(Problem::conflict("the rollout is not paused"));
                }
                if active.ramp.is_stopped_by(Stop::PlanChanged) {
                    self.take_changed_plan(&generation, route).await?;
                }
                if let Some(active) = self.rollouts.active.get_mut(route) {
                    active.ramp.resume();
                }
                self.note_rollout(route, "resumed", "the operator resumed it", by)
                    .await
            }
            RolloutAction::Approve => {
                if !active.ramp.needs_approval() {
                    return Err(Problem::conflict("the next step needs no approval"));
                }
                active.ramp.approve();
                self.note_rollout(route, "approved", "the operator approved of the next step", by)
                    .await
            }
            RolloutAction::Promote => {
                if active.ramp.next_percent().is_none() {
                    return Err(Problem::conflict("the rollout is at its last step; finish it"));
                }
                self.take_step(route, "the operator asked for the next step", by)
                    .await
            }
            RolloutAction::Abort => {
                self.end_rollout(
                    route,
                    EndState::Aborted,
                    "the operator aborted it",
                    by,
                    Target::Before,
                )
                .await
            }
            RolloutAction::Finish => {
                let all = self.finish_target(route);
                self.end_rollout(route, EndState::Finished, "the operator finished it", by, all)
                    .await
            }
        }
    }

    /// The weights that `finish` goes to: all for the canary, or those of the config where the rollout goes to these.
    fn finish_target(&self, lead: &str) -> Target {
        let stored = self.state.dials.rollouts.get(lead);
        match stored.is_some_and(|stored| stored.on_change) {
            true => Target::Declared,
            false => Target::Share(Percent::ALL),
        }
    }

    /// Finishes a rollout, and puts its weights into the config.
    pub(in crate::control) async fn finish_and_write(
        &mut self,
        route: &str,
        by: &str,
    ) -> Result<RolloutView, Problem> {
        let lead = self.rollouts.lead_of(route).unwrap_or(route).to_owned();
        self.act_on_rollout(route, RolloutAction::Finish, by).await?;
        self.write_rollout(&lead).await.map_err(|problem| Problem {
            detail: format!(
                "the rollout is finished, but the config is not written: {}",
                problem.detail
            ),
            ..problem
        })?;
        self.rollout_of(route)
    }

    /// Takes the plan that the config has now.
    async fn take_changed_plan(&mut self, generation: &Generation, lead: &str) -> Result<(), Problem> {
        let Some(stored) = self.state.dials.rollouts.get(lead).cloned() else {
            return Ok(());
        };
        let now = still_there(generation, &stored).map_err(Problem::conflict)?;
        let Some(plan) = now.plan else {
            return Err(Problem::conflict(
                "the config has no plan for this rollout any more; abort or finish it",
            ));
        };
        if now.has_other_routes {
            return Err(Problem::conflict(
                "other routes belong to the deal than at the start; abort or finish the rollout, and start a new one",
            ));
        }
        let mut dials = self.state.dials.clone();
        if let Some(stored) = dials.rollouts.get_mut(lead) {
            if stored.fingerprint.splits != now.fingerprint.splits {
                for (route, position) in stored.routes.iter_mut().zip(&now.positions) {
                    let declared = declared(generation.plan(), *position).unwrap_or_default();
                    let share = share_of(&route.before, &route.canary);
                    // The others get the new proportions at the next step.
                    if let Some(before) = weights_at(&declared, &route.canary, share) {
                        route.before = before;
                    }
                }
            }
            stored.fingerprint = now.fingerprint;
        }
        let written = self.state.store_dials(&dials).await;
        written.map_err(|error| error.problem("nothing is done"))?;
        if let Some(active) = self.rollouts.active.get_mut(lead) {
            active.adopt(generation, &now.positions, plan);
        }
        Ok(())
    }
}

impl Active {
    /// Goes on by this plan. The share stays.
    pub(super) fn adopt(&mut self, generation: &Generation, positions: &[usize], plan: Arc<RolloutPlan>) {
        self.ramp.replace_plan(plan.ramp.clone());
        // What was counted by other rules proves nothing by these.
        let is_same = self.ramp.judge().map(Judge::settings) == plan.judge.as_ref()
            && self.plan.failures == plan.failures;
        if !is_same {
            self.ramp.replace_judge(judge_of(generation, positions, &plan));
        }
        self.plan = plan;
        self.change = None;
    }
}
