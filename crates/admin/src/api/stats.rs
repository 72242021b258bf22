//! Statistics of arms.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde::Deserialize;
use waypost_plan::duration;
use waypost_proxy::observe::metrics::RequestReading;

use super::{App, Operation, QueryParams, json, query, routes};
use crate::access::PASSED_ON;
use crate::arms;
use crate::fleet::{Answered, Question};
use crate::history::WINDOW_MAX;
use crate::history::ledger::number_of;
use crate::problem::Problem;
use crate::state::AppState;
use crate::stats::{ArmStats, RouteStats, Stats, Sum, WINDOW};

/// The time that an instance gets to answer, and that all get together.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_IN_ALL: Duration = Duration::from_secs(10);
/// Bytes of the figures of an instance, at most.
const BYTES_MAX: usize = 256 << 20;

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
                "`true` for the figures of this instance alone, with details; by default those of all instances of a fleet, which its leader sums",
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
    headers: HeaderMap,
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
    let route = asked.route.as_deref();
    let question = Question {
        of_all: Some(path(window, route, asked.detail, false)),
        own: path(window, route, false, true),
        is_passed_on: headers.contains_key(PASSED_ON),
        patience: PATIENCE,
        patience_in_all: PATIENCE_IN_ALL,
        bytes_max: BYTES_MAX,
    };
    let others = match asked.own {
        false => {
            let read = |bytes: &[u8]| serde_json::from_slice::<Stats>(bytes).ok();
            state.ask_others(question, read).await
        }
        true => None,
    };
    let others = match others {
        Some(Answered::OfAll(stats)) => return Ok(Json(stats)),
        Some(Answered::OfEach { mut answers, leads }) => {
            let mut all = Vec::new();
            while let Some(answer) = answers.recv().await {
                all.push(answer);
            }
            all.sort_by(|(one, _), (other, _)| one.cmp(other));
            Some((all, leads))
        }
        None => None,
    };
    // Off the async thread: ten thousand routes take a while, and other requests must not wait.
    let compared = tokio::task::spawn_blocking(move || {
        let route = asked.route.as_deref();
        let is_compared_in_detail = asked.detail || asked.own || others.is_some();
        let mut own = compare(&state, window, route, is_compared_in_detail)?;
        own.started = asked.own.then_some(state.started);
        Ok(match others {
            Some((answers, leads)) => summed(&state, own, answers, leads, (window, route, asked.detail)),
            None => own,
        })
    });
    let compared = compared.await;
    let stats = compared.map_err(|_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the counts could not be compared",
        )
    })?;
    stats.map(Json)
}

/// The figures of all instances: this one's, those that the others have answered, and those of lost ones, which a leader knows.
fn summed(
    state: &AppState,
    own: Stats,
    answers: Vec<(String, Option<Bytes>)>,
    leads: bool,
    (window, route, is_detailed): (Duration, Option<&str>, bool),
) -> Stats {
    let mut sum = Sum::of(own);
    let (mut answered, mut missing) = (HashSet::new(), Vec::new());
    for (id, theirs) in answers {
        match theirs.and_then(|bytes| serde_json::from_slice::<Stats>(&bytes).ok()) {
            Some(theirs) => {
                answered.extend(
                    theirs
                        .started
                        .map(|started| (Arc::from(&*id), number_of(started))),
                );
                sum.add(theirs);
            }
            None => missing.push(id),
        }
    }
    if leads {
        let lost = state.ledger().lost(&answered, route, window, Instant::now());
        for (covered, readings) in lost {
            sum.add_routes(of_lost(covered, &readings));
        }
    }
    let mut stats = sum.finish();
    stats.missing.extend(missing);
    stats.direct = !leads;
    // In the order of the config, and without what it does not have.
    if let Ok(view) = state.view() {
        let generation = view.generation();
        let position = |route: &RouteStats| generation.compiled().position(&route.route);
        stats.routes.retain(|route| position(route).is_some());
        stats.routes.sort_by_key(position);
    }
    if !is_detailed {
        stats.without_details();
    }
    stats
}

/// The statistics of a process that is lost, from its readings.
fn of_lost(covered: Duration, readings: &[RequestReading]) -> Vec<RouteStats> {
    let routes = readings.iter().map(|reading| RouteStats {
        route: reading.route.to_string(),
        rollout: None,
        arms: vec![ArmStats::of(&reading.service, None, Some(reading), covered).detailed(Some(reading))],
    });
    routes.collect()
}

/// The path of these statistics.
fn path(window: Duration, route: Option<&str>, is_detailed: bool, is_own: bool) -> String {
    let window = format!("{}ms", window.as_millis());
    let mut pairs = vec![("window", &*window)];
    pairs.extend(route.map(|route| ("route", route)));
    pairs.extend(is_detailed.then_some(("detail", "true")));
    pairs.extend(is_own.then_some(("own", "true")));
    format!("/api/v1/stats?{}", query(&pairs))
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
        direct: false,
        started: None,
        routes: all,
    })
}
