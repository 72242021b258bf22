//! Services, and where their endpoints are.

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
    /// Its name.
    pub name: String,
    /// Its endpoints.
    pub endpoints: Vec<EndpointView>,
    /// The routes that lead to it.
    pub routes: Vec<String>,
    /// The routes that send copies to it.
    pub mirrors: Vec<String>,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointView {
    /// Its host and port, as the config says.
    pub endpoint: String,
    /// Its addresses; none while its name does not resolve.
    pub addresses: Vec<AddressView>,
}

/// An address of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddressView {
    /// The address.
    pub address: String,
    /// Whether the last connection to it failed, so that others are preferred.
    pub resting: bool,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "get",
        path: "/api/v1/services",
        summary: "All services, with the addresses of their endpoints and the routes that lead to them",
        query: &[],
        body: Vec::new(),
        answer: vec![json::<Vec<ServiceView>>()],
        problems: &[503],
        handler: || get(list),
    }]
}

async fn list(State(shared): App) -> Result<Json<Vec<ServiceView>>, Problem> {
    let generation = shared.view()?.generation();
    let plan = generation.plan();
    let mut services: Vec<ServiceView> = generation
        .services()
        .iter()
        .map(|state| {
            let service = state.service();
            let known = state.endpoints();
            let endpoints = service.endpoints.iter().enumerate().map(|(index, endpoint)| {
                let addresses = known.iter().filter(|known| known.declared == index);
                EndpointView {
                    endpoint: endpoint.authority.to_string(),
                    addresses: addresses
                        .map(|known| AddressView {
                            address: known.address.to_string(),
                            resting: known.health.is_down(),
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
