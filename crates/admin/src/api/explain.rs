//! Explanation of routing decisions by the active config, or by one that is not applied.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use waypost_policy::explain::{Considered, Explanation, Question, Rollout};
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
    /// Rules in `considered` at most: the first ones by rank, and the one that takes the request. By default all.
    considered_max: Option<usize>,
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
    #[serde(flatten)]
    bounds: Option<Bounds>,
}

/// Knowledge of the rules beyond those in `considered`.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Bounds {
    considered_total: usize,
    /// The rank of the rule that takes the request.
    taken_rank: Option<usize>,
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
            "url": { "type": "string", "description": "the URL of the question, without credentials in its query" },
            "outcome": { "enum": ["forward", "redirect", "respond", "not_found", "refused", "unavailable"] },
            "status": { "type": "integer" },
            "stopped": { "type": "object" },
            "route": { "type": ["string", "null"] },
            "service": { "type": "string" },
            "arms": { "type": "array" },
            "cohort": { "type": "string" },
            "rollout": { "type": "object" },
            "auth": { "type": "object", "description": "what `auth` found out: the way that decided, the result, and the client with its groups" },
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
            "considered_total": { "type": "integer", "description": "with `considered_max`: the number of all rules" },
            "taken_rank": { "type": ["integer", "null"], "description": "with `considered_max`: the rank, from 1, of the rule that takes the request; it is the last in `considered` if others come before" },
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
    let considered_max = asked.considered_max;
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
    let mut explanation = match draft {
        Some(draft) => {
            let draft = Replaced::from(draft);
            let explained = state.execute(|reply| Command::ExplainDraft {
                draft,
                question,
                reply,
            });
            explained.await?
        }
        None => {
            // Off the async thread: with routes of all hosts it takes a while, and a password does on purpose.
            let explained = tokio::task::spawn_blocking(move || explain(&state, &question)).await;
            explained.map_err(|_| {
                Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the request could not be explained",
                )
            })??
        }
    };
    let bounds = considered_max.map(|max| bound(&mut explanation.considered, max));
    Ok(Json(Explained {
        request,
        explanation,
        bounds,
    }))
}

/// Drops the rules beyond the first `max`, but for the one that takes the request.
fn bound(considered: &mut Vec<Considered>, max: usize) -> Bounds {
    let taken = considered.iter().position(|rule| rule.matched);
    let bounds = Bounds {
        considered_total: considered.len(),
        taken_rank: taken.map(|at| at + 1),
    };
    let beyond = taken.filter(|at| *at >= max).map(|at| considered.swap_remove(at));
    considered.truncate(max);
    considered.extend(beyond);
    bounds
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_bounded_and_the_one_that_takes_the_request_stays() {
        let check = |matching: &[usize], max: usize, expected: (&[usize], Option<usize>)| {
            let rules = (0..5).map(|at| Considered {
                route: at.to_string(),
                alternative: 0,
                matched: matching.contains(&at),
                because: None,
            });
            let mut rules: Vec<Considered> = rules.collect();
            let bounds = bound(&mut rules, max);
            assert_eq!((bounds.considered_total, bounds.taken_rank), (5, expected.1));
            let kept: Vec<usize> = rules.iter().map(|rule| rule.route.parse().unwrap()).collect();
            assert_eq!(kept, expected.0, "{matching:?} {max}");
        };
        check(&[], 2, (&[0, 1], None));
        check(&[1, 3], 2, (&[0, 1], Some(2)));
        check(&[3, 4], 2, (&[0, 1, 3], Some(4)));
        check(&[4], 9, (&[0, 1, 2, 3, 4], Some(5)));
        check(&[0], 0, (&[0], Some(1)));
    }
}
