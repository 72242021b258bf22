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

use crate::config::Texts;
use crate::state::dials::Dials;
use crate::state::revisions::{Revision, Revisions};
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
    /// Why the last attempt to store something failed, until one succeeds.
    failure: Option<String>,
    pub(crate) dials: Dials,
    pub(crate) revisions: Revisions,
    /// What was found damaged, and where it was put.
    pub(crate) damaged: Vec<Damaged>,
    /// What could not be read.
    unreadable: Vec<String>,
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

    /// Where it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether things can be stored, by what became of the last attempt.
    pub(crate) fn is_writable(&self) -> bool {
        self.lock.is_some() && self.failure.is_none()
    }

    /// What is wrong at present.
    pub(crate) fn troubles(&self) -> Vec<String> {
        self.failure.iter().chain(&self.unreadable).cloned().collect()
    }

    /// Makes sure that this process may write; what failed once is tried again.
    ///
    /// When it may from now on, what is stored has been read again, as another gateway may have written here until
    /// now; and the revisions come back that could not be stored before.
    pub(crate) fn claim(&mut self) -> Result<Option<Vec<(Revision, Texts)>>, StoreError> {
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
    pub(crate) fn store_dials(&mut self, dials: &Dials) -> Result<(), StoreError> {
        let file = self.directory.join(DIALS);
        self.store(|_| sealed::write(&file, &dials.to_json()), &file)?;
        self.dials = dials.clone();
        Ok(())
    }

    /// Stores a revision.
    pub(crate) fn store_revision(&mut self, revision: &Revision, texts: &Texts) -> Result<(), StoreError> {
        let file = self.revisions.path(revision.number);
        self.store(|state| state.revisions.store(revision, texts), &file)
    }

    /// Lets another process write: this one has nothing more to store.
    pub(crate) fn release(&mut self) {
        self.lock = None;
    }

    /// Tries to store something, and notes what becomes of it.
    fn store(&mut self, write: impl Fn(&mut Self) -> io::Result<()>, file: &Path) -> Result<(), StoreError> {
        if self.lock.is_none() {
            self.lock()?;
        }
        let mut written = write(self);
        if written
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        {
            // Somebody has removed the directory, and the lock with it.
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
            // What could not be read is another file by now, or has a new one beside it.
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
        sealed::sweep(&self.directory);
        Ok(())
    }

    fn read(&mut self) {
        let file = self.directory.join(DIALS);
        // A process that may not write leaves damaged files where they are.
        let sets_aside = self.lock.is_some();
        self.unreadable.clear();
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
                self.unreadable
                    .push(format!("`{}` cannot be read: {error}", file.display()));
            }
        }
        self.revisions
            .read(sets_aside, &mut self.damaged, &mut self.unreadable);
    }
}

/// Makes a directory, so that it is there after a power cut as well.
pub(crate) fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    File::open(sealed::directory_of(directory))?.sync_all()
}

/// The directory for a config that names none: `.waypost` beside it, or in there one of its own where that belongs
/// to another config.
fn beside(config: &Path, damaged: &mut Vec<Damaged>) -> PathBuf {
    let name = config.file_name().unwrap_or(config.as_os_str());
    let shared = config.parent().unwrap_or(Path::new("")).join(DEFAULT);
    let owner = shared.join(OWNER);
    let claim = || {
        // If it cannot be written, neither can anything else, which is said then.
        let _ = create_directory(&shared);
        let _ = sealed::write(&owner, name.as_encoded_bytes());
    };
    match sealed::read(&owner) {
        Ok(Some(owner)) if owner != name.as_encoded_bytes() => return shared.join(name),
        Ok(None) => claim(),
        Err(sealed::ReadError::Damaged(why)) => {
            damaged.push(sealed::damaged(&owner, &why, true));
            claim();
        }
        Ok(Some(_)) | Err(sealed::ReadError::Io(_)) => {}
    }
    shared
}
