//! The figures of routes over the last minutes at all instances of a fleet: the leader asks each for its own, and sums them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_proxy::generation::Generation;

use super::{App, Operation, QueryParams, json, query};
use crate::access::PASSED_ON;
use crate::fleet::{Answered, Question};
use crate::problem::Problem;
use crate::reasons::{self, Reason};
use crate::state::AppState;
use crate::timeline::lately::{FIRST_MAX, Lately, ROUTES_MAX, Sum, Told, first, first_of_each};
use crate::timeline::{Counts, Recent, Sparkline};

/// The time that an instance gets to answer, and that all get together: lists come every two seconds.
const PATIENCE: Duration = Duration::from_millis(800);
const PATIENCE_IN_ALL: Duration = Duration::from_secs(2);
/// Bytes of the answer of an instance, at most.
const BYTES_MAX: usize = 8 << 20;
/// Bytes of the names in one question, at most: a URL has 64 KiB at most.
const NAMES_MAX: usize = 16 << 10;
/// Seconds for which those who ask the same share an answer.
const SHARED: u64 = 2;

/// Figures of routes over a window that ends now.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub(super) struct LatelyView {
    /// The number of instances that these are the figures of.
    pub instances: usize,
    /// The ids of instances that are left out, because they do not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// True if no leader of the fleet answered, so that this instance has asked each other one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub direct: bool,
    /// The routes: those that are asked for and known, or the first by each figure.
    pub routes: Vec<LatelyRoute>,
}

/// The figures of a route.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub(super) struct LatelyRoute {
    /// The name.
    pub name: String,
    /// The part of the window that is known.
    pub window_seconds: u64,
    /// Requests.
    pub requests: u32,
    /// Failed ones among them.
    #[serde(default)]
    pub failures: u32,
    /// Requests that a rule refused.
    #[serde(default)]
    pub refused: u32,
    /// 99th percentile of the duration, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// With `routes`: the last ten minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparkline: Option<SparklineView>,
    /// With `routes`: the reason why it needs a look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Reason>,
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

/// The query.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LatelyQuery {
    window: Option<u64>,
    first: Option<usize>,
    routes: Option<String>,
    own: bool,
}

/// The routes that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    /// So many of the first by each figure.
    First(usize),
    /// The routes with these names, one a line.
    Named(String),
}

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "get",
        path: "/api/v1/fleet/lately",
        summary: "The figures of routes over the last minutes at all instances of the fleet, which its leader sums: of some routes, or of the first by requests, failures, share of failures and 99th percentile",
        query: &[
            (
                "window",
                "integer",
                "the time of the figures, in seconds from 10 to 3600; by default 60",
            ),
            (
                "first",
                "integer",
                "the number of routes by each figure, up to 2500, which is the default",
            ),
            (
                "routes",
                "string",
                "the names of the routes, one a line, with the course of each and the reason why it needs a look; at most 10,000",
            ),
            ("own", "boolean", "`true` for the figures of this instance alone"),
        ],
        body: Vec::new(),
        response: vec![json::<LatelyView>()],
        problems: &[404, 421, 422, 503],
        handler: || get(lately),
    }]
}

async fn lately(
    State(state): App,
    headers: HeaderMap,
    QueryParams(wanted): QueryParams<LatelyQuery>,
) -> Result<Json<LatelyView>, Problem> {
    state.instance().ok_or_else(super::fleet::no_fleet)?;
    let generation = state.view()?.generation();
    let window = wanted.window.unwrap_or(60);
    if !(10..=3600).contains(&window) {
        return Err(Problem::invalid(
            "`window` is a number of seconds from 10 to 3600",
        ));
    }
    let asked = match (wanted.routes, wanted.first.unwrap_or(FIRST_MAX)) {
        (Some(names), _) if names.lines().count() > ROUTES_MAX => {
            return Err(Problem::invalid(format!(
                "at most {ROUTES_MAX} routes are asked for at once"
            )));
        }
        (Some(names), _) => Choice::Named(names),
        (None, count @ 1..=FIRST_MAX) => Choice::First(count),
        (None, _) => {
            return Err(Problem::invalid(format!(
                "`first` is a number from 1 to {FIRST_MAX}"
            )));
        }
    };
    if wanted.own {
        let told = tokio::task::spawn_blocking(move || told_here(&state, &generation, &asked, window)).await;
        let told = told.map_err(|_| failed())?;
        return Ok(Json(LatelyView {
            instances: 1,
            routes: told
                .into_iter()
                .map(|(name, told)| LatelyRoute::of(&name, told))
                .collect(),
            ..LatelyView::default()
        }));
    }
    let summed = round(
        &state,
        &generation,
        asked,
        window,
        headers.contains_key(PASSED_ON),
    )
    .await?;
    Ok(Json(LatelyView::of(&summed)))
}

fn failed() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the figures of the instances could not be summed",
    )
}

/// The first routes by each figure, at all instances.
pub(super) async fn first_of_all(
    state: &Arc<AppState>,
    generation: &Arc<Generation>,
    window: u64,
) -> Result<Arc<Lately>, Problem> {
    round(state, generation, Choice::First(FIRST_MAX), window, false).await
}

/// The routes with these names, at all instances.
pub(super) async fn named(
    state: &Arc<AppState>,
    generation: &Arc<Generation>,
    names: &[Arc<str>],
    window: u64,
) -> Result<Lately, Problem> {
    let mut all: Option<Lately> = None;
    for names in parts(names) {
        let part = round(state, generation, Choice::Named(names), window, false).await?;
        let all = all.get_or_insert_with(|| Lately {
            instances: part.instances,
            ..Lately::default()
        });
        let routes = part.routes.iter();
        all.routes
            .extend(routes.map(|(name, told)| (Arc::clone(name), told.clone())));
        all.instances = all.instances.min(part.instances);
        all.direct |= part.direct;
        let new = part.missing.iter().filter(|id| !all.missing.contains(id));
        let new: Vec<String> = new.cloned().collect();
        all.missing.extend(new);
    }
    Ok(all.unwrap_or_default())
}

/// Names, one a line, in questions of a bounded length; one question without names.
fn parts(names: &[Arc<str>]) -> Vec<String> {
    let mut parts = vec![String::new()];
    for name in names {
        let last = parts
            .last_mut()
            .filter(|part| part.len() + name.len() < NAMES_MAX);
        match last {
            Some(part) if part.is_empty() => part.push_str(name),
            Some(part) => {
                part.push('\n');
                part.push_str(name);
            }
            None => parts.push(name.to_string()),
        }
    }
    parts
}

/// The sum. Those who ask the same within two seconds share an answer.
async fn round(
    state: &Arc<AppState>,
    generation: &Arc<Generation>,
    asked: Choice,
    window: u64,
    is_passed_on: bool,
) -> Result<Arc<Lately>, Problem> {
    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default() / SHARED;
    let round = state.rounds_lately.of(&path(&asked, window, None), now);
    let summed = round.get_or_try_init(|| async {
        let summed = ask(state, generation, asked, window, is_passed_on).await?;
        Ok::<_, Problem>(Arc::new(summed))
    });
    summed.await.cloned()
}

async fn ask(
    state: &Arc<AppState>,
    generation: &Arc<Generation>,
    asked: Choice,
    window: u64,
    is_passed_on: bool,
) -> Result<Lately, Problem> {
    let instances = state.fleet().map_or(1, |fleet| fleet.instances.len());
    let question = Question {
        of_all: Some(path(&asked, window, None)),
        own: path(&asked, window, Some(first_of_each(instances))),
        is_passed_on,
        patience: PATIENCE,
        patience_in_all: PATIENCE_IN_ALL,
        bytes_max: BYTES_MAX,
    };
    let read = |bytes: &[u8]| {
        let view: LatelyView = serde_json::from_slice(bytes).ok()?;
        view.into_sum()
    };
    let (mut answers, leads) = match state.ask_others(question, read).await {
        None => (None, true),
        Some(Answered::OfAll(lately)) => return Ok(lately),
        Some(Answered::OfEach { answers, leads }) => (Some(answers), leads),
    };
    let mut sum = Sum::default();
    let own = {
        let (state, generation, asked) = (Arc::clone(state), Arc::clone(generation), asked.clone());
        tokio::task::spawn_blocking(move || told_here(&state, &generation, &asked, window))
    };
    let own = own.await.map_err(|_| failed())?;
    sum.add(&state.instance().unwrap_or_default(), Some(own));
    while let Some(answers) = &mut answers
        && let Some((id, answer)) = answers.recv().await
    {
        // Off the async thread: ten thousand routes take some milliseconds.
        let added = tokio::task::spawn_blocking(move || {
            let view = answer.and_then(|bytes| serde_json::from_slice::<LatelyView>(&bytes).ok());
            sum.add(&id, view.and_then(LatelyView::into_told));
            sum
        });
        sum = added.await.map_err(|_| failed())?;
    }
    let finished = tokio::task::spawn_blocking(move || {
        let mut lately = sum.finish();
        if let Choice::First(count) = asked {
            let all = lately.routes.iter();
            let all: Vec<(Arc<str>, Recent)> =
                all.map(|(name, told)| (Arc::clone(name), told.recent)).collect();
            let kept = first(&all, count).filter_map(|(name, _)| lately.routes.remove_entry(&**name));
            lately.routes = kept.collect::<HashMap<_, _>>();
        }
        lately
    });
    Ok(Lately {
        direct: !leads,
        ..finished.await.map_err(|_| failed())?
    })
}

/// The figures of this instance.
fn told_here(
    state: &AppState,
    generation: &Generation,
    asked: &Choice,
    window: u64,
) -> Vec<(Arc<str>, Told)> {
    let timeline = state.timeline();
    match asked {
        Choice::First(count) => {
            let all = timeline.recent(window);
            let all: Vec<(Arc<str>, Recent)> = all.map(|(name, recent)| (Arc::clone(name), recent)).collect();
            drop(timeline);
            let told = first(&all, *count).map(|(name, recent)| {
                let told = Told {
                    recent: *recent,
                    sparkline: None,
                    health: None,
                };
                (Arc::clone(name), told)
            });
            told.collect()
        }
        Choice::Named(names) => {
            let told = names.lines().filter_map(|name| {
                let position = generation.compiled().position(name)?;
                let told = Told {
                    recent: timeline.recent_of(name, window)?,
                    sparkline: timeline.sparkline(name),
                    health: reasons::of_route(&timeline, generation, position),
                };
                Some((Arc::from(name), told))
            });
            told.collect()
        }
    }
}

/// The path of these figures: those of all instances, or at most so many of the first of one.
fn path(asked: &Choice, window: u64, own: Option<usize>) -> String {
    let (window, count) = (window.to_string(), own.unwrap_or(FIRST_MAX).to_string());
    let mut pairs = vec![("window", &*window)];
    match asked {
        Choice::First(_) => pairs.push(("first", &count)),
        Choice::Named(names) => pairs.push(("routes", names)),
    }
    pairs.extend(own.map(|_| ("own", "true")));
    format!("/api/v1/fleet/lately?{}", query(&pairs))
}

impl LatelyView {
    fn of(lately: &Lately) -> Self {
        let routes = lately.routes.iter();
        Self {
            instances: lately.instances,
            missing: lately.missing.clone(),
            direct: lately.direct,
            routes: routes
                .map(|(name, told)| LatelyRoute::of(name, told.clone()))
                .collect(),
        }
    }

    /// The routes that an instance has told; `None` if there are too many.
    fn into_told(self) -> Option<Vec<(Arc<str>, Told)>> {
        let routes = self.routes;
        (routes.len() <= ROUTES_MAX).then(|| routes.into_iter().map(LatelyRoute::into_told).collect())
    }

    /// The figures that the leader has summed; `None` if it has not.
    fn into_sum(self) -> Option<Lately> {
        let (instances, missing, direct) = (self.instances, self.missing.clone(), self.direct);
        let routes = self.into_told().filter(|_| instances > 0)?;
        Some(Lately {
            routes: routes.into_iter().collect(),
            instances,
            missing,
            direct,
        })
    }
}

impl LatelyRoute {
    fn of(name: &str, told: Told) -> Self {
        let Recent {
            seconds,
            counts,
            p99_ms,
        } = told.recent;
        Self {
            name: name.to_owned(),
            window_seconds: seconds,
            requests: counts.requests,
            failures: counts.failures,
            refused: counts.refused,
            p99_ms,
            sparkline: told.sparkline.map(SparklineView::from),
            health: told.health,
        }
    }

    fn into_told(self) -> (Arc<str>, Told) {
        let told = Told {
            recent: Recent {
                seconds: self.window_seconds,
                counts: Counts {
                    requests: self.requests,
                    failures: self.failures,
                    refused: self.refused,
                },
                p99_ms: self.p99_ms,
            },
            sparkline: self.sparkline.map(|line| {
                let points = line.requests.iter().enumerate().map(|(at, requests)| Counts {
                    requests: *requests,
                    failures: line.failures.get(at).copied().unwrap_or_default(),
                    refused: 0,
                });
                Sparkline {
                    begin: line.begin,
                    step_seconds: line.step_seconds,
                    points: points.collect(),
                }
            }),
            health: self.health,
        };
        (Arc::from(self.name), told)
    }
}

impl From<Sparkline> for SparklineView {
    fn from(sparkline: Sparkline) -> Self {
        Self {
            begin: sparkline.begin,
            step_seconds: sparkline.step_seconds,
            requests: sparkline.points.iter().map(|counts| counts.requests).collect(),
            failures: sparkline.points.iter().map(|counts| counts.failures).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_travel_in_questions_of_a_bounded_length() {
        let names: Vec<Arc<str>> = (0..3000).map(|at| format!("route-{at:04}").into()).collect();
        let asked = parts(&names);
        assert_eq!(asked.len(), 3);
        let told: Vec<&str> = asked.iter().flat_map(|part| part.lines()).collect();
        assert_eq!(told.len(), names.len());
        for part in asked {
            let path = path(&Choice::Named(part), 60, Some(50));
            assert!(path.len() < 64 << 10, "{}", path.len());
        }
        assert_eq!(parts(&[]), [""], "the instances are told all the same");
    }

    #[test]
    fn figures_survive_their_way() {
        let told = Told {
            recent: Recent {
                seconds: 60,
                counts: Counts {
                    requests: 3,
                    failures: 2,
                    refused: 1,
                },
                p99_ms: Some(1.5),
            },
            sparkline: Some(Sparkline {
                begin: 10,
                step_seconds: 10,
                points: vec![Counts {
                    requests: 3,
                    failures: 2,
                    refused: 0,
                }],
            }),
            health: None,
        };
        let (name, back) = LatelyRoute::of("users", told.clone()).into_told();
        assert_eq!((&*name, back), ("users", told));
    }
}
