//! The certificates that listeners serve.

use axum::Json;
use axum::extract::State;
use axum::routing::get;

use super::{App, Operation, json};
use crate::certificates::{self, CertificateView};
use crate::problem::Problem;

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "get",
        path: "/api/v1/certificates",
        summary: "The certificates that listeners serve: those that are still to be issued in front, then the one that ends first",
        query: &[],
        body: Vec::new(),
        response: vec![json::<Vec<CertificateView>>()],
        problems: &[503],
        handler: || get(list),
    }]
}

async fn list(State(state): App) -> Result<Json<Vec<CertificateView>>, Problem> {
    Ok(Json(certificates::of(&state.view()?.generation())))
}
