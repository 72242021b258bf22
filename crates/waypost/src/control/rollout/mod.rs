//! Rollouts: dials that the control turns by itself, once a second.
//!
//! A rollout is stored with the dials before anything of it is in force. [`waypost_rollout`] says how it stands; here the
//! counters are read, the dial is turned, and what happened is told.

mod action;
mod counting;
mod plans;
mod settle;
mod start;
mod turn;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use waypost_admin::problem::Problem;
use waypost_admin::report::RolloutReport;
use waypost_admin::rollout::RolloutChange;
use waypost_plan::Plan;
use waypost_plan::rollout::RolloutPlan;
use waypost_plan::route::{Action, Forward};
use waypost_proxy::generation::Generation;
use waypost_proxy::observe::metrics::histogram;
use waypost_rollout::judge::Judge;
use waypost_rollout::ramp::plan::Percent;
use waypost_rollout::ramp::{Ramp, Reason, Standing, Stop};
use waypost_rollout::words::Names;

use crate::control::Control;
use crate::control::rollout::counting::Counting;
use crate::control::rollout::start::arms;
use crate::log;
use crate::state::dials::Dials;
use crate::state::rollouts::{EndState, StoredRollout, StoredStop};
use crate::state::weights::{Weights, declared};

/// The interval at which rollouts are judged.
const TICK: Duration = Duration::from_secs(1);
/// The interval, in ticks, at which evidence is stored.
const STORE_TICKS: u64 = 30;
/// The client of a change that no client asked for.
const JUDGE: &str = "judge";

/// The rollouts under way, and what is learned for those to come.
#[derive(Default)]
pub(super) struct Rollouts {
    /// By route.
    active: BTreeMap<String, Active>,
    /// Judges of routes that have a plan and no rollout, which learn about the baseline.
    learners: HashMap<String, Learner>,
    tick_at: Option<Instant>,
    /// Ticks since evidence was stored.
    unstored: u64,
}

/// A rollout under way.
struct Active {
    canary: String,
    baseline: String,
    ramp: Ramp,
    counting: Counting,
    standing: Standing,
}

/// A judge that learns, for one baseline.
struct Learner {
    baseline: String,
    canary: String,
    plan: Arc<RolloutPlan>,
    judge: Judge,
    counting: Counting,
}

/// The arms of a route's split that a rollout is about.
struct Arms {
    canary: String,
    baseline: String,
}

impl Rollouts {
    /// The time of the next tick; `None` while there is nothing to judge or to learn.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.tick_at
    }

    /// Returns true if a rollout of the route is under way.
    pub(super) fn is_active(&self, route: &str) -> bool {
        self.active.contains_key(route)
    }
}

impl Control {
    /// Sets the judges that learn: one for each route that has a plan and no rollout.
    fn set_learners(&mut self, generation: &Generation) {
        let mut before = std::mem::take(&mut self.rollouts.learners);
        for (position, route) in generation.plan().routes().iter().enumerate() {
            let name = &*route.matching.name;
            let rollout = route
                .forward()
                .and_then(|forward| forward.policies.rollout.as_ref());
            let (Some(rollout), false) = (rollout, self.rollouts.active.contains_key(name)) else {
                continue;
            };
            let Ok(arms) = arms(generation, name, &rollout.plan, None) else {
                continue;
            };
            let known = before.remove(name).filter(|learner| {
                learner.plan == rollout.plan
                    && learner.baseline == arms.baseline
                    && learner.canary == arms.canary
            });
            let judge = || judge_of(generation, position, &rollout.plan);
            let learner = known.or_else(|| {
                Some(Learner {
                    judge: judge()?,
                    plan: Arc::clone(&rollout.plan),
                    canary: arms.canary,
                    baseline: arms.baseline,
                    counting: Counting::default(),
                })
            });
            if let Some(learner) = learner {
                self.rollouts.learners.insert(name.to_owned(), learner);
            }
        }
    }

    /// Judges all rollouts, if a tick is due.
    pub(super) fn tick_rollouts(&mut self, now: Instant) {
        if self.rollouts.tick_at.is_none_or(|at| at > now) {
            return;
        }
        self.rollouts.tick_at = Some(now + TICK);
        if !self.shared.test_clock {
            self.judge_rollouts();
        }
    }

    /// Counts a second of all rollouts, and does what it asks for.
    pub(super) fn judge_rollouts(&mut self) {
        let Ok(view) = self.shared.view() else { return };
        let metrics = view.metrics();
        for (route, learner) in &mut self.rollouts.learners {
            let arms = [&*learner.canary, &*learner.baseline];
            if let Some(counted) = learner.counting.read(metrics, route, arms) {
                learner.judge.learn(&[counted.second(0.0)]);
            }
        }
        let mut due = Vec::new();
        for (route, active) in &mut self.rollouts.active {
            let arms = [&*active.canary, &*active.baseline];
            let share = active.ramp.percent().share();
            active.standing = match active.counting.read(metrics, route, arms) {
                Some(counted) => active.ramp.tick(&[counted.second(share)]),
                // Nothing was counted: no second has passed.
                None => active.ramp.standing(),
            };
            if !matches!(active.standing, Standing::Holds(_)) {
                due.push(route.clone());
            }
        }
        for route in due {
            self.carry_on(&route);
        }
        self.report_rollouts();
        self.rollouts.unstored += 1;
        if self.rollouts.unstored >= STORE_TICKS {
            self.store_evidence();
        }
    }

    /// Reports the rollouts under way, for status, routes and metrics.
    fn report_rollouts(&self) {
        let active = self.rollouts.active.iter().map(|(route, active)| RolloutReport {
            route: route.clone(),
            canary: active.canary.clone(),
            step: active.ramp.step().map_or(0, |step| step + 1),
            steps: active.ramp.plan().steps.len(),
            share: active.ramp.percent().share(),
            evidence: active.ramp.judge().map_or(0.0, Judge::evidence),
            paused: active.ramp.stop().is_some(),
        });
        let active: Vec<RolloutReport> = active.collect();
        self.shared.update_report(|report| report.rollouts = active);
    }

    /// Stores the evidence of the rollouts under way.
    pub(super) fn store_evidence(&mut self) {
        if self.rollouts.active.is_empty() {
            return;
        }
        let mut dials = self.state.dials.clone();
        self.update_stored(&mut dials);
        // The status shows an error; until the next write, a kill would lose some bets.
        let _ = self.state.store_dials(&dials);
        self.report_state();
        self.rollouts.unstored = 0;
    }

    /// Does what the standing of a rollout asks for.
    fn carry_on(&mut self, route: &str) {
        let Some(active) = self.rollouts.active.get(route) else {
            return;
        };
        let summary = self.summary(route);
        // What fails is tried again at the next tick.
        match &active.standing {
            Standing::Holds(_) => {}
            Standing::Ready => warned(self.take_step(route, &summary, JUDGE)),
            Standing::Done => {
                let percent = active.ramp.percent();
                let summary = format!("the last step is completed at {percent}");
                warned(self.end_rollout(route, EndState::Finished, &summary, JUDGE, None));
            }
            Standing::RollBack(reason) => {
                let summary = match reason {
                    Reason::Worse(_) => summary,
                    Reason::HoldExpired => "too little spoke for the canary within `hold`".to_owned(),
                };
                let none = Some(Percent::ZERO);
                warned(self.end_rollout(route, EndState::RolledBack, &summary, JUDGE, none));
            }
        }
    }

    /// Brings the stored rollouts up to date with those under way.
    fn update_stored(&self, dials: &mut Dials) {
        for (route, active) in &self.rollouts.active {
            let Some(stored) = dials.rollouts.get_mut(route) else {
                continue;
            };
            let ramp = &active.ramp;
            stored.step = ramp.step();
            stored.step_count = ramp.plan().steps.len();
            stored.age = ramp.age();
            stored.requests = ramp.requests();
            stored.is_approved = ramp.is_approved();
            stored.stop = ramp.stop().map(|stop| match stop {
                Stop::Paused => StoredStop::Paused,
                Stop::PlanChanged => StoredStop::PlanChanged,
            });
            let numbers = ramp.judge().map(Judge::numbers).unwrap_or_default();
            stored.evidence = numbers
                .into_iter()
                .map(|number| number.is_finite().then_some(number))
                .collect();
        }
    }

    /// The changes of a route's rollouts, latest first.
    pub(super) fn rollout_history(&self, route: &str) -> Result<Vec<RolloutChange>, Problem> {
        let stored = self.stored_rollout(route)?;
        let changes = stored.changes.iter().rev().map(|change| RolloutChange {
            time: change.time,
            change: change.change.clone(),
            percent: change.percent.clone(),
            summary: change.summary.clone(),
            by: change.by.clone(),
        });
        Ok(changes.collect())
    }

    /// The last rollout of a route.
    fn stored_rollout(&self, route: &str) -> Result<&StoredRollout, Problem> {
        if self.gateway.generation().compiled().position(route).is_none() {
            return Err(Problem::not_found(format!("there is no route named `{route}`")));
        }
        let stored = self.state.dials.rollouts.get(route);
        stored.ok_or_else(|| Problem::not_found(format!("the route `{route}` had no rollout so far")))
    }

    /// The standing of a rollout under way, in a sentence.
    fn summary(&self, route: &str) -> String {
        let (Some(active), Some(stored)) = (
            self.rollouts.active.get(route),
            self.state.dials.rollouts.get(route),
        ) else {
            return String::new();
        };
        view::summary(active, stored)
    }
}

/// Logs the problem of something that no client waits for.
fn warned(done: Result<(), Problem>) {
    if let Err(problem) = done {
        log::warn(&problem.detail);
    }
}

/// The live weights of the route at `position`, by service.
fn live_weights(generation: &Generation, position: usize) -> Weights {
    let live = generation.compiled().live_weights(position).unwrap_or_default();
    let declared = declared(generation.plan(), position).unwrap_or_default();
    declared
        .into_iter()
        .map(|(service, _)| service)
        .zip(live)
        .collect()
}

fn forward(plan: &Plan, position: usize) -> Option<&Forward> {
    match &plan.routes()[position].action {
        Action::Forward(forward) => Some(forward),
        Action::Redirect(_) | Action::Respond(_) => None,
    }
}

/// The judge of a rollout of the route at `position`; `None` for a timed ramp.
fn judge_of(generation: &Generation, position: usize, plan: &RolloutPlan) -> Option<Judge> {
    let settings = plan.judge.clone()?;
    let forward = forward(generation.plan(), position)?;
    let is_sticky = forward.policies.sticky.is_some();
    let steps = plan.ramp.judged_steps();
    Some(Judge::new(settings, 1, steps, is_sticky, histogram::bounds_ms()))
}

/// The response timeout of a service of the route at `position`, in seconds.
fn response_timeout(generation: &Generation, position: usize, service: &str) -> u64 {
    let plan = generation.plan();
    let arms = forward(plan, position)
        .map(|forward| &*forward.arms)
        .unwrap_or_default();
    let mut services = arms.iter().map(|id| plan.service(*id));
    let found = services.find(|known| *known.name == *service);
    found.map_or(0, |service| service.timeouts.response.as_secs())
}

impl Active {
    fn names(&self) -> Names<'_> {
        Names {
            canary: &self.canary,
            baseline: &self.baseline,
        }
    }
}
