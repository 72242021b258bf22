//! The plan of a ramp: its steps, and what each waits for.

use crate::ramp::window::Window;

/// A share of the requests, in thousandths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u32);

/// The plan of a ramp.
#[derive(Debug, Clone, PartialEq)]
pub struct RampPlan {
    /// The steps, with rising shares; never empty.
    pub steps: Vec<Step>,
    /// The rules of steps that have none of their own.
    pub rules: Rules,
    /// Seconds at the beginning of each step in which nothing is proved.
    pub warmup: u64,
    /// Seconds after which a step waits no longer for evidence.
    pub hold: u64,
    /// The action after that.
    pub then: Then,
    /// Steps are taken only while one of these is open; at any time if there are none.
    pub windows: Vec<Window>,
}

/// A step: a share, and its own rules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The share of the canary.
    pub percent: Percent,
    /// Seconds that the step lasts at least.
    pub at_least: Option<u64>,
    /// Requests of the canary that the step needs.
    pub requests: Option<f64>,
    /// The proof that the step needs.
    pub proof: Option<Proof>,
    /// True if the next step needs the operator's approval.
    pub approve: bool,
}

/// The conditions of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Seconds that the step lasts at least.
    pub at_least: u64,
    /// Requests of the canary that the step needs.
    pub requests: f64,
    /// The proof that the step needs.
    pub proof: Proof,
    /// True if the next step needs the operator's approval.
    pub approve: bool,
}

/// The proof that a step needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Of this step.
    Step,
    /// Of the rollout so far.
    Rollout,
    /// None: time and requests alone count.
    None,
}

/// The end of a wait for evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The rollout holds on.
    Hold,
    /// The next step is taken without the proof.
    Promote,
    /// The rollout is rolled back.
    RollBack,
}

// Settings are written down, never computed: none of their numbers is NaN.
impl Eq for RampPlan {}
impl Eq for Step {}
impl Eq for Rules {}

impl Default for RampPlan {
    fn default() -> Self {
        Self {
            steps: vec![Step::to(Percent::ALL)],
            rules: Rules {
                at_least: 60,
                requests: 100.0,
                proof: Proof::Step,
                approve: false,
            },
            warmup: 30,
            hold: 2 * 60 * 60,
            then: Then::Hold,
            windows: Vec::new(),
        }
    }
}

impl Percent {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(100_000);

    /// A share in thousandths of a percent; `None` above 100 %.
    pub fn from_thousandths(thousandths: u64) -> Option<Self> {
        let thousandths = u32::try_from(thousandths).ok()?;
        (thousandths <= Self::ALL.0).then_some(Self(thousandths))
    }

    /// The share in thousandths of a percent.
    pub fn thousandths(self) -> u32 {
        self.0
    }

    /// The share, 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ALL.0)
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0 / 1000, self.0 % 1000);
        if rest == 0 {
            return write!(f, "{whole} %");
        }
        let digits = format!("{rest:03}");
        write!(f, "{whole}.{} %", digits.trim_end_matches('0'))
    }
}

impl Step {
    /// A step to this share, with the plan's rules.
    pub fn to(percent: Percent) -> Self {
        Self {
            percent,
            at_least: None,
            requests: None,
            proof: None,
            approve: false,
        }
    }
}

impl RampPlan {
    /// The rules of a step, by position.
    pub fn rules(&self, step: usize) -> Rules {
        let Step {
            at_least,
            requests,
            proof,
            approve,
            ..
        } = self.steps[step];
        Rules {
            at_least: at_least.unwrap_or(self.rules.at_least),
            requests: requests.unwrap_or(self.rules.requests),
            proof: proof.unwrap_or(self.rules.proof),
            approve: approve || self.rules.approve,
        }
    }

    /// The number of steps that are judged: those below 100 %.
    pub fn judged_steps(&self) -> usize {
        self.steps
            .iter()
            .filter(|step| step.percent < Percent::ALL)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_written_without_needless_digits() {
        let text = |thousandths| Percent::from_thousandths(thousandths).unwrap().to_string();
        let texts = [5000, 500, 50, 12_345, 100_000].map(text);
        assert_eq!(texts, ["5 %", "0.5 %", "0.05 %", "12.345 %", "100 %"]);
        assert_eq!(Percent::from_thousandths(100_001), None);
    }
}
