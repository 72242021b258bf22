//! The fleet that the gateway belongs to.

use std::time::Instant;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};

use super::{App, Body, Caller, Operation, if_match, json, json_body, text};
use crate::canary::CanaryView;
use crate::command::Command;
use crate::counts::packed::{self, KIND};
use crate::counts::{ARMS_MAX, CountsQuestion};
use crate::fleet::FleetView;
use crate::history::ledger;
use crate::problem::Problem;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            method: "get",
            path: "/api/v1/fleet",
            summary: "The instances of the fleet, and if they obey it",
            query: &[],
            body: Vec::new(),
            response: vec![json::<FleetView>()],
            problems: &[404],
            handler: || get(fleet),
        },
        Operation {
            method: "post",
            path: "/api/v1/fleet/counts",
            summary: "The counts of arms since the start of this instance, packed: the question of the leader, which judges rollouts",
            query: &[],
            body: vec![json::<CountsQuestion>()],
            response: vec![text(KIND)],
            problems: &[400, 404, 415, 421, 422, 503],
            handler: || post(counts),
        },
        Operation {
            method: "get",
            path: "/api/v1/fleet/series",
            summary: "The requests of each route to each service since the start of this instance, packed: the question of the leader, which keeps them for statistics",
            query: &[],
            body: Vec::new(),
            response: vec![text(ledger::KIND)],
            problems: &[404, 421, 503],
            handler: || get(series),
        },
        Operation {
            method: "get",
            path: "/api/v1/fleet/canary",
            summary: "The config that some instances of the fleet try, or the last one, with its verdict",
            query: &[],
            body: Vec::new(),
            response: vec![json::<CanaryView>()],
            problems: &[404],
            handler: || get(canary),
        },
        Operation {
            method: "delete",
            path: "/api/v1/fleet/canary",
            summary: "Take the config back that some instances of the fleet try; with If-Match, only if it still has this id",
            query: &[],
            body: Vec::new(),
            response: vec![json::<CanaryView>()],
            problems: &[403, 404, 409, 412, 503, 507],
            handler: || delete(withdraw),
        },
    ]
}

pub(super) fn no_fleet() -> Problem {
    Problem::not_found("this gateway is in no fleet: its config does not come from etcd")
}

async fn fleet(State(state): App) -> Result<Json<FleetView>, Problem> {
    state.fleet().map(Json).ok_or_else(no_fleet)
}

async fn counts(State(state): App, headers: HeaderMap, Body(body): Body) -> Result<Response, Problem> {
    state.instance().ok_or_else(no_fleet)?;
    let question: CountsQuestion = json_body(&headers, &body)?;
    if question.arms.len() > ARMS_MAX {
        return Err(Problem::invalid(format!(
            "at most {ARMS_MAX} arms are asked for at once"
        )));
    }
    state.view()?;
    // Off the async thread: a thousand arms take some milliseconds.
    let read = tokio::task::spawn_blocking(move || {
        let view = state.view()?;
        let arms = state
            .asked
            .read(&view.generation(), view.metrics(), question, Instant::now());
        Ok(packed::pack(state.started, &arms))
    });
    let failed = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the counts could not be read");
    let bytes = read.await.map_err(failed)??;
    Ok(([(header::CONTENT_TYPE, KIND)], bytes).into_response())
}

async fn series(State(state): App) -> Result<Response, Problem> {
    state.instance().ok_or_else(no_fleet)?;
    state.view()?;
    let read = tokio::task::spawn_blocking(move || {
        let readings = state.view()?.metrics().read_series(None);
        let readings = readings.into_iter().map(|(_, reading)| reading);
        Ok(ledger::pack(state.started, readings.collect()))
    });
    let failed = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the counts could not be read");
    let bytes = read.await.map_err(failed)??;
    Ok(([(header::CONTENT_TYPE, ledger::KIND)], bytes).into_response())
}

async fn canary(State(state): App) -> Result<Json<CanaryView>, Problem> {
    let canary = state.fleet().ok_or_else(no_fleet)?.canary;
    let canary = canary.map(Json);
    canary.ok_or_else(|| Problem::not_found("no config has been tried in this fleet so far"))
}

async fn withdraw(
    State(state): App,
    Extension(Caller(by)): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Json<CanaryView>, Problem> {
    let ids = if_match(&headers);
    let withdrawn = state.execute(|reply| Command::WithdrawCanary { ids, by, reply });
    withdrawn.await.map(Json)
}
