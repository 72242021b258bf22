//! Pictures of the gateway, one after the other, from the admin API.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use waypost_admin::api::failures::FailuresView;
use waypost_admin::api::fleet_health::FleetHealth;
use waypost_admin::api::routes::page::{RouteRow, RoutesPage};
use waypost_admin::api::routes::{RouteDetail, SplitView};
use waypost_admin::api::status::Status;
use waypost_admin::api::timeline::TimelineView;
use waypost_admin::api::whoami::ClientView;
use waypost_admin::command::Dialed;
use waypost_admin::events::marks::Mark;
use waypost_admin::problem::Problem;
use waypost_admin::rollout::RolloutView;
use waypost_admin::stats::{RouteStats, Stats};
use waypost_policy::explain::Explanation;

use super::Message;
use super::dial::Dial;
use super::history;
use super::model::{Listing, Page, Picture, RoutePicture, Row};
use crate::explain;
use crate::remote::client::segment;
use crate::remote::{Client, Response};

/// Routes with the most failures that are listed, and as many with the most requests.
const ROUTES_MAX: usize = 100;
/// Changes that are kept.
const CHANGES_MAX: usize = 200;
/// The shortest time until a gateway that is lost is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// The share of the time that pictures may take: of a large gateway there are fewer.
const REST: u32 = 10;

/// The things that the reader looks at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Subject {
    pub(super) page: Page,
    pub(super) search: String,
}

/// A source of pictures, which remembers what does not have to be read again.
pub(super) struct Feed {
    client: Arc<Client>,
    interval: Duration,
    whoami: Option<ClientView>,
    whole: Option<TimelineView>,
    changes: Vec<Mark>,
    route_history: Option<TimelineView>,
    every: Duration,
}

/// Returns early with the problem that the gateway answered with.
macro_rules! answered {
    ($response:expr) => {
        match $response {
            Ok(answer) => answer,
            Err(problem) => return Ok(Err(problem)),
        }
    };
}

impl Feed {
    pub(super) fn new(client: Arc<Client>, interval: Duration) -> Self {
        Self {
            client,
            interval,
            whoami: None,
            whole: None,
            changes: Vec::new(),
            route_history: None,
            every: interval,
        }
    }

    /// Takes pictures until the loop has ended.
    pub(super) fn run(mut self, watches: &Receiver<Subject>, to: &Sender<Message>) {
        let mut watched = Subject::default();
        let mut wait = Duration::ZERO;
        loop {
            match watches.recv_timeout(wait) {
                Ok(newer) => watched = watches.try_iter().last().unwrap_or(newer),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let began = Instant::now();
            let looked = self.look(&watched);
            let took = began.elapsed();
            // A gateway that is lost is no load, however long that took to find out.
            (self.every, wait) = match looked {
                Ok(Ok(_)) => {
                    let every = self.interval.max(took * REST);
                    (every, every.saturating_sub(took))
                }
                _ => (self.interval, self.interval.max(AGAIN)),
            };
            let said = match looked {
                Ok(Ok(picture)) => Message::Picture(Box::new(picture)),
                Ok(Err(problem)) => self.lost(problem.detail),
                Err(error) => self.lost(format!("{error:#}")),
            };
            if to.send(said).is_err() {
                return;
            }
        }
    }

    /// Forgets a gateway that is gone: another one may come in its place.
    fn lost(&mut self, why: String) -> Message {
        *self = Self::new(Arc::clone(&self.client), self.interval);
        Message::Lost(why)
    }

    /// Takes a picture.
    pub(super) fn look(&mut self, watched: &Subject) -> anyhow::Result<Response<Picture>> {
        let client = Arc::clone(&self.client);
        let mut status: Status = answered!(client.get("/api/v1/status")?);
        if status.fleet.is_some() {
            // An instance of an older version only knows its own.
            if let Ok(FleetHealth { word, reasons, .. }) = client.get("/api/v1/fleet/health")? {
                (status.word, status.reasons) = (word, reasons);
            }
        }
        let whoami = match self.whoami.take() {
            Some(whoami) => whoami,
            None => answered!(client.get("/api/v1/whoami")?),
        };
        self.whoami = Some(whoami.clone());
        answered!(self.read_whole()?);
        let route = match &watched.page {
            Page::Overview => None,
            Page::Route(name) => answered!(self.read_route(name)?),
        };
        let listing = answered!(self.read_listing(&watched.search)?);
        let whole = self.whole.clone().context("there are no figures")?;
        Ok(Ok(Picture {
            status,
            client: whoami,
            whole,
            changes: self.changes.clone(),
            listing,
            route,
            every_seconds: self.every.as_secs_f64(),
        }))
    }

    /// Reads what is new of all requests, and what has changed.
    fn read_whole(&mut self) -> anyhow::Result<Response<()>> {
        let new: TimelineView = match &self.whole {
            Some(whole) => {
                let path = format!("/api/v1/timeline?since={}", whole.next);
                answered!(self.client.get(&path)?)
            }
            None => {
                // Changes of the last day, which the figures by the minute come with.
                let day: TimelineView = answered!(self.client.get("/api/v1/timeline?step=1m")?);
                self.changes = day.marks.into_iter().rev().take(CHANGES_MAX).collect();
                answered!(self.client.get("/api/v1/timeline")?)
            }
        };
        for mark in &new.marks {
            if !self.changes.contains(mark) {
                self.changes.insert(0, mark.clone());
            }
        }
        self.changes.truncate(CHANGES_MAX);
        history::add(&mut self.whole, new);
        Ok(Ok(()))
    }

    fn read_route(&mut self, name: &str) -> anyhow::Result<Response<Option<RoutePicture>>> {
        let client = Arc::clone(&self.client);
        let path = format!("/api/v1/routes/{}", segment(name));
        let detail: RouteDetail = match client.get(&path)? {
            Ok(detail) => detail,
            // The route is gone from the config.
            Err(problem) if problem.status == 404 => return Ok(Ok(None)),
            Err(problem) => return Ok(Err(problem)),
        };
        let stats: Stats = answered!(client.get(&format!("/api/v1/stats?route={}", segment(name)))?);
        let known = self.route_history.take();
        self.route_history = known.filter(|history| history.route.as_deref() == Some(name));
        let mut figures = format!("/api/v1/timeline?route={}", segment(name));
        if let Some(known) = &self.route_history {
            figures.push_str(&format!("&since={}", known.next));
        }
        history::add(&mut self.route_history, answered!(client.get(&figures)?));
        let rollout: Option<RolloutView> = match client.get(&format!("{path}/rollout"))? {
            Ok(rollout) => Some(rollout),
            Err(problem) if problem.status == 404 => None,
            Err(problem) => return Ok(Err(problem)),
        };
        let failures: FailuresView = answered!(client.get(&format!("{path}/failures"))?);
        let Some(history) = self.route_history.clone() else {
            return Ok(Ok(None));
        };
        Ok(Ok(Some(RoutePicture {
            detail,
            stats: stats.routes.into_iter().next().unwrap_or_else(|| RouteStats {
                route: name.to_owned(),
                rollout: None,
                arms: Vec::new(),
            }),
            history,
            rollout,
            failures: failures.failures,
        })))
    }

    /// Reads the routes with the most failures, and those with the most requests.
    fn read_listing(&self, search: &str) -> anyhow::Result<Response<Listing>> {
        let mut listing = Listing {
            search: search.to_owned(),
            ..Listing::default()
        };
        let mut seen = HashSet::new();
        for sort in ["failures", "rate"] {
            let path = format!(
                "/api/v1/routes?figures=true&limit={ROUTES_MAX}&sort={sort}&search={}",
                segment(search)
            );
            let page: RoutesPage = match self.client.get(&path)? {
                Ok(page) => page,
                // A search that is not one.
                Err(problem) if problem.status == 422 => {
                    listing.trouble = Some(problem.detail);
                    return Ok(Ok(listing));
                }
                Err(problem) => return Ok(Err(problem)),
            };
            listing.matching = page.place.matching;
            listing.missing = page.missing;
            let new = page.routes.into_iter().map(Row::from);
            listing
                .rows
                .extend(new.filter(|row| seen.insert(row.name.clone())));
        }
        listing.rows.sort_by(|a, b| {
            let key = |row: &Row| (row.is_failing(), row.failures, row.requests);
            key(b).cmp(&key(a)).then_with(|| a.name.cmp(&b.name))
        });
        Ok(Ok(listing))
    }
}

impl From<RouteRow> for Row {
    fn from(row: RouteRow) -> Self {
        let RouteRow {
            route,
            figures,
            health,
            ..
        } = row;
        let mut row = Self {
            name: route.name,
            action: route.action,
            matches: route.matches,
            arms: route.arms,
            rollout: route.rollout,
            reason: health,
            ..Self::default()
        };
        if let Some(figures) = figures {
            row.requests = figures.requests;
            row.failures = figures.failures;
            row.refused = figures.refused;
            row.rate = figures.rate;
            row.p99_ms = figures.p99_ms;
            row.history = figures.sparkline;
        }
        row
    }
}

/// The split of a route, with its version.
pub(super) fn read_split(client: &Client, route: &str) -> anyhow::Result<Response<(String, SplitView)>> {
    let path = format!("/api/v1/routes/{}/split", segment(route));
    let (text, version) = answered!(client.get_text(&path)?);
    let split: SplitView = serde_json::from_slice(&text).context("the split cannot be read")?;
    Ok(Ok((version, split)))
}

/// Turns a dial, unless its split has changed since it was read.
pub(super) fn turn(client: &Client, dial: &Dial, aborts: bool) -> anyhow::Result<Response<Dialed>> {
    let query = if aborts { "?force=true" } else { "" };
    let path = format!("/api/v1/routes/{}/split{query}", segment(&dial.route));
    let version = Some(&*dial.version);
    if dial.is_reset() {
        return client.act("DELETE", &path, version);
    }
    let weights = dial.arms.iter().zip(&dial.weights);
    let weights: HashMap<&str, u64> = weights.map(|(arm, weight)| (&*arm.service, *weight)).collect();
    client.put(&path, "application/json", version, serde_json::to_vec(&weights)?)
}

/// Explains the request of a line, as `waypost explain` prints it.
pub(super) fn explained(client: &Client, line: &str) -> anyhow::Result<Result<String, Problem>> {
    let question = explain::question_of(line)?;
    let body = serde_json::json!({
        "method": question.method,
        "url": question.url,
        "headers": question.headers,
    });
    let body = serde_json::to_vec(&body)?;
    let explanation: Response<Explanation> = client.post("/api/v1/explain", "application/json", body)?;
    Ok(explanation.map(|explanation| explain::in_words(&question, &explanation)))
}
