//! Accounts and certificates in the directory of the state: `certificates/`, in files that only their owner may read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use waypost_proxy::challenges::{Challenge, Challenges};

use super::name::CertificateName;
use super::record::{StoreError, Stored, Unread};
use crate::checksummed::{self, Damaged, ReadError, create_directory, set_aside};

/// The name of the directory.
const DIRECTORY: &str = "certificates";

/// Accounts and certificates on disk.
#[derive(Debug)]
pub(crate) struct Disk {
    directory: PathBuf,
    answered: Arc<Answered>,
}

/// The challenges that are answered.
#[derive(Debug)]
struct Answered {
    challenges: Arc<Challenges>,
    by_order: Mutex<BTreeMap<CertificateName, Vec<Challenge>>>,
}

/// The challenges of an order, which are answered until this is dropped.
#[derive(Debug)]
pub(crate) struct Published {
    name: CertificateName,
    answered: Arc<Answered>,
}

impl Disk {
    /// In the state directory `state`; `challenges` are those that listeners answer.
    pub(crate) fn new(state: &Path, challenges: Arc<Challenges>) -> Self {
        Self {
            directory: state.join(DIRECTORY),
            answered: Arc::new(Answered {
                challenges,
                by_order: Mutex::default(),
            }),
        }
    }

    /// Reads all files. Damaged ones are set aside if this process `owns` the state.
    pub(super) async fn load(&self, owns: bool) -> Stored {
        let directory = self.directory.clone();
        beside(move || load(&directory, owns)).await
    }

    /// Reads a file, for the owner of the state. A damaged one is set aside.
    pub(super) async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Unread> {
        let path = self.directory.join(name);
        let cannot = format!("`{}` cannot be read", path.display());
        match beside(move || checksummed::read(&path)).await {
            Ok(read) => Ok(read),
            Err(ReadError::Damaged(why)) => Err(Unread::Damaged(self.set_aside(name, why).await)),
            Err(ReadError::Io(error)) => Err(StoreError(format!("{cannot}: {error}")).into()),
        }
    }

    /// The names of all files.
    pub(super) async fn names(&self) -> Vec<String> {
        let directory = self.directory.clone();
        beside(move || {
            let entries = checksummed::entries(&directory).ok().flatten();
            let names = entries
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.file_name());
            names.filter_map(|name| name.into_string().ok()).collect()
        })
        .await
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.directory.join(name);
        beside(move || {
            let removed = std::fs::remove_file(&path);
            removed.map_err(|error| StoreError(format!("`{}` cannot be deleted: {error}", path.display())))
        })
        .await
    }

    /// Sets a damaged file aside, for the owner of the state. Returns that and `why` in a sentence.
    pub(super) async fn set_aside(&self, name: &str, why: String) -> String {
        let path = self.directory.join(name);
        let aside = beside(move || set_aside(&path, &why, true)).await;
        let (file, now, why) = (aside.file.display(), aside.now.display(), &aside.why);
        match aside.now == aside.file {
            true => format!("`{file}`: {why}"),
            false => format!("`{file}`: {why}; it is `{now}` now"),
        }
    }

    /// Writes a file that only its owner may read, as temporary files are.
    pub(super) async fn write(&self, name: &str, body: Vec<u8>) -> Result<(), StoreError> {
        let directory = self.directory.clone();
        let path = directory.join(name);
        beside(move || {
            let written = create_directory(&directory).and_then(|()| checksummed::write(&path, &body));
            written.map_err(|error| StoreError(format!("`{}` cannot be written: {error}", path.display())))
        })
        .await
    }

    pub(super) fn publish(&self, name: &CertificateName, challenges: Vec<Challenge>) -> Published {
        self.answered.set(name, challenges);
        Published {
            name: name.clone(),
            answered: Arc::clone(&self.answered),
        }
    }
}

impl Answered {
    fn set(&self, name: &CertificateName, challenges: Vec<Challenge>) {
        let mut by_order = self.by_order.lock().unwrap_or_else(PoisonError::into_inner);
        match challenges.is_empty() {
            true => drop(by_order.remove(name)),
            false => drop(by_order.insert(name.clone(), challenges)),
        }
        self.challenges.set(by_order.values().flatten().cloned());
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.answered.set(&self.name, Vec::new());
    }
}

/// Reads all files of a directory.
fn load(directory: &Path, owns: bool) -> Stored {
    let mut stored = Stored::default();
    let entries = match checksummed::entries(directory) {
        Ok(entries) => entries,
        Err(error) => {
            stored.damaged.push(named(directory, &error, owns));
            return stored;
        }
    };
    if owns {
        checksummed::sweep(directory);
    }
    let mut paths: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    for path in paths {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if !Stored::has(name) {
            continue;
        }
        let taken = checksummed::read(&path).and_then(|body| {
            let body = body.unwrap_or_default();
            stored.take(name, &body).map_err(ReadError::Damaged)
        });
        if let Err(error) = taken {
            stored.damaged.push(named(&path, &error, owns));
        }
    }
    stored
}

/// A file that cannot be read. A damaged one is set aside.
fn named(path: &Path, error: &ReadError, owns: bool) -> Damaged {
    let is_damaged = matches!(error, ReadError::Damaged(_));
    set_aside(path, &error.to_string(), owns && is_damaged)
}

/// Runs `work` beside the control's runtime, as a disk may be slow.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
