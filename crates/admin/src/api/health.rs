//! Whether the gateway is there, whether it serves, and what it counts.

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
            summary: "Whether the process is alive; needs no token",
            query: &[],
            body: Vec::new(),
            answer: vec![text("text/plain")],
            problems: &[],
            handler: || get(async || "ok\n"),
        },
        Operation {
            method: "get",
            path: "/readyz",
            summary: "Whether it serves clients: 503 before the first config is in force and while it drains; needs no token",
            query: &[],
            body: Vec::new(),
            answer: vec![text("text/plain")],
            problems: &[503],
            handler: || get(readyz),
        },
        Operation {
            method: "get",
            path: "/metrics",
            summary: "All metrics, as Prometheus text, or as OpenMetrics by Accept",
            query: &[],
            body: Vec::new(),
            answer: vec![text("text/plain")],
            problems: &[],
            handler: || get(show_metrics),
        },
    ]
}

async fn readyz(State(shared): App) -> Result<&'static str, Problem> {
    shared.view()?;
    if shared.is_draining() {
        return Err(Problem::stopping());
    }
    Ok("ready\n")
}

async fn show_metrics(State(shared): App, headers: HeaderMap) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let dialect = Dialect::accepted(accept);
    // Ten thousand routes take a while; the other requests need not wait for it.
    let text = tokio::task::spawn_blocking(move || metrics::text(&shared, dialect)).await;
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, dialect.content_type())], text).into_response(),
        Err(_) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be read").into_response()
        }
    }
}
