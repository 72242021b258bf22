//! The counts of arms that the leader of a fleet asks the other instances for, once a second.
//!
//! The question names the arms and says what is counted of them beyond the metrics, which an instance does as long as it is
//! asked again and again. The answer has all that was counted since the process started, [`packed`]: a question that is lost
//! loses no count.

pub mod packed;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_plan::failures::{FailureRule, STATUSES, StatusSet};
use waypost_proxy::generation::Generation;
use waypost_proxy::observe::metrics::Metrics;
use waypost_proxy::observe::metrics::arm::{ArmReader, ArmReading};
use waypost_proxy::observe::metrics::watch::{BOUNDS, Wanted};

use crate::arms;

/// The arms that are asked for at once, at most.
pub const ARMS_MAX: usize = 20_000;
/// The time after which an arm that is not asked for any more is forgotten.
const FORGET: Duration = Duration::from_secs(10);

/// The question of the leader.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CountsQuestion {
    /// The arms, in the order of the answer.
    pub arms: Vec<ArmQuestion>,
}

/// An arm that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArmQuestion {
    /// The route.
    pub route: String,
    /// The service.
    pub service: String,
    /// The counts that are asked for beyond the metrics, if any are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beyond: Option<Beyond>,
}

/// Counts beyond the metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Beyond {
    /// The statuses of failures, as ranges with both ends.
    pub failed: Vec<(u16, u16)>,
    /// The statuses of responses that are no failures in any case, as ranges with both ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<(u16, u16)>,
    /// The time after which a request without a response counts as failed, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_ms: Option<u64>,
    /// The buckets of the histogram of latencies over which requests are slow, if counts by group of clients are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_over: Option<[Option<usize>; BOUNDS]>,
}

impl From<&Wanted> for Beyond {
    fn from(wanted: &Wanted) -> Self {
        let late = wanted.failures.late;
        Self {
            failed: ranges(&wanted.failures.statuses),
            excluded: ranges(&wanted.failures.exclude),
            late_ms: late.map(|late| u64::try_from(late.as_millis()).unwrap_or(u64::MAX)),
            slow_over: wanted.groups,
        }
    }
}

impl From<&Beyond> for Wanted {
    fn from(beyond: &Beyond) -> Self {
        let set = |ranges: &[(u16, u16)]| {
            let mut set = StatusSet::default();
            for (first, last) in ranges {
                set.add((*first).max(*STATUSES.start())..=(*last).min(*STATUSES.end()));
            }
            set
        };
        Self {
            failures: FailureRule {
                statuses: set(&beyond.failed),
                exclude: set(&beyond.excluded),
                late: beyond.late_ms.map(Duration::from_millis),
            },
            groups: beyond.slow_over,
        }
    }
}

/// A set of statuses as ranges.
fn ranges(set: &StatusSet) -> Vec<(u16, u16)> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for status in STATUSES.filter(|status| set.contains(*status)) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == status => *last = status,
            _ => ranges.push((status, status)),
        }
    }
    ranges
}

/// The arms that the leader asks for at present.
#[derive(Debug, Default)]
pub(crate) struct CountsReaders(Mutex<HashMap<(String, String), ReadArm>>);

#[derive(Debug)]
struct ReadArm {
    reader: ArmReader,
    asked: Instant,
}

impl CountsReaders {
    /// Reads the counts of the arms of a question, in its order. Those of arms that the config does not have are 0.
    pub(crate) fn read(
        &self,
        generation: &Generation,
        metrics: &Metrics,
        question: CountsQuestion,
        now: Instant,
    ) -> Vec<ArmReading> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has = |arm: &(String, String)| {
            let position = generation.compiled().position(&arm.0);
            let arms = position.map(|position| arms::of_route(generation, position));
            arms.is_some_and(|arms| arms.iter().any(|known| known.service == arm.1))
        };
        let read = |arm: ArmQuestion| {
            let mut reading = ArmReading::default();
            let wanted = arm.beyond.as_ref().map(Wanted::from);
            let arm = (arm.route, arm.service);
            if !asked.contains_key(&arm) && has(&arm) {
                let reader = ArmReader::new(&arm.0, &arm.1);
                asked.insert(arm.clone(), ReadArm { reader, asked: now });
            }
            if let Some(arm) = asked.get_mut(&arm) {
                arm.asked = now;
                arm.reader.ask(metrics, wanted.as_ref());
                arm.reader.read(metrics, &mut reading);
            }
            reading
        };
        question.arms.into_iter().map(read).collect()
    }

    /// Forgets arms that are not asked for any more: what is counted for the leader alone is not counted from then on.
    pub(crate) fn tidy(&self, now: Instant) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|_, arm| now.saturating_duration_since(arm.asked) < FORGET);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_what_is_asked() {
        let mut failures = FailureRule::default();
        failures.statuses.add(429..=429);
        failures.exclude.add(501..=503);
        failures.late = Some(Duration::from_secs(10));
        let wanted = Wanted {
            failures,
            groups: Some([Some(5), None, Some(300)]),
        };
        let beyond = Beyond::from(&wanted);
        assert_eq!(beyond.failed, [(429, 429), (500, 599)]);
        assert_eq!(beyond.excluded, [(501, 503)]);
        assert_eq!(Wanted::from(&beyond), wanted);
        let default = Wanted {
            failures: FailureRule::default(),
            groups: None,
        };
        assert_eq!(Wanted::from(&Beyond::from(&default)), default);
        let absurd = Beyond {
            failed: vec![(0, u16::MAX), (9, 3)],
            ..Beyond::default()
        };
        assert!(Wanted::from(&absurd).failures.statuses.contains(100));
    }
}
