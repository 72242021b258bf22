//! The source of a config: it is read, watched and written back there, and nothing else in the crate knows where it is.
//!
//! The place is a path on [disk], or the prefix of a fleet, whose config is [shared]: each key is one text of a directory.

pub(crate) mod disk;
pub(crate) mod shared;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use waypost_config::Kind;
use waypost_fleet::view::View;

use self::disk::journal::Recovered;
use self::disk::stamp::Stamp;
use self::disk::write::Prepared;
use self::disk::{Disk, read};
use self::shared::Shared;
use crate::texts::Texts;

/// A version of a source: two readings with the same version have the same texts.
///
/// Files on disk have no version of their own, so theirs are the texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version(Texts);

impl Version {
    /// The version that the source has when it holds `texts`.
    pub(crate) fn of(texts: &Texts) -> Self {
        Self(texts.clone())
    }

    /// Returns true if this is the version of `texts`.
    pub(crate) fn is_of(&self, texts: &Texts) -> bool {
        self.0 == *texts
    }
}

/// The place that configs come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file, or a directory of files.
    Disk(Disk),
    /// The texts that a fleet shares.
    Fleet(Shared),
}

/// An error of preparing a change of the texts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    /// Another process is the one that writes.
    #[error("another gateway writes to this config")]
    NotOwned,
    /// The texts are not those of the expected version.
    #[error("the config on disk is just being edited")]
    Edited,
    /// The texts are a fleet's, which are written with their revision.
    #[error("the config is the fleet's")]
    Shared,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Source {
    /// The config at `path`.
    pub(crate) fn at(path: &Path) -> Self {
        Self::Disk(Disk::new(path))
    }

    /// The name of the config in messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Disk(disk) => disk.path().display().to_string(),
            Self::Fleet(shared) => shared.name(),
        }
    }

    /// The texts that a fleet shares, if these are such.
    pub(crate) fn shared(&self) -> Option<&Shared> {
        match self {
            Self::Disk(_) => None,
            Self::Fleet(shared) => Some(shared),
        }
    }

    /// The names of the texts that count together with `names`, which changed last at the same time as one of them: if one is
    /// not obeyed, none is. `before` are the names of those that were good before. Files on disk count one by one.
    pub(crate) fn changed_with<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        before: impl Iterator<Item = &'n str>,
    ) -> BTreeSet<String> {
        match self {
            Self::Disk(_) => names.map(str::to_owned).collect(),
            Self::Fleet(shared) => shared.changed_with(names, before),
        }
    }

    /// Reads what this view of the fleet says from now on.
    pub(crate) fn obey(&mut self, view: Arc<View>) {
        if let Self::Fleet(shared) = self {
            shared.obey(view);
        }
    }

    /// The path of a file that the config names.
    pub(crate) fn locate(&self, name: &str) -> PathBuf {
        match self {
            Self::Disk(disk) => disk.locate(name),
            Self::Fleet(shared) => shared.locate(name),
        }
    }

    /// Completes the change that a killed process began, and claims the right to write. Must come before reading.
    pub(crate) fn recover(&mut self) -> Recovered {
        match self {
            Self::Disk(disk) => disk.recover(),
            Self::Fleet(_) => Recovered::default(),
        }
    }

    /// Starts watching. A change after this returns is reported by [`Source::changed`].
    pub(crate) fn watch(&mut self) {
        match self {
            Self::Disk(disk) => disk.watch(),
            // It is followed from the beginning.
            Self::Fleet(_) => {}
        }
    }

    /// Returns when the texts may have changed since the last call. Cancel safe.
    pub(crate) async fn changed(&self) {
        match self {
            Self::Disk(disk) => disk.changed().await,
            Self::Fleet(shared) => shared.fleet().changed().await,
        }
    }

    /// Reads the texts once, for a command; from a pipe too.
    ///
    /// # Errors
    /// If there is no config, or it cannot be read.
    pub(crate) fn read_once(&self) -> anyhow::Result<Texts> {
        match self {
            Self::Disk(disk) => read::read(disk.path()),
            Self::Fleet(shared) => Ok(shared.read()),
        }
    }

    /// Reads the texts to serve them.
    ///
    /// # Errors
    /// If there is no config, or it cannot be read without blocking.
    pub(crate) fn read(&self) -> anyhow::Result<(Texts, Version)> {
        let texts = match self {
            Self::Disk(disk) => read::read_served(disk.path())?,
            Self::Fleet(shared) => shared.read(),
        };
        let version = Version::of(&texts);
        Ok((texts, version))
    }

    /// Writes `texts` beside the present ones, ready to be committed. A present text for which `was_active` is false is
    /// kept as a copy.
    ///
    /// # Errors
    /// If another process writes, if the present texts are not of the version `expected`, or on an I/O error.
    pub(crate) fn prepare(
        &mut self,
        texts: &Texts,
        expected: &Version,
        was_active: impl Fn(&str, &[u8]) -> bool,
    ) -> Result<Prepared, PrepareError> {
        match self {
            Self::Disk(disk) => disk.prepare(texts, expected, was_active),
            Self::Fleet(_) => Err(PrepareError::Shared),
        }
    }

    /// Gives up the right to write.
    pub(crate) fn release(&mut self) {
        match self {
            Self::Disk(disk) => disk.release(),
            Self::Fleet(_) => {}
        }
    }

    /// The full name of the text of a file of the config.
    pub(crate) fn text_name(&self, file: &str, kind: Kind) -> String {
        match self {
            Self::Disk(disk) => disk.text_name(file, kind),
            Self::Fleet(shared) => shared.text_name(file),
        }
    }

    /// Reads a file that the config names, such as a certificate, with a stamp to notice later changes.
    pub(crate) fn read_material(&self, name: &str) -> (Stamp, io::Result<Vec<u8>>) {
        self.read_large_material(name, disk::material::FILE_BYTES_MAX)
    }

    /// Reads such a file of at most `bytes_max`.
    pub(crate) fn read_large_material(&self, name: &str, bytes_max: u64) -> (Stamp, io::Result<Vec<u8>>) {
        match self {
            Self::Disk(disk) => disk.read_material(name, bytes_max),
            Self::Fleet(shared) => shared.read_material(name, bytes_max),
        }
    }

    /// The directory that relative names of such files count from; empty for the working directory.
    pub(crate) fn material_directory(&self) -> PathBuf {
        match self {
            Self::Disk(disk) => disk.directory(),
            Self::Fleet(shared) => shared.directory(),
        }
    }
}
