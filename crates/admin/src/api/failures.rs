//! Samples of failed requests.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_proxy::observe::failed::FailedRequest;

use super::{App, Operation, PathName, json, routes};
use crate::failures::OF_ROUTE_MAX;
use crate::problem::Problem;

/// Samples of the failed requests of a route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FailuresView {
    /// The route.
    pub route: String,
    /// Samples at most.
    pub failures_max: usize,
    /// Some of its failed requests, the latest first, of each kind at least one.
    pub failures: Vec<FailureView>,
}

/// A failed request. Bodies, queries and secrets are no part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FailureView {
    /// The time at which it was found to have failed.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// The method.
    pub method: String,
    /// The host in its normal form.
    pub host: String,
    /// The path in its normal form, without the query.
    pub path: String,
    /// The service, if one was picked.
    pub service: Option<String>,
    /// The endpoint that was asked last, if any was.
    pub endpoint: Option<String>,
    /// The status that the client got.
    pub status: u16,
    /// The `grpc-status`, of a call of gRPC.
    pub grpc_status: Option<u8>,
    /// The party that ended it: `client`, `gateway` or `service`.
    pub ended_by: String,
    /// The reason, as in the access log: `complete` for a response of the service.
    pub reason: String,
    /// The mistake of the service, as in the access log.
    pub detail: Option<String>,
    /// The time from its first byte, in milliseconds.
    pub duration_ms: f64,
    /// The revision of the config.
    pub revision: u64,
    /// The id of the request, if it has one.
    pub request_id: Option<String>,
    /// Names and values of the headers: as the service got them, or as the client sent them if no service did. A value is
    /// `null` unless `show_headers` of `admin` has the name. `null` as a whole if they were gone by then, behind a long
    /// body.
    pub headers: Option<Vec<(String, Option<String>)>>,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "get",
        path: "/api/v1/routes/{name}/failures",
        summary: "Samples of the route's latest failed requests, without bodies, queries and secrets",
        query: &[],
        body: Vec::new(),
        response: vec![json::<FailuresView>()],
        problems: &[404, 503],
        handler: || get(failures),
    }]
}

async fn failures(State(state): App, PathName(route): PathName) -> Result<Json<FailuresView>, Problem> {
    routes::find(&state.view()?.generation(), &route)?;
    let failures = state.failures().of_route(&route);
    Ok(Json(FailuresView {
        route,
        failures_max: OF_ROUTE_MAX,
        failures: failures.iter().map(|failed| FailureView::of(failed)).collect(),
    }))
}

impl FailureView {
    fn of(failed: &FailedRequest) -> Self {
        Self {
            time: failed.time,
            method: failed.method.clone(),
            host: failed.host.clone(),
            path: failed.path.clone(),
            service: failed.service.as_deref().map(str::to_owned),
            endpoint: failed.endpoint.clone(),
            status: failed.status.http_status(),
            grpc_status: failed.status.grpc_code().map(|code| code.number()),
            ended_by: failed.ended_by.to_owned(),
            reason: failed.reason.to_owned(),
            detail: failed.detail.clone(),
            duration_ms: failed.duration.as_micros() as f64 / 1000.0,
            revision: failed.revision,
            request_id: failed.request_id.clone(),
            headers: failed.headers.clone(),
        }
    }
}
