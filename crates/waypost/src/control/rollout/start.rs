//! The start of a rollout.

use tokio::time::Instant;
use waypost_admin::problem::Problem;
use waypost_admin::rollout::{RolloutView, StartRollout};
use waypost_proxy::generation::Generation;
use waypost_rollout::ramp::Standing;
use waypost_rollout::ramp::plan::Percent;

use crate::control::Control;
use crate::control::rollout::arms::{arms, routes_of};
use crate::control::rollout::counting::wanted;
use crate::control::rollout::plans::{chosen_plan, fingerprint};
use crate::control::rollout::settle::restored;
use crate::control::rollout::turn::{Act, Decision};
use crate::control::rollout::{TICK, live_weights};
use crate::state::rollouts::{StoredChange, StoredRollout, StoredRoute};
use crate::state::weights::share_of;

impl Control {
    /// Starts a rollout.
    pub(in crate::control) async fn start_rollout(
        &mut self,
        route: &str,
        start: &StartRollout,
        by: &str,
    ) -> Result<RolloutView, Problem> {
        let claimed = self.claim_state().await;
        claimed.map_err(|error| error.problem("the rollout is not started"))?;
        self.expect_charge()?;
        let generation = self.gateway.generation();
        let positions = routes_of(&generation, route)?;
        for position in &positions {
            let name = &generation.plan().routes()[*position].matching.name;
            if self.rollouts.lead_of(name).is_some() {
                return Err(Problem::conflict(format!(
                    "a rollout of the route `{name}` is under way; abort or finish it first"
                )));
            }
        }
        let (name, plan) = chosen_plan(generation.plan(), &positions, start)?;
        let arms = arms(&generation, &positions, &plan, start.to.as_deref())?;
        let mut routes = Vec::with_capacity(arms.len());
        for arms in arms {
            let before = live_weights(&generation, arms.position);
            let is_alone = before
                .iter()
                .all(|(service, weight)| *service == arms.canary || *weight == 0);
            if is_alone {
                return Err(Problem::conflict(format!(
                    "no other service of the route `{}` has a weight, so there is nothing to compare `{}` with",
                    arms.route, arms.canary
                )));
            }
            routes.push(StoredRoute {
                route: arms.route,
                canary: arms.canary,
                baseline: arms.baseline,
                live: before.clone(),
                before,
            });
        }
        let steps = start.steps.as_ref().map(|_| {
            let steps = plan.ramp.steps.iter();
            steps.map(|step| u64::from(step.percent.thousandths())).collect()
        });
        let deal = generation.plan().routes()[positions[0]].deal();
        let fingerprint = fingerprint(&generation, &positions, &plan);
        let stored = StoredRollout {
            routes,
            deal: deal.map(ToOwned::to_owned),
            plan: name,
            steps,
            write: start.write,
            step_count: plan.ramp.steps.len(),
            ..StoredRollout::new(fingerprint, self.wall_time(), by)
        };
        self.begin_rollout(&generation, stored).await?;
        self.report_rollouts();
        self.rollouts.tick_at.get_or_insert(Instant::now() + TICK);
        self.rollout_of(route)
    }

    /// Begins a rollout, with its first step in the same write if that is due.
    async fn begin_rollout(
        &mut self,
        generation: &Generation,
        mut stored: StoredRollout,
    ) -> Result<(), Problem> {
        let Some(lead) = stored.lead().map(|lead| lead.route.clone()) else {
            return Ok(());
        };
        let mut dials = self.state.dials.clone();
        // The history of a route spans its rollouts.
        if let Some(last) = dials.rollout_of(&lead) {
            stored.changes = last.changes.clone();
        }
        dials.rollouts.insert(lead.clone(), stored);
        let before = std::mem::replace(&mut self.state.dials, dials);
        self.begin_stored(generation, &lead).await.inspect_err(|_| {
            self.state.dials = before;
            self.rollouts.active.remove(&lead);
        })
    }

    /// Begins a rollout that is among the dials, and notes that.
    pub(super) async fn begin_stored(&mut self, generation: &Generation, lead: &str) -> Result<(), Problem> {
        let wall_time = self.wall_time();
        let Some(stored) = self.state.dials.rollouts.get_mut(lead) else {
            return Ok(());
        };
        let mut active = restored(generation, stored, wall_time).map_err(Problem::conflict)?;
        let share = stored.lead().map(|lead| share_of(&lead.live, &lead.canary));
        let change = StoredChange {
            time: stored.started,
            change: "started".to_owned(),
            percent: share.unwrap_or(Percent::ZERO).to_string(),
            summary: match stored.on_change {
                true => "the config has other weights, which are gone to in steps".to_owned(),
                false => "the rollout begins".to_owned(),
            },
            by: stored.by.clone(),
            metrics: Vec::new(),
        };
        stored.note(change.clone());
        for (at, moving) in active.routes.iter_mut().enumerate() {
            if let Some(learner) = self.rollouts.learners.remove(&moving.route)
                && learner.baseline == moving.baseline
            {
                active.ramp.learn_from(at, &learner.judge);
            }
            if let Ok(view) = self.shared.view() {
                // What was counted before is not the rollout's.
                let arms = [&*moving.canary, &*moving.baseline];
                let judge = active.ramp.judge().map(|judge| (judge, at));
                let wanted = wanted(&active.plan, judge);
                moving.counting.read(view.metrics(), &moving.route, arms, wanted);
            }
        }
        let is_due = active.standing == Standing::Ready;
        self.rollouts.active.insert(lead.to_owned(), active);
        // It may wait for a window, or for the answer of a hook.
        let step = match is_due && !self.waits_for_hook(lead) {
            true => {
                let step = Decision {
                    lead: lead.to_owned(),
                    act: Act::Step,
                    summary: "the first step".to_owned(),
                };
                self.carry_out(vec![step], &change.by).await?
            }
            false => {
                self.store_waiting().await?;
                Vec::new()
            }
        };
        self.tell(lead, &change);
        self.tell_all(step);
        Ok(())
    }

    /// Stores a rollout that waits for its first step.
    async fn store_waiting(&mut self) -> Result<(), Problem> {
        let dials = self.state.dials.clone();
        let stored = self.state.store_dials(&dials).await;
        self.report_state();
        stored.map_err(|error| error.problem("the rollout is not started"))
    }
}
