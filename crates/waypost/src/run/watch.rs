//! Noticing that a config has changed, however it was changed.
//!
//! Directories are watched rather than files: an editor renames a new file into place, and a ConfigMap swaps a
//! symbolic link. Because some file systems tell nothing, and a link may lead anywhere, a look at the files
//! themselves now and then backs that up.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::config;

/// How long a directory has to be quiet before the config is read, as a write has many steps.
const QUIET: Duration = Duration::from_millis(50);
/// How long it may be unquiet before the config is read all the same.
const UNQUIET_MAX: Duration = Duration::from_millis(250);
/// How often the files themselves are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Starts watching, in a task of its own: whoever waits may be interrupted at any time, and misses nothing.
pub(super) fn start(path: &Path) -> Arc<Notify> {
    let changed = Arc::<Notify>::default();
    let mut watch = Watch::start(path);
    let tell = Arc::clone(&changed);
    tokio::spawn(async move {
        loop {
            watch.changed().await;
            tell.notify_one();
        }
    });
    changed
}

/// A watch on a config.
struct Watch {
    path: PathBuf,
    events: mpsc::UnboundedReceiver<()>,
    looks: tokio::time::Interval,
    seen: Vec<Print>,
    watcher: Option<RecommendedWatcher>,
}

/// What changes with a file's content, and is cheap to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Print {
    path: PathBuf,
    file: Option<(u64, u64, u64, Option<SystemTime>)>,
}

impl Watch {
    /// Starts watching. Without the system's help, looking now and then has to do.
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
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            path: path.to_owned(),
            events,
            looks,
            seen: prints(path),
            watcher,
        }
    }

    /// Returns when something has changed, and is quiet again.
    async fn changed(&mut self) {
        loop {
            tokio::select! {
                event = self.events.recv(), if self.watcher.is_some() => {
                    if event.is_none() {
                        self.watcher = None;
                        continue;
                    }
                    self.settle().await;
                    self.seen = prints(&self.path);
                    return;
                }
                _ = self.looks.tick() => {
                    let now = prints(&self.path);
                    if now != self.seen {
                        self.settle().await;
                        self.seen = prints(&self.path);
                        return;
                    }
                }
            }
        }
    }

    /// Waits until nothing has happened for a moment.
    async fn settle(&mut self) {
        let latest = Instant::now() + UNQUIET_MAX;
        loop {
            let quiet = (Instant::now() + QUIET).min(latest);
            let Ok(Some(())) = timeout_at(quiet, self.events.recv()).await else {
                break;
            };
        }
        // What has piled up meanwhile is about what will be read now.
        while self.events.try_recv().is_ok() {}
    }
}

/// The directories in which a change of the config shows: its own, and those that links on the way lead to.
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

fn prints(path: &Path) -> Vec<Print> {
    let files = if path.is_dir() {
        config::files_of(path).unwrap_or_default()
    } else {
        vec![path.to_owned()]
    };
    files.into_iter().map(print).collect()
}

fn print(path: PathBuf) -> Print {
    use std::os::unix::fs::MetadataExt as _;
    let file = fs::metadata(&path).ok().map(|metadata| {
        (
            metadata.dev(),
            metadata.ino(),
            metadata.len(),
            metadata.modified().ok(),
        )
    });
    Print { path, file }
}
