//! The reasons for which a gateway is not quite well, in one list.

pub(crate) mod gathered;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_proxy::generation::Generation;
use waypost_upstream::service::ServiceState;

use crate::fleet::FleetStatus;
use crate::report::{KeySetReport, Report};
use crate::stats::failed_share;
use crate::timeline::Timeline;
use crate::{arms, certificates};

/// The window of requests that fail, in seconds.
const WINDOW: u64 = 60;
/// Failures in the window from which on a route is a reason.
const FAILURES_LEAST: u32 = 5;
/// The share of failures from which on a route is a reason.
const SHARE_LEAST: f64 = 0.01;
/// The share of failures that is more than a warning.
const SHARE_ERROR: f64 = 0.5;
/// Reasons of one kind at most; the others are counted.
const EACH_MAX: usize = 10;
/// The time for which looks at all services and routes hold.
const HELD: Duration = Duration::from_secs(1);

/// A reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// `error` if requests or changes fail, or will unless something is done; else `warning`.
    pub severity: Severity,
    /// `config`, `state`, `file`, `upgrade`, `pending`, `draining`, `certificate`, `order`, `fleet`, `service`, `route` or `rollout`.
    pub kind: String,
    /// The name of the service, the route or the listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The service whose requests fail, of a route with one service, or with one that fails more than another by more than chance
    /// explains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// True if this service gets no requests any more: its failures are past, and stay in the window for a minute.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub past: bool,
    /// The reason, in one sentence.
    pub message: String,
}

impl Reason {
    /// True if it is that most requests of a route or a service fail.
    pub(crate) fn is_failing(&self) -> bool {
        Word::of(std::slice::from_ref(self)) == Word::Failing
    }
}

/// The health of the gateway in one word, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// There is no reason to look.
    #[default]
    Healthy,
    /// Requests fare well, but the gateway needs a look.
    Attention,
    /// Some requests fail, or would if more went wrong.
    Degraded,
    /// Requests fail: at least half of those of a route or of one of its services, or all of a service without endpoints.
    Failing,
}

impl Word {
    /// The word for these reasons.
    pub fn of(reasons: &[Reason]) -> Self {
        let of_each = reasons.iter().map(|reason| {
            let is_of_requests = matches!(&*reason.kind, "service" | "route" | "rollout") && !reason.past;
            match (is_of_requests, reason.severity) {
                (false, _) => Self::Attention,
                (true, Severity::Warning) => Self::Degraded,
                (true, Severity::Error) => Self::Failing,
            }
        });
        of_each.max().unwrap_or_default()
    }
}

/// The severity of a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something fails.
    Error,
    /// Something needs a look.
    Warning,
}

/// Reasons that take a look at all services and routes, as they were lately.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<Option<(Instant, u64, Vec<Reason>)>>);

impl Held {
    /// The reasons of certificates, services and routes. `timeline` is called for a new look.
    pub(crate) fn of<'t, T: std::ops::Deref<Target = Timeline> + 't>(
        &self,
        generation: &Generation,
        timeline: impl FnOnce() -> T,
    ) -> Vec<Reason> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, revision, reasons)) = &*held
            && at.elapsed() < HELD
            && *revision == generation.number()
        {
            return reasons.clone();
        }
        let mut reasons = of_certificates(generation);
        reasons.extend(of_services(generation));
        reasons.extend(of_routes(&timeline(), generation));
        *held = Some((Instant::now(), generation.number(), reasons.clone()));
        reasons
    }
}

/// The reasons of the fleet that the gateway belongs to.
pub(crate) fn of_fleet(fleet: &FleetStatus) -> Vec<Reason> {
    let troubles = fleet.away().into_iter().chain(fleet.troubles.iter().cloned());
    let reasons = troubles.map(|message| reason(Severity::Error, "fleet", None, message));
    bounded(reasons.collect(), "troubles of the fleet")
}

/// The reasons that the control plane reports.
pub(crate) fn of_report(report: &Report, revision: u64, is_draining: bool) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut add = |severity, kind: &str, message: String| reasons.push(reason(severity, kind, None, message));
    if let Some(failed) = &report.failed {
        add(
            Severity::Error,
            "config",
            format!(
                "the config was refused, revision {revision} stays active: {}",
                failed.message
            ),
        );
    }
    let state = &report.state;
    if !state.writable && !state.directory.is_empty() {
        add(
            Severity::Error,
            "state",
            format!(
                "`{}` cannot be written, so dials and revisions are refused",
                state.directory
            ),
        );
    }
    for trouble in &state.troubles {
        add(Severity::Error, "state", trouble.clone());
    }
    for damaged in &state.damaged {
        add(
            Severity::Warning,
            "state",
            format!(
                "`{}` is damaged and was set aside as `{}`",
                damaged.file, damaged.now
            ),
        );
    }
    for stale in &report.stale_files {
        add(Severity::Error, "file", stale.clone());
    }
    for stale in report.key_sets.values().filter_map(KeySetReport::stale) {
        add(Severity::Error, "key_set", stale);
    }
    let failing = report.orders.values().filter_map(|order| {
        let message = order.failing()?;
        Some(reason(Severity::Error, "order", None, message))
    });
    let failing = bounded(failing.collect(), "certificates whose orders fail");
    if let Some(failed) = &report.failed_upgrade {
        add(
            Severity::Warning,
            "upgrade",
            format!("the last upgrade failed and changed nothing: {}", failed.message),
        );
    }
    if let Some(pending) = &report.pending {
        add(
            Severity::Warning,
            "pending",
            format!(
                "revision {} by {} goes back to revision {} at {:.0} unless it is confirmed",
                pending.revision, pending.by, pending.reverts_to, pending.reverts_at
            ),
        );
    }
    if is_draining {
        add(
            Severity::Warning,
            "draining",
            "the gateway is stopping".to_owned(),
        );
    }
    let suspected = report.rollouts.iter().filter_map(|rollout| {
        let suspicion = rollout.suspicion.as_ref()?;
        let message = format!(
            "rollout of `{}` on `{}`: {suspicion}",
            rollout.canary, rollout.route
        );
        Some(reason(
            Severity::Warning,
            "rollout",
            Some(rollout.route.clone()),
            message,
        ))
    });
    reasons.extend(bounded(suspected.collect(), "rollouts under suspicion"));
    reasons.extend(failing);
    reasons
}

fn of_certificates(generation: &Generation) -> Vec<Reason> {
    let reasons = certificates::of(generation)
        .into_iter()
        .filter_map(|certificate| {
            let names = certificate.names.join(", ");
            if certificate.is_placeholder() {
                let message = format!(
                    "a self-signed certificate is served for {names}: the authority has issued none yet"
                );
                return Some(reason(
                    Severity::Warning,
                    "certificate",
                    Some(certificate.listener),
                    message,
                ));
            }
            if !certificate.ends_soon {
                return None;
            }
            let (severity, ends) = match certificate.days {
                ..0 => (Severity::Error, "has ended".to_owned()),
                0 => (Severity::Error, "ends within a day".to_owned()),
                1 => (Severity::Warning, "ends in a day".to_owned()),
                days => (Severity::Warning, format!("ends in {days} days")),
            };
            let message = match &certificate.file {
                Some(file) => format!("the certificate `{file}` of {names} {ends}"),
                None => format!("the certificate of {names} {ends}"),
            };
            Some(reason(
                severity,
                "certificate",
                Some(certificate.listener),
                message,
            ))
        });
    bounded(reasons.collect(), "certificates that need a look")
}

fn of_services(generation: &Generation) -> Vec<Reason> {
    let now = tokio::time::Instant::now();
    let reasons = generation
        .services()
        .iter()
        .filter_map(|service| of_service(service, now));
    bounded(
        reasons.collect(),
        "services with endpoints that are not available",
    )
}

fn of_service(running: &ServiceState, now: tokio::time::Instant) -> Option<Reason> {
    let standing = running.standing(now);
    let (available, all) = (standing.available, standing.primaries);
    let name = &running.service().name;
    let (severity, message) = if !running.has_endpoints() {
        let message = match running.service().endpoints.is_empty() {
            true => return None,
            false => "no name of an endpoint resolves".to_owned(),
        };
        (Severity::Error, message)
    } else if running.is_panic() {
        let message = format!("{available} of {all} endpoints are available, too few, so all are used");
        (Severity::Error, message)
    } else if all == 0 || available == all {
        return None;
    } else if available == 0 {
        (Severity::Error, format!("none of {all} endpoints is available"))
    } else {
        (
            Severity::Warning,
            format!("{available} of {all} endpoints are available"),
        )
    };
    let message = format!("service `{name}`: {message}");
    Some(reason(severity, "service", Some(name.to_string()), message))
}

fn of_routes(timeline: &Timeline, generation: &Generation) -> Vec<Reason> {
    let failing = timeline.recent(WINDOW);
    let failing =
        failing.filter(|(route, recent)| !route.is_empty() && recent.counts.failures >= FAILURES_LEAST);
    let mut failing: Vec<_> = failing.collect();
    failing.sort_unstable_by(|one, other| {
        (other.1.counts.failures, one.0).cmp(&(one.1.counts.failures, other.0))
    });
    let reasons = failing
        .into_iter()
        .filter_map(|(route, _)| of_route(timeline, generation, generation.compiled().position(route)?));
    bounded(reasons.collect(), "routes with failures")
}

/// The reason why the route at `position` needs a look, by its requests of the last minute: at least five of them failed,
/// and one in a hundred of all, or of those to one of its services. A small share of the requests may all fail.
pub(crate) fn of_route(timeline: &Timeline, generation: &Generation, position: usize) -> Option<Reason> {
    let route = &*generation.plan().routes()[position].matching.name;
    let recent = timeline.recent_of(route, WINDOW)?;
    if recent.counts.failures < FAILURES_LEAST {
        return None;
    }
    let arms = timeline.arms_of(route, WINDOW);
    let side = match recent.failure_share() >= SHARE_LEAST {
        true => Side::of(&arms),
        // Few of all requests fail: those of a service have to be enough by themselves.
        false => Side::of(&arms)
            .filter(|side| side.failures >= FAILURES_LEAST)
            .or_else(|| Side::worst(&arms)),
    };
    let weights = arms::of_route(generation, position);
    let is_past = side.as_ref().is_some_and(|side| {
        let mut live = weights.iter().filter(|arm| *arm.service == *side.service);
        live.all(|arm| arm.live == 0)
    });
    let of_side = side
        .as_ref()
        .filter(|side| !is_past && side.failures >= FAILURES_LEAST)
        .map_or(0.0, |side| {
            f64::from(side.failures) / f64::from(side.requests.max(1))
        });
    let share = recent.failure_share().max(of_side);
    if share < SHARE_LEAST {
        return None;
    }
    let severity = match share >= SHARE_ERROR && !is_past {
        true => Severity::Error,
        false => Severity::Warning,
    };
    let mut message = format!(
        "route `{route}`: {} of {} requests failed in the last {} s",
        recent.counts.failures, recent.counts.requests, recent.seconds
    );
    if let Some(side) = &side {
        message.push_str(&side.told);
        if is_past {
            message.push_str(&format!("; `{}` gets no requests now", side.service));
        }
    }
    Some(Reason {
        service: side.map(|side| side.service.to_string()),
        past: is_past,
        ..reason(severity, "route", Some(route.to_owned()), message)
    })
}

/// The arm of a route that is to blame, with its figures in words.
#[derive(Debug, PartialEq, Eq)]
struct Side {
    service: Arc<str>,
    requests: u32,
    failures: u32,
    told: String,
}

/// An arm with its requests and failures.
type Counts = (Arc<str>, u32, u32);

impl Side {
    /// The only service of `arms`, or the worst of them if another one fails less, by intervals that do not meet.
    fn of(arms: &[Counts]) -> Option<Self> {
        let (worst, others) = split(arms, |counts| interval(counts).0)?;
        let fails_more = |other: &&Counts| interval(other).1 < interval(worst).0;
        let stands_out = others.is_empty() || others.iter().any(fails_more);
        (worst.2 > 0 && stands_out).then(|| Self::told(worst, &others))
    }

    /// The service with the largest share of failures, of those with enough of them.
    fn worst(arms: &[Counts]) -> Option<Self> {
        let (worst, others) = split(arms, |counts| match counts.2 >= FAILURES_LEAST {
            true => f64::from(counts.2) / f64::from(counts.1.max(1)),
            false => 0.0,
        })?;
        (worst.2 >= FAILURES_LEAST).then(|| Self::told(worst, &others))
    }

    fn told((service, requests, failures): &Counts, others: &[&Counts]) -> Self {
        let told = match others {
            [] => format!(", {failures} at `{service}`"),
            [(other, of_other, failed)] => {
                format!(": {failures} of {requests} at `{service}`, {failed} of {of_other} at `{other}`")
            }
            _ => {
                let sum = |(all, failed), arm: &&Counts| (all + arm.1, failed + arm.2);
                let (all, failed) = others.iter().fold((0, 0), sum);
                format!(": {failures} of {requests} at `{service}`, {failed} of {all} at the others")
            }
        };
        Self {
            service: Arc::clone(service),
            requests: *requests,
            failures: *failures,
            told,
        }
    }
}

/// The services of `arms`: the one that is worst by `of`, and the others.
fn split(arms: &[Counts], of: impl Fn(&Counts) -> f64) -> Option<(&Counts, Vec<&Counts>)> {
    let arms = || arms.iter().filter(|(service, ..)| !service.is_empty());
    let worst = arms().max_by(|one, other| of(one).total_cmp(&of(other)))?;
    Some((worst, arms().filter(|arm| arm.0 != worst.0).collect()))
}

/// The interval of an arm's share of failures.
fn interval((_, requests, failures): &Counts) -> (f64, f64) {
    failed_share(u64::from(*failures), u64::from(*requests)).1
}

fn reason(severity: Severity, kind: &str, name: Option<String>, message: String) -> Reason {
    Reason {
        severity,
        kind: kind.to_owned(),
        name,
        service: None,
        past: false,
        message,
    }
}

/// Shortens a list of reasons of one kind, the severest of which stay.
fn bounded(mut reasons: Vec<Reason>, further: &str) -> Vec<Reason> {
    reasons.sort_by_key(|reason| reason.severity);
    if let Some(cut) = reasons.get(EACH_MAX) {
        let (severity, kind) = (cut.severity, cut.kind.clone());
        let message = format!("{} further {further}", reasons.len() - EACH_MAX);
        reasons.truncate(EACH_MAX);
        reasons.push(reason(severity, &kind, None, message));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_is_that_of_the_worst_reason() {
        let check = |reasons: &[(Severity, &str)], expected| {
            let reasons = reasons
                .iter()
                .map(|(severity, kind)| reason(*severity, kind, None, String::new()));
            let mut reasons: Vec<Reason> = reasons.collect();
            assert_eq!(Word::of(&reasons), expected, "{reasons:?}");
            // What is past is no more than a word about it.
            reasons.iter_mut().for_each(|reason| reason.past = true);
            assert_eq!(Word::of(&reasons), expected.min(Word::Attention));
        };
        let (warning, error) = (Severity::Warning, Severity::Error);
        check(&[], Word::Healthy);
        check(&[(warning, "pending")], Word::Attention);
        check(&[(error, "config")], Word::Attention);
        check(&[(error, "config"), (warning, "service")], Word::Degraded);
        check(&[(warning, "rollout")], Word::Degraded);
        check(&[(error, "route"), (warning, "service")], Word::Failing);
    }

    #[test]
    fn worst_of_several_sides_has_failures_enough() {
        let arms: Vec<Counts> = [("v1", 9_600, 0), ("v2", 200, 30), ("v3", 200, 40), ("v4", 1, 1)]
            .map(|(service, requests, failures)| (Arc::from(service), requests, failures))
            .to_vec();
        let worst = Side::worst(&arms).unwrap();
        assert_eq!((&*worst.service, worst.requests, worst.failures), ("v3", 200, 40));
        assert_eq!(worst.told, ": 40 of 200 at `v3`, 31 of 9801 at the others");
        assert_eq!(Side::worst(&arms[..1]), None);
    }

    #[test]
    fn side_to_blame_fails_more_than_chance_explains() {
        let check = |arms: &[(&str, u32, u32)], expected: Option<(&str, &str)>| {
            let own: Vec<_> = arms
                .iter()
                .map(|(service, requests, failures)| (Arc::from(*service), *requests, *failures))
                .collect();
            let side = Side::of(&own);
            let told = side.as_ref().map(|side| (&*side.service, &*side.told));
            assert_eq!(told, expected, "{arms:?}");
        };
        check(
            &[("v1", 529, 0), ("v2", 130, 25)],
            Some(("v2", ": 25 of 130 at `v2`, 0 of 529 at `v1`")),
        );
        check(
            &[("v1", 500, 1), ("v2", 100, 30), ("v3", 200, 1)],
            Some(("v2", ": 30 of 100 at `v2`, 2 of 700 at the others")),
        );
        check(
            &[("v1", 90, 0), ("v2", 90, 20), ("v3", 90, 22)],
            Some(("v3", ": 22 of 90 at `v3`, 20 of 180 at the others")),
        );
        check(&[("v2", 60, 13)], Some(("v2", ", 13 at `v2`")));
        // The gateway's own responses are of no side.
        check(&[("", 10, 10), ("v1", 90, 0), ("v2", 90, 0)], None);
        check(&[("", 10, 10)], None);
        check(&[("v1", 90, 20), ("v2", 90, 22)], None);
        check(&[], None);
    }
}
