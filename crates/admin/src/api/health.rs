//! Liveness, readiness and metrics.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{App, Operation, text};
use crate::metrics::{self, Dialect};
use crate::problem::Problem;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            method: "get",
            path: "/healthz",
            summary: "Liveness: 200 while the process runs; needs no token",
            query: &[],
            body: Vec::new(),
            response: vec![text("text/plain")],
            problems: &[],
            handler: || get(async || "ok\n"),
        },
        Operation {
            method: "get",
            path: "/readyz",
            summary: "Readiness: 503 before the first config is active and while the gateway drains; needs no token",
            query: &[],
            body: Vec::new(),
            response: vec![text("text/plain")],
            problems: &[503],
            handler: || get(readyz),
        },
        Operation {
            method: "get",
            path: "/metrics",
            summary: "All metrics, in Prometheus text format, or as OpenMetrics if `Accept` asks for it",
            query: &[],
            body: Vec::new(),
            response: vec![text("text/plain")],
            problems: &[],
            handler: || get(show_metrics),
        },
    ]
}

async fn readyz(State(state): App) -> Result<&'static str, Problem> {
    state.view()?;
    if state.is_draining() {
        return Err(Problem::stopping());
    }
    Ok("ready\n")
}

async fn show_metrics(State(state): App, headers: HeaderMap) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let dialect = Dialect::accepted(accept);
    // Off the async thread: ten thousand routes take a while, and other requests must not wait.
    let text = tokio::task::spawn_blocking(move || metrics::text(&state, dialect)).await;
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, dialect.content_type())], text).into_response(),
        Err(_) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be read").into_response()
        }
    }
}
