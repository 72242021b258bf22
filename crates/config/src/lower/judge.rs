//! Judges of rollouts.

use std::time::Duration;

use waypost_plan::duration;
use waypost_rollout::evidence::betting::{RATE_MAX, Tolerance};
use waypost_rollout::judge::settings::JudgeSettings;
use waypost_rollout::ramp::plan::{Percent as Share, Proof, RampPlan, Then};

use crate::decimal::Decimal;
use crate::diagnostic::Code;
use crate::document;
use crate::either::OffOr;
use crate::keys::At;
use crate::lower::whole;
use crate::numbers::Percent;
use crate::place::Span;
use crate::problems::Problems;

/// Requests without a failure that prove a margin of 1: the margin divides it.
const REQUESTS_TO_PROVE: f64 = 4.7;

/// Lowers the judge of a plan; `None` if it is off.
pub(super) fn of(
    written: &document::rollout::Rollout,
    warmup: u64,
    problems: &mut Problems,
) -> Option<JudgeSettings> {
    let mut settings = JudgeSettings {
        warmup,
        ..JudgeSettings::default()
    };
    let Some(judge) = &written.judge else {
        return Some(settings);
    };
    let OffOr::Mapping(given) = &judge.value else {
        return None;
    };
    set_probabilities(given, &mut settings, problems);
    set_rates(given, &mut settings, problems);
    set_latency(given, &mut settings, problems);
    // A quantile whose margin could not be read is judged by.
    let is_misread = given
        .latency
        .as_ref()
        .is_some_and(|latency| match &latency.value {
            OffOr::Off => false,
            OffOr::Mapping(margin) => margin.given.keys().next().is_some(),
        });
    if settings.metrics(1, false).is_empty() && !is_misread {
        problems
            .add(Code::BadRollout, judge.key, "the judge has nothing to judge by")
            .help(
                "leave one of `errors`, `client_errors`, `abandoned` and `latency` on, or write `judge: off`",
            );
    }
    Some(settings)
}

fn set_probabilities(
    given: &document::rollout::Judge,
    settings: &mut JudgeSettings,
    problems: &mut Problems,
) {
    for (field, given) in [
        (&mut settings.false_rollbacks, &given.false_rollbacks),
        (&mut settings.false_promotions, &given.false_promotions),
    ] {
        let Some(given) = given else { continue };
        if !(1..=50_000).contains(&given.value.0) {
            problems
                .add(
                    Code::OutOfRange,
                    given.span,
                    "the probability is out of range: 0.001 to 50 percent",
                )
                .help("write a percentage from `0.001` to `50`");
        }
        *field = share(given.value);
    }
    if let Some(patience) = &given.patience {
        settings.patience = whole(patience, 1, 3600, problems) as f64;
    }
}

fn set_rates(given: &document::rollout::Judge, settings: &mut JudgeSettings, problems: &mut Problems) {
    if let Some(errors) = &given.errors {
        settings.errors = None;
        if let OffOr::Mapping(margin) = &errors.value {
            let errors_of = tolerance(margin.ratio.as_deref(), margin.plus.as_deref(), 1.5, 0.005);
            warn_of_no_margin(errors_of, errors.key, problems);
            settings.errors = Some(errors_of);
            settings.errors_max = margin.max.as_ref().map(|max| share(max.value));
            if let Some(max) = margin.max.as_ref().filter(|max| max.value.0 == 0) {
                problems
                    .add(Code::NoMargin, max.key, "no version can be proved never to fail")
                    .help("tolerate a little, such as `max: 1`");
            } else if let (Some(max), Some(given)) = (settings.errors_max, &margin.max) {
                warn_of_wide_margin(max, given.key, problems);
            }
        }
    }
    for (field, given, plus) in [
        (&mut settings.client_errors, &given.client_errors, 0.05),
        (&mut settings.abandoned, &given.abandoned, 0.02),
    ] {
        let Some(given) = given else { continue };
        *field = None;
        if let OffOr::Mapping(margin) = &given.value {
            let tolerance = tolerance(margin.ratio.as_deref(), margin.plus.as_deref(), 2.0, plus);
            warn_of_no_margin(tolerance, given.key, problems);
            *field = Some(tolerance);
        }
    }
}

fn set_latency(given: &document::rollout::Judge, settings: &mut JudgeSettings, problems: &mut Problems) {
    let Some(latency) = &given.latency else { return };
    let OffOr::Mapping(margin) = &latency.value else {
        settings.latency = [None; 3];
        return;
    };
    if margin.given.keys().next().is_none() {
        return;
    }
    settings.latency = [&margin.p50, &margin.p90, &margin.p99].map(|margin| {
        let margin = margin.as_ref()?;
        if margin.value.0 == 0.0 {
            problems
                .add(
                    Code::NoMargin,
                    margin.key,
                    "no version can be proved to be no slower than the same version",
                )
                .help("tolerate a little, such as `20`");
        }
        Some(margin.value.0 / 100.0)
    });
}

fn tolerance(
    ratio: Option<&At<Decimal>>,
    plus: Option<&At<Percent>>,
    by_ratio: f64,
    by_plus: f64,
) -> Tolerance {
    Tolerance {
        ratio: ratio.map_or(by_ratio, |ratio| ratio.value.0),
        plus: plus.map_or(by_plus, |plus| share(plus.value)),
    }
}

/// The share that a percentage is.
fn share(percent: Percent) -> f64 {
    percent.0 as f64 / Percent::ALL.0 as f64
}

fn warn_of_no_margin(tolerance: Tolerance, key: Span, problems: &mut Problems) {
    if tolerance.ratio <= 1.0 && tolerance.plus == 0.0 {
        problems
            .add(
                Code::NoMargin,
                key,
                "no version can be proved to be better than the same version",
            )
            .help("tolerate a little, such as `{ ratio: 1.5, plus: 0.5 }`");
    } else {
        warn_of_wide_margin(tolerance.plus, key, problems);
    }
}

/// Warns of a margin beside which the judge tells nothing, neither against a version nor for it.
fn warn_of_wide_margin(plus: f64, key: Span, problems: &mut Problems) {
    if plus >= RATE_MAX {
        problems
            .add(
                Code::NoMargin,
                key,
                "so much is tolerated that no version can be proved to be within it",
            )
            .help("tolerate less than 95 percent, or write `off`");
    }
}

/// Warns of keys that a plan without a judge has no use for.
pub(super) fn warn_of_no_effect(written: &document::rollout::Rollout, problems: &mut Problems) {
    let Some(judge) = written
        .judge
        .as_ref()
        .filter(|judge| matches!(judge.value, OffOr::Off))
    else {
        return;
    };
    // Requests are waited for all the same, and a rollback is what may become of that.
    let has_effect = |key: &str| match key {
        "evidence" => written
            .evidence
            .as_ref()
            .is_some_and(|proof| proof.value == Proof::None),
        "hold" | "then" => written
            .then
            .as_ref()
            .is_some_and(|then| then.value == Then::RollBack),
        _ => false,
    };
    let keys: Vec<&str> = ["evidence", "warmup", "hold", "then"]
        .into_iter()
        .filter(|key| written.given.places(&[key]).next().is_some() && !has_effect(key))
        .collect();
    let Some((first, others)) = keys.split_first() else {
        return;
    };
    let list = match others.split_last() {
        None => format!("`{first}` does"),
        Some((last, [])) => format!("`{first}` and `{last}` do"),
        Some((last, others)) => format!("`{first}`, `{}` and `{last}` do", others.join("`, `")),
    };
    let mut problem = problems.add(
        Code::NoEffect,
        judge.key,
        format!("without a judge, {list} nothing"),
    );
    for place in written.given.places(&keys) {
        problem = problem.label(place, "this is about evidence, and there is none");
    }
    problem.help("leave them out, or `judge: off`");
}

/// Warns of the first step, with its place in `spans`, that cannot be proved within `hold`.
pub(super) fn warn_of_slow_proof(
    ramp: &RampPlan,
    spans: &[Span],
    judge: &JudgeSettings,
    problems: &mut Problems,
) {
    // The metric with the smallest margin needs the most requests.
    let metrics = judge.metrics(1, false).into_iter();
    let slowest = metrics
        .map(|(kind, metric)| (kind, metric.tolerance.plus))
        .filter(|(_, plus)| *plus > 0.0)
        .min_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(kind, plus)| (kind, (REQUESTS_TO_PROVE / plus).ceil()));
    let time = |seconds: u64| duration::format(Duration::from_secs(seconds));
    for (step, span) in spans.iter().enumerate() {
        let rules = ramp.rules(step);
        if rules.proof == Proof::None || ramp.steps[step].percent >= Share::ALL {
            continue;
        }
        let least = rules.at_least.max(ramp.warmup);
        if least >= ramp.hold {
            problems
                .add(
                    Code::SlowProof,
                    *span,
                    format!(
                        "`hold` ends after {}, before this step can: it takes {} at least",
                        time(ramp.hold),
                        time(least)
                    ),
                )
                .help(format!(
                    "raise `hold` above {}, or lower `at_least` and `warmup`",
                    time(least)
                ));
            return;
        }
        let Some((kind, needed)) = slowest else { continue };
        // The rate of the canary is not known; `requests` in `at_least` is the one that the plan expects.
        let rate = rules.requests / rules.at_least.max(1) as f64;
        let seconds = needed / rate;
        if rate > 0.0 && seconds > ramp.hold as f64 {
            problems
                .add(
                    Code::SlowProof,
                    *span,
                    format!(
                        "the proof of `{}` takes longer than `hold`: it needs about {needed} requests of the canary, \
                         which are {} at the rate of `requests` in `at_least`",
                        kind.as_str(),
                        time(seconds.ceil() as u64)
                    ),
                )
                .help("tolerate more, raise `hold`, or write `evidence: none`");
            return;
        }
    }
}
