//! Replacing the gateway's process.

use axum::Json;
use axum::extract::{Extension, State};
use axum::routing::post;

use super::{App, Caller, Operation, json};
use crate::command::{Command, Upgraded};
use crate::problem::Problem;

/// The path of the operation.
pub(super) const PATH: &str = "/api/v1/upgrade";

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "post",
        path: PATH,
        summary: "Start the binary that is at the gateway's path now, and hand everything over to it; answers once it has taken over, or has failed and nothing has changed",
        query: &[],
        body: Vec::new(),
        response: vec![json::<Upgraded>()],
        problems: &[409, 500, 503, 504],
        handler: || post(upgrade),
    }]
}

async fn upgrade(
    State(state): App,
    Extension(Caller(by)): Extension<Caller>,
) -> Result<Json<Upgraded>, Problem> {
    Ok(Json(state.execute(|reply| Command::Upgrade { by, reply }).await?))
}
