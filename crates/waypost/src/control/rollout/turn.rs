//! Steps and ends of rollouts: stored, then in force, then told.

use jiff::Timestamp;
use waypost_admin::events::EventKind;
use waypost_admin::problem::Problem;
use waypost_rollout::ramp::plan::Percent;
use waypost_rollout::words;

use crate::control::Control;
use crate::control::dial::Turning;
use crate::control::rollout::Active;
use crate::log;
use crate::state::rollouts::{EndState, StoredChange, StoredEnd, StoredRollout};
use crate::state::weights::{Weights, declared};

impl Control {
    /// Takes the next step: stored, then in force.
    pub(super) fn take_step(&mut self, route: &str, summary: &str, by: &str) -> Result<(), Problem> {
        let Some(active) = self.rollouts.active.get_mut(route) else {
            return Ok(());
        };
        let before = active.ramp.clone();
        let Some(percent) = active.ramp.step_up() else {
            return Ok(());
        };
        let turned = self.turn_to(route, percent, "step", summary, by, None);
        if let Some(active) = self.rollouts.active.get_mut(route) {
            if turned.is_err() {
                active.ramp = before;
            }
            active.standing = active.ramp.standing();
        }
        turned
    }

    /// Ends a rollout: at `percent`, at the weights of its start (aborted), or where it is.
    pub(super) fn end_rollout(
        &mut self,
        route: &str,
        state: EndState,
        summary: &str,
        by: &str,
        percent: Option<Percent>,
    ) -> Result<(), Problem> {
        let change = state.as_str();
        let end = Some(state);
        let turned = match percent {
            Some(percent) => self.turn_to(route, percent, change, summary, by, end),
            None => self.turn_weights(route, None, change, summary, by, end),
        };
        // A bad version loses its requests at once, even if that cannot be stored. It is tried again at the next tick.
        if turned.is_err() && state == EndState::RolledBack {
            self.roll_back_unstored(route);
        }
        turned?;
        self.rollouts.active.remove(route);
        let generation = self.gateway.generation();
        self.set_learners(&generation);
        let verdict = (route.to_owned(), state.as_str());
        self.shared
            .update_report(|report| *report.verdicts.entry(verdict).or_insert(0) += 1);
        self.report_rollouts();
        Ok(())
    }

    /// Takes a canary's requests away although that cannot be stored.
    fn roll_back_unstored(&self, route: &str) {
        let generation = self.gateway.generation();
        let Some(stored) = self.state.dials.rollouts.get(route) else {
            return;
        };
        let weights = weights_at(&stored.before, &stored.canary, Percent::ZERO);
        if let (Some(position), Some(weights)) = (generation.compiled().position(route), weights) {
            let weights: Vec<u64> = weights.iter().map(|(_, weight)| *weight).collect();
            generation.compiled().dial(position, Some(&weights));
        }
    }

    /// Turns the dial of a rollout to this share of the canary.
    fn turn_to(
        &mut self,
        route: &str,
        percent: Percent,
        change: &str,
        summary: &str,
        by: &str,
        end: Option<EndState>,
    ) -> Result<(), Problem> {
        let stored = self.state.dials.rollouts.get(route);
        let weights = stored.and_then(|stored| weights_at(&stored.before, &stored.canary, percent));
        self.turn_weights(route, weights, change, summary, by, end)
    }

    /// Turns the dial of a rollout, and stores what became of it in the same write. Without weights, an aborted rollout
    /// goes back to those of its start, and any other stays where it is.
    fn turn_weights(
        &mut self,
        route: &str,
        weights: Option<Weights>,
        change: &str,
        summary: &str,
        by: &str,
        end: Option<EndState>,
    ) -> Result<(), Problem> {
        let time = Timestamp::now();
        let generation = self.gateway.generation();
        let mut dials = self.state.dials.clone();
        self.update_stored(&mut dials);
        let Some(stored) = dials.rollouts.get_mut(route) else {
            return Ok(());
        };
        let weights = match (weights, end) {
            (None, Some(EndState::Aborted)) => Some(stored.before.clone()),
            (weights, _) => weights,
        };
        let percent = percent_of(weights.as_ref(), stored, self.rollouts.active.get(route));
        let change = StoredChange {
            time,
            change: change.to_owned(),
            percent,
            summary: summary.to_owned(),
            by: by.to_owned(),
        };
        stored.note(change.clone());
        if let Some(weights) = &weights {
            stored.live.clone_from(weights);
        }
        stored.end = end.map(|state| StoredEnd { time, state });
        let canary = stored.canary.clone();
        // Without one of its arms, the split is no longer the rollout's.
        let turning = generation
            .compiled()
            .position(route)
            .filter(|position| {
                let declared = declared(generation.plan(), *position);
                declared.is_some_and(|declared| stored.has_arms_in(&declared))
            })
            .and_then(|position| Turning::of(&generation, position))
            .zip(weights.as_ref())
            .and_then(|(turning, weights)| turning.to(weights));
        let claimed = self.claim_state();
        self.turn_with(claimed, &generation, dials, turning.into_iter().collect(), by)?;
        self.tell(route, &canary, &change);
        Ok(())
    }

    /// Notes a change that turns no dial.
    pub(super) fn note_rollout(
        &mut self,
        route: &str,
        change: &str,
        summary: &str,
        by: &str,
    ) -> Result<(), Problem> {
        let mut dials = self.state.dials.clone();
        self.update_stored(&mut dials);
        let Some(stored) = dials.rollouts.get_mut(route) else {
            return Ok(());
        };
        let percent = percent_of(None, stored, self.rollouts.active.get(route));
        let change = StoredChange {
            time: Timestamp::now(),
            change: change.to_owned(),
            percent,
            summary: summary.to_owned(),
            by: by.to_owned(),
        };
        stored.note(change.clone());
        let canary = stored.canary.clone();
        let written = self.state.store_dials(&dials);
        self.report_state();
        written.map_err(|error| Problem::not_stored(format!("nothing is done: {error}")))?;
        if let Some(active) = self.rollouts.active.get_mut(route) {
            active.standing = active.ramp.standing();
        }
        self.tell(route, &canary, &change);
        Ok(())
    }

    /// Publishes a change, and logs it.
    fn tell(&self, route: &str, canary: &str, change: &StoredChange) {
        log::info(format_args!(
            "rollout of `{canary}` on the route `{route}`: {}, {}: {}",
            change.change.replace('_', " "),
            change.percent,
            change.summary
        ));
        self.shared.events.publish(EventKind::Rollout {
            route: route.to_owned(),
            canary: canary.to_owned(),
            change: change.change.clone(),
            percent: change.percent.clone(),
            summary: change.summary.clone(),
            by: change.by.clone(),
        });
    }
}

/// The share of the canary, as text: in these weights, or in the present step.
fn percent_of(weights: Option<&Weights>, stored: &StoredRollout, active: Option<&Active>) -> String {
    let Some(weights) = weights else {
        return active
            .map_or(Percent::ZERO, |active| active.ramp.percent())
            .to_string();
    };
    let sum: u64 = weights.iter().map(|(_, weight)| weight).sum();
    let canary = weights.iter().find(|(service, _)| *service == stored.canary);
    let share = canary.map_or(0.0, |(_, weight)| *weight as f64 / sum.max(1) as f64);
    words::percent(share)
}

/// The weights that give the canary this share, while the others keep their proportions of `before`. `None` if no other arm
/// has a weight.
pub(super) fn weights_at(before: &Weights, canary: &str, percent: Percent) -> Option<Weights> {
    let all = u64::from(Percent::ALL.thousandths());
    let share = u64::from(percent.thousandths());
    let others: u64 = before
        .iter()
        .filter(|(service, _)| service != canary)
        .try_fold(0_u64, |sum, (_, weight)| sum.checked_add(*weight))?;
    if others == 0 {
        return None;
    }
    let mut weights: Weights = Vec::with_capacity(before.len());
    for (service, weight) in before {
        let weight = match service == canary {
            true => others.checked_mul(share)?,
            false => weight.checked_mul(all - share)?,
        };
        weights.push((service.clone(), weight));
    }
    let divisor = weights
        .iter()
        .fold(0, |divisor, (_, weight)| gcd(divisor, *weight))
        .max(1);
    let sum: u64 = weights.iter().map(|(_, weight)| weight / divisor).sum();
    // Percentages are easier to read than the smallest numbers.
    let factor = if sum > 0 && 100 % sum == 0 { 100 / sum } else { 1 };
    for (_, weight) in &mut weights {
        *weight = *weight / divisor * factor;
    }
    Some(weights)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &[(&str, u64)], percent: f64, expected: Option<&[u64]>) {
        let before: Weights = before
            .iter()
            .map(|(name, weight)| ((*name).to_owned(), *weight))
            .collect();
        let percent = Percent::from_thousandths((percent * 1000.0) as u64).unwrap();
        let weights = weights_at(&before, "c", percent);
        let weights =
            weights.map(|weights| weights.into_iter().map(|(_, weight)| weight).collect::<Vec<_>>());
        assert_eq!(weights.as_deref(), expected, "{before:?} at {percent}");
    }

    #[test]
    fn canary_gets_its_share_and_the_others_keep_their_proportions() {
        check(&[("b", 100), ("c", 0)], 5.0, Some(&[95, 5]));
        check(&[("b", 1), ("c", 0)], 0.5, Some(&[199, 1]));
        check(&[("b", 3), ("c", 7)], 100.0, Some(&[0, 100]));
        check(&[("b", 3), ("c", 7)], 0.0, Some(&[100, 0]));
        check(&[("b", 80), ("c", 0), ("d", 20)], 5.0, Some(&[76, 5, 19]));
        check(&[("b", 2), ("c", 0), ("d", 1)], 50.0, Some(&[2, 3, 1]));
        check(&[("b", 0), ("c", 100)], 5.0, None);
    }
}
