//! Writing a config back to disk, whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::config::Texts;
use crate::state::sealed::directory_of;

/// What the name of a file begins with while it is written. The loader passes over it, as over all dot files.
const UNFINISHED: &str = ".waypost-unfinished-";
/// What the name of a file ends with whose text was never in force when it was replaced.
const UNAPPLIED: &str = ".unapplied";

/// Files that are written and synced, but not in their places.
pub(super) struct Prepared {
    files: Vec<(NamedTempFile, PathBuf)>,
    /// Files that go.
    surplus: Vec<PathBuf>,
    /// Files whose text on disk was never in force: it is kept beside.
    unapplied: Vec<PathBuf>,
}

/// Writes down what of `texts` differs from what is on disk. `on_disk` is what was read there, `good` says whether
/// a text was in force once.
pub(super) fn prepare(
    texts: &Texts,
    on_disk: &Texts,
    was_in_force: impl Fn(&str, &[u8]) -> bool,
) -> io::Result<Prepared> {
    let mut prepared = Prepared {
        files: Vec::new(),
        surplus: Vec::new(),
        unapplied: Vec::new(),
    };
    for source in &texts.sources {
        let there = on_disk.sources.iter().find(|there| there.name == source.name);
        if there.is_some_and(|there| there.text == source.text) {
            continue;
        }
        let path = PathBuf::from(&source.name);
        if there.is_some_and(|there| !was_in_force(&there.name, &there.text)) {
            prepared.unapplied.push(path.clone());
        }
        // A link stays one: what it leads to is replaced.
        let target = fs::canonicalize(&path).unwrap_or(path);
        let directory = directory_of(&target);
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(directory)?;
        file.write_all(&source.text)?;
        let permissions = match fs::metadata(&target) {
            Ok(metadata) => {
                // Whoever could read it still can. Another owner's file may not be given back; that is no reason
                // to fail.
                let owner = (Some(metadata.uid()), Some(metadata.gid()));
                let _ = std::os::unix::fs::chown(file.path(), owner.0, owner.1);
                metadata.permissions()
            }
            Err(_) => std::os::unix::fs::PermissionsExt::from_mode(0o644),
        };
        file.as_file().set_permissions(permissions)?;
        file.as_file().sync_all()?;
        prepared.files.push((file, target));
    }
    for there in &on_disk.sources {
        if !texts.sources.iter().any(|source| source.name == there.name) {
            let path = PathBuf::from(&there.name);
            if !was_in_force(&there.name, &there.text) {
                prepared.unapplied.push(path.clone());
            }
            prepared.surplus.push(path);
        }
    }
    Ok(prepared)
}

impl Prepared {
    /// Puts the files in their places. Returns where texts were put that had never been in force.
    pub(super) fn commit(self) -> io::Result<Vec<PathBuf>> {
        let mut kept = Vec::new();
        for path in &self.unapplied {
            let mut beside = path.as_os_str().to_owned();
            beside.push(UNAPPLIED);
            fs::copy(path, &beside)?;
            kept.push(PathBuf::from(beside));
        }
        let mut directories: Vec<PathBuf> = Vec::new();
        for (file, target) in self.files {
            file.persist(&target).map_err(|error| error.error)?;
            directories.push(directory_of(&target).to_owned());
        }
        for path in self.surplus {
            fs::remove_file(&path)?;
            directories.push(directory_of(&path).to_owned());
        }
        directories.dedup();
        for directory in directories {
            File::open(directory)?.sync_all()?;
        }
        Ok(kept)
    }
}

/// Removes what a killed process left half written beside the config. For a start: later, it may be in the making.
pub(super) fn sweep(config: &Path) {
    let real = fs::canonicalize(config).unwrap_or_else(|_| config.to_owned());
    let directory = if real.is_dir() { &real } else { directory_of(&real) };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(UNFINISHED.as_bytes())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}
