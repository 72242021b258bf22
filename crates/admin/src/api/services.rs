//! Services and the addresses of their endpoints.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_plan::route::Action;

use super::{App, Operation, json};
use crate::problem::Problem;

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceView {
    /// The name.
    pub name: String,
    /// The endpoints.
    pub endpoints: Vec<EndpointView>,
    /// The routes that lead to it.
    pub routes: Vec<String>,
    /// The routes that send copies to it.
    pub mirrors: Vec<String>,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointView {
    /// Host and port, or the socket, as in the config.
    pub endpoint: String,
    /// The weight, relative to those of the other endpoints; 0 takes no requests.
    pub weight: u32,
    /// True if it is used only while no other endpoint is available.
    pub backup: bool,
    /// The addresses; none while the name does not resolve.
    pub addresses: Vec<AddressView>,
}

/// An address of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddressView {
    /// The address.
    pub address: String,
    /// True while the address is ejected after a failed connection, so that others are preferred.
    pub ejected: bool,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "get",
        path: "/api/v1/services",
        summary: "All services, with the addresses of their endpoints and the routes that lead to them",
        query: &[],
        body: Vec::new(),
        response: vec![json::<Vec<ServiceView>>()],
        problems: &[503],
        handler: || get(list),
    }]
}

async fn list(State(state): App) -> Result<Json<Vec<ServiceView>>, Problem> {
    let generation = state.view()?.generation();
    let plan = generation.plan();
    let mut services: Vec<ServiceView> = generation
        .services()
        .iter()
        .map(|running| {
            let service = running.service();
            let known = running.endpoints();
            let endpoints = service.endpoints.iter().enumerate().map(|(index, endpoint)| {
                let addresses = known.iter().filter(|known| known.declared == index);
                EndpointView {
                    endpoint: endpoint.text().into_owned(),
                    weight: endpoint.weight,
                    backup: endpoint.backup,
                    addresses: addresses
                        .map(|known| AddressView {
                            address: known.address.to_string(),
                            ejected: known.health.is_down(),
                        })
                        .collect(),
                }
            });
            ServiceView {
                name: service.name.to_string(),
                endpoints: endpoints.collect(),
                routes: Vec::new(),
                mirrors: Vec::new(),
            }
        })
        .collect();
    for route in plan.routes() {
        if let Action::Forward(forward) = &route.action {
            let name = &route.matching.name;
            for id in forward.arms.iter() {
                services[id.index()].routes.push(name.to_string());
            }
            if let Some(mirror) = &forward.policies.mirror {
                services[mirror.to.index()].mirrors.push(name.to_string());
            }
        }
    }
    Ok(Json(services))
}
