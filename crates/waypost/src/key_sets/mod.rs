//! The key sets of issuers that are fetched by URL.
//!
//! Each has a task on the control's runtime, as long as a config names its URL. A set that cannot be fetched anew stays in
//! use, and the status says so.

mod fetch;
mod schedule;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use waypost_admin::report::KeySetReport;
use waypost_admin::state::AppState;
use waypost_auth::token::key_set::KeySet;
use waypost_auth::token::live::LiveKeys;
use waypost_plan::Plan;
use waypost_plan::token::{KeySource, KeyUrl};
use waypost_proxy::generation::{FetchedKeys, KeyAsk};

pub(crate) use self::fetch::TIMEOUT;
use self::fetch::{FetchError, Fetched, fetch};
use self::schedule::Schedule;
pub(crate) use self::schedule::{ASKED_MIN, FRESH_MAX, FRESH_MIN, RETRY_MAX, RETRY_MIN};
use crate::log;

/// The requests that may wait for a fetch at once; others are answered as if there were none.
pub(crate) const ASKS_MAX: usize = 1024;

/// The key sets that are fetched, by URL.
#[derive(Default)]
pub(crate) struct KeySets(BTreeMap<KeyUrl, Kept>);

/// A key set and the task that fetches it.
struct Kept {
    keys: FetchedKeys,
    task: AbortHandle,
}

impl KeySets {
    /// The key sets that `plan` names. Those that are not known are fetched from now on.
    pub(crate) fn of(&mut self, plan: &Plan, shared: &Arc<AppState>) -> Vec<(KeySource, FetchedKeys)> {
        let urls = plan.key_sources().filter_map(|source| match source {
            KeySource::Url(url) => Some(url),
            KeySource::File(_) => None,
        });
        urls.map(|url| {
            let kept = self.0.entry(url.clone()).or_insert_with(|| start(url, shared));
            (KeySource::Url(url.clone()), kept.keys.clone())
        })
        .collect()
    }

    /// Gives up the key sets that `plan`, which is in force, does not name.
    pub(crate) fn retain(&mut self, plan: &Plan, shared: &AppState) {
        let is_named = |url: &KeyUrl| {
            plan.key_sources()
                .any(|source| matches!(source, KeySource::Url(named) if named == url))
        };
        self.0.retain(|url, kept| {
            let is_named = is_named(url);
            if !is_named {
                kept.task.abort();
                shared.update_report(|report| drop(report.key_sets.remove(&*url.text)));
            }
            is_named
        });
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn start(url: &KeyUrl, shared: &Arc<AppState>) -> Kept {
    let (asks, inbox) = mpsc::channel(ASKS_MAX);
    let keys = Arc::new(LiveKeys::default());
    keys.set_may_come(true);
    let task = Task {
        url: url.clone(),
        keys: Arc::clone(&keys),
        shared: Arc::clone(shared),
        report: KeySetReport {
            url: url.shown().to_owned(),
            ..KeySetReport::default()
        },
    };
    Kept {
        keys: FetchedKeys { keys, asks },
        task: tokio::spawn(task.run(inbox)).abort_handle(),
    }
}

/// The task of one key set.
struct Task {
    url: KeyUrl,
    keys: Arc<LiveKeys>,
    shared: Arc<AppState>,
    report: KeySetReport,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<KeyAsk>) {
        let mut schedule = Schedule::new(Instant::now());
        let mut asked = None;
        loop {
            // A request that comes while it is under way waits for its end.
            self.keys.set_may_come(true);
            let fetched = fetch(&self.url).await;
            self.note(fetched, &mut schedule);
            self.keys
                .set_may_come(schedule.closed_until(Instant::now()).is_none());
            let waiting = std::iter::from_fn(|| inbox.try_recv().ok());
            for ask in asked.take().into_iter().chain(waiting) {
                let _ = ask.send(());
            }
            asked = self.wait(&mut schedule, &mut inbox).await;
        }
    }

    /// Waits until the next fetch is due, or one is asked for.
    async fn wait(&self, schedule: &mut Schedule, inbox: &mut mpsc::Receiver<KeyAsk>) -> Option<KeyAsk> {
        loop {
            let closed_until = schedule.closed_until(Instant::now());
            tokio::select! {
                () = sleep_until(schedule.next()) => return None,
                () = sleep_until(closed_until.unwrap_or_else(Instant::now)), if closed_until.is_some() => {
                    self.keys.set_may_come(true);
                }
                Some(ask) = inbox.recv() => {
                    let now = Instant::now();
                    if schedule.closed_until(now).is_none() {
                        schedule.ask(now);
                        return Some(ask);
                    }
                    let _ = ask.send(());
                }
            }
        }
    }

    /// Notes the end of a fetch: the new set, or the reason that there is none.
    fn note(&mut self, fetched: Result<Fetched, FetchError>, schedule: &mut Schedule) {
        let now = Instant::now();
        self.report.fetches += 1;
        let url = self.url.shown();
        match fetched {
            Ok(Fetched { set, max_age }) => {
                schedule.succeeded(max_age, now);
                self.report.keys = set.len();
                self.report.skipped = set.skipped().len();
                self.report.fetched = Some(Timestamp::now());
                let had_failed = self.report.error.take().is_some();
                if had_failed || self.keys.get().is_none() {
                    log::info(format_args!("the key set `{url}` was fetched: {}", counted(&set)));
                }
                self.keys.set(Arc::new(set));
            }
            Err(error) => {
                schedule.failed(now);
                self.report.failures += 1;
                let message = error.to_string();
                if self.report.error.as_ref() != Some(&message) {
                    let meanwhile = match self.keys.get() {
                        Some(_) => "the last one stays in use",
                        None => "its tokens cannot be verified",
                    };
                    log::warn(format_args!(
                        "the key set `{url}` cannot be fetched: {message}; {meanwhile}"
                    ));
                }
                self.report.error = Some(message);
            }
        }
        let (text, report) = (self.url.text.to_string(), self.report.clone());
        self.shared.update_report(|all| {
            all.key_sets.insert(text, report);
        });
    }
}

/// The number of keys of a set, in words.
fn counted(set: &KeySet) -> String {
    let keys = match set.len() {
        1 => "1 key".to_owned(),
        keys => format!("{keys} keys"),
    };
    match set.skipped() {
        [] => keys,
        [first, rest @ ..] => {
            let more = match rest.len() {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            format!("{keys}; key {} is not used: {}{more}", first.number, first.why)
        }
    }
}
