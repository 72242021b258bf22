//! The status of the gateway.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_proxy::generation::Generation;

use super::{App, Operation, json};
use crate::fleet::{FleetStatus, FleetView};
use crate::problem::Problem;
use crate::reasons::{self, Reason, Severity, Word};
use crate::report::{
    FailedLoad, FailedUpgrade, KeySetReport, OrderReport, Pending, Report, RolloutReport, StateReport,
};
use crate::state::AppState;

/// The status of the gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// True if nothing needs attention: the last load succeeded, and the state is writable and undamaged.
    pub ok: bool,
    /// `ok`, or the severity of the worst of the `reasons`: `warning` or `error`. Unlike `ok`, it is also about requests that
    /// fail.
    #[serde(default)]
    pub health: String,
    /// The health in one word: `healthy`; `attention` if the gateway needs a look; `degraded` if requests fail, or less is
    /// in use than should be; `failing` if at least half of the requests of a route, or of one of its services, fail, or a
    /// service has no endpoint.
    #[serde(default)]
    pub word: Word,
    /// The reasons why something needs a look, errors first.
    #[serde(default)]
    pub reasons: Vec<Reason>,
    /// The version of the gateway.
    pub version: String,
    /// The process id.
    pub pid: u32,
    /// The start time.
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// The active revision.
    pub revision: u64,
    /// The path of the config.
    pub config: String,
    /// True while the gateway is draining.
    pub draining: bool,
    /// The listeners.
    pub listeners: Vec<ListenerStatus>,
    /// Number of routes.
    pub routes: usize,
    /// Number of services.
    pub services: usize,
    /// Number of workers.
    pub workers: usize,
    /// Open client connections.
    pub connections: usize,
    /// Routes whose live weights differ from the declared ones.
    pub dialed: Vec<String>,
    /// Rollouts under way.
    #[serde(default)]
    pub rollouts: Vec<RolloutReport>,
    /// The last failed load, until one succeeds.
    pub failed_load: Option<FailedLoad>,
    /// Errors of files, such as certificates, whose last good version stays in use.
    pub stale_files: Vec<String>,
    /// Key sets that are fetched.
    #[serde(default)]
    pub key_sets: Vec<KeySetReport>,
    /// Certificates that authorities issue.
    #[serde(default)]
    pub orders: Vec<OrderReport>,
    /// The change that awaits confirmation.
    pub pending: Option<Pending>,
    /// True while another process is about to take over.
    #[serde(default)]
    pub upgrading: bool,
    /// The last upgrade of this process, which has failed and changed nothing.
    #[serde(default)]
    pub failed_upgrade: Option<FailedUpgrade>,
    /// The directory of revisions and dials.
    pub state: StateReport,
    /// The fleet that the gateway belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetStatus>,
    /// Lost lines of the access log.
    pub access_log_lost: u64,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListenerStatus {
    /// The name, if given.
    pub name: Option<String>,
    /// The address as in the config.
    pub bind: String,
    /// The bound address.
    pub address: Option<String>,
    /// `https` with TLS, else `http`.
    pub scheme: String,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "get",
        path: "/api/v1/status",
        summary: "The status of the gateway",
        query: &[],
        body: Vec::new(),
        response: vec![json::<Status>()],
        problems: &[503],
        handler: || get(status),
    }]
}

/// The reasons why something needs a look, errors first.
pub(super) fn reasons_of(state: &AppState) -> Result<Vec<Reason>, Problem> {
    let generation = state.view()?.generation();
    let report = state.report().clone();
    let fleet = state.fleet().as_ref().map(FleetView::status);
    Ok(reasons_in(state, &generation, &report, fleet.as_ref()))
}

fn reasons_in(
    state: &AppState,
    generation: &Generation,
    report: &Report,
    fleet: Option<&FleetStatus>,
) -> Vec<Reason> {
    let mut reasons = reasons::of_report(report, generation.number(), state.is_draining());
    reasons.extend(fleet.into_iter().flat_map(reasons::of_fleet));
    reasons.extend(state.reasons_held.of(generation, || state.timeline()));
    reasons.sort_by_key(|reason| reason.severity);
    reasons
}

async fn status(State(state): App) -> Result<Json<Status>, Problem> {
    let view = state.view()?;
    let generation = view.generation();
    let plan = generation.plan();
    let report = state.report().clone();
    let lost = view.log_lines_lost();
    let mut listening = report.listening.clone();
    let listeners = plan.listeners().iter().map(|listener| {
        let bind = listener.bind.text.to_string();
        let at = listening.iter().position(|(text, _)| *text == bind);
        ListenerStatus {
            name: listener.name.as_deref().map(str::to_owned),
            // Two listeners may share the text of their bind.
            address: at.map(|at| listening.remove(at).1),
            scheme: listener.scheme().to_owned(),
            bind,
        }
    });
    let listeners = listeners.collect();
    let dialed = generation.compiled().dialed();
    let dialed = dialed.into_iter();
    let dialed = dialed.map(|position| plan.routes()[position].matching.name.to_string());
    let fleet = state.fleet().as_ref().map(FleetView::status);
    let reasons = reasons_in(&state, &generation, &report, fleet.as_ref());
    let health = match reasons.first().map(|worst| worst.severity) {
        None => "ok",
        Some(Severity::Warning) => "warning",
        Some(Severity::Error) => "error",
    };
    Ok(Json(Status {
        health: health.to_owned(),
        word: Word::of(&reasons),
        reasons,
        ok: report.failed.is_none()
            && report.stale_files.is_empty()
            && report.key_sets.values().all(|keys| keys.error.is_none())
            && report.orders.values().all(|order| order.error.is_none())
            && report.state.writable
            && report.state.damaged.is_empty()
            && report.state.troubles.is_empty()
            && fleet
                .as_ref()
                .is_none_or(|fleet| fleet.available && fleet.troubles.is_empty()),
        version: state.version.to_owned(),
        pid: std::process::id(),
        started: state.started,
        uptime_seconds: state.began.elapsed().as_secs(),
        revision: generation.number(),
        config: report.config.display().to_string(),
        draining: state.is_draining(),
        listeners,
        routes: plan.routes().len(),
        services: plan.services().len(),
        workers: view.workers(),
        connections: view.connections_open(),
        dialed: dialed.collect(),
        rollouts: report.rollouts,
        failed_load: report.failed,
        stale_files: report.stale_files,
        key_sets: report.key_sets.into_values().collect(),
        orders: report.orders.into_values().collect(),
        pending: report.pending,
        upgrading: report.upgrading,
        failed_upgrade: report.failed_upgrade,
        state: report.state,
        fleet,
        access_log_lost: lost.dropped + lost.unwritable,
    }))
}
