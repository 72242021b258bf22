//! Every config that was applied, and the way back to it.

use axum::Json;
use axum::extract::{Extension, State};
use axum::routing::{get, post};

use super::{App, Asker, By, Named, Operation, json};
use crate::command::{Applied, Command, Revision, RevisionTexts};
use crate::problem::Problem;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            method: "get",
            path: "/api/v1/revisions",
            summary: "The configs that were applied, the newest first",
            query: &[],
            body: Vec::new(),
            answer: vec![json::<Vec<Revision>>()],
            problems: &[503],
            handler: || get(list),
        },
        Operation {
            method: "get",
            path: "/api/v1/revisions/{number}",
            summary: "One of them, with its text",
            query: &[],
            body: Vec::new(),
            answer: vec![json::<RevisionTexts>()],
            problems: &[404, 410, 503],
            handler: || get(show),
        },
        Operation {
            method: "post",
            path: "/api/v1/revisions/{number}/rollback",
            summary: "Apply it again, as a new revision, and replace the file on disk by it",
            query: &[],
            body: Vec::new(),
            answer: vec![json::<Applied>()],
            problems: &[404, 409, 410, 422, 503, 507],
            handler: || post(rollback),
        },
    ]
}

async fn list(State(shared): App) -> Result<Json<Vec<Revision>>, Problem> {
    Ok(Json(shared.ask(|reply| Command::Revisions { reply }).await?))
}

async fn show(State(shared): App, Named(number): Named) -> Result<Json<RevisionTexts>, Problem> {
    let number = parse(&number)?;
    Ok(Json(
        shared.ask(|reply| Command::Revision { number, reply }).await?,
    ))
}

async fn rollback(
    State(shared): App,
    Extension(By(by)): Asker,
    Named(number): Named,
) -> Result<Json<Applied>, Problem> {
    let number = parse(&number)?;
    Ok(Json(
        shared
            .ask(|reply| Command::Rollback { number, by, reply })
            .await?,
    ))
}

fn parse(number: &str) -> Result<u64, Problem> {
    let parsed = number.parse();
    parsed.map_err(|_| Problem::not_found(format!("`{number}` is not the number of a revision")))
}
