//! Dials: changing the live weights of a split.

use std::sync::Arc;

use jiff::Timestamp;
use waypost_admin::command::{
    ArmView, DealDialed, DialHistory, Dialed, Turn as TurnView, Weight, split_version,
};
use waypost_admin::events::EventKind;
use waypost_admin::problem::Problem;
use waypost_admin::rollout::RolloutAction;
use waypost_proxy::generation::Generation;

use super::Control;
use crate::state::StoreError;
use crate::state::dials::{Dial, Dials, Turn};
use crate::state::weights::{Weights, declared};

/// A dial that is about to be turned.
#[derive(Clone)]
pub(super) struct Turning {
    route: String,
    position: usize,
    declared: Weights,
    before: Weights,
    after: Weights,
}

impl Control {
    /// Turns the dial of a route, if its split has one of these versions. `None` restores the declared weights.
    pub(super) async fn dial(
        &mut self,
        route: &str,
        weights: Option<Vec<(String, u64)>>,
        force: bool,
        versions: Option<&[String]>,
        by: &str,
    ) -> Result<Dialed, Problem> {
        // What another gateway has stored is taken over first.
        let claimed = self.claim_state().await;
        let generation = self.gateway.generation();
        let position = generation.compiled().position(route);
        let position =
            position.ok_or_else(|| Problem::not_found(format!("there is no route named `{route}`")))?;
        let dial = || {
            let turning = turning(&generation, position).filter(|turning| !turning.declared.is_empty());
            turning.ok_or_else(|| {
                Problem::invalid(format!(
                    "the route `{route}` forwards to no service, so it has no dial"
                ))
            })
        };
        let current = dial()?;
        self.refuse_stale(&current, versions)?;
        let declared = current.declared;
        let after = match weights {
            None => declared,
            Some(weights) => dialed(route, &declared, weights)?,
        };
        // A dial that is refused aborts nothing.
        self.make_way(route, force, by).await?;
        let turning = Turning { after, ..dial()? };
        let turned = self.turn_seen(claimed, &generation, vec![turning], by).await;
        if turned.as_ref().is_err_and(|problem| problem.is_stale()) {
            // Another instance was first: what it did is in force now, and told.
            self.obey().await;
            self.refuse_tried(route)?;
            let generation = self.gateway.generation();
            let position = generation.compiled().position(route);
            let current = position.and_then(|position| Turning::of(&generation, position));
            current.map_or(Ok(()), |current| self.refuse_stale(&current, Some(&[])))?;
        }
        let mut dialed = turned?;
        dialed
            .pop()
            .ok_or_else(|| Problem::not_found(format!("there is no route named `{route}`")))
    }

    /// Turns the dials of all routes of a deal, or none of them. `None` restores the declared weights.
    pub(super) async fn dial_deal(
        &mut self,
        deal: &str,
        weights: Option<&[(String, u64)]>,
        by: String,
    ) -> Result<DealDialed, Problem> {
        let claimed = self.claim_state().await;
        let generation = self.gateway.generation();
        let positions = generation.plan().routes_of_deal(deal);
        for position in generation.plan().routes_of_deal(deal) {
            let route = generation.plan().routes()[position].matching.name.to_string();
            if self.state.dials.is_moving(&route) {
                self.expect_charge()?;
            }
            if self.rollouts.lead_of(&route).is_some() {
                return Err(Problem::conflict(format!(
                    "a rollout of the route `{route}` is under way and turns its dial; `waypost rollout abort {route}` ends \
                     it"
                )));
            }
        }
        let mut turnings: Vec<Turning> = positions
            .filter_map(|position| turning(&generation, position))
            .collect();
        if turnings.is_empty() {
            return Err(Problem::not_found(format!("there is no deal named `{deal}`")));
        }
        match weights {
            None => {
                for turning in &mut turnings {
                    turning.after = turning.declared.clone();
                }
            }
            Some(weights) => {
                let by_position = by_position(deal, &turnings, weights)?;
                for turning in &mut turnings {
                    let names = turning.declared.iter().map(|(service, _)| service.clone());
                    turning.after = names.zip(by_position.iter().copied()).collect();
                }
            }
        }
        Ok(DealDialed {
            name: deal.to_owned(),
            routes: self.turn_seen(claimed, &generation, turnings, &by).await?,
            by,
        })
    }

    /// Refuses to turn a dial that was turned since its split had one of these versions.
    fn refuse_stale(&self, current: &Turning, versions: Option<&[String]>) -> Result<(), Problem> {
        let Some(versions) = versions else { return Ok(()) };
        let weights = current.declared.iter().zip(&current.before);
        let arms: Vec<ArmView> = weights
            .map(|((service, declared), (_, live))| ArmView {
                service: service.clone(),
                declared: *declared,
                live: *live,
            })
            .collect();
        let version = split_version(&arms);
        if versions.iter().any(|known| *known == version || known == "*") {
            return Ok(());
        }
        let route = &current.route;
        let now: Vec<String> = arms
            .iter()
            .map(|arm| format!("{} {}", arm.service, arm.live))
            .collect();
        let turns = self.state.dials.turns_of(route).next();
        let last = turns.map(|turn| format!(", last turned by {} at {:.0}", turn.by, turn.time));
        Err(Problem::stale(format!(
            "the split of the route `{route}` has changed: it is {} now{}; read it again",
            now.join(", "),
            last.unwrap_or_default()
        )))
    }

    /// Refuses a dial of a route whose rollout is under way; with `force`, aborts the rollout.
    async fn make_way(&mut self, route: &str, force: bool, by: &str) -> Result<(), Problem> {
        if self.rollouts.lead_of(route).is_none() {
            return match self.state.dials.is_moving(route) {
                true => self.expect_charge(),
                false => Ok(()),
            };
        }
        if !force {
            return Err(Problem::conflict(format!(
                "a rollout of the route `{route}` is under way and turns this dial; `pause` holds it where it is, \
                 `abort` ends it, and `--force` aborts it and dials"
            )));
        }
        self.act_on_rollout(route, RolloutAction::Abort, by)
            .await
            .map(drop)
    }

    /// Turns dials of splits that are in force as they were seen. Where another instance was first, but with something else, they
    /// are turned all the same.
    async fn turn_seen(
        &mut self,
        claimed: Result<(), StoreError>,
        generation: &Arc<Generation>,
        turnings: Vec<Turning>,
        by: &str,
    ) -> Result<Vec<Dialed>, Problem> {
        let turned = self.turn(claimed, generation, turnings.clone(), by).await;
        let routes: Vec<String> = turnings.iter().map(|turning| turning.route.clone()).collect();
        let splits = |control: &Self| -> Option<Vec<(Weights, Weights)>> {
            let generation = control.gateway.generation();
            let turnings = routes.iter().map(|route| control.free(&generation, route));
            turnings
                .map(|turning| turning.map(|turning| (turning.declared, turning.before)))
                .collect()
        };
        let seen = turnings
            .iter()
            .map(|turning| (turning.declared.clone(), turning.before.clone()));
        let seen = Some(seen.collect());
        if !turned.as_ref().is_err_and(Problem::is_stale) || !self.is_still(&seen, splits).await {
            return turned;
        }
        let generation = self.gateway.generation();
        let again = turnings.into_iter().map(|turning| Turning {
            position: generation
                .compiled()
                .position(&turning.route)
                .unwrap_or(turning.position),
            ..turning
        });
        self.turn(Ok(()), &generation, again.collect(), by).await
    }

    /// After a change that another instance was faster than: obeys what that one did. Returns true if the change may be made all
    /// the same, as what `look` finds is as it was.
    pub(super) async fn is_still<T: PartialEq>(&mut self, before: &T, look: impl Fn(&Self) -> T) -> bool {
        if self.fleet().is_none() {
            return false;
        }
        self.obey().await;
        look(self) == *before
    }

    /// The dial of a route that nothing else turns.
    fn free(&self, generation: &Generation, route: &str) -> Option<Turning> {
        let is_free = !self.state.dials.is_moving(route) && self.refuse_tried(route).is_ok();
        let position = generation.compiled().position(route).filter(|_| is_free)?;
        turning(generation, position)
    }

    /// Turns dials: first all are stored, then they are live.
    async fn turn(
        &mut self,
        claimed: Result<(), StoreError>,
        generation: &Arc<Generation>,
        turnings: Vec<Turning>,
        by: &str,
    ) -> Result<Vec<Dialed>, Problem> {
        self.expect_config_of_all()?;
        let dials = self.state.dials.clone();
        self.turn_with(claimed, generation, dials, turnings, by).await
    }

    /// Turns dials; `dials` are those to store, but for the turns.
    pub(super) async fn turn_with(
        &mut self,
        claimed: Result<(), StoreError>,
        generation: &Arc<Generation>,
        mut dials: Dials,
        turnings: Vec<Turning>,
        by: &str,
    ) -> Result<Vec<Dialed>, Problem> {
        let time = Timestamp::now();
        for turning in &turnings {
            let dial = turning.is_dialed().then(|| Dial {
                declared: turning.declared.clone(),
                live: turning.after.clone(),
                by: by.to_owned(),
                time,
            });
            let turn = Turn {
                time,
                route: turning.route.clone(),
                before: turning.before.clone(),
                after: turning.after.clone(),
                by: by.to_owned(),
            };
            dials.turn(&turning.route, dial, turn);
        }
        let stored = self.store_dials(claimed, &dials).await;
        self.report_state();
        stored.map_err(|error| error.problem("the dial is not turned"))?;

        for turning in &turnings {
            let weights: Vec<u64> = turning.after.iter().map(|(_, weight)| *weight).collect();
            generation
                .compiled()
                .dial(turning.position, turning.is_dialed().then_some(&weights[..]));
        }
        let dialed = turnings.into_iter().map(|turning| {
            self.shared.events.publish(EventKind::Dial {
                route: turning.route.clone(),
                before: view(&turning.before),
                after: view(&turning.after),
                by: by.to_owned(),
            });
            let weights = turning.declared.iter().zip(&turning.after);
            let arms = weights.map(|((service, declared), (_, live))| ArmView {
                service: service.clone(),
                declared: *declared,
                live: *live,
            });
            Dialed {
                before: view(&turning.before),
                arms: arms.collect(),
                name: turning.route,
                by: by.to_owned(),
            }
        });
        Ok(dialed.collect())
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

impl Turning {
    /// The dial of the route at `position`; `None` if it does not forward.
    pub(super) fn of(generation: &Generation, position: usize) -> Option<Self> {
        turning(generation, position)
    }

    /// Turns it to these weights, given by service; a service that is not among them gets 0. `None` if it is there already.
    pub(super) fn to(mut self, weights: &Weights) -> Option<Self> {
        for (service, weight) in &mut self.after {
            let given = weights.iter().find(|(known, _)| known == service);
            *weight = given.map_or(0, |(_, weight)| *weight);
        }
        (self.after != self.before).then_some(self)
    }

    /// True if the new weights differ from the declared ones.
    fn is_dialed(&self) -> bool {
        self.after != self.declared
    }
}

/// The dial of the route at `position`, not yet turned; `None` if it does not forward.
fn turning(generation: &Generation, position: usize) -> Option<Turning> {
    let declared = declared(generation.plan(), position)?;
    let live = generation.compiled().live_weights(position).unwrap_or_default();
    let names = declared.iter().map(|(service, _)| service.clone());
    let before: Weights = names.zip(live).collect();
    Some(Turning {
        route: generation.plan().routes()[position].matching.name.to_string(),
        position,
        after: before.clone(),
        before,
        declared,
    })
}

/// The weights of the arms of every route of a deal, by position. A service may be named as in any of the routes.
fn by_position(deal: &str, turnings: &[Turning], asked: &[(String, u64)]) -> Result<Vec<u64>, Problem> {
    let arms = turnings.first().map_or(0, |first| first.declared.len());
    if turnings.iter().any(|turning| turning.declared.len() != arms) {
        let counts = turnings
            .iter()
            .map(|turning| format!("`{}` {}", turning.route, turning.declared.len()));
        return Err(Problem::invalid(format!(
            "the routes of the deal `{deal}` have different numbers of services, so one dial cannot turn them: {}",
            counts.collect::<Vec<String>>().join(", ")
        )));
    }
    let mut weights: Vec<Option<(&str, u64)>> = vec![None; arms];
    for (service, weight) in asked {
        let mut places = turnings.iter().filter_map(|turning| {
            let at = turning.declared.iter().position(|(known, _)| known == service)?;
            Some((&turning.route, at))
        });
        let Some((route, at)) = places.next() else {
            let names = turnings.iter().map(|turning| {
                let names: Vec<&str> = turning.declared.iter().map(|(service, _)| &**service).collect();
                format!("`{}` has {}", turning.route, names.join(", "))
            });
            return Err(Problem::invalid(format!(
                "`{service}` is not a service of any route of the deal `{deal}`; {}",
                names.collect::<Vec<String>>().join("; ")
            )));
        };
        if let Some((other, _)) = places.find(|(_, other)| *other != at) {
            return Err(Problem::invalid(format!(
                "`{service}` has different places in the routes `{route}` and `{other}`, and the services of a deal are \
                 matched by place"
            )));
        }
        match weights[at] {
            Some((same, earlier)) if earlier != *weight => {
                return Err(Problem::invalid(format!(
                    "`{same}` and `{service}` have the same place in the deal `{deal}`, and different weights"
                )));
            }
            _ => weights[at] = Some((service, *weight)),
        }
    }
    let weights: Vec<u64> = weights
        .iter()
        .map(|weight| weight.map_or(0, |(_, weight)| weight))
        .collect();
    if weights.iter().all(|weight| *weight == 0) {
        return Err(Problem::invalid(format!(
            "all weights would be 0, and the routes of the deal `{deal}` would answer 500"
        )));
    }
    Ok(weights)
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

pub(super) fn view(weights: &Weights) -> Vec<Weight> {
    let weights = weights.iter().map(|(service, weight)| Weight {
        service: service.clone(),
        weight: *weight,
    });
    weights.collect()
}
