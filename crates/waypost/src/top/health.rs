//! The health of a gateway in one word, with the reasons.

use waypost_admin::api::status::Status;
use waypost_admin::reasons::Severity;
use waypost_admin::stats::ArmStats;
use waypost_rollout::words;

use super::draw::text;
use super::model::Row;
use crate::output::count;

/// Failed requests of a route or an arm in the last minute from which on it is failing, if they are this share too.
const FAILED_MIN: u64 = 5;
/// The share of failed requests from which on it is failing.
const FAILED_SHARE: f64 = 0.01;
/// The evidence against a rollout from which on luck is spoken of.
const SUSPICION: f64 = 2.0;

/// The health, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Health {
    /// Nothing is wrong.
    Healthy,
    /// Something needs a look, but requests succeed.
    Degraded,
    /// Requests fail.
    Failing,
}

impl Health {
    /// The word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Degraded => "DEGRADED",
            Self::Failing => "FAILING",
        }
    }
}

/// The health with its reasons, the worst first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) health: Health,
    pub(super) reasons: Vec<String>,
}

/// The reason why a route is failing, if it is, by its arms in the last minute.
pub(super) fn failing(route: &str, arms: &[ArmStats]) -> Option<String> {
    // Requests to an arm of weight 0 are past, or were sent there by testers.
    let used: Vec<&ArmStats> = arms.iter().filter(|arm| arm.weight != Some(0)).collect();
    let worst = fails_more(arms);
    let worst = used.iter().find(|arm| worst == Some(&*arm.service));
    if let Some(worst) = worst.filter(|arm| is_failing(arm.requests, arm.errors)) {
        let others: Vec<&&ArmStats> = used
            .iter()
            .filter(|arm| arm.service != worst.service && arm.requests > 0)
            .collect();
        let others = match &others[..] {
            [other] => format!(", {} {}", service_of(other), text::percent(other.error_share)),
            _ => String::new(),
        };
        let share = text::percent(worst.error_share);
        return Some(format!(
            "{route}: {} fails {share} of its requests{others}",
            service_of(worst)
        ));
    }
    let requests: u64 = used.iter().map(|arm| arm.requests).sum();
    let failures: u64 = used.iter().map(|arm| arm.errors).sum();
    let share = failures as f64 / requests.max(1) as f64;
    is_failing(requests, failures).then(|| format!("{route}: {} of requests fail", text::percent(share)))
}

/// The name of an arm; requests that reached none are the gateway's own.
pub(super) fn service_of(arm: &ArmStats) -> &str {
    match &*arm.service {
        "" => "the gateway",
        service => service,
    }
}

/// True if so many failed requests may be no accident.
pub(super) fn is_suspect(failures: u64) -> bool {
    failures >= FAILED_MIN
}

/// True if so many failed requests are no accident.
fn is_failing(requests: u64, failures: u64) -> bool {
    is_suspect(failures) && failures as f64 >= FAILED_SHARE * requests as f64
}

/// Judges the gateway by its own reasons, and by the arms of the routes that were looked at.
pub(super) fn judge(status: &Status, rows: &[Row]) -> Verdict {
    let mut reasons: Vec<(Health, String)> = Vec::new();
    let failing = rows.iter().filter_map(|row| row.failing.as_ref());
    reasons.extend(failing.map(|reason| (Health::Failing, reason.clone())));
    for reason in &status.reasons {
        let is_of_requests = matches!(&*reason.kind, "route" | "service");
        // The arms of a route say more than its sum, and which of its failures are past.
        let is_judged = |name: &String| rows.iter().any(|row| row.is_judged && row.name == *name);
        if reason.kind == "route" && reason.name.as_ref().is_some_and(is_judged) {
            continue;
        }
        let health = match is_of_requests && (reason.kind == "route" || reason.severity == Severity::Error) {
            true => Health::Failing,
            false => Health::Degraded,
        };
        reasons.push((health, reason.message.replace('`', "")));
    }
    for rollout in &status.rollouts {
        if rollout.evidence >= SUSPICION {
            let told = format!(
                "rollout of {} on {}: luck alone makes a good version look this bad in {} rollouts",
                rollout.canary,
                rollout.route,
                words::luck(rollout.evidence)
            );
            reasons.push((Health::Degraded, told));
        }
    }
    if status.access_log_lost > 0 {
        let lines = usize::try_from(status.access_log_lost).unwrap_or(usize::MAX);
        reasons.push((
            Health::Degraded,
            format!("{} of the access log lost", count(lines, "line")),
        ));
    }
    // Stable: within one health the order of above.
    reasons.sort_by_key(|(health, _)| std::cmp::Reverse(*health));
    Verdict {
        health: reasons.first().map_or(Health::Healthy, |(health, _)| *health),
        reasons: reasons.into_iter().map(|(_, reason)| reason).collect(),
    }
}

/// The arms that fail more often than every other one, beyond luck: their intervals do not overlap.
pub(super) fn fails_more(arms: &[ArmStats]) -> Option<&str> {
    let with_requests = || arms.iter().filter(|arm| arm.requests > 0);
    let worst = with_requests().max_by(|a, b| a.error_interval.0.total_cmp(&b.error_interval.0))?;
    let mut others = with_requests()
        .filter(|arm| arm.service != worst.service)
        .peekable();
    others.peek()?;
    others
        .all(|other| other.error_interval.1 < worst.error_interval.0)
        .then_some(&*worst.service)
}

#[cfg(test)]
mod tests {
    use waypost_admin::reasons::Reason;

    use super::super::samples;
    use super::*;

    #[test]
    fn word_is_that_of_the_worst_reason() {
        let rows = [samples::row("orders", 1_000, 4), samples::row("users", 600, 126)];
        let mut status = samples::status();
        let verdict = judge(&status, &rows[..1]);
        assert_eq!((verdict.health, verdict.reasons.len()), (Health::Healthy, 0));
        let reason = |severity, kind: &str, name: Option<&str>, message: &str| Reason {
            severity,
            kind: kind.to_owned(),
            name: name.map(str::to_owned),
            service: None,
            message: message.to_owned(),
        };
        status.reasons = vec![
            reason(Severity::Error, "state", None, "`/var` cannot be written"),
            // That of a route whose arms are known is told by them.
            reason(Severity::Warning, "route", Some("orders"), "past"),
            reason(Severity::Warning, "route", Some("users"), "126 failed"),
        ];
        let verdict = judge(&status, &rows);
        assert_eq!(verdict.health, Health::Failing);
        assert_eq!(
            verdict.reasons,
            [
                "users: users-v2 fails 41.7 % of its requests, users-v1 0.33 %",
                "/var cannot be written"
            ]
        );
        status.reasons.truncate(1);
        assert_eq!(judge(&status, &[]).health, Health::Degraded);
        status.reasons = vec![reason(Severity::Error, "service", Some("a"), "none of 2")];
        assert_eq!(judge(&status, &[]).health, Health::Failing);
        status.reasons = vec![reason(Severity::Warning, "route", Some("a"), "7 of 9 failed")];
        assert_eq!(judge(&status, &[]).health, Health::Failing);
    }

    #[test]
    fn route_fails_by_an_arm_or_as_a_whole() {
        let check = |counts: [(u64, u64, u64); 2], expected: Option<&str>| {
            let arms: Vec<ArmStats> = counts
                .iter()
                .zip(["v1", "v2"])
                .map(|((weight, requests, failures), service)| ArmStats {
                    weight: Some(*weight),
                    ..samples::arm(service, *requests, *failures)
                })
                .collect();
            assert_eq!(failing("r", &arms).as_deref(), expected, "{counts:?}");
        };
        check(
            [(95, 6_000, 0), (5, 400, 80)],
            Some("r: v2 fails 20.0 % of its requests, v1 0 %"),
        );
        check([(100, 6_000, 0), (0, 400, 80)], None);
        check([(50, 400, 40), (50, 400, 40)], Some("r: 10.0 % of requests fail"));
        check([(50, 400, 2), (50, 400, 2)], None);
        check([(1, 6_000, 30), (0, 0, 0)], None);
        check([(1, 300, 30), (0, 0, 0)], Some("r: 10.0 % of requests fail"));
    }

    #[test]
    fn arm_fails_more_if_it_is_no_luck() {
        let check = |counts: [(u64, u64); 2], expected: Option<&str>| {
            let arms = [
                samples::arm("v1", counts[0].0, counts[0].1),
                samples::arm("v2", counts[1].0, counts[1].1),
            ];
            assert_eq!(fails_more(&arms), expected, "{counts:?}");
        };
        check([(1_000, 2), (100, 20)], Some("v2"));
        check([(1_000, 2), (10, 1)], None);
        check([(1_000, 2), (0, 0)], None);
        check([(1_000, 0), (1_000, 0)], None);
    }
}
