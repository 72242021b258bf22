//! Rollouts, as the API shows them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutView {
    /// The route.
    pub route: String,
    /// The routes that are turned together: those of a deal, or one. The first is the one that it was started at.
    pub routes: Vec<String>,
    /// The deal of these routes.
    pub deal: Option<String>,
    /// The service that is rolled out.
    pub canary: String,
    /// The service that it is compared with.
    pub baseline: String,
    /// The name of the plan, if it has one.
    pub plan: Option<String>,
    /// `waiting` before the first step, `running`, `paused`, `finished`, `rolled_back` or `aborted`. One that is `running`
    /// holds while `lacks` has something.
    pub state: String,
    /// The number of the step, from 1; 0 before the first.
    pub step: usize,
    /// The number of steps.
    pub steps: usize,
    /// The share of the canary, in percent.
    pub percent: f64,
    /// The share of each step, in percent; empty once it has ended.
    #[serde(default)]
    pub shares: Vec<f64>,
    /// True if the step after this one needs an approval.
    #[serde(default)]
    pub approve: bool,
    /// The share of the next step, in percent.
    pub next_percent: Option<f64>,
    /// Seconds in this step.
    pub step_seconds: u64,
    /// Seconds that this step lasts at least: `at_least` of the plan, or the warm-up and the response timeout of the
    /// canary's service where they are longer.
    #[serde(default)]
    pub at_least_seconds: u64,
    /// Requests of the canary in this step.
    pub step_requests: u64,
    /// The standing in one sentence.
    pub summary: String,
    /// The conditions of the next step that do not hold yet.
    pub lacks: Vec<String>,
    /// The next step and what it waits for, in one sentence.
    #[serde(default)]
    pub next: Option<String>,
    /// Requests of the canary that are missing to the next step, as estimated from the rates so far.
    #[serde(default)]
    pub needed_requests: Option<u64>,
    /// Seconds that these requests take at the present rate.
    #[serde(default)]
    pub needed_seconds: Option<u64>,
    /// The evidence that the canary is worse than tolerated.
    pub evidence: f64,
    /// The evidence at which the rollout is rolled back.
    pub rollback_at: f64,
    /// The metrics that are judged; empty for a timed ramp. Of a rollout that ended, as they were then.
    pub metrics: Vec<MetricView>,
    /// Further attempts at the canary's service since the rollout began, or since the gateway's last start. A request that
    /// was sent again counts once in the metrics, by what its client saw.
    #[serde(default)]
    pub canary_retries: u64,
    /// The same of the baseline's service.
    #[serde(default)]
    pub baseline_retries: u64,
    /// The ids of instances of the fleet that do not answer the leader, so that their requests are not counted. Where they had
    /// more than a tenth of them, the judge decides nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The start of the rollout.
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// The client that started it.
    pub by: String,
    /// The end of the rollout.
    #[schemars(with = "Option<String>")]
    pub ended: Option<Timestamp>,
    /// Its version, which is the `ETag` too: another one after every step, action and end, and the same across restarts.
    #[serde(default)]
    pub version: String,
}

/// A metric of a rollout. Its counts are those since the rollout began; those of this step are in `step`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricView {
    /// `errors`, `errors.max`, `client_errors`, `abandoned`, `p50`, `p90` or `p99`.
    pub metric: String,
    /// Requests of the canary.
    pub canary_requests: u64,
    /// Bad ones among them: failed ones, or those slower than the threshold of the quantile.
    pub canary_bad: u64,
    /// Requests of the baseline.
    pub baseline_requests: u64,
    /// Bad ones among them.
    pub baseline_bad: u64,
    /// Its part of the evidence that the canary is worse than tolerated.
    pub evidence: f64,
    /// The evidence that the canary is not worse.
    pub proof: f64,
    /// True if that is proved.
    pub proved: bool,
    /// The counts of this step.
    pub step: ArmCounts,
    /// The share of bad requests that is tolerated beside the baseline's in this step, 0 to 1; `null` for a latency.
    pub tolerated: Option<f64>,
    /// The share by which the canary may be worse on top of that, since clients of the baseline differ.
    pub allowance: f64,
    /// The quantile of the canary's latencies in this step, in milliseconds; `null` for other metrics, and without
    /// responses.
    pub canary_ms: Option<f64>,
    /// The quantile of the baseline's.
    pub baseline_ms: Option<f64>,
    /// The bound over which a response of the canary is slow, in milliseconds; `null` while the baseline has too few
    /// responses to judge this quantile.
    pub canary_over_ms: Option<f64>,
    /// The bound for those of the baseline.
    pub baseline_over_ms: Option<f64>,
    /// Requests of the canary that are missing to the proof, as estimated from the rates so far; `null` if it is proved,
    /// or would not be at these rates.
    pub needed_requests: Option<u64>,
}

/// The counts of both versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ArmCounts {
    /// Requests of the canary.
    pub canary_requests: u64,
    /// Bad ones among them.
    pub canary_bad: u64,
    /// Requests of the baseline.
    pub baseline_requests: u64,
    /// Bad ones among them.
    pub baseline_bad: u64,
}

/// A change of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutChange {
    /// The time.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// `started`, `step`, `paused`, `resumed`, `approved`, `plan_changed`, `rolled_back`, `finished`, `aborted`, `written` or
    /// `not_written`.
    pub change: String,
    /// The share of the canary from then on, such as `5 %`.
    pub percent: String,
    /// The reason in one sentence, with the counts that it rests on.
    pub summary: String,
    /// The client that asked for it; `judge` if none did.
    pub by: String,
    /// The metrics that it rests on: those of the step that was over with it. None for a timed ramp, before the first request
    /// of the step, and for all but the latest thirty changes of a route.
    #[serde(default)]
    pub metrics: Vec<MetricView>,
}

/// A change of a rollout, or the step that a hook is asked about: the event that is published, and sent to services.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutEvent {
    /// The route that it was started at.
    pub route: String,
    /// The routes that are turned together: those of a deal, or one.
    pub routes: Vec<String>,
    /// The deal of these routes.
    pub deal: Option<String>,
    /// The service that is rolled out.
    pub canary: String,
    /// The service that it is compared with.
    pub baseline: String,
    /// The name of the plan, if it has one.
    pub plan: Option<String>,
    /// `started`, `step`, `paused`, `resumed`, `approved`, `plan_changed`, `rolled_back`, `finished`, `aborted`,
    /// `written` or `not_written`;
    /// `before_step` in the question to a hook.
    pub change: String,
    /// The number of the step, from 1; 0 before the first. In a question, that of the step that is asked about.
    pub step: usize,
    /// The number of steps.
    pub steps: usize,
    /// The share of the canary before, in percent.
    pub from_percent: f64,
    /// The share of the canary from then on, in percent.
    pub to_percent: f64,
    /// The share of the canary from then on, such as `5 %`.
    pub percent: String,
    /// The reason in one sentence, with the counts that it rests on; in a question, the standing.
    pub summary: String,
    /// The client that asked for it; `judge` if none did.
    pub by: String,
    /// The evidence that the canary is worse than tolerated.
    pub evidence: f64,
    /// The evidence at which the rollout is rolled back.
    pub rollback_at: f64,
    /// The metrics that are judged; empty for a timed ramp.
    pub metrics: Vec<MetricView>,
}

/// The start of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartRollout {
    /// The service that is rolled out; can be left out if the plan names it.
    #[serde(default)]
    pub to: Option<String>,
    /// The name of a plan; defaults to the route's.
    #[serde(default)]
    pub plan: Option<String>,
    /// Shares of the canary in percent, instead of the plan's steps.
    #[serde(default)]
    pub steps: Option<Vec<f64>>,
    /// Puts the weights into the config when the rollout succeeds, as `on_success: write` in its plan does.
    #[serde(default)]
    pub write: bool,
}

impl RolloutEvent {
    /// An event of a rollout that stands like this, without the change.
    pub fn of(view: RolloutView) -> Self {
        Self {
            route: view.route,
            routes: view.routes,
            deal: view.deal,
            canary: view.canary,
            baseline: view.baseline,
            plan: view.plan,
            change: String::new(),
            step: view.step,
            steps: view.steps,
            from_percent: view.percent,
            to_percent: view.percent,
            percent: String::new(),
            summary: view.summary,
            by: view.by,
            evidence: view.evidence,
            rollback_at: view.rollback_at,
            metrics: view.metrics,
        }
    }
}

/// An action on a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutAction {
    /// No further steps.
    Pause,
    /// Steps go on.
    Resume,
    /// The next step now.
    Promote,
    /// The next step may be taken, once its other conditions hold.
    Approve,
    /// Back to the weights of the start.
    Abort,
    /// All to the canary now.
    Finish,
}

impl RolloutAction {
    /// All actions.
    pub const ALL: [Self; 6] = [
        Self::Pause,
        Self::Resume,
        Self::Promote,
        Self::Approve,
        Self::Abort,
        Self::Finish,
    ];

    /// The word in paths and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::Approve => "approve",
            Self::Abort => "abort",
            Self::Finish => "finish",
        }
    }
}
