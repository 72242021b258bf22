//! What becomes of a request, by the config that is in force.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use waypost_policy::explain::{Explanation, Question};
use waypost_proxy::generation::KnownEndpoints;

use super::{App, Body, Content, Operation, json, json_body};
use crate::problem::Problem;

/// A request to be explained.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Explained {
    /// Method and URL in one text, as the tests of a config have it: `GET http://host/path`.
    request: Option<String>,
    /// The method, where `request` is not given.
    method: Option<String>,
    /// The URL, where `request` is not given.
    url: Option<String>,
    /// Headers: by name, or a list of pairs.
    #[serde(default)]
    headers: Headers,
    /// The address of the client; 127.0.0.1 where none is given.
    #[schemars(with = "Option<String>")]
    client_ip: Option<IpAddr>,
    /// The listener, by name or by the text of its `bind`; the first that serves the host where none is given.
    listener: Option<String>,
    /// Whether routes of other hosts are considered too.
    #[serde(default)]
    all: bool,
}

/// Headers, by name or as pairs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Headers {
    Named(BTreeMap<String, String>),
    Pairs(Vec<(String, String)>),
}

impl Default for Headers {
    fn default() -> Self {
        Self::Pairs(Vec::new())
    }
}

/// The schema of an answer, which `waypost explain --format json` prints too.
fn answer_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "What becomes of the request, as `waypost explain --format json` prints it.",
        "required": ["outcome", "route", "host", "path", "query", "headers", "revision", "considered"],
        "properties": {
            "outcome": { "enum": ["forward", "redirect", "respond", "not_found", "refused", "unavailable"] },
            "status": { "type": "integer" },
            "route": { "type": ["string", "null"] },
            "service": { "type": "string" },
            "arms": { "type": "array" },
            "cohort": { "type": "string" },
            "location": { "type": "string" },
            "host": { "type": ["string", "null"] },
            "path": { "type": "string" },
            "query": { "type": ["string", "null"] },
            "headers": { "type": "array" },
            "revision": { "type": "integer" },
            "considered": { "type": "array" },
        },
    })
}

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "post",
        path: "/api/v1/explain",
        summary: "Which route takes a request, and for every other route why not, with the weights that are live",
        query: &[],
        body: vec![json::<Explained>()],
        answer: vec![Content {
            kind: "application/json",
            schema: Some(answer_schema),
        }],
        problems: &[400, 415, 422, 503],
        handler: || post(ask),
    }]
}

async fn ask(State(shared): App, headers: HeaderMap, Body(body): Body) -> Result<Json<Explanation>, Problem> {
    let asked: Explained = json_body(&headers, &body)?;
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
            return Err(Problem::invalid(
                "there is either `request`, or `method` and `url`",
            ));
        }
    };
    let question = Question {
        method,
        url,
        headers: match asked.headers {
            Headers::Named(named) => named.into_iter().collect(),
            Headers::Pairs(pairs) => pairs,
        },
        client_ip: asked.client_ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        listener: asked.listener,
        all: asked.all,
    };
    let generation = shared.view()?.generation();
    let mut answer = generation
        .explain(&question, KnownEndpoints::Resolved)
        .map_err(|error| Problem::invalid(error.to_string()))?;
    answer.revision = Some(generation.number());
    Ok(Json(answer))
}
