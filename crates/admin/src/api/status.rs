//! How the gateway is doing.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, Operation, json};
use crate::problem::Problem;
use crate::report::{FailedLoad, Pending, StateReport};

/// How the gateway is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Whether there is nothing to mend: the last load succeeded, and state can be stored and was not damaged.
    pub ok: bool,
    /// The version of the gateway.
    pub version: String,
    /// The id of its process.
    pub pid: u32,
    /// When it started.
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// How long ago that was.
    pub uptime_seconds: u64,
    /// The revision that is in force.
    pub revision: u64,
    /// The path of the config.
    pub config: String,
    /// Whether it is about to stop.
    pub draining: bool,
    /// Where clients are accepted.
    pub listeners: Vec<ListenerStatus>,
    /// Routes in force.
    pub routes: usize,
    /// Services in force.
    pub services: usize,
    /// Threads that serve clients.
    pub workers: usize,
    /// Clients that are connected.
    pub connections: usize,
    /// Routes whose live weights are not those of the config.
    pub dialed: Vec<String>,
    /// The last load that failed, until one succeeds.
    pub failed_load: Option<FailedLoad>,
    /// What is wrong with files, such as certificates, whose last good version is in use.
    pub stale_files: Vec<String>,
    /// The change that waits to be confirmed.
    pub pending: Option<Pending>,
    /// Where revisions and dials are kept.
    pub state: StateReport,
    /// Lines that never reached the access log.
    pub access_log_lost: u64,
}

/// An address that accepts clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListenerStatus {
    /// The name, where one is given.
    pub name: Option<String>,
    /// The address as the config says it.
    pub bind: String,
    /// The address that it is.
    pub address: Option<String>,
    /// `https` where clients speak TLS, else `http`.
    pub scheme: String,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "get",
        path: "/api/v1/status",
        summary: "How the gateway is doing",
        query: &[],
        body: Vec::new(),
        answer: vec![json::<Status>()],
        problems: &[503],
        handler: || get(status),
    }]
}

async fn status(State(shared): App) -> Result<Json<Status>, Problem> {
    let view = shared.view()?;
    let generation = view.generation();
    let plan = generation.plan();
    let report = shared.report().clone();
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
    let dialed = plan.routes().iter().enumerate().filter_map(|(position, route)| {
        let arms = super::routes::arms(&generation, position);
        let differs = arms.iter().any(|arm| arm.declared != arm.live);
        differs.then(|| route.matching.name.to_string())
    });
    Ok(Json(Status {
        ok: report.failed.is_none()
            && report.stale_files.is_empty()
            && report.state.writable
            && report.state.damaged.is_empty()
            && report.state.troubles.is_empty(),
        version: shared.version.to_owned(),
        pid: std::process::id(),
        started: shared.started,
        uptime_seconds: shared.began.elapsed().as_secs(),
        revision: generation.number(),
        config: report.config.display().to_string(),
        draining: shared.is_draining(),
        listeners,
        routes: plan.routes().len(),
        services: plan.services().len(),
        workers: view.workers(),
        connections: view.connections_open(),
        dialed: dialed.collect(),
        failed_load: report.failed,
        stale_files: report.stale_files,
        pending: report.pending,
        state: report.state,
        access_log_lost: lost.dropped + lost.unwritable,
    }))
}
