//! Steps and ends of rollouts: stored, then in force, then told.

use jiff::Timestamp;
use waypost_admin::problem::Problem;
use waypost_admin::rollout::MetricView;
use waypost_plan::rollout::OnSuccess;
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

/// The words on a change.
struct Said<'a> {
    change: &'a str,
    summary: &'a str,
    by: &'a str,
    /// The metrics that it rests on.
    metrics: Vec<MetricView>,
}

impl Said<'_> {
    /// The change as it is stored.
    fn at(self, time: Timestamp, percent: String) -> StoredChange {
        StoredChange {
            time,
            change: self.change.to_owned(),
            percent,
            summary: self.summary.to_owned(),
            by: self.by.to_owned(),
            metrics: self.metrics,
        }
    }
}

impl Control {
    /// Takes the next step: stored, then in force, then told.
    pub(super) fn take_step(&mut self, lead: &str, summary: &str, by: &str) -> Result<(), Problem> {
        if let Some(change) = self.step_up(lead, summary, by)? {
            self.tell(lead, &change);
        }
        Ok(())
    }

    /// Takes the next step, and returns what is to be told.
    pub(super) fn step_up(
        &mut self,
        lead: &str,
        summary: &str,
        by: &str,
    ) -> Result<Option<StoredChange>, Problem> {
        let Some(active) = self.rollouts.active.get_mut(lead) else {
            return Ok(None);
        };
        let before = active.ramp.clone();
        let Some(percent) = active.ramp.step_up() else {
            return Ok(None);
        };
        // Those of the step that is over.
        let metrics = view::metrics_of(&before);
        let said = Said {
            change: "step",
            summary,
            by,
            metrics,
        };
        let turned = self.turn_to(lead, Target::Share(percent), said, None);
        if let Some(active) = self.rollouts.active.get_mut(lead) {
            if turned.is_err() {
                active.ramp = before;
            }
            active.standing = active.ramp.standing();
        }
        turned
    }

    /// Ends a rollout.
    pub(super) fn end_rollout(
        &mut self,
        lead: &str,
        state: EndState,
        summary: &str,
        by: &str,
        target: Target,
    ) -> Result<(), Problem> {
        let said = Said {
            change: state.as_str(),
            summary,
            by,
            metrics: self.metrics_of(lead),
        };
        let turned = self.turn_to(lead, target, said, Some(state));
        // A bad version loses its requests at once, even if that cannot be stored. It is tried again at the next tick.
        if turned.is_err() && state == EndState::RolledBack {
            self.roll_back_unstored(lead);
        }
        let change = turned?;
        // With the evidence, which ends with the rollout.
        let telling = change.as_ref().and_then(|change| self.telling(lead, change));
        self.rollouts.active.remove(lead);
        let generation = self.gateway.generation();
        self.set_learners(&generation);
        let routes = self.state.dials.rollouts.get(lead).map(|stored| &*stored.routes);
        let verdicts = routes.unwrap_or_default().iter();
        let verdicts: Vec<_> = verdicts
            .map(|route| (route.route.clone(), state.as_str()))
            .collect();
        self.shared.update_report(|report| {
            for verdict in verdicts {
                *report.verdicts.entry(verdict).or_insert(0) += 1;
            }
        });
        self.report_rollouts();
        if let Some(change) = change {
            self.publish(lead, &change, telling);
        }
        Ok(())
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

    /// Turns the dials of a rollout, and stores what became of it in the same write. Returns what is to be told.
    fn turn_to(
        &mut self,
        lead: &str,
        target: Target,
        said: Said<'_>,
        end: Option<EndState>,
    ) -> Result<Option<StoredChange>, Problem> {
        self.own_state()?;
        let by = said.by;
        let time = self.wall_time();
        let generation = self.gateway.generation();
        let active = self.rollouts.active.get(lead);
        let writes = active.is_some_and(|active| active.plan.on_success == OnSuccess::Write);
        let mut dials = self.state.dials.clone();
        self.update_stored(lead, &mut dials);
        let Some(stored) = dials.rollouts.get_mut(lead) else {
            return Ok(None);
        };
        let mut turnings = Vec::new();
        for route in &mut stored.routes {
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
                Target::Share(percent) => weights_at(&before, &route.canary, percent),
                Target::Before => Some(before),
                Target::Declared => declared,
            };
            let Some(weights) = weights else { continue };
            let turning = position
                .filter(|_| is_there)
                .and_then(|position| Turning::of(&generation, position));
            turnings.extend(turning.and_then(|turning| turning.to(&weights)));
            route.live = weights;
        }
        let percent = stored.lead().map(percent_of).unwrap_or_default();
        let change = said.at(time, percent);
        stored.note(change.clone());
        stored.end = end.map(|state| StoredEnd { time, state });
        // The config has the weights that a rollout of its change goes to.
        let writes = (stored.write || writes) && !stored.on_change;
        stored.is_unwritten = writes && end == Some(EndState::Finished);
        self.turn_with(Ok(()), &generation, dials, turnings, by)?;
        Ok(Some(change))
    }

    /// Makes sure that the state is this gateway's.
    ///
    /// # Errors
    /// If it is another one's, or was until now: its rollouts are taken over then, and the present one is another one.
    fn own_state(&mut self) -> Result<(), Problem> {
        if self.state.is_claimed() {
            return Ok(());
        }
        let claimed = self.claim_state();
        claimed.map_err(|error| Problem::not_stored(format!("the dial is not turned: {error}")))?;
        Err(Problem::conflict(
            "the state was another gateway's until now, and its rollouts are taken over; ask again",
        ))
    }

    /// Notes a change that turns no dial.
    pub(super) fn note_rollout(
        &mut self,
        lead: &str,
        change: &str,
        summary: &str,
        by: &str,
    ) -> Result<(), Problem> {
        self.own_state()?;
        let mut dials = self.state.dials.clone();
        self.update_stored(lead, &mut dials);
        let percent = self.percent_of(lead);
        let Some(stored) = dials.rollouts.get_mut(lead) else {
            return Ok(());
        };
        let said = Said {
            change,
            summary,
            by,
            metrics: self.metrics_of(lead),
        };
        let change = said.at(self.wall_time(), percent);
        stored.note(change.clone());
        let written = self.state.store_dials(&dials);
        self.report_state();
        written.map_err(|error| Problem::not_stored(format!("nothing is done: {error}")))?;
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

/// The live share of a route's canary, as text.
fn percent_of(route: &StoredRoute) -> String {
    share_of(&route.live, &route.canary).to_string()
}
