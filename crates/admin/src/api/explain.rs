//! Explanation of routing decisions by the active config, or by one that is not applied.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::routing::post;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use waypost_policy::explain::{Explanation, Question, Rollout};
use waypost_proxy::generation::KnownEndpoints;

use super::config::Files;
use super::{App, Body, Content, Operation, json, json_body};
use crate::access::{Admitted, Role};
use crate::command::{Command, Replaced, RequestView};
use crate::problem::Problem;
use crate::state::AppState;

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
    /// A command line of curl, in place of method, URL and headers. The response has the `request` that curl would send.
    curl: Option<String>,
    /// The config to explain by, which is not applied: the text of one that is a file, or its files; by default the active
    /// one. Its endpoints count as available. An invalid one is a 422 with diagnostics.
    #[serde(alias = "draft")]
    config: Option<Draft>,
}

/// A config that is not applied.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Draft {
    Text(String),
    Files(Files),
}

/// An explanation, with the request if that was read from a command line.
#[derive(Debug, Serialize)]
struct Explained {
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RequestView>,
    #[serde(flatten)]
    explanation: Explanation,
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
            "rate": { "type": "array", "description": "the rate limits in force, with what would remain of each" },
            "timeout": { "type": "string" },
            "retry": { "type": "object" },
            "hedge": { "type": "string" },
            "cors": { "type": "object", "description": "the permissions of pages of other origins, where `cors` is in force" },
            "location": { "type": "string" },
            "host": { "type": ["string", "null"] },
            "path": { "type": "string" },
            "query": { "type": ["string", "null"] },
            "headers": { "type": "array" },
            "policies": { "type": "object" },
            "revision": { "type": ["integer", "null"], "description": "null of a config that is not applied" },
            "request": { "type": "object", "description": "the request of a command line of curl" },
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
        problems: &[400, 409, 413, 415, 422, 503],
        handler: || post(ask),
    }]
}

async fn ask(
    State(state): App,
    Extension(client): Extension<Admitted>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Json<Explained>, Problem> {
    let mut asked: ExplainRequest = json_body(&headers, &body)?;
    // A draft names files and variables of the environment, whose contents its diagnostics may show.
    if asked.config.is_some() && client.role == Role::Read {
        return Err(super::read_only(&client.name));
    }
    let draft = asked.config.take();
    let curl = asked.curl.take();
    let request = match curl {
        Some(line) => {
            if !asked.names_no_request() {
                return Err(Problem::invalid(
                    "`curl` has method, URL and headers already; give either it or them",
                ));
            }
            Some(state.execute(|reply| Command::ReadCurl { line, reply }).await?)
        }
        None => None,
    };
    let question = match &request {
        Some(request) => Question {
            method: request.method.clone(),
            url: request.url.clone(),
            headers: request.headers.clone(),
            client_ip: asked.client_ip,
            listener: asked.listener,
            all: asked.all,
        },
        None => asked.question()?,
    };
    let explanation = match draft {
        Some(draft) => {
            let draft = Replaced::from(draft);
            let explained = state.execute(|reply| Command::ExplainDraft {
                draft,
                question,
                reply,
            });
            explained.await?
        }
        None => explain(&state, &question)?,
    };
    Ok(Json(Explained { request, explanation }))
}

impl From<Draft> for Replaced {
    fn from(draft: Draft) -> Self {
        match draft {
            Draft::Text(text) => Self::Text(text.into_bytes()),
            Draft::Files(Files { files }) => {
                let files = files.into_iter();
                Self::Files(files.map(|file| (file.name, file.text.into_bytes())).collect())
            }
        }
    }
}

impl ExplainRequest {
    fn names_no_request(&self) -> bool {
        let has_headers = self.headers != Headers::default();
        self.request.is_none() && self.method.is_none() && self.url.is_none() && !has_headers
    }

    fn question(self) -> Result<Question, Problem> {
        let (method, url) = match (self.request, self.method, self.url) {
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
                    "give either `request`, or `method` and `url`, or `curl`",
                ));
            }
        };
        Ok(Question {
            method,
            url,
            headers: match self.headers {
                Headers::ByName(named) => named.into_iter().collect(),
                Headers::Pairs(pairs) => pairs,
            },
            client_ip: self.client_ip,
            listener: self.listener,
            all: self.all,
        })
    }
}

/// Explains a request by the active config.
fn explain(state: &AppState, question: &Question) -> Result<Explanation, Problem> {
    let generation = state.view()?.generation();
    let mut explained = generation
        .explain(question, KnownEndpoints::Resolved)
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
    Ok(explained)
}
