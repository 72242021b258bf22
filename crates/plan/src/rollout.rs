//! Plans of rollouts.

use std::sync::Arc;

use waypost_rollout::judge::settings::JudgeSettings;
use waypost_rollout::ramp::plan::RampPlan;

/// The plan of a rollout: its steps, and its judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutPlan {
    /// The steps, and what each waits for.
    pub ramp: RampPlan,
    /// The judge; `None` for a timed ramp.
    pub judge: Option<JudgeSettings>,
    /// The service that is rolled out, if the plan says it.
    pub canary: Option<Box<str>>,
    /// The service that it is compared with, if the plan says it.
    pub baseline: Option<Box<str>>,
}

impl Default for RolloutPlan {
    fn default() -> Self {
        Self {
            ramp: RampPlan::default(),
            judge: Some(JudgeSettings::default()),
            canary: None,
            baseline: None,
        }
    }
}

/// The rollouts of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRollout {
    /// The name of the plan, if it has one.
    pub name: Option<Box<str>>,
    /// The plan.
    pub plan: Arc<RolloutPlan>,
}
