//! Operations on deals: routes whose sticky splits assign clients alike, and whose dials are turned together.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::routing::{delete, get, put};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_plan::route::Route;
use waypost_proxy::generation::Generation;

use super::routes::{RouteView, Weights, view};
use super::{App, Body, Caller, Operation, PathName, json, json_body};
use crate::command::{Command, DealDialed};
use crate::problem::Problem;
use crate::report::RolloutReport;
use crate::state::AppState;

/// A deal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DealView {
    /// The name.
    pub name: String,
    /// Its routes, in order of declaration. Their services are matched by position.
    pub routes: Vec<RouteView>,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            method: "get",
            path: "/api/v1/deals",
            summary: "All deals, with their routes",
            query: &[],
            body: Vec::new(),
            response: vec![json::<Vec<DealView>>()],
            problems: &[503],
            handler: || get(list),
        },
        Operation {
            method: "get",
            path: "/api/v1/deals/{name}",
            summary: "One deal, with its routes",
            query: &[],
            body: Vec::new(),
            response: vec![json::<DealView>()],
            problems: &[404, 503],
            handler: || get(show),
        },
        Operation {
            method: "put",
            path: "/api/v1/deals/{name}/split",
            summary: "Turn the dials of all routes of a deal, or of none: weights by service, named as in any of the routes and matched by position; services left out get 0",
            query: &[],
            body: vec![json::<Weights>()],
            response: vec![json::<DealDialed>()],
            problems: &[400, 404, 415, 422, 503, 507],
            handler: || put(dial),
        },
        Operation {
            method: "delete",
            path: "/api/v1/deals/{name}/split",
            summary: "Reset the dials of all routes of a deal to the declared weights",
            query: &[],
            body: Vec::new(),
            response: vec![json::<DealDialed>()],
            problems: &[404, 503, 507],
            handler: || delete(reset),
        },
    ]
}

async fn list(State(state): App) -> Result<Json<Vec<DealView>>, Problem> {
    let generation = state.view()?.generation();
    let mut names: Vec<&str> = Vec::new();
    for deal in generation.plan().routes().iter().filter_map(Route::deal) {
        if !names.contains(&deal) {
            names.push(deal);
        }
    }
    let rollouts = state.report().rollouts.clone();
    let views = names.into_iter().map(|name| deal(&generation, name, &rollouts));
    Ok(Json(views.collect()))
}

async fn show(State(state): App, PathName(name): PathName) -> Result<Json<DealView>, Problem> {
    let generation = state.view()?.generation();
    let rollouts = state.report().rollouts.clone();
    let found = deal(&generation, &name, &rollouts);
    if found.routes.is_empty() {
        return Err(Problem::not_found(format!("there is no deal named `{name}`")));
    }
    Ok(Json(found))
}

fn deal(generation: &Arc<Generation>, name: &str, rollouts: &[RolloutReport]) -> DealView {
    let positions = generation.plan().routes_of_deal(name);
    DealView {
        name: name.to_owned(),
        routes: positions
            .map(|position| view(generation, position, rollouts))
            .collect(),
    }
}

async fn dial(
    State(state): App,
    Extension(Caller(by)): Extension<Caller>,
    PathName(deal): PathName,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Json<DealDialed>, Problem> {
    let Weights(weights) = json_body(&headers, &body)?;
    turn(&state, deal, Some(weights), by).await
}

async fn reset(
    State(state): App,
    Extension(Caller(by)): Extension<Caller>,
    PathName(deal): PathName,
) -> Result<Json<DealDialed>, Problem> {
    turn(&state, deal, None, by).await
}

async fn turn(
    state: &AppState,
    deal: String,
    weights: Option<Vec<(String, u64)>>,
    by: String,
) -> Result<Json<DealDialed>, Problem> {
    let dialed = state.execute(|reply| Command::DialDeal {
        deal,
        weights,
        by,
        reply,
    });
    Ok(Json(dialed.await?))
}
