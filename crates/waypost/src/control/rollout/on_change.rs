//! Changed weights of the config that are gone to in the steps of a plan.

use jiff::Timestamp;
use waypost_admin::rollout::StartRollout;
use waypost_proxy::generation::Generation;

use crate::control::Control;
use crate::control::rollout::arms::{RouteArms, arms, routes_of};
use crate::control::rollout::plans::{between, chosen_plan, fingerprint};
use crate::control::rollout::{forward, live_weights};
use crate::log;
use crate::state::StoreError;
use crate::state::dials::Dials;
use crate::state::rollouts::{StoredRollout, StoredRoute};
use crate::state::weights::{Weights, declared, share_of};

/// The change of one route's weights.
struct Change {
    live: Weights,
    declared: Weights,
}

impl Control {
    /// Makes rollouts of the changes of weights that are gone to in steps, and stores them: once `after` is active, the
    /// weights stay as they are. Returns the dials before, to be put back if it is not activated; `None` if there are no
    /// such changes.
    ///
    /// # Errors
    /// If they cannot be stored. With `remember`, they are kept in memory then.
    pub(in crate::control) async fn hold_back_changes(
        &mut self,
        before: &Generation,
        after: &Generation,
        by: Option<&str>,
        remember: bool,
    ) -> Result<Option<Dials>, StoreError> {
        let held_back = self.changes_in_steps(before, after, by.unwrap_or("config"));
        if held_back.is_empty() {
            return Ok(None);
        }
        // What another gateway has stored is taken over first.
        let claimed = self.claim_state().await;
        let mut dials = self.state.dials.clone();
        add(held_back, &mut dials);
        let before = self.state.dials.clone();
        match self.store_dials(claimed, &dials).await {
            Err(_) if remember => self.state.dials = dials,
            stored => stored?,
        }
        Ok(Some(before))
    }

    /// Adds the rollouts of the changes of weights that are gone to in steps to `dials`, which are about to be stored with
    /// the config.
    pub(in crate::control) fn add_held_back(
        &self,
        before: &Generation,
        after: &Generation,
        by: Option<&str>,
        dials: &mut Dials,
    ) {
        add(
            self.changes_in_steps(before, after, by.unwrap_or("config")),
            dials,
        );
    }

    /// The first route with a change of weights that is gone to in steps.
    pub(in crate::control) fn first_in_steps(
        &self,
        before: &Generation,
        after: &Generation,
    ) -> Option<String> {
        let held_back = self.changes_in_steps(before, after, "config");
        let first = held_back.first()?.lead()?;
        Some(first.route.clone())
    }

    /// Takes rollouts of a config back that was not activated.
    pub(in crate::control) async fn take_back_changes(&mut self, before: Option<Dials>) {
        let Some(before) = before else { return };
        // The status shows an error. Without the config, they would be aborted at the next start.
        let _ = self.state.store_dials(&before).await;
        self.state.dials = before;
    }

    fn changes_in_steps(&self, before: &Generation, after: &Generation, by: &str) -> Vec<StoredRollout> {
        let mut rollouts: Vec<StoredRollout> = Vec::new();
        for (position, route) in after.plan().routes().iter().enumerate() {
            let name = &*route.matching.name;
            let planned =
                forward(after.plan(), position).and_then(|forward| forward.split_policies.rollout.as_ref());
            let is_known = || rollouts.iter().any(|rollout| rollout.route(name).is_some());
            if planned.is_none_or(|rollout| !rollout.plan.on_change) || is_known() {
                continue;
            }
            match change_in_steps(before, after, name, by, self.wall_time()) {
                // A rollout under way holds by itself.
                Ok(Some(rollout)) if self.is_under_way(&rollout) => {}
                Ok(Some(rollout)) if self.goes_back(&rollout) => log::info(format_args!(
                    "the changed weights of the route `{name}` take effect at once: they go back to what its last \
                     rollout came from"
                )),
                Ok(Some(rollout)) => rollouts.push(rollout),
                Ok(None) => {}
                Err(why) => log::warn(format_args!(
                    "the changed weights of the route `{name}` take effect at once: {why}"
                )),
            }
        }
        rollouts
    }

    /// Returns true if one of the routes of a rollout has one under way.
    fn is_under_way(&self, rollout: &StoredRollout) -> bool {
        let mut routes = rollout.routes.iter();
        routes.any(|route| {
            self.rollouts.lead_of(&route.route).is_some() || self.state.dials.is_moving(&route.route)
        })
    }

    /// Returns true if a rollout would undo the last one of its route: in an emergency, that must not take hours.
    fn goes_back(&self, rollout: &StoredRollout) -> bool {
        let Some(lead) = rollout.lead() else { return false };
        let last = self.state.dials.rollout_of(&lead.route);
        let last = last.and_then(|last| last.route(&lead.route));
        last.is_some_and(|last| last.baseline == lead.canary && last.canary == lead.baseline)
    }
}

/// Adds rollouts that begin with a config. The history of a route spans its rollouts.
fn add(rollouts: Vec<StoredRollout>, dials: &mut Dials) {
    for mut rollout in rollouts {
        let Some(lead) = rollout.lead().map(|lead| lead.route.clone()) else {
            continue;
        };
        if let Some(last) = dials.rollout_of(&lead) {
            rollout.changes = last.changes.clone();
        }
        dials.rollouts.insert(lead, rollout);
    }
}

/// The rollout that a change of the weights of `route` makes; `None` if they did not change, or are smaller for the canary.
///
/// # Errors
/// The reason for which the change cannot be gone to in steps.
fn change_in_steps(
    before: &Generation,
    after: &Generation,
    route: &str,
    by: &str,
    now: Timestamp,
) -> Result<Option<StoredRollout>, String> {
    let positions = routes_of(after, route).map_err(|problem| problem.detail)?;
    match change_of_routes(before, after, &positions, by, now) {
        // A route of a deal that is changed by itself goes its way alone.
        Err(_) if positions.len() > 1 => change_of_routes(before, after, &positions[..1], by, now),
        change => change,
    }
}

/// The rollout that a change of the weights of all these routes makes.
fn change_of_routes(
    before: &Generation,
    after: &Generation,
    positions: &[usize],
    by: &str,
    now: Timestamp,
) -> Result<Option<StoredRollout>, String> {
    let Some(changes) = changes(before, after, positions) else {
        return Ok(None);
    };
    let start = StartRollout {
        to: None,
        plan: None,
        steps: None,
        write: false,
    };
    let chosen = chosen_plan(after.plan(), positions, &start);
    let (name, plan) = chosen.map_err(|problem| problem.detail)?;
    let to = match &plan.canary {
        Some(_) => None,
        None => Some(growing(&changes[0])?),
    };
    let arms = arms(after, positions, &plan, to).map_err(|problem| problem.detail)?;
    let shares: Vec<_> = arms
        .iter()
        .zip(&changes)
        .map(|(arms, change)| {
            let share = |weights: &Weights| share_of(weights, &arms.canary);
            (share(&change.live), share(&change.declared))
        })
        .collect();
    let (from, target) = shares[0];
    if shares.iter().any(|other| *other != shares[0]) {
        return Err("the routes of its deal do not have the same shares".to_owned());
    }
    if target <= from {
        return Ok(None);
    }
    let plan = between(&plan, from, target);
    let is_alone = |(arms, change): (&RouteArms, &Change)| {
        let others = change.live.iter().filter(|(service, _)| *service != arms.canary);
        others.map(|(_, weight)| weight).all(|weight| *weight == 0)
    };
    if arms.iter().zip(&changes).any(is_alone) {
        return Err("no other service has a weight to compare with".to_owned());
    }
    let routes = arms.into_iter().zip(changes).map(|(arms, change)| StoredRoute {
        route: arms.route,
        canary: arms.canary,
        baseline: arms.baseline,
        before: change.live.clone(),
        live: change.live,
    });
    Ok(Some(StoredRollout {
        routes: routes.collect(),
        deal: after.plan().routes()[positions[0]]
            .deal()
            .filter(|_| positions.len() > 1)
            .map(ToOwned::to_owned),
        plan: name,
        on_change: true,
        step_count: plan.ramp.steps.len(),
        ..StoredRollout::new(fingerprint(after, positions, &plan), now, by)
    }))
}

/// The changes of all routes; `None` if the declared weights are those of before, or are live already.
fn changes(before: &Generation, after: &Generation, positions: &[usize]) -> Option<Vec<Change>> {
    let mut changes = Vec::with_capacity(positions.len());
    let mut differs = false;
    for position in positions {
        let name = &*after.plan().routes()[*position].matching.name;
        let was = before.compiled().position(name)?;
        let declared_before = declared(before.plan(), was)?;
        let declared = declared(after.plan(), *position)?;
        let live_before = live_weights(before, was);
        // A service that is gone cannot keep its requests, and one that is new has none.
        let live: Weights = declared
            .iter()
            .map(|(service, _)| {
                let known = live_before.iter().find(|(known, _)| known == service);
                (service.clone(), known.map_or(0, |(_, weight)| *weight))
            })
            .collect();
        let is_gone = live_before
            .iter()
            .any(|(service, weight)| *weight > 0 && !declared.iter().any(|(known, _)| known == service));
        if is_gone {
            return None;
        }
        let same_shares = declared
            .iter()
            .all(|(service, _)| share_of(&declared, service) == share_of(&live, service));
        differs |= declared != declared_before && !same_shares;
        changes.push(Change { live, declared });
    }
    differs.then_some(changes)
}

/// The service whose share grows.
fn growing(change: &Change) -> Result<&str, String> {
    let mut growing = change
        .declared
        .iter()
        .map(|(service, _)| &**service)
        .filter(|service| share_of(&change.declared, service) > share_of(&change.live, service));
    match (growing.next(), growing.next()) {
        (Some(one), None) => Ok(one),
        _ => Err("more than one service grows".to_owned()),
    }
}
