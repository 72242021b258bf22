//! Operations on revisions: list, read, roll back.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};

use super::{App, Caller, Operation, PathName, if_match, json};
use crate::command::{Applied, Command, Revision, RevisionTexts};
use crate::problem::Problem;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            method: "get",
            path: "/api/v1/revisions",
            summary: "All revisions, newest first",
            query: &[],
            body: Vec::new(),
            response: vec![json::<Vec<Revision>>()],
            problems: &[503],
            handler: || get(list),
        },
        Operation {
            method: "get",
            path: "/api/v1/revisions/{number}",
            summary: "One revision, with its texts",
            query: &[],
            body: Vec::new(),
            response: vec![json::<RevisionTexts>()],
            problems: &[404, 410, 503],
            handler: || get(show),
        },
        Operation {
            method: "post",
            path: "/api/v1/revisions/{number}/rollback",
            summary: "Apply a revision again, as a new revision, and write it to disk; with If-Match, only if the active config has this ETag",
            query: &[],
            body: Vec::new(),
            response: vec![json::<Applied>()],
            problems: &[404, 409, 410, 412, 422, 503, 507],
            handler: || post(rollback),
        },
    ]
}

async fn list(State(state): App) -> Result<Json<Vec<Revision>>, Problem> {
    Ok(Json(state.execute(|reply| Command::Revisions { reply }).await?))
}

async fn show(State(state): App, PathName(number): PathName) -> Result<Json<RevisionTexts>, Problem> {
    let number = parse(&number)?;
    Ok(Json(
        state.execute(|reply| Command::Revision { number, reply }).await?,
    ))
}

async fn rollback(
    State(state): App,
    Extension(Caller(by)): Extension<Caller>,
    PathName(number): PathName,
    headers: HeaderMap,
) -> Result<Json<Applied>, Problem> {
    let number = parse(&number)?;
    let if_match = if_match(&headers);
    let applied = state.execute(|reply| Command::Rollback {
        number,
        if_match,
        by,
        reply,
    });
    Ok(Json(applied.await?))
}

fn parse(number: &str) -> Result<u64, Problem> {
    let parsed = number.parse();
    parsed.map_err(|_| Problem::not_found(format!("`{number}` is not a revision number")))
}
