//! Rollouts across restarts and reloads.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;
use waypost_admin::rollout::StartRollout;
use waypost_fleet::coverage::Coverage;
use waypost_plan::rollout::RolloutPlan;
use waypost_proxy::generation::Generation;
use waypost_rollout::ramp::plan::Percent;
use waypost_rollout::ramp::{Ramp, Stop};

use crate::control::Control;
use crate::control::rollout::arms::routes_of;
use crate::control::rollout::counting::Counting;
use crate::control::rollout::hook::Gate;
use crate::control::rollout::plans::{between, chosen_plan, fingerprint};
use crate::control::rollout::turn::Target;
use crate::control::rollout::{Active, JUDGE, Moving, TICK, judge_of, response_timeout, warned};
use crate::log;
use crate::state::rollouts::{EndState, Fingerprint, StoredRollout};
use crate::state::shared::Retold;
use crate::state::weights::{Weights, declared, share_of};

impl Control {
    /// Takes stored rollouts up again: at the start, or once the state is this gateway's. Another gateway's rollouts are not
    /// judged here.
    pub(in crate::control) async fn restore_rollouts(&mut self) {
        self.rollouts.active.clear();
        let generation = self.gateway.generation();
        if !self.is_in_charge() {
            if self.fleet().is_some() {
                self.set_learners(&generation);
            }
            return;
        }
        let stored: Vec<(String, StoredRollout)> = self
            .state
            .dials
            .rollouts
            .iter()
            .filter(|(_, rollout)| rollout.end.is_none())
            .map(|(route, rollout)| (route.clone(), rollout.clone()))
            .collect();
        let now = self.wall_time();
        for (lead, rollout) in stored {
            match restored(&generation, &rollout, now) {
                Ok(active) => {
                    log::info(format_args!(
                        "the rollout of `{}` on the route `{lead}` goes on at {}",
                        active.canary(),
                        active.ramp.percent()
                    ));
                    self.rollouts.active.insert(lead, active);
                }
                Err(why) => warned(
                    self.end_rollout(&lead, EndState::Aborted, &why, JUDGE, Target::Before)
                        .await,
                ),
            }
        }
        self.settle_rollouts().await;
    }

    /// Takes rollouts up as they are stored, whatever is known of them here.
    pub(in crate::control) async fn retake_rollouts(&mut self, retold: &[Retold]) {
        let generation = self.gateway.generation();
        let now = self.wall_time();
        for retold in retold {
            if !self.state.is_still(retold) {
                continue;
            }
            let lead = &retold.lead;
            let stored = self.state.dials.rollouts.get(lead).cloned();
            let Some(stored) = stored.filter(|stored| stored.end.is_none()) else {
                self.rollouts.active.remove(lead);
                continue;
            };
            // One that came with a config begins later.
            if !self.rollouts.active.contains_key(lead) && !stored.has_begun() {
                continue;
            }
            match restored(&generation, &stored, now) {
                Ok(active) => drop(self.rollouts.active.insert(lead.clone(), active)),
                Err(why) => warned(
                    self.end_rollout(lead, EndState::Aborted, &why, JUDGE, Target::Before)
                        .await,
                ),
            }
        }
    }

    /// Brings rollouts in line with the active config.
    pub(in crate::control) async fn settle_rollouts(&mut self) {
        let generation = self.gateway.generation();
        self.begin_held_back(&generation).await;
        // With another config than that of all, what is right for them is not known here.
        let leads: Vec<String> = match self.is_in_charge() {
            true => self.rollouts.active.keys().cloned().collect(),
            false => Vec::new(),
        };
        for lead in leads {
            let Some(stored) = self.state.dials.rollouts.get(&lead).cloned() else {
                continue;
            };
            if stored.end.is_some() {
                // Its end was written, and the answer lost; or another instance has led meanwhile.
                self.rollouts.active.remove(&lead);
                continue;
            }
            let now = match still_there(&generation, &stored) {
                Ok(now) => now,
                Err(why) => {
                    warned(
                        self.end_rollout(&lead, EndState::Aborted, &why, JUDGE, Target::Before)
                            .await,
                    );
                    continue;
                }
            };
            if now.is_taken_back {
                let summary = "the config gives it no more than it has";
                warned(
                    self.end_rollout(&lead, EndState::Aborted, summary, JUDGE, Target::Declared)
                        .await,
                );
                continue;
            }
            let Some(active) = self.rollouts.active.get_mut(&lead) else {
                continue;
            };
            let Some(change) = difference(active, &stored, &now) else {
                if let (true, Some(plan)) = (active.ramp.is_stopped_by(Stop::PlanChanged), now.plan) {
                    active.adopt(&generation, &now.positions, plan);
                    active.ramp.settle();
                    let summary = "the config is as it was before the change";
                    warned(self.note_rollout(&lead, "resumed", summary, JUDGE).await);
                }
                continue;
            };
            // A second change is told, too, and holds no more than the first.
            if active.ramp.is_stopped_by(Stop::PlanChanged) && active.change.as_ref() == Some(&change) {
                continue;
            }
            active.ramp.halt(Stop::PlanChanged);
            let summary = format!("{change}; it holds until `resume`, which goes on with the new config");
            active.change = Some(change);
            warned(self.note_rollout(&lead, "plan_changed", &summary, JUDGE).await);
        }
        self.set_learners(&generation);
        self.report_rollouts();
        // A killed gateway may have left the end of a rollout to be put into the config.
        let is_idle = self.rollouts.active.is_empty()
            && self.rollouts.learners.is_empty()
            && self.unwritten().is_empty();
        self.rollouts.tick_at = match (is_idle, self.rollouts.tick_at) {
            (true, _) => None,
            (false, Some(at)) => Some(at),
            (false, None) => Some(Instant::now() + TICK),
        };
    }

    /// Begins the rollouts that a changed config has made: those that are stored and not under way yet.
    async fn begin_held_back(&mut self, generation: &Generation) {
        let has_any = self
            .state
            .dials
            .rollouts
            .values()
            .any(|rollout| rollout.on_change);
        // Where another gateway has the state, that one begins them; the weights stay as they were here.
        if !has_any || !self.is_in_charge() {
            return;
        }
        let held_back = self.state.dials.rollouts.iter().filter(|(lead, rollout)| {
            let is_known = rollout.has_begun() && self.rollouts.active.contains_key(*lead);
            rollout.on_change && rollout.end.is_none() && !is_known
        });
        let held_back: Vec<String> = held_back.map(|(lead, _)| lead.clone()).collect();
        for lead in held_back {
            let before = self.state.dials.clone();
            let begun = self.begin_stored(generation, &lead).await;
            if begun.is_err() && !self.state.may_differ() {
                self.state.dials = before;
            }
            warned(begun);
        }
    }
}

/// A stored rollout, as the active config has it.
pub(super) struct Configured {
    pub(super) positions: Vec<usize>,
    /// The plan; `None` if there is none any more.
    pub(super) plan: Option<Arc<RolloutPlan>>,
    pub(super) fingerprint: Fingerprint,
    /// True if the routes of the deal are not those that the rollout was started with.
    pub(super) has_other_routes: bool,
    /// True if it goes to weights of the config, and those do not give the canary more than it has.
    is_taken_back: bool,
}

/// A stored rollout as the config has it now.
///
/// # Errors
/// A route or one of the arms is gone, so the rollout cannot go on.
pub(super) fn still_there(generation: &Generation, stored: &StoredRollout) -> Result<Configured, String> {
    let mut positions = Vec::with_capacity(stored.routes.len());
    for route in &stored.routes {
        let name = &route.route;
        let position = generation.compiled().position(name);
        let position = position.ok_or_else(|| format!("the route `{name}` was removed"))?;
        let services = declared(generation.plan(), position).unwrap_or_default();
        for arm in [&route.canary, &route.baseline] {
            if !services.iter().any(|(service, _)| service == arm) {
                return Err(format!("`{arm}` was removed from the route `{name}`"));
            }
        }
        positions.push(position);
    }
    let start = StartRollout {
        to: None,
        plan: stored.plan.clone(),
        steps: stored
            .steps
            .as_ref()
            .map(|steps| steps.iter().map(|step| *step as f64 / 1000.0).collect()),
        write: stored.write,
    };
    let plan = chosen_plan(generation.plan(), &positions, &start).ok();
    let mut plan = plan.map(|(_, plan)| plan);
    let mut is_taken_back = false;
    if stored.on_change {
        let targets = stored.routes.iter().zip(&positions).map(|(route, position)| {
            let declared = declared(generation.plan(), *position).unwrap_or_default();
            let share = |weights: &Weights| share_of(weights, &route.canary);
            (share(&route.before), share(&route.live), share(&declared))
        });
        let targets: Vec<_> = targets.collect();
        is_taken_back = targets.iter().all(|(_, live, target)| target <= live);
        // The routes of a deal that do not agree any more hold.
        if let (Some(chosen), Some((before, _, target))) = (&mut plan, targets.first()) {
            *chosen = Arc::new(between(chosen, *before, *target));
        }
    }
    let lead = stored.lead().map_or("", |lead| &lead.route);
    let together = routes_of(generation, lead).unwrap_or_default();
    let fingerprint = plan
        .as_ref()
        .map(|plan| fingerprint(generation, &positions, plan))
        .unwrap_or_default();
    Ok(Configured {
        has_other_routes: stored.deal.is_some()
            && HashSet::<usize>::from_iter(together) != HashSet::from_iter(positions.iter().copied()),
        positions,
        plan,
        is_taken_back: is_taken_back && fingerprint.splits != stored.fingerprint.splits,
        fingerprint,
    })
}

/// The change of the config that a rollout under way waits for its operator to accept; `None` without one.
fn difference(active: &Active, stored: &StoredRollout, now: &Configured) -> Option<String> {
    let mut changes = Vec::new();
    match &now.plan {
        None => changes.push("its plan was removed".to_owned()),
        Some(plan) if now.fingerprint.plan != stored.fingerprint.plan => {
            let keys = active.plan.changed_keys(plan);
            changes.push(match keys.is_empty() {
                // The plan in use is the new one after a restart.
                true => "its plan was changed".to_owned(),
                false => format!("its plan was changed: {}", keys.join(", ")),
            });
        }
        Some(_) => {}
    }
    if now.plan.is_some() && now.fingerprint.splits != stored.fingerprint.splits {
        changes.push("the weights or services of its split were changed".to_owned());
    }
    if now.has_other_routes {
        changes.push("other routes belong to its deal".to_owned());
    }
    (!changes.is_empty()).then(|| changes.join(", and "))
}

/// A stored rollout, under way again.
pub(super) fn restored(
    generation: &Generation,
    stored: &StoredRollout,
    time: Timestamp,
) -> Result<Active, String> {
    let now = still_there(generation, stored)?;
    // Without its plan it holds at its share, and is judged by the defaults.
    let plan = now.plan.unwrap_or_default();
    // What was counted by other rules proves nothing by these.
    let numbers = match stored.fingerprint.judge == now.fingerprint.judge {
        true => stored.evidence.numbers().unwrap_or_default(),
        false => Vec::new(),
    };
    let judge = judge_of(generation, &now.positions, &plan);
    let routes = stored.routes.iter().map(|route| Moving {
        route: route.route.clone(),
        canary: route.canary.clone(),
        baseline: route.baseline.clone(),
        counting: Counting::default(),
    });
    let routes: Vec<Moving> = routes.collect();
    let timeout = response_timeout(generation, &now.positions, &routes);
    let mut ramp = Ramp::new(plan.ramp.clone(), judge, timeout, time);
    let live = stored.lead().map(|lead| share_of(&lead.live, &lead.canary));
    let share = stored.share.and_then(Percent::from_thousandths);
    // As long as it was not dialed, the share of a canary is its own.
    let share = share.map(|share| live.map_or(share, |live| live.min(share)));
    ramp.restore(share, stored.age, stored.requests, stored.is_approved, &numbers);
    if stored.is_paused {
        ramp.halt(Stop::Paused);
    }
    if stored.is_plan_changed {
        ramp.halt(Stop::PlanChanged);
    }
    Ok(Active {
        routes,
        plan,
        change: None,
        standing: ramp.standing(),
        ramp,
        gate: Gate::default(),
        coverage: Coverage::default(),
        missing: Vec::new(),
        is_first_round: true,
    })
}
