//! The counts of the other instances of a fleet, which the leader judges together with its own.
//!
//! They are asked at each tick, and what they answer counts at the next: nothing waits for them. What a rollout misses where
//! some do not answer is its [coverage](waypost_fleet::coverage).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use waypost_admin::counts::{ARMS_MAX, ArmQuestion, Beyond, CountsQuestion};
use waypost_fleet::coverage::Said;
use waypost_proxy::observe::metrics::arm::ArmReading;
use waypost_proxy::observe::metrics::watch::Wanted;

use crate::control::Control;
use crate::control::rollout::Active;
use crate::control::rollout::counting::wanted;
use crate::fleet::{CountsWanted, Round};

/// The time that instances get to answer: less than a tick.
const PATIENCE: Duration = Duration::from_millis(800);
/// The same with the test clock, which waits for them.
const TEST_PATIENCE: Duration = Duration::from_secs(10);
/// The age of an answer from which on the next one is not compared with it.
const AGE_MAX: Duration = Duration::from_secs(10);

/// A question that is under way.
#[derive(Debug)]
pub(super) struct OpenRound {
    pairs: Pairs,
    answer: oneshot::Receiver<Round>,
}

/// The places of routes in a question, each with its canary and its baseline.
type Pairs = HashMap<String, ([String; 2], usize)>;

/// The counts of the other instances in one second.
#[derive(Debug, Default)]
pub(super) struct Others {
    pairs: Pairs,
    round: Round,
}

impl Control {
    /// The answers of the other instances since the last tick; `None` if they may still come. They are asked again.
    pub(super) fn others_of_last_tick(&mut self) -> Option<Others> {
        let answered = match self.rollouts.round.take() {
            Some(mut open) => match open.answer.try_recv() {
                Ok(round) => Some(Others::new(open.pairs, round)),
                Err(TryRecvError::Empty) => {
                    self.rollouts.round = Some(open);
                    return None;
                }
                Err(TryRecvError::Closed) => None,
            },
            None => None,
        };
        self.rollouts.round = self.ask_others(PATIENCE, AGE_MAX, false);
        match &self.rollouts.round {
            Some(_) => answered,
            // There is no other instance any more.
            None => Some(answered.unwrap_or_default()),
        }
    }

    /// The answers of the other instances now. They are waited for.
    pub(super) async fn others_of_now(&mut self, skips_silent: bool) -> Others {
        let Some(open) = self.ask_others(TEST_PATIENCE, Duration::MAX, skips_silent) else {
            return Others::default();
        };
        let round = open.answer.await.unwrap_or_default();
        Others::new(open.pairs, round)
    }

    /// Asks the other instances for the counts of all routes that are judged or learned about; `None` if there are no others, or
    /// no such routes.
    fn ask_others(&self, patience: Duration, age_max: Duration, skips_silent: bool) -> Option<OpenRound> {
        let fleet = self.fleet()?;
        let mut question = CountsQuestion::default();
        let mut pairs = Pairs::new();
        let mut ask = |route: &str, services: [&str; 2], wanted: [Option<Wanted>; 2]| {
            if question.arms.len() + 2 > ARMS_MAX {
                return;
            }
            let at = question.arms.len() / 2;
            pairs.insert(route.to_owned(), (services.map(ToOwned::to_owned), at));
            for (service, wanted) in services.iter().zip(&wanted) {
                question.arms.push(ArmQuestion {
                    route: route.to_owned(),
                    service: (*service).to_owned(),
                    beyond: wanted.as_ref().map(Beyond::from),
                });
            }
        };
        for active in self.rollouts.active.values() {
            for (at, moving) in active.routes.iter().enumerate() {
                let judge = active.ramp.judge().map(|judge| (judge, at));
                let arms = [&*moving.canary, &*moving.baseline];
                ask(&moving.route, arms, wanted(&active.plan, judge));
            }
        }
        for (route, learner) in &self.rollouts.learners {
            let arms = [&*learner.canary, &*learner.baseline];
            ask(route, arms, wanted(&learner.plan, Some((&learner.judge, 0))));
        }
        let is_alone = fleet.view().instances.keys().all(|id| **id == *fleet.id());
        if is_alone || question.arms.is_empty() {
            return None;
        }
        let answer = fleet.ask_for_counts(CountsWanted {
            question,
            patience,
            age_max,
            skips_silent,
        });
        Some(OpenRound { pairs, answer })
    }
}

impl Others {
    fn new(pairs: Pairs, round: Round) -> Self {
        Self { pairs, round }
    }

    /// The place of a route with these arms in the question.
    fn place(&self, route: &str, arms: [&str; 2]) -> Option<usize> {
        let (known, at) = self.pairs.get(route)?;
        let is_same = known.each_ref().map(|arm| &**arm) == arms;
        is_same.then_some(*at)
    }

    /// Adds what was counted on a route.
    pub(super) fn add_to(&self, pair: &mut [ArmReading; 2], route: &str, arms: [&str; 2]) {
        if let Some(more) = self.pair(route, arms) {
            pair.iter_mut().zip(more).for_each(|(arm, more)| arm.add(more));
        }
    }

    fn pair(&self, route: &str, arms: [&str; 2]) -> Option<&[ArmReading; 2]> {
        self.round.pairs.get(self.place(route, arms)?)
    }
}

impl Active {
    /// Adds what was counted elsewhere to the counts of each route.
    pub(super) fn add_others(&mut self, others: &Others, pairs: &mut [[ArmReading; 2]]) {
        for (moving, pair) in self.routes.iter_mut().zip(pairs) {
            let arms = [&*moving.canary, &*moving.baseline];
            if let Some(more) = others.pair(&moving.route, arms) {
                pair.iter_mut().zip(more).for_each(|(arm, more)| arm.add(more));
                moving.counting.note_elsewhere(more);
            }
        }
    }

    /// Notes how much of the traffic is known. `own` are the id of this instance and its requests.
    pub(super) fn take_coverage(&mut self, others: &Others, own: Option<(&Arc<str>, u64)>, is_first: bool) {
        let mut said = Vec::with_capacity(others.round.others.len() + 1);
        said.extend(own.map(|(id, requests)| (Arc::clone(id), Said::Requests(requests as f64))));
        let places = self.routes.iter();
        let places = places.map(|moving| others.place(&moving.route, [&moving.canary, &moving.baseline]));
        let places: Vec<Option<usize>> = places.collect();
        for other in &others.round.others {
            let of_route = |requests: &Vec<Option<u64>>, place: &Option<usize>| *requests.get((*place)?)?;
            let what = match &other.requests {
                None => Said::Nothing,
                Some(requests) => {
                    let all = places.iter().map(|place| of_route(requests, place));
                    let all: Option<Vec<u64>> = all.collect();
                    match all.filter(|_| !is_first) {
                        Some(all) => Said::Requests(all.into_iter().fold(0, u64::saturating_add) as f64),
                        None => Said::First,
                    }
                }
            };
            said.push((Arc::clone(&other.id), what));
        }
        let missing = self.coverage.take(&said);
        self.ramp.set_missing(missing.share);
        self.missing = missing.ids;
    }
}

/// The requests of all routes.
pub(super) fn requests(pairs: &[[ArmReading; 2]]) -> u64 {
    let arms = pairs.iter().flatten();
    arms.map(ArmReading::requests).fold(0, u64::saturating_add)
}
