//! The counts of a rollout's arms: the differences of the workers' counters, second by second.

use waypost_policy::status::RequestStatus;
use waypost_proxy::observe::metrics::histogram::BUCKETS;
use waypost_proxy::observe::metrics::{Metrics, RequestReading};
use waypost_rollout::judge::{ArmSecond, RouteSecond};
use waypost_wire::grpc::GrpcCode;

/// The counters of both arms at the last reading.
#[derive(Debug, Default)]
pub(super) struct Counting {
    last: Option<[RequestReading; 2]>,
}

/// The counts of both arms in one second.
#[derive(Debug)]
pub(super) struct Counted([ArmCounts; 2]);

#[derive(Debug)]
struct ArmCounts {
    finished: u64,
    errors: u64,
    client_errors: u64,
    abandoned: u64,
    latencies: Vec<f64>,
}

impl Counting {
    /// Reads the counters of canary and baseline. Returns what they counted since the last reading; `None` for the first
    /// one, and after counters that were begun anew.
    pub(super) fn read(&mut self, metrics: &Metrics, route: &str, arms: [&str; 2]) -> Option<Counted> {
        let now = arms.map(|service| metrics.arm(route, service));
        let last = self.last.replace(now.clone())?;
        let [canary, baseline] = now;
        let [last_canary, last_baseline] = last;
        Some(Counted([
            ArmCounts::between(&last_canary, &canary)?,
            ArmCounts::between(&last_baseline, &baseline)?,
        ]))
    }
}

impl Counted {
    /// The counts as the judge takes them; `share` is the canary's.
    pub(super) fn second(&self, share: f64) -> RouteSecond<'_> {
        let [canary, baseline] = &self.0;
        RouteSecond {
            canary: canary.second(),
            baseline: baseline.second(),
            groups: None,
            share,
        }
    }
}

impl ArmCounts {
    fn between(before: &RequestReading, now: &RequestReading) -> Option<Self> {
        let count = |is_counted: fn(RequestStatus) -> bool| {
            let sum = |reading: &RequestReading| -> u64 {
                let statuses = reading.statuses.iter().filter(|(status, _)| is_counted(*status));
                statuses.map(|(_, count)| count).sum()
            };
            sum(now).checked_sub(sum(before))
        };
        let latencies = now.upstream.since(&before.upstream).by_bucket();
        debug_assert_eq!(latencies.len(), BUCKETS);
        Some(Self {
            finished: count(|_| true)?,
            errors: count(RequestStatus::has_failed)?,
            client_errors: count(is_client_error)?,
            abandoned: count(is_abandoned)?,
            latencies,
        })
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

/// Returns true for a response of class 4xx, and for calls with a status that blames the caller.
fn is_client_error(status: RequestStatus) -> bool {
    if status.has_failed() || is_abandoned(status) {
        return false;
    }
    match status.grpc_code() {
        Some(code) => code != GrpcCode::OK,
        None => (400..500).contains(&status.http_status()),
    }
}

/// Returns true for a request whose client left.
fn is_abandoned(status: RequestStatus) -> bool {
    status.http_status() == 0 || status.grpc_code() == Some(GrpcCode::CANCELLED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(statuses: &[(RequestStatus, u64)]) -> RequestReading {
        RequestReading {
            statuses: statuses.to_vec(),
            ..RequestReading::default()
        }
    }

    #[test]
    fn requests_are_counted_by_their_kind() {
        let call = |code| RequestStatus::call(200, GrpcCode::new(code));
        let before = reading(&[(RequestStatus::http(200), 5), (call(14), 1)]);
        let now = reading(&[
            (RequestStatus::http(0), 2),
            (RequestStatus::http(200), 15),
            (RequestStatus::http(404), 3),
            (RequestStatus::http(503), 1),
            (call(0), 4),
            (call(1), 1),
            (call(5), 2),
            (call(14), 3),
        ]);
        let counts = ArmCounts::between(&before, &now).unwrap();
        assert_eq!(
            (
                counts.finished,
                counts.errors,
                counts.client_errors,
                counts.abandoned
            ),
            (25, 3, 5, 3)
        );
        assert!(
            ArmCounts::between(&now, &before).is_none(),
            "counters that fell began anew"
        );
    }
}
