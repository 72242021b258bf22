//! Steps and ends of rollouts: stored, then in force, then told.

use std::collections::HashSet;

use waypost_admin::problem::Problem;
use waypost_admin::rollout::MetricView;
use waypost_plan::rollout::OnSuccess;
use waypost_proxy::generation::Generation;
use waypost_rollout::ramp::Ramp;
use waypost_rollout::ramp::plan::Percent;

use crate::control::Control;
use crate::control::dial::Turning;
use crate::control::rollout::notify::Telling;
use crate::control::rollout::view;
use crate::log;
use crate::state::rollouts::{EndState, StoredChange, StoredEnd, StoredRollout, StoredRoute};
use crate::state::weights::{carried_over, declared, share_of, weights_at};

/// The weights that a rollout turns its dials to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// This share for the canary; the others keep the proportions that they had at the start.
    Share(Percent),
    /// The live weights at the start.
    Before,
    /// The weights of the config.
    Declared,
}

/// A step or an end of a rollout.
pub(super) struct Decision {
    pub(super) lead: String,
    pub(super) act: Act,
    pub(super) summary: String,
}

/// The change that a rollout is to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// The next step.
    Step,
    /// The end, at these weights.
    End(EndState, Target),
}

/// A change that is stored and in force, and is to be told.
pub(super) struct Done {
    lead: String,
    change: StoredChange,
    telling: Option<Telling>,
}

impl Done {
    /// Returns true if it is of the rollout that was started at this route.
    pub(super) fn is_of(&self, lead: &str) -> bool {
        self.lead == lead
    }
}

/// A turn of the dials of a rollout.
struct Move {
    lead: String,
    target: Target,
    end: Option<EndState>,
    summary: String,
    /// The metrics that it rests on.
    metrics: Vec<MetricView>,
}

impl Control {
    /// Takes the next step: stored, then in force, then told.
    pub(super) async fn take_step(&mut self, lead: &str, summary: &str, by: &str) -> Result<(), Problem> {
        let step = Decision {
            lead: lead.to_owned(),
            act: Act::Step,
            summary: summary.to_owned(),
        };
        let done = self.carry_out(vec![step], by).await?;
        self.tell_all(done);
        Ok(())
    }

    /// Ends a rollout: stored, then in force, then told.
    pub(super) async fn end_rollout(
        &mut self,
        lead: &str,
        state: EndState,
        summary: &str,
        by: &str,
        target: Target,
    ) -> Result<(), Problem> {
        let end = Decision {
            lead: lead.to_owned(),
            act: Act::End(state, target),
            summary: summary.to_owned(),
        };
        let done = self.carry_out(vec![end], by).await?;
        self.tell_all(done);
        Ok(())
    }

    /// Takes steps and ends of rollouts, all in one write: a thousand rollouts may come to a step in the same second. Returns
    /// what is to be told.
    pub(super) async fn carry_out(
        &mut self,
        decisions: Vec<Decision>,
        by: &str,
    ) -> Result<Vec<Done>, Problem> {
        let mut before: Vec<(String, Ramp)> = Vec::new();
        let mut moves = Vec::new();
        for Decision { lead, act, summary } in decisions {
            let (target, end, metrics) = match act {
                Act::Step => {
                    let Some(active) = self.rollouts.active.get_mut(&lead) else {
                        continue;
                    };
                    let ramp = active.ramp.clone();
                    let Some(percent) = active.ramp.step_up() else {
                        continue;
                    };
                    // Those of the step that is over.
                    let metrics = view::metrics_of(&ramp);
                    before.push((lead.clone(), ramp));
                    (Target::Share(percent), None, metrics)
                }
                Act::End(state, target) => (target, Some(state), self.metrics_of(&lead)),
            };
            moves.push(Move {
                lead,
                target,
                end,
                summary,
                metrics,
            });
        }
        let (changes, problem) = self.turn_all(&moves, by).await;
        let stored: HashSet<&str> = changes.iter().map(|(lead, _)| &**lead).collect();
        let is_done = |lead: &str| problem.is_none() || stored.contains(lead);
        for (lead, ramp) in before {
            if let Some(active) = self.rollouts.active.get_mut(&lead) {
                if !is_done(&lead) {
                    active.ramp = ramp;
                }
                active.standing = active.ramp.standing();
            }
        }
        if problem.is_some() && self.state.may_differ() {
            // A bad version loses its requests at once, even if that cannot be stored. It is tried again at the next tick.
            let rolled_back = moves
                .iter()
                .filter(|moved| moved.end == Some(EndState::RolledBack));
            rolled_back.for_each(|moved| self.roll_back_unstored(&moved.lead));
        }
        let ends = moves.iter().filter(|moved| is_done(&moved.lead));
        let ends = ends.filter_map(|moved| Some((moved.lead.clone(), moved.end?)));
        let ends: Vec<(String, EndState)> = ends.collect();
        match problem {
            Some(problem) if changes.is_empty() => return Err(problem),
            Some(problem) => log::warn(&problem.detail),
            None => {}
        }
        // With the evidence, which ends with the rollout.
        let done: Vec<Done> = changes
            .into_iter()
            .map(|(lead, change)| Done {
                telling: self.telling(&lead, &change),
                lead,
                change,
            })
            .collect();
        self.forget(&ends);
        Ok(done)
    }

    /// Forgets rollouts that have ended, and counts their verdicts.
    fn forget(&mut self, ends: &[(String, EndState)]) {
        if ends.is_empty() {
            return;
        }
        let mut verdicts = Vec::new();
        for (lead, state) in ends {
            self.rollouts.active.remove(lead);
            self.rollouts.waits.remove(lead);
            let routes = self.state.dials.rollouts.get(lead).map(|stored| &*stored.routes);
            let routes = routes.unwrap_or_default().iter();
            verdicts.extend(routes.map(|route| (route.route.clone(), state.as_str())));
        }
        let generation = self.gateway.generation();
        self.set_learners(&generation);
        self.shared.update_report(|report| {
            for verdict in verdicts {
                *report.verdicts.entry(verdict).or_insert(0) += 1;
            }
        });
        self.report_rollouts();
    }

    /// Takes a canary's requests away although that cannot be stored.
    fn roll_back_unstored(&self, lead: &str) {
        let generation = self.gateway.generation();
        let Some(stored) = self.state.dials.rollouts.get(lead) else {
            return;
        };
        for route in &stored.routes {
            let Some(position) = generation.compiled().position(&route.route) else {
                continue;
            };
            let declared =
                declared(generation.plan(), position).filter(|declared| route.has_arms_in(declared));
            let weights = declared.and_then(|declared| {
                let before = carried_over(&route.before, &declared, &route.canary, &route.baseline);
                weights_at(&before, &route.canary, Percent::ZERO)
            });
            if let Some(weights) = weights {
                let weights: Vec<u64> = weights.iter().map(|(_, weight)| *weight).collect();
                generation.compiled().dial(position, Some(&weights));
            }
        }
    }

    /// Turns the dials of rollouts, and stores what became of them in the same write. Returns the changes that were made, and the
    /// problem of those that were not: a fleet stores each as a whole, and one that cannot be stored holds no other.
    async fn turn_all(&mut self, moves: &[Move], by: &str) -> (Vec<(String, StoredChange)>, Option<Problem>) {
        if let Err(problem) = self.own_state().await {
            return (Vec::new(), Some(problem));
        }
        let time = self.wall_time();
        let generation = self.gateway.generation();
        let mut dials = self.state.dials.clone();
        let mut turnings = Vec::new();
        let mut changes = Vec::new();
        for moved in moves {
            let lead = &moved.lead;
            let active = self.rollouts.active.get(lead);
            let writes = active.is_some_and(|active| active.plan.on_success == OnSuccess::Write);
            self.update_stored(lead, &mut dials);
            let Some(stored) = dials.rollouts.get_mut(lead) else {
                continue;
            };
            for route in &mut stored.routes {
                turnings.extend(turning(&generation, route, moved.target));
            }
            let change = StoredChange {
                time,
                change: moved.end.map_or("step", EndState::as_str).to_owned(),
                percent: stored.lead().map(percent_of).unwrap_or_default(),
                summary: moved.summary.clone(),
                by: by.to_owned(),
                metrics: moved.metrics.clone(),
            };
            stored.note(change.clone());
            stored.end = moved.end.map(|state| StoredEnd { time, state });
            // The config has the weights that a rollout of its change goes to.
            let writes = (stored.write || writes) && !stored.on_change;
            stored.is_unwritten = writes && moved.end == Some(EndState::Finished);
            changes.push((lead.clone(), change));
        }
        let before = self.state.dials.clone();
        let turned = self.turn_with(Ok(()), &generation, dials, turnings, by).await;
        let Err(problem) = turned else {
            return (changes, None);
        };
        changes.retain(|(lead, change)| self.has_stored(lead, change));
        if !changes.is_empty() {
            self.apply_dials(&generation, &self.active);
            self.tell_turns(&before);
        }
        (changes, Some(problem))
    }

    /// Returns true if a change is the last of a stored rollout.
    fn has_stored(&self, lead: &str, change: &StoredChange) -> bool {
        let words = |change: &StoredChange| {
            let StoredChange {
                change,
                percent,
                summary,
                by,
                ..
            } = change.clone();
            [change, percent, summary, by]
        };
        let last = self.state.dials.rollouts.get(lead).and_then(StoredRollout::last);
        last.is_some_and(|last| last.time == change.time && words(last) == words(change))
    }

    /// Makes sure that the state is this gateway's.
    ///
    /// # Errors
    /// If it is another one's, or was until now: its rollouts are taken over then, and the present one is another one.
    async fn own_state(&mut self) -> Result<(), Problem> {
        if self.is_in_charge() {
            return Ok(());
        }
        self.expect_charge()?;
        let claimed = self.claim_state().await;
        claimed.map_err(|error| error.problem("the dial is not turned"))?;
        Err(Problem::conflict(
            "the state was another gateway's until now, and its rollouts are taken over; ask again",
        ))
    }

    /// Notes a change that turns no dial.
    pub(super) async fn note_rollout(
        &mut self,
        lead: &str,
        change: &str,
        summary: &str,
        by: &str,
    ) -> Result<(), Problem> {
        self.own_state().await?;
        let mut dials = self.state.dials.clone();
        self.update_stored(lead, &mut dials);
        let percent = self.percent_of(lead);
        let Some(stored) = dials.rollouts.get_mut(lead) else {
            return Ok(());
        };
        let change = StoredChange {
            time: self.wall_time(),
            change: change.to_owned(),
            percent,
            summary: summary.to_owned(),
            by: by.to_owned(),
            metrics: self.metrics_of(lead),
        };
        stored.note(change.clone());
        let written = self.state.store_dials(&dials).await;
        self.report_state();
        written.map_err(|error| error.problem("nothing is done"))?;
        if let Some(active) = self.rollouts.active.get_mut(lead) {
            active.standing = active.ramp.standing();
        }
        self.tell(lead, &change);
        Ok(())
    }

    /// The metrics of a rollout under way.
    fn metrics_of(&self, lead: &str) -> Vec<MetricView> {
        let active = self.rollouts.active.get(lead);
        active.map_or_else(Vec::new, |active| view::metrics_of(&active.ramp))
    }

    /// The present share of the canary, as text.
    fn percent_of(&self, lead: &str) -> String {
        let stored = self.state.dials.rollouts.get(lead);
        stored
            .and_then(StoredRollout::lead)
            .map(percent_of)
            .unwrap_or_default()
    }

    /// Publishes a change, and logs it.
    pub(super) fn tell(&mut self, lead: &str, change: &StoredChange) {
        let telling = self.telling(lead, change);
        self.publish(lead, change, telling);
    }

    /// Publishes changes, and logs them.
    pub(super) fn tell_all(&mut self, done: Vec<Done>) {
        for Done {
            lead,
            change,
            telling,
        } in done
        {
            self.publish(&lead, &change, telling);
        }
    }

    /// Publishes a change, which was put in words before, and logs it.
    fn publish(&mut self, lead: &str, change: &StoredChange, telling: Option<Telling>) {
        let stored = self.state.dials.rollouts.get(lead);
        let canary = stored
            .and_then(StoredRollout::lead)
            .map_or("", |route| &route.canary);
        log::info(format_args!(
            "rollout of `{canary}` on the route `{lead}`: {}, {}: {}",
            change.change.replace('_', " "),
            change.percent,
            change.summary
        ));
        if let Some(telling) = telling {
            self.send(lead, telling);
        }
    }
}

/// Sets the live weights of a route to the target, and returns the turn of its dial if there is one.
fn turning(generation: &Generation, route: &mut StoredRoute, target: Target) -> Option<Turning> {
    let position = generation.compiled().position(&route.route);
    let declared = position.and_then(|position| declared(generation.plan(), position));
    // Without one of its arms, the split is no longer the rollout's.
    let declared = declared.filter(|declared| route.has_arms_in(declared));
    let before = match &declared {
        Some(declared) => carried_over(&route.before, declared, &route.canary, &route.baseline),
        None => route.before.clone(),
    };
    let is_there = declared.is_some();
    let weights = match target {
        Target::Share(percent) => weights_at(&before, &route.canary, percent)?,
        Target::Before => before,
        Target::Declared => declared?,
    };
    route.live.clone_from(&weights);
    let turning = Turning::of(generation, position.filter(|_| is_there)?)?;
    turning.to(&weights)
}

/// The live share of a route's canary, as text.
fn percent_of(route: &StoredRoute) -> String {
    share_of(&route.live, &route.canary).to_string()
}
