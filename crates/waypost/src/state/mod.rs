//! Persistent state: revisions, dials and rollouts, as plain files in a directory.
//!
//! Every file is written under a temporary name, synced and renamed, and the directory is synced; every file has a
//! checksum. So a kill at any moment leaves the old file or the new one. A damaged file is set aside and named, never
//! used. No error here prevents a start: without a writable directory, the gateway serves the config, and refuses
//! changes that must be stored.
//!
//! In a fleet, all of that is [shared], and etcd has it.

pub(crate) mod dials;
pub(crate) mod evidence;
pub(crate) mod pointer;
pub(crate) mod revision;
pub(crate) mod revisions;
pub(crate) mod rollouts;
pub(crate) mod shared;
pub(crate) mod weights;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use waypost_admin::problem::Problem;
use waypost_fleet::record::WriteId;
use waypost_fleet::record::canary::CanaryRecord;
use waypost_fleet::view::View;
use waypost_plan::Plan;

use crate::checksummed::{self, Damaged, create_directory};
use crate::fleet::{Fleet, ProposeError};
use crate::state::dials::Dials;
use crate::state::revision::Revision;
use crate::state::revisions::Revisions;
use crate::state::shared::canary::Tried;
use crate::state::shared::{Retold, Shared, all_shared_texts, records};
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

/// The most dials that are ended at once.
const REVIVED_MAX: usize = 50;

/// The most times that these are looked at again, as another instance was first.
const CONFLICTS_MAX: usize = 20;

/// The state of one gateway.
#[derive(Debug)]
pub(crate) struct State {
    directory: PathBuf,
    /// The state of a fleet; the rest then is what it says, and nothing is on disk.
    shared: Option<Shared>,
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
    /// A fleet's.
    #[error(transparent)]
    Fleet(#[from] ProposeError),
}

impl StoreError {
    /// The reason, which is the same each time that it is the same.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Fleet(error) => error.reason(),
            other => other.to_string(),
        }
    }

    /// The problem of a change that was not made for it, or is not known to have been.
    pub(crate) fn problem(&self, what: &str) -> Problem {
        let detail = format!("{what}: {self}");
        match self {
            // It may have been made, or was.
            Self::Fleet(error @ (ProposeError::Unknown { .. } | ProposeError::Late { .. })) => {
                error.problem()
            }
            Self::Fleet(error) => Problem {
                detail,
                ..error.problem()
            },
            Self::Directory { .. } | Self::InUse { .. } | Self::File { .. } => Problem::not_stored(detail),
        }
    }
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
            shared: None,
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

    /// The state that a fleet shares; `name` says where that is.
    pub(crate) fn of_fleet(fleet: Arc<Fleet>, name: &str) -> Self {
        let shared = Shared::new(fleet);
        let mut revisions = Revisions::of_fleet();
        revisions.obey(shared.obeyed());
        // Those of a wiped prefix stay, as its config does.
        let last = shared.fleet.last_view().filter(|_| shared.is_wiped());
        Self {
            dials: match last {
                Some(last) => records::read_over(shared.obeyed(), records::read(last)),
                None => records::read(shared.obeyed()),
            },
            revisions,
            shared: Some(shared),
            lock: None,
            failure: None,
            damaged: Vec::new(),
            unreadable: Vec::new(),
            directory: PathBuf::from(name),
        }
    }

    /// The rollouts that a newer view has otherwise than this instance has written or seen them last, by the route that each was
    /// started at.
    pub(crate) fn retold_rollouts(&self, newer: &View) -> Vec<Retold> {
        let shared = self.shared.as_ref();
        shared.map_or_else(Vec::new, |shared| shared.retold(newer))
    }

    /// Returns true if a rollout is as it was retold, and not written by this instance since.
    pub(crate) fn is_still(&self, retold: &Retold) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.is_still(retold))
    }

    /// Takes over what a newer view of the fleet says. Returns the dials of before, if they may be other ones.
    pub(crate) fn obey(&mut self, view: Arc<View>) -> Option<Dials> {
        self.revisions.obey(&view);
        let shared = self.shared.as_mut()?;
        let was_wiped = shared.is_wiped();
        let is_same = shared.has_dials_of(&view);
        shared.obey(view);
        let is_wiped = shared.is_wiped();
        if is_same && is_wiped == was_wiped {
            return None;
        }
        let dials = match is_wiped {
            true => records::read_over(shared.obeyed(), self.dials.clone()),
            false => records::read(shared.obeyed()),
        };
        Some(std::mem::replace(&mut self.dials, dials))
    }

    /// The state of a fleet, if this is one.
    pub(crate) fn shared(&self) -> Option<&Shared> {
        self.shared.as_ref()
    }

    /// Returns true if what cannot be stored may be in force all the same, as no other gateway would contradict it.
    pub(crate) fn may_differ(&self) -> bool {
        self.shared.is_none()
    }

    /// The place of the state, for messages.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns true if this process is the one that turns rollouts: it holds the lock, or leads the fleet.
    pub(crate) fn is_claimed(&self) -> bool {
        match &self.shared {
            Some(shared) => shared.fleet.is_leader(),
            None => self.lock.is_some(),
        }
    }

    /// Returns true if the lock is held and the last write succeeded, or etcd can be asked.
    pub(crate) fn is_writable(&self) -> bool {
        match &self.shared {
            Some(shared) => shared.is_available(),
            None => self.lock.is_some() && self.failure.is_none(),
        }
    }

    /// Returns true if writing is to be tried again.
    pub(crate) fn is_behind(&self) -> bool {
        self.shared.is_none() && !self.is_writable()
    }

    /// The present errors.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let stuck = self.shared.iter().flat_map(Shared::stuck);
        let of_files = self.failure.iter().chain(&self.unreadable).cloned();
        of_files.chain(stuck).collect()
    }

    /// Takes the lock, unless this process holds it.
    ///
    /// If it is taken now, the files are read again, as another gateway may have written them. Returns the revisions that
    /// could not be stored before.
    ///
    /// # Errors
    /// If another gateway has it, it cannot be read, or etcd is away.
    pub(crate) fn claim(&mut self) -> Result<Option<Vec<(Revision, Texts)>>, StoreError> {
        if let Some(shared) = &self.shared {
            shared.expect_available()?;
            return Ok(None);
        }
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
        if let Some(shared) = &mut self.shared {
            let stored = shared.store(dials).await;
            // etcd is right, also where only a part of it is stored. Of a wiped prefix, they stay.
            match shared.is_wiped() {
                false => self.dials = records::read(shared.obeyed()),
                true if stored.is_ok() => self.dials = dials.clone(),
                true => {}
            }
            return Ok(stored?);
        }
        let file = self.directory.join(DIALS);
        self.store(|_| checksummed::write(&file, &dials.to_json()), &file)?;
        self.dials = dials.clone();
        Ok(())
    }

    /// Ends dials of a fleet, or drains too, that do not hold under its config before, and would again under the one after: there
    /// are some where a config comes back before the leader has deleted them. `drop` drops them, so many of each at most.
    pub(crate) async fn end_revived(
        &mut self,
        before: &Plan,
        after: &Plan,
        drop: fn(&mut Dials, &Plan, &Plan, usize) -> bool,
    ) -> Result<(), StoreError> {
        let mut conflicts = 0;
        let mut dials = self.dials.clone();
        while drop(&mut dials, before, after, REVIVED_MAX) {
            match (self.store_dials(&dials).await, &mut self.shared) {
                // Most likely they are being deleted.
                (Err(StoreError::Fleet(ProposeError::Conflict(newer))), Some(shared))
                    if conflicts < CONFLICTS_MAX =>
                {
                    conflicts += 1;
                    shared.take_dials(&newer);
                    self.dials = records::read(shared.obeyed());
                }
                (stored, _) => stored?,
            }
            dials = self.dials.clone();
        }
        Ok(())
    }

    /// Stores a config of a fleet, its revision, and the dials that change along, all at once. Returns the number.
    pub(crate) async fn apply(
        &mut self,
        revision: &Revision,
        texts: &Texts,
        dials: &Dials,
    ) -> Result<u64, StoreError> {
        let Some(shared) = &mut self.shared else {
            return Ok(revision.number);
        };
        let texts = all_shared_texts(texts)?;
        let number = shared.apply(texts, revision.draft(), dials).await?;
        self.obey_own();
        Ok(number)
    }

    /// Stores a revision of the config that a fleet has already, and the dials that change along. Returns the number.
    pub(crate) async fn note(&mut self, revision: &Revision, dials: &Dials) -> Result<u64, StoreError> {
        let Some(shared) = &mut self.shared else {
            return Ok(revision.number);
        };
        let number = shared.note(revision.draft(), dials).await?;
        self.obey_own();
        Ok(number)
    }

    /// Stores a config that some instances of a fleet try, and obeys it.
    pub(crate) async fn begin_canary(
        &mut self,
        revision: &Revision,
        texts: &Texts,
        tried: &Tried,
    ) -> Result<(), StoreError> {
        let Some(shared) = &mut self.shared else {
            return Ok(());
        };
        let texts = all_shared_texts(texts)?;
        let begun = shared.begin_canary(texts, revision.draft(), tried);
        Ok(begun.await?)
    }

    /// Stores the next stage of what instances try, as the leader, and the dials that change along.
    pub(crate) async fn advance_canary(
        &self,
        record: CanaryRecord,
        dials: &Dials,
    ) -> Result<(), ProposeError> {
        match &self.shared {
            Some(shared) => shared.advance_canary(record, dials).await,
            None => Ok(()),
        }
    }

    /// Takes back what instances try.
    pub(crate) async fn withdraw_canary(&self, id: &WriteId, why: String) -> Result<(), ProposeError> {
        match &self.shared {
            Some(shared) => shared.withdraw_canary(id, why).await,
            None => Ok(()),
        }
    }

    /// Takes over what this instance has just written.
    fn obey_own(&mut self) {
        if let Some(shared) = &self.shared {
            self.dials = records::read(shared.obeyed());
            self.revisions.obey(shared.obeyed());
        }
    }

    /// Stores a revision. Those of a fleet are stored with their configs.
    pub(crate) fn store_revision(&mut self, revision: &Revision, texts: &Texts) -> Result<(), StoreError> {
        if self.shared.is_some() {
            return Ok(());
        }
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
