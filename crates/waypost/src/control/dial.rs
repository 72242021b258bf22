//! Dials: changing the live weights of a split.

use jiff::Timestamp;
use waypost_admin::command::{ArmView, DialHistory, Dialed, Turn as TurnView, Weight};
use waypost_admin::events::EventKind;
use waypost_admin::problem::Problem;

use super::Control;
use crate::state::StoreError;
use crate::state::dials::{Dial, Turn, Weights, declared};

impl Control {
    /// Turns the dial of a route: first stored, then live. `None` restores the declared weights.
    pub(super) fn dial(
        &mut self,
        route: &str,
        weights: Option<Vec<(String, u64)>>,
        by: String,
    ) -> Result<Dialed, Problem> {
        let not_stored = |error: StoreError| Problem::not_stored(format!("the dial is not turned: {error}"));
        let claimed = self.claim_state();
        let generation = self.gateway.generation();
        let position = generation.compiled().position(route);
        let position =
            position.ok_or_else(|| Problem::not_found(format!("there is no route named `{route}`")))?;
        let Some(declared) = declared(generation.plan(), position).filter(|arms| !arms.is_empty()) else {
            return Err(Problem::invalid(format!(
                "the route `{route}` forwards to no service, so it has no dial"
            )));
        };
        let names = || declared.iter().map(|(service, _)| service.clone());
        let live = generation.compiled().live_weights(position).unwrap_or_default();
        let before: Weights = names().zip(live).collect();
        let after = match weights {
            None => declared.clone(),
            Some(weights) => dialed(route, &declared, weights)?,
        };

        let turn = Turn {
            time: Timestamp::now(),
            route: route.to_owned(),
            before: before.clone(),
            after: after.clone(),
            by: by.clone(),
        };
        let dial = (after != declared).then(|| Dial {
            declared: declared.clone(),
            live: after.clone(),
            by: by.clone(),
            time: turn.time,
        });
        let mut dials = self.state.dials.clone();
        dials.turn(route, dial, turn);
        let stored = claimed.and_then(|()| self.state.store_dials(&dials));
        self.report_state();
        stored.map_err(not_stored)?;

        let weights: Vec<u64> = after.iter().map(|(_, weight)| *weight).collect();
        generation
            .compiled()
            .dial(position, (after != declared).then_some(&weights[..]));
        self.shared.events.publish(EventKind::Dial {
            route: route.to_owned(),
            before: view(&before),
            after: view(&after),
            by: by.clone(),
        });
        let arms = declared
            .iter()
            .zip(&after)
            .map(|((service, declared), (_, live))| ArmView {
                service: service.clone(),
                declared: *declared,
                live: *live,
            });
        Ok(Dialed {
            name: route.to_owned(),
            before: view(&before),
            arms: arms.collect(),
            by,
        })
    }

    /// The past turns of a route's dial.
    pub(super) fn dial_of(&self, route: &str) -> DialHistory {
        let turns = self.state.dials.turns_of(route).map(|turn| TurnView {
            time: turn.time,
            before: view(&turn.before),
            after: view(&turn.after),
            by: turn.by.clone(),
        });
        DialHistory {
            turns: turns.collect(),
        }
    }
}

/// The weights of all arms, in order. An arm that `asked` does not name gets 0.
fn dialed(route: &str, declared: &Weights, asked: Vec<(String, u64)>) -> Result<Weights, Problem> {
    let mut after: Weights = declared.iter().map(|(service, _)| (service.clone(), 0)).collect();
    for (service, weight) in asked {
        let Some(arm) = after.iter_mut().find(|(known, _)| *known == service) else {
            let names: Vec<&str> = declared.iter().map(|(service, _)| &**service).collect();
            return Err(Problem::invalid(format!(
                "`{service}` is not a service of the route `{route}`; there are {}",
                names.join(", ")
            )));
        };
        arm.1 = weight;
    }
    if after.iter().all(|(_, weight)| *weight == 0) {
        return Err(Problem::invalid(format!(
            "all weights would be 0, and the route `{route}` would answer 500"
        )));
    }
    Ok(after)
}

fn view(weights: &Weights) -> Vec<Weight> {
    let weights = weights.iter().map(|(service, weight)| Weight {
        service: service.clone(),
        weight: *weight,
    });
    weights.collect()
}
