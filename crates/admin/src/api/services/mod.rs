//! Services and the addresses of their endpoints.

pub mod page;

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use waypost_plan::route::Action;
use waypost_proxy::generation::Generation;
use waypost_upstream::endpoint::Endpoint;
use waypost_upstream::health::EndpointState;
use waypost_upstream::service::ServiceState;

use super::{App, Body, Caller, Operation, PathName, QueryParams, json, json_body};
use crate::api::services::page::{Services, ServicesQuery, Wanted};
use crate::command::{Command, Drained};
use crate::problem::Problem;
use crate::state::AppState;

/// A service, with what there is to say of each address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceView<A> {
    /// The name.
    pub name: String,
    /// The endpoints.
    pub endpoints: Vec<EndpointView<A>>,
    /// The routes that lead to it.
    pub routes: Vec<String>,
    /// The routes that send copies to it.
    pub mirrors: Vec<String>,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointView<A> {
    /// Host and port, or the socket, as in the config.
    pub endpoint: String,
    /// The weight, relative to those of the other endpoints; 0 takes no requests.
    pub weight: u32,
    /// True if it is used only while no other endpoint is available.
    pub backup: bool,
    /// True if its name resolves to nothing but addresses of endpoints in front of it, which count once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken: bool,
    /// The addresses; none while the name does not resolve, or if all are `taken`.
    pub addresses: Vec<A>,
}

/// An address of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddressView {
    /// The address.
    pub address: String,
    /// True while the address is ejected after failures, so that others are preferred.
    pub ejected: bool,
}

/// An address of an endpoint, with its state and its counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AddressDetail {
    /// The address.
    pub address: String,
    /// True while the address is ejected after failures, so that others are preferred.
    pub ejected: bool,
    /// `up`, `unknown` (not checked yet, and counted as down until then), `down` (failed its checks), `ejected` or `drained`.
    pub state: String,
    /// The reason of the state, such as `check failed: status 503`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The time of its beginning.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// The time of its end, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    /// The weight; 0 takes no requests.
    pub weight: u32,
    /// Requests in flight.
    pub in_flight: u64,
    /// Attempts that have ended, those to connect among them that failed.
    pub requests: u64,
    /// Failed attempts: without a connection, broken off, timed out, or answered with a 5xx or a gRPC status that blames the
    /// endpoint.
    pub failures: u64,
    /// The 99th percentile of the time to a complete response, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
}

/// A change of an endpoint's drain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainChange {
    /// The endpoint: its URL as in the config, host and port, or one of its addresses.
    pub endpoint: String,
    /// True to drain it, false to take it back.
    pub drained: bool,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            method: "get",
            path: "/api/v1/services",
            summary: "All services, with the addresses of their endpoints and the routes that lead to them; or a page of those that a search finds, in any order",
            query: page::QUERY,
            body: Vec::new(),
            response: vec![json::<Services>()],
            problems: &[400, 422, 503],
            handler: || get(list),
        },
        Operation {
            method: "get",
            path: "/api/v1/services/{name}",
            summary: "One service, with the state of its endpoints",
            query: &[],
            body: Vec::new(),
            response: vec![json::<ServiceView<AddressDetail>>()],
            problems: &[404, 503],
            handler: || get(show),
        },
        Operation {
            method: "put",
            path: "/api/v1/services/{name}/drain",
            summary: "Drain an endpoint, which then takes no further requests, or take it back; it stays so across restarts and reloads as long as it is declared",
            query: &[],
            body: vec![json::<DrainChange>()],
            response: vec![json::<Drained>()],
            problems: &[400, 404, 415, 422, 503, 507],
            handler: || put(drain),
        },
    ]
}

async fn list(
    State(state): App,
    QueryParams(query): QueryParams<ServicesQuery>,
) -> Result<Response, Problem> {
    let generation = state.view()?.generation();
    let wanted = Wanted::from(&query)?;
    // Off the async thread: ten thousand services take a while, and other requests must not wait.
    let listed = tokio::task::spawn_blocking(move || match wanted {
        Some(wanted) => Json(page::of(&state, &generation, &wanted)).into_response(),
        None if query.detail => {
            let detail =
                |running: &ServiceState, endpoint: &Endpoint, now| detail(&state, running, endpoint, now);
            Json(views(&generation, &all(&generation), detail)).into_response()
        }
        None => {
            let brief = |running: &ServiceState, endpoint: &Endpoint, now| AddressView {
                address: endpoint.address.to_string(),
                ejected: running.is_ejected(endpoint, now),
            };
            Json(views(&generation, &all(&generation), brief)).into_response()
        }
    });
    listed.await.map_err(|_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the services could not be listed",
        )
    })
}

/// The positions of all services.
fn all(generation: &Generation) -> Vec<usize> {
    (0..generation.services().len()).collect()
}

async fn show(
    State(state): App,
    PathName(name): PathName,
) -> Result<Json<ServiceView<AddressDetail>>, Problem> {
    let generation = state.view()?.generation();
    let detail = |running: &ServiceState, endpoint: &Endpoint, now| detail(&state, running, endpoint, now);
    let mut services = generation.services().iter();
    let position = services.position(|running| *running.service().name == *name);
    let positions: Vec<usize> = position.into_iter().collect();
    let found = views(&generation, &positions, detail).pop();
    found
        .map(Json)
        .ok_or_else(|| Problem::not_found(format!("there is no service named `{name}`")))
}

async fn drain(
    State(state): App,
    Extension(Caller(by)): Extension<Caller>,
    PathName(service): PathName,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Json<Drained>, Problem> {
    let DrainChange { endpoint, drained } = json_body(&headers, &body)?;
    let drained = state.execute(|reply| Command::Drain {
        service,
        endpoint,
        drained,
        by,
        reply,
    });
    Ok(Json(drained.await?))
}

/// The services at these positions, in this order.
fn views<A>(
    generation: &Generation,
    positions: &[usize],
    address: impl Fn(&ServiceState, &Endpoint, Instant) -> A,
) -> Vec<ServiceView<A>> {
    let plan = generation.plan();
    let now = Instant::now();
    let shown = positions
        .iter()
        .map(|at| (*at, view(&generation.services()[*at], &address, now)));
    let mut shown: HashMap<usize, ServiceView<A>> = shown.collect();
    for route in plan.routes() {
        if let Action::Forward(forward) = &route.action {
            let name = &route.matching.name;
            for id in forward.arms.iter() {
                if let Some(view) = shown.get_mut(&id.index()) {
                    view.routes.push(name.to_string());
                }
            }
            if let Some(mirror) = &forward.split_policies.mirror
                && let Some(view) = shown.get_mut(&mirror.to.index())
            {
                view.mirrors.push(name.to_string());
            }
        }
    }
    positions.iter().filter_map(|at| shown.remove(at)).collect()
}

fn view<A>(
    running: &ServiceState,
    address: impl Fn(&ServiceState, &Endpoint, Instant) -> A,
    now: Instant,
) -> ServiceView<A> {
    let service = running.service();
    let known = running.endpoints();
    let endpoints = service.endpoints.iter().enumerate().map(|(index, endpoint)| {
        let addresses = known.iter().filter(|known| known.declared == index);
        let addresses: Vec<A> = addresses.map(|known| address(running, known, now)).collect();
        EndpointView {
            endpoint: endpoint.text().into_owned(),
            weight: endpoint.weight,
            backup: endpoint.backup,
            taken: addresses.is_empty() && running.resolves(index),
            addresses,
        }
    });
    ServiceView {
        name: service.name.to_string(),
        endpoints: endpoints.collect(),
        routes: Vec::new(),
        mirrors: Vec::new(),
    }
}

fn detail(state: &AppState, running: &ServiceState, endpoint: &Endpoint, now: Instant) -> AddressDetail {
    let status = running.status(endpoint, now);
    let reading = endpoint.meter.read();
    AddressDetail {
        address: endpoint.address.to_string(),
        ejected: running.is_ejected(endpoint, now),
        state: status.state.word().to_owned(),
        reason: (status.state != EndpointState::Up).then_some(status.reason),
        since: time(state, status.since),
        until: status.until.map(|until| time(state, until)),
        weight: endpoint.weight(),
        in_flight: reading.in_flight,
        requests: reading.requests,
        failures: reading.failures,
        p99_ms: reading.durations.quantile_ms(0.99),
    }
}

/// A time of the monotonic clock, in milliseconds of the calendar.
fn time(state: &AppState, at: Instant) -> Timestamp {
    let (at, began) = (at.into_std(), state.began);
    let ms = match at.checked_duration_since(began) {
        Some(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        None => -i64::try_from(began.saturating_duration_since(at).as_millis()).unwrap_or(i64::MAX),
    };
    let ms = state.started.as_millisecond().saturating_add(ms);
    Timestamp::from_millisecond(ms).unwrap_or(state.started)
}
