//! Configs on disk: a file, or a directory of files that belong together.

pub(crate) mod journal;
pub(crate) mod material;
pub(crate) mod read;
pub(crate) mod stamp;
#[cfg(test)]
mod tests;
mod unfinished;
mod watch;
pub(crate) mod write;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Notify;
use waypost_config::Kind;

use super::{PrepareError, Version};
use crate::texts::Texts;
use journal::Recovered;
use stamp::Stamp;
use write::Prepared;

/// A config on disk.
#[derive(Debug)]
pub(crate) struct Disk {
    path: PathBuf,
    /// The lock on a config that is a directory, while this process is the one that writes there.
    owned: Option<File>,
    changed: Arc<Notify>,
}

impl Disk {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            owned: None,
            changed: Arc::default(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn recover(&mut self) -> Recovered {
        self.own();
        journal::recover(&self.path, self.owned.is_some())
    }

    pub(super) fn watch(&mut self) {
        self.changed = watch::start(&self.path);
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn prepare(
        &mut self,
        texts: &Texts,
        expected: &Version,
        was_active: impl Fn(&str, &[u8]) -> bool,
    ) -> Result<Prepared, PrepareError> {
        // One file takes no more than a rename.
        if texts.kind == Kind::Directory && !self.own() {
            return Err(PrepareError::NotOwned);
        }
        let on_disk = read::read_served(&self.path).unwrap_or(Texts {
            sources: Vec::new(),
            kind: texts.kind,
            local: None,
        });
        if !on_disk.sources.is_empty() && !expected.is_of(&on_disk) {
            return Err(PrepareError::Edited);
        }
        Ok(write::prepare(&self.path, texts, &on_disk, was_active)?)
    }

    /// Returns true if this process is the one that writes to a config that is a directory.
    fn own(&mut self) -> bool {
        if self.owned.is_none() {
            self.owned = lock(&self.path);
        }
        self.owned.is_some()
    }

    pub(super) fn release(&mut self) {
        self.owned = None;
    }

    /// The name of the text of `file`, as reading gives it.
    pub(super) fn text_name(&self, file: &str, kind: Kind) -> String {
        match kind {
            Kind::File => self.path.display().to_string(),
            Kind::Directory => self.path.join(file).display().to_string(),
        }
    }

    /// The directory that relative names in the config count from.
    pub(super) fn directory(&self) -> PathBuf {
        let file = if self.path.is_dir() {
            &self.path.join("file")
        } else {
            &self.path
        };
        file.parent().map(Path::to_owned).unwrap_or_default()
    }

    pub(super) fn locate(&self, name: &str) -> PathBuf {
        material::locate(&self.directory(), name)
    }

    pub(super) fn read_material(&self, name: &str, bytes_max: u64) -> (Stamp, io::Result<Vec<u8>>) {
        material::read(&self.directory(), name, bytes_max)
    }
}

/// Locks a config that is a directory. `None` while another process holds the lock, and for a config that is a file.
fn lock(config: &Path) -> Option<File> {
    let directory = File::open(config).ok()?;
    let is_directory = directory.metadata().is_ok_and(|metadata| metadata.is_dir());
    (is_directory && directory.try_lock().is_ok()).then_some(directory)
}
