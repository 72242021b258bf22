//! The health of a gateway in one word, with the reasons that it gives.

use waypost_admin::api::status::Status;
use waypost_admin::reasons::Word;
use waypost_admin::stats::ArmStats;

use crate::output::count;

/// The word.
pub(super) fn word(word: Word) -> &'static str {
    match word {
        Word::Healthy => "HEALTHY",
        Word::Attention => "ATTENTION",
        Word::Degraded => "DEGRADED",
        Word::Failing => "FAILING",
    }
}

/// The reasons, the worst first.
pub(super) fn reasons(status: &Status) -> Vec<String> {
    let reasons = status.reasons.iter().map(|reason| {
        let message = reason.message.replace('`', "");
        match &*reason.kind {
            // A line of a small terminal has no room for more words.
            "route" => {
                message
                    .strip_prefix("route ")
                    .unwrap_or(&message)
                    .replacen(" requests failed", " failed", 1)
            }
            _ => message,
        }
    });
    let lost = (status.access_log_lost > 0).then(|| {
        let lines = usize::try_from(status.access_log_lost).unwrap_or(usize::MAX);
        format!("{} of the access log lost", count(lines, "line"))
    });
    reasons.chain(lost).collect()
}

/// The name of an arm; requests that reached none are the gateway's own.
pub(super) fn service_of(arm: &ArmStats) -> &str {
    match &*arm.service {
        "" => "the gateway",
        service => service,
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
    use super::super::samples;
    use super::*;

    #[test]
    fn reasons_are_those_of_the_gateway() {
        let mut status = samples::status();
        assert_eq!(reasons(&status), [""; 0]);
        status.reasons.push(samples::failing("users", 600, 126));
        status.access_log_lost = 1;
        assert_eq!(
            reasons(&status),
            [
                "users: 126 of 600 failed in the last 60 s: 125 of 300 at users-v2, 1 of 300 at users-v1",
                "1 line of the access log lost"
            ]
        );
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
