//! Statistics of arms.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use serde::Deserialize;
use waypost_plan::duration;
use waypost_proxy::observe::metrics::RequestReading;

use super::{App, Operation, QueryParams, json, routes};
use crate::arms;
use crate::history::WINDOW_MAX;
use crate::problem::Problem;
use crate::state::AppState;
use crate::stats::{ArmStats, RouteStats, Stats, WINDOW};

/// The query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatsQuery {
    window: Option<String>,
    route: Option<String>,
    #[serde(default)]
    detail: bool,
    /// True for the figures of this instance alone, in detail.
    #[serde(default)]
    own: bool,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "get",
        path: "/api/v1/stats",
        summary: "Statistics of each arm of each route over a window that ends now",
        query: &[
            ("window", "string", "a duration up to `1h`; by default `1m`"),
            (
                "route",
                "string",
                "one route; by default all routes with requests",
            ),
            (
                "detail",
                "boolean",
                "`true` adds statuses and a histogram of durations to each arm of the `route`",
            ),
            (
                "own",
                "boolean",
                "`true` for the figures of this instance alone, with details; by default those of all instances of a fleet",
            ),
        ],
        body: Vec::new(),
        response: vec![json::<Stats>()],
        problems: &[404, 422, 503],
        handler: || get(stats),
    }]
}

async fn stats(
    State(state): App,
    QueryParams(asked): QueryParams<StatsQuery>,
) -> Result<Json<Stats>, Problem> {
    let window = match asked.window.as_deref() {
        Some(text) => {
            duration::parse(text).map_err(|error| Problem::invalid(format!("`window={text}`: {error}")))?
        }
        None => WINDOW,
    };
    if window.is_zero() || window > WINDOW_MAX {
        return Err(Problem::invalid("`window` is a duration from `1ms` to `1h`"));
    }
    if asked.detail && asked.route.is_none() {
        return Err(Problem::invalid(
            "`detail` is about one `route`, which is missing",
        ));
    }
    let is_all = !asked.own && state.fleet().is_some();
    let is_detailed = asked.detail;
    let others = match is_all {
        true => {
            state
                .ask_others(&others_path(window, asked.route.as_deref()))
                .await
        }
        false => Vec::new(),
    };
    // Off the async thread: ten thousand routes take a while, and other requests must not wait.
    let compared = tokio::task::spawn_blocking(move || {
        let is_compared_in_detail = asked.detail || asked.own || is_all;
        compare(&state, window, asked.route.as_deref(), is_compared_in_detail)
    });
    let compared = compared.await;
    let stats = compared.map_err(|_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the counts could not be compared",
        )
    })?;
    let mut stats = stats?;
    for (id, theirs) in others {
        match theirs {
            Some(theirs) => stats.add(theirs),
            None => stats.missing.push(id),
        }
    }
    if is_all && !is_detailed {
        stats.without_details();
    }
    Ok(Json(stats))
}

/// The question to the other instances of the fleet.
fn others_path(window: Duration, route: Option<&str>) -> String {
    let window = window.as_millis();
    let mut query = form_urlencoded(&[("window", &format!("{window}ms")), ("own", "true")]);
    if let Some(route) = route {
        query.push('&');
        query.push_str(&form_urlencoded(&[("route", route)]));
    }
    format!("/api/v1/stats?{query}")
}

/// Pairs as a query has them.
fn form_urlencoded(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        let separator = if text.is_empty() { "" } else { "&" };
        text.push_str(&format!("{separator}{name}="));
        for byte in value.bytes() {
            match byte.is_ascii_alphanumeric() {
                true => text.push(char::from(byte)),
                false => text.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    text
}

/// The statistics of `route`, or of all routes with requests, over a window that ends now.
fn compare(
    state: &AppState,
    window: Duration,
    route: Option<&str>,
    is_detailed: bool,
) -> Result<Stats, Problem> {
    let view = state.view()?;
    let generation = view.generation();
    let wanted = route.map(|name| routes::find(&generation, name)).transpose()?;
    // Read before the history is locked, to hold the lock only for a lookup.
    let mut readings = view.metrics().read_series(route);
    let covered = state.history().since(Instant::now(), window, &mut readings);
    let mut by_route: BTreeMap<Arc<str>, Vec<RequestReading>> = BTreeMap::new();
    for (_, reading) in readings {
        by_route
            .entry(Arc::clone(&reading.route))
            .or_default()
            .push(reading);
    }
    let report = state.report().clone();
    let mut all = Vec::new();
    for (position, route) in generation.plan().routes().iter().enumerate() {
        let readings = by_route.get(&route.matching.name).map_or(&[][..], Vec::as_slice);
        let got_some = readings.iter().any(|reading| reading.count() > 0);
        if wanted.map_or(!got_some, |wanted| wanted != position) {
            continue;
        }
        let reading = |service: &str| readings.iter().find(|reading| *reading.service == *service);
        let stats = |service: &str, weight: Option<u64>| {
            let reading = reading(service);
            let stats = ArmStats::of(service, weight, reading, covered);
            match is_detailed {
                true => stats.detailed(reading),
                false => stats,
            }
        };
        let mut arms: Vec<ArmStats> = arms::of_route(&generation, position)
            .iter()
            .map(|arm| stats(&arm.service, Some(arm.live)))
            .collect();
        if reading("").is_some_and(|own| own.count() > 0) {
            arms.push(stats("", None));
        }
        let mut rollouts = report.rollouts.iter();
        all.push(RouteStats {
            route: route.matching.name.to_string(),
            rollout: rollouts
                .find(|rollout| *rollout.route == *route.matching.name)
                .cloned(),
            arms,
        });
    }
    Ok(Stats {
        window_seconds: covered.as_secs_f64(),
        instances: 1,
        missing: Vec::new(),
        routes: all,
    })
}
