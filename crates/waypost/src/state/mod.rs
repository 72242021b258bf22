//! Persistent state: revisions, dials and rollouts, as plain files in a directory.
//!
//! Every file is written under a temporary name, synced and renamed, and the directory is synced; every file has a
//! checksum. So a kill at any moment leaves the old file or the new one. A damaged file is set aside and named, never
//! used. No error here prevents a start: without a writable directory, the gateway serves the config, and refuses
//! changes that must be stored.

pub(crate) mod dials;
pub(crate) mod evidence;
pub(crate) mod revisions;
pub(crate) mod rollouts;
pub(crate) mod weights;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::checksummed::{self, Damaged};
use crate::state::dials::Dials;
use crate::state::revisions::{Revision, Revisions};
use crate::texts::Texts;

/// The default name of the directory.
const DEFAULT: &str = ".waypost";
/// The name of the lock file.
const LOCK: &str = "lock";
/// The name of the file that holds the config's name, in a default directory.
const OWNER: &str = "config";
/// The name of the file with the dials.
const DIALS: &str = "dials.json";
/// The name of the directory with the revisions.
const REVISIONS: &str = "revisions";

/// The state of one gateway.
#[derive(Debug)]
pub(crate) struct State {
    directory: PathBuf,
    /// The lock, while this process is the one that writes.
    lock: Option<File>,
    /// The error of the last write; `None` after a success.
    failure: Option<String>,
    pub(crate) dials: Dials,
    pub(crate) revisions: Revisions,
    /// Damaged files, and their new names.
    pub(crate) damaged: Vec<Damaged>,
    /// Errors of reading files.
    unreadable: Vec<String>,
}

/// An error of writing to the state directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The directory cannot be created or locked.
    #[error("the state directory `{}` cannot be used: {error}", directory.display())]
    Directory { directory: PathBuf, error: io::Error },
    /// Another gateway holds the lock.
    #[error("the state directory `{}` is in use by another gateway", directory.display())]
    InUse { directory: PathBuf },
    #[error("`{}` cannot be written: {error}", file.display())]
    File { file: PathBuf, error: io::Error },
}

impl State {
    /// Opens the state of the config at `config`, in `directory` or else beside the config. At most `keep` revisions are kept.
    pub(crate) fn open(directory: Option<&Path>, config: &Path, keep: usize) -> Self {
        let mut damaged = Vec::new();
        let directory = match directory {
            Some(directory) => directory.to_owned(),
            None => beside(config, &mut damaged),
        };
        let mut state = Self {
            lock: None,
            failure: None,
            dials: Dials::default(),
            revisions: Revisions::new(directory.join(REVISIONS), keep),
            damaged,
            unreadable: Vec::new(),
            directory,
        };
        if let Err(error) = state.lock() {
            state.failure = Some(error.to_string());
        }
        state.read();
        state
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns true if this process holds the lock.
    pub(crate) fn is_claimed(&self) -> bool {
        self.lock.is_some()
    }

    /// Returns true if the lock is held and the last write succeeded.
    pub(crate) fn is_writable(&self) -> bool {
        self.lock.is_some() && self.failure.is_none()
    }

    /// The present errors.
    pub(crate) fn troubles(&self) -> Vec<String> {
        self.failure.iter().chain(&self.unreadable).cloned().collect()
    }

    /// Takes the lock, unless this process holds it.
    ///
    /// If it is taken now, the files are read again, as another gateway may have written them. Returns the revisions that
    /// could not be stored before.
    pub(crate) async fn claim(&mut self) -> Result<Option<Vec<(Revision, Texts)>>, StoreError> {
        if self.lock.is_some() {
            return Ok(None);
        }
        if let Err(error) = self.lock() {
            self.failure = Some(error.to_string());
            return Err(error);
        }
        self.failure = None;
        let unstored = self.revisions.take_unstored();
        self.read();
        Ok(Some(unstored))
    }

    /// Stores the dials.
    pub(crate) async fn store_dials(&mut self, dials: &Dials) -> Result<(), StoreError> {
        let file = self.directory.join(DIALS);
        self.store(|_| checksummed::write(&file, &dials.to_json()), &file)?;
        self.dials = dials.clone();
        Ok(())
    }

    /// Stores a revision.
    pub(crate) async fn store_revision(
        &mut self,
        revision: &Revision,
        texts: &Texts,
    ) -> Result<(), StoreError> {
        let file = self.revisions.path(revision.number);
        self.store(|state| state.revisions.store(revision, texts), &file)
    }

    /// Releases the lock, because nothing more will be stored.
    pub(crate) fn release(&mut self) {
        self.lock = None;
    }

    /// Runs `write`, and notes its result.
    fn store(&mut self, write: impl Fn(&mut Self) -> io::Result<()>, file: &Path) -> Result<(), StoreError> {
        if self.lock.is_none() {
            self.lock()?;
        }
        let mut written = write(self);
        if written
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        {
            // The directory was removed, and the lock with it.
            self.lock = None;
            self.lock()?;
            written = write(self);
        }
        let outcome = written.map_err(|error| StoreError::File {
            file: file.to_owned(),
            error,
        });
        self.failure = outcome.as_ref().err().map(ToString::to_string);
        if outcome.is_ok() {
            // The write has replaced an unreadable file, or made it obsolete.
            self.unreadable.clear();
            self.revisions.store_unstored();
        }
        outcome
    }

    fn lock(&mut self) -> Result<(), StoreError> {
        let cannot = |error| StoreError::Directory {
            directory: self.directory.clone(),
            error,
        };
        create_directory(&self.directory).map_err(cannot)?;
        let lock = self.directory.join(LOCK);
        if fs::metadata(&lock).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(cannot(io::Error::other("`lock` in it is not a file")));
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(lock)
            .map_err(cannot)?;
        match lock.try_lock() {
            Ok(()) => self.lock = Some(lock),
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse {
                    directory: self.directory.clone(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
        }
        checksummed::sweep(&self.directory);
        Ok(())
    }

    fn read(&mut self) {
        let file = self.directory.join(DIALS);
        // A process that may not write leaves damaged files where they are.
        let sets_aside = self.lock.is_some();
        self.unreadable.clear();
        // A damaged file that was left in place is found again.
        self.damaged
            .retain(|damaged| damaged.now != damaged.file || !damaged.file.starts_with(&self.directory));
        match checksummed::read(&file) {
            Ok(Some(body)) => match Dials::from_json(&body) {
                Ok(dials) => self.dials = dials,
                Err(error) => {
                    self.damaged
                        .push(checksummed::set_aside(&file, &error.to_string(), sets_aside));
                }
            },
            Ok(None) => {}
            Err(checksummed::ReadError::Damaged(why)) => {
                self.damaged.push(checksummed::set_aside(&file, &why, sets_aside));
            }
            Err(checksummed::ReadError::Io(error)) => {
                self.unreadable
                    .push(format!("`{}` cannot be read: {error}", file.display()));
            }
        }
        self.revisions
            .read(sets_aside, &mut self.damaged, &mut self.unreadable);
    }
}

/// Creates a directory, durably.
pub(crate) fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    File::open(checksummed::directory_of(directory))?.sync_all()
}

/// The default directory of a config: `.waypost` beside it, or a subdirectory if that belongs to another config.
fn beside(config: &Path, damaged: &mut Vec<Damaged>) -> PathBuf {
    let name = config.file_name().unwrap_or(config.as_os_str());
    let shared = config.parent().unwrap_or(Path::new("")).join(DEFAULT);
    let owner = shared.join(OWNER);
    let claim = || {
        // An error shows again when the lock is taken.
        let _ = create_directory(&shared);
        let _ = checksummed::write(&owner, name.as_encoded_bytes());
    };
    match checksummed::read(&owner) {
        Ok(Some(owner)) if owner != name.as_encoded_bytes() => return shared.join(name),
        Ok(None) => claim(),
        Err(checksummed::ReadError::Damaged(why)) => {
            damaged.push(checksummed::set_aside(&owner, &why, true));
            claim();
        }
        Ok(Some(_)) | Err(checksummed::ReadError::Io(_)) => {}
    }
    shared
}
