//! Reports of invalid responses to the operator, at a bounded rate.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use waypost_wire::response::fault::ResponseRule;

/// Interval in which one invalid response of a kind is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// The times of the last reports, by rule, shared by all workers.
#[derive(Debug)]
pub(crate) struct FaultReports {
    began: Instant,
    /// Milliseconds since `began`, plus one; 0 for never.
    last_ms: OnceLock<Box<[AtomicU64]>>,
}

impl FaultReports {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            began: now,
            last_ms: OnceLock::new(),
        }
    }

    /// Returns true if a response that broke `rule` is to be reported now: for one of several workers, once in
    /// [`REPORT_INTERVAL`].
    pub(crate) fn is_due(&self, rule: ResponseRule, now: Instant) -> bool {
        let all = self
            .last_ms
            .get_or_init(|| ResponseRule::ALL.iter().map(|_| AtomicU64::new(0)).collect());
        let since = now.saturating_duration_since(self.began);
        let now_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX - 1) + 1;
        let last = &all[rule as usize];
        let last_ms = last.load(Ordering::Relaxed);
        let is_recent =
            last_ms != 0 && u128::from(now_ms - last_ms.min(now_ms)) < REPORT_INTERVAL.as_millis();
        !is_recent
            && last
                .compare_exchange(last_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_reported_once_a_minute() {
        let began = Instant::now();
        let reports = FaultReports::new(began);
        let due = |rule, seconds| reports.is_due(rule, began + Duration::from_secs(seconds));
        assert!(due(ResponseRule::LineEnd, 0));
        assert!(!due(ResponseRule::LineEnd, 0) && !due(ResponseRule::LineEnd, 59));
        assert!(due(ResponseRule::ChunkSize, 59));
        assert!(due(ResponseRule::LineEnd, 60));
        assert!(!due(ResponseRule::LineEnd, 61) && !due(ResponseRule::ChunkSize, 61));
    }
}
