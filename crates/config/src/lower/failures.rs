//! Failures, as the judge of a rollout counts them.

use std::time::Duration;

use waypost_plan::failures::{FailureRule, STATUSES, StatusSet};

use crate::diagnostic::Code;
use crate::document;
use crate::either::OffOr;
use crate::keys::At;
use crate::lower::duration_up_to;
use crate::lower::effect::report_repeated;
use crate::problems::Problems;
use crate::statuses::Statuses;

/// Limits of the time after which a request without a response counts as failed.
const LATE_MIN: Duration = Duration::from_millis(1);
const LATE_MAX: Duration = Duration::from_secs(60 * 60);
/// Statuses of the gateway's own responses in place of a service, which are failures unless they are excluded.
const OWN: [u16; 3] = [502, 503, 504];

/// Lowers the failures of a plan's judge.
pub(super) fn of(written: &document::rollout::Rollout, problems: &mut Problems) -> FailureRule {
    let mut rule = FailureRule::default();
    let Some(judge) = &written.judge else {
        return rule;
    };
    let OffOr::Mapping(given) = &judge.value else {
        return rule;
    };
    if let Some(late) = &given.late {
        rule.late = Some(duration_up_to(late, LATE_MIN, LATE_MAX, problems));
        if let Some(errors) = &given.errors
            && matches!(errors.value, OffOr::Off)
        {
            problems
                .add(
                    Code::NoEffect,
                    late.key,
                    "late requests count as failed, and failures are not judged",
                )
                .label(errors.key, "they are off")
                .help("leave `late` out, or judge `errors`");
        }
    }
    if let Some(errors) = &given.errors
        && let OffOr::Mapping(margin) = &errors.value
    {
        set_statuses(margin, &mut rule, problems);
    }
    rule
}

fn set_statuses(margin: &document::rollout::ErrorMargin, rule: &mut FailureRule, problems: &mut Problems) {
    let statuses = margin.statuses.as_ref().map(|statuses| &statuses.value.0[..]);
    let exclude = margin.exclude.as_ref().map(|exclude| &exclude.value.0[..]);
    if let Some(statuses) = statuses {
        rule.statuses = set_of(statuses);
        report_repeated(statuses, Statuses::covers, problems);
    }
    let Some(exclude) = exclude else { return };
    rule.exclude = set_of(exclude);
    report_repeated(exclude, Statuses::covers, problems);
    let mut contradicts = false;
    for excluded in exclude {
        let listed = statuses.into_iter().flatten();
        if let Some(listed) = { listed }.find(|listed| excluded.value.covers(&listed.value)) {
            contradicts = true;
            problems
                .add(
                    Code::BadRollout,
                    excluded.span,
                    "a status cannot be both a failure and excluded",
                )
                .label(listed.span, "it is a failure here")
                .help("leave it out of one of the two lists");
        } else if !excluded
            .value
            .0
            .clone()
            .any(|status| rule.statuses.contains(status) || OWN.contains(&status))
        {
            problems
                .add(
                    Code::NoEffect,
                    excluded.span,
                    "this is excluded from the failures, and is none",
                )
                .help("leave it out of `exclude`; failures are the class `5xx`, or what `statuses` lists");
        }
    }
    let counts = |status: u16| rule.statuses.contains(status) && !rule.exclude.contains(status);
    if !contradicts && !{ STATUSES }.any(counts) {
        let place = margin.exclude.as_ref().map(|exclude| exclude.key);
        if let Some(place) = place {
            problems
                .add(
                    Code::BadRollout,
                    place,
                    "all statuses of failures are excluded, so no response fails",
                )
                .help("exclude fewer, or write `errors: off`");
        }
    }
}

fn set_of(list: &[At<Statuses>]) -> StatusSet {
    let mut set = StatusSet::default();
    for statuses in list {
        set.add(statuses.value.0.clone());
    }
    set
}
