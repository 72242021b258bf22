//! Plans of rollouts.

use std::fmt;
use std::sync::Arc;

use waypost_rollout::judge::settings::JudgeSettings;
use waypost_rollout::ramp::plan::RampPlan;

use crate::failures::FailureRule;

/// The plan of a rollout: its steps, and its judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutPlan {
    /// The steps, and what each waits for.
    pub ramp: RampPlan,
    /// The judge; `None` for a timed ramp.
    pub judge: Option<JudgeSettings>,
    /// The requests that the judge takes for failed.
    pub failures: FailureRule,
    /// The service that is rolled out, if the plan says it.
    pub canary: Option<Box<str>>,
    /// The service that it is compared with, if the plan says it.
    pub baseline: Option<Box<str>>,
    /// The destination that is asked before every step, if any.
    pub before_step: Option<Destination>,
    /// The destination that is told of every change, if any.
    pub notify: Option<Destination>,
    /// True if a change of the declared weights is gone to in steps.
    pub on_change: bool,
    /// The end of a rollout that succeeds.
    pub on_success: OnSuccess,
}

/// The end of a rollout that succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnSuccess {
    /// The share stays as a dial.
    Dial,
    /// The share is put into the config.
    Write,
}

/// A destination of the gateway's own requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The name of the service.
    pub service: Box<str>,
    /// The path, absolute, with the query.
    pub path: Box<str>,
}

impl Default for RolloutPlan {
    fn default() -> Self {
        Self {
            ramp: RampPlan::default(),
            judge: Some(JudgeSettings::default()),
            failures: FailureRule::default(),
            canary: None,
            baseline: None,
            before_step: None,
            notify: None,
            on_change: false,
            on_success: OnSuccess::Dial,
        }
    }
}

/// The rollouts of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRollout {
    /// The policy that it comes from; `None` for the route itself.
    pub policy: Option<Arc<str>>,
    /// The name of the plan, if it has one.
    pub name: Option<Box<str>>,
    /// The plan.
    pub plan: Arc<RolloutPlan>,
}

impl RolloutPlan {
    /// The keys of the config whose values differ in another plan.
    pub fn changed_keys(&self, other: &Self) -> Vec<&'static str> {
        let Self {
            ramp,
            judge,
            failures,
            canary,
            baseline,
            before_step,
            notify,
            on_change,
            on_success,
        } = self;
        let RampPlan {
            steps,
            rules,
            warmup,
            hold,
            then,
            windows,
        } = ramp;
        let changed = [
            ("canary", *canary != other.canary),
            ("baseline", *baseline != other.baseline),
            ("steps", *steps != other.ramp.steps),
            ("at_least", rules.at_least != other.ramp.rules.at_least),
            ("requests", rules.requests != other.ramp.rules.requests),
            ("evidence", rules.proof != other.ramp.rules.proof),
            ("warmup", *warmup != other.ramp.warmup),
            ("hold", *hold != other.ramp.hold),
            ("then", *then != other.ramp.then),
            ("windows", *windows != other.ramp.windows),
            ("on_change", *on_change != other.on_change),
            ("on_success", *on_success != other.on_success),
            (
                "judge",
                without_warmup(judge) != without_warmup(&other.judge) || *failures != other.failures,
            ),
            ("hooks", *before_step != other.before_step),
            ("notify", *notify != other.notify),
        ];
        let changed = changed.into_iter().filter(|(_, differs)| *differs);
        changed.map(|(key, _)| key).collect()
    }
}

/// The settings of a judge without those that have a key of their own in the plan.
fn without_warmup(judge: &Option<JudgeSettings>) -> Option<JudgeSettings> {
    judge.clone().map(|judge| JudgeSettings { warmup: 0, ..judge })
}

impl fmt::Display for Destination {
    /// Without the query, which may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{}{path}", self.service)
    }
}
