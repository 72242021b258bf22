//! The stream of events, as server-sent events.

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

/// Maximum number of concurrent subscribers.
const SUBSCRIBERS_MAX: usize = 32;

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "get",
        path: "/api/v1/events",
        summary: "Events from now on, as server-sent events: dial, applied, refused, confirmed, rollout, endpoint_down, endpoint_up, endpoint_ejected, endpoint_recovered, endpoint_drained, endpoint_undrained, panic_entered, panic_left, addresses_changed, upgraded, upgrade_failed, and missed for a subscriber that fell behind",
        query: &[],
        body: Vec::new(),
        response: vec![Content {
            kind: "text/event-stream",
            schema: Some(|generator| generator.subschema_for::<Event>()),
        }],
        problems: &[503],
        handler: || get(subscribe),
    }]
}

async fn subscribe(State(state): App) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Problem> {
    if state.events.subscribers() >= SUBSCRIBERS_MAX {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "there are too many subscribers",
        ));
    }
    let events = unfold(state.events.subscribe(), next);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

async fn next(mut events: Receiver<Event>) -> Option<(Result<Sent, Infallible>, Receiver<Event>)> {
    let sent = match events.recv().await {
        Ok(event) => {
            let data = serde_json::to_string(&event).unwrap_or_default();
            Sent::default().event(event.kind.name()).data(data)
        }
        Err(RecvError::Lagged(missed)) => Sent::default().event("missed").data(missed.to_string()),
        Err(RecvError::Closed) => return None,
    };
    Some((Ok(sent), events))
}
