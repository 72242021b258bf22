//! Rollouts as they are stored: with the dials, in one file, so that step and share are one write.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waypost_admin::rollout::MetricView;

use crate::state::evidence::StoredEvidence;
use crate::state::weights::{Weights, carried_over};

/// The number of changes that are kept for each route.
const CHANGES_KEPT: usize = 200;
/// The number of the latest changes whose metrics are kept.
const METRICS_KEPT: usize = 30;

/// A rollout, under way or ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredRollout {
    /// The routes that it turns together, which is one unless they are a deal. The first is the one that it was started at.
    #[serde(default)]
    pub(crate) routes: Vec<StoredRoute>,
    /// The deal of the routes.
    #[serde(default)]
    pub(crate) deal: Option<String>,
    /// The name of the plan; `None` for the route's own.
    pub(crate) plan: Option<String>,
    /// Shares in thousandths of a percent, instead of the plan's steps.
    pub(crate) steps: Option<Vec<u64>>,
    /// True if it goes to changed weights of the config, rather than to all of the plan's steps.
    #[serde(default)]
    pub(crate) on_change: bool,
    /// True if its end is put into the config, whatever the plan says.
    #[serde(default)]
    pub(crate) write: bool,
    /// True if it has succeeded, and the config is not written yet.
    #[serde(default)]
    pub(crate) is_unwritten: bool,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) started: Timestamp,
    pub(crate) by: String,
    /// The share that was dialed last, in thousandths of a percent; `None` before the first step.
    #[serde(default)]
    pub(crate) share: Option<u64>,
    /// The number of the present step, from 1; 0 before the first.
    #[serde(default)]
    pub(crate) step_number: usize,
    /// The number of steps.
    pub(crate) step_count: usize,
    /// Seconds in this step.
    pub(crate) age: u64,
    /// Requests of the canary in this step.
    pub(crate) requests: f64,
    pub(crate) is_approved: bool,
    #[serde(default)]
    pub(crate) is_paused: bool,
    #[serde(default)]
    pub(crate) is_plan_changed: bool,
    /// The evidence so far.
    #[serde(default, rename = "numbers")]
    pub(crate) evidence: StoredEvidence,
    pub(crate) end: Option<StoredEnd>,
    /// The changes of the route's rollouts; the latest is the last.
    pub(crate) changes: Vec<StoredChange>,
}

/// A route of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredRoute {
    pub(crate) route: String,
    pub(crate) canary: String,
    pub(crate) baseline: String,
    /// The live weights at the start.
    pub(crate) before: Weights,
    /// The live weights of the step that was taken last.
    pub(crate) live: Weights,
}

/// Texts that differ for configs in which a rollout is another one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Fingerprint {
    /// Of the declared splits of its routes.
    pub(crate) splits: String,
    /// Of its plan.
    pub(crate) plan: String,
    /// Of its judge, and of what counts as failed.
    pub(crate) judge: String,
}

/// The end of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredEnd {
    pub(crate) time: Timestamp,
    pub(crate) state: EndState,
}

/// The state of a rollout that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EndState {
    Finished,
    RolledBack,
    Aborted,
}

/// A change of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredChange {
    pub(crate) time: Timestamp,
    pub(crate) change: String,
    pub(crate) percent: String,
    pub(crate) summary: String,
    pub(crate) by: String,
    /// The metrics that it rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) metrics: Vec<MetricView>,
}

impl EndState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::RolledBack => "rolled_back",
            Self::Aborted => "aborted",
        }
    }
}

impl StoredChange {
    /// The share of the canary from then on, in percent.
    pub(crate) fn in_percent(&self) -> f64 {
        self.percent.trim_end_matches(" %").parse().unwrap_or(0.0)
    }
}

impl StoredRollout {
    /// A rollout before its first step, of no route yet.
    pub(crate) fn new(fingerprint: Fingerprint, started: Timestamp, by: &str) -> Self {
        Self {
            routes: Vec::new(),
            deal: None,
            plan: None,
            steps: None,
            on_change: false,
            write: false,
            is_unwritten: false,
            fingerprint,
            started,
            by: by.to_owned(),
            share: None,
            step_number: 0,
            step_count: 0,
            age: 0,
            requests: 0.0,
            is_approved: false,
            is_paused: false,
            is_plan_changed: false,
            evidence: StoredEvidence::default(),
            end: None,
            changes: Vec::new(),
        }
    }

    /// The latest change.
    pub(crate) fn last(&self) -> Option<&StoredChange> {
        self.changes.last()
    }

    /// Returns false if it came with a config and nothing was done about it yet.
    pub(crate) fn has_begun(&self) -> bool {
        let is_start = |change: &StoredChange| change.change == "started" && change.time == self.started;
        !self.on_change || self.share.is_some() || self.changes.iter().any(is_start)
    }

    /// The route that it was started at.
    pub(crate) fn lead(&self) -> Option<&StoredRoute> {
        self.routes.first()
    }

    /// One of its routes, by name.
    pub(crate) fn route(&self, name: &str) -> Option<&StoredRoute> {
        self.routes.iter().find(|route| route.route == name)
    }

    /// Adds a change, and drops the oldest beyond those that are kept.
    pub(crate) fn note(&mut self, change: StoredChange) {
        self.changes.push(change);
        let more = self.changes.len().saturating_sub(CHANGES_KEPT);
        self.changes.drain(..more);
        // All are written with every dial: the numbers of old ones, unlike their sentences, are not worth that.
        let old = self.changes.len().saturating_sub(METRICS_KEPT);
        for change in &mut self.changes[..old] {
            change.metrics = Vec::new();
        }
    }
}

impl StoredRoute {
    /// Returns true if both versions are among these services.
    pub(crate) fn has_arms_in(&self, declared: &Weights) -> bool {
        let has = |arm: &str| declared.iter().any(|(service, _)| service == arm);
        has(&self.canary) && has(&self.baseline)
    }

    /// The weights of a split with these declared ones while the rollout is under way; `None` if it has lost one of its
    /// versions. The canary keeps its share, and a service that came later gets nothing.
    pub(crate) fn live_of(&self, declared: &Weights) -> Option<Weights> {
        if !self.has_arms_in(declared) {
            return None;
        }
        let live = carried_over(&self.live, declared, &self.canary, &self.baseline);
        live.iter().any(|(_, weight)| *weight > 0).then_some(live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_old_changes_are_dropped() {
        // As it was written before changes had metrics.
        let stored = serde_json::json!({
            "routes": [], "deal": null, "plan": null, "steps": null,
            "fingerprint": { "splits": "", "plan": "" }, "started": "2026-03-01T03:00:00Z", "by": "anna",
            "step": null, "step_count": 2, "age": 0, "requests": 0.0, "is_approved": false, "stop": null,
            "evidence": [], "end": null,
            "changes": [{
                "time": "2026-03-01T03:00:00Z", "change": "started", "percent": "0 %", "summary": "", "by": "anna",
            }],
        });
        let mut stored: StoredRollout = serde_json::from_value(stored).unwrap();
        let first = stored.changes[0].clone();
        assert_eq!(first.metrics, []);
        let metric = serde_json::json!({
            "metric": "errors", "canary_requests": 1, "canary_bad": 0, "baseline_requests": 9, "baseline_bad": 0,
            "evidence": 0.1, "proof": 0.5, "proved": false,
            "step": { "canary_requests": 1, "canary_bad": 0, "baseline_requests": 9, "baseline_bad": 0 },
            "tolerated": 0.005, "allowance": 0.0, "canary_ms": null, "baseline_ms": null,
            "canary_over_ms": null, "baseline_over_ms": null, "needed_requests": 900,
        });
        let metric: MetricView = serde_json::from_value(metric).unwrap();
        for _ in 0..METRICS_KEPT + 5 {
            stored.note(StoredChange {
                metrics: vec![metric.clone()],
                ..first.clone()
            });
        }
        let with_metrics = stored.changes.iter().map(|change| !change.metrics.is_empty());
        let mut expected = vec![false; 6];
        expected.resize(METRICS_KEPT + 6, true);
        assert_eq!(with_metrics.collect::<Vec<bool>>(), expected);
    }
}
