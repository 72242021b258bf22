//! Versions of rollouts, by which two operators notice each other.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use waypost_admin::problem::Problem;
use waypost_rollout::ramp::Stop;

use crate::control::Control;
use crate::control::rollout::Active;
use crate::state::rollouts::StoredRollout;

/// The version of a rollout: another one after every step, action and end, and the same across restarts.
pub(super) fn version_of(stored: &StoredRollout, active: Option<&Active>) -> String {
    // The stored one may be a step behind, until it is written.
    let (step, stops, is_approved) = match active.map(|active| &active.ramp) {
        Some(ramp) => (
            ramp.step().map_or(0, |step| step + 1),
            [Stop::Paused, Stop::PlanChanged].map(|stop| ramp.is_stopped_by(stop)),
            ramp.is_approved(),
        ),
        None => (
            stored.step_number,
            [stored.is_paused, stored.is_plan_changed],
            stored.is_approved,
        ),
    };
    let mut hasher = DefaultHasher::new();
    stored.started.as_nanosecond().hash(&mut hasher);
    (step, stops, is_approved, stored.end.is_some()).hash(&mut hasher);
    if let Some(last) = stored.last() {
        (last.time.as_nanosecond(), &last.change, &last.percent, &last.by).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

impl Control {
    /// Refuses to act on a rollout that has none of these versions.
    pub(in crate::control) async fn refuse_other_rollout(
        &mut self,
        route: &str,
        versions: Option<&[String]>,
    ) -> Result<(), Problem> {
        let Some(versions) = versions.filter(|versions| !versions.iter().any(|version| version == "*"))
        else {
            return Ok(());
        };
        // What another gateway has stored is taken over first. If that fails, the action says so.
        let _ = self.claim_state().await;
        if self.gateway.generation().compiled().position(route).is_none() {
            return Ok(());
        }
        let Ok(now) = self.rollout_of(route) else {
            return Err(Problem::stale(format!(
                "the route `{route}` had no rollout so far; read it again"
            )));
        };
        if versions.contains(&now.version) {
            return Ok(());
        }
        let last = self.stored_rollout(route).ok().and_then(StoredRollout::last);
        let last = last.map(|last| {
            let change = last.change.replace('_', " ");
            format!(
                ", the last change was `{change}` by {} at {:.0}",
                last.by, last.time
            )
        });
        Err(Problem::stale(format!(
            "the rollout of the route `{route}` has changed: it is {} now, at step {} of {}, {} %{}; read it again",
            now.state.replace('_', " "),
            now.step,
            now.steps,
            now.percent,
            last.unwrap_or_default()
        )))
    }
}
