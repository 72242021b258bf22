//! The counts of a rollout's arms: the differences of the workers' counters, second by second.

use std::array;
use std::mem;

use waypost_plan::failures::FailureRule;
use waypost_plan::rollout::RolloutPlan;
use waypost_policy::status::StatusKind;
use waypost_proxy::observe::metrics::Metrics;
use waypost_proxy::observe::metrics::arm::{ArmReader, ArmReading};
use waypost_proxy::observe::metrics::watch::{GROUPS, GroupReading, Wanted};
use waypost_rollout::judge::{ArmSecond, GroupSecond, Judge, RouteSecond};

/// Canary and baseline of one route, with their counters at the last reading. While it lives, the workers count what the
/// judge asks for beyond the metrics.
#[derive(Debug, Default)]
pub(super) struct Counting {
    arms: Option<[ArmCounting; 2]>,
    /// The retries of other instances of a fleet.
    retries_elsewhere: [u64; 2],
}

#[derive(Debug)]
struct ArmCounting {
    reader: ArmReader,
    last: ArmReading,
    now: ArmReading,
    /// True once `now` was read.
    is_begun: bool,
    /// The retries at the first reading.
    retries_before: u64,
}

/// The counts of both arms in one second.
#[derive(Debug)]
pub(super) struct Counted {
    canary: ArmCounts,
    baseline: ArmCounts,
    /// The baseline's by group of clients, where they are sticky.
    groups: Option<Box<GroupSecond>>,
}

#[derive(Debug, Default)]
struct ArmCounts {
    finished: u64,
    errors: u64,
    client_errors: u64,
    abandoned: u64,
    latencies: Vec<f64>,
}

impl Counting {
    /// Reads the counters of canary and baseline on a route. `wanted` is what is counted beyond the metrics. Returns what was
    /// counted since the last reading; `None` for the first one, and after counters that were begun anew.
    pub(super) fn read(
        &mut self,
        metrics: &Metrics,
        route: &str,
        arms: [&str; 2],
        wanted: [Option<Wanted>; 2],
    ) -> Option<[ArmReading; 2]> {
        let known = self.arms.take().filter(|known| {
            let mut both = known.iter().zip(arms);
            both.all(|(arm, service)| arm.reader.is_of(route, service))
        });
        let countings =
            known.unwrap_or_else(|| arms.map(|service| ArmCounting::new(ArmReader::new(route, service))));
        let [canary, baseline] = self.arms.insert(countings);
        let [of_canary, of_baseline] = wanted;
        canary.reader.ask(metrics, of_canary.as_ref());
        baseline.reader.ask(metrics, of_baseline.as_ref());
        // Both are read, whatever comes of the first.
        let [canary, baseline] = [canary, baseline].map(|arm| arm.read(metrics));
        Some([canary?, baseline?])
    }

    /// Notes what other instances have counted.
    pub(super) fn note_elsewhere(&mut self, pair: &[ArmReading; 2]) {
        for (sum, arm) in self.retries_elsewhere.iter_mut().zip(pair) {
            *sum = sum.saturating_add(arm.retries);
        }
    }
}

/// The counts beyond the metrics that a judge asks of the canary and the baseline of its route at position `at`.
pub(super) fn wanted(plan: &RolloutPlan, judge: Option<(&Judge, usize)>) -> [Option<Wanted>; 2] {
    let rule = &plan.failures;
    let sticky = judge.filter(|(judge, _)| judge.is_sticky());
    let groups = sticky.map(|(judge, at)| judge.thresholds(at));
    [None, groups].map(|groups| {
        let is_asked = judge.is_some() && (rule.late.is_some() || groups.is_some());
        is_asked.then(|| Wanted {
            failures: rule.clone(),
            groups,
        })
    })
}

impl Counting {
    /// Further attempts at the services of canary and baseline since the first reading.
    pub(super) fn retries(&self) -> [u64; 2] {
        let arms = self.arms.as_ref();
        let own = arms.map_or([0; 2], |arms| {
            [0, 1].map(|at| arms[at].now.retries.saturating_sub(arms[at].retries_before))
        });
        [0, 1].map(|at| own[at].saturating_add(self.retries_elsewhere[at]))
    }
}

impl ArmCounting {
    fn new(reader: ArmReader) -> Self {
        Self {
            reader,
            last: ArmReading::default(),
            now: ArmReading::default(),
            is_begun: false,
            retries_before: 0,
        }
    }

    /// Reads the counters. Returns what was counted since the reading before, if there is one to compare with.
    fn read(&mut self, metrics: &Metrics) -> Option<ArmReading> {
        mem::swap(&mut self.last, &mut self.now);
        self.reader.read(metrics, &mut self.now);
        if !mem::replace(&mut self.is_begun, true) {
            self.retries_before = self.now.retries;
            return None;
        }
        self.now.since(&self.last)
    }
}

impl Counted {
    /// The counts of canary and baseline, with these failures.
    pub(super) fn of([canary, baseline]: &[ArmReading; 2], rule: &FailureRule) -> Self {
        Self {
            canary: ArmCounts::of(canary, rule),
            baseline: ArmCounts::of(baseline, rule),
            groups: baseline.groups.as_ref().map(|groups| Box::new(of_groups(groups))),
        }
    }

    /// The counts as the judge takes them; `share` is the canary's.
    pub(super) fn second(&self, share: f64) -> RouteSecond<'_> {
        RouteSecond {
            canary: self.canary.second(),
            baseline: self.baseline.second(),
            groups: self.groups.as_deref(),
            share,
        }
    }
}

impl ArmCounts {
    fn of(reading: &ArmReading, rule: &FailureRule) -> Self {
        let mut counts = Self {
            finished: reading.late,
            errors: reading.late,
            latencies: reading.latencies.iter().map(|count| *count as f64).collect(),
            ..Self::default()
        };
        for (status, count) in &reading.statuses {
            counts.finished = counts.finished.saturating_add(*count);
            let kind = match status.kind(rule) {
                StatusKind::Fine => continue,
                StatusKind::Failed => &mut counts.errors,
                StatusKind::ClientError => &mut counts.client_errors,
                StatusKind::Abandoned => &mut counts.abandoned,
            };
            *kind = kind.saturating_add(*count);
        }
        counts
    }

    fn second(&self) -> ArmSecond<'_> {
        ArmSecond {
            finished: self.finished as f64,
            errors: self.errors as f64,
            client_errors: self.client_errors as f64,
            abandoned: self.abandoned as f64,
            latencies: &self.latencies,
        }
    }
}

/// The counts by group, as the judge takes them.
fn of_groups(groups: &[GroupReading; GROUPS]) -> GroupSecond {
    let count = |of: fn(&GroupReading) -> u64| array::from_fn(|group| of(&groups[group]) as f64);
    GroupSecond {
        finished: count(|group| group.finished),
        errors: count(|group| group.failed),
        client_errors: count(|group| group.client_errors),
        abandoned: count(|group| group.abandoned),
        slow: [
            count(|group| group.slow[0]),
            count(|group| group.slow[1]),
            count(|group| group.slow[2]),
        ],
    }
}

#[cfg(test)]
mod tests {
    use waypost_plan::failures::StatusSet;
    use waypost_policy::status::RequestStatus;
    use waypost_wire::grpc::GrpcCode;

    use super::*;

    fn reading(statuses: &[(RequestStatus, u64)]) -> ArmReading {
        ArmReading {
            statuses: statuses.to_vec(),
            ..ArmReading::default()
        }
    }

    fn counts(counted: &ArmCounts) -> [u64; 4] {
        [
            counted.finished,
            counted.errors,
            counted.client_errors,
            counted.abandoned,
        ]
    }

    #[test]
    fn requests_are_counted_by_their_kind() {
        let rule = FailureRule::default();
        let call = |code| RequestStatus::call(200, GrpcCode::new(code));
        let mut now = reading(&[
            (RequestStatus::http(0), 2),
            (RequestStatus::http(200), 10),
            (RequestStatus::http(404), 3),
            (RequestStatus::http(503), 1),
            (call(0), 4),
            (call(1), 1),
            (call(5), 2),
            (call(14), 2),
        ]);
        assert_eq!(counts(&ArmCounts::of(&now, &rule)), [25, 3, 5, 3]);
        let mut other = rule.clone();
        other.statuses.add(404..=404);
        other.exclude = StatusSet::server_errors();
        assert_eq!(counts(&ArmCounts::of(&now, &other)), [25, 5, 2, 3]);
        now.late = 2;
        assert_eq!(counts(&ArmCounts::of(&now, &rule)), [27, 5, 5, 3]);
    }

    #[test]
    fn groups_are_the_judges() {
        let mut groups = Box::new([GroupReading::default(); GROUPS]);
        groups[5].finished = 6;
        groups[5].slow[2] = 3;
        let baseline = ArmReading {
            groups: Some(groups),
            ..ArmReading::default()
        };
        let counted = Counted::of(&[ArmReading::default(), baseline], &FailureRule::default());
        let groups = counted.second(0.5).groups.unwrap();
        assert_eq!((groups.finished[5], groups.slow[2][5]), (6.0, 3.0));
        assert_eq!(groups.finished.iter().sum::<f64>(), 6.0);
        let none = <[ArmReading; 2]>::default();
        let none = Counted::of(&none, &FailureRule::default());
        assert!(none.second(0.5).groups.is_none());
    }
}
