//! What outlives the process: revisions and dials, as plain files in a directory.
//!
//! Every file is written beside, synced, renamed into place, and the directory synced; every file carries a
//! checksum. So a kill at any moment leaves the old file or the new one, and what is damaged all the same is set
//! aside and named, never served. Nothing here keeps the gateway from starting: without a directory that can be
//! written, it serves the config, and what has to be stored is refused.

pub(crate) mod dials;
pub(crate) mod revisions;
pub(crate) mod sealed;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::state::dials::Dials;
use crate::state::revisions::Revisions;
use crate::state::sealed::Damaged;

/// The directory's name where the config names none.
const DEFAULT: &str = ".waypost";
/// The file that holds the lock.
const LOCK: &str = "lock";
/// The file that says whose state it is, in a directory that the config does not name.
const OWNER: &str = "config";
/// The file with the dials.
const DIALS: &str = "dials.json";
/// The directory with the revisions.
const REVISIONS: &str = "revisions";

/// The state of one gateway.
#[derive(Debug)]
pub(crate) struct State {
    directory: PathBuf,
    /// Held while this process is the one that writes.
    lock: Option<File>,
    pub(crate) dials: Dials,
    pub(crate) revisions: Revisions,
    /// What was found damaged, and where it was put.
    pub(crate) damaged: Vec<Damaged>,
    /// What went wrong otherwise, as the state was opened.
    pub(crate) troubles: Vec<String>,
}

/// Why something could not be stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The directory cannot be made or locked.
    #[error("the state directory `{}` cannot be used: {error}", directory.display())]
    Directory { directory: PathBuf, error: io::Error },
    /// Another gateway writes there.
    #[error("the state directory `{}` is in use by another gateway", directory.display())]
    InUse { directory: PathBuf },
    /// The file cannot be written.
    #[error("`{}` cannot be written: {error}", file.display())]
    File { file: PathBuf, error: io::Error },
}

impl State {
    /// The state of the config at `config`, in `directory` if that is given.
    pub(crate) fn open(directory: Option<&Path>, config: &Path, keep: usize) -> Self {
        let directory = match directory {
            Some(directory) => directory.to_owned(),
            None => beside(config),
        };
        let mut state = Self {
            lock: None,
            dials: Dials::default(),
            revisions: Revisions::new(directory.join(REVISIONS), keep),
            damaged: Vec::new(),
            troubles: Vec::new(),
            directory,
        };
        if let Err(error) = state.writable() {
            state.troubles.push(error.to_string());
        }
        state.read();
        state
    }

    /// Where it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether it can be written, as far as is known.
    pub(crate) fn is_writable(&self) -> bool {
        self.lock.is_some()
    }

    /// Makes sure that this process may write. What failed once is tried again.
    pub(crate) fn writable(&mut self) -> Result<(), StoreError> {
        if self.lock.is_some() {
            return Ok(());
        }
        let cannot = |error| StoreError::Directory {
            directory: self.directory.clone(),
            error,
        };
        fs::create_dir_all(&self.directory).map_err(cannot)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.directory.join(LOCK))
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
        sealed::sweep(&self.directory);
        Ok(())
    }

    /// Stores the dials.
    pub(crate) fn store_dials(&mut self, dials: &Dials) -> Result<(), StoreError> {
        self.writable()?;
        let file = self.directory.join(DIALS);
        sealed::write(&file, &dials.to_json()).map_err(|error| StoreError::File { file, error })?;
        self.dials = dials.clone();
        Ok(())
    }

    /// Lets another process write: this one has nothing more to store.
    pub(crate) fn release(&mut self) {
        self.lock = None;
    }

    fn read(&mut self) {
        let file = self.directory.join(DIALS);
        // A process that may not write leaves damaged files where they are.
        let sets_aside = self.lock.is_some();
        match sealed::read(&file) {
            Ok(Some(body)) => match Dials::from_json(&body) {
                Ok(dials) => self.dials = dials,
                Err(error) => self
                    .damaged
                    .push(sealed::damaged(&file, &error.to_string(), sets_aside)),
            },
            Ok(None) => {}
            Err(sealed::ReadError::Damaged(why)) => {
                self.damaged.push(sealed::damaged(&file, &why, sets_aside));
            }
            Err(sealed::ReadError::Io(error)) => {
                self.troubles
                    .push(format!("`{}` cannot be read: {error}", file.display()));
            }
        }
        self.revisions
            .read(sets_aside, &mut self.damaged, &mut self.troubles);
    }
}

/// The directory for a config that names none: `.waypost` beside it, or in there one of its own where that belongs
/// to another config.
fn beside(config: &Path) -> PathBuf {
    let name = config.file_name().unwrap_or(config.as_os_str());
    let shared = config.parent().unwrap_or(Path::new("")).join(DEFAULT);
    let owner = shared.join(OWNER);
    match sealed::read(&owner) {
        Ok(Some(owner)) if owner != name.as_encoded_bytes() => shared.join(name),
        Ok(None) => {
            // If it cannot be written, neither can anything else, which is said then.
            let _ = fs::create_dir_all(&shared);
            let _ = sealed::write(&owner, name.as_encoded_bytes());
            shared
        }
        _ => shared,
    }
}
