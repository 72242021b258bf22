//! The figures of the last day, and the marks beside them.

mod fleet;

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_plan::duration;
use waypost_proxy::generation::Generation;

use super::{App, Operation, QueryParams, json, routes};
use crate::access::PASSED_ON;
use crate::arms;
use crate::events::marks::Mark;
use crate::problem::Problem;
use crate::state::AppState;
use crate::timeline::durations::to_text;
use crate::timeline::fleet::Summed;
use crate::timeline::rounds::Wanted;
use crate::timeline::{ByHour, Figures, Series, Step, Timeline, middle_ms};

/// The longest window, in seconds.
const WINDOW_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Figures of the gateway or of its fleet, or of a route and its arms, in parts of equal length.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TimelineView {
    /// The route; absent for all requests. Empty for those without a route.
    pub route: Option<String>,
    /// The length of a part: 1, 60, or 3600 for a route that is only kept by the hour.
    pub step_seconds: u64,
    /// The beginning of the first part, in seconds since the Unix epoch.
    pub begin: u64,
    /// The `since` of the next request. Parts from there on are new, or not over yet.
    pub next: u64,
    /// The last second that figures are known of; in a fleet, that all instances know of. Absent before the first one is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upto: Option<u64>,
    /// The number of instances that these are the figures of; 1 outside of a fleet.
    #[serde(default)]
    pub instances: usize,
    /// The ids of instances of the fleet that are left out: they did not answer, are some seconds late, or keep nothing of the
    /// route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// True if no leader of the fleet answered, so that this instance has asked each other one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub direct: bool,
    /// The subject as a whole, then its arms; none if nothing is kept of the route.
    pub series: Vec<SeriesView>,
    /// With `own=true`: the requests of the route by the hour, however it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<HoursView>,
    /// Changes in this time, the oldest first: those of the config, of the route and of its services.
    pub marks: Vec<Mark>,
    /// The memory of figures and marks of this instance.
    pub kept: KeptView,
}

/// The figures of one subject: a value for each part, `null` where nothing is known.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SeriesView {
    /// The service of an arm, empty for responses of the gateway itself; absent for the whole.
    pub service: Option<String>,
    /// Requests.
    pub requests: Vec<Option<u32>>,
    /// Failed ones among them, as `waypost_failed_requests_total` counts them.
    pub failures: Vec<Option<u32>>,
    /// Requests that a rule refused, such as `auth` or `rate`. They are no failures.
    #[serde(default)]
    pub refused: Vec<Option<u32>>,
    /// Median duration, in milliseconds.
    pub p50_ms: Vec<Option<f64>>,
    /// 99th percentile of the duration, in milliseconds.
    pub p99_ms: Vec<Option<f64>>,
    /// With `own=true`, in a fleet: the requests of each part by the bucket of their duration, packed, for the instance that sums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durations: Option<String>,
}

/// Requests of a route by the hour.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct HoursView {
    /// The beginning of the first hour, in seconds since the Unix epoch.
    pub begin: u64,
    /// Requests.
    pub requests: Vec<u32>,
    /// Failed ones among them.
    pub failures: Vec<u32>,
    /// Requests that a rule refused.
    pub refused: Vec<u32>,
}

/// The memory of figures and marks, and what does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct KeptView {
    /// Bytes in use.
    pub bytes: usize,
    /// Bytes at most.
    pub bytes_max: usize,
    /// Rings, of a route or an arm, by the second for 10 minutes and by the minute for 24 hours. The busiest routes and
    /// those that fail have them.
    pub rings: usize,
    /// Rings at most.
    pub rings_max: usize,
    /// Routes with figures, those without a ring by the hour for 24 hours.
    pub routes: usize,
    /// Routes at most.
    pub routes_max: usize,
    /// Requests of further routes, which are only in the figures of the whole.
    pub left_out_requests: u64,
    /// The time between two looks at the counters, in seconds; their counts are spread evenly over it.
    pub interval_seconds: u64,
}

/// The query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimelineQuery {
    route: Option<String>,
    service: Option<String>,
    step: Option<String>,
    window: Option<String>,
    since: Option<u64>,
    /// True for the figures of this instance alone.
    #[serde(default)]
    own: bool,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "get",
        path: "/api/v1/timeline",
        summary: "Requests, failures and latencies of the gateway or of all instances of its fleet, or of a route and each of its arms, by the second for 10 minutes or by the minute for 24 hours, with marks of what changed",
        query: &[
            (
                "route",
                "string",
                "a route; empty for requests without one; by default all requests",
            ),
            (
                "service",
                "string",
                "one arm of the route; empty for responses of the gateway itself; by default the route and all of its arms",
            ),
            ("step", "string", "`1s` or `1m`; by default `1s`"),
            (
                "window",
                "string",
                "a duration up to `24h`; by default all that is kept",
            ),
            (
                "since",
                "integer",
                "`next` of an earlier response: only what is new, in seconds since the Unix epoch; parts that lacked an instance of the fleet come again",
            ),
            (
                "own",
                "boolean",
                "`true` for the figures of this instance alone, with what is needed to sum them; by default those of all instances of a fleet, which its leader sums",
            ),
        ],
        body: Vec::new(),
        response: vec![json::<TimelineView>()],
        problems: &[404, 422, 503],
        handler: || get(timeline),
    }]
}

async fn timeline(
    State(state): App,
    headers: HeaderMap,
    QueryParams(asked): QueryParams<TimelineQuery>,
) -> Result<Json<TimelineView>, Problem> {
    let step = match asked.step.as_deref() {
        None | Some("1s") => Step::Second,
        Some("1m") => Step::Minute,
        Some(other) => {
            return Err(Problem::invalid(format!(
                "`step={other}`: a step is `1s` or `1m`"
            )));
        }
    };
    let window = match asked.window.as_deref() {
        Some(text) => {
            let window = duration::parse(text);
            window.map_err(|error| Problem::invalid(format!("`window={text}`: {error}")))?
        }
        None => WINDOW_MAX,
    };
    if window < Duration::from_secs(1) || window > WINDOW_MAX {
        return Err(Problem::invalid("`window` is a duration from `1s` to `24h`"));
    }
    if asked.service.is_some() && asked.route.is_none() {
        return Err(Problem::invalid(
            "`service` is an arm of a `route`, which is missing",
        ));
    }
    let view = state.view()?;
    let generation = view.generation();
    if let Some(route) = asked.route.as_deref().filter(|route| !route.is_empty()) {
        routes::find(&generation, route)?;
    }
    let interval = Timeline::interval(view.metrics().series());
    let upto = state.timeline().upto();
    let from = (upto.unwrap_or(0) + 1)
        .saturating_sub(window.as_secs())
        .max(asked.since.unwrap_or(0));
    let route = asked.route.as_deref();
    let is_of_all = !asked.own && state.instance().is_some();
    let Summed {
        figures,
        upto,
        instances,
        missing,
        direct,
    } = match is_of_all {
        true => {
            let asked = Wanted {
                route: asked.route.clone(),
                step,
                from,
            };
            fleet::summed(&state, asked, headers.contains_key(PASSED_ON)).await?
        }
        false => own(&state.timeline(), route, step, from),
    };
    let hours = route.filter(|_| asked.own);
    let hours = hours.and_then(|route| state.timeline().hours_of(route));
    let usage = state.timeline().usage();
    let (marks, bytes) = marks(&state, &generation, route, figures.begin);
    let series = figures.series.iter();
    let series = series.filter(|series| {
        let wanted = asked.service.as_deref();
        wanted.is_none_or(|wanted| series.service.as_deref() == Some(wanted))
    });
    Ok(Json(TimelineView {
        route: asked.route.clone(),
        step_seconds: figures.step_seconds,
        begin: figures.begin,
        next: figures.next,
        upto,
        instances,
        missing,
        direct,
        series: series.map(|series| SeriesView::of(series, asked.own)).collect(),
        hours: hours.map(HoursView::from),
        marks,
        kept: KeptView {
            bytes: usage.bytes + bytes,
            bytes_max: usage.bytes_max,
            rings: usage.rings,
            rings_max: usage.rings_max,
            routes: usage.routes,
            routes_max: usage.routes_max,
            left_out_requests: usage.left_out,
            interval_seconds: interval.as_secs(),
        },
    }))
}

/// The figures of this instance.
fn own(timeline: &Timeline, route: Option<&str>, step: Step, from: u64) -> Summed {
    let figures = match route {
        Some(route) => timeline.of_route(route, step, from),
        None => timeline.of_whole(step, from),
    };
    let upto = timeline.upto();
    Summed {
        figures: figures.unwrap_or(Figures {
            step_seconds: step.seconds(),
            begin: from,
            next: upto.unwrap_or(0) + 1,
            series: Vec::new(),
        }),
        upto,
        instances: 1,
        missing: Vec::new(),
        direct: false,
    }
}

/// The marks from a second on, and the memory that all of them take.
fn marks(state: &AppState, generation: &Generation, route: Option<&str>, begin: u64) -> (Vec<Mark>, usize) {
    let services: Option<Vec<String>> = route.map(|route| {
        let position = generation.compiled().position(route);
        let arms = position.map(|position| arms::of_route(generation, position));
        let arms = arms.unwrap_or_default().into_iter();
        arms.map(|arm| arm.service).collect()
    });
    let concerns = |mark: &&Mark| match (&services, &mark.route, &mark.service) {
        (Some(_), Some(other), _) => Some(other.as_str()) == route,
        (Some(services), None, Some(service)) => services.contains(service),
        _ => true,
    };
    let since = i64::try_from(begin)
        .ok()
        .and_then(|begin| Timestamp::from_second(begin).ok());
    let marks = state.events.marks();
    let listed = marks.since(since.unwrap_or(Timestamp::MAX)).filter(concerns);
    (listed.cloned().collect(), marks.bytes())
}

impl SeriesView {
    fn of(series: &Series, is_own: bool) -> Self {
        let mut view = Self {
            service: series.service.as_deref().map(str::to_owned),
            durations: series.durations.as_deref().filter(|_| is_own).map(to_text),
            ..Self::default()
        };
        for point in &series.points {
            let counts = point.map(|point| point.counts);
            view.requests.push(counts.map(|counts| counts.requests));
            view.failures.push(counts.map(|counts| counts.failures));
            view.refused.push(counts.map(|counts| counts.refused));
            view.p50_ms
                .push(point.and_then(|point| point.p50().map(middle_ms)));
            view.p99_ms
                .push(point.and_then(|point| point.p99().map(middle_ms)));
        }
        view
    }
}

impl From<ByHour> for HoursView {
    fn from(kept: ByHour) -> Self {
        let hours = kept.hours.iter();
        Self {
            begin: kept.begin,
            requests: hours.clone().map(|hour| hour.requests).collect(),
            failures: hours.clone().map(|hour| hour.failures).collect(),
            refused: hours.map(|hour| hour.refused).collect(),
        }
    }
}
