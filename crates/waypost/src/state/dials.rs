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
            let drains = drains.map(|drain| Drain {
                endpoint: (*drain.endpoint).into(),
                address: drain.address.as_deref().map(Into::into),
            });
            state.set_drains(drains.collect());
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

    /// Brings the dials of rollouts under way in line with the declared weights of `plan`.
    fn carry_over(&mut self, plan: &Plan) {
        let moving = self.moving();
        if moving.is_empty() {
            return;
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
                carried.push((name.to_owned(), None));
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
        for (name, dial) in carried {
            match dial {
                Some(dial) => self.dials.insert(name, dial),
                None => self.dials.remove(&name),
            };
        }
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

    /// Drops the dials of routes that `plan` does not have or whose declared weights differ. Returns the routes. The dials of
    /// rollouts under way are kept where both versions are.
    pub(crate) fn drop_stale(&mut self, plan: &Plan) -> Vec<String> {
        self.carry_over(plan);
        self.drop_stale_drains(plan);
        if self.dials.is_empty() {
            return Vec::new();
        }
        let mut stale: Vec<String> = self.dials.keys().cloned().collect();
        for (position, route) in plan.routes().iter().enumerate() {
            if let Some(dial) = self.dials.get(&*route.matching.name)
                && declared(plan, position).as_ref() == Some(&dial.declared)
            {
                stale.retain(|name| **name != *route.matching.name);
            }
        }
        self.dials.retain(|name, _| !stale.contains(name));
        stale
    }
}
