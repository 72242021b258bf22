//! Dials: live weights that replace those of the config, and the history of their changes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waypost_plan::Plan;
use waypost_proxy::generation::Generation;

use crate::state::rollouts::StoredRollout;
use crate::state::weights::{Weights, declared};

/// The number of turns that are kept.
const TURNS_KEPT: usize = 200;

/// All dials and their past turns.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Dials {
    /// By route.
    dials: BTreeMap<String, Dial>,
    /// The latest is the last.
    turns: Vec<Turn>,
    /// The last rollout of each route.
    #[serde(default)]
    pub(crate) rollouts: BTreeMap<String, StoredRollout>,
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
        serde_json::from_slice(json)
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

    /// Sets the live weights of a generation to these dials. A rollout under way keeps its share under a changed split.
    pub(crate) fn apply_to(&self, generation: &Generation) {
        for (position, route) in generation.plan().routes().iter().enumerate() {
            let name = &*route.matching.name;
            let declared = declared(generation.plan(), position);
            let dial = self.dials.get(name);
            let dial = dial.filter(|dial| declared.as_ref() == Some(&dial.declared));
            let of_rollout = self
                .rollouts
                .get(name)
                .zip(declared.as_ref())
                .and_then(|(rollout, declared)| rollout.live_of(declared));
            let live = of_rollout.or_else(|| dial.map(|dial| dial.live.clone()));
            let weights: Option<Vec<u64>> = live.map(|live| live.iter().map(|(_, weight)| *weight).collect());
            generation.compiled().dial(position, weights.as_deref());
        }
    }

    /// Brings the dials of rollouts under way in line with the declared weights of `plan`.
    fn carry_over(&mut self, plan: &Plan) {
        for (position, route) in plan.routes().iter().enumerate() {
            let name = &*route.matching.name;
            let (Some(rollout), Some(declared)) = (self.rollouts.get(name), declared(plan, position)) else {
                continue;
            };
            let Some(live) = rollout.live_of(&declared) else {
                continue;
            };
            let known = self.dials.get(name);
            if live == declared {
                self.dials.remove(name);
            } else if known.is_none_or(|dial| dial.declared != declared || dial.live != live) {
                let dial = Dial {
                    by: known.map_or(&rollout.by, |dial| &dial.by).clone(),
                    time: known.map_or(rollout.started, |dial| dial.time),
                    declared,
                    live,
                };
                self.dials.insert(name.to_owned(), dial);
            }
        }
    }

    /// Drops the dials of routes that `plan` does not have or whose declared weights differ. Returns the routes. The dials of
    /// rollouts under way are kept where both versions are.
    pub(crate) fn drop_stale(&mut self, plan: &Plan) -> Vec<String> {
        self.carry_over(plan);
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
