//! A page of the routes: those that a search finds, in an order, with their figures.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_plan::duration;
use waypost_proxy::generation::Generation;

use super::{RouteView, view};
use crate::api::paging::{self, Part, Place};
use crate::api::{App, QueryParams};
use crate::problem::Problem;
use crate::reasons::{self, Reason};
use crate::search::index::{Figure, Order};
use crate::search::{self, Search};
use crate::state::AppState;
use crate::timeline::{Recent, Sparkline};

/// The window of the figures, by default.
const WINDOW: Duration = Duration::from_secs(60);
/// The longest window.
const WINDOW_MAX: Duration = Duration::from_secs(60 * 60);

/// A page of the routes that a search finds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoutesPage {
    /// The routes of this page.
    pub routes: Vec<RouteRow>,
    /// Its place among all.
    #[serde(flatten)]
    pub place: Place,
}

/// A route on a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouteRow {
    /// The route.
    #[serde(flatten)]
    pub route: RouteView,
    /// True if live weights differ from the declared ones.
    pub dialed: bool,
    /// With `figures=true`; absent if nothing is known of the window, because other routes are busier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<RouteFigures>,
    /// With `figures=true`: the reason why it needs a look, by its requests of the last minute and those to each of its
    /// services, as `GET /api/v1/status` gives it; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Reason>,
}

/// Figures of a route over a window that ends now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouteFigures {
    /// The part of the window that is known.
    pub window_seconds: u64,
    /// Requests.
    pub requests: u64,
    /// Requests per second.
    pub rate: f64,
    /// Failed requests, as `waypost_failed_requests_total` counts them.
    pub failures: u64,
    /// Requests that a rule refused, such as `auth` or `rate`. They are no failures.
    #[serde(default)]
    pub refused: u64,
    /// Share of failed requests, 0 to 1.
    pub failure_share: f64,
    /// 99th percentile of the duration, in milliseconds: of the slowest minutes that have 1 % of the requests together.
    /// Absent without requests, or if the route is not kept by the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// The last ten minutes; absent if the route is not kept by the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparkline: Option<SparklineView>,
}

/// Requests in parts of equal length, the latest last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SparklineView {
    /// The beginning of the first part, in seconds since the Unix epoch.
    pub begin: u64,
    /// The length of a part.
    pub step_seconds: u64,
    /// Requests.
    pub requests: Vec<u32>,
    /// Failed ones among them.
    pub failures: Vec<u32>,
}

/// The routes: a list, or a page if the query asks for one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Routes {
    /// All routes, without a query.
    All(Vec<RouteView>),
    /// Some of them.
    Page(RoutesPage),
}

/// The query. Without any of it, all routes are listed.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RoutesQuery {
    search: Option<String>,
    sort: Option<String>,
    limit: Option<usize>,
    offset: Option<usize>,
    figures: Option<bool>,
    window: Option<String>,
}

pub(super) const QUERY: &[(&str, &str, &str)] = &[
    (
        "search",
        "string",
        "words that all hold: a part of the name, of a host or of a path, or `host:…`, `path:…`, `service:…` with a part of it, `failing`, `dialed`, `rollout`; in any case of letters. With any of these parameters the response is a page rather than a list",
    ),
    (
        "sort",
        "string",
        "`rate`, `failures`, `failure_share` or `p99`, the most first, or `name`; the other way around with `-` in front. By default the order of the config, `config`",
    ),
    ("limit", "integer", "routes on a page, up to 1000; by default 100"),
    (
        "offset",
        "integer",
        "routes before the page, as `next_offset` has it",
    ),
    ("figures", "boolean", "`true` adds the figures of each route"),
    (
        "window",
        "string",
        "the time of figures, `sort` and `failing`: a duration from `10s` to `1h`; by default `1m`. Longer than two minutes, only those of the busiest and of failing routes are known",
    ),
];

/// A page that is asked for.
#[derive(Debug)]
struct Wanted {
    search: Search,
    order: (Order, bool),
    part: Part,
    has_figures: bool,
    window: u64,
}

/// All routes, or a page of them.
pub(super) async fn list(
    State(state): App,
    QueryParams(query): QueryParams<RoutesQuery>,
) -> Result<Response, Problem> {
    let generation = state.view()?.generation();
    let wanted = match query == RoutesQuery::default() {
        true => None,
        false => Some(Wanted::from(&query)?),
    };
    // Off the async thread: a hundred thousand routes take a while, and other requests must not wait.
    let listed = tokio::task::spawn_blocking(move || match wanted {
        Some(wanted) => Json(page(&state, &generation, &wanted)).into_response(),
        None => Json(all(&state, &generation)).into_response(),
    });
    listed.await.map_err(|_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the routes could not be listed",
        )
    })
}

fn all(state: &AppState, generation: &Arc<Generation>) -> Vec<RouteView> {
    let rollouts = state.report().rollouts.clone();
    let positions = 0..generation.plan().routes().len();
    positions
        .map(|position| view(generation, position, &rollouts))
        .collect()
}

impl Wanted {
    fn from(query: &RoutesQuery) -> Result<Self, Problem> {
        let search = Search::parse(query.search.as_deref().unwrap_or_default());
        let search = search.map_err(|key| {
            Problem::invalid(format!(
                "`search` has `{key}:`; there are `host:`, `path:`, `service:`, `failing`, `dialed` and `rollout`"
            ))
        })?;
        let part = Part::of(query.offset, query.limit)?;
        let window = match query.window.as_deref() {
            Some(text) => {
                let window = duration::parse(text);
                window.map_err(|error| Problem::invalid(format!("`window={text}`: {error}")))?
            }
            None => WINDOW,
        };
        if window < Duration::from_secs(10) || window > WINDOW_MAX {
            return Err(Problem::invalid("`window` is a duration from `10s` to `1h`"));
        }
        Ok(Self {
            search,
            order: order(query.sort.as_deref().unwrap_or("config"))?,
            part,
            has_figures: query.figures == Some(true),
            window: window.as_secs(),
        })
    }
}

/// The order, and true if it is the other way around.
fn order(text: &str) -> Result<(Order, bool), Problem> {
    let (name, is_reversed) = paging::order(text);
    let order = match name {
        "config" => Order::Config,
        "name" => Order::Name,
        "rate" => Order::By(Figure::Rate),
        "failures" => Order::By(Figure::Failures),
        "failure_share" => Order::By(Figure::FailureShare),
        "p99" => Order::By(Figure::P99),
        _ => {
            return Err(Problem::invalid(format!(
                "`sort={text}`: an order is `config`, `name`, `rate`, `failures`, `failure_share` or `p99`"
            )));
        }
    };
    Ok((order, is_reversed))
}

fn page(state: &AppState, generation: &Arc<Generation>, wanted: &Wanted) -> RoutesPage {
    let index = state.routes_indexed.of(generation);
    let rollouts = state.report().rollouts.clone();
    let is_by_figure =
        matches!(wanted.order.0, Order::By(_)) || wanted.search.states.contains(&search::State::Failing);
    let figures = is_by_figure.then(|| index.figures(wanted.window, &state.timeline()));
    let figures = figures.as_deref().unwrap_or_default();
    let mut found = index.find(&wanted.search.parts);
    for state_of_route in &wanted.search.states {
        found = Arc::new(match state_of_route {
            search::State::Failing => {
                let failing = figures.iter().filter(|(_, recent)| recent.counts.failures > 0);
                found.among(failing.map(|(row, _)| *row))
            }
            search::State::Dialed => {
                let dialed = generation.compiled().dialed();
                found.among(dialed.into_iter().filter_map(|row| u32::try_from(row).ok()))
            }
            search::State::Rollout => {
                let rolled = rollouts.iter();
                found.among(rolled.filter_map(|rollout| index.row(&rollout.route)))
            }
        });
    }
    let Part { offset, limit } = wanted.part;
    let rows = index.in_order(&found, wanted.order, figures, (offset, limit));
    let place = wanted.part.place(
        rows.len(),
        found.rows.len(),
        generation.plan().routes().len(),
        generation.number(),
    );
    let timeline = wanted.has_figures.then(|| state.timeline());
    let rows = rows.into_iter().map(|row| {
        let route = view(generation, row as usize, &rollouts);
        let figures = timeline.as_ref().and_then(|timeline| {
            let recent = timeline.recent_of(&route.name, wanted.window)?;
            Some(RouteFigures::of(&recent, timeline.sparkline(&route.name)))
        });
        let health = timeline
            .as_ref()
            .and_then(|timeline| reasons::of_route(timeline, generation, row as usize));
        RouteRow {
            health,
            dialed: route.arms.iter().any(|arm| arm.declared != arm.live),
            route,
            figures,
        }
    });
    RoutesPage {
        routes: rows.collect(),
        place,
    }
}

impl RouteFigures {
    fn of(recent: &Recent, sparkline: Option<Sparkline>) -> Self {
        Self {
            window_seconds: recent.seconds,
            requests: recent.counts.requests.into(),
            rate: recent.rate(),
            failures: recent.counts.failures.into(),
            refused: recent.counts.refused.into(),
            failure_share: recent.failure_share(),
            p99_ms: recent.p99_ms,
            sparkline: sparkline.map(|sparkline| SparklineView {
                begin: sparkline.begin,
                step_seconds: sparkline.step_seconds,
                requests: sparkline.points.iter().map(|counts| counts.requests).collect(),
                failures: sparkline.points.iter().map(|counts| counts.failures).collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_have_names() {
        assert_eq!(order("-rate").unwrap(), (Order::By(Figure::Rate), true));
        assert_eq!(order("name").unwrap(), (Order::Name, false));
        assert_eq!(order("size").unwrap_err().status, 422);
    }
}
