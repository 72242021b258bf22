//! Dials: live weights that replace those of the config, and the history of their changes.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waypost_plan::Plan;
use waypost_proxy::generation::Generation;
use waypost_upstream::service::health::Drain;

use crate::state::rollouts::{StoredRollout, StoredRoute};
use crate::state::weights::{Weights, declared};

/// The number of turns that are kept.
const TURNS_KEPT: usize = 200;

/// All dials and their past turns.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Dials {
    /// By route.
    pub(super) dials: BTreeMap<String, Dial>,
    /// The latest is the last.
    pub(super) turns: Vec<Turn>,
    /// The last rollouts, by the route that each was started at.
    #[serde(default)]
    pub(crate) rollouts: BTreeMap<String, StoredRollout>,
    /// Drained endpoints, by service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) drains: BTreeMap<String, Vec<StoredDrain>>,
}

/// A drained endpoint. It is so as long as the service declares it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct StoredDrain {
    /// Host and port, as in the config.
    pub(crate) endpoint: String,
    /// The only one of its addresses that is drained; `None` for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    pub(crate) by: String,
    pub(crate) time: Timestamp,
}

/// The dial of one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dial {
    /// The weights that the config declared at the turn. The dial holds as long as these stay the same.
    pub(crate) declared: Weights,
    pub(crate) live: Weights,
    pub(crate) by: String,
    pub(crate) time: Timestamp,
}

/// One turn of a dial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) time: Timestamp,
    pub(crate) route: String,
    pub(crate) before: Weights,
    pub(crate) after: Weights,
    pub(crate) by: String,
}

impl Dials {
    pub(crate) fn from_json(json: &[u8]) -> serde_json::Result<Self> {
        let mut dials: Self = serde_json::from_slice(json)?;
        dials.rollouts.retain(|_, rollout| !rollout.routes.is_empty());
        Ok(dials)
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// The turns of a route's dial, the latest first.
    pub(crate) fn turns_of<'d>(&'d self, route: &'d str) -> impl Iterator<Item = &'d Turn> {
        self.turns.iter().rev().filter(move |turn| turn.route == route)
    }

    /// The turns that were not there before, in their order.
    pub(crate) fn new_turns<'d>(&'d self, before: &'d Self) -> impl Iterator<Item = &'d Turn> {
        let known: HashSet<_> = before.turns.iter().map(|turn| (&turn.route, turn.time)).collect();
        let turns = self.turns.iter();
        turns.filter(move |turn| !known.contains(&(&turn.route, turn.time)))
    }

    /// Returns true if a rollout under way turns the dial of a route.
    pub(crate) fn is_moving(&self, route: &str) -> bool {
        let mut active = self.rollouts.values().filter(|rollout| rollout.end.is_none());
        active.any(|rollout| rollout.route(route).is_some())
    }

    /// Turns the dial of a route; `None` restores the declared weights.
    pub(crate) fn turn(&mut self, route: &str, dial: Option<Dial>, turn: Turn) {
        match dial {
            Some(dial) => self.dials.insert(route.to_owned(), dial),
            None => self.dials.remove(route),
        };
        self.turns.push(turn);
        if self.turns.len() > TURNS_KEPT {
            self.turns.drain(..self.turns.len() - TURNS_KEPT);
        }
    }

    /// The last rollout that the route had a part in.
    pub(crate) fn rollout_of(&self, route: &str) -> Option<&StoredRollout> {
        let rollouts = self.rollouts.values();
        rollouts
            .filter(|rollout| rollout.route(route).is_some())
            .max_by_key(|rollout| (rollout.end.is_none(), rollout.started))
    }

    /// The rollouts under way, each with its routes, by route.
    fn moving(&self) -> HashMap<&str, (&StoredRollout, &StoredRoute)> {
        let active = self.rollouts.values().filter(|rollout| rollout.end.is_none());
        active
            .flat_map(|rollout| {
                let routes = rollout.routes.iter();
                routes.map(move |route| (&*route.route, (rollout, route)))
            })
            .collect()
    }

    /// Drains the endpoints of a generation, and no others.
    pub(crate) fn drain(&self, generation: &Generation) {
        for state in generation.services() {
            let drains = self.drains.get(&*state.service().name).into_iter().flatten();
            state.set_drains(drains.map(drain).collect());
        }
    }

    /// Sets the live weights of a generation to these dials, and drains its endpoints. A rollout under way keeps its share under a changed split.
    pub(crate) fn apply_to(&self, generation: &Generation) {
        self.drain(generation);
        let moving = self.moving();
        for (position, route) in generation.plan().routes().iter().enumerate() {
            let name = &*route.matching.name;
            let declared = declared(generation.plan(), position);
            let dial = self.dials.get(name);
            let dial = dial.filter(|dial| declared.as_ref() == Some(&dial.declared));
            let of_rollout = moving
                .get(name)
                .zip(declared.as_ref())
                .and_then(|((_, route), declared)| route.live_of(declared));
            let live = of_rollout.or_else(|| dial.map(|dial| dial.live.clone()));
            let weights: Option<Vec<u64>> = live.map(|live| live.iter().map(|(_, weight)| *weight).collect());
            generation.compiled().dial(position, weights.as_deref());
        }
    }

    /// Sets the live weights of a generation that is not of the config that these dials belong to: those that were given to
    /// the very splits that it has. All other weights stay as they are in `before`, which may be the same generation: what
    /// came with a config waits for it. For the same reason drains are only added.
    pub(crate) fn apply_fitting(&self, generation: &Generation, before: &Generation) {
        self.drain_more(generation, before);
        let moving = self.moving();
        let last: HashMap<&str, &Turn> = self.turns.iter().map(|turn| (&*turn.route, turn)).collect();
        for (position, route) in generation.plan().routes().iter().enumerate() {
            let name = &*route.matching.name;
            let Some(declared) = declared(generation.plan(), position) else {
                continue;
            };
            let moving = moving.get(name).map(|(_, route)| *route);
            let live = match self.fitting(name, &declared, moving, last.get(name).copied()) {
                Some(live) => Some(live),
                None if std::ptr::eq(generation, before) => None,
                None => live_in(before, name, &declared),
            };
            if let Some(live) = live {
                let weights: Vec<u64> = live.iter().map(|(_, weight)| *weight).collect();
                let is_dialed = live != declared;
                generation
                    .compiled()
                    .dial(position, is_dialed.then_some(&weights[..]));
            }
        }
    }

    /// The weights that were given to the split with these declared ones; `None` if what is known is of another one.
    fn fitting(
        &self,
        route: &str,
        declared: &Weights,
        moving: Option<&StoredRoute>,
        last: Option<&Turn>,
    ) -> Option<Weights> {
        let names = |weights: &Weights| -> Vec<String> {
            weights.iter().map(|(service, _)| service.clone()).collect()
        };
        if let Some(moving) = moving.filter(|moving| names(&moving.live) == names(declared)) {
            return moving.live_of(declared);
        }
        match self.dials.get(route) {
            Some(dial) => (dial.declared == *declared).then(|| dial.live.clone()),
            // It was turned back to the declared weights.
            None => last
                .filter(|turn| turn.after == *declared)
                .map(|_| declared.clone()),
        }
    }

    /// Drains endpoints of a generation beside those that are drained in `before`.
    fn drain_more(&self, generation: &Generation, before: &Generation) {
        let known: HashMap<&str, _> = before
            .services()
            .iter()
            .map(|state| (&*state.service().name, state))
            .collect();
        for state in generation.services() {
            let name = &*state.service().name;
            let mut drains: Vec<Drain> = self.drains.get(name).into_iter().flatten().map(drain).collect();
            if let Some(known) = known.get(name) {
                let known = known.drains();
                let more = known.iter().filter(|known| !drains.contains(known));
                let more: Vec<Drain> = more.cloned().collect();
                drains.extend(more);
            }
            state.set_drains(drains);
        }
    }

    /// Brings the dials of rollouts under way in line with the declared weights of `plan`, so many of them at most. Returns true
    /// if some are other ones now.
    pub(crate) fn carry_over(&mut self, plan: &Plan, max: usize) -> bool {
        let moving = self.moving();
        if moving.is_empty() {
            return false;
        }
        let mut carried: Vec<(String, Option<Dial>)> = Vec::new();
        for (position, route) in plan.routes().iter().enumerate() {
            let name = &*route.matching.name;
            let (Some((rollout, route)), Some(declared)) = (moving.get(name), declared(plan, position))
            else {
                continue;
            };
            let Some(live) = route.live_of(&declared) else {
                continue;
            };
            let known = self.dials.get(name);
            if live == declared {
                if known.is_some() {
                    carried.push((name.to_owned(), None));
                }
            } else if known.is_none_or(|dial| dial.declared != declared || dial.live != live) {
                let dial = Dial {
                    by: known.map_or(&rollout.by, |dial| &dial.by).clone(),
                    time: known.map_or(rollout.started, |dial| dial.time),
                    declared,
                    live,
                };
                carried.push((name.to_owned(), Some(dial)));
            }
        }
        carried.truncate(max);
        let are_others = !carried.is_empty();
        for (name, dial) in carried {
            match dial {
                Some(dial) => self.dials.insert(name, dial),
                None => self.dials.remove(&name),
            };
        }
        are_others
    }

    /// Drops the drains of endpoints that `plan` does not declare.
    fn drop_stale_drains(&mut self, plan: &Plan) {
        self.drains.retain(|name, drains| {
            let mut services = plan.services().iter();
            let service = services.find(|service| *service.name == **name);
            drains.retain(|drain| {
                service.is_some_and(|service| {
                    let mut endpoints = service.endpoints.iter();
                    endpoints.any(|endpoint| *endpoint.text() == *drain.endpoint)
                })
            });
            !drains.is_empty()
        });
    }

    /// The routes of dials that `plan` does not have, or declares other weights for.
    pub(crate) fn stale(&self, plan: &Plan) -> Vec<String> {
        let mut stale = self.dials.clone();
        for (position, route) in plan.routes().iter().enumerate() {
            let name = &*route.matching.name;
            if stale
                .get(name)
                .is_some_and(|dial| declared(plan, position).as_ref() == Some(&dial.declared))
            {
                stale.remove(name);
            }
        }
        stale.into_keys().collect()
    }

    /// Drops dials and drains that hold under the config before, and do not under the one after; dials of rollouts under way are
    /// carried over. Returns the routes of the dials.
    pub(crate) fn drop_ended(&mut self, before: &Plan, after: &Plan) -> Vec<String> {
        self.carry_over(after, usize::MAX);
        let held = self.holding(before);
        let holds = self.holding(after);
        let mut dropped = Vec::new();
        self.dials.retain(|route, _| {
            let has_ended = held.dials.contains_key(route) && !holds.dials.contains_key(route);
            if has_ended {
                dropped.push(route.clone());
            }
            !has_ended
        });
        self.drains.retain(|service, drains| {
            drains.retain(|drain| !held.has_drain(service, drain) || holds.has_drain(service, drain));
            !drains.is_empty()
        });
        dropped
    }

    /// Drops dials and drains that do not hold under the config before, and would again under the one after, so many of each at
    /// most. Returns true if there are any.
    pub(crate) fn drop_revived(&mut self, before: &Plan, after: &Plan, max: usize) -> bool {
        let (held, holds) = (self.holding(before), self.holding(after));
        let mut count = 0;
        self.drains.retain(|service, drains| {
            drains.retain(|drain| {
                let is_revived = !held.has_drain(service, drain) && holds.has_drain(service, drain);
                count += usize::from(is_revived);
                !is_revived || count > max
            });
            !drains.is_empty()
        });
        self.drop_revived_dials(before, after, max) || count > 0
    }

    /// Drops dials in the same way.
    pub(crate) fn drop_revived_dials(&mut self, before: &Plan, after: &Plan, max: usize) -> bool {
        let (held, holds) = (self.holding(before), self.holding(after));
        let moving = self.moving();
        let revived = holds
            .dials
            .keys()
            .filter(|route| !held.dials.contains_key(*route) && !moving.contains_key(&***route));
        let revived: Vec<String> = revived.take(max).cloned().collect();
        for route in &revived {
            self.dials.remove(route);
        }
        !revived.is_empty()
    }

    /// The dials and drains that hold under the config of `plan`.
    fn holding(&self, plan: &Plan) -> Self {
        let mut holding = self.clone();
        for route in self.stale(plan) {
            holding.dials.remove(&route);
        }
        holding.drop_stale_drains(plan);
        holding
    }

    fn has_drain(&self, service: &str, drain: &StoredDrain) -> bool {
        let drains = self.drains.get(service);
        drains.is_some_and(|drains| drains.contains(drain))
    }

    /// Drops the dials of routes that `plan` does not have or whose declared weights differ. Returns the routes. The dials of
    /// rollouts under way are kept where both versions are.
    pub(crate) fn drop_stale(&mut self, plan: &Plan) -> Vec<String> {
        self.carry_over(plan, usize::MAX);
        self.drop_stale_drains(plan);
        let stale = self.stale(plan);
        for route in &stale {
            self.dials.remove(route);
        }
        stale
    }
}

/// The weights that a route has in a generation with these declared ones; `None` if it declares others.
fn live_in(generation: &Generation, route: &str, declared: &Weights) -> Option<Weights> {
    let position = generation.compiled().position(route)?;
    let is_same = self::declared(generation.plan(), position).as_ref() == Some(declared);
    let live = generation.compiled().live_weights(position).filter(|_| is_same)?;
    let names = declared.iter().map(|(service, _)| service.clone());
    Some(names.zip(live).collect())
}

fn drain(stored: &StoredDrain) -> Drain {
    Drain {
        endpoint: (*stored.endpoint).into(),
        address: stored.address.as_deref().map(Into::into),
    }
}
