//! The next step of a rollout: what it waits for, in words.

use waypost_rollout::judge::settings::MetricKind;
use waypost_rollout::ramp::{Lack, Stop};
use waypost_rollout::words;

use crate::control::rollout::Active;

/// The most instances that are named in a sentence.
const NAMED_MAX: usize = 4;

/// The next step and its conditions: "to 25 % when failures are shown to be tolerable; needs about 900 more requests, 3
/// minutes at this rate".
pub(super) fn sentence(route: &str, active: &Active, lacks: &[Lack]) -> String {
    let next = active.ramp.next_percent();
    let next = next.map_or_else(|| "done".to_owned(), |next| format!("to {next}"));
    let proofs = proofs(lacks);
    let mut conditions = Vec::new();
    // One condition for all latencies.
    let mut has_comparison = false;
    if !proofs.is_empty() {
        let kinds: Vec<String> = proofs.iter().map(|kind| name(*kind).to_owned()).collect();
        let are = match &proofs[..] {
            [MetricKind::Latency(_)] => "is",
            _ => "are",
        };
        conditions.push(format!("{} {are} shown to be tolerable", words::list(&kinds)));
    }
    for lack in lacks {
        conditions.extend(match lack {
            Lack::Time(seconds) => Some(format!("{} more have passed", words::duration(*seconds))),
            Lack::Requests(_) if !proofs.is_empty() => None,
            Lack::Requests(requests) => Some(format!(
                "{} more requests are counted",
                words::count(requests.ceil())
            )),
            Lack::Proof(..) => None,
            Lack::Comparison(..) if has_comparison => None,
            Lack::Comparison(..) => {
                has_comparison = true;
                Some(compared(active, lacks))
            }
            Lack::Suspicion(_) => Some(format!("less speaks against {}", active.canary())),
            Lack::SickBaseline => Some(format!("{} fails less often itself", active.names().baseline)),
            Lack::Window(_) => None,
            Lack::Traffic(share) => Some(format!(
                "{}, without which {} of the requests are missing",
                match &active.missing[..] {
                    [one] => format!("instance {one} answers"),
                    several => format!("the instances {} answer", named(several)),
                },
                words::percent(*share)
            )),
            Lack::Approval => Some(format!("it is approved: `waypost rollout approve {route}`")),
            Lack::Stopped(Stop::Paused) => Some(format!("it is resumed: `waypost rollout resume {route}`")),
            Lack::Stopped(Stop::PlanChanged) => Some(format!(
                "the changed plan is taken: `waypost rollout resume {route}`"
            )),
        });
    }
    let mut text = match &conditions[..] {
        [] => next,
        conditions => format!("{next} when {}", words::list(conditions)),
    };
    if lacks.iter().any(|lack| matches!(lack, Lack::Proof(_, None))) {
        text.push_str("; the rates so far do not show it");
    } else if let Some(needed) = needed(lacks) {
        let time = match seconds(active, needed) {
            Some(seconds) => format!("{} at this rate", words::period(seconds)),
            None => format!("and {} gets none", active.canary()),
        };
        text.push_str(&format!(
            "; needs about {} more requests, {time}",
            words::estimate(needed)
        ));
    }
    for lack in lacks {
        if let Lack::Window(_) = lack {
            text.push_str(&format!("; {}", in_words(lack, active)));
        }
    }
    text
}

/// The conditions of the next step that do not hold: "about 900 more requests to users-v2 (6 minutes) until failures are shown to be within
/// tolerance".
pub(super) fn missing(active: &Active, lacks: &[Lack]) -> String {
    let mut parts = Vec::new();
    let kinds: Vec<String> = proofs(lacks)
        .into_iter()
        .map(|kind| name(kind).to_owned())
        .collect();
    if lacks.iter().any(|lack| matches!(lack, Lack::Proof(_, None))) {
        parts.push(format!(
            "the rates so far do not show {} to be within tolerance",
            words::list(&kinds)
        ));
    } else if let (false, Some(needed)) = (kinds.is_empty(), needed(lacks)) {
        let time = seconds(active, needed);
        let time = time.map_or_else(|| "it gets none".to_owned(), words::period);
        parts.push(format!(
            "about {} more requests to {} ({time}) until {} are shown to be within tolerance",
            words::estimate(needed),
            active.canary(),
            words::list(&kinds)
        ));
    }
    let others = lacks.iter().filter(|lack| match lack {
        Lack::Proof(..) => false,
        Lack::Requests(_) => kinds.is_empty(),
        _ => true,
    });
    parts.extend(others.map(|lack| in_words(lack, active)));
    parts.join("; ")
}

/// A condition of the next step that does not hold.
pub(super) fn in_words(lack: &Lack, active: &Active) -> String {
    match lack {
        Lack::Time(seconds) => format!("{} more in this step", words::duration(*seconds)),
        Lack::Requests(requests) => format!(
            "{} more requests to {} in this step",
            words::count(requests.ceil()),
            active.canary()
        ),
        Lack::Proof(kind, Some(needed)) => {
            let rate = active.ramp.requests() / active.ramp.age().max(1) as f64;
            let time = match rate > 0.0 {
                true => format!(
                    ", {} at this rate",
                    words::duration((needed / rate).ceil() as u64)
                ),
                false => String::new(),
            };
            format!(
                "{} to be shown tolerable: about {} more requests to {}{time}",
                kind.as_str(),
                words::count(needed.ceil()),
                active.canary()
            )
        }
        Lack::Comparison(kind, missing) => format!(
            "{} to be compared: about {} more requests to {} within some minutes",
            kind.as_str(),
            words::estimate(*missing),
            active.names().baseline
        ),
        Lack::Proof(kind, None) => format!(
            "{} to be shown tolerable, which these rates are not",
            kind.as_str()
        ),
        Lack::Suspicion(evidence) => format!(
            "too much speaks against {}: luck does this in {} rollouts",
            active.canary(),
            words::luck(*evidence)
        ),
        Lack::SickBaseline => format!(
            "{} fails too often itself to compare with",
            active.names().baseline
        ),
        Lack::Window(opening) => words::opening(&active.ramp.plan().windows[opening.window], *opening),
        Lack::Traffic(share) => format!(
            "{}, and {} of the requests are missing: nothing is decided without more than a tenth of them",
            match &active.missing[..] {
                [one] => format!("instance {one} does not answer"),
                several => format!("the instances {} do not answer", named(several)),
            },
            words::percent(*share)
        ),
        Lack::Approval => "the next step needs `waypost rollout approve`".to_owned(),
        Lack::Stopped(Stop::Paused) => "paused; `waypost rollout resume` goes on".to_owned(),
        Lack::Stopped(Stop::PlanChanged) => format!(
            "{}; `waypost rollout resume` goes on with the new config",
            active.change.as_deref().unwrap_or("the config was changed")
        ),
    }
}

/// The requests of the canary that are missing; `None` if it is not known, or none are.
pub(super) fn needed(lacks: &[Lack]) -> Option<f64> {
    let needed = lacks.iter().filter_map(|lack| match lack {
        Lack::Requests(requests) => Some(*requests),
        Lack::Proof(_, needed) => *needed,
        _ => None,
    });
    needed.reduce(f64::max)
}

/// The seconds that so many requests of the canary take at the rate of this step; `None` if it gets none.
pub(super) fn seconds(active: &Active, requests: f64) -> Option<u64> {
    let rate = active.ramp.requests() / active.ramp.age().max(1) as f64;
    (rate > 0.0).then(|| (requests / rate).ceil() as u64)
}

/// Ids of instances in a sentence.
fn named(ids: &[String]) -> String {
    let mut named: Vec<String> = ids.iter().take(NAMED_MAX).cloned().collect();
    if let Some(others) = ids.len().checked_sub(NAMED_MAX).filter(|others| *others > 0) {
        named.push(format!("{others} more"));
    }
    words::list(&named)
}

fn proofs(lacks: &[Lack]) -> Vec<MetricKind> {
    let kinds = lacks.iter().filter_map(|lack| match lack {
        Lack::Proof(kind, _) => Some(*kind),
        _ => None,
    });
    kinds.collect()
}

/// The condition that latencies are compared, in a sentence.
fn compared(active: &Active, lacks: &[Lack]) -> String {
    let waiting = lacks.iter().filter_map(|lack| match lack {
        Lack::Comparison(kind, missing) => Some((kind.as_str().to_owned(), *missing)),
        _ => None,
    });
    let (kinds, missing): (Vec<String>, Vec<f64>) = waiting.unzip();
    format!(
        "{} can be compared, after about {} more requests to {} within some minutes",
        words::list(&kinds),
        words::estimate(missing.into_iter().fold(0.0, f64::max)),
        active.names().baseline
    )
}

/// A metric in a sentence.
fn name(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Errors => "failures",
        MetricKind::ErrorsMax => "failures below `max`",
        MetricKind::ClientErrors => "4xx responses",
        MetricKind::Abandoned => "clients that leave",
        MetricKind::Latency(quantile) => quantile.as_str(),
    }
}
