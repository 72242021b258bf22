//! Rollouts: dials that the control turns by itself, once a second.
//!
//! A rollout is stored with the dials before anything of it is in force. [`waypost_rollout`] says how it stands; here the
//! counters are read, the dial is turned, and what happened is told.

mod action;
mod arms;
mod clock;
mod counting;
mod hook;
mod next;
mod notify;
mod on_change;
mod others;
mod plans;
mod settle;
mod start;
mod turn;
mod version;
mod view;
mod write;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;
use waypost_admin::problem::Problem;
use waypost_admin::report::RolloutReport;
use waypost_admin::rollout::RolloutChange;
use waypost_fleet::coverage::Coverage;
use waypost_fleet::pace::BackOff;
use waypost_plan::Plan;
use waypost_plan::rollout::RolloutPlan;
use waypost_plan::route::{Action, Forward};
use waypost_proxy::generation::Generation;
use waypost_proxy::observe::metrics::Metrics;
use waypost_proxy::observe::metrics::arm::ArmReading;
use waypost_rollout::judge::{Judge, RouteSecond};
use waypost_rollout::ramp::plan::Percent;
use waypost_rollout::ramp::{Ramp, Standing, Stop};
use waypost_rollout::words::Names;
use waypost_upstream::histogram;

use crate::control::Control;
use crate::control::rollout::arms::{arms, routes_of};
use crate::control::rollout::counting::{Counted, Counting, wanted};
use crate::control::rollout::hook::Gate;
use crate::control::rollout::others::{OpenRound, Others, requests};
use crate::control::rollout::turn::{Act, Decision, Target};
use crate::log;
use crate::notifier::Notifier;
use crate::state::dials::Dials;
use crate::state::evidence::StoredEvidence;
use crate::state::rollouts::{EndState, StoredRollout};
use crate::state::weights::{Weights, declared, share_of};

/// The interval at which rollouts are judged.
const TICK: Duration = Duration::from_secs(1);
/// The interval, in ticks, at which evidence is stored.
const STORE_TICKS: u64 = 30;
/// The longest wait before a rollout that a fleet could not store is tried again.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The client of a change that no client asked for.
const JUDGE: &str = "judge";

/// The rollouts under way, and what is learned for those to come.
#[derive(Default)]
pub(super) struct Rollouts {
    /// By the route that each was started at.
    active: BTreeMap<String, Active>,
    /// Judges of routes that have a plan and no rollout, which learn about the baseline.
    learners: HashMap<String, Learner>,
    tick_at: Option<Instant>,
    /// Ticks since evidence was stored.
    unstored: u64,
    /// The time of day of the test clock, once it was turned.
    test_time: Option<Timestamp>,
    /// The question to the other instances of a fleet that is under way.
    round: Option<OpenRound>,
    /// The waits before rollouts that a fleet could not store are tried again, by the route that each was started at.
    waits: BTreeMap<String, BackOff>,
    /// Notified of each answer of a hook.
    answered: Arc<Notify>,
    notifier: Notifier,
}

/// A rollout under way.
struct Active {
    /// The routes that it turns together; never empty, and in the order of its judge's strata.
    routes: Vec<Moving>,
    plan: Arc<RolloutPlan>,
    /// The change of the config that it holds for.
    change: Option<String>,
    ramp: Ramp,
    standing: Standing,
    gate: Gate,
    coverage: Coverage,
    /// The instances of the fleet whose requests were not counted in the last second.
    missing: Vec<String>,
    /// True until other instances were asked once: what they have counted before is not the rollout's.
    is_first_round: bool,
}

/// A route of a rollout.
struct Moving {
    route: String,
    canary: String,
    baseline: String,
    counting: Counting,
}

/// A judge that learns, for one baseline.
struct Learner {
    baseline: String,
    canary: String,
    plan: Arc<RolloutPlan>,
    judge: Judge,
    counting: Counting,
}

impl Rollouts {
    /// The time of the next tick; `None` while there is nothing to judge or to learn.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.tick_at
    }

    /// Gives up everything but the notifications under way.
    pub(super) fn into_notifier(self) -> Notifier {
        self.notifier
    }

    /// The rollout under way that turns this route, by the route that it was started at.
    pub(super) fn lead_of(&self, route: &str) -> Option<&str> {
        if let Some((lead, _)) = self.active.get_key_value(route) {
            return Some(lead);
        }
        let mut active = self.active.iter();
        let (lead, _) =
            active.find(|(_, active)| active.routes.iter().any(|moving| moving.route == route))?;
        Some(lead)
    }

    fn active_of(&self, route: &str) -> Option<&Active> {
        self.active.get(self.lead_of(route)?)
    }
}

impl Control {
    /// Sets the judges that learn: one for each route that has a plan and no rollout.
    fn set_learners(&mut self, generation: &Generation) {
        if self.fleet().is_some() && !self.is_in_charge() {
            // The leader learns, from all instances.
            self.rollouts.learners.clear();
            return;
        }
        let mut before = mem::take(&mut self.rollouts.learners);
        let moving = self.rollouts.active.values().flat_map(|active| &active.routes);
        let moving: HashSet<String> = moving.map(|moving| moving.route.clone()).collect();
        for (position, route) in generation.plan().routes().iter().enumerate() {
            let name = &*route.matching.name;
            let rollout = route
                .forward()
                .and_then(|forward| forward.split_policies.rollout.as_ref());
            let (Some(rollout), false) = (rollout, moving.contains(name)) else {
                continue;
            };
            let arms =
                routes_of(generation, name).and_then(|routes| arms(generation, &routes, &rollout.plan, None));
            let Some(arms) = arms.ok().and_then(|arms| arms.into_iter().next()) else {
                continue;
            };
            let known = before.remove(name).filter(|learner| {
                learner.plan == rollout.plan
                    && learner.baseline == arms.baseline
                    && learner.canary == arms.canary
            });
            let judge = || judge_of(generation, &[position], &rollout.plan);
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
    pub(super) async fn tick_rollouts(&mut self, now: Instant) {
        if self.rollouts.tick_at.is_none_or(|at| at > now) {
            return;
        }
        self.rollouts.tick_at = Some(now + TICK);
        if self.shared.test_clock {
            return;
        }
        // Without the answers of the last second, no second has passed.
        if let Some(others) = self.others_of_last_tick() {
            self.judge_rollouts(&others).await;
        }
    }

    /// Counts a second of all rollouts, with what the other instances of a fleet have counted, and does what it asks for.
    async fn judge_rollouts(&mut self, others: &Others) {
        let own_id = self.fleet().map(|fleet| fleet.id());
        let Ok(view) = self.shared.view() else { return };
        let metrics = view.metrics();
        for (route, learner) in &mut self.rollouts.learners {
            let arms = [&*learner.canary, &*learner.baseline];
            let wanted = wanted(&learner.plan, Some((&learner.judge, 0)));
            if let Some(mut pair) = learner.counting.read(metrics, route, arms, wanted) {
                others.add_to(&mut pair, route, arms);
                let counted = Counted::of(&pair, &learner.plan.failures);
                learner.judge.learn(&[counted.second(0.0)]);
            }
        }
        let now = self.wall_time();
        let mut due = Vec::new();
        for (route, active) in &mut self.rollouts.active {
            active.ramp.set_time(now);
            let is_first_round = mem::take(&mut active.is_first_round);
            active.standing = match read_all(active, metrics) {
                Some(mut pairs) => {
                    let own = own_id.as_ref().map(|id| (id, requests(&pairs)));
                    active.take_coverage(others, own, is_first_round);
                    if !is_first_round {
                        active.add_others(others, &mut pairs);
                    }
                    let counted = pairs.iter().map(|pair| Counted::of(pair, &active.plan.failures));
                    let counted: Vec<Counted> = counted.collect();
                    let share = active.ramp.percent().share();
                    let seconds: Vec<RouteSecond<'_>> =
                        counted.iter().map(|counted| counted.second(share)).collect();
                    active.ramp.tick(&seconds)
                }
                // Nothing was counted: no second has passed.
                None => active.ramp.standing(),
            };
            active.gate.tick(&active.standing);
            if !matches!(active.standing, Standing::Holds(_)) {
                due.push(route.clone());
            }
        }
        self.carry_on(due).await;
        self.report_rollouts();
        self.rollouts.unstored += 1;
        if self.rollouts.unstored >= STORE_TICKS {
            self.store_evidence().await;
        }
    }

    /// Reports the rollouts under way, for status, routes and metrics.
    pub(super) fn report_rollouts(&self) {
        let moving = self.rollouts.active.values().flat_map(|active| {
            let routes = active.routes.iter();
            routes.map(move |moving| (moving, active))
        });
        let active = moving.map(|(moving, active)| RolloutReport {
            route: moving.route.clone(),
            canary: moving.canary.clone(),
            step: active.ramp.step().map_or(0, |step| step + 1),
            steps: active.ramp.plan().steps.len(),
            share: active.ramp.percent().share(),
            evidence: active.ramp.judge().map_or(0.0, Judge::evidence),
            paused: active.ramp.stops().next().is_some(),
            suspicion: view::suspicion(active),
        });
        let mut active: Vec<RolloutReport> = active.collect();
        if !self.is_in_charge() {
            active.extend(self.turned_elsewhere());
        }
        self.shared.update_report(|report| report.rollouts = active);
    }

    /// The rollouts under way that another gateway turns, as they were stored last.
    fn turned_elsewhere(&self) -> impl Iterator<Item = RolloutReport> {
        let stored = self.state.dials.rollouts.values();
        let stored = stored.filter(|stored| stored.end.is_none());
        stored.flat_map(|stored| {
            stored.routes.iter().map(|route| RolloutReport {
                route: route.route.clone(),
                canary: route.canary.clone(),
                step: stored.step_number,
                steps: stored.step_count,
                share: share_of(&route.live, &route.canary).share(),
                evidence: 0.0,
                paused: stored.is_paused || stored.is_plan_changed,
                suspicion: None,
            })
        })
    }

    /// Stores the evidence of the rollouts under way.
    pub(super) async fn store_evidence(&mut self) {
        if self.rollouts.active.is_empty() {
            return;
        }
        let mut dials = self.state.dials.clone();
        for lead in self.rollouts.active.keys() {
            self.update_stored(lead, &mut dials);
        }
        // The status shows an error; until the next write, a kill would lose some bets.
        let _ = self.state.store_dials(&dials).await;
        self.report_state();
        self.rollouts.unstored = 0;
    }

    /// Does what the standings of these rollouts ask for, but for those that wait for a hook.
    async fn carry_on(&mut self, mut due: Vec<String>) {
        due.retain(|lead| self.may_try(lead) && !self.waits_for_hook(lead));
        let decisions = due.iter().filter_map(|lead| self.decide(lead));
        let (rollbacks, others): (Vec<Decision>, Vec<Decision>) =
            decisions.partition(|decision| matches!(decision.act, Act::End(EndState::RolledBack, _)));
        // A bad version does not wait for the steps of good ones. What fails is tried again at the next tick.
        for decisions in [rollbacks, others] {
            if decisions.is_empty() {
                continue;
            }
            let leads: Vec<String> = decisions.iter().map(|decision| decision.lead.clone()).collect();
            match self.carry_out(decisions, JUDGE).await {
                Ok(done) => {
                    let is_done = |lead: &String| done.iter().any(|done| done.is_of(lead));
                    let (done_leads, others): (Vec<_>, Vec<_>) = leads.into_iter().partition(is_done);
                    done_leads
                        .iter()
                        .for_each(|lead| drop(self.rollouts.waits.remove(lead)));
                    self.put_off(&others, "");
                    self.tell_all(done);
                }
                Err(problem) => {
                    if self.put_off(&leads, &problem.detail) {
                        log::warn(&problem.detail);
                    }
                }
            }
        }
    }

    /// Returns true if a rollout that could not be stored may be tried again. Files are tried at each tick.
    fn may_try(&self, lead: &str) -> bool {
        let now = self.part.as_ref().map(|part| part.began.elapsed());
        let wait = self.rollouts.waits.get(lead);
        wait.zip(now).is_none_or(|(wait, now)| wait.is_due(now))
    }

    /// Puts rollouts off that could not be stored. Returns true if that is news for one of them, or concerns files.
    fn put_off(&mut self, leads: &[String], why: &str) -> bool {
        let Some(now) = self.part.as_ref().map(|part| part.began.elapsed()) else {
            return true;
        };
        let mut is_news = false;
        for lead in leads {
            let waits = self.rollouts.waits.entry(lead.clone());
            let wait = waits.or_insert_with(|| BackOff::up_to(WAIT_MAX));
            is_news |= wait.refused(now, why);
        }
        is_news
    }

    /// The step or the end that the standing of a rollout asks for; `None` if it asks for none.
    fn decide(&self, lead: &str) -> Option<Decision> {
        let active = self.rollouts.active.get(lead)?;
        let act = match &active.standing {
            Standing::Holds(_) => return None,
            Standing::Ready => Act::Step,
            Standing::Done => Act::End(EndState::Finished, self.final_target(lead, active.ramp.percent())),
            Standing::RollBack(_) => Act::End(EndState::RolledBack, Target::Share(Percent::ZERO)),
        };
        Some(Decision {
            lead: lead.to_owned(),
            act,
            summary: self.summary(lead),
        })
    }

    /// The weights at which a rollout ends with this share of the canary.
    fn final_target(&self, lead: &str, percent: Percent) -> Target {
        let generation = self.gateway.generation();
        let stored = self
            .state
            .dials
            .rollouts
            .get(lead)
            .filter(|stored| stored.on_change);
        let declared = stored.and_then(|stored| {
            let lead = stored.lead()?;
            let position = generation.compiled().position(&lead.route)?;
            Some(share_of(&declared(generation.plan(), position)?, &lead.canary))
        });
        match declared == Some(percent) {
            true => Target::Declared,
            false => Target::Share(percent),
        }
    }

    /// Brings a stored rollout up to date with the one under way. The others may be up to 30 s behind: a change of one of a
    /// thousand rollouts must not cost a thousand.
    fn update_stored(&self, lead: &str, dials: &mut Dials) {
        let (Some(active), Some(stored)) = (self.rollouts.active.get(lead), dials.rollouts.get_mut(lead))
        else {
            return;
        };
        let ramp = &active.ramp;
        let share = ramp.has_begun().then(|| ramp.percent().thousandths());
        stored.share = share.map(u64::from);
        stored.step_number = ramp.step().map_or(0, |step| step + 1);
        stored.step_count = ramp.plan().steps.len();
        stored.age = ramp.age();
        stored.requests = ramp.requests();
        stored.is_approved = ramp.is_approved();
        stored.is_paused = ramp.is_stopped_by(Stop::Paused);
        stored.is_plan_changed = ramp.is_stopped_by(Stop::PlanChanged);
        stored.evidence = StoredEvidence::of(&ramp.judge().map(Judge::numbers).unwrap_or_default());
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
            metrics: change.metrics.clone(),
        });
        Ok(changes.collect())
    }

    /// The last rollout that a route had a part in.
    pub(super) fn stored_rollout(&self, route: &str) -> Result<&StoredRollout, Problem> {
        if self.gateway.generation().compiled().position(route).is_none() {
            return Err(Problem::not_found(format!("there is no route named `{route}`")));
        }
        let stored = self.state.dials.rollout_of(route);
        stored.ok_or_else(|| Problem::not_found(format!("the route `{route}` had no rollout so far")))
    }

    /// The standing of a rollout under way, in a sentence.
    fn summary(&self, route: &str) -> String {
        self.rollouts
            .active
            .get(route)
            .map(view::summary)
            .unwrap_or_default()
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

/// The judge of a rollout of the routes at `positions`; `None` for a timed ramp.
fn judge_of(generation: &Generation, positions: &[usize], plan: &RolloutPlan) -> Option<Judge> {
    let settings = plan.judge.clone()?;
    let mut forwards = positions
        .iter()
        .filter_map(|position| forward(generation.plan(), *position));
    let is_sticky = forwards.any(|forward| forward.split_policies.sticky.is_some());
    let steps = plan.ramp.judged_steps();
    Some(Judge::new(
        settings,
        positions.len(),
        steps,
        is_sticky,
        histogram::bounds_ms(),
    ))
}

/// Reads the counters of all routes of a rollout. `None` if those of one of them were not comparable.
fn read_all(active: &mut Active, metrics: &Metrics) -> Option<Vec<[ArmReading; 2]>> {
    let (plan, judge) = (&active.plan, active.ramp.judge());
    // All are read before one that failed ends it, so that all begin anew at the same time.
    let counted: Vec<Option<[ArmReading; 2]>> = active
        .routes
        .iter_mut()
        .enumerate()
        .map(|(at, moving)| {
            let arms = [&*moving.canary, &*moving.baseline];
            let wanted = wanted(plan, judge.map(|judge| (judge, at)));
            moving.counting.read(metrics, &moving.route, arms, wanted)
        })
        .collect();
    counted.into_iter().collect()
}

/// The longest response timeout of the canaries, in seconds.
fn response_timeout(generation: &Generation, positions: &[usize], routes: &[Moving]) -> u64 {
    let plan = generation.plan();
    let timeouts = positions.iter().zip(routes).filter_map(|(position, moving)| {
        let arms = &forward(plan, *position)?.arms;
        let mut services = arms.iter().map(|id| plan.service(*id));
        let canary = services.find(|service| *service.name == *moving.canary)?;
        let route = &plan.routes()[*position];
        Some(route.policies.timeouts.over(canary.timeouts))
    });
    // A timeout of `none` is like a day.
    let seconds = timeouts.map(|timeouts| timeouts.response.as_secs().min(24 * 60 * 60));
    seconds.max().unwrap_or_default()
}

impl Active {
    /// The canary on the route that the rollout was started at.
    fn canary(&self) -> &str {
        &self.routes[0].canary
    }

    fn names(&self) -> Names<'_> {
        Names {
            canary: self.canary(),
            baseline: &self.routes[0].baseline,
        }
    }
}
