//! Writing a config back to disk, so that a kill at any moment leaves the old one or the new one.
//!
//! One file is replaced by a rename. Several are replaced under the protection of a [journal](super::journal).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tempfile::NamedTempFile;
use xxhash_rust::xxh3::xxh3_64;

use super::journal::{JOURNAL, Journal, Remove, Write};
use super::unfinished::{keep_beside, prefix, written_beside};
use crate::checksummed::{self, directory_of};
use crate::log;
use crate::texts::{Texts, file_name};

/// Files that are written and synced under temporary names.
pub(crate) struct Prepared {
    pub(super) replaced: Vec<Replaced>,
    /// Files to be removed, with their texts.
    surplus: Vec<(PathBuf, Arc<[u8]>)>,
    /// Files whose text on disk was never active; a copy is kept beside them.
    unapplied: Vec<PathBuf>,
    journal: Option<PathBuf>,
    prefix: String,
}

/// An error of replacing a config on disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    /// The file changed since it was read.
    #[error("`{}` is just being edited", .0.display())]
    Edited(PathBuf),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A file to be replaced, its new text in a temporary file, and its old text.
pub(super) struct Replaced {
    pub(super) file: NamedTempFile,
    /// The name in the config, which may be a symbolic link to `target`.
    pub(super) name: String,
    pub(super) target: PathBuf,
    new: Arc<[u8]>,
    old: Option<Arc<[u8]>>,
}

/// Replaced files, while that can be undone.
pub(crate) struct Committed {
    restore: Vec<(PathBuf, Option<Arc<[u8]>>)>,
    journal: Option<PathBuf>,
    prefix: String,
    /// Copies of texts that were never active.
    pub(super) kept: Vec<PathBuf>,
}

/// Writes temporary files for the differences between `texts` and `on_disk`, the texts of the config at `config`.
/// `was_active` tells whether a file's text was ever active.
pub(super) fn prepare(
    config: &Path,
    texts: &Texts,
    on_disk: &Texts,
    was_active: impl Fn(&str, &[u8]) -> bool,
) -> io::Result<Prepared> {
    let mut prepared = Prepared {
        replaced: Vec::new(),
        surplus: Vec::new(),
        unapplied: Vec::new(),
        journal: None,
        prefix: prefix(config),
    };
    for source in &texts.sources {
        let there = on_disk.sources.iter().find(|there| there.name == source.name);
        if there.is_some_and(|there| there.text == source.text) {
            continue;
        }
        let path = PathBuf::from(&source.name);
        if there.is_some_and(|there| !was_active(&there.name, &there.text)) {
            prepared.unapplied.push(path.clone());
        }
        // A link stays a link: its target is replaced.
        let target = fs::canonicalize(&path).unwrap_or(path);
        prepared.replaced.push(Replaced {
            file: written_beside(&target, &source.text, &prepared.prefix)?,
            name: file_name(&source.name).to_owned(),
            target,
            new: source.text.clone(),
            old: there.map(|there| there.text.clone()),
        });
    }
    for there in &on_disk.sources {
        if !texts.sources.iter().any(|source| source.name == there.name) {
            let path = PathBuf::from(&there.name);
            if !was_active(&there.name, &there.text) {
                prepared.unapplied.push(path.clone());
            }
            prepared.surplus.push((path, there.text.clone()));
        }
    }
    if prepared.replaced.len() + prepared.surplus.len() > 1 {
        prepared.journal = Some(config.join(JOURNAL));
    }
    Ok(prepared)
}

impl Prepared {
    /// Replaces the files. An error restores those that were replaced already.
    pub(crate) fn commit(self) -> Result<Committed, CommitError> {
        let mut committed = Committed {
            restore: Vec::new(),
            journal: None,
            prefix: self.prefix.clone(),
            kept: Vec::new(),
        };
        match self.replace(&mut committed) {
            Ok(()) => Ok(committed),
            Err(error) => match committed.undo() {
                Ok(()) => Err(error),
                Err(undone) => Err(CommitError::Io(io::Error::other(format!(
                    "{error}; and the files already replaced could not be restored: {undone}"
                )))),
            },
        }
    }

    fn replace(self, committed: &mut Committed) -> Result<(), CommitError> {
        for path in &self.unapplied {
            committed.kept.push(keep_beside(path)?);
        }
        if let Some(journal) = &self.journal {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let write = self.replaced.iter().map(|replaced| Write {
                name: replaced.name.clone(),
                text: text(&replaced.new),
                old: replaced.old.as_deref().map(xxh3_64),
            });
            let remove = self.surplus.iter().map(|(path, old)| Remove {
                name: file_name(&path.to_string_lossy()).to_owned(),
                old: xxh3_64(old),
            });
            let entry = Journal {
                write: write.collect(),
                remove: remove.collect(),
            };
            let entry = serde_json::to_vec(&entry).map_err(io::Error::from)?;
            written_beside(journal, &checksummed::checksummed(&entry), &self.prefix)?
                .persist(journal)
                .map_err(|error| error.error)?;
            committed.journal = Some(journal.clone());
        }
        let mut directories: Vec<PathBuf> = Vec::new();
        for Replaced {
            file, target, old, ..
        } in self.replaced
        {
            put_in_place(file, &target, old.as_deref())?;
            directories.push(directory_of(&target).to_owned());
            committed.restore.push((target, old));
        }
        for (path, old) in self.surplus {
            if *fs::read(&path)? != *old {
                return Err(CommitError::Edited(path));
            }
            fs::remove_file(&path)?;
            directories.push(directory_of(&path).to_owned());
            committed.restore.push((path, Some(old)));
        }
        directories.dedup();
        for directory in directories {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }
}

/// Replaces `target` if its text is `old`. The text that an exchange brings out is compared, and put back if the file
/// was edited in the meantime.
fn put_in_place(file: NamedTempFile, target: &Path, old: Option<&[u8]>) -> Result<(), CommitError> {
    let edited = || Err(CommitError::Edited(target.to_owned()));
    let Some(old) = old else {
        return match file.persist_noclobber(target) {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists && target.is_file() => edited(),
            Err(error) => Err(error.error.into()),
        };
    };
    let exchange = || renameat_with(CWD, file.path(), CWD, target, RenameFlags::EXCHANGE);
    match exchange() {
        Ok(()) => {
            if fs::read(file.path())? == old {
                return Ok(());
            }
            exchange().map_err(io::Error::from)?;
            edited()
        }
        Err(Errno::NOENT) => edited(),
        // Not every file system can exchange files; then an edit between the comparison and the rename is lost.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            if fs::read(target)? != old {
                return edited();
            }
            file.persist(target).map_err(|error| advise(error.error))?;
            Ok(())
        }
        Err(error) => Err(advise(error.into()).into()),
    }
}

impl Committed {
    /// Makes the replacement final.
    pub(crate) fn finish(self) {
        for path in &self.kept {
            log::info(format_args!(
                "the replaced text had never been in force; a copy is kept as `{}`",
                path.display()
            ));
        }
        if let Some(journal) = self.journal {
            // If this fails, the next start completes the change once more, without effect.
            let _ = fs::remove_file(journal);
        }
    }

    /// Restores the old files.
    pub(crate) fn undo(self) -> io::Result<()> {
        for (path, old) in self.restore.iter().rev() {
            match old {
                Some(old) => {
                    written_beside(path, old, &self.prefix)?
                        .persist(path)
                        .map_err(|error| error.error)?;
                }
                None => fs::remove_file(path)?,
            }
            File::open(directory_of(path))?.sync_all()?;
        }
        for kept in &self.kept {
            let _ = fs::remove_file(kept);
        }
        if let Some(journal) = &self.journal {
            fs::remove_file(journal)?;
        }
        Ok(())
    }
}

/// The error with a remedy, where there is one.
fn advise(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::ResourceBusy => io::Error::new(
            error.kind(),
            format!("{error}; the file is mounted by itself: mount its directory instead"),
        ),
        _ => error,
    }
}
