//! The plan of a ramp: its steps, and what each waits for.

/// A share of the requests, in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u16);

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

impl Percent {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(10_000);

    /// A share in hundredths of a percent; `None` above 100 %.
    pub fn from_hundredths(hundredths: u16) -> Option<Self> {
        (hundredths <= Self::ALL.0).then_some(Self(hundredths))
    }

    /// The share in hundredths of a percent.
    pub fn hundredths(self) -> u16 {
        self.0
    }

    /// The share, 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ALL.0)
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match rest {
            0 => write!(f, "{whole} %"),
            rest if rest % 10 == 0 => write!(f, "{whole}.{} %", rest / 10),
            rest => write!(f, "{whole}.{rest:02} %"),
        }
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
        let text = |hundredths| Percent::from_hundredths(hundredths).unwrap().to_string();
        assert_eq!(
            ["5 %", "0.5 %", "0.05 %", "12.34 %", "100 %"],
            [500, 50, 5, 1234, 10_000]
                .map(text)
                .each_ref()
                .map(String::as_str)
        );
        assert_eq!(Percent::from_hundredths(10_001), None);
    }
}
