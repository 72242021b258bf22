//! Questions to the instances of a fleet that are under way, or were answered in this second: those who ask the same share one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::Step;
use super::fleet::Summed;

/// Questions of one second, at most. Further ones are asked without sharing.
const ROUNDS_MAX: usize = 256;
/// Askers of what is new are some seconds apart: the question begins with a second that divides by this, so that it is one.
const TOGETHER: u64 = 10;
/// Seconds before now from which on only what is new is asked for.
const NEW: u64 = 60;
const NEW_MINUTES: u64 = 10 * 60;

/// The figures that are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    pub(crate) route: Option<String>,
    pub(crate) step: Step,
    /// The first second.
    pub(crate) from: u64,
}

impl Wanted {
    /// The question that others share: it asks for the same and more. `now` is the last second that is over.
    pub(crate) fn shared(self, now: u64) -> Self {
        let (unit, new) = match self.step {
            Step::Second => (TOGETHER, NEW),
            Step::Minute => (super::MINUTE, NEW_MINUTES),
        };
        let is_new = self.from.saturating_add(new) >= now;
        Self {
            from: if is_new { self.from / unit * unit } else { 0 },
            ..self
        }
    }
}

type Round = Arc<OnceCell<Arc<Summed>>>;

/// The questions of a second.
#[derive(Default)]
pub(crate) struct Rounds {
    held: Mutex<(u64, HashMap<Wanted, Round>)>,
}

impl Rounds {
    /// The round in which this is asked in the second `now`.
    pub(crate) fn of(&self, asked: &Wanted, now: u64) -> Round {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 != now {
            *held = (now, HashMap::new());
        }
        let rounds = &mut held.1;
        if rounds.len() >= ROUNDS_MAX && !rounds.contains_key(asked) {
            return Round::default();
        }
        Arc::clone(rounds.entry(asked.clone()).or_default())
    }
}

impl fmt::Debug for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rounds").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(step: Step, from: u64) -> Wanted {
        Wanted {
            route: None,
            step,
            from,
        }
    }

    #[test]
    fn askers_of_one_second_share_a_round() {
        let rounds = Rounds::default();
        let now = 1_800_000_007;
        let shared = |from, now| rounds.of(&asked(Step::Second, from).shared(now), now);
        let first = shared(now + 1, now);
        assert!(Arc::ptr_eq(&first, &shared(now - 5, now)));
        assert!(!Arc::ptr_eq(&first, &shared(now - 20, now)), "another question");
        assert!(!Arc::ptr_eq(&first, &shared(now + 1, now + 1)), "another second");
    }

    #[test]
    fn shared_question_asks_for_the_same_and_more() {
        let now = 1_800_000_007;
        for (step, from, expected) in [
            (Step::Second, now, now - 7),
            (Step::Second, now - 60, now - 67),
            (Step::Second, now - 61, 0),
            (Step::Minute, now, now - 7),
            (Step::Minute, now - 601, 0),
        ] {
            assert_eq!(asked(step, from).shared(now).from, expected, "{step:?} {from}");
        }
    }

    #[test]
    fn rounds_of_a_second_are_bounded() {
        let rounds = Rounds::default();
        for from in 0..1000 {
            rounds.of(&asked(Step::Second, from), 7);
        }
        assert_eq!(rounds.held.lock().unwrap().1.len(), ROUNDS_MAX);
        let more = asked(Step::Second, 5000);
        assert!(!Arc::ptr_eq(&rounds.of(&more, 7), &rounds.of(&more, 7)));
    }
}
