//! Noticing changes of a config.
//!
//! Directories are watched rather than files: an editor renames a new file into place, and a ConfigMap swaps a
//! symbolic link. Some file systems report no events, and a link may lead anywhere, so the files are polled as well.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::read;
use super::stamp::Stamp;

/// The time without events before the config is read, as a write has many steps.
const QUIET: Duration = Duration::from_millis(50);
/// The delay after which the config is read although events go on.
const UNQUIET_MAX: Duration = Duration::from_millis(250);
/// The interval of polling.
const POLL: Duration = Duration::from_millis(500);

/// Starts watching in a task of its own, so that a waiter can be cancelled without missing a change.
pub(super) fn start(path: &Path) -> Arc<Notify> {
    let changed = Arc::<Notify>::default();
    let mut watch = Watch::start(path);
    let notify = Arc::clone(&changed);
    tokio::spawn(async move {
        loop {
            watch.changed().await;
            notify.notify_one();
        }
    });
    changed
}

/// A watch on a config.
struct Watch {
    path: PathBuf,
    events: mpsc::UnboundedReceiver<()>,
    polls: tokio::time::Interval,
    seen: Vec<Stamp>,
    watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Starts watching. If the system cannot watch, polling remains.
    fn start(path: &Path) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading the config is an event too, but not a change.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = sender.send(());
            }
        });
        let mut watcher = watcher.ok();
        if let Some(watcher) = &mut watcher {
            for directory in directories(path) {
                let _ = watcher.watch(&directory, RecursiveMode::NonRecursive);
            }
        }
        let mut polls = interval(POLL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            path: path.to_owned(),
            events,
            polls,
            seen: stamps(path),
            watcher,
        }
    }

    /// Returns after a change, once there are no more events.
    async fn changed(&mut self) {
        loop {
            tokio::select! {
                event = self.events.recv(), if self.watcher.is_some() => {
                    if event.is_none() {
                        self.watcher = None;
                        continue;
                    }
                    self.settle().await;
                    self.seen = stamps(&self.path);
                    return;
                }
                _ = self.polls.tick() => {
                    let now = stamps(&self.path);
                    if now != self.seen {
                        self.settle().await;
                        self.seen = stamps(&self.path);
                        return;
                    }
                }
            }
        }
    }

    /// Waits for a pause in the events.
    async fn settle(&mut self) {
        let latest = Instant::now() + UNQUIET_MAX;
        loop {
            let quiet = (Instant::now() + QUIET).min(latest);
            let Ok(Some(())) = timeout_at(quiet, self.events.recv()).await else {
                break;
            };
        }
        // Queued events are about the text that will be read now.
        while self.events.try_recv().is_ok() {}
    }
}

/// The directories to watch: the config's own, and that of its target if it is a link.
fn directories(path: &Path) -> BTreeSet<PathBuf> {
    let mut directories = BTreeSet::new();
    let parent = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    directories.insert(parent(path));
    if path.is_dir() {
        directories.insert(path.to_owned());
    }
    if let Ok(real) = fs::canonicalize(path) {
        directories.insert(parent(&real));
        if real.is_dir() {
            directories.insert(real);
        }
    }
    directories
}

fn stamps(path: &Path) -> Vec<Stamp> {
    let files = if path.is_dir() {
        read::files_of(path).unwrap_or_default()
    } else {
        vec![path.to_owned()]
    };
    files.into_iter().map(Stamp::of).collect()
}
