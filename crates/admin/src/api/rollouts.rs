//! Operations on rollouts.

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, header};
use axum::routing::{delete, get, post};
use jiff::Timestamp;

use super::{
    App, Body, Caller, Operation, PathName, QueryParams, Versioned, etag, if_match, json, json_body,
};
use crate::command::Command;
use crate::problem::Problem;
use crate::rollout::{RolloutAction, RolloutChange, RolloutView, StartRollout};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            method: "get",
            path: "/api/v1/rollouts",
            summary: "The last rollout of each route",
            query: &[],
            body: Vec::new(),
            response: vec![json::<Vec<RolloutView>>()],
            problems: &[503],
            handler: || get(list),
        },
        Operation {
            method: "get",
            path: "/api/v1/routes/{name}/rollout",
            summary: "The rollout of a route, or its last one; the ETag is its version",
            query: &[],
            body: Vec::new(),
            response: vec![json::<RolloutView>()],
            problems: &[404, 503],
            handler: || get(show),
        },
        Operation {
            method: "post",
            path: "/api/v1/routes/{name}/rollout",
            summary: "Start a rollout; with If-Match, only if the last one of the route still has this version",
            query: &[],
            body: vec![json::<StartRollout>()],
            response: vec![json::<RolloutView>()],
            problems: &[400, 404, 409, 412, 415, 422, 503, 507],
            handler: || post(start),
        },
        Operation {
            method: "delete",
            path: "/api/v1/routes/{name}/rollout",
            summary: "Abort a rollout: back to the weights of its start; with If-Match, only if it still has this version",
            query: &[],
            body: Vec::new(),
            response: vec![json::<RolloutView>()],
            problems: &[404, 409, 412, 503, 507],
            handler: || delete(abort),
        },
        Operation {
            method: "get",
            path: "/api/v1/routes/{name}/rollout/history",
            summary: "The changes of a route's rollouts, latest first",
            query: &[],
            body: Vec::new(),
            response: vec![json::<Vec<RolloutChange>>()],
            problems: &[404, 503],
            handler: || get(history),
        },
        Operation {
            method: "post",
            path: "/api/v1/routes/{name}/rollout/{action}",
            summary: "Act on a rollout: pause, resume, promote (the next step now), approve, abort, or finish (100 % now); with If-Match, only if it still has this version",
            query: &[(
                "write",
                "boolean",
                "`true` puts the weights into the config, for `finish` only",
            )],
            body: Vec::new(),
            response: vec![json::<RolloutView>()],
            problems: &[400, 404, 409, 412, 422, 503, 507],
            handler: || post(act),
        },
    ]
}

/// The query or the body of an action.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Acting {
    /// True to put the weights into the config.
    #[serde(default)]
    write: bool,
}

/// The query of the test clock.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Advance {
    /// The number of seconds that pass.
    seconds: Option<u64>,
    /// The time that it is before they pass.
    now: Option<Timestamp>,
}

/// Sets the test clock, or lets seconds of it pass.
pub(super) async fn advance(
    State(state): App,
    QueryParams(Advance { seconds, now }): QueryParams<Advance>,
) -> Result<(), Problem> {
    if seconds.is_none() && now.is_none() {
        return Err(Problem::invalid(
            "the clock needs `seconds` that pass, or the time `now`",
        ));
    }
    let seconds = seconds.unwrap_or(0);
    let passed = state.execute(|reply| Command::Advance { seconds, now, reply });
    passed.await
}

async fn list(State(state): App) -> Result<Json<Vec<RolloutView>>, Problem> {
    state.execute(|reply| Command::Rollouts { reply }).await.map(Json)
}

async fn show(State(state): App, PathName(route): PathName) -> Result<Versioned<RolloutView>, Problem> {
    let shown = state.execute(|reply| Command::RolloutOf { route, reply });
    shown.await.map(versioned)
}

/// A rollout, with its version as its ETag.
fn versioned(rollout: RolloutView) -> Versioned<RolloutView> {
    ([(header::ETAG, etag(&rollout.version))], Json(rollout))
}

async fn history(State(state): App, PathName(route): PathName) -> Result<Json<Vec<RolloutChange>>, Problem> {
    let history = state.execute(|reply| Command::RolloutHistory { route, reply });
    history.await.map(Json)
}

async fn start(
    State(state): App,
    Extension(Caller(by)): Extension<Caller>,
    PathName(route): PathName,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Versioned<RolloutView>, Problem> {
    let start: StartRollout = json_body(&headers, &body)?;
    let versions = if_match(&headers);
    let started = state.execute(|reply| Command::StartRollout {
        route,
        start,
        versions,
        by,
        reply,
    });
    started.await.map(versioned)
}

async fn abort(
    state: App,
    caller: Extension<Caller>,
    PathName(route): PathName,
    headers: HeaderMap,
) -> Result<Versioned<RolloutView>, Problem> {
    perform(state, caller, route, RolloutAction::Abort, false, &headers).await
}

async fn act(
    state: App,
    caller: Extension<Caller>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    QueryParams(Acting { write }): QueryParams<Acting>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Versioned<RolloutView>, Problem> {
    let Path((route, word)) =
        path.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    // Clients that post an empty object with every action are served whatever type they say it has.
    let asked: Acting = match body.is_empty() {
        true => Acting::default(),
        false => serde_json::from_slice(&body)
            .map_err(|error| Problem::invalid(format!("the body is not valid: {error}")))?,
    };
    let write = write || asked.write;
    let action = RolloutAction::ALL
        .into_iter()
        .find(|action| action.as_str() == word);
    let action = action.ok_or_else(|| {
        let words = RolloutAction::ALL.map(RolloutAction::as_str).join(", ");
        Problem::not_found(format!(
            "there is no action `{word}` on a rollout; there are {words}"
        ))
    })?;
    if write && action != RolloutAction::Finish {
        return Err(Problem::invalid(format!(
            "`write` is for `finish` alone, and `{word}` puts nothing into the config"
        )));
    }
    perform(state, caller, route, action, write, &headers).await
}

async fn perform(
    State(state): App,
    Extension(Caller(by)): Extension<Caller>,
    route: String,
    action: RolloutAction,
    write: bool,
    headers: &HeaderMap,
) -> Result<Versioned<RolloutView>, Problem> {
    let versions = if_match(headers);
    let done = state.execute(|reply| Command::RolloutAct {
        route,
        action,
        write,
        versions,
        by,
        reply,
    });
    done.await.map(versioned)
}
