//! Rollouts across restarts and reloads.

use std::sync::Arc;

use tokio::time::Instant;
use waypost_admin::rollout::StartRollout;
use waypost_plan::rollout::RolloutPlan;
use waypost_proxy::generation::Generation;
use waypost_rollout::ramp::{Ramp, Stop};

use crate::control::Control;
use crate::control::rollout::counting::Counting;
use crate::control::rollout::plans::{chosen_plan, fingerprint};
use crate::control::rollout::{Active, JUDGE, TICK, judge_of, response_timeout, warned};
use crate::log;
use crate::state::rollouts::{EndState, StoredRollout, StoredStop};
use crate::state::weights::declared;

impl Control {
    /// Takes stored rollouts up again: at the start, or once the state is this gateway's. Another gateway's rollouts are not
    /// judged here.
    pub(in crate::control) fn restore_rollouts(&mut self) {
        self.rollouts.active.clear();
        if !self.state.is_claimed() {
            return;
        }
        let generation = self.gateway.generation();
        let stored: Vec<(String, StoredRollout)> = self
            .state
            .dials
            .rollouts
            .iter()
            .filter(|(_, rollout)| rollout.end.is_none())
            .map(|(route, rollout)| (route.clone(), rollout.clone()))
            .collect();
        for (route, rollout) in stored {
            match restored(&generation, &route, &rollout) {
                Ok(active) => {
                    log::info(format_args!(
                        "the rollout of `{}` on the route `{route}` goes on at {}",
                        rollout.canary,
                        active.ramp.percent()
                    ));
                    self.rollouts.active.insert(route, active);
                }
                Err(why) => warned(self.end_rollout(&route, EndState::Aborted, &why, JUDGE, None)),
            }
        }
        self.settle_rollouts();
    }

    /// Brings rollouts in line with the active config.
    pub(in crate::control) fn settle_rollouts(&mut self) {
        let generation = self.gateway.generation();
        let routes: Vec<String> = self.rollouts.active.keys().cloned().collect();
        for route in routes {
            let Some(stored) = self.state.dials.rollouts.get(&route).cloned() else {
                continue;
            };
            let plan = match still_there(&generation, &route, &stored) {
                Ok(plan) => plan,
                Err(why) => {
                    warned(self.end_rollout(&route, EndState::Aborted, &why, JUDGE, None));
                    continue;
                }
            };
            let is_changed =
                plan.is_none_or(|plan| fingerprint(&generation, &route, &plan) != stored.fingerprint);
            if is_changed && stored.stop != Some(StoredStop::PlanChanged) {
                if let Some(active) = self.rollouts.active.get_mut(&route) {
                    active.ramp.halt(Stop::PlanChanged);
                }
                let summary =
                    "its plan or split was changed; it holds until `resume`, which takes the new one";
                warned(self.note_rollout(&route, "plan_changed", summary, JUDGE));
            }
        }
        self.set_learners(&generation);
        self.report_rollouts();
        let is_idle = self.rollouts.active.is_empty() && self.rollouts.learners.is_empty();
        self.rollouts.tick_at = match (is_idle, self.rollouts.tick_at) {
            (true, _) => None,
            (false, Some(at)) => Some(at),
            (false, None) => Some(Instant::now() + TICK),
        };
    }
}

/// The plan of a stored rollout as the config has it now; `None` if it has none any more.
///
/// # Errors
/// The route or one of the arms is gone, so the rollout cannot go on.
pub(super) fn still_there(
    generation: &Generation,
    route: &str,
    stored: &StoredRollout,
) -> Result<Option<Arc<RolloutPlan>>, String> {
    let position = generation.compiled().position(route);
    let position = position.ok_or_else(|| format!("the route `{route}` was removed"))?;
    let services = declared(generation.plan(), position).unwrap_or_default();
    for arm in [&stored.canary, &stored.baseline] {
        if !services.iter().any(|(service, _)| service == arm) {
            return Err(format!("`{arm}` was removed from the route `{route}`"));
        }
    }
    let start = StartRollout {
        to: None,
        plan: stored.plan.clone(),
        steps: stored
            .steps
            .as_ref()
            .map(|steps| steps.iter().map(|step| *step as f64 / 1000.0).collect()),
    };
    Ok(chosen_plan(generation.plan(), position, &start)
        .ok()
        .map(|(_, plan)| plan))
}

/// A stored rollout, under way again.
fn restored(generation: &Generation, route: &str, stored: &StoredRollout) -> Result<Active, String> {
    let plan = still_there(generation, route, stored)?;
    let plan = plan.ok_or_else(|| "the config has no plan for it any more".to_owned())?;
    let position = generation.compiled().position(route).unwrap_or_default();
    let numbers: Vec<f64> = stored
        .evidence
        .iter()
        .map(|number| number.unwrap_or(f64::NEG_INFINITY))
        .collect();
    let judge = judge_of(generation, position, &plan);
    let timeout = response_timeout(generation, position, &stored.canary);
    let mut ramp = Ramp::new(plan.ramp.clone(), judge, timeout);
    ramp.restore(
        stored.step,
        stored.age,
        stored.requests,
        stored.is_approved,
        &numbers,
    );
    match stored.stop {
        Some(StoredStop::Paused) => ramp.halt(Stop::Paused),
        Some(StoredStop::PlanChanged) => ramp.halt(Stop::PlanChanged),
        None => {}
    }
    Ok(Active {
        canary: stored.canary.clone(),
        baseline: stored.baseline.clone(),
        standing: ramp.standing(),
        ramp,
        counting: Counting::default(),
    })
}
