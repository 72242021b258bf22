//! The reasons for which a gateway is not quite well, in one list.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_proxy::generation::Generation;
use waypost_upstream::service::ServiceState;

use crate::report::Report;
use crate::stats::failed_share;
use crate::timeline::Timeline;
use crate::{arms, certificates};

/// Days before the end of a certificate from which on it is a reason, as it is a warning of `waypost check`.
const ENDS_SOON_DAYS: i64 = 14;
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
    /// `config`, `state`, `file`, `upgrade`, `pending`, `draining`, `certificate`, `service` or `route`.
    pub kind: String,
    /// The name of the service, the route or the listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The service whose requests fail, of a route with one service, or with one that fails more than another by more than chance
    /// explains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The reason, in one sentence.
    pub message: String,
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
    reasons
}

fn of_certificates(generation: &Generation) -> Vec<Reason> {
    let ending = certificates::of(generation).into_iter();
    let ending = ending.take_while(|certificate| certificate.days < ENDS_SOON_DAYS);
    let reasons = ending.map(|certificate| {
        let (severity, ends) = match certificate.days {
            ..0 => (Severity::Error, "has ended".to_owned()),
            0 => (Severity::Error, "ends within a day".to_owned()),
            1 => (Severity::Warning, "ends in a day".to_owned()),
            days => (Severity::Warning, format!("ends in {days} days")),
        };
        let names = certificate.names.join(", ");
        let message = format!("the certificate `{}` of {names} {ends}", certificate.file);
        reason(severity, "certificate", Some(certificate.listener), message)
    });
    bounded(reasons.collect(), "certificates that end soon")
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
    let failing = failing.filter(|(route, recent)| {
        !route.is_empty() && recent.failures >= FAILURES_LEAST && recent.failure_share() >= SHARE_LEAST
    });
    let mut failing: Vec<_> = failing.collect();
    failing.sort_unstable_by(|one, other| (other.1.failures, one.0).cmp(&(one.1.failures, other.0)));
    let reasons = failing.into_iter().enumerate().map(|(at, (route, recent))| {
        let share = recent.failure_share();
        let severity = match share >= SHARE_ERROR {
            true => Severity::Error,
            false => Severity::Warning,
        };
        // Those that are only counted need none.
        let side = match at < 2 * EACH_MAX {
            true => Side::of(&timeline.arms_of(route, WINDOW)),
            false => None,
        };
        let told = side.as_ref().map_or_else(String::new, |side| {
            format!("{}{}", side.told, gets_none(generation, route, &side.service))
        });
        let message = format!(
            "route `{route}`: {} of {} requests failed in the last {} s{told}",
            recent.failures, recent.requests, recent.seconds
        );
        let mut reason = reason(severity, "route", Some(route.to_string()), message);
        reason.service = side.map(|side| side.service.to_string());
        reason
    });
    bounded(reasons.collect(), "routes with failures")
}

/// The arm of a route that is to blame, with its figures in words.
#[derive(Debug, PartialEq, Eq)]
struct Side {
    service: Arc<str>,
    told: String,
}

impl Side {
    /// The only service of `arms`, or the worst of them if another one fails less, by intervals that do not meet.
    fn of(arms: &[(Arc<str>, u32, u32)]) -> Option<Self> {
        let interval = |(_, requests, failures): &(Arc<str>, u32, u32)| {
            failed_share(u64::from(*failures), u64::from(*requests)).1
        };
        let arms: Vec<_> = arms.iter().filter(|(service, ..)| !service.is_empty()).collect();
        let worst = arms
            .iter()
            .max_by(|one, other| interval(one).0.total_cmp(&interval(other).0))?;
        let (service, requests, failures) = worst;
        let others: Vec<_> = arms.iter().filter(|arm| arm.0 != *service).collect();
        let is_alike =
            !others.is_empty() && others.iter().all(|other| interval(other).1 >= interval(worst).0);
        if *failures == 0 || is_alike {
            return None;
        }
        let told = match &others[..] {
            [] => format!(", {failures} at `{service}`"),
            [(other, of_other, failed)] => {
                format!(": {failures} of {requests} at `{service}`, {failed} of {of_other} at `{other}`")
            }
            _ => {
                let sum = |(all, failed), arm: &&&(Arc<str>, u32, u32)| (all + arm.1, failed + arm.2);
                let (all, failed) = others.iter().fold((0, 0), sum);
                format!(": {failures} of {requests} at `{service}`, {failed} of {all} at the others")
            }
        };
        Some(Self {
            service: Arc::clone(service),
            told,
        })
    }
}

/// The end of a sentence about the failures of a service that a route sends nothing any more: they are past.
fn gets_none(generation: &Generation, route: &str, service: &str) -> String {
    let position = generation.compiled().position(route);
    let arms = position.map_or_else(Vec::new, |position| arms::of_route(generation, position));
    match arms.iter().any(|arm| arm.service == service && arm.live > 0) {
        true => String::new(),
        false => format!("; `{service}` gets no requests now"),
    }
}

fn reason(severity: Severity, kind: &str, name: Option<String>, message: String) -> Reason {
    Reason {
        severity,
        kind: kind.to_owned(),
        name,
        service: None,
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
