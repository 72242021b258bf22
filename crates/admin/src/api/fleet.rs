//! The fleet that the gateway belongs to.

use axum::Json;
use axum::extract::State;
use axum::routing::get;

use super::{App, Operation, json};
use crate::fleet::FleetView;
use crate::problem::Problem;

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "get",
        path: "/api/v1/fleet",
        summary: "The instances of the fleet, and if they obey it",
        query: &[],
        body: Vec::new(),
        response: vec![json::<FleetView>()],
        problems: &[404],
        handler: || get(fleet),
    }]
}

async fn fleet(State(state): App) -> Result<Json<FleetView>, Problem> {
    let fleet = state.fleet();
    fleet
        .map(Json)
        .ok_or_else(|| Problem::not_found("this gateway is in no fleet: its config does not come from etcd"))
}
