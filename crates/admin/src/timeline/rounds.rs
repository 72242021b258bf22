//! Questions to the instances of a fleet that are under way, or were answered in this second: those who ask the same share one.
//!
//! Seconds that were told without an instance are told again for a while: one that was late once makes no dip that stays.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::Step;
use super::fleet::Summed;
use super::shared::{Answer, QUESTIONS_MAX, Shared};

/// Askers of what is new are some seconds apart: the question begins with a second that divides by this, so that it is one.
const TOGETHER: u64 = 10;
/// Seconds before now from which on only what is new is asked for.
const NEW: u64 = 60;
const NEW_MINUTES: u64 = 10 * 60;

/// Seconds for which figures that lack an instance are told again, and the same of minutes.
const AGAIN: u64 = 20;
const AGAIN_MINUTES: u64 = 2 * super::MINUTE;

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

    fn subject(&self) -> Subject {
        (self.route.clone(), self.step)
    }
}

/// The seconds for which figures are told again.
fn again(step: Step) -> u64 {
    match step {
        Step::Second => AGAIN,
        Step::Minute => AGAIN_MINUTES,
    }
}

/// A time that was told without an instance.
#[derive(Debug, Clone, Copy)]
struct Lack {
    /// Its first second.
    from: u64,
    /// The second in which an instance was missing last.
    at: u64,
}

/// The figures of a route, or of all requests.
type Subject = (Option<String>, Step);

/// The questions of a second.
#[derive(Default)]
pub(crate) struct Rounds {
    held: Shared<Wanted, Summed>,
    lacks: Mutex<HashMap<Subject, Lack>>,
}

impl Rounds {
    /// The round in which this is asked in the second `now`.
    pub(crate) fn of(&self, asked: &Wanted, now: u64) -> Answer<Summed> {
        self.held.of(asked, now)
    }

    /// Asks for what was told without an instance along with what is asked for.
    pub(crate) fn reach_back(&self, asked: &mut Wanted, now: u64) {
        let lacks = self.lacks.lock().unwrap_or_else(PoisonError::into_inner);
        let again = again(asked.step);
        let lack = lacks.get(&asked.subject());
        if let Some(lack) = lack.filter(|lack| lack.at.saturating_add(again) >= now) {
            asked.from = asked.from.min(lack.from.max(now.saturating_sub(again)));
        }
    }

    /// Notes that this was told without an instance.
    pub(crate) fn lacks(&self, asked: &Wanted, now: u64) {
        let mut lacks = self.lacks.lock().unwrap_or_else(PoisonError::into_inner);
        let subject = asked.subject();
        if lacks.len() >= QUESTIONS_MAX && !lacks.contains_key(&subject) {
            lacks.retain(|(_, step), lack| lack.at.saturating_add(again(*step)) >= now);
            if lacks.len() >= QUESTIONS_MAX {
                return;
            }
        }
        let from = asked.from.max(now.saturating_sub(again(asked.step)));
        let lack = lacks.entry(subject).or_insert(Lack { from, at: now });
        // An earlier time without an instance may be over, and told again.
        let is_over = lack.at.saturating_add(again(asked.step)) < now;
        lack.from = if is_over { from } else { lack.from.min(from) };
        lack.at = now;
    }
}

impl fmt::Debug for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rounds").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
    fn what_was_told_without_an_instance_is_told_again_for_a_while() {
        let (rounds, now) = (Rounds::default(), 1_800_000_007);
        let from = |step, from, now| {
            let mut asked = asked(step, from);
            rounds.reach_back(&mut asked, now);
            asked.from
        };
        let second = |of, now| from(Step::Second, of, now);
        assert_eq!(second(now, now), now);
        rounds.lacks(&asked(Step::Second, now - 1), now);
        rounds.lacks(&asked(Step::Second, now), now + 1);
        for (at, expected) in [
            (now + 2, now - 1),
            (now + 19, now - 1),
            (now + 21, now + 1),
            // It was told again long enough.
            (now + 22, now + 22),
        ] {
            assert_eq!(second(at, at), expected, "{at}");
        }
        // Who asks for more has it anyway, and what is by the minute, or of a route, is another matter.
        assert_eq!(second(now - 100, now + 2), now - 100);
        assert_eq!(from(Step::Minute, now, now + 2), now);
        let of_route = |route: &str| Wanted {
            route: Some(route.to_owned()),
            ..asked(Step::Second, now)
        };
        let mut other = of_route("users");
        rounds.reach_back(&mut other, now + 2);
        assert_eq!(other.from, now);
        // The time before is not told again once another one begins.
        rounds.lacks(&asked(Step::Second, now + 99), now + 100);
        assert_eq!(second(now + 101, now + 101), now + 99);
        rounds.lacks(&asked(Step::Minute, 0), now);
        assert_eq!(from(Step::Minute, now, now), now - 120);
        for number in 0..1000 {
            rounds.lacks(&of_route(&number.to_string()), now + 100);
        }
        assert_eq!(rounds.lacks.lock().unwrap().len(), QUESTIONS_MAX);
    }
}
