//! The start of a rollout: which plan, and which services of the split.

use jiff::Timestamp;
use tokio::time::Instant;
use waypost_admin::problem::Problem;
use waypost_admin::rollout::{RolloutView, StartRollout};
use waypost_plan::rollout::RolloutPlan;
use waypost_proxy::generation::Generation;
use waypost_rollout::ramp::Ramp;
use waypost_rollout::ramp::plan::Percent;

use crate::control::Control;
use crate::control::rollout::counting::Counting;
use crate::control::rollout::plans::{chosen_plan, fingerprint};
use crate::control::rollout::turn::weights_at;
use crate::control::rollout::{Active, Arms, TICK, judge_of, live_weights, response_timeout, warned};
use crate::state::rollouts::StoredRollout;
use crate::state::weights::declared;

impl Control {
    /// Starts a rollout.
    pub(in crate::control) fn start_rollout(
        &mut self,
        route: &str,
        start: &StartRollout,
        by: &str,
    ) -> Result<RolloutView, Problem> {
        let claimed = self.claim_state();
        claimed.map_err(|error| Problem::not_stored(format!("the rollout is not started: {error}")))?;
        let generation = self.gateway.generation();
        if self.rollouts.is_active(route) {
            return Err(Problem::conflict(format!(
                "a rollout of the route `{route}` is under way; abort or finish it first"
            )));
        }
        let position = generation.compiled().position(route);
        let position =
            position.ok_or_else(|| Problem::not_found(format!("there is no route named `{route}`")))?;
        if let Some(deal) = generation.plan().routes()[position].deal() {
            return Err(Problem::invalid(format!(
                "the route `{route}` is of the deal `{deal}`, and this version has no rollouts of deals"
            )));
        }
        let (name, plan) = chosen_plan(generation.plan(), position, start)?;
        let arms = arms(&generation, route, &plan, start.to.as_deref())?;
        let before = live_weights(&generation, position);
        if weights_at(
            &before,
            &arms.canary,
            Percent::from_thousandths(1000).unwrap_or(Percent::ZERO),
        )
        .is_none()
        {
            return Err(Problem::conflict(format!(
                "no other service of the route `{route}` has a weight, so there is nothing to compare `{}` with",
                arms.canary
            )));
        }
        let mut judge = judge_of(&generation, position, &plan);
        if let (Some(judge), Some(learner)) = (&mut judge, self.rollouts.learners.get(route))
            && learner.baseline == arms.baseline
        {
            judge.inherit(&learner.judge);
        }
        let response_timeout = response_timeout(&generation, position, &arms.canary);
        let steps = start.steps.as_ref().map(|_| {
            let steps = plan.ramp.steps.iter();
            steps.map(|step| u64::from(step.percent.thousandths())).collect()
        });
        let changes = self
            .state
            .dials
            .rollouts
            .get(route)
            .map(|last| last.changes.clone());
        let stored = StoredRollout {
            canary: arms.canary.clone(),
            baseline: arms.baseline.clone(),
            plan: name,
            steps,
            fingerprint: fingerprint(&generation, route, &plan),
            live: before.clone(),
            before,
            started: Timestamp::now(),
            by: by.to_owned(),
            step: None,
            step_count: plan.ramp.steps.len(),
            age: 0,
            requests: 0.0,
            is_approved: false,
            stop: None,
            evidence: Vec::new(),
            end: None,
            changes: changes.unwrap_or_default(),
        };
        let mut dials = self.state.dials.clone();
        dials.rollouts.insert(route.to_owned(), stored);
        let stored = self.state.store_dials(&dials);
        stored.map_err(|error| Problem::not_stored(format!("the rollout is not started: {error}")))?;
        let ramp = Ramp::new(plan.ramp.clone(), judge, response_timeout);
        let mut counting = Counting::default();
        if let Ok(view) = self.shared.view() {
            // What was counted before is not the rollout's.
            counting.read(view.metrics(), route, [&arms.canary, &arms.baseline]);
        }
        self.rollouts.learners.remove(route);
        self.rollouts.active.insert(
            route.to_owned(),
            Active {
                canary: arms.canary,
                baseline: arms.baseline,
                standing: ramp.standing(),
                ramp,
                counting,
            },
        );
        warned(self.note_rollout(route, "started", "the rollout begins", by));
        if let Err(problem) = self.take_step(route, "the first step", by) {
            self.rollouts.active.remove(route);
            return Err(problem);
        }
        self.report_rollouts();
        self.rollouts.tick_at.get_or_insert(Instant::now() + TICK);
        self.rollout_of(route)
    }
}

/// The arms that a rollout on `route` is about.
pub(super) fn arms(
    generation: &Generation,
    route: &str,
    plan: &RolloutPlan,
    to: Option<&str>,
) -> Result<Arms, Problem> {
    let position = generation.compiled().position(route);
    let position =
        position.ok_or_else(|| Problem::not_found(format!("there is no route named `{route}`")))?;
    let services: Vec<String> = declared(generation.plan(), position)
        .unwrap_or_default()
        .into_iter()
        .map(|(service, _)| service)
        .collect();
    if services.len() < 2 {
        return Err(Problem::invalid(format!(
            "the route `{route}` is no split of two services or more, so it has no rollout"
        )));
    }
    let listed = || services.join(", ");
    let canary = to.or(plan.canary.as_deref()).ok_or_else(|| {
        Problem::invalid(format!(
            "it is not said which service of the route `{route}` is rolled out; there are {}",
            listed()
        ))
    })?;
    if let Some(declared) = plan.canary.as_deref()
        && declared != canary
    {
        return Err(Problem::invalid(format!(
            "the plan rolls out `{declared}`, not `{canary}`"
        )));
    }
    let is_arm = |service: &str| services.iter().any(|known| known == service);
    if !is_arm(canary) {
        return Err(Problem::invalid(format!(
            "`{canary}` is not a service of the route `{route}`; there are {}",
            listed()
        )));
    }
    let others: Vec<&String> = services.iter().filter(|service| *service != canary).collect();
    let baseline = match (plan.baseline.as_deref(), &others[..]) {
        (Some(baseline), _) if is_arm(baseline) && baseline != canary => baseline,
        (None, [only]) => only,
        (Some(baseline), _) => {
            return Err(Problem::invalid(format!(
                "the baseline `{baseline}` is no other service of the route `{route}`; there are {}",
                listed()
            )));
        }
        (None, _) => {
            return Err(Problem::invalid(format!(
                "the route `{route}` has more than two services: name the `baseline` in the plan"
            )));
        }
    };
    Ok(Arms {
        canary: canary.to_owned(),
        baseline: baseline.to_owned(),
    })
}
