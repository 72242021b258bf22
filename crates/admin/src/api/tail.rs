//! The access log as it happens, as server-sent events.

use std::borrow::Cow;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::routing::get;
use futures_util::Stream;
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};
use waypost_proxy::observe::access_log::Lines;

use super::{App, Content, Operation, QueryParams};
use crate::problem::Problem;

/// Listeners at a time.
const LISTENERS_MAX: usize = 8;
/// Requests that a listener gets in a second, by default.
const RATE: u32 = 100;
/// Requests that a listener gets in a second, at most.
const RATE_MAX: u32 = 1000;
/// Lines that are looked at for a listener in a second. The gateway has other things to do.
const LOOKED_AT_MAX: u32 = 50_000;
/// Lines that are looked at in one go.
const AT_ONCE: u32 = 500;
/// Events that wait for a listener.
const WAITING_MAX: usize = 256;
/// The time for which requests are counted.
const PERIOD: Duration = Duration::from_secs(1);

/// Requests that a listener did not get in the last second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    /// Requests that the filter takes, beyond the rate or because the listener was behind.
    pub matched: u64,
    /// Requests that were not looked at, as there were too many of them.
    pub not_looked_at: u64,
}

/// The query: which requests, and how many of them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TailQuery {
    route: Option<String>,
    service: Option<String>,
    host: Option<String>,
    path: Option<String>,
    method: Option<String>,
    status: Option<String>,
    #[serde(default)]
    failing: bool,
    rate: Option<u32>,
}

/// The requests that a listener wants.
#[derive(Debug, Default)]
struct Filter {
    route: Option<String>,
    service: Option<String>,
    host: Option<String>,
    path: Option<String>,
    method: Option<String>,
    status: Option<Wanted>,
    failing: bool,
}

/// The statuses that a listener wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Status(u16),
    /// By the first digit.
    Class(u16),
}

/// The parts of a line that a filter looks at.
#[derive(Debug, Deserialize)]
struct Line<'l> {
    #[serde(borrow)]
    method: Cow<'l, str>,
    #[serde(borrow)]
    host: Cow<'l, str>,
    #[serde(borrow)]
    path: Cow<'l, str>,
    #[serde(borrow)]
    route: Option<Cow<'l, str>>,
    #[serde(borrow)]
    service: Option<Cow<'l, str>>,
    status: u16,
    failed: bool,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "get",
        path: "/api/v1/tail",
        summary: "Requests as they end, as server-sent events `request` with the line of the access log, also while that is off; and `left_out` with the numbers of those that did not come, once a second if there are any",
        query: &[
            ("route", "string", "of this route; empty for none"),
            (
                "service",
                "string",
                "of this service; empty for responses of the gateway itself",
            ),
            ("host", "string", "for this host, or `*.example.net`"),
            ("path", "string", "with a path that begins so"),
            ("method", "string", "with this method"),
            (
                "status",
                "string",
                "with this status, or of this class, such as `5xx`",
            ),
            ("failing", "boolean", "`true` for failed requests only"),
            (
                "rate",
                "integer",
                "requests in a second, up to 1000; by default 100. What is more is left out",
            ),
        ],
        body: Vec::new(),
        response: vec![Content {
            kind: "text/event-stream",
            schema: Some(|generator| generator.subschema_for::<LeftOut>()),
        }],
        problems: &[422, 503],
        handler: || get(tail),
    }]
}

async fn tail(
    State(state): App,
    QueryParams(asked): QueryParams<TailQuery>,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Problem> {
    let rate = asked.rate.unwrap_or(RATE);
    if rate == 0 || rate > RATE_MAX {
        return Err(Problem::invalid(format!(
            "`rate` is a number from 1 to {RATE_MAX}"
        )));
    }
    let filter = Filter::of(asked)?;
    let view = state.view()?;
    if view.tail_listeners() >= LISTENERS_MAX {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "there are too many listeners",
        ));
    }
    let (events, received) = mpsc::channel(WAITING_MAX);
    let lines = unfold(view.tail(), async |mut listener| {
        let lines = listener.next().await?;
        Some((lines, listener))
    });
    tokio::spawn(follow(lines, filter, rate, events));
    let events = unfold(received, async |mut received: Receiver<Sent>| {
        let event = received.recv().await?;
        Some((Ok(event), received))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// Sends what `filter` takes to `events`, until either end is gone.
async fn follow(lines: impl Stream<Item = Lines>, filter: Filter, rate: u32, events: Sender<Sent>) {
    let mut lines = pin!(lines);
    let mut period_ends = Instant::now() + PERIOD;
    let (mut sent, mut looked_at) = (0, 0);
    let mut left_out = LeftOut::default();
    loop {
        if period_ends <= Instant::now() {
            period_ends = Instant::now() + PERIOD;
            (sent, looked_at) = (0, 0);
            if left_out != LeftOut::default() {
                let data = serde_json::to_string(&left_out).unwrap_or_default();
                if events
                    .try_send(Sent::default().event("left_out").data(data))
                    .is_ok()
                {
                    left_out = LeftOut::default();
                }
            }
        }
        let batch = tokio::select! {
            () = events.closed() => return,
            batch = timeout_at(period_ends, lines.next()) => match batch {
                Ok(Some(batch)) => batch,
                Ok(None) => return,
                Err(_) => continue,
            },
        };
        left_out.not_looked_at += batch.lost;
        let whole = batch
            .lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        for line in whole {
            if looked_at >= LOOKED_AT_MAX {
                left_out.not_looked_at += 1;
                continue;
            }
            looked_at += 1;
            if looked_at % AT_ONCE == 0 {
                yield_now().await;
            }
            if !filter.takes(line) {
                continue;
            }
            let event = || {
                Sent::default()
                    .event("request")
                    .data(String::from_utf8_lossy(line))
            };
            if sent < rate && events.try_send(event()).is_ok() {
                sent += 1;
            } else {
                left_out.matched += 1;
            }
        }
    }
}

impl Filter {
    fn of(asked: TailQuery) -> Result<Self, Problem> {
        let status = asked.status.as_deref().map(|text| {
            let wanted = Wanted::parse(text);
            wanted.ok_or_else(|| {
                Problem::invalid(format!(
                    "`status={text}`: a status is a number such as `503`, or a class such as `5xx`"
                ))
            })
        });
        Ok(Self {
            route: asked.route,
            service: asked.service,
            host: asked.host.map(|host| host.to_ascii_lowercase()),
            path: asked.path,
            method: asked.method,
            status: status.transpose()?,
            failing: asked.failing,
        })
    }

    /// Returns true if the listener wants this line of the log.
    fn takes(&self, line: &[u8]) -> bool {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else {
            return false;
        };
        let is = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        let host = self
            .host
            .as_deref()
            .is_none_or(|wanted| match wanted.strip_prefix('*') {
                Some(suffix) => line.host.len() > suffix.len() && line.host.ends_with(suffix),
                None => line.host == wanted,
            });
        host && is(&self.route, line.route.as_deref().unwrap_or_default())
            && is(&self.service, line.service.as_deref().unwrap_or_default())
            && is(&self.method, &line.method)
            && self
                .path
                .as_deref()
                .is_none_or(|path| line.path.starts_with(path))
            && self.status.is_none_or(|wanted| wanted.takes(line.status))
            && (!self.failing || line.failed)
    }
}

impl Wanted {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix("xx") {
            Some(class) => class
                .parse()
                .ok()
                .filter(|class| (1..=5).contains(class))
                .map(Self::Class),
            // 0 is a request without a response.
            None => text
                .parse()
                .ok()
                .filter(|status| *status < 1000)
                .map(Self::Status),
        }
    }

    fn takes(self, status: u16) -> bool {
        match self {
            Self::Status(wanted) => status == wanted,
            Self::Class(class) => status / 100 == class,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: TailQuery, expected: bool) {
        let line = br#"{"time":"t","method":"GET","host":"a.example.net","path":"/a/\"b","route":"r","service":null,"status":503,"failed":true,"bytes":1}"#;
        let text = format!("{query:?}");
        assert_eq!(Filter::of(query).unwrap().takes(line), expected, "{text}");
    }

    #[test]
    fn filters_take_what_they_say() {
        let some = |text: &str| Some(text.to_owned());
        let none = TailQuery::default;
        check(none(), true);
        for (text, expected) in [("r", true), ("s", false), ("", false)] {
            check(
                TailQuery {
                    route: some(text),
                    ..none()
                },
                expected,
            );
        }
        for (text, expected) in [("", true), ("s", false)] {
            check(
                TailQuery {
                    service: some(text),
                    ..none()
                },
                expected,
            );
        }
        for (text, expected) in [
            ("A.example.net", true),
            ("*.example.net", true),
            ("*.a.example.net", false),
            ("example.net", false),
        ] {
            check(
                TailQuery {
                    host: some(text),
                    ..none()
                },
                expected,
            );
        }
        for (text, expected) in [("/a", true), ("/a/\"", true), ("/b", false)] {
            check(
                TailQuery {
                    path: some(text),
                    ..none()
                },
                expected,
            );
        }
        for (text, expected) in [("503", true), ("5xx", true), ("4xx", false), ("200", false)] {
            check(
                TailQuery {
                    status: some(text),
                    ..none()
                },
                expected,
            );
        }
        for (text, expected) in [("GET", true), ("get", false)] {
            check(
                TailQuery {
                    method: some(text),
                    ..none()
                },
                expected,
            );
        }
        check(
            TailQuery {
                failing: true,
                ..none()
            },
            true,
        );
        for text in ["6xx", "xx", "5x", "", "1000", "-1"] {
            assert_eq!(Wanted::parse(text), None, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rate_is_bounded_and_the_rest_is_counted() {
        let (events, mut received) = mpsc::channel(WAITING_MAX);
        let (batches, source) = mpsc::channel::<Lines>(8);
        let lines = unfold(source, async |mut source| Some((source.recv().await?, source)));
        let following = tokio::spawn(follow(lines, Filter::default(), 3, events));
        let line = br#"{"method":"GET","host":"a","path":"/","route":null,"service":null,"status":200,"failed":false}
"#;
        let send = async |lines: Vec<u8>, lost| {
            let lines = lines.into();
            batches.send(Lines { lines, lost }).await.unwrap();
        };
        send(line.repeat(5), 7).await;
        for _ in 0..3 {
            let event = format!("{:?}", received.recv().await.unwrap());
            assert!(event.contains("request"), "{event}");
        }
        let event = format!("{:?}", received.recv().await.unwrap());
        for part in ["left_out", "matched\\\":2", "not_looked_at\\\":7"] {
            assert!(event.contains(part), "{part} in {event}");
        }
        send(line.to_vec(), 0).await;
        let event = format!("{:?}", received.recv().await.unwrap());
        assert!(event.contains("request"), "{event}");
        drop(received);
        following.await.unwrap();
    }
}
