//! The counts of a rollout's arms: the differences of the workers' counters, second by second.

use std::array;
use std::iter;
use std::mem;

use waypost_plan::failures::FailureRule;
use waypost_plan::rollout::RolloutPlan;
use waypost_policy::status::{RequestStatus, StatusKind};
use waypost_proxy::observe::metrics::Metrics;
use waypost_proxy::observe::metrics::arm::{ArmReader, ArmReading};
use waypost_proxy::observe::metrics::watch::{GroupReading, Wanted};
use waypost_rollout::judge::{ArmSecond, GroupSecond, Judge, RouteSecond};

/// Canary and baseline of one route, with their counters at the last reading. While it lives, the workers count what the
/// judge asks for beyond the metrics.
#[derive(Debug, Default)]
pub(super) struct Counting(Option<[ArmCounting; 2]>);

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
    /// Reads the counters of canary and baseline on a route, the judge's one at position `at`. Returns what they counted since
    /// the last reading; `None` for the first one, and after counters that were begun anew.
    pub(super) fn read(
        &mut self,
        metrics: &Metrics,
        route: &str,
        arms: [&str; 2],
        plan: &RolloutPlan,
        judge: Option<(&Judge, usize)>,
    ) -> Option<Counted> {
        let known = self.0.take().filter(|known| {
            let mut both = known.iter().zip(arms);
            both.all(|(arm, service)| arm.reader.is_of(route, service))
        });
        let countings =
            known.unwrap_or_else(|| arms.map(|service| ArmCounting::new(ArmReader::new(route, service))));
        let [canary, baseline] = self.0.insert(countings);
        let rule = &plan.failures;
        let sticky = judge.filter(|(judge, _)| judge.is_sticky());
        let groups = sticky.map(|(judge, at)| judge.thresholds(at));
        let asks = |groups: Option<_>| {
            let is_asked = judge.is_some() && (rule.late.is_some() || groups.is_some());
            is_asked.then(|| Wanted {
                failures: rule.clone(),
                groups,
            })
        };
        canary.reader.ask(metrics, asks(None).as_ref());
        baseline.reader.ask(metrics, asks(groups).as_ref());
        // Both are read, whatever comes of the first.
        let counted = [canary, baseline].map(|arm| {
            arm.read(metrics)
                .then(|| ArmCounts::between(&arm.last, &arm.now, rule))?
        });
        let [Some(canary), Some(baseline_counts)] = counted else {
            return None;
        };
        let [_, baseline] = self.0.as_ref()?;
        Some(Counted {
            canary,
            baseline: baseline_counts,
            groups: groups_between(&baseline.last, &baseline.now),
        })
    }
}

impl Counting {
    /// Further attempts at the services of canary and baseline since the first reading.
    pub(super) fn retries(&self) -> [u64; 2] {
        let arms = self.0.as_ref();
        arms.map_or([0; 2], |arms| {
            [0, 1].map(|at| arms[at].now.retries.saturating_sub(arms[at].retries_before))
        })
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

    /// Reads the counters. Returns true if there was a reading before.
    fn read(&mut self, metrics: &Metrics) -> bool {
        mem::swap(&mut self.last, &mut self.now);
        self.reader.read(metrics, &mut self.now);
        if !self.is_begun {
            self.retries_before = self.now.retries;
        }
        mem::replace(&mut self.is_begun, true)
    }
}

impl Counted {
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
    /// The requests between two readings; `None` if a counter fell.
    fn between(before: &ArmReading, now: &ArmReading, rule: &FailureRule) -> Option<Self> {
        let mut counts = Self::default();
        let known = |status: RequestStatus| {
            let known = before.statuses.iter().find(|(known, _)| *known == status);
            known.map_or(0, |(_, count)| *count)
        };
        let total = |reading: &ArmReading| reading.statuses.iter().map(|(_, count)| count).sum::<u64>();
        total(now).checked_sub(total(before))?;
        for (status, count) in &now.statuses {
            let count = count.checked_sub(known(*status))?;
            counts.finished += count;
            match status.kind(rule) {
                StatusKind::Fine => {}
                StatusKind::Failed => counts.errors += count,
                StatusKind::ClientError => counts.client_errors += count,
                StatusKind::Abandoned => counts.abandoned += count,
            }
        }
        let late = now.late.checked_sub(before.late)?;
        counts.finished += late;
        counts.errors += late;
        let earlier = before.latencies.iter().chain(iter::repeat(&0));
        let latencies = now.latencies.iter().zip(earlier);
        counts.latencies = latencies
            .map(|(now, before)| now.saturating_sub(*before) as f64)
            .collect();
        Some(counts)
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

/// The counts by group between two readings; `None` if either has none.
fn groups_between(before: &ArmReading, now: &ArmReading) -> Option<Box<GroupSecond>> {
    let (before, now) = (before.groups.as_ref()?, now.groups.as_ref()?);
    let count = |of: fn(&GroupReading) -> u64| {
        array::from_fn(|group| of(&now[group]).saturating_sub(of(&before[group])) as f64)
    };
    Some(Box::new(GroupSecond {
        finished: count(|group| group.finished),
        errors: count(|group| group.failed),
        client_errors: count(|group| group.client_errors),
        abandoned: count(|group| group.abandoned),
        slow: [
            count(|group| group.slow[0]),
            count(|group| group.slow[1]),
            count(|group| group.slow[2]),
        ],
    }))
}

#[cfg(test)]
mod tests {
    use waypost_plan::failures::StatusSet;
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
        let before = reading(&[(RequestStatus::http(200), 5), (call(14), 1)]);
        let mut now = reading(&[
            (RequestStatus::http(0), 2),
            (RequestStatus::http(200), 15),
            (RequestStatus::http(404), 3),
            (RequestStatus::http(503), 1),
            (call(0), 4),
            (call(1), 1),
            (call(5), 2),
            (call(14), 3),
        ]);
        let between = |rule| ArmCounts::between(&before, &now, rule).unwrap();
        assert_eq!(counts(&between(&rule)), [25, 3, 5, 3]);
        let mut other = rule.clone();
        other.statuses.add(404..=404);
        other.exclude = StatusSet::server_errors();
        assert_eq!(counts(&between(&other)), [25, 5, 2, 3]);
        now.late = 2;
        let between = ArmCounts::between(&before, &now, &rule).unwrap();
        assert_eq!(counts(&between), [27, 5, 5, 3]);
        assert!(
            ArmCounts::between(&now, &before, &rule).is_none(),
            "counters that fell began anew"
        );
    }

    #[test]
    fn groups_are_counted_from_the_second_reading_on() {
        let of = |finished| {
            let mut groups = Box::new([GroupReading::default(); 16]);
            groups[5].finished = finished;
            groups[5].slow[2] = finished / 2;
            ArmReading {
                groups: Some(groups),
                ..ArmReading::default()
            }
        };
        assert_eq!(groups_between(&ArmReading::default(), &of(4)), None);
        let second = groups_between(&of(4), &of(10)).unwrap();
        assert_eq!((second.finished[5], second.slow[2][5]), (6.0, 3.0));
        assert_eq!(second.finished.iter().sum::<f64>(), 6.0);
    }
}
