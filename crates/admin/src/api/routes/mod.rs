//! Operations on routes and on the dials of their splits.

pub mod detail;
pub mod page;

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::routing::{delete, get, put};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use waypost_plan::duration;
use waypost_plan::retry::Retry;
use waypost_plan::route::{Action, Route};
use waypost_plan::sticky::StickyKey;
use waypost_proxy::generation::Generation;

use super::{
    App, Body, Caller, Operation, PathName, QueryParams, Versioned, etag, if_match, json, json_body,
};
use crate::api::routes::page::Routes;
use crate::arms;
use crate::command::{ArmView, Command, Dialed, Turn, split_version};
use crate::problem::Problem;
use crate::report::RolloutReport;
use crate::state::AppState;

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteView {
    /// The name.
    pub name: String,
    /// `forward`, `redirect` or `respond`.
    pub action: String,
    /// The match, one text for each alternative.
    pub matches: Vec<String>,
    /// The services of its split, in order.
    pub arms: Vec<ArmView>,
    /// The key of sticky clients, such as `header x-user-id`.
    pub sticky: Option<String>,
    /// The deal, whose routes assign sticky clients alike.
    pub deal: Option<String>,
    /// The service that receives copies of requests.
    pub mirror: Option<String>,
    /// The policies that it uses, in order.
    #[serde(default, rename = "use")]
    pub uses: Vec<String>,
    /// The timeout for the whole exchange, such as `15s`.
    #[serde(default)]
    pub timeout: Option<String>,
    /// The retries that it asks for.
    #[serde(default)]
    pub retry: Option<RetryView>,
    /// The time without the head of a response after which another endpoint is asked besides, such as `95ms`.
    #[serde(default)]
    pub hedge: Option<String>,
    /// The rollout under way, such as `step 2 of 5: 5 %`.
    #[serde(default)]
    pub rollout: Option<String>,
}

/// The retries of a route, with the values of keys that it leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetryView {
    /// Further attempts at most.
    pub attempts: u32,
    /// The reasons for one, as they are written in a config.
    pub on: Vec<String>,
    /// The methods whose requests may be sent twice.
    pub methods: Vec<String>,
    /// Retries of the service at most, in percent of its requests; 3 a second come on top.
    pub budget: u32,
    /// The wait before the first at most; doubled with each.
    pub backoff: String,
    /// The timeout of each attempt; the service's own without one.
    pub timeout: Option<String>,
    /// Bytes of a body that are held, so that it can be sent again.
    pub body: usize,
}

/// A route with the history of its dial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteDetail {
    /// The route.
    #[serde(flatten)]
    pub route: RouteView,
    /// The stored turns of its dial, latest first.
    pub turns: Vec<Turn>,
    /// The rest of it, beside its match and its split.
    #[serde(flatten)]
    pub in_force: detail::InForce,
}

/// The split of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SplitView {
    /// The route.
    pub name: String,
    /// Its services, in order.
    pub arms: Vec<ArmView>,
}

/// Weights by service, in any order, without duplicates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights(pub Vec<(String, u64)>);

/// The query parameter that turns a dial in spite of a rollout.
const FORCE: (&str, &str, &str) = (
    "force",
    "boolean",
    "`true` aborts a rollout of the route first; without it, one under way is a 409",
);

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            method: "get",
            path: "/api/v1/routes",
            summary: "All routes, with the declared and live weights of their services; or a page of those that a search finds, in any order, with their figures",
            query: page::QUERY,
            body: Vec::new(),
            response: vec![json::<Routes>()],
            problems: &[400, 422, 503],
            handler: || get(page::list),
        },
        Operation {
            method: "get",
            path: "/api/v1/routes/{name}",
            summary: "One route, with the history of its dial",
            query: &[],
            body: Vec::new(),
            response: vec![json::<RouteDetail>()],
            problems: &[404, 503],
            handler: || get(show),
        },
        Operation {
            method: "get",
            path: "/api/v1/routes/{name}/split",
            summary: "The arms of a route with their declared and live weights; the ETag is their version",
            query: &[],
            body: Vec::new(),
            response: vec![json::<SplitView>()],
            problems: &[404, 503],
            handler: || get(split),
        },
        Operation {
            method: "put",
            path: "/api/v1/routes/{name}/split",
            summary: "Turn the dial: set weights by service, live for every request that begins after the response; services left out get 0. With If-Match, only if the split still has this version",
            query: &[FORCE],
            body: vec![json::<Weights>()],
            response: vec![json::<Dialed>()],
            problems: &[400, 404, 409, 412, 415, 422, 503, 507],
            handler: || put(dial),
        },
        Operation {
            method: "delete",
            path: "/api/v1/routes/{name}/split",
            summary: "Reset the dial to the declared weights; with If-Match, only if the split still has this version",
            query: &[FORCE],
            body: Vec::new(),
            response: vec![json::<Dialed>()],
            problems: &[400, 404, 409, 412, 422, 503, 507],
            handler: || delete(reset),
        },
    ]
}

async fn split(State(state): App, PathName(name): PathName) -> Result<Versioned<SplitView>, Problem> {
    let generation = state.view()?.generation();
    let position = find(&generation, &name)?;
    let arms = arms::of_route(&generation, position);
    Ok((version_of(&arms), Json(SplitView { name, arms })))
}

async fn show(State(state): App, PathName(name): PathName) -> Result<Versioned<RouteDetail>, Problem> {
    let generation = state.view()?.generation();
    let position = find(&generation, &name)?;
    let route = name.clone();
    let history = state.execute(|reply| Command::DialOf { route, reply }).await?;
    let rollouts = state.report().rollouts.clone();
    let route = view(&generation, position, &rollouts);
    let turns = history.turns;
    Ok((
        version_of(&route.arms),
        Json(RouteDetail {
            in_force: detail::InForce::of(generation.plan(), position),
            route,
            turns,
        }),
    ))
}

/// The version of a split, as the ETag of a response.
fn version_of(arms: &[ArmView]) -> [(HeaderName, HeaderValue); 1] {
    [(header::ETAG, etag(&split_version(arms)))]
}

/// The query of a dial.
#[derive(Debug, Deserialize)]
struct DialQuery {
    /// True to abort a rollout of the route first.
    #[serde(default)]
    force: bool,
}

async fn dial(
    State(state): App,
    Extension(Caller(by)): Extension<Caller>,
    PathName(route): PathName,
    QueryParams(query): QueryParams<DialQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Versioned<Dialed>, Problem> {
    let Weights(weights) = json_body(&headers, &body)?;
    turn(&state, route, Some(weights), query.force, &headers, by).await
}

async fn reset(
    State(state): App,
    Extension(Caller(by)): Extension<Caller>,
    PathName(route): PathName,
    QueryParams(query): QueryParams<DialQuery>,
    headers: HeaderMap,
) -> Result<Versioned<Dialed>, Problem> {
    turn(&state, route, None, query.force, &headers, by).await
}

async fn turn(
    state: &AppState,
    route: String,
    weights: Option<Vec<(String, u64)>>,
    force: bool,
    headers: &HeaderMap,
    by: String,
) -> Result<Versioned<Dialed>, Problem> {
    let versions = if_match(headers);
    let dialed = state.execute(|reply| Command::Dial {
        route,
        weights,
        force,
        versions,
        by,
        reply,
    });
    let dialed = dialed.await?;
    Ok((version_of(&dialed.arms), Json(dialed)))
}

/// The position of the route with this name.
pub(crate) fn find(generation: &Generation, name: &str) -> Result<usize, Problem> {
    let found = generation.compiled().position(name);
    found.ok_or_else(|| Problem::not_found(format!("there is no route named `{name}`")))
}

pub(super) fn view(generation: &Arc<Generation>, position: usize, rollouts: &[RolloutReport]) -> RouteView {
    let plan = generation.plan();
    let route = &plan.routes()[position];
    let forward = match &route.action {
        Action::Forward(forward) => Some(forward),
        Action::Redirect(_) | Action::Respond(_) => None,
    };
    let action = match &route.action {
        Action::Forward(_) if route.is_passthrough => "passthrough",
        Action::Forward(_) => "forward",
        Action::Redirect(_) => "redirect",
        Action::Respond(_) => "respond",
    };
    let sticky = forward.and_then(|forward| forward.split_policies.sticky.as_ref());
    let mirror = forward.and_then(|forward| forward.split_policies.mirror.as_ref());
    let retry = route.policies.retry.as_ref().filter(|_| forward.is_some());
    RouteView {
        name: route.matching.name.to_string(),
        action: action.to_owned(),
        matches: matches(route),
        arms: arms::of_route(generation, position),
        sticky: sticky.map(|sticky| match &sticky.key {
            StickyKey::Header(name) => format!("header {name}"),
            StickyKey::Cookie(cookie) => format!("cookie {}", cookie.name),
            StickyKey::ClientIp => "client_ip".to_owned(),
        }),
        deal: sticky
            .and_then(|sticky| sticky.deal.as_deref())
            .map(str::to_owned),
        mirror: mirror.map(|mirror| plan.service(mirror.to).name.to_string()),
        uses: route.policies.uses().iter().map(ToString::to_string).collect(),
        timeout: forward.and(route.policies.timeout).map(duration::format),
        retry: retry.map(RetryView::from),
        hedge: retry.and_then(|retry| retry.hedge).map(duration::format),
        rollout: rollouts
            .iter()
            .find(|rollout| *rollout.route == *route.matching.name)
            .map(|rollout| {
                format!(
                    "step {} of {}: {} %",
                    rollout.step,
                    rollout.steps,
                    rollout.percent()
                )
            }),
    }
}

/// Summarises a match: `api.example.com /users/*`, and the number of further conditions.
fn matches(route: &Route) -> Vec<String> {
    let alternatives = route.matching.alternatives.iter();
    alternatives
        .map(|alternative| {
            let methods = alternative.methods.join("|");
            let host = alternative.host.to_string();
            let conditions = alternative.headers.len()
                + alternative.attributes.len()
                + alternative.cookies.len()
                + alternative.query.len()
                + usize::from(!alternative.client_ips.is_empty());
            let more = match conditions {
                0 => String::new(),
                1 => "(1 condition)".to_owned(),
                more => format!("({more} conditions)"),
            };
            let words = [methods, host, alternative.path.to_string(), more];
            let words = words.iter().map(String::as_str).filter(|word| !word.is_empty());
            words.collect::<Vec<&str>>().join(" ")
        })
        .collect()
}

impl From<&Retry> for RetryView {
    fn from(retry: &Retry) -> Self {
        Self {
            attempts: retry.attempts,
            on: retry.on.words(),
            methods: retry.method_names().into_iter().map(str::to_owned).collect(),
            budget: retry.budget,
            backoff: duration::format(retry.backoff),
            timeout: retry.timeout.map(duration::format),
            body: retry.body,
        }
    }
}

impl<'de> Deserialize<'de> for Weights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Weights;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("weights by service, such as {\"users-v1\": 75, \"users-v2\": 25}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Weights, A::Error> {
                let mut weights: Vec<(String, u64)> = Vec::new();
                while let Some((service, weight)) = map.next_entry::<String, u64>()? {
                    if weights.iter().any(|(known, _)| *known == service) {
                        return Err(serde::de::Error::custom(format!("`{service}` is given twice")));
                    }
                    weights.push((service, weight));
                }
                Ok(Weights(weights))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

impl JsonSchema for Weights {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Weights".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "Weights by service.",
            "additionalProperties": { "type": "integer", "minimum": 0 },
        })
    }
}
