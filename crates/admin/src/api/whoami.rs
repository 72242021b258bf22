//! The client, as the API sees it.

use axum::Json;
use axum::extract::Extension;
use axum::routing::get;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Operation, json};
use crate::access::{Admitted, Role};

/// The client of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientView {
    /// The name of its token, or of the local user.
    pub name: String,
    /// `read` if it sees everything and changes nothing; `write` if it may change things.
    pub role: Role,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "get",
        path: "/api/v1/whoami",
        summary: "The name of the client, and its rights",
        query: &[],
        body: Vec::new(),
        response: vec![json::<ClientView>()],
        problems: &[],
        handler: || get(whoami),
    }]
}

async fn whoami(Extension(client): Extension<Admitted>) -> Json<ClientView> {
    Json(ClientView {
        name: client.name,
        role: client.role,
    })
}
