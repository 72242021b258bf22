//! Routes, and the dials of their splits.

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::routing::{delete, get, put};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use waypost_plan::route::{Action, Forward, Route};
use waypost_plan::sticky::StickyKey;
use waypost_proxy::generation::Generation;

use super::{App, Asker, Body, By, Named, Operation, json, json_body};
use crate::command::{ArmView, Command, Dialed, Turn};
use crate::problem::Problem;
use crate::shared::Shared;

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteView {
    /// Its name.
    pub name: String,
    /// `forward`, `redirect` or `respond`.
    pub action: String,
    /// What it matches, one text for each alternative.
    pub matches: Vec<String>,
    /// The services that it forwards to, in order.
    pub arms: Vec<ArmView>,
    /// What keeps clients on their side, such as `header x-user-id`.
    pub sticky: Option<String>,
    /// The service that gets copies.
    pub mirror: Option<String>,
}

/// A route, and how its dial came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteDetail {
    /// The route.
    #[serde(flatten)]
    pub route: RouteView,
    /// The turns of its dial that are remembered, the latest first.
    pub turns: Vec<Turn>,
}

/// Weights by service, in any order, each name once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights(pub Vec<(String, u64)>);

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            method: "get",
            path: "/api/v1/routes",
            summary: "All routes, with the declared and the live weights of their services",
            query: &[],
            body: Vec::new(),
            answer: vec![json::<Vec<RouteView>>()],
            problems: &[503],
            handler: || get(list),
        },
        Operation {
            method: "get",
            path: "/api/v1/routes/{name}",
            summary: "One route, and how its dial came to be",
            query: &[],
            body: Vec::new(),
            answer: vec![json::<RouteDetail>()],
            problems: &[404, 503],
            handler: || get(show),
        },
        Operation {
            method: "put",
            path: "/api/v1/routes/{name}/split",
            summary: "Turn the dial: weights by service, live for every request that begins after the answer; a service that is not named gets 0",
            query: &[],
            body: vec![json::<Weights>()],
            answer: vec![json::<Dialed>()],
            problems: &[400, 404, 415, 422, 503, 507],
            handler: || put(dial),
        },
        Operation {
            method: "delete",
            path: "/api/v1/routes/{name}/split",
            summary: "Turn the dial back to what the config declares",
            query: &[],
            body: Vec::new(),
            answer: vec![json::<Dialed>()],
            problems: &[404, 422, 503, 507],
            handler: || delete(reset),
        },
    ]
}

async fn list(State(shared): App) -> Result<Json<Vec<RouteView>>, Problem> {
    let generation = shared.view()?.generation();
    Ok(Json(
        (0..generation.plan().routes().len())
            .map(|position| view(&generation, position))
            .collect(),
    ))
}

async fn show(State(shared): App, Named(name): Named) -> Result<Json<RouteDetail>, Problem> {
    let generation = shared.view()?.generation();
    let position = find(&generation, &name)?;
    let route = name.clone();
    let history = shared.ask(|reply| Command::DialOf { route, reply }).await?;
    Ok(Json(RouteDetail {
        route: view(&generation, position),
        turns: history.turns,
    }))
}

async fn dial(
    State(shared): App,
    Extension(By(by)): Asker,
    Named(route): Named,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Json<Dialed>, Problem> {
    let Weights(weights) = json_body(&headers, &body)?;
    turn(&shared, route, Some(weights), by).await
}

async fn reset(
    State(shared): App,
    Extension(By(by)): Asker,
    Named(route): Named,
) -> Result<Json<Dialed>, Problem> {
    turn(&shared, route, None, by).await
}

async fn turn(
    shared: &Shared,
    route: String,
    weights: Option<Vec<(String, u64)>>,
    by: String,
) -> Result<Json<Dialed>, Problem> {
    let dialed = shared.ask(|reply| Command::Dial {
        route,
        weights,
        by,
        reply,
    });
    Ok(Json(dialed.await?))
}

/// The position of the route with this name.
pub(crate) fn find(generation: &Generation, name: &str) -> Result<usize, Problem> {
    let found = generation.compiled().position(name);
    found.ok_or_else(|| Problem::not_found(format!("there is no route named `{name}`")))
}

/// The arms of the route at `position`, with their weights.
pub(crate) fn arms(generation: &Arc<Generation>, position: usize) -> Vec<ArmView> {
    let plan = generation.plan();
    let Action::Forward(Forward { split, arms, .. }) = &plan.routes()[position].action else {
        return Vec::new();
    };
    let live = generation.compiled().live_weights(position).unwrap_or_default();
    let weights = split.weights().iter().zip(live);
    arms.iter()
        .zip(weights)
        .map(|(id, (declared, live))| ArmView {
            service: plan.service(*id).name.to_string(),
            declared: *declared,
            live,
        })
        .collect()
}

fn view(generation: &Arc<Generation>, position: usize) -> RouteView {
    let plan = generation.plan();
    let route = &plan.routes()[position];
    let forward = match &route.action {
        Action::Forward(forward) => Some(forward),
        Action::Redirect(_) | Action::Respond(_) => None,
    };
    let action = match &route.action {
        Action::Forward(_) if route.passes_through => "passthrough",
        Action::Forward(_) => "forward",
        Action::Redirect(_) => "redirect",
        Action::Respond(_) => "respond",
    };
    let sticky = forward.and_then(|forward| forward.policies.sticky.as_ref());
    let mirror = forward.and_then(|forward| forward.policies.mirror.as_ref());
    RouteView {
        name: route.matching.name.to_string(),
        action: action.to_owned(),
        matches: matches(route),
        arms: arms(generation, position),
        sticky: sticky.map(|sticky| match &sticky.key {
            StickyKey::Header(name) => format!("header {name}"),
            StickyKey::Cookie(cookie) => format!("cookie {}", cookie.name),
            StickyKey::ClientIp => "client_ip".to_owned(),
        }),
        mirror: mirror.map(|mirror| plan.service(mirror.to).name.to_string()),
    }
}

/// What a route matches, in short: `api.example.com /users/*`, and how many more conditions.
fn matches(route: &Route) -> Vec<String> {
    let alternatives = route.matching.alternatives.iter();
    alternatives
        .map(|alternative| {
            let methods = alternative.methods.join("|");
            let host = alternative.host.to_string();
            let conditions = alternative.headers.len()
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
                        return Err(serde::de::Error::custom(format!("`{service}` comes twice")));
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
