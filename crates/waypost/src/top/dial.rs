//! The dial of a route while it is turned: read, set, confirmed, sent.

use waypost_admin::command::ArmView;

use crate::output::plain;
use crate::remote::dial::undo_of;

/// The largest weight that can be typed.
const WEIGHT_MAX: u64 = 1_000_000;

/// The dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dial {
    pub(super) route: String,
    /// The version of the split, as it was read.
    pub(super) version: String,
    /// The arms, as they were read.
    pub(super) arms: Vec<ArmView>,
    /// The weights that are set.
    pub(super) weights: Vec<u64>,
    /// The selected arm.
    pub(super) at: usize,
    /// True while a weight is typed.
    pub(super) is_typed: bool,
    pub(super) stage: Stage,
    /// A word on what is wrong.
    pub(super) trouble: Option<String>,
}

/// The stage of a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The split is read.
    Reading,
    /// Weights are set.
    Setting,
    /// The reader is asked. With `aborts`, a rollout is aborted first.
    Asking { aborts: bool },
    /// The gateway is asked.
    Turning,
    /// It was refused.
    Refused,
}

impl Dial {
    /// The dial of a route that has to be read first.
    pub(super) fn of(route: String) -> Self {
        Self {
            route,
            version: String::new(),
            arms: Vec::new(),
            weights: Vec::new(),
            at: 0,
            is_typed: false,
            stage: Stage::Reading,
            trouble: None,
        }
    }

    /// Takes the split that was read; `worst` is the arm that fails more than the others.
    pub(super) fn read(&mut self, version: String, arms: Vec<ArmView>, worst: Option<&str>) {
        self.weights = arms.iter().map(|arm| arm.live).collect();
        let worst = worst.and_then(|worst| arms.iter().position(|arm| arm.service == worst));
        // The new version is usually the last one.
        self.at = worst.unwrap_or(arms.len().saturating_sub(1));
        (self.version, self.arms) = (version, arms);
        self.stage = Stage::Setting;
    }

    /// The refusal, in words.
    pub(super) fn refuse(&mut self, why: String) {
        self.trouble = Some(why);
        self.stage = Stage::Refused;
    }

    pub(super) fn select(&mut self, down: bool) {
        let last = self.arms.len().saturating_sub(1);
        self.at = match down {
            true => (self.at + 1).min(last),
            false => self.at.saturating_sub(1),
        };
        self.is_typed = false;
    }

    /// Types a digit of the selected weight. The first one begins a new weight.
    pub(super) fn digit(&mut self, digit: u64) {
        let Some(weight) = self.weights.get(self.at) else {
            return;
        };
        let before = if self.is_typed { *weight } else { 0 };
        let weight = before.saturating_mul(10).saturating_add(digit);
        self.set(weight.min(WEIGHT_MAX));
        self.is_typed = true;
    }

    /// Takes the last digit back.
    pub(super) fn erase(&mut self) {
        if let Some(weight) = self.weights.get(self.at) {
            self.set(*weight / 10);
            self.is_typed = true;
        }
    }

    /// Changes the selected weight by so much.
    pub(super) fn change(&mut self, by: i64) {
        if let Some(weight) = self.weights.get(self.at) {
            self.set(weight.saturating_add_signed(by).min(WEIGHT_MAX));
            self.is_typed = false;
        }
    }

    /// Gives everything to the selected arm.
    pub(super) fn all(&mut self) {
        let sum = match self.arms.iter().map(|arm| arm.live).fold(0, u64::saturating_add) {
            0 => 100,
            sum => sum,
        };
        self.weights.fill(0);
        if let Some(weight) = self.weights.get_mut(self.at) {
            *weight = sum;
        }
        (self.is_typed, self.trouble) = (false, None);
    }

    /// Sets the declared weights.
    pub(super) fn reset(&mut self) {
        self.weights = self.arms.iter().map(|arm| arm.declared).collect();
        (self.is_typed, self.trouble) = (false, None);
    }

    /// Sets the selected weight. Of two arms that add up to 100, the other gets the rest, as `waypost dial` has it.
    fn set(&mut self, weight: u64) {
        self.trouble = None;
        let adds_up = |weight: fn(&ArmView) -> u64| {
            let weights = self.arms.iter().map(weight);
            weights.fold(0, u64::saturating_add) == 100
        };
        let shares = self.arms.len() == 2 && (adds_up(|arm| arm.live) || adds_up(|arm| arm.declared));
        let weight = if shares { weight.min(100) } else { weight };
        if let Some(selected) = self.weights.get_mut(self.at) {
            *selected = weight;
        }
        if shares && let Some(other) = self.weights.get_mut(1 - self.at) {
            *other = 100 - weight;
        }
    }

    /// Goes on to the question, if there is one.
    pub(super) fn ask(&mut self, aborts: bool) {
        let live: Vec<u64> = self.arms.iter().map(|arm| arm.live).collect();
        self.trouble = if self.weights == live {
            Some("these are the weights in force: set others first".to_owned())
        } else if self.weights.iter().all(|weight| *weight == 0) {
            Some("all weights are 0: one service at least has to get requests".to_owned())
        } else {
            self.stage = Stage::Asking { aborts };
            None
        };
    }

    /// True if the declared weights are set.
    pub(super) fn is_reset(&self) -> bool {
        let declared = self.arms.iter().map(|arm| arm.declared);
        declared.eq(self.weights.iter().copied())
    }

    /// The command that undoes the turn.
    pub(super) fn undo(&self, admin_option: &str) -> String {
        plain(&format!("{}{admin_option}", undo_of(&self.route, &self.arms)))
    }

    /// The share of an arm with these weights.
    pub(super) fn share(weights: &[u64], at: usize) -> f64 {
        let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        weights
            .get(at)
            .map_or(0.0, |weight| *weight as f64 / sum.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(weights: &[(u64, u64)]) -> Dial {
        let mut dial = Dial::of("users".to_owned());
        let arms = weights.iter().enumerate().map(|(at, (declared, live))| ArmView {
            service: format!("v{}", at + 1),
            declared: *declared,
            live: *live,
        });
        dial.read("1".to_owned(), arms.collect(), None);
        dial
    }

    #[test]
    fn of_two_that_add_up_to_100_one_gets_the_rest() {
        let mut pair = dial(&[(95, 95), (5, 5)]);
        assert_eq!(pair.at, 1);
        pair.digit(2);
        pair.digit(5);
        assert_eq!(pair.weights, [75, 25]);
        pair.digit(5);
        assert_eq!(pair.weights, [0, 100]);
        pair.erase();
        assert_eq!(pair.weights, [90, 10]);
        pair.change(-20);
        assert_eq!(pair.weights, [100, 0]);
        pair.select(false);
        pair.change(-1);
        assert_eq!(pair.weights, [99, 1]);
        let mut others = dial(&[(9, 9), (1, 1)]);
        others.digit(3);
        assert_eq!(others.weights, [9, 3]);
        others.all();
        assert_eq!(others.weights, [0, 10]);
    }

    #[test]
    fn nothing_is_asked_about_weights_that_change_nothing() {
        let mut dial = dial(&[(95, 50), (5, 50)]);
        dial.ask(false);
        assert!(dial.trouble.is_some() && dial.stage == Stage::Setting);
        dial.reset();
        assert!(dial.is_reset());
        dial.ask(true);
        assert_eq!(dial.stage, Stage::Asking { aborts: true });
        assert_eq!(dial.undo(""), "waypost dial users v1=50 v2=50");
    }

    #[test]
    fn arm_that_fails_is_selected() {
        let mut dial = dial(&[(95, 95), (5, 5)]);
        let arms = dial.arms.clone();
        dial.read("2".to_owned(), arms, Some("v1"));
        assert_eq!(dial.at, 0);
        assert_eq!(
            dial.undo(" --admin http://b:1"),
            "waypost dial users --reset --admin http://b:1"
        );
    }
}
