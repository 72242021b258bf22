//! What happens, as it happens: server-sent events.

use std::convert::Infallible;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::routing::get;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::{App, Content, Operation};
use crate::events::Event;
use crate::problem::Problem;

/// How many may listen at a time.
const LISTENERS_MAX: usize = 32;

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "get",
        path: "/api/v1/events",
        summary: "What happens from now on, as server-sent events: dial, applied, refused, confirmed, endpoint_left, endpoint_returned, and missed for whoever is too slow",
        query: &[],
        body: Vec::new(),
        answer: vec![Content {
            kind: "text/event-stream",
            schema: Some(|generator| generator.subschema_for::<Event>()),
        }],
        problems: &[503],
        handler: || get(listen),
    }]
}

async fn listen(State(shared): App) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Problem> {
    if shared.events.listeners() >= LISTENERS_MAX {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "as many listen already as may",
        ));
    }
    let events = unfold(shared.events.listen(), next);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

async fn next(mut events: Receiver<Event>) -> Option<(Result<Sent, Infallible>, Receiver<Event>)> {
    let sent = match events.recv().await {
        Ok(event) => {
            let data = serde_json::to_string(&event).unwrap_or_default();
            Sent::default().event(event.what.name()).data(data)
        }
        Err(RecvError::Lagged(missed)) => Sent::default().event("missed").data(missed.to_string()),
        Err(RecvError::Closed) => return None,
    };
    Some((Ok(sent), events))
}
