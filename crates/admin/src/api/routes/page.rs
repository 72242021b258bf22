//! A page of the routes: those that a search finds, in an order, with their figures.

use std::borrow::Cow;
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
use crate::api::lately::{self, SparklineView};
use crate::api::paging::{self, Part, Place};
use crate::api::{App, QueryParams};
use crate::problem::Problem;
use crate::reasons::{self, Reason};
use crate::report::RolloutReport;
use crate::search::index::{Figure, Order};
use crate::search::{self, Search};
use crate::state::AppState;
use crate::timeline::lately::{Lately, Told};
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
    /// In a fleet: the number of instances that the figures and the order by them are of; absent without figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<usize>,
    /// In a fleet: the ids of instances that are left out, because they do not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// In a fleet: true if no leader answered, so that this instance has asked each other one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub direct: bool,
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
    own: Option<bool>,
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
    (
        "figures",
        "boolean",
        "`true` adds the figures of each route, in a fleet those of all instances",
    ),
    (
        "own",
        "boolean",
        "`true` for the figures of this instance alone; by default those of all instances of a fleet, which its leader sums",
    ),
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
    is_own: bool,
}

/// The rows of a page, and its place.
#[derive(Debug)]
struct Rows {
    rows: Vec<u32>,
    place: Place,
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
    let listed = match wanted {
        Some(wanted) => {
            let page = page(&state, &generation, wanted).await?;
            return Ok(Json(page).into_response());
        }
        None => off_thread(move || Json(all(&state, &generation)).into_response()),
    };
    listed.await
}

/// Lists off the async thread: a hundred thousand routes take a while, and other requests must not wait.
async fn off_thread<T: Send + 'static>(list: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let listed = tokio::task::spawn_blocking(list).await;
    listed.map_err(|_| {
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
            is_own: query.own == Some(true),
        })
    }
}

impl Wanted {
    /// Returns true if it takes the figures of all routes to find those of the page.
    fn is_by_figure(&self) -> bool {
        matches!(self.order.0, Order::By(_)) || self.search.states.contains(&search::State::Failing)
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

/// A page. In a fleet its order is that of the first routes of each instance, and its figures are those of all instances.
async fn page(
    state: &Arc<AppState>,
    generation: &Arc<Generation>,
    wanted: Wanted,
) -> Result<RoutesPage, Problem> {
    let is_of_all = !wanted.is_own && state.instance().is_some();
    let ranked = match is_of_all && wanted.is_by_figure() {
        true => Some(lately::first_of_all(state, generation, wanted.window).await?),
        false => None,
    };
    let (window, has_figures) = (wanted.window, wanted.has_figures);
    let Rows { rows, place } = {
        let (state, generation, ranked) = (Arc::clone(state), Arc::clone(generation), ranked.clone());
        off_thread(move || find(&state, &generation, &wanted, ranked.as_deref())).await?
    };
    let of_rows = match is_of_all && has_figures {
        true => {
            let routes = generation.plan().routes();
            let names = rows.iter().map(|row| &*routes[*row as usize].matching.name);
            let names: Vec<Arc<str>> = names.map(Arc::from).collect();
            Some(lately::named(state, generation, &names, window).await?)
        }
        false => None,
    };
    let (state, generation) = (Arc::clone(state), Arc::clone(generation));
    off_thread(move || {
        let rollouts = state.report().rollouts.clone();
        let all = of_rows.as_ref().or(ranked.as_deref());
        let mut page = RoutesPage {
            routes: Vec::new(),
            place,
            instances: all.map(|all| all.instances),
            missing: all.map(|all| all.missing.clone()).unwrap_or_default(),
            direct: all.is_some_and(|all| all.direct),
        };
        page.routes = match (has_figures, of_rows) {
            (true, Some(mut all)) => {
                let told = |name: &str| all.routes.remove(name);
                rows_of(&rollouts, &generation, &rows, told)
            }
            (true, None) => {
                let timeline = state.timeline();
                let told = |name: &str| {
                    Some(Told {
                        recent: timeline.recent_of(name, window)?,
                        sparkline: timeline.sparkline(name),
                        health: None,
                    })
                };
                let mut of_rows = rows_of(&rollouts, &generation, &rows, told);
                for (row, of_row) in rows.iter().zip(&mut of_rows) {
                    of_row.health = reasons::of_route(&timeline, &generation, *row as usize);
                }
                of_rows
            }
            (false, _) => rows_of(&rollouts, &generation, &rows, |_| None),
        };
        page
    })
    .await
}

/// The routes in these rows, with what is told of each.
fn rows_of(
    rollouts: &[RolloutReport],
    generation: &Arc<Generation>,
    rows: &[u32],
    mut told: impl FnMut(&str) -> Option<Told>,
) -> Vec<RouteRow> {
    let rows = rows.iter().map(|row| {
        let route = view(generation, *row as usize, rollouts);
        let (figures, health) = match told(&route.name) {
            Some(told) => (Some(RouteFigures::of(&told.recent, told.sparkline)), told.health),
            None => (None, None),
        };
        RouteRow {
            health,
            dialed: route.arms.iter().any(|arm| arm.declared != arm.live),
            route,
            figures,
        }
    });
    rows.collect()
}

/// The rows that are found, in order: by the figures of all instances if there are any, else by those of this one.
fn find(state: &AppState, generation: &Arc<Generation>, wanted: &Wanted, ranked: Option<&Lately>) -> Rows {
    let index = state.routes_indexed.of(generation);
    let rollouts = state.report().rollouts.clone();
    let own = wanted
        .is_by_figure()
        .then(|| index.figures(wanted.window, &state.timeline()));
    let own = own.as_deref().unwrap_or_default();
    let figures: Cow<'_, [(u32, Recent)]> = match ranked {
        None => Cow::Borrowed(own),
        Some(all) => {
            let told = all.routes.iter();
            let told = told.filter_map(|(name, told)| Some((index.row(name)?, told.recent)));
            // Routes that are among the first nowhere are in the order of this instance.
            let rest = own.iter().filter(|(row, _)| {
                let name = &*generation.plan().routes()[*row as usize].matching.name;
                !all.routes.contains_key(name)
            });
            Cow::Owned(told.chain(rest.copied()).collect())
        }
    };
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
    let rows = index.in_order(&found, wanted.order, &figures, (offset, limit));
    let place = wanted.part.place(
        rows.len(),
        found.rows.len(),
        generation.plan().routes().len(),
        generation.number(),
    );
    Rows { rows, place }
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
            sparkline: sparkline.map(SparklineView::from),
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
