//! Explanation of routing decisions by the active config.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use waypost_policy::explain::{Explanation, Question, Rollout};
use waypost_proxy::generation::KnownEndpoints;

use super::{App, Body, Content, Operation, json, json_body};
use crate::problem::Problem;

/// A request to explain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Method and URL in one text, as in the tests of a config: `GET http://host/path`.
    request: Option<String>,
    /// The method, without `request`; GET by default.
    method: Option<String>,
    /// The URL, without `request`.
    url: Option<String>,
    /// Headers, by name or as a list of pairs.
    #[serde(default)]
    headers: Headers,
    /// The client's address; by default 127.0.0.1, or none at a unix socket.
    #[schemars(with = "Option<String>")]
    client_ip: Option<IpAddr>,
    /// The listener, by name or by the text of its `bind`; by default the first that serves the host and fits the scheme
    /// of the URL: `https` one with `tls`, `http` one without.
    listener: Option<String>,
    /// True to include routes of other hosts.
    #[serde(default)]
    all: bool,
}

/// Headers, by name or as pairs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Headers {
    ByName(BTreeMap<String, String>),
    Pairs(Vec<(String, String)>),
}

impl Default for Headers {
    fn default() -> Self {
        Self::Pairs(Vec::new())
    }
}

/// The schema of a response, which is also the output of `waypost explain --format json`.
fn response_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "The routing decision, as `waypost explain --format json` prints it.",
        "required": ["outcome", "route", "host", "path", "query", "headers", "revision", "considered"],
        "properties": {
            "outcome": { "enum": ["forward", "redirect", "respond", "not_found", "refused", "unavailable"] },
            "status": { "type": "integer" },
            "stopped": { "type": "object" },
            "route": { "type": ["string", "null"] },
            "service": { "type": "string" },
            "arms": { "type": "array" },
            "cohort": { "type": "string" },
            "rollout": { "type": "object" },
            "timeout": { "type": "string" },
            "retry": { "type": "object" },
            "hedge": { "type": "string" },
            "location": { "type": "string" },
            "host": { "type": ["string", "null"] },
            "path": { "type": "string" },
            "query": { "type": ["string", "null"] },
            "headers": { "type": "array" },
            "policies": { "type": "object" },
            "revision": { "type": "integer" },
            "considered": { "type": "array" },
        },
    })
}

/// The path of questions, which change nothing.
pub(super) const PATH: &str = "/api/v1/explain";

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "post",
        path: PATH,
        summary: "The route that matches a request, the reason why every other route does not, and the live weights",
        query: &[],
        body: vec![json::<ExplainRequest>()],
        response: vec![Content {
            kind: "application/json",
            schema: Some(response_schema),
        }],
        problems: &[400, 415, 422, 503],
        handler: || post(ask),
    }]
}

async fn ask(State(state): App, headers: HeaderMap, Body(body): Body) -> Result<Json<Explanation>, Problem> {
    let asked: ExplainRequest = json_body(&headers, &body)?;
    let (method, url) = match (asked.request, asked.method, asked.url) {
        (Some(request), None, None) => match request.split_once(' ') {
            Some((method, url)) => (method.to_owned(), url.trim_start().to_owned()),
            None => {
                return Err(Problem::invalid(
                    "`request` is a method and a URL: `GET http://host/path`",
                ));
            }
        },
        (None, method, Some(url)) => (method.unwrap_or_else(|| "GET".to_owned()), url),
        _ => {
            return Err(Problem::invalid("give either `request`, or `method` and `url`"));
        }
    };
    let question = Question {
        method,
        url,
        headers: match asked.headers {
            Headers::ByName(named) => named.into_iter().collect(),
            Headers::Pairs(pairs) => pairs,
        },
        client_ip: asked.client_ip,
        listener: asked.listener,
        all: asked.all,
    };
    let generation = state.view()?.generation();
    let mut explained = generation
        .explain(&question, KnownEndpoints::Resolved)
        .map_err(|error| Problem::invalid(error.to_string()))?;
    explained.revision = Some(generation.number());
    let report = state.report();
    let under_way = report
        .rollouts
        .iter()
        .find(|rollout| Some(&rollout.route) == explained.route.as_ref());
    if let Some(rollout) = under_way {
        explained.rollout = Some(Rollout {
            plan: explained.rollout.and_then(|rollout| rollout.plan),
            steps: rollout.steps,
            canary: Some(rollout.canary.clone()),
            step: Some(rollout.step),
            percent: Some(rollout.percent()),
        });
    }
    Ok(Json(explained))
}
