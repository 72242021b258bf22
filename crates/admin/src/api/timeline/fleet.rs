//! The figures of all instances of a fleet: the leader asks each for its own, and sums them.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;

use super::{HoursView, SeriesView, TimelineView};
use crate::api::query;
use crate::fleet::{Answered, Question};
use crate::problem::Problem;
use crate::state::AppState;
use crate::timeline::durations::of_text;
use crate::timeline::fleet::{Part, Sum, Summed, Told, ToldSeries};
use crate::timeline::rounds::Wanted;
use crate::timeline::{ByHour, Counts, Figures, Point, Series, Step, Timeline, bucket_of_ms};

/// The time that an instance gets to answer, and that all get together: pictures come once a second.
const PATIENCE: Duration = Duration::from_secs(1);
const PATIENCE_IN_ALL: Duration = Duration::from_secs(4);
/// Bytes of the figures of an instance, at most: those of a route with some hundred arms.
const BYTES_MAX: usize = 32 << 20;
/// Series of an instance, at most.
const SERIES_MAX: usize = 1000;

/// The figures of all instances, from the second `asked.from` on. Those who ask the same in one second share an answer. What
/// was told without an instance a moment ago is told again.
pub(super) async fn summed(
    state: &Arc<AppState>,
    mut asked: Wanted,
    is_passed_on: bool,
) -> Result<Summed, Problem> {
    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or(1) - 1;
    state.rounds.reach_back(&mut asked, now);
    let shared = asked.clone().shared(now);
    let round = state.rounds.of(&shared, now);
    let summed = round
        .get_or_try_init(|| async {
            let summed = ask(state, &shared, is_passed_on, now).await?;
            Ok::<_, Problem>(Arc::new(summed))
        })
        .await?;
    if !summed.missing.is_empty() {
        state.rounds.lacks(&asked, now);
    }
    Ok(summed.since(asked.from))
}

async fn ask(state: &Arc<AppState>, asked: &Wanted, is_passed_on: bool, now: u64) -> Result<Summed, Problem> {
    let question = Question {
        of_all: Some(path(asked, false)),
        own: path(asked, true),
        is_passed_on,
        patience: PATIENCE,
        patience_in_all: PATIENCE_IN_ALL,
        bytes_max: BYTES_MAX,
    };
    let read = |bytes: &[u8]| {
        let view: TimelineView = serde_json::from_slice(bytes).ok()?;
        Summed::of_leader(&view)
    };
    let (mut answers, leads) = match state.ask_others(question, read).await {
        None => (None, true),
        Some(Answered::OfAll(summed)) => return Ok(summed),
        Some(Answered::OfEach { answers, leads }) => (Some(answers), leads),
    };
    let mut sum = Sum::new(asked.step.seconds(), asked.from, now);
    let own = told_here(state, asked)?;
    sum.add(&state.instance().unwrap_or_default(), own);
    while let Some(answers) = &mut answers
        && let Some((id, answer)) = answers.recv().await
    {
        // Off the async thread: a day of a route with many arms takes some milliseconds.
        let added = tokio::task::spawn_blocking(move || {
            let view = answer.and_then(|bytes| serde_json::from_slice::<TimelineView>(&bytes).ok());
            sum.add(&id, view.and_then(|view| Told::of_view(&view)));
            sum
        });
        sum = added.await.map_err(|_| {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the figures of the instances could not be summed",
            )
        })?;
    }
    Ok(Summed {
        direct: !leads,
        ..sum.finish()
    })
}

/// The figures of this instance.
fn told_here(state: &AppState, asked: &Wanted) -> Result<Option<Told>, Problem> {
    let interval = Timeline::interval(state.view()?.metrics().series()).as_secs();
    let timeline = state.timeline();
    let (figures, hours) = match asked.route.as_deref() {
        Some(route) => (
            timeline.of_route(route, asked.step, asked.from),
            timeline.hours_of(route),
        ),
        None => (timeline.of_whole(asked.step, asked.from), None),
    };
    let upto = timeline.upto();
    drop(timeline);
    Ok(figures.map(|figures| Told {
        upto,
        interval,
        step_seconds: figures.step_seconds,
        begin: figures.begin,
        series: figures.series.iter().map(ToldSeries::of).collect(),
        hours,
    }))
}

/// The path of these figures.
fn path(asked: &Wanted, is_own: bool) -> String {
    let (step, since) = match asked.step {
        Step::Second => ("1s", asked.from.to_string()),
        Step::Minute => ("1m", asked.from.to_string()),
    };
    let mut pairs = vec![("step", step), ("since", &since)];
    pairs.extend(asked.route.as_deref().map(|route| ("route", route)));
    pairs.extend(is_own.then_some(("own", "true")));
    format!("/api/v1/timeline?{}", query(&pairs))
}

impl Told {
    /// The figures that an instance has told; `None` if they make no sense.
    fn of_view(view: &TimelineView) -> Option<Self> {
        if view.series.len() > SERIES_MAX {
            return None;
        }
        let series: Option<Vec<ToldSeries>> = view.series.iter().map(ToldSeries::of_view).collect();
        Some(Self {
            upto: view.upto,
            interval: view.kept.interval_seconds,
            step_seconds: view.step_seconds,
            begin: view.begin,
            series: series?,
            hours: view.hours.as_ref().map(ByHour::of_view),
        })
    }
}

impl ToldSeries {
    fn of_view(view: &SeriesView) -> Option<Self> {
        let points = view.points()?;
        let durations = match &view.durations {
            Some(text) => of_text(text, points.len())?,
            None => vec![Vec::new(); points.len()],
        };
        let parts = points.into_iter().zip(durations).map(|(point, durations)| {
            let point = point?;
            Some(match durations.is_empty() {
                true => Part::of_point(&point),
                false => Part {
                    counts: point.counts,
                    durations,
                },
            })
        });
        Some(Self {
            service: view.service.as_deref().map(Arc::from),
            parts: parts.collect(),
        })
    }
}

impl ByHour {
    fn of_view(view: &HoursView) -> Self {
        let counts = view.requests.iter().enumerate().map(|(at, requests)| Counts {
            requests: *requests,
            failures: view.failures.get(at).copied().unwrap_or_default(),
            refused: view.refused.get(at).copied().unwrap_or_default(),
        });
        Self {
            begin: view.begin,
            hours: counts.collect(),
        }
    }
}

impl Summed {
    /// The figures that the leader has summed; `None` if it has not.
    fn of_leader(view: &TimelineView) -> Option<Self> {
        if view.instances == 0 || view.series.len() > SERIES_MAX {
            return None;
        }
        let series: Option<Vec<Series>> = view
            .series
            .iter()
            .map(|series| {
                Some(Series {
                    service: series.service.as_deref().map(Arc::from),
                    points: series.points()?,
                    durations: None,
                })
            })
            .collect();
        Some(Self {
            figures: Figures {
                step_seconds: view.step_seconds.max(1),
                begin: view.begin,
                next: view.next,
                series: series?,
            },
            upto: view.upto,
            instances: view.instances,
            missing: view.missing.clone(),
            direct: view.direct,
        })
    }
}

impl SeriesView {
    /// The points; `None` if the lists are not of one length.
    fn points(&self) -> Option<Vec<Option<Point>>> {
        let parts = self.requests.len();
        let lengths = [
            self.failures.len(),
            self.refused.len(),
            self.p50_ms.len(),
            self.p99_ms.len(),
        ];
        if lengths.iter().any(|length| *length != parts) {
            return None;
        }
        let points = (0..parts).map(|at| {
            let counts = Counts {
                requests: self.requests[at]?,
                failures: self.failures[at].unwrap_or_default(),
                refused: self.refused[at].unwrap_or_default(),
            };
            let [p50, p99] = [self.p50_ms[at], self.p99_ms[at]].map(|ms| ms.map(bucket_of_ms));
            Some(Point::with_quantiles(counts, p50, p99))
        });
        Some(points.collect())
    }
}
